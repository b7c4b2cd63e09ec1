"""What was delivered and when, kept beside the journal: a layer that comes back edited says what is
in it, and this says what is missing from it and what has changed since."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hanet.documents import DocumentError, read_json
from hanet.files import replace_file
from hanet.review.items import Item
from hanet.review.journal import FOLDER
from hanet.review.state import ReviewState
from hanet.types import Json

NAME = "delivered.json"
"""The file, in the folder of the review."""

FORMAT = 1
"""Of the file; another one says nothing."""

KEPT = 20
"""Deliveries that are remembered."""


@dataclass(frozen=True, slots=True)
class DeliveredLayer:
    """One delivery.

    Args:
        last: Number of the journal's last record then.
        ids: Of the items in the layer.
    """

    last: int
    ids: frozenset[str]

    def base(self, state: ReviewState) -> ReviewState:
        """What the journal said then."""
        then = ReviewState(state.records[0])
        for record in state.records[1 : self.last]:
            then.apply(record)
        return then


def remember(
    out: Path, state: ReviewState, items: Sequence[Item], files: Iterable[str] = ()
) -> None:
    """Adds a delivery to those of a reviewed folder.

    Args:
        out: The folder.
        state: What its journal said.
        items: What was delivered of it.
        files: SHA-256 of the files that were written.

    Raises:
        OutputError: The disk does not take it.
    """
    entry: Json = {"last": state.last, "ids": sorted(item.id for item in items)}
    others, written = [], set(files)
    for other in _read(out / FOLDER / NAME):
        if all(other[key] == value for key, value in entry.items()):
            written |= _hashes(other)  # the same again, in another format or place
        else:
            others.append(other)
    entry["files"] = sorted(written)
    text = json.dumps({"format": FORMAT, "deliveries": [*others, entry][-KEPT:]})
    replace_file(out / FOLDER / NAME, text.encode())


def delivery_of(out: Path, state: ReviewState, ids: Iterable[str]) -> DeliveredLayer | None:
    """The delivery that a layer with these ids comes from: the smallest that held all of them, of
    several the latest; without ids the latest of all; None where none did."""
    wanted = frozenset(ids)
    layers = [
        DeliveredLayer(entry["last"], frozenset(entry["ids"]))
        for entry in _read(out / FOLDER / NAME)
        if entry["last"] <= state.last
    ]
    fitting = [layer for layer in layers if wanted <= layer.ids]
    if not wanted:
        return fitting[-1] if fitting else None
    return min(fitting, key=lambda layer: (len(layer.ids), -layer.last), default=None)


def was_delivered(out: Path) -> bool:
    """Whether a delivery of a folder is remembered."""
    return bool(_read(out / FOLDER / NAME))


def delivered_files(out: Path) -> frozenset[str]:
    """SHA-256 of the files of all deliveries that a reviewed folder remembers."""
    return frozenset().union(*map(_hashes, _read(out / FOLDER / NAME)))


def _hashes(entry: Json) -> set[str]:
    files = entry.get("files")
    return {name for name in files if isinstance(name, str)} if isinstance(files, list) else set()


def _read(path: Path) -> list[Json]:
    """The entries that can be used; a file that is missing or damaged has none."""
    try:
        values = read_json(path)
    except (OSError, DocumentError):
        return []
    entries = values.get("deliveries") if isinstance(values, dict) else None
    if not isinstance(entries, list) or values.get("format") != FORMAT:
        return []
    return [
        entry
        for entry in entries
        if isinstance(entry, dict)
        and type(entry.get("last")) is int
        and entry["last"] > 0
        and isinstance(entry.get("ids"), list)
        and all(isinstance(name, str) for name in entry["ids"])
    ]
