"""Reviewed ground in the working folder: tiles of 256 pixels, in three sets.

``ground/{learn,watch,holdout}/{A,B,label}/NAME.png`` are what :mod:`hanet.datasets` reads: 8-bit
RGB as the detector reads it, labels of 0, 255 and 128 (nobody knows). ``ground/unlabelled/{A,B}``,
which may be missing, are tiles of the same images that nobody reviewed; ``ground/tiles.json`` says
of each tile where it comes from. Where the learn blocks are too few to spare one that watches,
``watch`` holds the tiles of ``learn`` again. The folder appears when it is whole.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hanet.adaptation.blocks import SETS, KnownTile, SetName, blocks_of, split_of
from hanet.datasets.layout import AFTER, BEFORE, LABEL
from hanet.documents import read_json
from hanet.errors import DataSetError, SettingsError
from hanet.files import make_folder, writing
from hanet.imagery.images import CHANGED_GREY, IGNORED_GREY, write_png
from hanet.types import ByteArray, Json

MOST_UNLABELLED = 100
"""Tiles of ground that nobody reviewed."""

LEAST_KNOWN = 64
"""Known pixels from which on a tile is kept: fewer are the corner of a neighbour's outline."""

REVIEW_MORE = "review more of it: `hanet review OUT`; `hanet suggest OUT` says where"


@dataclass(frozen=True, slots=True)
class PlacedTile:
    """A tile with its block and its set."""

    tile: KnownTile
    block: str
    set: SetName


@dataclass(frozen=True, slots=True)
class Ground:
    """Reviewed ground, gathered and split.

    Args:
        folder: That holds the sets.
        tiles: All tiles of which something is known.
        unlabelled: Number of the others.
    """

    folder: Path
    tiles: tuple[PlacedTile, ...]
    unlabelled: int

    def of(self, *names: SetName) -> list[PlacedTile]:
        """The tiles of these sets; of an empty watch set those of learn."""
        wanted = set(names)
        if "watch" in wanted and not any(placed.set == "watch" for placed in self.tiles):
            wanted = (wanted - {"watch"}) | {"learn"}
        return [placed for placed in self.tiles if placed.set in wanted]

    def files(self, placed: PlacedTile) -> tuple[Path, Path, Path]:
        """Before, after and label of a tile."""
        before, after, label = (
            self.folder / placed.set / kind / f"{placed.tile.name}.png"
            for kind in (BEFORE, AFTER, LABEL)
        )
        return before, after, label

    def to_json(self) -> Json:
        """Tiles, blocks and pixels of each set, for the result file."""
        return {
            **{name: self._facts(name) for name in SETS},
            "unlabelled": {"tiles": self.unlabelled},
        }

    def _facts(self, name: SetName) -> Json:
        tiles = [placed for placed in self.tiles if placed.set == name]
        return {
            "tiles": len(tiles),
            "blocks": len({placed.block for placed in tiles}),
            "known_px": sum(placed.tile.known for placed in tiles),
            "changed_px": sum(placed.tile.changed for placed in tiles),
        }


