"""Torch data sets over the pairs of a split: fixed tiles, and random crops of whole scenes.

Images stay uint8 here; augmentation and normalisation are the trainer's, so that both dates and the
label share a geometry.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from hanet.datasets.layout import Pair, TileWindow, list_pairs, list_splits, tile_name, tile_windows
from hanet.datasets.manifest import known_foreground
from hanet.errors import DataSetError, SettingsError
from hanet.imagery.images import image_size, read_change, read_image
from hanet.imagery.reflection import cut
from hanet.types import IGNORED, ByteArray, Mask, Window

__all__ = ["CropDataset", "Pair", "Sample", "TileDataset", "list_pairs", "list_splits"]

Kinds: TypeAlias = Literal["none", "marked", "all built", "unlabelled"]
"""What the change of a sample says. ``none``: which pixels changed. ``unlabelled``: nothing, it is
IGNORED everywhere, and no label is read. Else which kind of change each of them is, 1 built and 0
demolished, and IGNORED where nothing changed: as the folder ``built`` says it, or built wherever
something changed."""


class Sample(TypedDict):
    """One item of a data set; the default collate function of torch makes batches of it."""

    before: Tensor  # uint8 (3, H, W)
    after: Tensor  # uint8 (3, H, W)
    change: Tensor  # uint8 (H, W), 0, 1 or IGNORED; see Kinds
    index: int


class _Decoded(NamedTuple):
    before: ByteArray  # (3, H, W)
    after: ByteArray  # (3, H, W)
    change: ByteArray  # (H, W), 0, 1 or IGNORED
    built: ByteArray | None = None  # (H, W), 0 or 1; None where kinds are not asked for

    def changed(self, window: Window) -> Mask:
        """Changed pixels of a window."""
        return np.asarray(self.change[window.slices] == 1)


class _Images:
    """The decoded pairs, from disk each time or from memory."""

    def __init__(
        self, pairs: Sequence[Pair], *, cache: Literal["none", "memory"], kinds: Kinds
    ) -> None:
        if cache not in ("none", "memory"):
            raise SettingsError(f"cache is {cache!r}, it must be 'none' or 'memory'")
        if not pairs:
            raise DataSetError("the data set has no pair")
        self.pairs, self._kinds = list(pairs), kinds
        if kinds == "unlabelled":  # so that nothing here can read one
            self.pairs = [replace(pair, label=None, built=None) for pair in pairs]
        self.sizes = [_size_of(pair, kinds) for pair in self.pairs]
        # Decoded before workers fork, so that they share the memory instead of filling a copy each.
        self._kept = (
            [self._decode(number) for number in range(len(self.pairs))]
            if cache == "memory"
            else None
        )

    def read(self, number: int) -> _Decoded:
        return self._decode(number) if self._kept is None else self._kept[number]

    def changed(self, number: int) -> Mask:
        if self._kept is not None:
            return np.asarray(self._kept[number].change == 1)
        return np.asarray(self._change(number) == 1)

    def _decode(self, number: int) -> _Decoded:
        pair = self.pairs[number]
        before, after = read_image(pair.before), read_image(pair.after)
        change = self._change(number)
        return _Decoded(before, after, change, self._built(number, change))

    def _change(self, number: int) -> ByteArray:
        if self._kinds == "unlabelled":  # one value, and no memory for the others
            return np.broadcast_to(np.uint8(IGNORED), self.sizes[number])
        return self._checked(number, read_change(_label_of(self.pairs[number])))

    def _built(self, number: int, change: ByteArray) -> ByteArray | None:
        if self._kinds in ("none", "unlabelled"):
            return None
        if self._kinds == "all built":
            return change
        path = self.pairs[number].built
        if path is None:
            raise DataSetError(
                f"nothing says which changes of {self.pairs[number].name!r} are new buildings",
                hint="put masks of them into SPLIT/built, or name the folder in all_built if all "
                "of them are",
            )
        return self._checked(number, read_change(path))

    def _checked(self, number: int, change: ByteArray) -> ByteArray:
        if change.shape != self.sizes[number]:
            raise DataSetError(f"{self.pairs[number].label} changed its size while it was in use")
        return change


class TileDataset(Dataset[Sample]):
    """The tiles of a split, each image cut into squares.

    Args:
        pairs: What :func:`list_pairs` gives; every pair needs a label, unless ``kinds`` is
            ``"unlabelled"``.
        tile_px: Side of a tile. Images of just this size are tiles themselves; larger ones are cut,
            row by row. None leaves images whole, whatever their size.
        edges: Where ``tile_px`` does not divide an image: ``"overlap"`` shifts the last row and
            column of tiles inwards, so that some pixels stand in two tiles (for training);
            ``"pad"`` keeps the grid and fills the tile by reflection (for evaluation:
            :meth:`valid_size` tells which part to count). Images smaller than a tile are an error
            with ``"overlap"``.
        jitter_px: Where it is not 0, an item is asked for by ``(index, draw_seed)`` and its window
            is moved by up to so many rows and columns, inside its image; a pure function of the
            key, as in :class:`CropDataset`. Only with ``"overlap"``.
        crop_px: Side of the part of a tile that an item is, drawn for each ``(index,
            draw_seed)``; None gives whole tiles.
        foreground_bias: With ``crop_px``: probability, in 0-1, that the part lies around a random
            changed pixel of the tile (where it has one) instead of anywhere. All but 0 need
            ``crop_px``.
        cache: ``"memory"`` decodes everything at once when the data set is made and keeps it: 7
            bytes a pixel of a pair, 0.46 MB a tile of 256. ``"none"`` decodes at each access.
        kinds: What the change of a sample says; see :data:`Kinds`.

    Attributes:
        names: Name of each tile; the image's where it is the whole image, else ``NAME_ROW_COLUMN``,
            counted in tiles.
        foreground_pixels: Changed pixels of each tile, int64, without the padding. Taken from the
            folder's manifest where it describes these very labels, else counted.

    Raises:
        DataSetError: A label is missing, sizes differ within a pair, or an image is smaller than a
            tile.

    Example:
        >>> tiles = TileDataset(list_pairs("levir-cd-256", "train"))
        >>> tiles[0]["before"].shape
        torch.Size([3, 256, 256])
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        *,
        tile_px: int | None = 256,
        edges: Literal["overlap", "pad"] = "overlap",
        jitter_px: int = 0,
        crop_px: int | None = None,
        foreground_bias: float = 0.0,
        cache: Literal["none", "memory"] = "none",
        kinds: Kinds = "none",
    ) -> None:
        if jitter_px < 0:
            raise SettingsError(f"jitter_px is {jitter_px}, it must be at least 0")
        if crop_px is not None and not 1 <= crop_px <= (tile_px or crop_px):
            raise SettingsError(f"crop_px is {crop_px}, it must lie in 1 to the tile's {tile_px}")
        if not 0.0 <= foreground_bias <= 1.0:
            raise SettingsError(f"foreground_bias is {foreground_bias}, it must lie in 0-1")
        if foreground_bias and crop_px is None:
            raise SettingsError(
                f"foreground_bias is {foreground_bias} without crop_px: whole tiles are not "
                "drawn around anything"
            )
        self.is_drawn = bool(jitter_px) or crop_px is not None
        if self.is_drawn and edges == "pad":
            raise SettingsError(
                "jitter_px and crop_px move windows inside their image; edges 'pad' goes beyond it"
            )
        self._jitter_px, self._crop_px, self._bias = jitter_px, crop_px, foreground_bias
        if tile_px is not None and tile_px < 1:
            raise SettingsError(f"tile_px is {tile_px}, it must be at least 1")
        if edges not in ("overlap", "pad"):
            raise SettingsError(f"edges is {edges!r}, it must be 'overlap' or 'pad'")
        self._images = _Images(pairs, cache=cache, kinds=kinds)
        self._tiles: list[tuple[int, Window]] = []
        self.names: list[str] = []
        for number, (pair, size) in enumerate(
            zip(self._images.pairs, self._images.sizes, strict=True)
        ):
            if crop_px is not None:
                _refuse_smaller(pair, size, crop_px)
            tiles = _tiles_of(pair, size, tile_px=tile_px, edges=edges)
            self._tiles += [(number, tile.window) for tile in tiles]
            self.names += [
                pair.name if len(tiles) == 1 else tile_name(pair.name, tile.row, tile.column)
                for tile in tiles
            ]
        self.foreground_pixels = self._count_foreground()

    def __len__(self) -> int:
        return len(self._tiles)

    def __getitem__(self, key: int | np.integer | tuple[int, int]) -> Sample:
        """The tile at a position; negative positions count from the end. With jitter or crops the
        key is (position, draw_seed)."""
        if isinstance(key, tuple) != self.is_drawn:
            raise TypeError(
                f"a tile {'of a random window' if self.is_drawn else ''} cannot be asked for by "
                f"{key!r}"
            )
        index, draw_seed = key if isinstance(key, tuple) else (key, 0)
        position = _position(index, len(self))
        number, window = self._tiles[position]
        decoded = self._images.read(number)
        if self.is_drawn:
            random = np.random.default_rng((position, operator.index(draw_seed)))
            window = _jittered(window, self._images.sizes[number], self._jitter_px, random)
            if self._crop_px is not None:
                inner = random_crop(
                    decoded.changed(window),
                    self._crop_px,
                    foreground_bias=self._bias,
                    random=random,
                )
                window = Window(window.row + inner.row, window.column + inner.column, *inner.shape)
        return _sample(_cut_all(decoded, window), position)

    def valid_size(self, index: int) -> tuple[int, int]:
        """(height, width) of the part of a tile that lies in its image: the upper left part; the
        rest is padding."""
        number, window = self._tiles[_position(index, len(self))]
        height, width = self._images.sizes[number]
        return min(window.height, height - window.row), min(window.width, width - window.column)

    def origin(self, index: int) -> tuple[Pair, Window]:
        """The pair that a tile comes from, and its window there."""
        number, window = self._tiles[_position(index, len(self))]
        return self._images.pairs[number], window

    def _count_foreground(self) -> npt.NDArray[np.int64]:
        counts = np.zeros(len(self), dtype=np.int64)
        known = known_foreground(self._images.pairs)
        changed: tuple[int, Mask] | None = None
        for position, (number, window) in enumerate(self._tiles):
            count = known[number]
            if count is not None and window == Window(0, 0, *self._images.sizes[number]):
                counts[position] = count
                continue
            if changed is None or changed[0] != number:
                changed = number, self._images.changed(number)
            counts[position] = np.count_nonzero(changed[1][window.slices])
        return counts


