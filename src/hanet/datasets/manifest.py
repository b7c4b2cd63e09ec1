"""The manifest of a prepared data set: what it holds, tile by tile, so that others can trust and
compare it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from hanet.datasets.layout import Pair
from hanet.documents import DocumentError, read_json, shown
from hanet.errors import DataSetError
from hanet.files import file_hash, replace_file
from hanet.types import Json

MANIFEST_NAME = "manifest.json"
"""File name of the manifest in the root of a prepared data set."""

MANIFEST_FORMAT = 1
"""Raised when a reader of an older version could misunderstand the file."""


@dataclass(frozen=True, slots=True)
class TileRecord:
    """One tile of a prepared data set.

    Args:
        split: Folder of the tile.
        name: Its file name without suffix.
        before: SHA-256 of the file of the first date, hexadecimal.
        after: SHA-256 of the file of the second date.
        label: SHA-256 of the label file.
        scene: The image it was cut from, as the release names it.
        row: First row of the tile in that image, in pixels.
        column: First column, in pixels.
        foreground_pixels: Changed pixels.
    """

    split: str
    name: str
    before: str
    after: str
    label: str
    scene: str
    row: int
    column: int
    foreground_pixels: int

    @classmethod
    def from_json(cls, values: Json) -> TileRecord:
        """The record that an entry of ``tiles`` describes.

        Raises:
            TypeError: A key is missing or unknown, or a value is not of its kind.
            ValueError: A number is negative, or a name would lead out of the folder.
        """
        record = cls(**values)
        for entry in fields(cls):
            value = getattr(record, entry.name)
            if type(value) is not (int if entry.type == "int" else str):
                raise TypeError(f"{entry.name} is {shown(value)}")
            if isinstance(value, int) and value < 0:
                raise ValueError(f"{entry.name} is {value}")
        for name in (record.split, record.name):
            if name in ("", ".", "..") or "/" in name or "\\" in name or "\0" in name:
                raise ValueError(f"{shown(name)} is not a name of a tile or split")
        return record


def write_manifest(root: Path, *, header: Json, tiles: Sequence[TileRecord]) -> Path:
    """Writes ``ROOT/manifest.json``; it appears only when it is whole. One line a tile, so that two
    manifests can be compared.

    Args:
        root: Folder of the prepared data set.
        header: Everything else that the file holds: data set, split rule, seeds, totals.
        tiles: The tiles, in the order that they are to stand.

    Returns:
        The file.

    Raises:
        OutputError: It cannot be written.
    """
    path = root / MANIFEST_NAME
    head = json.dumps({"format": MANIFEST_FORMAT, **header}, indent=1, ensure_ascii=False)
    lines = ",\n".join(f"  {json.dumps(asdict(tile), ensure_ascii=False)}" for tile in tiles)
    replace_file(path, f'{head[:-2]},\n "tiles": [\n{lines}\n ]\n}}\n'.encode())
    return path


def read_manifest(root: str | Path) -> tuple[Json, list[TileRecord]] | None:
    """The header and the tiles of ``ROOT/manifest.json``; None where there is no such file.

    Raises:
        DataSetError: The file is there and does not hold a manifest of this format.
    """
    path = Path(root) / MANIFEST_NAME
    try:
        values = read_json(path)
    except FileNotFoundError:
        return None
    except (OSError, DocumentError) as error:
        raise DataSetError(f"{path} cannot be read: {error}", hint=_REMAKE) from error
    if not isinstance(values, dict) or values.get("format") != MANIFEST_FORMAT:
        raise DataSetError(f"{path} is not a manifest of format {MANIFEST_FORMAT}", hint=_REMAKE)
    try:
        tiles = [TileRecord.from_json(tile) for tile in values.pop("tiles")]
    except (KeyError, TypeError, ValueError) as error:
        reason = shown(str(error))[1:-1]
        raise DataSetError(
            f"{path} lacks a key or holds a wrong value: {reason}", hint=_REMAKE
        ) from error
    return values, tiles


def known_foreground(pairs: Sequence[Pair]) -> list[int | None]:
    """Changed pixels of each pair as the manifest above it says; None where it does not describe
    this very label file."""
    manifests: dict[Path, dict[tuple[str, str], TileRecord]] = {}
    counts: list[int | None] = []
    for pair in pairs:
        if pair.label is None:
            counts.append(None)
            continue
        split = pair.label.parent.parent
        if split.parent not in manifests:
            found = read_manifest(split.parent)
            manifests[split.parent] = (
                {(tile.split, tile.name): tile for tile in found[1]} if found else {}
            )
        tile = manifests[split.parent].get((split.name, pair.name))
        same = tile is not None and tile.label == file_hash(pair.label)
        counts.append(tile.foreground_pixels if tile is not None and same else None)
    return counts


_REMAKE = "remove the file: changed pixels are then counted from the labels"
