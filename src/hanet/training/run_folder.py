"""The folder of a training run: what lies where, and the writing of it.

RUN/experiment.json          the resolved settings
RUN/log.csv                  one row a validation
RUN/tensorboard/             the same, and the loss of every tenth step
RUN/checkpoints/last.ckpt    everything that --resume needs
RUN/weights/best.safetensors best validation F1
RUN/weights/last.safetensors
RUN/summary.json             written at the end
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

from hanet.errors import OutputError
from hanet.experiment import Experiment, experiment_of
from hanet.types import Json
from hanet.weights import replace_file

LOG_COLUMNS = (
    "iteration", "epoch", "loss", "precision", "recall", "f1", "iou",
    "learning_rate", "foreground_share", "pairs_per_second", "minutes", "peak_memory_mb",
)  # fmt: skip
"""Columns of log.csv; loss is the mean since the last row, precision to iou are of the validation split."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Paths of a run."""

    root: Path

    @property
    def checkpoint(self) -> Path:
        """What ``--resume`` goes on from."""
        return self.root / "checkpoints" / "last.ckpt"

    @property
    def best(self) -> Path:
        """Weights of the best validation F1 so far."""
        return self.root / "weights" / "best.safetensors"

    @property
    def last(self) -> Path:
        """Weights at the last validation."""
        return self.root / "weights" / "last.safetensors"

    @property
    def log(self) -> Path:
        """The table of validations."""
        return self.root / "log.csv"

    @property
    def settings(self) -> Path:
        """The resolved experiment."""
        return self.root / "experiment.json"

    @property
    def summary(self) -> Path:
        """How the run ended."""
        return self.root / "summary.json"

    def start(self, experiment: Experiment, *, resume: bool) -> None:
        """Makes the folder, or checks that it holds a run of the same experiment.

        Raises:
            OutputError: A new run would overwrite one, or the run to resume is missing or of other settings.
        """
        exists = self.settings.exists()
        if exists and not resume:
            raise OutputError(
                f"{self.root} already holds a training run", hint="go on with --resume, or choose another --out"
            )
        if resume and not exists:
            raise OutputError(f"{self.root} holds no training run to resume", hint="start it without --resume")
        if exists:
            theirs = experiment_of(json.loads(self.settings.read_text()), source=str(self.settings))
            changed = [key for key, value in experiment.model_dump().items() if value != getattr(theirs, key)]
            if changed:
                raise OutputError(
                    f"the run in {self.root} was started with other settings: {', '.join(changed)}",
                    hint="resume with the same experiment, or start a new run in another folder",
                )
            return
        replace_file(self.settings, json.dumps(experiment.model_dump(exclude_none=True), indent=2).encode() + b"\n")

    def append(self, row: Json) -> None:
        """Adds a row to the log; rows of iterations that a resumed run repeats are dropped first."""
        rows = [old for old in self.rows() if int(old["iteration"]) < int(row["iteration"])]
        lines = [LOG_COLUMNS, *([old[c] for c in LOG_COLUMNS] for old in rows), [_cell(row[c]) for c in LOG_COLUMNS]]
        text = "".join(",".join(str(cell) for cell in line) + "\n" for line in lines)
        replace_file(self.log, text.encode())

    def rows(self) -> list[dict[str, str]]:
        """The log so far, as text."""
        if not self.log.exists():
            return []
        with self.log.open(newline="") as file:
            return list(csv.DictReader(file))


def _cell(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
