"""Result folders with what a person decided in them, read to be delivered: one run, or the pairs of
``hanet detect --pairs``."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hanet.command_line import typed
from hanet.detection.pair_list import TABLE
from hanet.errors import OutputError, SettingsError
from hanet.files import check_name
from hanet.review.items import SOURCES, Item, Status
from hanet.review.journal import journal_path, read_journal
from hanet.review.review import read_review
from hanet.review.reviewed_run import read_run
from hanet.review.state import ReviewState
from hanet.types import Json, Progress


@dataclass(frozen=True, slots=True)
class ReviewedRun:
    """A reviewed result folder, read.

    Args:
        name: Of the pair; ``""`` where there is only one.
        out: The folder.
        manifest: Its ``run.json``.
        state: What its journal says.
        items: Everything but tiles, untouched footprints and places too.
    """

    name: str
    out: Path
    manifest: Json
    state: ReviewState
    items: tuple[Item, ...]

    def chosen(self, statuses: Sequence[Status]) -> list[Item]:
        """Those that have one of these statuses, by source and id; places under the
        threshold that nobody has looked at are no changes, whatever the statuses."""
        chosen = [
            item
            for item in self.items
            if item.status in statuses and not (item.source == "missed" and not item.is_reviewed)
        ]
        return sorted(chosen, key=lambda item: (SOURCES.index(item.source), len(item.id), item.id))

    def count(self, status: Status) -> int:
        """Footprints and drawn items of a status."""
        return sum(1 for item in self.items if item.status == status and item.source != "missed")


def read_runs(out: Path, progress: Progress | None = None) -> tuple[list[ReviewedRun], list[str]]:
    """The reviewed runs of a folder, and remarks about the others.

    Raises:
        OutputError: There is none, or one is damaged.
    """
    if (out / "run.json").exists() or not (out / TABLE).exists():
        return [_read("", out)], []
    names, notes = _pair_names(out)
    runs = []
    for number, name in enumerate(names):
        if progress is not None:
            progress("reading reviews", number / len(names))
        if journal_path(out / name).exists():
            runs.append(_read(name, out / name))
        else:
            notes.append(f"the pair {name} is left out: it has not been reviewed")
    if not runs:
        raise OutputError(
            f"no pair in {out} has been reviewed yet",
            hint=f"begin with `hanet review {typed(out / names[0])}`" if names else None,
        )
    return runs, notes


def run_folders(out: Path) -> dict[str, Path]:
    """The run folders of a result by the name of their pair; ``""`` where there is only one.

    Raises:
        OutputError: The table of pairs cannot be read.
    """
    if (out / "run.json").exists() or not (out / TABLE).exists():
        return {"": out}
    return {name: out / name for name in _pair_names(out)[0]}


def reviewed_folders(out: Path) -> dict[str, Path]:
    """Those of :func:`run_folders` that somebody has reviewed."""
    return {
        name: folder for name, folder in run_folders(out).items() if journal_path(folder).exists()
    }


def _read(name: str, out: Path) -> ReviewedRun:
    manifest, state = read_run(out), read_journal(out)
    items = read_review(out, state)
    listed = tuple(item for item in items.values() if not item.is_tile)
    return ReviewedRun(name, out, manifest, state, listed)


def _pair_names(out: Path) -> tuple[list[str], list[str]]:
    """Names of the pairs that were detected, and remarks about the others."""
    path = out / TABLE
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [(row["name"], row["status"]) for row in csv.DictReader(file)]
    except (OSError, UnicodeDecodeError, csv.Error, KeyError) as error:
        raise OutputError(
            f"{path} cannot be read", hint="run the same hanet detect --pairs with --resume"
        ) from error
    # a name that a spreadsheet would take for a formula has an apostrophe before it
    listed = [((name or "").removeprefix("'"), status) for name, status in rows]
    listed = [(name, status) for name, status in listed if _is_ours(name)]
    done = [name for name, status in listed if status == "done"]
    failed = [name for name, status in listed if status != "done"]
    return done, [f"the pair {name} is left out: its detection failed" for name in failed]


def _is_ours(name: str) -> bool:
    """Whether a pair can have been given a name: whoever changed the table does not lead out of the
    folder, nor to names that no file system takes."""
    if not name or Path(name).name != name or name == "..":
        return False
    try:
        check_name(name, TABLE)
    except SettingsError:
        return False
    return True
