"""What is rated in a pair, and which pairs are taken together."""

from __future__ import annotations

import json
from typing import Any

import pytest
import shapely

from hanet.errors import SettingsError
from hanet.imagery.stac_documents import Document
from hanet.imagery.stac_item import StacItem, item_of
from hanet.stac.choice import Area, Candidate, Rules, choose, rate, season_days
from hanet.stac.periods import parse_period
from stac_scenes import item

AREA = Area(shapely.box(10.0, 0.0, 14.0, 1.0))


def scene(name: str = "one", *, when: str = "2019-05-03", **facts: Any) -> StacItem:
    value = item(name, datetime=f"{when}T10:00:00Z", **facts)
    return item_of(Document(json.loads(json.dumps(value)), f"{name}.json"))


def candidate(name: str, west: float, east: float, **facts: Any) -> Candidate:
    """An item over some degrees of the area, all of it from south to north."""
    found = scene(name, bbox=[west, -1.0, east, 2.0], **facts)
    return Candidate(found, AREA.part_of(found))


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2019", "2019-01-01T00:00:00Z", "2019-12-31T23:59:59Z"),
        ("2024-02", "2024-02-01T00:00:00Z", "2024-02-29T23:59:59Z"),
        ("2019-05-17", "2019-05-17T00:00:00Z", "2019-05-17T23:59:59Z"),
        ("2019-04/2019-09", "2019-04-01T00:00:00Z", "2019-09-30T23:59:59Z"),
        ("2018 / 2019", "2018-01-01T00:00:00Z", "2019-12-31T23:59:59Z"),
    ],
)
def test_periods(text: str, start: str, end: str) -> None:
    assert parse_period(text, "--before") == (start, end)


@pytest.mark.parametrize("text", ["", "spring", "2019/", "/2019", "2019-13", "2020/2019", "2019/2020/2021"])  # fmt: skip
def test_what_is_no_period_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="--before"):
        parse_period(text, "--before")


@pytest.mark.parametrize(
    ("first", "second", "days"),
    [
        ("2019-05-03", "2024-05-03", 1),  # the 124th day of a leap year
        ("2019-12-30", "2024-01-02", 3),
        ("2019-01-01", "2024-07-02", 182),
        ("2020-12-31", "2019-01-01", 0),
    ],
)
def test_days_of_the_season(first: str, second: str, days: int) -> None:
    assert season_days(f"{first}T00:00:00Z", f"{second}T00:00:00Z") == days


def test_each_difference_between_two_images_lowers_their_rating() -> None:
    good = {
        "eo:cloud_cover": 0,
        "view:off_nadir": 5,
        "view:sun_elevation": 60,
        "view:sun_azimuth": 350,
    }
    best = rate(scene(**good), scene(**good)).quality
    assert best == pytest.approx(1 - 0.5 * 5 / 100)
    for worse, points in (
        ({"eo:cloud_cover": 10}, 5.0),
        ({"view:off_nadir": 15}, 2.5 + 10.0),
        ({"view:sun_elevation": 50}, 3.0),
        ({"view:sun_azimuth": 20}, 3.0),  # over north
    ):
        quality = rate(scene(**good), scene(**{**good, **worse})).quality
        assert best - quality == pytest.approx(points / 100), worse
    unknown = rate(scene(**good), scene()).quality
    assert 0.5 < unknown < best
    said = rate(scene(), scene()).words
    assert said[1:] == (
        "cloud unknown",
        "off-nadir unknown",
        "height of the sun unknown, direction unknown",
    )
    half_a_year = rate(scene(**good), scene(when="2019-11-01", **good)).quality
    assert best - half_a_year == pytest.approx(0.2, abs=0.002)


def test_what_an_item_does_not_say_breaks_no_rule() -> None:
    assert Rules().broken_by(scene()) is None
    for rule, facts in (
        ("cloud", {"eo:cloud_cover": 21}),
        ("off-nadir", {"view:off_nadir": 31}),
        ("sun", {"view:sun_elevation": 14}),
    ):
        broken = Rules().broken_by(scene(**facts))
        assert broken is not None
        assert broken[0] == rule


