"""Estimates from a reviewed sample: exact for a census, and intervals that hold what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from hanet.errors import SettingsError
from hanet.review.estimates import Estimate, Stratum, Unit, estimate

YES, NO = Unit(1.0, 1.0, 100.0, 100.0), Unit(0.0, 0.0, 0.0, 100.0)
EMPTY, MISSED = Unit(0.0, 0.0, 0.0), Unit(1.0, 1.0, 80.0)


def _generator() -> np.random.Generator:
    return np.random.default_rng(1)


def _blank(population: int, *units: Unit) -> Stratum:
    return Stratum("blank", "blank", population, 0.0, units)


def test_a_census_is_exact() -> None:
    found = Stratum("found-1", "found", 4, 400.0, (YES, YES, YES, NO))
    places = Stratum(
        "missed", "missed", 2, 90.0, (Unit(1.0, 1.0, 40.0, 50.0), Unit(0.0, 0.0, 0.0, 40.0))
    )
    tiles = _blank(3, EMPTY, Unit(1.0, 2.0, 160.0), EMPTY)
    got = estimate([found, places, tiles], generator=_generator())
    assert got.precision == Estimate(0.75, 0.75, 0.75)
    assert got.recall == Estimate(0.5, 0.5, 0.5)
    assert got.buildings == Estimate(6.0, 6.0, 6.0)
    assert got.area == Estimate(500.0, 500.0, 500.0)
    assert got.notes == ()


def test_a_census_has_the_area_of_its_corrected_outlines() -> None:
    """Mapped with 100 each, corrected to 25: nothing is left whose area must be guessed."""
    halved = Unit(1.0, 1.0, 25.0, 25.0)
    got = estimate([Stratum("f", "found", 2, 200.0, (halved, halved))], generator=_generator())
    assert got.area == Estimate(50.0, 50.0, 50.0)


def test_strata_count_by_their_population() -> None:
    """Three of four sure ones and one of four doubtful ones, of which there are nine times as
    many."""
    sure = Stratum("found-2", "found", 100, 10_000.0, (YES, YES, YES, NO))
    doubtful = Stratum("found-1", "found", 900, 90_000.0, (YES, NO, NO, NO))
    got = estimate([doubtful, sure], generator=_generator())
    assert got.precision is not None
    assert got.buildings is not None
    assert got.precision.value == pytest.approx((75 + 225) / 1000)
    assert got.buildings.value == pytest.approx(300)
    assert got.precision.low < 0.3 < got.precision.high


def test_area_follows_what_was_mapped_not_what_was_drawn() -> None:
    """Of two footprints the large one is change; the others are as large as it."""
    drawn = (Unit(1.0, 1.0, 300.0, 300.0), Unit(0.0, 0.0, 0.0, 100.0))
    got = estimate([Stratum("f", "found", 10, 2800.0, drawn)], generator=_generator())
    assert got.area is not None
    assert got.area.value == pytest.approx(300 + 0.75 * 2400)


def test_one_share_has_the_interval_of_jeffreys() -> None:
    """7 of 20, from far more: Beta(7.5, 13.5) has its 2.5 % at 0.1725 and its 97.5 % at 0.5682
    (Brown, Cai, DasGupta 2001 give such tables)."""
    stratum = Stratum("f", "found", 10**7, 1e9, (YES,) * 7 + (NO,) * 13)
    got = estimate([stratum], generator=_generator(), draws=20_000).precision
    assert got is not None
    assert (got.value, got.low, got.high) == pytest.approx((0.35, 0.1725, 0.5682), abs=0.004)


def test_nothing_missed_in_forty_tiles_is_not_nothing_missed() -> None:
    found = Stratum("f", "found", 50, 5000.0, (YES,) * 50)
    got = estimate([found, _blank(4000, *[EMPTY] * 40)], generator=_generator())
    assert got.recall is not None
    assert got.buildings is not None
    assert got.recall.value == got.recall.high == 1.0
    assert got.recall.low < 0.4
    assert got.buildings.low == got.buildings.value == 50
    assert 150 < got.buildings.high < 400


def test_all_of_a_sample_right_is_not_all_right() -> None:
    got = estimate([Stratum("f", "found", 500, 5e4, (YES,) * 30)], generator=_generator()).precision
    assert got is not None
    assert got.value == got.high == 1.0
    assert 0.88 < got.low < 0.97


def test_what_is_unsure_is_left_out_and_told() -> None:
    found = Stratum("f", "found", 4, 400.0, (YES, NO), unsure=(YES, YES))
    got = estimate([found], generator=_generator())
    assert got.precision is not None
    assert got.precision.value == 0.5
    assert got.precision.if_unsure == (0.25, 0.75)
    assert "unsure of 2 units" in got.notes[0]


def test_what_is_not_reviewed_is_told() -> None:
    found = Stratum("f", "found", 40, 4000.0, (YES, NO), unreviewed=3)
    got = estimate([found, _blank(100, EMPTY)], generator=_generator())
    assert got.precision is not None
    assert got.precision.value == 0.5
    assert "3 units of the sample are not reviewed" in got.notes[0]
    assert got.strata[0]["decided"] == 2


def test_a_stratum_without_a_decision_gives_no_number_that_needs_it() -> None:
    found = Stratum("f", "found", 4, 400.0, (YES, NO, YES, NO))
    got = estimate([found, _blank(100)], generator=_generator())
    assert got.precision == Estimate(0.5, 0.5, 0.5)
    assert got.recall is got.buildings is got.area is None
    assert "nothing is decided yet in blank" in got.notes[0]


def test_no_footprint_has_no_precision_and_no_building_no_recall() -> None:
    got = estimate([_blank(2, EMPTY, EMPTY)], generator=_generator())
    assert got.precision is got.recall is None
    assert got.buildings == Estimate(0.0, 0.0, 0.0)
    assert "no footprint was found" in got.notes[0]


def test_more_reviewed_than_there_are_is_refused() -> None:
    with pytest.raises(SettingsError, match="1 units, of which 2"):
        Stratum("f", "found", 1, 100.0, (YES, NO))


def test_the_same_seed_gives_the_same_interval() -> None:
    strata = [Stratum("f", "found", 90, 9000.0, (YES, NO, YES)), _blank(50, EMPTY, MISSED)]
    first = estimate(strata, generator=_generator())
    assert first == estimate(strata, generator=_generator())
    assert first.to_json()["recall"]["value"] == pytest.approx(60 / (60 + 25))


def test_nineteen_of_twenty_intervals_hold_the_truth() -> None:
    """Simulated maps of many kinds, with the strata and sizes of a sample of 200: small ones and
    large ones, precise and poor ones, with few and with many missed buildings, which stand in
    clusters; large footprints are right more often. 300 maps tell 95 % from 91.5 %."""
    generator = np.random.default_rng(4)
    maps = 300
    held = dict.fromkeys(("precision", "recall", "buildings", "area"), 0)
    for _ in range(maps):
        strata, truth = _simulated(generator)
        got = estimate(strata, generator=generator, draws=300)
        for name, value in truth.items():
            interval: Estimate = getattr(got, name)
            held[name] += interval.low <= value <= interval.high
    shares = {name: count / maps for name, count in held.items()}
    assert all(0.92 <= share <= 0.985 for share in shares.values()), shares


def _simulated(generator: np.random.Generator) -> tuple[list[Stratum], dict[str, float]]:
    """The strata of a random map with what a perfect reviewer says of the sample, and the truth."""
    count = int(generator.integers(60, 1500))
    probability = np.sort(0.5 + 0.5 * generator.beta(4.0, 1.5, count))
    size = generator.lognormal(5.0, 0.8, count)
    right = probability ** generator.uniform(0.2, 2.0) * (0.8 + 0.2 * (size > 100))
    found = (generator.random(count) < right).astype(float)
    strata = [
        _drawn(f"found-{n}", generator, 25, found[part], (found * size)[part], size[part])
        for n, part in enumerate(np.array_split(np.arange(count), 4), start=1)
    ]
    places = int(generator.integers(50, 2000))
    place_size = generator.lognormal(4.0, 0.8, places)
    missed = (generator.random(places) < generator.uniform(0.01, 0.3)).astype(float)
    strata.append(_drawn("missed", generator, 50, missed, missed * place_size, place_size))
    tiles = int(generator.integers(100, 3000))
    rate = generator.gamma(1.0, 10 ** generator.uniform(-2.5, -0.8), tiles)
    lost = generator.poisson(rate).astype(float)
    lost_area = np.array([generator.lognormal(5.0, 0.8, int(n)).sum() for n in lost])
    strata.append(_drawn("blank", generator, 50, lost, lost_area, np.zeros(tiles)))
    buildings = found.sum() + missed.sum() + lost.sum()
    truth = {
        "precision": found.mean(),
        "recall": found.sum() / buildings,
        "buildings": buildings,
        "area": (found * size).sum() + (missed * place_size).sum() + lost_area.sum(),
    }
    return strata, {name: float(value) for name, value in truth.items()}


def _drawn(
    name: str,
    generator: np.random.Generator,
    draw: int,
    buildings: np.ndarray,
    area: np.ndarray,
    size: np.ndarray,
) -> Stratum:
    chosen = generator.choice(len(size), min(draw, len(size)), replace=False)
    units = tuple(
        Unit(float(buildings[i] > 0), float(buildings[i]), float(area[i]), float(size[i]))
        for i in chosen
    )
    kind = "found" if name.startswith("found") else "missed" if name == "missed" else "blank"
    return Stratum(name, kind, len(size), float(size.sum()), units)
