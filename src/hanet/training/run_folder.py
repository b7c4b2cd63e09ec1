"""The folder of a training run: what lies where, and the writing of it.

RUN/experiment.json          the resolved settings
RUN/log.csv                  one row a validation
RUN/epochs.csv               one row an epoch: what PFBS lets it draw
RUN/labels.csv               where not all labels are used: which are
RUN/tensorboard/             the same, and the loss of every tenth step
RUN/checkpoints/last.ckpt    everything that --resume needs
RUN/weights/best.safetensors best validation F1
RUN/weights/last.safetensors
RUN/summary.json             written at the end
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from hanet.destination import check_folder
from hanet.documents import DocumentError, read_json
from hanet.errors import OutputError
from hanet.files import check_name, replace_file
from hanet.training.experiment import Experiment, experiment_of
from hanet.types import Json

LOG_COLUMNS = (
    "iteration", "epoch", "loss", "precision", "recall", "f1", "iou",
    "learning_rate", "foreground_share", "pairs_per_second", "minutes", "peak_memory_mb",
)  # fmt: skip
"""Columns of log.csv; loss is the mean since the last row, precision to iou are of the validation
split."""

CONSISTENCY_COLUMNS = ("consistency_loss", "confident_share")
"""More columns of log.csv where pairs without labels are seen: their loss before its weight, and
the share of their pixels with a pseudo label, both means since the last row."""

EPOCH_COLUMNS = ("epoch", "first_iteration", "draws", "pool", "foreground_share")
"""Columns of epochs.csv: tiles drawn, different tiles to draw from at its start, share of
foreground tiles among the draws."""


START_ANEW = "the run cannot continue without it: start a new one in another folder"
"""Hint where the settings of a run are lost."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Paths of a run."""

    root: Path

    @property
    def checkpoint(self) -> Path:
        """What ``--resume`` continues from."""
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
    def epochs(self) -> Path:
        """The table of epochs."""
        return self.root / "epochs.csv"

    @property
    def labels(self) -> Path:
        """The table of pairs, and whether the label of each is used."""
        return self.root / "labels.csv"

    @property
    def settings(self) -> Path:
        """The resolved experiment."""
        return self.root / "experiment.json"

    @property
    def summary(self) -> Path:
        """How the run ended."""
        return self.root / "summary.json"

    def check(self, experiment: Experiment, *, resume: bool, rank: int = 0) -> None:
        """Sees that the folder is free for a new run, or holds a run of the same experiment to go
        on with; writes nothing.

        Args:
            experiment: What shall run.
            resume: Continue the run that is there.
            rank: Of this process; all but the first leave checks and writing to it.

        Raises:
            OutputError: A new run would overwrite one, or the run to resume is missing or of other
                settings.
            SettingsError: The folder's name is too long, not UTF-8, or holds control characters.
        """
        check_name(self.root, "--out")
        if rank:
            return
        check_folder(self.root, "--out")
        exists = self.settings.exists()
        if exists and not resume:
            raise OutputError(
                f"{self.root} already holds a training run",
                hint="continue with --resume, or choose another --out",
            )
        if resume and not exists:
            raise OutputError(
                f"{self.root} holds no training run to resume", hint="start it without --resume"
            )
        if exists:
            theirs = experiment_of(self._stored(), source=str(self.settings))
            changed = [
                key
                for key, value in experiment.model_dump().items()
                if value != getattr(theirs, key)
            ]
            if changed:
                raise OutputError(
                    f"the run in {self.root} was started with other settings: {', '.join(changed)}",
                    hint="resume with the same experiment, or start a new run in another folder",
                )

    def begin(self, experiment: Experiment, *, rank: int = 0) -> None:
        """Records what runs, or clears what a killed run left half-written.

        Called last before the first step, so that a run which cannot start leaves no folder for the
        next one to stumble on.

        Raises:
            OutputError: The folder cannot be written.
        """
        if rank:
            return
        if not self.settings.exists():
            text = json.dumps(experiment.model_dump(exclude_none=True), indent=2)
            replace_file(self.settings, text.encode() + b"\n")
        for folder in (self.root, self.checkpoint.parent, self.best.parent):
            for partial in folder.glob("*.partial"):
                partial.unlink()

    def _stored(self) -> Json:
        try:
            values = read_json(self.settings)
        except (OSError, DocumentError) as error:
            raise OutputError(
                f"{self.settings} cannot be read: {error}", hint=START_ANEW
            ) from error
        if not isinstance(values, dict):
            raise OutputError(f"{self.settings} does not hold an experiment", hint=START_ANEW)
        return values

    def append(self, row: Json) -> None:
        """Adds a row to the log; rows of iterations that a resumed run repeats are dropped
        first."""
        more = tuple(column for column in CONSISTENCY_COLUMNS if column in row)
        _append(self.log, LOG_COLUMNS + more, row)

    def append_epoch(self, row: Json) -> None:
        """Adds a row to the table of epochs, in the same way."""
        old = next((old for old in _rows(self.epochs) if int(old["epoch"]) == row["epoch"]), None)
        if old is not None:  # resumed within this epoch
            row = {**row, "first_iteration": old["first_iteration"]}
        _append(self.epochs, EPOCH_COLUMNS, row)

    def write_labels(self, uses: Mapping[str, str]) -> None:
        """Records what becomes of the label of each pair, in columns ``pair`` and ``label``.

        Args:
            uses: Name of a pair to ``used``, ``left out`` or ``none``.
        """
        text = StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows([("pair", "label"), *uses.items()])
        replace_file(self.labels, text.getvalue().encode(errors="backslashreplace"))

    def rows(self) -> list[dict[str, str]]:
        """The log so far, as text."""
        return _rows(self.log)


def _append(path: Path, columns: tuple[str, ...], row: Json) -> None:
    key = columns[0]
    rows = [old for old in _rows(path) if int(old[key]) < int(row[key])]
    lines = [
        columns,
        *([old[c] for c in columns] for old in rows),
        [_cell(row[c]) for c in columns],
    ]
    replace_file(
        path, "".join(",".join(str(cell) for cell in line) + "\n" for line in lines).encode()
    )


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _cell(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
