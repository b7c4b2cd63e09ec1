"""The order in which items are looked at."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal, TypeAlias, get_args

import numpy as np
import shapely

from hanet.errors import InputError
from hanet.review.items import Item

Order: TypeAlias = Literal["doubt", "size", "place", "random"]
"""``doubt``: the most doubtful first; ``size``: the largest first; ``place``: neighbours one after
the other; ``random``: by seed."""

ORDERS: tuple[Order, ...] = get_args(Order)

CELL_PX = 512
"""Side of the cells that ``place`` goes through, one row of them to the right, the next one back:
about what a screen shows at full resolution."""

LARGEST_SEED = 2**63 - 1


def doubt(probability: float, threshold: float) -> float:
    """How doubtful an item is: 1 at the threshold, 0 at probabilities 0 and 1; 0 also where nothing
    is known of its probability (NaN).

    Example:
        >>> doubt(0.75, 0.5), doubt(0.3, 0.6), doubt(1.0, 0.5)
        (0.5, 0.5, 0.0)
    """
    if math.isnan(probability):
        return 0.0
    room = 1.0 - threshold if probability >= threshold else threshold
    return 1.0 - abs(probability - threshold) / room


def ordered(items: Iterable[Item], order: Order, *, threshold: float, seed: int = 0) -> list[Item]:
    """The items in an order; those that are equal in it, as they come.

    Args:
        items: Which.
        order: How.
        threshold: Of the footprints.
        seed: For ``random``, a whole number from 0; the same ids and seed give the same order.

    Raises:
        InputError: There is no such order, or the seed is out of range.
    """
    listed = list(items)
    if order == "doubt":
        return sorted(listed, key=lambda item: -doubt(item.probability, threshold))
    if order == "size":
        return sorted(listed, key=lambda item: -item.area_px)
    if order == "place":
        return [listed[index] for index in _places(listed)]
    if order != "random":
        raise InputError(f"there is no order {order!r}", hint=f"it is one of: {', '.join(ORDERS)}")
    if not 0 <= seed <= LARGEST_SEED:
        raise InputError(f"the seed is {seed}; it must lie in 0 to {LARGEST_SEED}")
    listed.sort(key=lambda item: item.id)
    return [listed[index] for index in np.random.default_rng(seed).permutation(len(listed))]


def _places(items: list[Item]) -> list[int]:
    if not items:
        return []
    bounds = shapely.bounds(np.array([item.geometry for item in items], dtype=object))
    x, y = (bounds[:, :2] + bounds[:, 2:]).T / 2
    rows, columns = (y // CELL_PX).astype(np.int64), (x // CELL_PX).astype(np.int64)
    back = np.where(rows % 2 == 1, -1, 1)
    order: list[int] = np.lexsort((y, back * x, back * columns, rows)).tolist()
    return order
