"""Near-duplicates of pairs of images, also flipped, rotated by right angles, brightened or
compressed again.

A pair is shrunk to two thumbnails of 32x32 grey values. Its hash holds the signs of their 63 lowest
frequencies each (discrete cosine transform): those survive compression and photometry. A flip only
changes the sign of odd frequencies and a rotation swaps axes, so the hashes of all eight
orientations follow from one transform. Candidates by hash are confirmed by the correlation of the
thumbnails.

Measured on LEVIR-CD tiles (2026-11-24): of 150 validation tiles in other orientations, saved as
JPEG of quality 50 with other brightness and hue, 150 were found; shifted by 4 of 256 pixels
147-149; cropped by 5 % and enlarged 144-148. Of 326,592 pairs of a train and a validation tile
(other ground) and of 41,328 pairs of validation tiles none was taken for one. Larger crops, zooms
and other angles are missed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hanet.types import ByteArray, FloatArray

THUMBNAIL_PX = 32
"""Side of a thumbnail."""

FREQUENCIES = 8
"""Frequencies an axis that the hash keeps; the constant one is left out."""

MAX_DISTANCE = 32
"""Differing bits up to which two pairs are looked at more closely."""

MIN_CORRELATION = 0.65
"""Correlation of the thumbnails of either date from which on two pairs count as one."""

ORIENTATIONS = 8
"""Flips and rotations of a square: bit 0 flips columns, bit 1 flips rows, bit 2 swaps rows and
columns first."""

Hashes = npt.NDArray[np.uint64]
"""(n, 2): one word a date."""


class Near(NamedTuple):
    """Two pairs that show the same: positions, orientation that turns the first into the second,
    lower correlation of the dates."""

    first: int
    second: int
    orientation: int
    correlation: float


def thumbnail(image: ByteArray) -> ByteArray:  # (3, H, W) -> (32, 32)
    """Grey values of an image, averaged over 32x32 cells of equal size (within a pixel)."""
    grey = image.mean(axis=0, dtype=np.float32)
    for axis in (0, 1):
        size = grey.shape[axis]
        edges = np.arange(THUMBNAIL_PX) * size // THUMBNAIL_PX
        counts = np.maximum(np.diff([*edges, size]), 1)
        shape = (-1, 1) if axis == 0 else (1, -1)
        grey = np.add.reduceat(grey, edges, axis=axis) / counts.astype(np.float32).reshape(shape)
    small: ByteArray = np.rint(grey).astype(np.uint8)
    return small


def hash_pairs(thumbnails: ByteArray) -> npt.NDArray[np.uint64]:  # (n, 2, 32, 32) -> (8, n, 2)
    """Hashes of pairs of thumbnails in all eight orientations."""
    values = thumbnails.astype(np.float32) - thumbnails.mean(
        axis=(-2, -1), keepdims=True, dtype=np.float32
    )
    positions = (2 * np.arange(THUMBNAIL_PX) + 1) * np.pi / (2 * THUMBNAIL_PX)
    basis = np.cos(np.arange(FREQUENCIES)[:, None] * positions).astype(np.float32)
    spectrum = basis @ values @ basis.T  # (n, 2, 8, 8)
    odd = 1 - 2 * (np.arange(FREQUENCIES) % 2)
    hashes = []
    for orientation in range(ORIENTATIONS):
        oriented = spectrum.swapaxes(-2, -1) if orientation & 4 else spectrum
        oriented = (
            oriented
            * (odd[None, :] if orientation & 1 else 1)
            * (odd[:, None] if orientation & 2 else 1)
        )
        signs = oriented.reshape(*oriented.shape[:2], -1)[..., 1:] > 0
        packed = np.packbits(
            np.concatenate([signs, np.zeros_like(signs[..., :1])], axis=-1), axis=-1
        )
        hashes.append(packed.view(np.uint64)[..., 0])
    return np.stack(hashes)


def turned(
    image: npt.NDArray[np.generic], orientation: int
) -> npt.NDArray[np.generic]:  # (..., h, h)
    """An image in another orientation."""
    if orientation & 4:
        image = image.swapaxes(-2, -1)
    if orientation & 1:
        image = image[..., ::-1]
    return image[..., ::-1, :] if orientation & 2 else image


def near_duplicates(
    first: ByteArray, second: ByteArray | None = None
) -> list[Near]:  # (n, 2, 32, 32), (m, 2, 32, 32)
    """Pairs of thumbnails of two sets that show the same; of one set among itself where ``second``
    is None.

    Thumbnails of a single colour are left out: they resemble each other and tell nothing. Time
    grows with n times m: ten thousand against three thousand take seconds.

    Returns:
        The best orientation of each two, by position; within one set, first < second.
    """
    within = second is None
    others = first if second is None else second
    if not len(first) or not len(others):
        return []
    hashes, plain = hash_pairs(first), hash_pairs(others)[0]
    left, right = _normalised(first), _normalised(others)
    best: dict[tuple[int, int], Near] = {}
    for orientation in range(ORIENTATIONS):
        for i, j in _candidates(hashes[orientation], plain, within=within):
            both = [
                float((turned(left[i, date], orientation) * right[j, date]).sum())
                for date in (0, 1)
            ]
            found = Near(i, j, orientation, min(both))
            if found.correlation >= MIN_CORRELATION and found.correlation > getattr(
                best.get((i, j)), "correlation", 0
            ):
                best[i, j] = found
    return sorted(best.values())


def _candidates(first: Hashes, second: Hashes, *, within: bool) -> Iterator[tuple[int, int]]:
    rows = max(1, (1 << 21) // len(second))
    for start in range(0, len(first), rows):
        block = first[start : start + rows]
        distance = sum(_bits(block[:, None, date] ^ second[None, :, date]) for date in (0, 1))
        for i, j in np.argwhere(distance <= MAX_DISTANCE).tolist():
            if not within or start + i < j:
                yield start + i, j


def _bits(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint8]:
    if hasattr(np, "bitwise_count"):  # numpy 2
        return np.bitwise_count(words)
    counts: npt.NDArray[np.uint8] = _BITS_OF_BYTE[words[..., None].view(np.uint8)].sum(
        axis=-1, dtype=np.uint8
    )
    return counts


_BITS_OF_BYTE = np.array([value.bit_count() for value in range(256)], dtype=np.uint8)


def _normalised(thumbnails: ByteArray) -> FloatArray:
    """Thumbnails with mean 0 and length 1; those of one colour become 0, so that they correlate
    with nothing."""
    values = thumbnails.astype(np.float32) - thumbnails.mean(
        axis=(-2, -1), keepdims=True, dtype=np.float32
    )
    length = np.sqrt((values**2).sum(axis=(-2, -1), keepdims=True))
    scaled: FloatArray = values / np.where(length > THUMBNAIL_PX, length, np.inf)
    return scaled
