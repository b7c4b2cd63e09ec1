"""Where reviewed ground comes from: results that were reviewed, and folders of labelled tiles.

What was drawn over a pair in a map program is in :mod:`hanet.adaptation.polygons`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from hanet.adaptation.contradictions import Place
from hanet.adaptation.ground import Gatherer, as_rgb
from hanet.command_line import typed
from hanet.datasets.layout import (
    AFTER,
    BEFORE,
    LABEL,
    Pair,
    list_pairs,
    list_splits,
    tile_windows,
)
from hanet.errors import DataSetError, RasterError, SettingsError
from hanet.files import file_hash, is_folder
from hanet.imagery.grid import Grid, bounds_in
from hanet.imagery.images import IGNORED_GREY, read_change, read_image
from hanet.imagery.pair import RasterPair
from hanet.imagery.reflection import cut
from hanet.metadata import Metadata
from hanet.provenance import hash_of_files
from hanet.review.inputs import DateName, MissingImageError, part_of
from hanet.review.journal import journal_path, read_journal
from hanet.review.label_tiles import TILE_PX
from hanet.review.labels import Painter
from hanet.review.review import read_review
from hanet.review.reviewed_run import read_run
from hanet.review.reviewed_runs import run_folders
from hanet.review.run_images import find_images, opened_images
from hanet.types import ByteArray, Json, Progress, Window

FARTHEST_OFF = 1.25
"""A result whose pixels differ by more from the weights' was made at another resolution on purpose:
detection itself resamples beyond a quarter."""

UNLABELLED_SHARE = 0.5
"""A tile that nobody reviewed is taken if as much of it is valid."""

NAMED_TILE = re.compile(r"(.+)_(\d+)_(\d+)")
"""Names of tiles, as :func:`hanet.datasets.layout.tile_name` makes them."""

Warn = Callable[[str], None]
"""Told what will hurt, in words."""


class Source(Protocol):
    """Where reviewed ground comes from."""

    @property
    def said(self) -> str:
        """What it is, for the card."""

    @property
    def name(self) -> str:
        """What its place is called unless somebody says."""

    def identity(self) -> Json:
        """What decides what it gives, for ``--resume``."""

    def gather(
        self, gatherer: Gatherer, metadata: Metadata, *, warn: Warn, progress: Progress | None
    ) -> None:
        """Puts its tiles into the working folder.

        Raises:
            HanetError: It cannot be read, or does not fit the weights.
        """


@dataclass(frozen=True, slots=True)
class ReviewedResult:
    """One reviewed result folder.

    Args:
        out: The folder.
        name: What it is called.
    """

    out: Path
    name: str

    @property
    def said(self) -> str:
        """See :class:`Source`."""
        return f"the review of {self.name}"

    def identity(self) -> Json:
        """See :class:`Source`."""
        path = journal_path(self.out)
        return {"review": self.name, "journal": file_hash(path) if path.exists() else None}

    def gather(
        self, gatherer: Gatherer, metadata: Metadata, *, warn: Warn, progress: Progress | None
    ) -> None:
        """See :class:`Source`."""
        manifest = read_run(self.out)
        state = read_journal(self.out)
        grid = state.grid
        check_resolution(grid, metadata, self.name)
        painter = Painter(read_review(self.out, state).values())
        if not painter.is_useful:
            return
        nowhere: dict[DateName, str | None] = {"before": None, "after": None}
        try:
            inputs, rules = find_images(self.out, manifest, grid, given=nowhere, warn=warn)
        except MissingImageError as error:  # several results: no option says where each has its own
            hint = f"put it into {typed(self.out)}, or beside that folder"
            raise RasterError(error.message, hint=hint) from None
        with opened_images(inputs, rules, grid) as pair:
            gather_pair(gatherer, pair, self.name, label=painter.label, progress=progress)

    def place(self) -> Place:
        """Where it lies and what was decided there, for comparison with other reviews."""
        manifest, state = read_run(self.out), read_journal(self.out)
        found = part_of(manifest, "footprints")
        dates = tuple(found.get(f"{date}_date") for date in ("before", "after"))
        items = tuple(read_review(self.out, state).values())
        return Place(self.name, state.grid, items, dates)


def reviewed_results(outs: Sequence[Path]) -> list[ReviewedResult]:
    """The reviewed results in folders of ``hanet detect``, of its ``--pairs`` too.

    Raises:
        OutputError: A folder holds no finished run.
        SettingsError: None of a folder's results has been reviewed.
    """
    found: list[ReviewedResult] = []
    for out in outs:
        folders = run_folders(out)
        if "" in folders:
            read_run(out)  # says what is wrong with a folder that holds no finished run
        reviewed = {
            name: folder for name, folder in folders.items() if journal_path(folder).exists()
        }
        if not reviewed:
            raise SettingsError(
                f"{out} has not been reviewed", hint=f"review it first: hanet review {typed(out)}"
            )
        base = out.resolve().name
        for name, folder in reviewed.items():
            called = f"{base}/{name}" if name else base
            taken = sum(one.name == called or one.name.startswith(f"{called} ") for one in found)
            found.append(ReviewedResult(folder, f"{called} {taken + 1}" if taken else called))
    return found


@dataclass(frozen=True, slots=True)
class LabelFolder:
    """Labelled images as ``ROOT/SPLIT/{A,B,label}``, of all splits; or of one, where its own folder
    is given.

    Args:
        root: The folder.
    """

    root: Path

    @property
    def name(self) -> str:
        """See :class:`Source`."""
        return self.root.resolve().name

    @property
    def said(self) -> str:
        """See :class:`Source`."""
        return f"the labels in {self.name}"

    def identity(self) -> Json:
        """See :class:`Source`."""
        files = [
            (kind, path)
            for _, pair in self._pairs()
            for kind, path in ((BEFORE, pair.before), (AFTER, pair.after), (LABEL, pair.label))
            if path is not None
        ]
        return {"labels": hash_of_files(files)}

    def gather(
        self, gatherer: Gatherer, metadata: Metadata, *, warn: Warn, progress: Progress | None
    ) -> None:
        """See :class:`Source`."""
        del metadata, warn  # images without a place have no resolution to compare
        pairs = self._pairs()
        for number, (split, pair) in enumerate(pairs):
            if progress is not None:
                progress("gathering labels", number / len(pairs))
            before, after, label = _read(pair)
            place, row, column = f"{split}/{pair.name}", 0, 0
            named = NAMED_TILE.fullmatch(pair.name)
            height, width = label.shape
            if named and height <= TILE_PX and width <= TILE_PX:
                place = f"{split}/{named[1]}"
                row, column = int(named[2]), int(named[3])
            for tile in tile_windows(height, width, tile_px=TILE_PX, edges="pad"):
                gatherer.add(
                    place,
                    row + tile.row,
                    column + tile.column,
                    before=np.ascontiguousarray(cut(before, tile.window)),
                    after=np.ascontiguousarray(cut(after, tile.window)),
                    label=_inside(label, tile.window),
                )

    def _pairs(self) -> list[tuple[str, Pair]]:
        root = self.root
        if is_folder(root / BEFORE) and is_folder(root / LABEL):
            splits, root = [root.resolve().name], root.resolve().parent
        else:
            splits = list_splits(root)
        pairs = [(split, pair) for split in splits for pair in list_pairs(root, split)]
        labelled = [(split, pair) for split, pair in pairs if pair.label is not None]
        if not labelled:
            raise DataSetError(
                f"{self.root} holds no labelled images",
                hint=f"the layout is {self.root}/SPLIT/{{{BEFORE},{AFTER},{LABEL}}}",
            )
        return labelled


def check_bands(metadata: Metadata) -> None:
    """Does nothing for weights that take three bands, as tiles have.

    Raises:
        SettingsError: They take others.
    """
    if len(metadata.bands) != 3:
        raise SettingsError(
            f"{metadata.name} takes {len(metadata.bands)} bands ({', '.join(metadata.bands)}); "
            "weights of three bands can be adapted",
            hint="train on your own data instead: hanet train",
        )


def check_resolution(grid: Grid, metadata: Metadata, name: str) -> None:
    """Does nothing for a grid of about the weights' resolution, or of none that is known.

    Raises:
        SettingsError: It is another.
    """
    if grid.gsd_m is None:
        return
    if not 1 / FARTHEST_OFF <= grid.gsd_m / metadata.gsd_m <= FARTHEST_OFF:
        raise SettingsError(
            f"{name} has {grid.gsd_m:.3g} m a pixel, the weights {metadata.name} "
            f"{metadata.gsd_m:.3g} m",
            hint="detect and review at the weights' resolution, which is what hanet detect does "
            "without --gsd",
        )


def gather_pair(
    gatherer: Gatherer,
    pair: RasterPair,
    name: str,
    *,
    label: Callable[[Window], ByteArray],
    progress: Progress | None,
) -> None:
    """Puts the tiles of an open pair into the working folder: those of which something is known,
    and some of the others.

    Args:
        gatherer: Takes them.
        pair: On the grid of the labels.
        name: Of the place.
        label: Grey values of a window, 128 where unknown.
        progress: Called with the share done.

    Raises:
        RasterError: The pair cannot be read.
    """
    grid = pair.grid
    tiles = tile_windows(grid.height, grid.width, tile_px=TILE_PX, edges="pad")
    known = [n for n, tile in enumerate(tiles) if (label(tile.window) != IGNORED_GREY).any()]
    others = sorted(set(range(len(tiles))) - set(known))
    others = others[:: max(1, len(others) // (2 * 100))]
    for done, number in enumerate([*known, *others]):
        if progress is not None:
            progress("gathering reviewed ground", done / (len(known) + len(others)))
        is_known = done < len(known)
        if not is_known and not gatherer.has_room:
            break
        tile = tiles[number]
        block = pair.read(tile.window)
        images = {"before": as_rgb(block.before), "after": as_rgb(block.after)}
        if is_known:
            pixels = label(tile.window)
            pixels[~block.valid] = IGNORED_GREY
            bounds = _bounds(grid, tile.window)
            gatherer.add(name, tile.row, tile.column, **images, label=pixels, bounds=bounds)
        elif block.valid.mean() >= UNLABELLED_SHARE:
            gatherer.add_unlabelled(name, tile.row, tile.column, **images)


def _bounds(grid: Grid, window: Window) -> tuple[float, float, float, float] | None:
    if grid.crs is None:
        return None
    return bounds_in(grid.part(window).bounds, grid.crs, "EPSG:4326")


def _read(pair: Pair) -> tuple[ByteArray, ByteArray, ByteArray]:
    """Both images and the grey values of the label.

    Raises:
        DataSetError: A file cannot be read, or they differ in size.
    """
    assert pair.label is not None
    before, after, change = read_image(pair.before), read_image(pair.after), read_change(pair.label)
    sizes = {"A": before.shape[1:], "B": after.shape[1:], "label": change.shape}
    if len(set(sizes.values())) > 1:
        shown = ", ".join(f"{name} {height}x{width}" for name, (height, width) in sizes.items())
        raise DataSetError(
            f"the files of {pair.name!r} differ in size: {shown}",
            hint="a label and its two images must have the same size",
        )
    grey = np.full(change.shape, IGNORED_GREY, dtype=np.uint8)
    grey[change == 0], grey[change == 1] = 0, 255
    return before, after, grey


def _inside(label: ByteArray, window: Window) -> ByteArray:
    """The label of a window; what lies beyond the image is not known."""
    height, width = label.shape
    inside = window.intersection(Window(0, 0, height, width))
    grey = np.full(window.shape, IGNORED_GREY, dtype=np.uint8)
    grey[inside.relative_to(window).slices] = label[inside.slices]
    return grey
