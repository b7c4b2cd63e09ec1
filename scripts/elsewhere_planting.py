"""Sparse true change for a tile of one date: buildings taken away, buildings brought from another
tile, and another look of the other date."""

from __future__ import annotations

from io import BytesIO
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import shapely
from PIL import Image
from scipy import ndimage

from elsewhere_masks import EIGHT, buildings
from hanet.types import ByteArray, Mask

Values = npt.NDArray[np.float64]

SHADOW_PX = 14
"""How far from a building its shadow is looked for, at 0.3 m."""

AREA_PX = (250, 6000)
"""Buildings of this many pixels at 0.3 m may be planted or removed: 22 to 540 square metres."""


MIN_SATURATION_OF_GROUND = 0.12
"""Ground that is greyer (0-1) is taken for a street: no building is pasted there."""


class Tile(NamedTuple):
    """A tile of one date: RGB (H, W, 3) and its buildings (H, W)."""

    image: ByteArray
    mask: Mask


class PlantedPair(NamedTuple):
    """Two dates (H, W, 3), their true change (H, W), and the new buildings of it."""

    before: ByteArray
    after: ByteArray
    change: Mask
    built: Mask


def plant(tile: Tile, donor: Tile, generator: np.random.Generator) -> PlantedPair:
    """A pair from one tile: up to two buildings removed and up to two pasted, each at one date.

    One pair in five keeps every building. Seven changes in ten are new buildings. Then one date
    gets another look (:func:`other_look`) and is moved by up to one pixel of the final 0.5 m.
    """
    dates = [tile.image.copy(), tile.image.copy()]
    change, built = (np.zeros(tile.mask.shape, dtype=bool) for _ in range(2))
    occupied = tile.mask.copy()
    if generator.random() >= 0.2:
        for _ in range(2):
            index = 0 if generator.random() < 0.7 else 1  # removed before: the building is new
            removed = remove_building(dates[index], tile.mask & ~change, generator)
            if removed is not None:
                dates[index], building = removed
                change |= building
                built |= building & (index == 0)
        for _ in range(2):
            index = 1 if generator.random() < 0.7 else 0
            pasted = paste_building(dates[index], occupied | change, donor, generator)
            if pasted is not None:
                dates[index], building = pasted
                change |= building
                built |= building & (index == 1)
    index = int(generator.integers(2))
    dates[index] = other_look(dates[index], generator)
    return PlantedPair(dates[0], dates[1], change, built)


def fit_to_move(image: ByteArray, mask: Mask) -> list[Mask]:
    """The buildings of a tile that may be removed or pasted elsewhere.

    They have a fit size (:data:`AREA_PX`), fill 60 % of a rectangle around them, and are not
    greener than red or blue, nor much bluer than red: some masks show crowns of trees, and pools.
    """
    found = []
    for part in buildings(mask):
        if not AREA_PX[0] <= part.sum() <= AREA_PX[1]:
            continue
        points = shapely.MultiPoint(np.argwhere(part) + 0.5)
        rectangle = shapely.minimum_rotated_rectangle(points).buffer(0.5, join_style="mitre")
        red, green, blue = image[part].mean(axis=0)
        is_roof = green <= max(red, blue) and blue <= red + 25
        if is_roof and part.sum() >= 0.6 * rectangle.area:
            found.append(part)
    return found


def remove_building(
    image: ByteArray, mask: Mask, generator: np.random.Generator
) -> tuple[ByteArray, Mask] | None:
    """The image with one building and its shadow covered by ground from the same image.

    Returns:
        The new image and the building's mask; None where no building of fit size has ground to
        cover it.
    """
    parts = fit_to_move(image, mask)
    for number in generator.permutation(len(parts)):
        building = parts[number]
        region = with_shadow(image, building, mask)
        ground = _best_ground(image, region, mask | region, generator)
        if ground is not None:
            return _blended(image, ground, region), building
    return None


def paste_building(
    image: ByteArray, occupied: Mask, donor: Tile, generator: np.random.Generator
) -> tuple[ByteArray, Mask] | None:
    """The image with a building of another tile, its shadow included, on the smoothest free ground.

    Returns:
        The new image and the building's mask; None where there is no building or no room.
    """
    height, width = occupied.shape
    parts = [part for part in fit_to_move(donor.image, donor.mask) if not _touches_edge(part)]
    if not parts:
        return None
    building = parts[int(generator.integers(len(parts)))]
    region = with_shadow(donor.image, building, donor.mask, margin_px=1)
    rows, columns = ndimage.find_objects(region.astype(int))[0]
    patch, footprint = region[rows, columns], building[rows, columns]
    keep_free = ndimage.binary_dilation(occupied, EIGHT, iterations=4)
    roughness = ndimage.gaussian_gradient_magnitude(image.mean(axis=2), 1.0)
    brightest = image.max(axis=2).astype(float)
    colour = 1 - image.min(axis=2) / np.maximum(brightest, 1.0)
    best, best_cost = None, np.inf
    for _ in range(200):
        row = int(generator.integers(0, max(1, height - patch.shape[0])))
        column = int(generator.integers(0, max(1, width - patch.shape[1])))
        here = (slice(row, row + patch.shape[0]), slice(column, column + patch.shape[1]))
        if patch.shape != roughness[here].shape or (keep_free[here] & patch).any():
            continue
        if colour[here][patch].mean() < MIN_SATURATION_OF_GROUND:
            continue
        cost = float(roughness[here][patch].mean())
        if cost < best_cost:
            best, best_cost = here, cost
    if best is None:
        return None
    alpha = np.zeros(occupied.shape)
    alpha[best][patch] = 1.0
    alpha = ndimage.gaussian_filter(alpha, 0.7)[..., None]
    source = image.astype(np.float64)
    source[best] = np.where(patch[..., None], donor.image[rows, columns], source[best])
    change = np.zeros(occupied.shape, dtype=bool)
    change[best] = footprint
    return _bytes(image * (1 - alpha) + source * alpha), change


