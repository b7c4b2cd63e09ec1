"""Reviewed ground as labels for training: ``ROOT/SPLIT/{A,B,label}`` tiles.

What was accepted or drawn is change; what was rejected, blank tiles in which nothing was missed,
and the ground beside all outlines of a tile that was accepted as complete, is none. Everything else
nobody knows: it is ignored (:data:`hanet.imagery.images.IGNORED_GREY`), and so are footprints in a
complete tile that nobody has decided about. The tiles of both dates are read as the detection read
them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from rasterio.features import rasterize

from hanet.command_line import typed
from hanet.datasets.layout import AFTER, BEFORE, LABEL, tile_name, tile_windows
from hanet.destination import check_folder
from hanet.errors import OutputError, SettingsError
from hanet.files import writing
from hanet.imagery.images import CHANGED_GREY, IGNORED_GREY, UNCHANGED_GREY, write_png
from hanet.imagery.pair import RasterPair
from hanet.review.inputs import DateName
from hanet.review.items import Item
from hanet.review.journal import read_journal
from hanet.review.label_tiles import TILE_PX
from hanet.review.review import read_review
from hanet.review.reviewed_run import read_run
from hanet.review.run_images import find_images, opened_images
from hanet.types import ByteArray, FloatArray, Progress, Window


@dataclass(frozen=True, slots=True)
class Labels:
    """What :func:`write_labels` wrote.

    Args:
        folder: ``ROOT/SPLIT``.
        tiles: Their number.
        known_share: Share of their pixels that are not ignored, in 0-1.
        changed_share: Share of the known pixels that are change, in 0-1.
    """

    folder: Path
    tiles: int
    known_share: float
    changed_share: float


def write_labels(
    runs: Mapping[str, Path],
    root: Path,
    *,
    split: str,
    tile_px: int = TILE_PX,
    before: str | None = None,
    after: str | None = None,
    warn: Callable[[str], None],
    progress: Progress | None = None,
) -> list[Labels]:
    """Writes the reviewed ground of runs as tiles; tiles of which nothing is known are left out.

    All tiles are written or, after an error, none. Where a process was killed in between, the next
    one begins anew.

    Args:
        runs: Result folders by what the names of their tiles begin with.
        root: The data set; made if it is missing, and added to where it is there.
        split: Folder in it.
        tile_px: Side of a tile.
        before: Where the before image lies now; where the run says if None. For a single run.
        after: The same for the after image.
        warn: Called where an image is not the one that a run was made from.
        progress: Called with the stage and the share of a run that is done.

    Returns:
        What was written of each run, in their order.

    Raises:
        SettingsError: The split has no plain name, or a result is smaller than a tile.
        OutputError: There is no review, nothing was decided, tiles of a name are there already, or
            the disk does not take them.
        RasterError: An image is not found or cannot be read.
    """
    painted = {
        name: check_labels(out, root, split=split, name=name, tile_px=tile_px)
        for name, out in runs.items()
    }
    given: dict[DateName, str | None] = {"before": before, "after": after}
    grids = {name: read_journal(out).grid for name, out in runs.items()}
    found = {
        name: find_images(out, read_run(out), grids[name], given=given, warn=warn)
        for name, out in runs.items()
    }
    written = []
    with _whole_or_nothing(root / split, runs):
        for name, out in runs.items():
            with opened_images(*found[name], grids[name]) as pair:
                written.append(
                    _write_tiles(
                        pair, painted[name], root / split, name, tile_px=tile_px, progress=progress
                    )
                )
            if not written[-1].tiles:
                raise OutputError(
                    f"what was decided in {out} lies where an image has no data",
                    hint="are these the images of the run?",
                )
    return written


def _write_tiles(
    pair: RasterPair,
    painted: Painter,
    folder: Path,
    name: str,
    *,
    tile_px: int,
    progress: Progress | None,
) -> Labels:
    """The tiles of one run."""
    tiles = tile_windows(pair.grid.height, pair.grid.width, tile_px=tile_px, edges="overlap")
    count = known = changed = 0
    for number, tile in enumerate(tiles):
        if progress is not None:
            progress("writing labels", number / len(tiles))
        label = painted.label(tile.window)
        if (label == IGNORED_GREY).all():
            continue
        block = pair.read(tile.window)
        label[~block.valid] = IGNORED_GREY
        if (label == IGNORED_GREY).all():
            continue
        images = {BEFORE: block.before, AFTER: block.after}
        stem = tile_name(name, tile.row, tile.column)
        for kind, image in images.items():
            _write(folder / kind / f"{stem}.png", _rgb(image))
        _write(folder / LABEL / f"{stem}.png", label)
        count += 1
        known += int((label != IGNORED_GREY).sum())
        changed += int((label == CHANGED_GREY).sum())
    return Labels(folder, count, known / max(1, count * tile_px**2), changed / max(1, known))


def is_decided(out: Path) -> bool:
    """Whether something was accepted or rejected in the review of a run.

    Raises:
        OutputError: There is no review.
    """
    return Painter(read_review(out).values()).is_useful


def check_place(root: Path, split: str) -> None:
    """Does nothing for a place that labels can be written to.

    Raises:
        SettingsError: The split has no plain name.
        OutputError: The disk does not take them.
    """
    if not split or Path(split).name != split or split in (".", ".."):
        raise SettingsError(f"the split {split!r} is not a plain name", hint="for example train")
    check_folder(root / split, "--labels")


def check_labels(out: Path, root: Path, *, split: str, name: str, tile_px: int) -> Painter:
    """What labels are made of, where :func:`write_labels` could begin with these arguments; nothing
    is written, and no image is looked for.

    Raises:
        SettingsError: As for :func:`write_labels`.
        OutputError: As for :func:`write_labels`.
    """
    check_place(root, split)
    read_run(out)
    state = read_journal(out)
    grid = state.grid
    if tile_px < 1 or tile_px > min(grid.height, grid.width):
        raise SettingsError(
            f"tiles of {tile_px} pixels do not fit a result of {grid.height} x {grid.width}",
            hint=f"give --tile {min(grid.height, grid.width)} or less",
        )
    _check_free(root / split, name)
    painter = Painter(read_review(out, state).values())
    if not painter.is_useful:
        raise OutputError(
            f"nothing in {out} has been accepted or rejected yet",
            hint=f"review it first: hanet review {typed(out)}",
        )
    return painter


class Painter:
    """Makes labels of windows from what was decided."""

    def __init__(self, items: Iterable[Item]) -> None:
        painted = [(rank, item.geometry) for item in items if (rank := _rank(item)) is not None]
        painted.sort(key=lambda one: one[0])
        self._shapes = [shape for _, shape in painted]
        self._values = [_VALUES[rank] for rank, _ in painted]
        self._tree = shapely.STRtree(self._shapes)

    @property
    def is_useful(self) -> bool:
        """Whether anything is known."""
        return any(value != IGNORED_GREY for value in self._values)

    def label(self, window: Window) -> ByteArray:  # (h, w)
        """Grey values of a window; a later shape lies over an earlier one."""
        box = shapely.box(window.column, window.row, window.column_end, window.row_end)
        hits = sorted(self._tree.query(box).tolist())
        if not hits:
            return np.full(window.shape, IGNORED_GREY, dtype=np.uint8)
        painted: ByteArray = rasterize(
            [(self._shapes[index], self._values[index]) for index in hits],
            out_shape=window.shape,
            fill=IGNORED_GREY,
            transform=(1.0, 0.0, float(window.column), 0.0, 1.0, float(window.row)),
            dtype="uint8",
        )
        return painted


_VALUES = (UNCHANGED_GREY, IGNORED_GREY, CHANGED_GREY)
"""Grey values in the order in which they are painted."""


def _rank(item: Item) -> int | None:
    """Place in :data:`_VALUES` of what is known of an item's ground; None where the item says
    nothing about it, so that a complete tile below it counts."""
    if item.source == "tile":
        return 0 if item.status == "accepted" else None
    if item.status == "unreviewed" and item.source in ("blank", "missed"):
        return None
    if item.status == "rejected":
        return 0
    # of a tile in which something was missed nobody has said where; what was drawn in it is known
    return 2 if item.status == "accepted" and item.source != "blank" else 1


def _rgb(image: FloatArray) -> ByteArray:  # (C, h, w) -> (3, h, w)
    """Three bands of 8 bits; a single one three times."""
    shown = image[:3] if len(image) >= 3 else np.repeat(image[:1], 3, axis=0)
    return np.rint(np.clip(shown, 0.0, 255.0)).astype(np.uint8)


def _write(path: Path, pixels: ByteArray) -> None:
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_png(path, pixels)


@contextmanager
def _whole_or_nothing(folder: Path, names: Iterable[str]) -> Iterator[None]:
    """Tiles of these names are written within it: all of them or, after an error, none. A process
    that is killed leaves marks, by which the next one knows that they are an unfinished delivery's.

    Raises:
        OutputError: The disk does not take a mark, or old tiles cannot be removed.
    """
    marks = {name: _mark(folder, name) for name in names}
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, mark in marks.items():
            _remove_tiles(folder, name)
            mark.touch()
    try:
        yield
    except BaseException:
        for name, mark in marks.items():
            with suppress(OSError):
                _remove_tiles(folder, name)
                mark.unlink(missing_ok=True)
        raise
    for mark in marks.values():
        mark.unlink(missing_ok=True)


def _mark(folder: Path, name: str) -> Path:
    return folder / f".{name}.unfinished"


def _remove_tiles(folder: Path, name: str) -> None:
    """Removes what an unfinished delivery has left, half-written files too."""
    for path in _tiles(folder, name, partial=True):
        path.unlink()


def _tiles(folder: Path, name: str, *, partial: bool = False) -> list[Path]:
    """The tiles of a name in a split."""
    tile = re.escape(name) + r"_\d+_\d+\.png"
    pattern = re.compile(rf"{tile}|\.{tile}\.\d+\.partial" if partial else tile)
    places = [folder / kind for kind in (BEFORE, AFTER, LABEL)]
    return [
        path
        for place in places
        if place.is_dir()
        for path in place.iterdir()
        if pattern.fullmatch(path.name)
    ]


def _check_free(folder: Path, name: str) -> None:
    """Does nothing where the split holds no tile of this name, or those of an unfinished
    delivery, which are made again."""
    with writing(folder):
        if _mark(folder, name).is_file():
            return
        if _tiles(folder, name):
            raise OutputError(
                f"{folder} holds tiles of {name} already",
                hint="remove them, or choose another --labels or --split",
            )
