"""The strata of a review's random sample, with what was decided in each: from the journal to
:mod:`hanet.review.estimates`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from hanet.review.estimates import Estimates, Stratum, StratumKind, Unit, estimate
from hanet.review.items import Item, Source
from hanet.review.sampling import area_of
from hanet.review.state import ReviewState
from hanet.types import Json

ASSUMPTIONS = (
    "A footprint counts as right where it was accepted; how well its outline fits is not judged.",
    "The numbers describe the footprints, places and tiles from which the sample was drawn, at the "
    "threshold used then.",
    "Recall and the number of buildings assume that a missed building lies in a place of the queue "
    "of missed places or in a tile without any outline, and that nothing else was missed in tiles "
    "that have one.",
    "A change that cannot be seen on these two images is not counted, and errors of the reviewer "
    "affect every number.",
)
"""What the estimates take for granted, in words."""


def estimates_of(state: ReviewState) -> Estimates | None:
    """The estimates of the last sample of a review; None where none was drawn since the footprints
    were made.

    The same journal gives the same numbers: the draws take the sample's seed.
    """
    if state.sample is None:
        return None
    seed = int(state.sample["seed"])
    return estimate(sampled_strata(state), generator=np.random.default_rng(seed))


def estimates_json(state: ReviewState) -> Json | None:
    """:func:`estimates_of` with unit, threshold and assumptions, for the page and for scripts."""
    found = estimates_of(state)
    if found is None or state.sample is None:
        return None
    return {
        **found.to_json(),
        "unit": "m2" if state.grid.has_metres else "px",
        "threshold": state.sample["threshold"],
        "count": state.sample["count"],
        "seed": state.sample["seed"],
        "assumptions": list(ASSUMPTIONS),
    }


def sampled_strata(state: ReviewState) -> list[Stratum]:
    """The strata of the last sample with what was decided; empty where none was drawn.

    Where a person has decided on all found footprints, or all missed places, and not only on those
    of the sample, they are one stratum that was reviewed as a whole.
    """
    if state.sample is None:
        return []
    review = _Reviewed(state)
    drawn: dict[str, list[Item]] = {name: [] for name in state.sample["strata"]}
    for body in state.sample["items"]:
        drawn[body["stratum"]].append(Item.from_json(body))
    strata = [
        review.stratum(name, _kind(name), facts["population"], facts["area"], drawn[name])
        for name, facts in state.sample["strata"].items()
    ]
    kinds: tuple[StratumKind, ...] = ("found", "missed", "blank")
    return [stratum for kind in kinds for stratum in _whole_if_reviewed(kind, strata, review)]


def _whole_if_reviewed(
    kind: StratumKind, strata: Iterable[Stratum], review: _Reviewed
) -> list[Stratum]:
    """The strata of a kind, or one in their place if all of their population was decided on."""
    parts = [stratum for stratum in strata if stratum.kind == kind]
    if kind == "blank" or not parts:
        return parts
    population, size = sum(p.population for p in parts), sum(p.size for p in parts)
    everything = list(review.known(kind))
    if len(everything) != population:
        return parts
    whole = review.stratum(kind, kind, population, size, everything)
    return [whole] if len(whole.units) == population else parts


class _Reviewed:
    """Looks up what became of sampled units."""

    def __init__(self, state: ReviewState) -> None:
        self._state, self._items = state, state.items
        self._made_of = _made_of(state)
        self._added = [
            item
            for item in self._items.values()
            if not item.is_tile
            and item.status == "accepted"
            and _population_of(item, state) is None
            and item.id not in self._made_of
        ]

    def stratum(
        self, name: str, kind: StratumKind, population: int, size: float, drawn: Iterable[Item]
    ) -> Stratum:
        """The stratum with the units that were drawn from it."""
        units: list[Unit] = []
        unsure: list[Unit] = []
        unreviewed = 0
        for item in drawn:
            status, unit = self._tile(item) if kind == "blank" else self._unit(item)
            if status == "unreviewed":
                unreviewed += 1
            elif status == "unsure":
                unsure.append(unit)
            else:
                units.append(unit)
        return Stratum(name, kind, population, size, tuple(units), tuple(unsure), unreviewed)

    def known(self, kind: StratumKind) -> Iterator[Item]:
        """Items of this kind at hand that somebody has decided on, cut and joined ones too."""
        old = {key for keys in self._made_of.values() for key in keys}
        for key in {*self._items, *old}:
            item = self._state.get(key)
            if item is not None and _population_of(item, self._state) == kind:
                yield item

    def _unit(self, drawn: Item) -> tuple[str, Unit]:
        """What was decided on a footprint or place, and what it is if it is a change."""
        item = self._state.get(drawn.id) or drawn
        size = area_of(drawn)
        if not item.superseded_by:
            change = Unit(1.0, 1.0, area_of(item), size)
            return item.status, _none_of(change) if item.status == "rejected" else change
        parts = list(self._parts(item))
        changed = [(part, share) for part, share in parts if part.status == "accepted"]
        for status in ("unreviewed", "unsure"):
            if not changed and any(part.status == status for part, _ in parts):
                return status, Unit(1.0, 1.0, size, size)
        buildings = sum(share for _, share in changed)
        area = sum(share * area_of(part) for part, share in changed)
        return "decided", Unit(float(bool(changed)), buildings, area, size)

    def _parts(self, item: Item, share: float = 1.0) -> Iterator[tuple[Item, float]]:
        """What an item was cut into or joined to, with the item's share in each: half of what two
        were joined to."""
        for key in filter(None, item.superseded_by.split(",")):
            part = self._state.get(key)
            if part is not None:
                own = share / max(1, len(self._made_of.get(key, ())))
                yield from self._parts(part, own) if part.superseded_by else [(part, own)]

    def _tile(self, drawn: Item) -> tuple[str, Unit]:
        """What was decided on a tile, and what was missed in it: what a person drew there, or
        accepted before a remake that finds nothing there, or one building where they said that
        there is one and did not draw it."""
        item = self._state.get(drawn.id) or drawn
        inside = [other for other in self._added if item.geometry.covers(other.geometry.centroid)]
        if item.status == "unreviewed" or not (inside or item.status != "rejected"):
            return item.status, Unit(0.0, 0.0, 0.0)
        if inside:
            return "accepted", Unit(1.0, float(len(inside)), sum(map(area_of, inside)))
        return item.status, Unit(1.0, 1.0, self._usual_area())

    def _usual_area(self) -> float:
        """Mean area of what was accepted; 0 where nothing was."""
        areas = [
            area_of(item)
            for item in self._items.values()
            if item.status == "accepted" and not item.is_tile
        ]
        return sum(areas) / len(areas) if areas else 0.0


def _none_of(unit: Unit) -> Unit:
    return Unit(0.0, 0.0, 0.0, unit.size)


def _kind(name: str) -> StratumKind:
    return "found" if name.startswith("found") else "missed" if name == "missed" else "blank"


def _population_of(item: Item, state: ReviewState) -> Source | None:
    """Among what a sample draws an item: what was decided before a remake among what this made of
    it, as in :meth:`hanet.review.view.View.population`. None where it is among nothing: drawn, or
    not found any more."""
    remade = state.remade_as(item.id)
    if remade is not None or item.source == "drawn":
        return remade
    prefix = f"{state.generation}-" if state.generation else ""
    return item.source if _prefix(item.id) == prefix else None


def _prefix(identity: str) -> str:
    head, dash, _ = identity.partition("-")
    return head + dash if dash else ""


def _made_of(state: ReviewState) -> Mapping[str, list[str]]:
    """Of items that were cut from what a stratum holds or joined of it, which these are; what a
    person drew beside has no part in them."""
    made: dict[str, list[str]] = {}
    for record in state.records:  # what an item was made of comes before what it became
        if record["do"] not in ("split", "merge"):
            continue
        for key in record.get("ids") or [record["id"]]:
            item = state.get(key)
            if item is None or (key not in made and _population_of(item, state) is None):
                continue
            for new in filter(None, item.superseded_by.split(",")):
                if key not in made.setdefault(new, []):
                    made[new].append(key)
    return made
