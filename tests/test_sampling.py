"""PFBS: the paper's own example, and what a sampler promises."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from hanet.errors import HanetError
from hanet.sampling import NORMAL, ForegroundBalancedSampler, Schedule, fixed, fixed_linear, linear, parse

PAPER_BACKGROUND = 3336  # 4536 tiles of WHU-CD, 1200 of them foreground


@pytest.mark.parametrize(
    ("schedule", "epoch", "expected"),
    [
        (NORMAL, 1, 3336),
        (fixed(25), 1, 0),
        (fixed(25), 25, 0),
        (fixed(25), 26, 3336),
        (linear(15), 1, 0),
        (linear(15), 2, 222),
        (linear(15), 3, 444),
        (linear(15), 16, 3336),
        (linear(15), 90, 3336),
        (fixed_linear(10, 10), 10, 0),
        (fixed_linear(10, 10), 11, 333),
        (fixed_linear(10, 10), 20, 3336),
    ],
)
def test_background_of_an_epoch_by_the_paper(schedule: Schedule, epoch: int, expected: int) -> None:
    assert schedule.background_count(epoch, background=PAPER_BACKGROUND) == expected


@pytest.mark.parametrize("name", ["normal", "fixed-15", "linear-35", "fixed-10-linear-10"])
def test_names_go_there_and_back(name: str) -> None:
    assert parse(name).name == name


@pytest.mark.parametrize("name", ["", "fixed", "fixed-0", "linear-", "linear-5-fixed-5", "normal-3"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(HanetError):
        parse(name)


PIXELS = [0, 7, 0, 0, 3, 0, 0, 0, 1, 0]


def test_early_epochs_repeat_foreground_equally_often() -> None:
    draws = Counter(ForegroundBalancedSampler(PIXELS, schedule="fixed-2", seed=3).draws(1).tolist())
    assert set(draws) == {1, 4, 8}
    assert sorted(draws.values()) == [3, 3, 4]


def test_pools_grow_and_never_swap_tiles() -> None:
    sampler = ForegroundBalancedSampler(PIXELS, schedule="linear-3", seed=0)
    pools = [set(sampler.pool(epoch).tolist()) for epoch in range(1, 6)]
    assert [len(pool) for pool in pools] == [3, 5, 7, 10, 10]
    assert all(small <= large for small, large in pairwise(pools))
    assert sampler.foreground_share(1) == 1.0
    assert sampler.foreground_share(4) == pytest.approx(0.3)


def test_the_whole_set_is_seen_once_in_a_normal_epoch() -> None:
    assert sorted(ForegroundBalancedSampler(PIXELS, seed=1).draws(4).tolist()) == list(range(10))


def test_ranks_draw_disjoint_parts_of_equal_length() -> None:
    parts = [list(ForegroundBalancedSampler(PIXELS, seed=5, rank=rank, ranks=3)) for rank in range(3)]
    assert [len(part) for part in parts] == [3, 3, 3]
    assert len({draw for part in parts for draw in part}) == 9


def test_a_sampler_goes_on_in_mid_epoch() -> None:
    whole = ForegroundBalancedSampler(PIXELS, schedule="fixed-1", seed=2)
    expected = list(whole)
    stopped = ForegroundBalancedSampler(PIXELS, schedule="fixed-1", seed=2)
    iterator = iter(stopped)
    first = [next(iterator) for _ in range(4)]
    resumed = ForegroundBalancedSampler(PIXELS, schedule="fixed-1", seed=2)
    resumed.load_state_dict(stopped.state_dict())
    assert first + list(resumed) == expected
    with pytest.raises(HanetError, match="seed"):
        ForegroundBalancedSampler(PIXELS, schedule="fixed-1", seed=9).load_state_dict(stopped.state_dict())


def test_lengths_in_iterations() -> None:
    sampler = ForegroundBalancedSampler(PIXELS, schedule="fixed-10", unit="iterations", batch=2, length=8, seed=0)
    assert [len(sampler.pool(epoch)) for epoch in (1, 2, 3, 4)] == [
        3,
        3,
        3,
        10,
    ]  # 4 iterations an epoch; the 3rd begins at the 9th


def test_without_foreground_a_schedule_is_refused() -> None:
    with pytest.raises(HanetError, match="no training tile"):
        ForegroundBalancedSampler([0, 0], schedule="fixed-1")


def test_the_released_ramp_draws_background_from_outside_the_pool() -> None:
    sampler = ForegroundBalancedSampler(PIXELS, schedule="linear-3", ramp="released code", seed=0)
    assert not set(sampler.draws(2).tolist()) <= set(sampler.pool(2).tolist())
