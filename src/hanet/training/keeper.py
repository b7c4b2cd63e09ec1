"""What happens around the steps: averaging, validation, checkpoints, logs, and a stop on
request."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from hanet.datasets.torch_datasets import TileDataset
from hanet.errors import OutputError, TrainingError
from hanet.evaluation.metrics import Scores
from hanet.metadata import Metadata, Score
from hanet.models import ChangeModel
from hanet.training.averaging import Averaging, take_statistics_of_first_process
from hanet.training.build import name_of_data
from hanet.training.module import TrainingModule
from hanet.training.process_memory import peak_memory_mb
from hanet.training.run_folder import RunFolder
from hanet.training.signals import StopRequest
from hanet.training.stream import BatchStream
from hanet.training.validation import validate
from hanet.weights.weights_file import save_weights

PROTOCOL_WARNING = "Detected pickle protocol"
"""How torch begins to say of a sound or a hostile checkpoint that it might not be able to load it
safely."""

Watch = Callable[[dict[str, Any]], None]
"""Takes what a progress display needs: iteration, iterations, loss, f1, best_f1."""


class Keeper(Callback):
    """Validates, logs, keeps the best and the last weights, and writes checkpoints that a killed
    run continues from.

    Args:
        folder: Where to.
        tiles: The validation split.
        metadata: What travels with the weights.
        averaging: Whose network is validated.
        stream: Knows the epoch of an iteration.
        stop: Whether the run shall end after the step that is under way.
        watch: Called after every step, on the first process.
        threads: Threads of torch.
        teacher: SHA-256 of the teacher's weights; "" without one.
        minutes: Time of training after which the run ends; None for no limit.
    """

    def __init__(
        self,
        folder: RunFolder,
        tiles: TileDataset,
        metadata: Metadata,
        averaging: Averaging,
        stream: BatchStream,
        stop: StopRequest,
        watch: Watch,
        *,
        threads: int,
        teacher: str = "",
        minutes: float | None = None,
    ) -> None:
        self.folder, self.tiles, self.metadata, self.teacher = folder, tiles, metadata, teacher
        self.averaging, self.stream, self.stop = averaging, stream, stop
        self.watch, self.threads, self.limit = watch, threads, minutes
        self.in_vain, self.has_ended = 0, False
        self.best_f1, self.last_f1 = -1.0, float("nan")
        self.minutes_before = 0.0
        self._losses: list[float] = []
        self._consistency: list[dict[str, float]] = []
        self._clock_started = self._validated = time.monotonic()
        self._steps_since = 0
        self._epoch_logged, self._last_loss = 0, float("nan")
        self.has_begun = False

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Starts the clock; sets signal handlers and torch's threads again, which Lightning has
        replaced meanwhile."""
        assert isinstance(module, TrainingModule)
        self.has_begun = True
        self.stop.listen()
        torch.set_num_threads(self.threads)
        _refuse_other_data(trainer, module)
        self._clock_started = self._validated = time.monotonic()

    def on_train_batch_start(
        self, trainer: pl.Trainer, module: pl.LightningModule, *args: Any
    ) -> None:
        """Tells the module its epoch, and logs what a new one draws from."""
        assert isinstance(module, TrainingModule)
        module.epoch_number = self.stream.epoch_of(trainer.global_step)
        if module.epoch_number != self._epoch_logged:
            self._epoch_logged = module.epoch_number
            self._log_epoch(trainer, module.epoch_number)

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, *args: Any
    ) -> None:
        """After each step: tell the watcher, validate, keep, stop; all processes alike."""
        assert isinstance(module, TrainingModule)
        step, experiment = trainer.global_step, module.experiment
        # one process hears a signal, all must stop at the same step: the others would wait for it
        # without end in the next exchange of gradients
        figures, stops, is_late = _over_processes(
            trainer, module.last_figures, self.stop.made, self._is_late
        )
        if trainer.logger is not None and step % 10 == 0:
            trainer.logger.log_metrics(figures, step=step)
        self._last_loss = figures.pop("loss")
        self._losses.append(self._last_loss)
        if figures:
            self._consistency.append(figures)
        self._steps_since += 1
        ends = is_late or step >= module.iterations
        validates, saves = (
            ends or step % experiment.validate_every == 0,
            ends or stops or step % experiment.checkpoint_every == 0,
        )
        if validates or saves:  # before either: a checkpoint of such weights could not be resumed
            _refuse_infinite_weights(trainer, module)
        if validates:
            self._validate(trainer, module)
            self.has_ended = is_late or 0 < experiment.patience <= self.in_vain
        if saves or self.has_ended:
            self.save(trainer)
        if stops or self.has_ended:
            trainer.should_stop = True
        if trainer.is_global_zero:
            self.watch(self._progress(step, module))

    def save(self, trainer: pl.Trainer) -> None:
        """Writes the checkpoint beside the old one and moves it into place.

        Raises:
            OutputError: The disk does not take it; the old one stays.
        """
        path = self.folder.checkpoint
        partial = path.with_suffix(".partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            trainer.save_checkpoint(partial)
            if trainer.is_global_zero:
                partial.replace(path)
        except OSError as error:
            with suppress(OSError):
                partial.unlink()
            raise OutputError(
                f"{path} cannot be written: {error.strerror or error}",
                hint="make room on the disk, then continue with --resume",
            ) from error
        trainer.strategy.barrier()

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must know."""
        return {
            "best_f1": self.best_f1,
            "last_f1": self.last_f1,
            "minutes": self.minutes,
            "losses": self._losses,
            "consistency": self._consistency,
            "data": self.stream.data_identity(),
            "teacher": self.teacher,
            "in_vain": self.in_vain,
            "has_ended": self.has_ended,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes it back.

        Raises:
            TrainingError: The run was started on other training tiles, or with another teacher.
        """
        here = self.stream.data_identity()
        then = state.get("data", here)  # runs of hanet 0.2.0 and before do not tell
        if then != here:
            raise TrainingError(
                "the training tiles are not those that the run was started with: then "
                f"{then.get('tiles')}, {then.get('foreground')} of them with change; now "
                f"{here['tiles']} and {here['foreground']}"
                + _other_unlabelled(then.get("unlabelled"), here.get("unlabelled")),
                hint="resume with the same --data, or start a new run in another folder",
            )
        if state.get("teacher", self.teacher) != self.teacher:
            raise TrainingError(
                "the teacher weights of this run are not those that it was started with",
                hint="bring the teacher's file back, or start a new run in another folder",
            )
        self.best_f1, self.last_f1 = state["best_f1"], state["last_f1"]
        self.minutes_before, self._losses = state["minutes"], state["losses"]
        self._consistency = state.get("consistency", [])
        self.in_vain, self.has_ended = state.get("in_vain", 0), state.get("has_ended", False)

    def _validate(self, trainer: pl.Trainer, module: TrainingModule) -> None:
        network = self.averaging.network_of(module)
        take_statistics_of_first_process(trainer, network)
        seconds = max(1e-9, time.monotonic() - self._validated)
        speed = self._steps_since * module.experiment.batch / seconds
        counts = validate(
            network,
            self.tiles,
            self.metadata,
            batch=module.experiment.batch,
            learns=module.experiment.learns,
            rank=trainer.global_rank,
            ranks=trainer.world_size,
        )
        scores = counts.scores()
        self.last_f1 = scores.f1
        if trainer.is_global_zero:
            self._write(trainer, module, scores, speed)
            self._keep(network, module, scores)  # compares with the best F1 until now
        self.in_vain = 0 if scores.f1 > self.best_f1 else self.in_vain + 1
        self.best_f1 = max(self.best_f1, scores.f1)
        self._losses, self._consistency = [], []
        self._steps_since, self._validated = 0, time.monotonic()

    def _log_epoch(self, trainer: pl.Trainer, epoch: int) -> None:
        if not trainer.is_global_zero:
            return
        row = {
            "epoch": epoch,
            "first_iteration": trainer.global_step + 1,
            "draws": self.stream.sampler.draw_count(epoch),
            "pool": len(self.stream.sampler.pool(epoch)),
            "foreground_share": self.stream.sampler.foreground_share(epoch),
        }
        self.folder.append_epoch(row)
        if trainer.logger is not None:
            figures = {"epoch": epoch, "foreground_share": row["foreground_share"]}
            trainer.logger.log_metrics(figures, step=trainer.global_step)

    def _write(
        self, trainer: pl.Trainer, module: TrainingModule, scores: Scores, speed: float
    ) -> None:
        epoch = self.stream.epoch_of(trainer.global_step - 1)
        rates = [group["lr"] for group in trainer.optimizers[0].param_groups]
        row = {
            "iteration": trainer.global_step,
            "epoch": epoch,
            "loss": sum(self._losses) / len(self._losses),
            "precision": scores.precision,
            "recall": scores.recall,
            "f1": scores.f1,
            "iou": scores.iou,
            "learning_rate": max(rates),
            "foreground_share": self.stream.sampler.foreground_share(epoch),
            "pairs_per_second": speed,
            "minutes": self.minutes,
            "peak_memory_mb": peak_memory_mb(),
            **_means(self._consistency),
        }
        self.folder.append(row)
        if trainer.logger is not None:
            trainer.logger.log_metrics(
                {k: v for k, v in row.items() if k != "iteration"}, step=trainer.global_step
            )

    def _keep(self, network: ChangeModel, module: TrainingModule, scores: Scores) -> None:
        score = Score(
            dataset=name_of_data(module.experiment, [module.experiment.validation_folder]),
            split=module.experiment.validation_split,
            protocol=f"tiles-{module.experiment.tile_px}",
            precision=scores.precision,
            recall=scores.recall,
            f1=scores.f1,
            iou=scores.iou,
            source="while training, threshold 0.5",
        )
        metadata = self.metadata
        if module.experiment.learns == "change":  # else the scores of change still hold
            metadata = metadata.with_scores(score)
        save_weights(self.folder.last, network, metadata)
        if scores.f1 > self.best_f1:
            save_weights(self.folder.best, network, metadata)

    @property
    def minutes(self) -> float:
        """Time of training so far, over all parts of a resumed run."""
        return self.minutes_before + (time.monotonic() - self._clock_started) / 60

    @property
    def _is_late(self) -> bool:
        return self.limit is not None and self.minutes >= self.limit

    def _progress(self, step: int, module: TrainingModule) -> dict[str, Any]:
        recent = self._losses[-50:] or [self._last_loss]
        return {
            "iteration": step,
            "iterations": module.iterations,
            "loss": sum(recent) / len(recent),
            "f1": self.last_f1,
            "best_f1": self.best_f1,
        }


def _over_processes(
    trainer: pl.Trainer, figures: dict[str, float], stop: bool, late: bool
) -> tuple[dict[str, float], bool, bool]:
    """The mean of each figure over all processes, whether any of them was asked to stop, and
    whether the time of any is up."""
    if trainer.world_size == 1:
        return dict(figures), stop, late
    total = torch.tensor(
        [float(stop), float(late), *figures.values()],
        dtype=torch.float64,
        device=trainer.strategy.root_device,
    )
    torch.distributed.all_reduce(total)
    stops, lates, *sums = total.tolist()
    means = (value / trainer.world_size for value in sums)
    return dict(zip(figures, means, strict=True)), stops > 0, lates > 0


def _means(rows: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each figure over the rows; none where there are no rows."""
    return {name: sum(row[name] for row in rows) / len(rows) for name in (rows[0] if rows else ())}


def _other_unlabelled(then: int | None, now: int | None) -> str:
    """How many tiles without labels there are, where any are seen."""
    return "" if now is None else f"; without labels then {then}, now {now}"


def _refuse_other_data(trainer: pl.Trainer, module: TrainingModule) -> None:
    """Stops a run whose processes hold different training tiles."""
    if trainer.world_size == 1:
        return
    names: list[list[str] | None] = [None] * trainer.world_size
    torch.distributed.all_gather_object(names, module.names)
    different = [rank for rank, theirs in enumerate(names) if theirs != names[0]]
    if different:
        raise TrainingError(
            f"the processes see different training tiles: process {different[0]} "
            f"{len(names[different[0]] or [])} of them, process 0 {len(names[0] or [])}",
            hint="give all machines the same data under the same names",
        )


def _refuse_infinite_weights(trainer: pl.Trainer, module: TrainingModule) -> None:
    """Stops before weights that are not finite take the place of good ones."""
    names = [
        name
        for name, tensor in module.network.state_dict().items()
        if not bool(torch.isfinite(tensor).all())
    ]
    if trainer.strategy.reduce_boolean_decision(bool(names), all=False):
        raise TrainingError(
            f"weights are not finite after iteration {trainer.global_step}: "
            f"{', '.join(names[:3]) or 'on another process'}",
            hint=module.way_out,
        )


def resumed_from(checkpoint: Path) -> tuple[int, dict[str, Any]]:
    """The number of steps that a checkpoint has done, and the state of its :class:`Keeper`.

    Raises:
        TrainingError: The checkpoint is damaged, or holds what no checkpoint of ours does; nothing
            of it was run.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=PROTOCOL_WARNING)
            content = torch.load(checkpoint, map_location="cpu", weights_only=True)
        step, state = content["global_step"], content["callbacks"][Keeper.__qualname__]
        kept = {key: state[key] for key in ("best_f1", "last_f1", "minutes", "losses")}
        losses = kept.pop("losses")
        sound = (
            type(step) is int
            and step >= 0
            and isinstance(losses, list)
            and all(isinstance(value, int | float) for value in (*kept.values(), *losses))
            and isinstance(state.get("data", {}), dict)
        )
    # torch raises nearly everything for a damaged file, and its message advises unsafe loading
    except Exception as error:
        raise unusable_checkpoint(checkpoint) from error
    if not sound:
        raise unusable_checkpoint(checkpoint)
    return step, state


def unusable_checkpoint(checkpoint: Path) -> TrainingError:
    """What to say of a checkpoint that no run can continue from; nothing of the file is quoted."""
    return TrainingError(
        f"{checkpoint} is damaged, or hanet train did not write it; nothing of it was run",
        hint="restore it from a copy, or start a new run in another folder, for example with "
        "start_from = the weights of this run",
    )
