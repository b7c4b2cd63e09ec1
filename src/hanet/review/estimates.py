"""Precision, recall, count and area of change from a reviewed random sample, each with an interval.

A stratum is a part of the map from which units were drawn at random: footprints of similar
probability, places under the threshold, tiles. Totals of the strata add up, as in any stratified
estimate (Cochran, *Sampling Techniques*, 1977, chapter 5; Olofsson et al., "Good practices for
estimating area and assessing accuracy of land change", Remote Sensing of Environment 148, 2014);
area is estimated by its ratio to the area that was mapped, which is known of every footprint
(Cochran, chapter 6).

Intervals are those of the finite population Bayesian bootstrap, or Pólya posterior (Lo, "A Bayesian
bootstrap for a finite population", Annals of Statistics 16, 1988; Ghosh and Meeden, *Bayesian
Methods for Finite Population Sampling*, 1997): what was not reviewed is filled in many times from
what was, with weights that are themselves drawn. The normal intervals of the books above have no
width where all sampled units are alike, which is the rule here: forty empty tiles do not say that
nothing was missed. So half a unit that is change and half a unit that is none stand in every
stratum beside what was seen, which makes the interval of a single share that of Jeffreys' prior
(Brown, Cai, DasGupta, "Interval estimation for a binomial proportion", Statistical Science 16,
2001). A stratum that was reviewed as a whole has nothing to fill in: it is exact.

Pure numpy; docs/concepts/review-statistics.md says what it means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from hanet.errors import SettingsError
from hanet.types import Json

LEVEL = 0.95
"""Share of the draws inside an interval."""

DRAWS = 4000
"""Times that the map is filled in: the ends of an interval then move by some 2 % of its width
from seed to seed (2026-11)."""

HALF = 0.5
"""What stands in each stratum of change, and of no change, beside what was seen."""

Totals: TypeAlias = npt.NDArray[np.float64]
"""Correct footprints, buildings and their area: (3,), or (draws, 3)."""

StratumKind = Literal["found", "missed", "blank"]
"""Found footprints; places under the threshold; tiles in which nothing was found."""


class Unit(NamedTuple):
    """What a review says of one sampled unit."""

    correct: float
    """1 where the footprint is change, 0 where it is none."""
    buildings: float
    """Changed buildings in it; more than one where it was split, or in a tile."""
    area: float
    """Their area, as corrected."""
    size: float = 0.0
    """Area that was mapped; 0 for a tile."""


@dataclass(frozen=True, slots=True)
class Stratum:
    """A part of the map with the units that were drawn from it and reviewed.

    Args:
        name: For tables.
        kind: What its units are.
        population: Units that it has in all.
        size: Area of all of them together; 0 for tiles.
        units: Those that were decided.
        unsure: Those on which the reviewer was unsure, each as if it were change.
        unreviewed: Sampled units that nobody has looked at yet.

    Raises:
        SettingsError: More units were reviewed than there are.
    """

    name: str
    kind: StratumKind
    population: int
    size: float
    units: tuple[Unit, ...]
    unsure: tuple[Unit, ...] = ()
    unreviewed: int = 0

    def __post_init__(self) -> None:
        if len(self.units) + len(self.unsure) > self.population:
            raise SettingsError(
                f"the stratum {self.name} has {self.population} units, of which "
                f"{len(self.units) + len(self.unsure)} are said to be reviewed"
            )

    @property
    def rest(self) -> int:
        """Units that nobody has decided on."""
        return self.population - len(self.units)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95 % interval.

    Args:
        value: The stratified estimate.
        low: Lower end.
        high: Upper end; both ends are the value where everything was reviewed.
        if_unsure: The value if all that the reviewer was unsure of were no change, and if all were
            change; None where there is no such unit.
    """

    value: float
    low: float
    high: float
    if_unsure: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Estimates:
    """What a reviewed sample says of the whole map.

    Args:
        precision: Share of the found footprints that are change, in 0-1; None where it cannot be
            told, and ``notes`` say why. So for all that follow.
        recall: Share of the changed buildings that were found, in 0-1.
        buildings: Changed buildings, found or not.
        area: Their area.
        notes: What was left out and what is missing, in words.
        strata: Population and reviewed units of each stratum.
    """

    precision: Estimate | None
    recall: Estimate | None
    buildings: Estimate | None
    area: Estimate | None
    notes: tuple[str, ...]
    strata: tuple[Json, ...]

    def to_json(self) -> Json:
        """For the page and for scripts."""
        return asdict(self)


class _Map(NamedTuple):
    """What a map holds, as far as it is known or filled in."""

    found: Totals
    missed: Totals


