"""What happens around the steps: averaging, validation, checkpoints, the progress line, and a stop on request."""

from __future__ import annotations

import copy
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from hanet.datasets import TileDataset
from hanet.metadata import Metadata, Score
from hanet.metrics import Scores
from hanet.models import ChangeModel
from hanet.training.module import TrainingModule, averaging_decay, update_average
from hanet.training.run_folder import RunFolder
from hanet.training.stream import BatchStream
from hanet.training.validation import validate
from hanet.weights import save_weights

Report = Callable[[dict[str, Any]], None]
"""Takes what a progress display needs: iteration, iterations, loss, f1, best, pairs_per_second."""


class Averaging(Callback):
    """Keeps the exponential moving average of the weights, which is then what is validated and saved."""

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.average: ChangeModel | None = None

    def network_of(self, module: TrainingModule) -> ChangeModel:
        """The averaged network, or the trained one where there is no averaging."""
        return self.average if self.average is not None else module.network

    def on_fit_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Starts the average at the first weights."""
        assert isinstance(module, TrainingModule)
        if self.decay and self.average is None:
            self.average = copy.deepcopy(module.network)

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *args: Any) -> None:
        """Moves the average by one step."""
        assert isinstance(module, TrainingModule)
        if self.average is not None:
            update_average(self.average, module.network, decay=averaging_decay(self.decay, trainer.global_step - 1))

    def on_save_checkpoint(self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Puts the average into the checkpoint."""
        if self.average is not None:
            checkpoint["average"] = self.average.state_dict()

    def on_load_checkpoint(self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Takes it out again."""
        assert isinstance(module, TrainingModule)
        if "average" in checkpoint:
            self.average = copy.deepcopy(module.network)
            self.average.load_state_dict(checkpoint["average"])


class Keeper(Callback):
    """Validates, logs, keeps the best and the last weights, and writes checkpoints that a killed run goes on from.

    Args:
        folder: Where to.
        tiles: The validation split.
        metadata: What travels with the weights.
        averaging: Whose network is validated.
        stream: Knows the epoch of an iteration.
        report: Called after every step and every validation.
    """

    def __init__(
        self,
        folder: RunFolder,
        tiles: TileDataset,
        metadata: Metadata,
        averaging: Averaging,
        stream: BatchStream,
        report: Report,
    ) -> None:
        self.folder, self.tiles, self.metadata = folder, tiles, metadata
        self.averaging, self.stream, self.report = averaging, stream, report
        self.best_f1, self.last_f1 = -1.0, float("nan")
        self.minutes_before = 0.0
        self.stop_requested = False
        self._losses: list[float] = []
        self._begun = self._validated = time.monotonic()
        self._steps_since = 0

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Starts the clock."""
        self._begun = self._validated = time.monotonic()

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, *args: Any) -> None:
        """Tells the module its epoch."""
        assert isinstance(module, TrainingModule)
        module.epoch_number = self.stream.epoch_of(trainer.global_step)

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *args: Any) -> None:
        """After each step: report, validate, keep, stop."""
        assert isinstance(module, TrainingModule)
        step, experiment = trainer.global_step, module.experiment
        self._losses.append(module.last_loss)
        self._steps_since += 1
        if trainer.logger is not None and step % 10 == 0:
            trainer.logger.log_metrics({"loss": module.last_loss}, step=step)
        ends = step >= module.iterations
        if step % experiment.validate_every == 0 or ends:
            self._validate(trainer, module)
        if step % experiment.checkpoint_every == 0 or ends or self.stop_requested:
            self.save(trainer)
        if self.stop_requested:
            trainer.should_stop = True
        self.report(self._progress(step, module))

    def save(self, trainer: pl.Trainer) -> None:
        """Writes the checkpoint beside the old one and moves it into place."""
        path = self.folder.checkpoint
        partial = path.with_suffix(".partial")
        path.parent.mkdir(parents=True, exist_ok=True)
        trainer.save_checkpoint(partial)
        if trainer.is_global_zero:
            partial.replace(path)
        trainer.strategy.barrier()

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must know."""
        return {"best_f1": self.best_f1, "last_f1": self.last_f1, "minutes": self._minutes(), "losses": self._losses}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes it back."""
        self.best_f1, self.last_f1 = state["best_f1"], state["last_f1"]
        self.minutes_before, self._losses = state["minutes"], state["losses"]

    def _validate(self, trainer: pl.Trainer, module: TrainingModule) -> None:
        network = self.averaging.network_of(module)
        seconds = max(1e-9, time.monotonic() - self._validated)
        speed = self._steps_since * module.experiment.batch / seconds
        counts = validate(
            network,
            self.tiles,
            self.metadata,
            batch=module.experiment.batch,
            rank=trainer.global_rank,
            ranks=trainer.world_size,
        )
        scores = counts.scores()
        self.last_f1 = scores.f1
        if trainer.is_global_zero:
            self._write(trainer, module, scores, speed)
            self._keep(network, module, scores)
        self.best_f1 = max(self.best_f1, scores.f1)
        self._losses, self._steps_since, self._validated = [], 0, time.monotonic()

    def _write(self, trainer: pl.Trainer, module: TrainingModule, scores: Scores, speed: float) -> None:
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
            "minutes": self._minutes(),
            "peak_memory_mb": peak_memory_mb(),
        }
        self.folder.append(row)
        if trainer.logger is not None:
            trainer.logger.log_metrics({k: v for k, v in row.items() if k != "iteration"}, step=trainer.global_step)

    def _keep(self, network: ChangeModel, module: TrainingModule, scores: Scores) -> None:
        score = Score(
            dataset=self.metadata.training_data,
            split=module.experiment.validation_split,
            protocol=f"tiles-{module.experiment.tile_px}",
            precision=scores.precision,
            recall=scores.recall,
            f1=scores.f1,
            iou=scores.iou,
            source="while training, threshold 0.5",
        )
        metadata = self.metadata.with_scores(score)
        save_weights(self.folder.last, network, metadata)
        if scores.f1 > self.best_f1:
            save_weights(self.folder.best, network, metadata)

    def _minutes(self) -> float:
        return self.minutes_before + (time.monotonic() - self._begun) / 60

    def _progress(self, step: int, module: TrainingModule) -> dict[str, Any]:
        recent = self._losses[-50:] or [module.last_loss]
        return {
            "iteration": step,
            "iterations": module.iterations,
            "loss": sum(recent) / len(recent),
            "f1": self.last_f1,
            "best_f1": self.best_f1,
        }


class stop_on_signal:  # noqa: N801 - a context manager, used like a function
    """SIGTERM and SIGINT ask the keeper to save and stop after the current step; a second one ends at once."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._old: dict[int, Any] = {}

    def __enter__(self) -> None:
        def handle(number: int, frame: object) -> None:  # noqa: ARG001 - the signature of a handler
            if self._keeper.stop_requested:
                raise KeyboardInterrupt
            self._keeper.stop_requested = True

        for number in (signal.SIGTERM, signal.SIGINT):
            self._old[number] = signal.signal(number, handle)

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)


def peak_memory_mb() -> float:
    """Peak memory so far in megabytes: of the GPU where there is one (Open-CD's column Mem), else resident memory of the process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e6
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes on macOS, in KiB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def resumed_iteration(checkpoint: Path) -> int:
    """The number of steps that a checkpoint has done."""
    content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    return int(content["global_step"])
