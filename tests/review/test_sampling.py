"""The stratified sample: reproducible, written down, and all of a stratum where it is small."""

from __future__ import annotations

from collections import Counter

import pytest
import shapely

from hanet.errors import SettingsError
from hanet.review.items import Item, Source
from hanet.review.sampling import Sample, allocation, draw_sample


def _items(source: Source, count: int) -> list[Item]:
    """Squares of rising size; the probability of footprints rises from 0.5, that of places from
    0.2; tiles have none."""
    start = {"found": 0.5, "missed": 0.2}.get(source)
    return [
        Item(
            id=f"{source[0]}{number}",
            source=source,
            geometry=shapely.box(10 * number, 0, 10 * number + 5, 5),
            area_m2=float(number),
            **({} if start is None else {"probability": start + 0.25 * number / count}),
        )
        for number in range(1, count + 1)
    ]


def _draw(count: int = 200, seed: int = 1, found: int = 400, blank: int = 300) -> Sample:
    return draw_sample(
        found=_items("found", found),
        missed=_items("missed", 100),
        blank=_items("blank", blank),
        count=count,
        seed=seed,
    )


def test_half_of_it_are_footprints_in_four_strata_by_probability() -> None:
    sample = _draw()
    drawn = Counter(item.stratum for item in sample.items)
    assert drawn == {f"found-{n}": 25 for n in (1, 2, 3, 4)} | {"missed": 50, "blank": 50}
    by_stratum = {
        name: [item.probability for item in sample.items if item.stratum == name] for name in drawn
    }
    assert max(by_stratum["found-1"]) < min(by_stratum["found-2"])
    assert max(by_stratum["found-3"]) < min(by_stratum["found-4"])


def test_what_was_drawn_of_how_many_is_written_down() -> None:
    strata = _draw().to_json()["strata"]
    assert strata["found-1"]["population"] == 100
    assert strata["found-1"]["drawn"] == 25
    assert strata["found-1"]["area"] == sum(range(1, 101))
    assert strata["found-1"]["probability"] == pytest.approx([0.5 + 0.25 / 400, 0.5625])
    assert strata["blank"] == {"population": 300, "drawn": 50, "area": 0, "probability": None}


def test_the_same_seed_draws_the_same_whatever_the_order_of_the_items() -> None:
    def of(step: int) -> Sample:
        return draw_sample(
            found=_items("found", 50)[::step],
            missed=_items("missed", 50)[::step],
            blank=_items("blank", 50)[::step],
            count=40,
            seed=7,
        )

    assert of(1) == of(-1)
    assert [item.id for item in _draw(seed=1).items] != [item.id for item in _draw(seed=2).items]


def test_nothing_is_drawn_twice() -> None:
    ids = [item.id for item in _draw().items]
    assert len(set(ids)) == len(ids) == 200


def test_each_unit_of_a_stratum_has_the_same_chance() -> None:
    """12 tiles, 3 of them drawn 800 times: 200 times each, with a standard deviation of 12."""
    drawn = Counter(
        item.id
        for seed in range(800)
        for item in draw_sample(
            found=[], missed=[], blank=_items("blank", 12), count=3, seed=seed
        ).items
    )
    assert set(drawn) == {f"b{n}" for n in range(1, 13)}
    assert min(drawn.values()) > 150
    assert max(drawn.values()) < 250


def test_a_small_stratum_is_drawn_as_a_whole_and_the_others_give_the_rest() -> None:
    sample = _draw(count=200, found=30, blank=1000)
    drawn = Counter(item.source for item in sample.items)
    assert drawn["found"] == 30
    assert sum(drawn.values()) == 200


def test_more_than_there_is_draws_all() -> None:
    sample = draw_sample(
        found=_items("found", 3), missed=[], blank=_items("blank", 2), count=500, seed=1
    )
    assert sorted(item.id for item in sample.items) == ["b1", "b2", "f1", "f2", "f3"]
    assert "missed" not in sample.strata


@pytest.mark.parametrize("count", [1, 2, 7, 39])
def test_a_small_sample_is_as_large_as_asked_for(count: int) -> None:
    assert len(_draw(count=count).items) == count


def test_few_footprints_make_fewer_strata() -> None:
    names = {item.stratum for item in _draw(count=44).items}
    assert {name for name in names if name.startswith("found")} == {"found-1", "found-2"}


def test_allocation_gives_what_a_full_stratum_cannot_take_to_the_others() -> None:
    given = allocation({"a": 5, "b": 100, "c": 0}, {"a": 0.5, "b": 0.25, "c": 0.25}, 40)
    assert given == {"a": 5, "b": 35, "c": 0}
    assert allocation({"a": 2, "b": 3}, {"a": 0.5, "b": 0.5}, 50) == {"a": 2, "b": 3}


@pytest.mark.parametrize(
    ("count", "seed", "said"),
    [(0, 1, "a sample of 0"), (-3, 1, "a sample of -3"), (5, -1, "the seed is -1")],
)
def test_wrong_numbers_are_refused(count: int, seed: int, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        _draw(count=count, seed=seed)


def test_nothing_to_draw_from_is_said() -> None:
    with pytest.raises(SettingsError, match="nothing to draw"):
        draw_sample(found=[], missed=[], blank=[], count=5, seed=1)
