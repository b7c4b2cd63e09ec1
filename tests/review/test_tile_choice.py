"""Which tiles are chosen: small arrays whose answer can be seen."""

from __future__ import annotations

import numpy as np
import pytest

from hanet.errors import SettingsError
from hanet.review.tile_choice import BLANK_SHARE, select_tiles, strengths_of, weights_of


def _groups(*sizes: int) -> np.ndarray:
    """(N, 2) points in groups far apart, each group spread over a little."""
    rng = np.random.default_rng(5)
    parts = [10 * n + 0.1 * rng.standard_normal((size, 2)) for n, size in enumerate(sizes)]
    return np.concatenate(parts)


def _indices(features: np.ndarray, doubt: np.ndarray, **how: object) -> list[int]:
    settings: dict[str, object] = {"count": 3, "seed": 1, **how}
    return [one.index for one in select_tiles(features, doubt, **settings)]


def test_one_of_each_kind_comes_before_a_second_of_any() -> None:
    features = _groups(20, 10, 5)
    chosen = select_tiles(features, np.ones(35), count=3, seed=1)
    kinds = [int(np.searchsorted([20, 30], one.index, side="right")) for one in chosen]
    assert kinds == [0, 1, 2]
    assert all(a < b for a, b in zip([15, 6, 3], [one.stands_for for one in chosen], strict=True))
    assert all(one.novelty > 0.99 for one in chosen)


def test_of_kinds_of_the_same_size_the_doubtful_one_comes_first() -> None:
    features = _groups(10, 10)
    doubt = np.r_[np.full(10, 0.01), np.full(10, 0.3)]
    first = select_tiles(features, doubt, count=1, seed=1)[0]
    assert first.index >= 10
    assert first.doubt_rank == pytest.approx(10 / 19)


def test_an_outlier_is_not_chosen_for_its_doubt_alone() -> None:
    features = np.concatenate([_groups(20, 20), [[99.0, -99.0]]])
    doubt = np.r_[np.full(40, 0.2), 0.9]
    assert 40 not in _indices(features, doubt, count=2)


def test_what_looks_like_reviewed_ground_needs_no_other() -> None:
    features = _groups(20, 10)
    labelled = np.arange(30) == 3
    chosen = select_tiles(features, np.ones(30), labelled=labelled, count=1, seed=1)
    assert chosen[0].index >= 20


def test_place_spreads_tiles_that_look_the_same() -> None:
    rng = np.random.default_rng(2)
    features = rng.standard_normal((40, 3)) * 1e-3
    positions = np.column_stack([np.r_[np.zeros(20), np.full(20, 50.0)], np.arange(40) % 20])
    chosen = _indices(features, np.ones(40), positions=positions, count=2)
    assert sorted(index // 20 for index in chosen) == [0, 1]


def test_blank_tiles_have_their_share() -> None:
    features = _groups(30, 5)
    doubt = np.r_[np.full(30, 0.5), np.zeros(5)]
    blank = np.arange(35) >= 30
    chosen = _indices(features, doubt, blank=blank, count=10)
    assert sum(index >= 30 for index in chosen) >= round(BLANK_SHARE * 10)


def test_only_open_tiles_are_chosen_and_no_more_than_there_are() -> None:
    features = _groups(6, 6)
    may_be = np.arange(12) % 4 == 0
    labelled = np.arange(12) == 4
    chosen = _indices(features, np.ones(12), open_ones=may_be, labelled=labelled, count=9)
    assert sorted(chosen) == [0, 8]
    assert _indices(features, np.ones(12), labelled=np.ones(12, dtype=bool)) == []


def test_ground_is_not_chosen_twice() -> None:
    features = _groups(3, 3)
    beside = {0: [1, 2], 1: [0, 2], 2: [0, 1]}
    chosen = _indices(features, np.ones(6), count=6, same_ground=beside)
    assert len(set(chosen) & {0, 1, 2}) == 1
    assert {3, 4, 5} < set(chosen)


def test_blank_tiles_on_ground_that_is_chosen_are_not_waited_for() -> None:
    blank = np.array([False, True, False])
    beside = {0: [1], 2: [1]}
    features = np.array([[0.0, 0.0], [9.0, 9.0], [0.1, 0.0]])
    chosen = _indices(features, np.ones(3), count=3, blank=blank, same_ground=beside)
    assert 0 in chosen or 2 in chosen


def test_the_same_seed_gives_the_same_and_equal_tiles_are_drawn_by_it() -> None:
    same = np.zeros((50, 4))
    draws = [_indices(same, np.ones(50), seed=seed) for seed in (1, 1, 2, 3)]
    assert draws[0] == draws[1]
    assert len({tuple(draw) for draw in draws}) == 3
    assert all(len(set(draw)) == 3 for draw in draws)


def test_units_do_not_matter() -> None:
    rng = np.random.default_rng(3)
    features, doubt = rng.standard_normal((60, 5)), rng.random(60)
    scaled = features * [1, 1000, 1e-4, 7, 3] + [0, 5, -3, 100, 1]
    assert _indices(features, doubt) == _indices(scaled, 50 * doubt)


def test_one_odd_value_does_not_decide() -> None:
    features, doubt = _groups(20, 10, 5), np.ones(35)
    before = _indices(features, doubt)
    odd = np.column_stack([features, np.zeros(35)])
    odd[7, 2] = 1e9
    assert [i // 20 for i in _indices(odd, doubt)][:2] == [i // 20 for i in before][:2]


def test_a_single_tile_and_wrong_counts() -> None:
    one = select_tiles(np.zeros((1, 3)), np.zeros(1), np.zeros((1, 2)), count=5, seed=1)
    assert [chosen.index for chosen in one] == [0]
    with pytest.raises(SettingsError, match="0 tiles are asked for"):
        select_tiles(np.zeros((1, 3)), np.zeros(1), count=0, seed=1)


def test_weights_lie_between_the_least_and_one() -> None:
    assert weights_of(np.zeros(4)).tolist() == [0.25] * 4
    weights = weights_of(np.r_[np.zeros(5), np.linspace(0.1, 1.0, 10)])
    assert (weights[0], weights[-1]) == (0.25, 1.0)
    assert (np.diff(weights) >= 0).all()


def test_doubt_counts_by_what_is_usual_for_it() -> None:
    doubt = np.array([0.1, 0.1, 0.2, 0.2, 0.0])
    flips = np.array([0.01, 0.05, 0.04, np.nan, 0.0])
    assert strengths_of(doubt, flips).tolist() == pytest.approx([0.5, 2.0, 0.8, 1.0, 1.0])
    assert strengths_of(doubt, np.full(5, np.nan)).tolist() == [1.0] * 5