class Gatherer:
    """Takes tiles as they are read; :meth:`finish` splits them.

    Args:
        folder: Where ``ground`` is to stand; what an interrupted gathering left is removed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._building = folder.with_name(f"{folder.name}.partial")
        with writing(self._building):
            shutil.rmtree(self._building, ignore_errors=True)
        self._tiles: list[KnownTile] = []
        self._names: set[str] = set()
        self._unlabelled = 0

    @property
    def tiles(self) -> tuple[KnownTile, ...]:
        """Tiles so far."""
        return tuple(self._tiles)

    @property
    def has_room(self) -> bool:
        """Whether more tiles that nobody reviewed are taken."""
        return self._unlabelled < MOST_UNLABELLED

    def add(
        self,
        place: str,
        row: int,
        column: int,
        *,
        before: ByteArray,
        after: ByteArray,
        label: ByteArray,
        bounds: tuple[float, float, float, float] | None = None,
    ) -> bool:
        """Takes a tile; False where too little of it is known.

        Args:
            place: See :class:`~hanet.adaptation.blocks.KnownTile`; so are ``row``, ``column`` and
                ``bounds``.
            row: See place.
            column: See place.
            before: (3, 256, 256).
            after: (3, 256, 256).
            label: (256, 256), values 0, 255 and 128.
            bounds: See place.

        Raises:
            OutputError: The disk does not take it.
        """
        known = int((label != IGNORED_GREY).sum())
        if known < LEAST_KNOWN:
            return False
        name = self._free_name(place, row, column)
        for kind, pixels in ((BEFORE, before), (AFTER, after), (LABEL, label)):
            self._write(self._building / "all" / kind / f"{name}.png", pixels)
        changed = int((label == CHANGED_GREY).sum())
        self._tiles.append(KnownTile(name, place, row, column, known, changed, bounds))
        return True

    def add_unlabelled(
        self, place: str, row: int, column: int, *, before: ByteArray, after: ByteArray
    ) -> None:
        """Takes a tile that nobody reviewed; nothing is done where there are enough.

        Raises:
            OutputError: The disk does not take it.
        """
        if not self.has_room:
            return
        name = self._free_name(place, row, column)
        for kind, pixels in ((BEFORE, before), (AFTER, after)):
            self._write(self._building / "unlabelled" / kind / f"{name}.png", pixels)
        self._unlabelled += 1

    def finish(self, *, hold_out: float, seed: int) -> Ground:
        """Splits the tiles by place, and gives the folder its name.

        Raises:
            SettingsError: There is no reviewed ground, only one class in it, or too little for a
                hold-out.
            OutputError: The disk does not take it.
        """
        self._check_classes(self._tiles, _WHOLE)
        blocks = blocks_of(self._tiles)
        sets = split_of(self._tiles, blocks, hold_out=hold_out, seed=seed)
        placed = tuple(PlacedTile(tile, blocks[tile.name], sets[tile.name]) for tile in self._tiles)
        for name in ("learn", "holdout"):
            part = [one.tile for one in placed if one.set == name]
            if not part:
                raise SettingsError(
                    f"no tile is left for {_SAID[name]}: the reviewed ground is "
                    f"{len(set(blocks.values()))} block",
                    hint=REVIEW_MORE,
                )
            self._check_classes(part, _SAID[name])
        for one in placed:
            for kind in (BEFORE, AFTER, LABEL):
                file = f"{one.tile.name}.png"
                target = self._building / one.set / kind / file
                make_folder(target.parent)
                with writing(target):
                    (self._building / "all" / kind / file).rename(target)
        with writing(self._building):
            shutil.rmtree(self._building / "all")
            if not any(one.set == "watch" for one in placed):
                shutil.copytree(self._building / "learn", self._building / "watch")
        rows = [_row(one) for one in placed]
        text = json.dumps({"tiles": rows, "unlabelled": self._unlabelled}, indent=1)
        with writing(self._folder):
            (self._building / "tiles.json").write_text(text, encoding="utf-8")
            shutil.rmtree(self._folder, ignore_errors=True)
            self._building.rename(self._folder)
        return Ground(self._folder, placed, self._unlabelled)

    def discard(self) -> None:
        """Removes what was taken."""
        shutil.rmtree(self._building, ignore_errors=True)

    def _check_classes(self, tiles: Iterable[KnownTile], what: str) -> None:
        known = changed = 0
        for tile in tiles:
            known, changed = known + tile.known, changed + tile.changed
        if not known:
            where = "" if what == _WHOLE else f" in {what}"
            raise SettingsError(f"there is no reviewed ground{where}", hint=REVIEW_MORE)
        if changed in (0, known):
            lacking = "changed" if not changed else "unchanged"
            raise SettingsError(
                f"{what} holds no {lacking} pixel, and weights learn from both",
                hint="accept what changed"
                if not changed
                else "reject false alarms, confirm blank tiles, or accept tiles as complete",
            )

    def _free_name(self, place: str, row: int, column: int) -> str:
        """A name that files can have, and no other tile has."""
        plain = re.sub(r"[^A-Za-z0-9.-]+", "-", place)[-80:].strip("-.") or "place"
        number, name = 1, f"{plain}_{row}_{column}"
        while name in self._names:
            number += 1
            name = f"{plain}-{number}_{row}_{column}"
        self._names.add(name)
        return name

    def _write(self, path: Path, pixels: ByteArray) -> None:
        make_folder(path.parent)
        write_png(path, pixels)


_WHOLE = "the reviewed ground"
_SAID = {"learn": "the part to learn from", "holdout": "the hold-out"}


def read_ground(folder: Path) -> Ground:
    """What :meth:`Gatherer.finish` wrote.

    Raises:
        DataSetError: ``tiles.json`` is missing or damaged.
    """
    path = folder / "tiles.json"
    try:
        values: Any = read_json(path)
        tiles = tuple(_placed(row) for row in values["tiles"])
        return Ground(folder, tiles, int(values["unlabelled"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataSetError(
            f"{path} is missing or damaged", hint="remove the working folder and begin anew"
        ) from error


def as_rgb(image: np.ndarray[Any, Any]) -> ByteArray:  # (C, h, w) in 0-255 -> (3, h, w)
    """Three bands of 8 bits, as the detector reads them; a single one three times."""
    shown = image[:3] if len(image) >= 3 else np.repeat(image[:1], 3, axis=0)
    pixels: ByteArray = np.rint(np.clip(shown, 0.0, 255.0)).astype(np.uint8)
    return pixels


def _row(placed: PlacedTile) -> Json:
    return {**asdict(placed.tile), "block": placed.block, "set": placed.set}


def _placed(row: Json) -> PlacedTile:
    values = dict(row)
    block, name = str(values.pop("block")), values.pop("set")
    if name not in SETS:
        raise ValueError(name)
    bounds = values.pop("bounds")
    return PlacedTile(KnownTile(**values, bounds=tuple(bounds) if bounds else None), block, name)
