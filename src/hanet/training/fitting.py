"""``fit``: an experiment, a folder of data and a run folder give trained weights."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import TensorBoardLogger
from torch.utils.data import DataLoader

from hanet.datasets.torch_datasets import Sample, TileDataset, list_pairs
from hanet.destination import check_packages, check_room
from hanet.errors import DataSetError, HanetError, SettingsError
from hanet.files import replace_file
from hanet.models import ChangeModel
from hanet.threads import Threads, threads_for
from hanet.training.averaging import Averaging
from hanet.training.build import build_metadata, build_network
from hanet.training.consistency import Consistency
from hanet.training.experiment import Experiment
from hanet.training.keeper import (
    PROTOCOL_WARNING,
    Keeper,
    Watch,
    resumed_from,
    unusable_checkpoint,
)
from hanet.training.module import TrainingModule
from hanet.training.process_memory import keep_freed_memory, peak_memory_mb
from hanet.training.processes import ProcessLayout, process_layout
from hanet.training.run_folder import RunFolder
from hanet.training.signals import StopRequest
from hanet.training.stream import BatchStream, SeededDataset, training_data
from hanet.training.teacher import Teacher
from hanet.version import __version__
from hanet.weights import catalogue

BYTES_OF_PARAMETER = 4 * 6
"""Of the folder of a run at least: weights, both moments of the optimiser and the average in the
checkpoint, and the best and the last weights."""

CURVES = "tensorboard"
"""Folder of the curves in that of a run."""


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """How a run ended.

    Args:
        iterations: Steps done.
        finished: Whether the run has come to its end: all steps, no better weights for the
            experiment's ``patience``, or the time given; False after a stop by a signal, which
            saved a checkpoint.
        best_f1: Best F1 on the validation split, threshold 0.5; None where the run was stopped
            before its first validation.
        best_weights: The weights that reached it; None likewise.
        minutes: Time of training over all parts of a resumed run.
        peak_memory_mb: Largest memory of this process.
    """

    iterations: int
    finished: bool
    best_f1: float | None
    best_weights: Path | None
    minutes: float
    peak_memory_mb: float


def fit(
    experiment: Experiment,
    *,
    data: Path,
    out: Path,
    resume: bool = False,
    processes: int | None = None,
    nodes: int | None = None,
    workers: int = 0,
    threads: int | None = None,
    accelerator: Literal["auto", "cpu", "gpu"] = "auto",
    keep_memory: bool = False,
    minutes: float | None = None,
    watch: Watch | None = None,
) -> TrainingResult:
    """Trains a network.

    Args:
        experiment: All that decides the result.
        data: Root of the data; the experiment's folders lie under it as
            ``FOLDER/SPLIT/{A,B,label}``, ``unlabelled_folders`` as ``FOLDER/SPLIT/{A,B}``.
        out: Folder of the run; see :mod:`hanet.training.run_folder`.
        resume: Continue the run in ``out`` from its last checkpoint. On one machine with the same
            processes and threads, it ends with the same weights as a run that was never stopped.
        processes: Processes on each machine (GPUs, or CPU processes with gloo); the batch is shared
            between them. None is one, or as many as torchrun or srun started.
        nodes: Machines; None is one, or as many as were started.
        workers: Loader processes; the images lie decoded in memory, so 0 is right unless
            augmentation starves a GPU.
        threads: Threads of torch in each process; if None its share of those that may be used
            here (see :mod:`hanet.threads`), and no more than torch takes by itself.
        accelerator: Where to compute.
        keep_memory: See :func:`hanet.training.process_memory.keep_freed_memory`; a step on the CPU
            is up to 1.7 times as fast.
        minutes: Time of training after which the run validates and ends, wherever its schedule is;
            None for no limit. What such a run ends with depends on the machine's speed.
        watch: Called after every step, on the first process only, with iteration, iterations,
            loss, f1, best_f1.

    Raises:
        DataSetError: The data are missing or wrong.
        MissingExtraError: Packages of ``hanet[train]`` are missing.
        OutputError: ``out`` holds a run already, or none to resume, or one of other settings.
        SettingsError: torchrun or srun started another number of processes than the settings say,
            there are not so many GPUs, memory cannot be kept here, or ``labels_kept`` keeps no
            label or leaves none out.
        WeightsError: ``start_from`` or ``teacher`` names weights that are missing, corrupt or do
            not fit.
        TrainingError: The run to resume was started on other data or with another teacher; or the
            loss, a gradient or a weight is not finite. The last checkpoint stays.
    """
    if keep_memory:
        keep_freed_memory()
    layout = process_layout(processes, nodes)
    _check_accelerator(accelerator, layout)
    folder = RunFolder(out)
    folder.check(experiment, resume=resume, rank=layout.rank)
    check_packages(("tensorboard",), extra="train", purpose="the curves of a training run")
    # before the data are read, which takes minutes
    network, teacher = _begins_from(experiment)
    if layout.rank == 0:
        values = sum(parameter.numel() for parameter in network.parameters())
        check_room(out, BYTES_OF_PARAMETER * values)
    allowed = _threads(threads, layout)
    torch.set_num_threads(allowed.count)
    dataset = _training_tiles(experiment, data)
    tiles = _validation_tiles(experiment, data)
    resuming = resume and folder.checkpoint.exists()
    first, kept = resumed_from(folder.checkpoint) if resuming else (0, None)
    stream = _stream(experiment, dataset, layout, first)
    iterations = experiment.iterations or stream.iterations_of(experiment.epochs or 0)

    labels = dataset.pairs.note(experiment)
    metadata = build_metadata(experiment, network, labels=labels)
    sees_unlabelled = experiment.pairs_without_label > 0
    averaging = Averaging(experiment.ema_decay, teaches=sees_unlabelled)
    stop = StopRequest()
    taught_by, tell = teacher.sha256 if teacher is not None else "", watch or (lambda _: None)
    keeper = Keeper(
        folder,
        tiles,
        metadata,
        averaging,
        stream,
        stop,
        tell,
        threads=allowed.count,
        teacher=taught_by,
        minutes=minutes,
    )
    if kept is not None:
        keeper.load_state_dict(kept)
    with _quiet_lightning():
        trainer = _trainer(
            experiment, folder, [averaging, keeper], iterations, layout, accelerator, first
        )
        loader = _loader(dataset, stream, workers)
        consistency = Consistency(experiment, averaging.teacher) if sees_unlabelled else None
        module = TrainingModule(
            experiment,
            network,
            metadata,
            iterations=iterations,
            names=dataset.names,
            teacher=teacher,
            consistency=consistency,
        )
        folder.begin(experiment, rank=layout.rank)
        if labels and layout.rank == 0:
            folder.write_labels(dataset.pairs.uses())
        with stop, _subnormal_numbers_as_zero():
            if first < iterations and not keeper.has_ended:
                _run(trainer, module, loader, folder, resuming=resuming)
    result = _result(folder, keeper, done=max(first, trainer.global_step), iterations=iterations)
    if layout.rank == 0:
        _summarise(folder, result, layout, allowed)
    return result


def _run(
    trainer: pl.Trainer,
    module: TrainingModule,
    loader: DataLoader[Sample],
    folder: RunFolder,
    *,
    resuming: bool,
) -> None:
    curves = folder.root / CURVES
    there = set(curves.glob("*"))
    try:
        trainer.fit(
            module, loader, ckpt_path=folder.checkpoint if resuming else None, weights_only=True
        )
    except Exception as error:
        # Lightning hands out the parts of the checkpoint before anything trains
        has_begun = any(
            isinstance(one, Keeper) and one.has_begun
            for one in trainer.callbacks  # type: ignore[attr-defined]
        )
        if not has_begun and trainer.is_global_zero:
            # it opens the file of the curves even before that
            for file in set(curves.glob("*")) - there:
                file.unlink()
        if isinstance(error, HanetError) or not resuming or has_begun:
            raise
        raise unusable_checkpoint(folder.checkpoint) from error


def _training_tiles(experiment: Experiment, data: Path) -> SeededDataset:
    dataset = training_data(experiment, data)
    if not dataset.foreground_pixels.any():
        some_left_out = experiment.labels_kept < 1.0
        raise DataSetError(
            f"no label {'that was kept ' if some_left_out else ''}of the training split has a "
            "changed pixel: there is nothing to learn",
            hint="raise labels_kept, or take another labels_seed"
            if some_left_out
            else "check the labels (hanet check-data): 0 is unchanged, 255 (or 1) is changed",
        )
    return dataset


def _validation_tiles(experiment: Experiment, data: Path) -> TileDataset:
    pairs = list_pairs(data / experiment.validation_folder, experiment.validation_split)
    tiles = TileDataset(
        pairs,
        tile_px=experiment.tile_px,
        edges="pad",
        cache="memory",
        kinds=experiment.kinds_of(experiment.validation_folder),
    )
    if not tiles.foreground_pixels.any():
        raise DataSetError(
            f"no label of the split {experiment.validation_split} has a changed pixel: F1 is 0 "
            "whatever the weights, so it chooses none",
            hint="check the labels (hanet check-data), or name another validation_split",
        )
    return tiles


def _begins_from(experiment: Experiment) -> tuple[ChangeModel, Teacher | None]:
    """The network with its first weights, and who teaches it."""
    network = build_network(experiment)
    if not experiment.teacher:
        return network, None
    file = catalogue.resolve(experiment.teacher, suffixes=(".safetensors",))
    return network, Teacher(file, bands=network.bands)


def _stream(
    experiment: Experiment, dataset: SeededDataset, layout: ProcessLayout, first: int
) -> BatchStream:
    """This process's part of all batches from a step on."""
    return BatchStream(
        experiment,
        dataset.foreground_pixels,
        unlabelled_names=dataset.unlabelled_names,
        first_iteration=first,
        rank=layout.rank,
        ranks=layout.total,
    )


