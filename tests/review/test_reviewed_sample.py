"""From the journal to the strata: what became of each sampled unit, cut, joined and drawn ones
too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import shapely

from hanet.footprints.settings import FootprintSettings
from hanet.review.items import Item
from hanet.review.review import Review
from hanet.review.reviewed_sample import estimates_json, estimates_of, sampled_strata
from hanet.review.sampling import Sample, draw_sample
from hanet.review.state import ReviewState
from hanet.types import Json
from reviewed_runs import finished_run, village

GRID = {"crs": None, "transform": [1.0, 0.0, 0.0, 0.0, -1.0, 0.0], "height": 500, "width": 500}
FOUND = [
    Item(f"f{n}", "found", shapely.box(20 * n, 0, 20 * n + 10, 10), 0.5 + 0.01 * n)
    for n in range(1, 9)
]
PLACES = [Item(f"m{n}", "missed", shapely.box(20 * n, 20, 20 * n + 5, 25), 0.3) for n in (1, 2)]
TILES = [Item(f"b{n}", "blank", shapely.box(100 * n, 100, 100 * n + 50, 150)) for n in (1, 2, 3, 4)]


def _state() -> ReviewState:
    return ReviewState(
        {
            "n": 1,
            "at": "2026-11-28T12:00:00.000Z",
            "by": "anna",
            "do": "begin",
            "format": 1,
            "hanet": "1.0",
            "probability_sha256": "00",
            "grid": GRID,
            "settings": FootprintSettings(threshold=0.5).to_json(),
        }
    )


def _apply(state: ReviewState, record: Json) -> None:
    state.apply({"n": state.last + 1, "at": "2026-11-28T12:00:00.000Z", "by": "anna", **record})


def _decide(state: ReviewState, status: str, *items: Item) -> None:
    record = {"do": "decide", "items": [item.body() for item in items], "set": {"status": status}}
    _apply(state, {**record, "was": [item.decision() for item in items]})


def _draw(state: ReviewState, shape: shapely.Polygon) -> Item:
    item = Item(state.next_drawn(), "drawn", shape)
    _apply(state, {"do": "draw", "item": item.body(), "set": {"status": "accepted"}})
    return item


def _sampled(count: int = 14) -> tuple[ReviewState, Sample]:
    state = _state()
    sample = draw_sample(found=FOUND, missed=PLACES, blank=TILES, count=count, seed=3)
    _apply(state, {"do": "sample", "threshold": 0.5, **sample.to_json()})
    return state, sample


def test_without_a_sample_there_are_no_estimates() -> None:
    assert estimates_of(_state()) is None
    assert estimates_json(_state()) is None


def test_a_reviewed_census_gives_the_truth() -> None:
    """Six of eight footprints are right, one of two places was missed, and two buildings were drawn
    in one of the tiles."""
    state, _ = _sampled()
    _decide(state, "accepted", *FOUND[:6], PLACES[0])
    _decide(state, "rejected", *FOUND[6:], PLACES[1], *TILES)
    for left in (110, 130):
        _draw(state, shapely.box(left, 110, left + 10, 120))
    got = estimates_of(state)
    assert got is not None
    for estimate, value in (
        (got.precision, 0.75),
        (got.recall, 6 / 9),
        (got.buildings, 9.0),
        (got.area, 600 + 25 + 200),
    ):
        assert estimate is not None
        assert (estimate.value, estimate.low, estimate.high) == pytest.approx((value,) * 3)
    assert got.notes == ()


def test_a_sample_that_nobody_looked_at_says_so() -> None:
    state, _ = _sampled()
    got = estimates_of(state)
    assert got is not None
    assert got.precision is got.recall is None
    assert any("14 units of the sample are not reviewed" in note for note in got.notes)


def test_units_stand_in_their_strata_with_what_was_decided() -> None:
    state, sample = _sampled(count=8)
    first = next(item for item in sample.items if item.source == "found")
    _decide(state, "unsure", first)
    found = [stratum for stratum in sampled_strata(state) if stratum.kind == "found"]
    assert [stratum.population for stratum in found] == [8]
    assert found[0].size == 800
    assert len(found[0].unsure) == 1
    assert found[0].unreviewed == sum(item.source == "found" for item in sample.items) - 1


def test_all_footprints_decided_are_a_census_whatever_was_sampled() -> None:
    state, _ = _sampled(count=8)
    _decide(state, "accepted", *FOUND[:7])
    _decide(state, "rejected", FOUND[7])
    found = [stratum for stratum in sampled_strata(state) if stratum.kind == "found"]
    assert [(stratum.population, len(stratum.units)) for stratum in found] == [(8, 8)]
    got = estimates_of(state)
    assert got is not None
    assert got.precision is not None
    assert (got.precision.low, got.precision.value, got.precision.high) == (7 / 8,) * 3


def test_a_cut_footprint_is_as_many_buildings_as_were_accepted_of_it() -> None:
    state, _ = _sampled()
    parts = [
        Item(f"d{n}", "drawn", shapely.box(left, 0, left + 5, 10), FOUND[0].probability)
        for n, left in ((1, 20), (2, 25))
    ]
    into = [part.body() for part in parts]
    _apply(state, {"do": "split", "id": "f1", "item": FOUND[0].body(), "into": into})
    _decide(state, "accepted", *parts, *FOUND[1:])
    _decide(state, "rejected", *PLACES, *TILES)
    got = estimates_of(state)
    assert got is not None
    assert got.precision is not None
    assert got.buildings is not None
    assert got.area is not None
    assert (got.precision.value, got.buildings.value, got.area.value) == (1.0, 9.0, 800.0)
    assert got.buildings.low == got.buildings.high == 9.0


def test_two_joined_footprints_are_one_building() -> None:
    state, _ = _sampled()
    joined = Item("d1", "drawn", shapely.box(20, 0, 50, 10), 0.5)
    bodies = [item.body() for item in FOUND[:2]]
    _apply(state, {"do": "merge", "ids": ["f1", "f2"], "items": bodies, "into": joined.body()})
    _decide(state, "accepted", joined, *FOUND[2:])
    _decide(state, "rejected", *PLACES, *TILES)
    got = estimates_of(state)
    assert got is not None
    assert got.precision is not None
    assert got.buildings is not None
    assert got.area is not None
    assert (got.precision.value, got.buildings.value, got.area.value) == (1.0, 7.0, 900.0)


def test_a_footprint_joined_with_a_drawn_piece_is_a_whole_building() -> None:
    state, _ = _sampled()
    piece = _draw(state, shapely.box(30, 0, 35, 10))
    joined = Item("d2", "drawn", shapely.box(20, 0, 35, 10), 0.5)
    bodies = [FOUND[0].body(), piece.body()]
    _apply(state, {"do": "merge", "ids": ["f1", "d1"], "items": bodies, "into": joined.body()})
    _decide(state, "accepted", joined, *FOUND[1:])
    _decide(state, "rejected", *PLACES, *TILES)
    got = estimates_of(state)
    assert got is not None
    assert got.recall is not None
    assert got.buildings is not None
    assert got.area is not None
    assert (got.recall.value, got.buildings.value, got.area.value) == (1.0, 8.0, 850.0)


def test_what_was_drawn_in_a_tile_and_cut_is_as_many_missed_buildings() -> None:
    state, _ = _sampled()
    drawn = _draw(state, shapely.box(110, 110, 130, 120))
    parts = [
        Item(f"d{n}", "drawn", shapely.box(left, 110, left + 10, 120), status="accepted")
        for n, left in ((2, 110), (3, 120))
    ]
    into = [{**part.body(), **part.decision()} for part in parts]
    _apply(state, {"do": "split", "id": "d1", "item": drawn.body(), "into": into})
    _decide(state, "accepted", *FOUND)
    _decide(state, "rejected", *PLACES, *TILES)
    got = estimates_of(state)
    assert got is not None
    assert got.recall is not None
    assert got.buildings is not None
    assert got.area is not None
    assert (got.recall.value, got.buildings.value, got.area.value) == (0.8, 10.0, 1000.0)


def test_a_tile_that_is_said_to_hold_a_change_counts_one_building_of_usual_size() -> None:
    state, _ = _sampled()
    _decide(state, "accepted", *FOUND, TILES[0])
    _decide(state, "rejected", *PLACES, *TILES[1:])
    got = estimates_of(state)
    assert got is not None
    assert got.buildings is not None
    assert got.area is not None
    assert (got.buildings.value, got.area.value) == (9.0, 900.0)


def test_what_is_drawn_outside_the_sampled_tiles_says_nothing_of_them() -> None:
    state, _ = _sampled()
    _decide(state, "accepted", *FOUND)
    _decide(state, "rejected", *PLACES, *TILES)
    _draw(state, shapely.box(400, 400, 420, 420))
    got = estimates_of(state)
    assert got is not None
    assert got.recall is not None
    assert got.recall.value == 1.0


@pytest.mark.parametrize(
    ("threshold", "status", "drawn", "precision", "recall", "buildings"),
    [
        # a missed place that was accepted is a footprint now, and so is a building drawn on it
        (0.25, {"m1": "accepted"}, False, 1.0, 1.0, 4),
        (0.25, {}, True, 1.0, 1.0, 4),
        # f3 is only a missed place now
        (0.6, {"f3": "accepted", "m1": "rejected"}, False, 1.0, 2 / 3, 3),
        (0.6, {"f3": "rejected", "m1": "rejected"}, False, 1.0, 1.0, 2),
    ],
)
def test_what_was_decided_before_a_remake_counts_as_what_this_made_of_it(
    tmp_path: Path,
    threshold: float,
    status: dict[str, str],
    drawn: bool,
    precision: float,
    recall: float,
    buildings: float,
) -> None:
    out = finished_run(tmp_path / "out", village(), outline="pixels")
    with Review.open(out, reviewer="anna") as review:
        for identity in ("f1", "f2", "f3", "m1"):
            if not (drawn and identity == "m1"):
                review.decide([identity], {"status": status.get(identity, "accepted")})
        if drawn:
            review.draw(review.item("m1").geometry)
        review.remake(replace(review.settings, threshold=threshold))
        sample = review.make_sample(1000, seed=1).changed
        kept = {item.id for item in sample if item.source != "blank"}
        assert kept == {"f1", "f2", "f3", "d1" if drawn else "m1"}
        for item in sample:
            if item.source == "blank":
                review.decide([item.id], {"status": "rejected"})
        got = review.estimates()
    assert got is not None
    assert got["notes"] == ()
    for name, value in (("precision", precision), ("recall", recall), ("buildings", buildings)):
        assert [got[name][key] for key in ("value", "low", "high")] == pytest.approx([value] * 3)


def test_the_page_gets_unit_threshold_and_assumptions_too() -> None:
    state, _ = _sampled()
    _decide(state, "accepted", *FOUND, *PLACES, *TILES)
    values = estimates_json(state)
    assert values is not None
    assert (values["unit"], values["threshold"], values["seed"]) == ("px", 0.5, 3)
    assert values["precision"]["value"] == 1.0
    assert any("missed" in text for text in values["assumptions"])


def test_what_was_drawn_before_a_remake_and_is_cut_after_it_is_as_many_found_buildings(
    tmp_path: Path,
) -> None:
    out = finished_run(tmp_path / "out", village(), outline="pixels")
    with Review.open(out, reviewer="anna") as review:
        review.decide(["f1", "f2", "f3"], {"status": "accepted"})
        review.draw(review.item("m1").geometry)
        review.remake(replace(review.settings, threshold=0.25))
        sample = review.make_sample(1000, seed=1).changed
        tiles = [item.id for item in sample if item.source == "blank"]
        review.decide(tiles, {"status": "rejected"})
        middle = review.item("d1").geometry.centroid.x
        review.split("d1", shapely.LineString([(middle, -1), (middle, 513)]))
        got = review.estimates()
    assert got is not None
    assert [got[name]["value"] for name in ("precision", "recall", "buildings")] == [1.0, 1.0, 5.0]
    assert got["buildings"]["low"] == got["buildings"]["high"] == 5.0


def test_what_was_accepted_before_a_remake_that_finds_nothing_there_is_missed_in_its_tile() -> None:
    state, _ = _sampled()
    old = Item("f9", "found", shapely.box(110, 110, 120, 120), 0.3)
    _decide(state, "accepted", old)
    settings = FootprintSettings(threshold=0.6).to_json()
    _apply(
        state,
        {"do": "remake", "settings": settings, "generation": 1, "taken": {}, "conflicts": []},
    )
    found = [replace(item, id=f"1-{n}") for n, item in enumerate(FOUND, start=1)]
    sample = draw_sample(found=found, missed=[], blank=TILES, count=12, seed=3)
    _apply(state, {"do": "sample", "threshold": 0.6, **sample.to_json()})
    _decide(state, "accepted", *found)
    _decide(state, "rejected", *TILES)
    got = estimates_of(state)
    assert got is not None
    assert got.recall is not None
    assert got.area is not None
    assert (got.recall.value, got.area.value) == (8 / 9, 900.0)


def test_a_complete_tile_is_no_building_in_a_blank_tile() -> None:
    state, _ = _sampled()
    _decide(state, "rejected", *TILES)
    before = estimates_json(state)
    for tile in TILES:  # a suggested tile on the same ground
        square = Item(f"t{tile.id[1:]}", "tile", tile.geometry)
        _decide(state, "accepted", square)
    assert estimates_json(state) == before
