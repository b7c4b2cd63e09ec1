"""What becomes of decisions when footprints are remade: each stays with the item that it was made
on, and remade footprints on its ground are taken as that item.

A remade footprint or missed place is *taken as* the kept items that lie on it where together they
cover at least half of it: what was decided there stands, and it is not asked for again. Where they
cover less, it is new, and stays to be decided.

A conflict is listed, so that a person looks at the kept item again, where

- no remade footprint lies on a kept footprint that was not rejected,
- several are taken as it (a building is now in parts),
- one is taken as it and as others too (buildings are now one), or
- one has at least half of it but reaches far beyond it; that one stays to be decided,

and a tile in which everything was outlined, where a remade footprint in it is still to be decided.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from hanet.review.items import Item
from hanet.review.label_tiles import within
from hanet.review.state import Conflict

SHARE = 0.5
"""Of a remade footprint, from which on it is taken as what was decided on it; of a kept item, from
which on a remade footprint has to do with it."""

CORNER = 0.1
"""Of the smaller of two, up to which what they have in common is nothing."""


@dataclass(frozen=True, slots=True)
class Matching:
    """How remade footprints go with what was decided.

    Args:
        taken: Remade ones that are not asked for, by id: the ids of the kept items.
        conflicts: What a person should look at, by kept item.
    """

    taken: dict[str, tuple[str, ...]]
    conflicts: tuple[Conflict, ...]


def match(kept: Sequence[Item], remade: Sequence[Item]) -> Matching:
    """Matches by the rules of this module.

    Args:
        kept: What was decided, drawn or corrected, without tiles.
        remade: Footprints and missed places of the new settings.
    """
    overlaps = _overlaps(kept, remade)
    taken: dict[str, tuple[str, ...]] = {}
    parts: defaultdict[str, list[Item]] = defaultdict(list)
    beyond: defaultdict[str, list[str]] = defaultdict(list)
    for index, common in overlaps.items():
        new = remade[index]
        covered = shapely.union_all(list(common.values())).area
        if covered >= SHARE * new.area_px:
            taken[new.id] = tuple(kept[number].id for number in common)
            for identity in taken[new.id]:
                parts[identity].append(new)
        else:
            for number, shape in common.items():
                if shape.area >= SHARE * kept[number].area_px:
                    beyond[kept[number].id].append(new.id)
    conflicts = []
    for item in kept:
        new_ids, why = _conflict(item, parts[item.id], beyond[item.id], taken)
        if why:
            conflicts.append(Conflict(item.id, new_ids, why))
    return Matching(taken, tuple(conflicts))


def tile_conflicts(
    tiles: Sequence[Item], found: Sequence[Item], taken: Mapping[str, tuple[str, ...]]
) -> tuple[Conflict, ...]:
    """Conflicts of tiles that were accepted: every change in them was outlined then, and now there
    are footprints of which nobody has said whether they are one.

    Args:
        tiles: Tiles that somebody has decided about.
        found: Remade footprints.
        taken: Of :class:`Matching`.
    """
    open_ones = [item for item in found if item.id not in taken]
    if not open_ones:
        return ()
    tree = shapely.STRtree([item.geometry for item in open_ones])
    conflicts = []
    for tile in tiles:
        if tile.status != "accepted":
            continue
        hits = sorted(tree.query(within(tile), predicate="intersects").tolist())
        if hits:
            names = tuple(open_ones[index].id for index in hits)
            many = "a remade footprint" if len(names) == 1 else f"{len(names)} remade footprints"
            why = f"everything changed in this tile was outlined; {many} in it must be decided now"
            conflicts.append(Conflict(tile.id, names, why))
    return tuple(conflicts)


def _conflict(
    item: Item, parts: list[Item], beyond: list[str], taken: dict[str, tuple[str, ...]]
) -> tuple[tuple[str, ...], str]:
    """Ids and reason of a kept item's conflict; an empty reason where there is none."""
    names = tuple(part.id for part in parts)
    if beyond:
        return (*names, *beyond), "a remade footprint has it and reaches far beyond it"
    if len(parts) > 1:
        return names, f"it is {len(parts)} footprints now"
    if parts and len(taken[names[0]]) > 1:
        others = ", ".join(other for other in taken[names[0]] if other != item.id)
        return names, f"it is one footprint with {others} now"
    is_found = any(part.source == "found" for part in parts)
    if item.source == "found" and item.status != "rejected" and not is_found:
        return names, "there is no footprint here with the new settings"
    return (), ""


def _overlaps(
    kept: Sequence[Item], remade: Sequence[Item]
) -> dict[int, dict[int, shapely.Geometry]]:
    """What each remade item has in common with kept ones: index to index to geometry."""
    if not kept or not remade:
        return {}
    mine = np.array([item.geometry for item in kept], dtype=object)
    theirs = np.array([item.geometry for item in remade], dtype=object)
    of_remade, of_kept = shapely.STRtree(mine).query(theirs, predicate="intersects")
    common = shapely.intersection(theirs[of_remade], mine[of_kept])
    found: defaultdict[int, dict[int, shapely.Geometry]] = defaultdict(dict)
    for index, number, shape in zip(of_remade.tolist(), of_kept.tolist(), common, strict=True):
        if shape.area > CORNER * min(remade[index].area_px, kept[number].area_px):
            found[index][number] = shape
    return found
