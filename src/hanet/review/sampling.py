"""The random sample that a review is to look at: how many units of which stratum, and which.

Strata, so that rare things are looked at too: found footprints by their probability, places under
the threshold, tiles in which nothing was found. Within a stratum all units have the same chance
(Cochran, *Sampling Techniques*, 1977, chapter 5). What was drawn from how many is written down, so
that :mod:`hanet.review.estimates` can say what it stands for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hanet.errors import SettingsError
from hanet.review.items import Item
from hanet.types import Json

SHARES = {"found": 0.5, "missed": 0.25, "blank": 0.25}
"""Of the sample by what its units are: precision hangs on the first, recall on the others."""

FOUND_STRATA = 4
"""Strata of found footprints, of equal number each."""

SMALLEST_DRAW = 10
"""Units that are drawn from a stratum of found footprints where there are as many: with fewer
strata rather than fewer units."""

LARGEST_SEED = 2**63 - 1
"""Seeds are whole numbers from 0 to this."""


@dataclass(frozen=True, slots=True)
class SampleStratum:
    """A stratum and what was drawn from it.

    Args:
        population: Units in all.
        drawn: Units of the sample.
        area: Of all its units, in square metres or, without a CRS, square pixels; 0 for tiles.
        lowest: Smallest mean probability of its units; None for tiles.
        highest: Largest one.
    """

    population: int
    drawn: int
    area: float
    lowest: float | None
    highest: float | None

    def to_json(self) -> Json:
        """For the journal."""
        return {
            "population": self.population,
            "drawn": self.drawn,
            "area": self.area,
            "probability": None if self.lowest is None else [self.lowest, self.highest],
        }


@dataclass(frozen=True, slots=True)
class Sample:
    """What :func:`draw_sample` drew.

    Args:
        count: Units that were asked for; more than there are gives all.
        seed: Of the draw.
        strata: By name, ``found-1`` the least probable footprints.
        items: The units with their ``stratum``, in random order, so that a review that stops early
            has seen something of all.
    """

    count: int
    seed: int
    strata: dict[str, SampleStratum]
    items: tuple[Item, ...]

    def to_json(self) -> Json:
        """The fields of a journal's record ``sample`` that the draw decides: count, seed, strata
        and the bodies of the items."""
        return {
            "count": self.count,
            "seed": self.seed,
            "strata": {name: stratum.to_json() for name, stratum in self.strata.items()},
            "items": [item.body() for item in self.items],
        }


def draw_sample(
    *,
    found: Iterable[Item],
    missed: Iterable[Item],
    blank: Iterable[Item],
    count: int,
    seed: int,
) -> Sample:
    """A stratified random sample; the same items and seed give the same one, whatever their order.

    Args:
        found: All found footprints.
        missed: All places under the threshold.
        blank: All tiles in which nothing was found.
        count: Units to draw, at least 1; all are drawn where there are no more.
        seed: Whole number from 0.

    Raises:
        SettingsError: The count or the seed is out of range, or there is nothing to draw from.
    """
    if count < 1:
        raise SettingsError(
            f"a sample of {count} is asked for; it must be at least 1", hint="for example 200"
        )
    if not 0 <= seed <= LARGEST_SEED:
        raise SettingsError(f"the seed is {seed}; it must lie in 0 to {LARGEST_SEED}")
    units = {
        "found": sorted(found, key=lambda item: (item.probability, item.id)),
        "missed": sorted(missed, key=lambda item: item.id),
        "blank": sorted(blank, key=lambda item: item.id),
    }
    if not any(units.values()):
        raise SettingsError("there is nothing to draw a sample from: no footprint, place or tile")
    share = allocation({name: len(items) for name, items in units.items()}, SHARES, count)
    parts = max(1, min(FOUND_STRATA, share["found"] // SMALLEST_DRAW))
    strata: dict[str, list[Item]] = {}
    for number, part in enumerate(np.array_split(np.arange(len(units["found"])), parts), start=1):
        strata[f"found-{number}"] = [units["found"][index] for index in part]
    draws = allocation(
        {name: len(items) for name, items in strata.items()},
        dict.fromkeys(strata, 1.0),
        share["found"],
    )
    strata |= {"missed": units["missed"], "blank": units["blank"]}
    draws |= {"missed": share["missed"], "blank": share["blank"]}
    generator = np.random.default_rng(seed)
    drawn: list[Item] = []
    for name, items in strata.items():
        chosen = generator.choice(len(items), draws[name], replace=False)
        drawn += [replace(items[index], stratum=name) for index in chosen]
    order = generator.permutation(len(drawn))
    return Sample(
        count=count,
        seed=seed,
        strata={name: _stratum(items, draws[name]) for name, items in strata.items() if items},
        items=tuple(drawn[index] for index in order),
    )


def allocation(populations: dict[str, int], shares: dict[str, float], count: int) -> dict[str, int]:
    """How many units each stratum gives: by its share; what a small one cannot give, the others do.

    Example:
        >>> allocation({"found": 8, "blank": 500}, {"found": 0.5, "blank": 0.5}, 100)
        {'found': 8, 'blank': 92}
    """
    given = dict.fromkeys(populations, 0)
    while (left := min(count, sum(populations.values())) - sum(given.values())) > 0:
        open_ones = {name: shares[name] for name in given if given[name] < populations[name]}
        whole = sum(open_ones.values())
        before = left
        for name, share in open_ones.items():
            more = min(int(before * share / whole), populations[name] - given[name], left)
            given[name] += more
            left -= more
        if left == before:  # fewer than strata: one each, the largest share first
            for name in sorted(open_ones, key=lambda name: -open_ones[name])[:left]:
                given[name] += 1
    return given


def area_of(item: Item) -> float:
    """Its area in square metres or, without a CRS, square pixels."""
    return item.area_px if item.area_m2 is None else item.area_m2


def _stratum(items: Sequence[Item], drawn: int) -> SampleStratum:
    probabilities = [item.probability for item in items if not math.isnan(item.probability)]
    return SampleStratum(
        population=len(items),
        drawn=drawn,
        area=sum(area_of(item) for item in items if item.source != "blank"),
        lowest=min(probabilities, default=None),
        highest=max(probabilities, default=None),
    )