def test_the_whole_area_is_shown_by_few_good_pairs() -> None:
    before = [candidate("west", 9, 12), candidate("east", 12, 15), candidate("hazy", 9, 15)]
    before[2] = Candidate(
        scene("hazy", bbox=[9, -1, 15, 2], **{"eo:cloud_cover": 90}), before[2].shape
    )
    after = [candidate("all", 9, 15, when="2024-05-03")]
    pairs = choose(before, after, AREA, most=10)
    assert [(pair.before.id, pair.after.id) for pair in pairs] == [("west", "all"), ("east", "all")]
    assert [round(pair.share, 3) for pair in pairs] == [0.5, 0.5]
    assert sum(pair.added for pair in pairs) == pytest.approx(1.0)
    assert "shows 50% of the area; quality" in pairs[0].why
    assert choose(before[2:], after, AREA, most=10)[0].before.id == "hazy"  # rather than none
    assert len(choose(before, after, AREA, most=1)) == 1


def test_a_pair_that_adds_little_is_left_out() -> None:
    before = [candidate("most", 10, 13.8), candidate("rest", 12, 15)]
    after = [candidate("all", 9, 15, when="2024-05-03")]
    assert [pair.before.id for pair in choose(before, after, AREA, most=10)] == ["most"]


def test_images_that_show_no_common_ground_are_no_pair() -> None:
    apart = choose([candidate("west", 9, 11)], [candidate("east", 13, 15)], AREA, most=10)
    assert apart == []
    touching = choose([candidate("west", 9, 12)], [candidate("east", 12, 15)], AREA, most=10)
    assert touching == []


def test_greedy_choice_is_that_of_looking_at_all_pairs_each_time() -> None:
    """Against a plain slow version, on items at random places."""
    import random

    chance = random.Random(7)
    for _ in range(5):
        sides = [(chance.uniform(9, 13), chance.uniform(0.5, 3)) for _ in range(12)]
        clouds = [chance.uniform(0, 60) for _ in sides]
        items = [
            candidate(f"{n}", west, west + width, when="2019-05-03", **{"eo:cloud_cover": cloud})
            for n, ((west, width), cloud) in enumerate(zip(sides, clouds, strict=True))
        ]
        before, after = items[:6], items[6:]
        found = [(p.before.id, p.after.id) for p in choose(before, after, AREA, most=10)]
        assert found == slow(before, after)


def slow(before: list[Candidate], after: list[Candidate]) -> list[tuple[str, str]]:
    left, chosen = AREA.flat, []
    while left.area / AREA.flat.area > 0.001:
        rated = []
        for first in before:
            for second in after:
                common = first.shape.intersection(second.shape)
                added = common.intersection(left)
                if common.area > 0 and added.area >= 0.1 * min(AREA.flat.area, common.area):
                    quality = rate(first.item, second.item).quality
                    rated.append((quality * added.area, first, second, common))
        if not rated:
            break
        _, first, second, common = max(rated, key=lambda one: one[0])
        chosen.append((first.item.id, second.item.id))
        left = left.difference(common)
    return chosen


@pytest.mark.parametrize(
    ("geometry", "bbox", "share"),
    [
        ({"type": "Polygon", "coordinates": [[[10, 0], [12, 0], [12, 1], [10, 1], [10, 0]]]}, None, 0.5),
        ({"type": "Polygon", "coordinates": "none"}, [10, 0, 11, 1], 0.25),
        ({"type": "Polygon", "coordinates": [[[10, 0], [12, 1e308], [12, 1], [10, 0]]]}, [10, 0, 11, 1], 0.25),
        ({"type": "Point", "coordinates": [10, 0]}, [10, 0, 11, 1], 0.25),
        ({"type": "Polygon", "coordinates": [[[10, 0], [12, 1], [12, 0], [10, 1], [10, 0]]]}, None, 0.25),
        (None, [10, 0, 5, 12, 1, 80], 0.5),
        (None, [12, 0, 10, 1], 0.5),
        (None, None, 0.0),
        (None, ["x", 0, 12, 1], 0.0),
    ],
)  # fmt: skip
def test_the_share_of_the_area_that_an_item_shows(geometry: Any, bbox: Any, share: float) -> None:
    found = scene(geometry=geometry, bbox=bbox)
    assert AREA.share(AREA.part_of(found)) == pytest.approx(share)