def estimate(
    strata: Sequence[Stratum], *, generator: np.random.Generator, draws: int = DRAWS
) -> Estimates:
    """The estimates of a sample.

    Args:
        strata: All strata of the sample; parts of the map without a stratum count as empty.
        generator: Source of the draws.
        draws: Times that the map is filled in; time grows with it.

    Returns:
        Estimates; a stratum without a decided unit leaves those None that need it.
    """
    found = [stratum for stratum in strata if stratum.kind == "found"]
    footprints = sum(stratum.population for stratum in found)
    value = _map_of(strata, _point)
    filled = _map_of(strata, lambda s: _filled(s, _areas(s, strata), generator, draws))
    lowest, highest = (
        _map_of([_settled(stratum, share) for stratum in strata], _point) for share in (0.0, 1.0)
    )

    def told(measure: Callable[[_Map], Totals], used: Sequence[Stratum]) -> Estimate | None:
        point = float(measure(value))
        if not (np.isfinite(point) and all(s.units or not s.population for s in used)):
            return None
        low, high = np.nanquantile(measure(filled), [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
        unsure = any(stratum.unsure for stratum in used)
        bounds = (float(measure(lowest)), float(measure(highest))) if unsure else None
        # where all units are alike the interval reaches to the end, as that of Jeffreys does
        return Estimate(point, min(point, low), max(point, high), bounds)

    def precision(of: _Map) -> Totals:
        return _ratio(of.found[..., 0], np.float64(footprints))

    def recall(of: _Map) -> Totals:
        return _ratio(of.found[..., 1], of.found[..., 1] + of.missed[..., 1])

    def buildings(of: _Map) -> Totals:
        return np.asarray(of.found[..., 1] + of.missed[..., 1])

    def area(of: _Map) -> Totals:
        return np.asarray(of.found[..., 2] + of.missed[..., 2])

    return Estimates(
        precision=told(precision, found),
        recall=told(recall, strata),
        buildings=told(buildings, strata),
        area=told(area, strata),
        notes=tuple(_notes(strata, footprints)),
        strata=tuple(_row(stratum) for stratum in strata),
    )


def _map_of(strata: Iterable[Stratum], totals: Callable[[Stratum], Totals]) -> _Map:
    """The map whose strata hold these totals."""
    found, missed = np.zeros(3), np.zeros(3)
    for stratum in strata:
        if stratum.kind == "found":
            found = found + totals(stratum)
        else:
            missed = missed + totals(stratum)
    return _Map(found, missed)


def _point(stratum: Stratum) -> Totals:
    """The stratified estimate of a stratum: what was seen, and the rest in proportion."""
    if not stratum.units:
        return np.zeros(3)
    values = np.array(stratum.units)
    seen = values[:, :3].sum(axis=0)
    if not stratum.rest:
        return np.asarray(seen)
    mean = seen / len(values)
    rest = stratum.rest * mean
    size = values[:, 3].sum()
    if size:
        rest[2] = (stratum.size - size) * seen[2] / size
    return np.asarray(seen + rest)


def _filled(
    stratum: Stratum, areas: Sequence[float], generator: np.random.Generator, draws: int
) -> Totals:
    """The totals (draws, 3) of a stratum whose rest is filled in from what was seen, many times;
    a unit that was not seen has one of these areas."""
    values = np.array(stratum.units).reshape(-1, 4)
    seen = values[:, :3].sum(axis=0)
    if not stratum.rest:
        return np.broadcast_to(seen, (draws, 3))
    shapes = np.array([1.0] * len(values) + [HALF, HALF])
    weights = generator.standard_gamma(shapes, (draws, len(shapes)))
    counts = generator.multinomial(stratum.rest, weights / weights.sum(axis=1, keepdims=True))
    rest: Totals = counts[:, :-2] @ values
    change, both = counts[:, -2], counts[:, -2:].sum(axis=1)
    area = generator.choice(areas, draws)
    rest += np.stack([change, change, change * area, both * area], axis=1)
    if stratum.size:  # what was drawn for the rest is not of its size: the ratio counts
        missing = max(stratum.size - float(values[:, 3].sum()), 0.0)
        rest[:, 2] *= np.divide(missing, rest[:, 3], out=np.zeros(draws), where=rest[:, 3] > 0)
    return np.asarray(seen + rest[:, :3])


def _settled(stratum: Stratum, share: float) -> Stratum:
    """The stratum if all units that the reviewer was unsure of were change (1) or none (0)."""
    settled = [
        Unit(share * unit.correct, share * unit.buildings, share * unit.area, unit.size)
        for unit in stratum.unsure
    ]
    return replace(stratum, units=(*stratum.units, *settled), unsure=())


def _areas(stratum: Stratum, strata: Iterable[Stratum]) -> list[float]:
    """Areas that a unit of the stratum may have that is not like those that were seen: theirs, and
    in tiles those of the buildings of all strata."""
    if stratum.size:
        return [unit.size for unit in stratum.units] or [stratum.size / stratum.population]
    units = [unit for other in strata for unit in other.units if unit.buildings]
    return [unit.area / unit.buildings for unit in units] or [0.0]


def _ratio(numerator: Totals, denominator: Totals | np.float64) -> Totals:
    """NaN where the denominator is 0: what has no share."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.divide(numerator, denominator), dtype=np.float64)


def _notes(strata: Sequence[Stratum], footprints: int) -> list[str]:
    """What the estimates leave out, in words."""
    notes = []
    if not footprints:
        notes.append("no footprint was found, so there is no precision")
    empty = [s.name for s in strata if s.population and not s.units]
    if empty:
        notes.append(
            f"nothing is decided yet in {', '.join(empty)}: numbers that need it are left out; "
            "accept or reject some of the sample there"
        )
    if unreviewed := sum(stratum.unreviewed for stratum in strata):
        notes.append(
            f"{unreviewed} units of the sample are not reviewed yet: the numbers assume that they "
            "are like the reviewed ones, which is true only if the reviewer did not choose which "
            "to review"
        )
    if unsure := sum(len(stratum.unsure) for stratum in strata):
        notes.append(
            f"the reviewer was unsure of {unsure} units: they are left out; each number also shows "
            "its values if none of them were a change, and if all were"
        )
    return notes


def _row(stratum: Stratum) -> Json:
    return {
        "name": stratum.name,
        "kind": stratum.kind,
        "population": stratum.population,
        "decided": len(stratum.units),
        "changed": sum(1 for unit in stratum.units if unit.buildings),
        "unsure": len(stratum.unsure),
        "unreviewed": stratum.unreviewed,
    }