def with_shadow(image: ByteArray, building: Mask, mask: Mask, *, margin_px: int = 3) -> Mask:
    """The building, a margin, and the dark pixels beside it; not other buildings."""
    grey = image.mean(axis=2)
    dark = grey < min(float(np.percentile(grey, 25)), 90.0)
    near = ndimage.binary_dilation(building, EIGHT, iterations=SHADOW_PX)
    grown = ndimage.binary_dilation(building, EIGHT, iterations=margin_px)
    others = ndimage.binary_dilation(mask & ~building, EIGHT, iterations=1)
    shadow = ndimage.binary_opening(dark & near & ~others, EIGHT)
    region = grown | (ndimage.binary_propagation(grown, mask=grown | shadow))
    closed = ndimage.binary_closing(np.pad(region, 4), EIGHT, iterations=2)[4:-4, 4:-4]
    return np.asarray((closed | region) & ~others | building)


def other_look(image: ByteArray, generator: np.random.Generator) -> ByteArray:
    """The image at another date: gain of each band, gamma, blur, noise, JPEG, a shift of up to 0.5
    m."""
    values = 255.0 * (image / 255.0) ** generator.uniform(0.8, 1.25)
    values = values * generator.uniform(0.85, 1.15) * generator.uniform(0.93, 1.07, 3)
    blurred = ndimage.gaussian_filter(values, (*(2 * [generator.uniform(0.0, 1.2)]), 0))
    angle, length = generator.uniform(0, 2 * np.pi), generator.uniform(0.0, 0.5 / 0.3)
    shift = (length * np.sin(angle), length * np.cos(angle), 0.0)
    moved = ndimage.shift(blurred, shift, order=1, mode="nearest")
    moved = moved + generator.normal(0.0, generator.uniform(0.0, 3.0), moved.shape)
    return jpeg(_bytes(moved), quality=int(generator.integers(75, 96)))


def jpeg(image: ByteArray, *, quality: int) -> ByteArray:
    """The image (H, W, 3) as it comes back from a JPEG file."""
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def _best_ground(
    image: ByteArray, region: Mask, forbidden: Mask, generator: np.random.Generator
) -> ByteArray | None:
    """The image moved so that free ground, which fits best at the rim, lies under the region."""
    rows, columns = np.nonzero(region)
    height, width = region.shape
    rim = ndimage.binary_dilation(region, EIGHT, iterations=3) & ~forbidden
    if rim.sum() < 20:
        return None
    best, best_cost = None, np.inf
    for _ in range(300):
        down = int(generator.integers(-rows.min(), height - rows.max()))
        right = int(generator.integers(-columns.min(), width - columns.max()))
        if forbidden[rows + down, columns + right].any():
            continue
        moved = np.roll(image, (-down, -right), axis=(0, 1))
        cost = float(np.abs(moved[rim].astype(float) - image[rim]).mean())
        if cost < best_cost:
            best, best_cost = moved, cost
    return best


def _blended(image: ByteArray, ground: ByteArray, region: Mask) -> ByteArray:
    """The image with ``ground`` in the region, corrected by a smooth field that closes the seam."""
    difference = image.astype(np.float64) - ground
    box = tuple(
        slice(max(0, side.start - 2), side.stop + 2)
        for side in ndimage.find_objects(region.astype(int))[0]
    )
    inside, field = region[box][..., None], difference[box]
    rim = ndimage.binary_dilation(region[box], EIGHT, iterations=2) & ~region[box]
    field = np.where(
        inside, np.median(field[rim], axis=0), ndimage.gaussian_filter(field, (1.5, 1.5, 0))
    )
    for _ in range(400):  # Jacobi steps towards the membrane through the rim's differences
        around = np.pad(field, ((1, 1), (1, 1), (0, 0)), mode="edge")
        mean = (around[:-2, 1:-1] + around[2:, 1:-1] + around[1:-1, :-2] + around[1:-1, 2:]) / 4
        field = np.where(inside, mean, field)
    out = image.astype(np.float64)
    out[box] = np.where(inside, ground[box] + np.clip(field, -60, 60), out[box])
    return _bytes(out)


def _touches_edge(mask: Mask) -> bool:
    return bool(mask[[0, -1]].any() or mask[:, [0, -1]].any())


def _bytes(values: Values) -> ByteArray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
