"""Reviewed tiles in blocks, and blocks in sets: neighbours stay together, so that the hold-out is
other ground, not the other half of the same yard.

Pure functions over names, places and counts; the same tiles and seed give the same sets.

Source: Roberts et al., "Cross-validation strategies for data with temporal, spatial, hierarchical,
or phylogenetic structure", Ecography 2017 (doi 10.1111/ecog.02881): blocks instead of single
samples, since neighbours resemble each other and flatter a score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from hanet.errors import SettingsError

SetName: TypeAlias = Literal["learn", "watch", "holdout"]
"""The sets: what is learned from, what decides when learning stops, what judges."""

SETS: tuple[SetName, ...] = ("learn", "watch", "holdout")

BLOCK_SIDES = (4, 3, 2, 1)
"""Sides of a block in tiles, the largest first."""

ENOUGH_BLOCKS = 25
"""Smaller blocks are made until there are as many: a hold-out of 0.4 has then ten of them, of
which an interval can be made."""

ENOUGH_CHANGED = 10
"""The same for blocks that hold changed pixels."""

WATCH_SHARE = 0.2
"""Share of the learn blocks that watches."""


@dataclass(frozen=True, slots=True)
class KnownTile:
    """A tile of which something is known.

    Args:
        name: Stem of its files.
        place: Run, folder or pair that it comes from; row and column count within it.
        row: Row in tiles, from 0.
        column: Column in tiles.
        known: Pixels that are not ignored.
        changed: Known pixels that changed.
        bounds: (west, south, east, north) in degrees of WGS 84; None without a CRS. Tiles of two
            places that overlap on the map come into one block.
    """

    name: str
    place: str
    row: int
    column: int
    known: int
    changed: int
    bounds: tuple[float, float, float, float] | None = None


def blocks_of(tiles: Sequence[KnownTile]) -> dict[str, str]:
    """The block of each tile, by its name: squares of tiles of one place, as large as leaves
    :data:`ENOUGH_BLOCKS` of them; those that overlap on the map are one.

    Example:
        >>> blocks_of([KnownTile("a_0_0", "a", 0, 0, 9, 1), KnownTile("a_0_1", "a", 0, 1, 9, 0)])
        {'a_0_0': 'a/0/0', 'a_0_1': 'a/0/1'}
    """
    blocks: dict[str, str] = {}
    for side in BLOCK_SIDES:
        blocks = _together(tiles, {tile.name: _square(tile, side) for tile in tiles})
        changed = {blocks[tile.name] for tile in tiles if tile.changed}
        if len(set(blocks.values())) >= ENOUGH_BLOCKS and len(changed) >= ENOUGH_CHANGED:
            break
    return blocks


def check_hold_out(share: float) -> None:
    """Does nothing for a share of the blocks that can judge.

    Raises:
        SettingsError: The share is out of range.
    """
    if not 0.0 < share < 1.0:
        raise SettingsError(
            f"the hold-out is {share:g}; it must lie between 0 and 1", hint="for example 0.4"
        )


def split_of(
    tiles: Sequence[KnownTile], blocks: Mapping[str, str], *, hold_out: float, seed: int
) -> dict[str, SetName]:
    """The set of each tile, by its name; whole blocks, the same share of those with much change in
    each.

    Where the learn blocks are too few to spare one, no tile watches.

    Args:
        tiles: All of them.
        blocks: Of each, from :func:`blocks_of`.
        hold_out: Share of the blocks that judges, between 0 and 1.
        seed: Which blocks.

    Raises:
        SettingsError: The share is out of range.
    """
    check_hold_out(hold_out)
    generator = np.random.default_rng(seed)
    changed = dict.fromkeys(sorted(set(blocks.values())), 0)
    for tile in tiles:
        changed[blocks[tile.name]] += tile.changed
    order = [list(changed)[index] for index in generator.permutation(len(changed))]
    order.sort(key=lambda block: -changed[block])  # stable: what is equal stays shuffled
    held = _every(order, hold_out, changed)
    rest = [block for block in order if block not in held]
    watching = _every(rest, WATCH_SHARE, changed) if len(rest) > 2 else set()
    if not any(changed[block] for block in rest if block not in watching):
        watching = set()
    return {
        tile.name: "holdout"
        if blocks[tile.name] in held
        else "watch"
        if blocks[tile.name] in watching
        else "learn"
        for tile in tiles
    }


def _every(order: Sequence[str], share: float, changed: Mapping[str, int]) -> set[str]:
    """This share of the blocks, evenly through their order: separately of those with change and of
    those without, of each at least one where there are two."""
    taken: set[str] = set()
    for kind in (True, False):
        some = [block for block in order if bool(changed[block]) is kind]
        count = min(max(1, round(share * len(some))), len(some) - 1)
        places = [int((k + 0.5) * len(some) / count) for k in range(max(0, count))]
        taken |= {some[place] for place in places}
    return taken


def _square(tile: KnownTile, side: int) -> str:
    return f"{tile.place}/{tile.row // side}/{tile.column // side}"


def _together(tiles: Sequence[KnownTile], blocks: dict[str, str]) -> dict[str, str]:
    """The blocks, with those joined whose tiles overlap on the map though their places differ."""
    parent = {block: block for block in blocks.values()}

    def root(block: str) -> str:
        while parent[block] != block:
            block = parent[block]
        return block

    placed = [tile for tile in tiles if tile.bounds is not None]
    if len({tile.place for tile in placed}) > 1:
        boxes = np.array([tile.bounds for tile in placed])
        for index, tile in enumerate(placed):
            west, south, east, north = boxes[index]
            near = (
                (boxes[:, 0] < east)
                & (boxes[:, 2] > west)
                & (boxes[:, 1] < north)
                & (boxes[:, 3] > south)
            )
            for other in np.flatnonzero(near[: index + 1]).tolist():
                if placed[other].place != tile.place:
                    first, second = sorted(
                        (root(blocks[tile.name]), root(blocks[placed[other].name]))
                    )
                    parent[second] = first
    return {name: root(block) for name, block in blocks.items()}
