"""The simulation of ``benchmarks/scaling.py``: cases that can be told by hand."""

from __future__ import annotations

import pytest

pytest.importorskip("distributed")

from scaling import GSD_M, KM2, Costs, Prices, simulate

PIXELS = KM2 * 1e6 / GSD_M**2
FREE = Costs(start=0, open=0, pixel=1e-6, scatter=0, task=0, plan=0, merge_pixel=0)
"""Nothing but pixels costs anything: 400,000 seconds for all of them."""

PRICES = Prices(cpu_hour=0.1, gb_read=0.0)


def test_workers_share_what_can_be_shared() -> None:
    one = simulate(FREE, PRICES, workers=1, pairs=1, shard_px=4_000_000_000)
    ten = simulate(FREE, PRICES, workers=10, pairs=1, shard_px=4_000_000_000)
    assert one.hours == pytest.approx(PIXELS * 1e-6 / 3600)
    assert ten.hours == pytest.approx(one.hours / 10)
    assert ten.busy == pytest.approx(1.0)
    assert ten.money_per_1000_km2 == pytest.approx(one.hours * 0.1 / 100)


def test_the_merge_of_one_plan_is_nobodys_but_of_many_it_is_shared() -> None:
    costs = Costs(start=0, open=0, pixel=1e-6, scatter=0, task=0, plan=0, merge_pixel=1e-7)
    one = simulate(costs, PRICES, workers=100, pairs=1, shard_px=4_000_000)
    many = simulate(costs, PRICES, workers=100, pairs=1000, shard_px=4_000_000)
    computing, merging = PIXELS * 1e-6 / 100, PIXELS * 1e-7
    assert one.hours * 3600 == pytest.approx(computing + merging, rel=0.01)
    assert many.hours * 3600 == pytest.approx(computing + merging / 100, rel=0.02)


def test_more_workers_than_shards_stand_idle() -> None:
    found = simulate(FREE, PRICES, workers=30, pairs=1, shard_px=round(PIXELS / 10))
    assert found.busy == pytest.approx(1 / 3)
    assert found.shares["idle"] == pytest.approx(2 / 3, abs=1e-4)


def test_who_hands_out_limits_and_shares_sum_to_one() -> None:
    costs = Costs(start=2, open=1, pixel=1e-6, scatter=0.3, task=4.0, plan=1, merge_pixel=1e-8)
    found = simulate(costs, PRICES, workers=1000, pairs=10, shard_px=4_000_000)
    tasks = PIXELS / 4_000_000 + 20
    assert found.hours * 3600 >= tasks * 4.0
    assert sum(found.shares.values()) == pytest.approx(1.0, abs=1e-3)


def test_the_same_seed_gives_the_same() -> None:
    costs = Costs(start=2, open=1, pixel=1e-6, scatter=0.3, task=0.01, plan=1, merge_pixel=1e-8)
    runs = [simulate(costs, PRICES, workers=50, pairs=10, shard_px=16_000_000) for _ in (1, 2)]
    assert runs[0] == runs[1]