def _check_accelerator(accelerator: str, layout: ProcessLayout) -> None:
    """Before the data are read, what Lightning would say after it, and in its own words."""
    gpus = torch.cuda.device_count() or int(torch.backends.mps.is_available())
    if accelerator == "cpu" or (accelerator == "auto" and not gpus):
        return
    if gpus < layout.processes:
        raise SettingsError(
            f"there are {gpus} GPUs that torch can use, and {layout.processes} processes",
            hint="one process needs one GPU: lower --processes, or take --accelerator cpu"
            if gpus
            else "take --accelerator cpu, or install the torch that knows this machine's GPU",
        )


def _result(folder: RunFolder, keeper: Keeper, *, done: int, iterations: int) -> TrainingResult:
    was_validated = keeper.best_f1 >= 0
    return TrainingResult(
        iterations=done,
        finished=keeper.has_ended or done >= iterations,
        best_f1=keeper.best_f1 if was_validated else None,
        best_weights=folder.best if was_validated else None,
        minutes=keeper.minutes,
        peak_memory_mb=peak_memory_mb(),
    )


def _threads(asked: int | None, layout: ProcessLayout) -> Threads:
    """Of torch in this process. srun gives each process CPUs of its own; the processes of other
    starters share those of the machine."""
    sharing = 1 if layout.starter == "slurm" else layout.processes
    return threads_for(asked, processes=sharing, also=[Threads(torch.get_num_threads(), "torch")])