class CropDataset(Dataset[Sample]):
    """Random crops of scenes, as Open-CD trains on LEVIR-CD (docs/concepts/sources.md, section 3).

    An item is asked for by ``(index, draw_seed)`` and is a pure function of the two: the same key
    gives the same crop in any worker, on any rank and after a resume. A sampler yields such keys.

    Args:
        pairs: What :func:`list_pairs` gives; every pair needs a label, unless ``kinds`` is
            ``"unlabelled"``.
        crop_px: Side of a crop; images smaller than it are an error.
        max_class_share: A crop in which one class covers this share or more is drawn again; 1.0
            takes the first.
        tries: Draws again at most this often; the last draw is taken whatever it holds (Open-CD:
            10).
        foreground_bias: Probability, in 0-1, that a draw is a window around a random changed pixel
            of the scene instead of a window anywhere. 0 is Open-CD.
        cache: As for :class:`TileDataset`.
        kinds: As for :class:`TileDataset`.

    Attributes:
        names: Name of each scene.
        foreground_pixels: Changed pixels of each scene, int64.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        *,
        crop_px: int = 256,
        max_class_share: float = 0.75,
        tries: int = 10,
        foreground_bias: float = 0.0,
        cache: Literal["none", "memory"] = "none",
        kinds: Kinds = "none",
    ) -> None:
        if crop_px < 1 or tries < 0:
            raise SettingsError(
                f"crop_px is {crop_px} and tries {tries}; they must be at least 1 and 0"
            )
        if not 0.5 <= max_class_share <= 1.0 or not 0.0 <= foreground_bias <= 1.0:
            raise SettingsError(
                f"max_class_share is {max_class_share} and foreground_bias {foreground_bias}; "
                "they must lie in 0.5-1 and 0-1 (one of two classes always covers half)"
            )
        self._images = _Images(pairs, cache=cache, kinds=kinds)
        for pair, size in zip(self._images.pairs, self._images.sizes, strict=True):
            _refuse_smaller(pair, size, crop_px)
        self._crop_px, self._share, self._tries, self._bias = (
            crop_px,
            max_class_share,
            tries,
            foreground_bias,
        )
        self.names = [pair.name for pair in self._images.pairs]
        known = known_foreground(self._images.pairs)
        self.foreground_pixels: npt.NDArray[np.int64] = np.array(
            [
                np.count_nonzero(self._images.changed(n)) if count is None else count
                for n, count in enumerate(known)
            ],
            dtype=np.int64,
        )

    def __len__(self) -> int:
        return len(self._images.pairs)

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        """The crop of scene ``key[0]`` that the seed ``key[1]`` (at least 0) draws."""
        if not isinstance(key, tuple) or len(key) != 2:
            raise TypeError(f"a crop is asked for by (index, draw_seed), got {key!r}")
        position, draw_seed = _position(key[0], len(self)), operator.index(key[1])
        decoded = self._images.read(position)
        window = self._draw(decoded.change == 1, np.random.default_rng((position, draw_seed)))
        return _sample(_cut_all(decoded, window), position)

    def _draw(self, change: Mask, random: np.random.Generator) -> Window:
        window = self._window(change, random)
        for _ in range(self._tries if self._share < 1.0 else 0):
            share = np.count_nonzero(change[window.slices]) / self._crop_px**2
            if max(share, 1.0 - share) < self._share:
                break
            window = self._window(change, random)
        return window

    def _window(self, change: Mask, random: np.random.Generator) -> Window:
        return random_crop(change, self._crop_px, foreground_bias=self._bias, random=random)


def random_crop(
    change: Mask, crop_px: int, *, foreground_bias: float, random: np.random.Generator
) -> Window:
    """A square window of a label (H, W): with probability ``foreground_bias`` one that holds a
    random changed pixel, else anywhere."""
    last_row, last_column = change.shape[0] - crop_px, change.shape[1] - crop_px
    if foreground_bias > 0.0 and random.random() < foreground_bias:
        changed = np.flatnonzero(change)
        if changed.size:
            row, column = divmod(int(random.choice(changed)), change.shape[1])
            row = random.integers(max(0, row - crop_px + 1), min(row, last_row) + 1)
            column = random.integers(max(0, column - crop_px + 1), min(column, last_column) + 1)
            return Window(int(row), int(column), crop_px, crop_px)
    return Window(
        int(random.integers(last_row + 1)), int(random.integers(last_column + 1)), crop_px, crop_px
    )


def _jittered(
    window: Window, size: tuple[int, int], jitter_px: int, random: np.random.Generator
) -> Window:
    """The window moved by up to ``jitter_px`` along both axes, kept inside an image of ``size``."""
    row, column = (
        int(np.clip(start + random.integers(-jitter_px, jitter_px + 1), 0, max(0, length - side)))
        for start, side, length in zip((window.row, window.column), window.shape, size, strict=True)
    )
    return Window(row, column, window.height, window.width)


def _tiles_of(
    pair: Pair, size: tuple[int, int], *, tile_px: int | None, edges: str
) -> list[TileWindow]:
    if tile_px is None:
        return [TileWindow(0, 0, Window(0, 0, *size))]
    if edges == "overlap":
        _refuse_smaller(pair, size, tile_px)
    return tile_windows(*size, tile_px=tile_px, edges=edges)


def _refuse_smaller(pair: Pair, size: tuple[int, int], side_px: int) -> None:
    if min(size) < side_px:
        raise DataSetError(
            f"{pair.before} is {size[0]}x{size[1]} pixels, smaller than the {side_px}x{side_px} "
            "asked for",
            hint=f"set tile_px = {min(size)} or less in the experiment, or leave such images out; "
            "hanet check-data lists them all",
        )


def _size_of(pair: Pair, kinds: Kinds) -> tuple[int, int]:
    label = () if kinds == "unlabelled" else (_label_of(pair),)
    sizes = {path: image_size(path) for path in (pair.before, pair.after, *label)}
    if len(set(sizes.values())) > 1:
        shown = ", ".join(
            f"{path.parent.name} {height}x{width}" for path, (height, width) in sizes.items()
        )
        raise DataSetError(
            f"the files of {pair.name!r} differ in size: {shown}",
            hint="both dates (and the label) must have the same height and width",
        )
    return sizes[pair.before]


def _label_of(pair: Pair) -> Path:
    if pair.label is None:
        raise DataSetError(
            f"{pair.name!r} has no label",
            hint="training and evaluation need SPLIT/label beside A and B",
        )
    return pair.label


def _position(index: int | np.integer, length: int) -> int:
    position = operator.index(index)
    if not -length <= position < length:
        raise IndexError(f"item {position} of a data set of {length}")
    return position % length


def _cut_all(decoded: _Decoded, window: Window) -> _Decoded:
    return _Decoded(*(None if part is None else cut(part, window) for part in decoded))  # type: ignore[arg-type]


def _sample(decoded: _Decoded, index: int) -> Sample:
    # Copies: a tensor that looked into the cache could be written to by an augmentation.
    before, after = (
        torch.from_numpy(np.array(image, dtype=np.uint8, order="C")) for image in decoded[:2]
    )
    label = decoded.change
    if decoded.built is not None:
        label = np.where(decoded.change == 1, decoded.built, np.uint8(IGNORED))
    change = torch.from_numpy(np.array(label, dtype=np.uint8, order="C"))
    return {"before": before, "after": after, "change": change, "index": index}
