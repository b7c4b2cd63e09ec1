"""PFBS: the paper's own example, and what a sampler promises."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from hanet.errors import HanetError, SettingsError, TrainingError
from hanet.training.sampling import (
    NORMAL,
    ForegroundBalancedSampler,
    Schedule,
    fixed,
    fixed_linear,
    linear,
    parse,
)

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


@pytest.mark.parametrize(
    "name", ["", "fixed", "fixed-0", "linear-", "linear-5-fixed-5", "normal-3"]
)
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
    parts = [
        list(ForegroundBalancedSampler(PIXELS, seed=5, rank=rank, ranks=3)) for rank in range(3)
    ]
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
        ForegroundBalancedSampler(PIXELS, schedule="fixed-1", seed=9).load_state_dict(
            stopped.state_dict()
        )


def _by_iteration(schedule: str, **changes: object) -> ForegroundBalancedSampler:
    values = {"unit": "iterations", "batch": 2, "length": 8, "seed": 0, **changes}
    return ForegroundBalancedSampler(PIXELS, schedule=schedule, **values)  # type: ignore[arg-type]


def test_fixed_in_iterations_ends_at_that_iteration_in_mid_epoch() -> None:
    sampler = _by_iteration("fixed-10")  # 4 iterations an epoch: the 10th is the second of epoch 3
    draws = np.concatenate([sampler.draws(epoch) for epoch in range(1, 60)]).reshape(-1, 2)
    assert set(draws[:10].ravel().tolist()) == {1, 4, 8}
    assert set(draws[10:14].ravel().tolist()) - {1, 4, 8}
    assert set(draws[10:].ravel().tolist()) == set(range(10))
    assert [len(sampler.pool(epoch)) for epoch in (1, 2, 3, 4)] == [3, 3, 3, 10]


def test_linear_in_iterations_draws_from_the_pool_of_its_iteration() -> None:
    sampler, schedule = _by_iteration("linear-14"), linear(14)
    for epoch in range(1, 7):
        for step, draws in enumerate(
            sampler.draws(epoch).reshape(-1, 2), start=4 * (epoch - 1) + 1
        ):
            open_now = {
                1,
                4,
                8,
                *sampler.background[: schedule.background_count(step, background=7)].tolist(),
            }
            assert set(draws.tolist()) <= open_now


def test_iterations_are_whole_batches() -> None:
    sampler = _by_iteration(
        "normal", length="set", batch=4
    )  # 10 tiles: 2 iterations of 4, 2 draws left over
    assert len(sampler.draws(1)) == sampler.draw_count(1) == 8
    assert len(set(sampler.draws(1).tolist())) == 8


def test_a_grown_pool_is_drawn_evenly() -> None:
    draws = _by_iteration("fixed-1", length=40).draws(1)
    assert sorted(Counter(draws[2:].tolist()).values())[0] >= 3
    assert sorted(Counter(draws[2:].tolist()).values())[-1] <= 5


@pytest.mark.parametrize("unit", ["epochs", "iterations"])
@pytest.mark.parametrize("length", ["set", "pool", 7, 23])
@pytest.mark.parametrize("schedule", ["normal", "fixed-2", "linear-3", "fixed-1-linear-2"])
def test_draws_and_their_count_agree(schedule: str, length: str | int, unit: str) -> None:
    if (length, unit) == ("pool", "iterations"):
        with pytest.raises(SettingsError, match="one length"):
            _by_iteration(schedule, length=length)
        return
    sampler = _by_iteration(schedule, length=length, unit=unit)
    for epoch in range(1, 7):
        draws = sampler.draws(epoch)
        assert len(draws) == sampler.draw_count(epoch)
        assert sampler.foreground_share(epoch) == np.mean([PIXELS[draw] > 0 for draw in draws])
        assert np.array_equal(draws, sampler.draws(epoch))


def test_the_whole_set_in_every_epoch_has_another_order() -> None:
    sampler = ForegroundBalancedSampler(PIXELS, seed=0)
    assert len({tuple(sampler.draws(epoch).tolist()) for epoch in range(1, 20)}) == 19


class _Numbers(Dataset[int]):
    def __len__(self) -> int:
        return len(PIXELS)

    def __getitem__(self, index: int) -> int:
        return index


def test_persistent_workers_follow_the_schedule() -> None:
    """The released code changed the data set from outside, which workers that live on never saw."""
    sampler = ForegroundBalancedSampler(PIXELS, schedule="fixed-2", seed=4)
    loader = DataLoader(
        _Numbers(),
        sampler=sampler,
        batch_size=2,
        num_workers=1,
        persistent_workers=True,
        multiprocessing_context="fork",
    )
    seen = [torch.cat(list(loader)).tolist() for _ in range(3)]
    assert seen == [sampler.draws(epoch).tolist() for epoch in (1, 2, 3)]
    assert set(seen[1]) == {1, 4, 8}
    assert set(seen[2]) == set(range(10))


def test_state_is_plain_json_and_names_what_differs() -> None:
    sampler = ForegroundBalancedSampler(PIXELS, schedule="fixed-2", seed=1, ranks=2)
    state = json.loads(json.dumps(sampler.state_dict()))
    assert (state["epoch"], state["position"]) == (1, 0)
    with pytest.raises(TrainingError, match="foreground_sha256 differ"):
        ForegroundBalancedSampler(
            PIXELS[::-1], schedule="fixed-2", seed=1, ranks=2
        ).load_state_dict(state)
    with pytest.raises(TrainingError, match="ranks, schedule differ"):
        ForegroundBalancedSampler(PIXELS, schedule="fixed-3", seed=1).load_state_dict(state)


@pytest.mark.parametrize(
    "wrong",
    [
        {"length": "all"}, {"length": 0}, {"unit": "steps"}, {"ramp": "mine"}, {"batch": 0}, {"seed": -1},
        {"rank": 2, "ranks": 2}, {"unit": "iterations", "ramp": "released code"},
    ],
    ids=str,
)  # fmt: skip
def test_values_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingsError):
        ForegroundBalancedSampler(PIXELS, **wrong)  # type: ignore[arg-type]


def test_a_set_without_tiles_is_refused() -> None:
    with pytest.raises(TrainingError, match="no tile"):
        ForegroundBalancedSampler([])


def test_without_foreground_a_schedule_is_refused() -> None:
    with pytest.raises(HanetError, match="no training tile"):
        ForegroundBalancedSampler([0, 0], schedule="fixed-1")


def test_the_released_ramp_draws_background_from_outside_the_pool() -> None:
    """Literally, over the list sorted foreground first: position p takes tile p % pool, unless that
    is background: then tile p."""
    sampler = ForegroundBalancedSampler(PIXELS, schedule="linear-3", ramp="released code", seed=0)
    in_order = [1, 4, 8, *sampler.background.tolist()]
    for epoch, pool in ((1, 3), (2, 5), (3, 7), (4, 10)):
        expected = []
        for position in range(10):
            wrapped = position % pool
            expected.append(
                in_order[position] if position >= pool and wrapped >= 3 else in_order[wrapped]
            )
        assert sorted(sampler.draws(epoch).tolist()) == sorted(expected)
    assert not set(sampler.draws(2).tolist()) <= set(sampler.pool(2).tolist())