def _summarise(
    folder: RunFolder, result: TrainingResult, layout: ProcessLayout, threads: Threads
) -> None:
    summary = {
        **asdict(result),
        "best_weights": result.best_weights and str(result.best_weights.relative_to(folder.root)),
        "version": __version__,
    }
    summary |= {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "threads_source": threads.source,
        "processes": layout.total,
    }
    replace_file(folder.summary, json.dumps(summary, indent=2).encode() + b"\n")


def _trainer(
    experiment: Experiment,
    folder: RunFolder,
    callbacks: list[pl.Callback],
    iterations: int,
    layout: ProcessLayout,
    accelerator: str,
    first: int,
) -> pl.Trainer:
    return pl.Trainer(
        accelerator=accelerator,
        devices=layout.processes,
        num_nodes=layout.nodes,
        strategy="ddp" if layout.total > 1 else "auto",
        plugins=[layout.environment()],
        default_root_dir=folder.root,
        precision={"fp32": "32-true", "bf16": "bf16-mixed"}[experiment.precision],  # type: ignore[arg-type]
        max_steps=iterations,
        max_epochs=-1,
        callbacks=callbacks,
        logger=_Curves(folder.root, name=CURVES, version="", purge_step=first or None),
        use_distributed_sampler=False,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


class _Curves(TensorBoardLogger):
    """Writes where it is told to: Lightning takes ``$HOME`` and ``~`` in a folder's name for the
    user's own folder."""

    @property
    def log_dir(self) -> str:
        """The folder of the curves."""
        return str(Path(self.save_dir) / CURVES)

    @property
    def save_dir(self) -> str:
        """The run's folder, as it is named."""
        return str(self._root_dir)


def _loader(dataset: SeededDataset, batches: BatchStream, workers: int) -> DataLoader[Sample]:
    return DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Lightning's banners, tips and warnings about choices that are ours stay away; errors do
    not."""
    loggers = [
        logging.getLogger(name)
        for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric")
    ]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for module in ("pytorch_lightning", "lightning_fabric"):
                warnings.filterwarnings("ignore", module=rf"{module}.*")
            warnings.filterwarnings("ignore", message=PROTOCOL_WARNING)
            # several processes, channels last: the strides of a 1x1 kernel are ambiguous; costs a
            # copy of it
            warnings.filterwarnings(
                "ignore", message="Grad strides do not match bucket view strides"
            )
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _subnormal_numbers_as_zero() -> Iterator[None]:
    """Within it, torch takes numbers below 1e-38 for zero on this thread: the softmax of attention
    leaves many, and they are slow.

    A step of ``hanet_lite`` in float32 took 1.2 times as long without (2026-11;
    docs/decisions/0003).
    """
    before = bool(torch.tensor(1e-40) * 1.0 == 0.0)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
