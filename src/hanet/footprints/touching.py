"""Separates buildings that touch in the mask: their cores, where probability is high, do not touch;
every other pixel goes to the nearest core."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt
import shapely
from rasterio.features import shapes
from shapely import Polygon

from hanet.footprints.components import Component
from hanet.footprints.labelling import label, sums_of_known
from hanet.types import FloatArray, Mask, Window

CORE_PROBABILITY = 0.9
"""A core's pixels have at least this. Of 0.6, 0.7, 0.8, 0.9 and 0.95 the best on scenes-1024/val
(docs/guides/detect.md, 2026-11)."""

CORE_AREA_M2 = 15.0
"""Smaller cores do not count. Of 0.25, 5 and 15 m² the best on the same data."""

CORE_PIXELS = 60
"""What a core must have in a raster without CRS: 15 m² at 0.5 m."""

WINDOW_PIXELS = 1_048_576
"""Components whose bounding box has more pixels stay whole, so that memory does not grow with them:
512 m by 512 m at 0.5 m."""


def separate(
    component: Component,
    read: Callable[[Window], tuple[Mask, FloatArray]],
    *,
    connectivity: Literal[4, 8],
    core_pixels: int,
    read_built: Callable[[Window], FloatArray] | None = None,
) -> list[Component]:
    """The component's parts, one for each core; the component itself where it has no two cores.

    Args:
        component: Complete.
        read: Gives mask and probability (h, w) of a window.
        connectivity: By which the component was found; its parts are connected in the same way.
        core_pixels: Pixels that a core must have.
        read_built: Gives the probability of "built" (h, w) of a window, NaN where unknown.

    Returns:
        Parts by last pixel; together they have the component's pixels.
    """
    if component.pixels < 2 * core_pixels or component.probability_max < CORE_PROBABILITY:
        return [component]
    left, top, right, bottom = (
        int(value) for value in shapely.total_bounds(np.array(component.parts, dtype=object))
    )
    window = Window(top, left, bottom - top, right - left)
    if window.height * window.width > WINDOW_PIXELS:
        return [component]
    mask, probability = read(window)
    labels = label(mask, probability, connectivity=connectivity).labels
    row, column = component.last_pixel
    owners = divide(
        labels == labels[row - top, column - left],
        probability,
        connectivity=connectivity,
        core_pixels=core_pixels,
    )
    if owners is None:
        return [component]
    inside = np.flatnonzero(owners)
    of_pixels, values = owners.ravel()[inside] - 1, probability.ravel()[inside].astype(np.float64)
    count = int(owners.max())
    pixels, sums = np.bincount(of_pixels, minlength=count), np.bincount(of_pixels, values, count)
    last, maxima = np.zeros(count, dtype=np.int64), np.zeros(count)
    np.maximum.at(last, of_pixels, inside)
    np.maximum.at(maxima, of_pixels, values)
    parts = [
        Component(
            last_pixel=(
                int(last[number]) // window.width + top,
                int(last[number]) % window.width + left,
            ),
            pixels=int(pixels[number]),
            probability_sum=float(sums[number]),
            probability_max=float(maxima[number]),
        )
        for number in range(count)
    ]
    if read_built is not None:
        known, built = sums_of_known(owners, read_built(window), count)
        for part, part_pixels, part_sum in zip(parts, known.tolist(), built.tolist(), strict=True):
            part.built_pixels, part.built_sum = part_pixels, part_sum
    origin = np.array([left, top], dtype=np.float64)
    for piece, number in shapes(owners, mask=owners > 0, connectivity=connectivity):
        rings = [np.asarray(ring) + origin for ring in piece["coordinates"]]
        parts[int(number) - 1].parts.append(Polygon(rings[0], rings[1:]))
    return sorted(parts, key=lambda part: part.last_pixel)


def divide(
    component: Mask, probability: FloatArray, *, connectivity: Literal[4, 8], core_pixels: int
) -> npt.NDArray[np.int32] | None:
    """Number of the core, from 1, that each pixel of a component (H, W) belongs to, 0 outside; None
    where there are no two cores.

    Cores grow through the component in steps, in turn to four neighbours and (with connectivity 8)
    to eight, so that all parts are connected. A pixel that two reach in the same step goes to the
    later one, row by row.
    """
    cores = label(
        component & (probability >= np.float32(CORE_PROBABILITY)),
        probability,
        connectivity=connectivity,
    )
    large = np.flatnonzero(cores.pixels >= core_pixels)
    if len(large) < 2:
        return None
    numbers = np.zeros(len(cores.pixels) + 1, dtype=np.int32)
    numbers[large + 1] = np.arange(1, len(large) + 1)
    owners = np.pad(numbers[cores.labels], 1)
    free = np.pad(component, 1) & (owners == 0)
    corners = False
    while free.any():
        rows, columns = np.nonzero(free)
        steps = [(-1, 0), (1, 0), (0, -1), (0, 1)]
        if corners:
            steps += [(-1, -1), (-1, 1), (1, -1), (1, 1)]
        reached = np.max([owners[rows + down, columns + right] for down, right in steps], axis=0)
        owners[rows, columns] = reached
        free[rows, columns] = reached == 0
        corners = connectivity == 8 and not corners
    grown: npt.NDArray[np.int32] = owners[1:-1, 1:-1].copy()
    return grown
