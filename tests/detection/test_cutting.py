"""Shards cover the tiles once, are of like size, and have small rims."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanet.detection.cutting import cut
from hanet.detection.tiling import Part, TilePlan
from hanet.types import Window

PLANS = st.builds(
    TilePlan,
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    tile_px=st.just(8),
    overlap_px=st.integers(0, 7),
    chunk_tiles=st.integers(1, 3),
)


@settings(max_examples=200)
@given(PLANS, st.integers(1, 300))
def test_shards_cover_every_pixel_once(plan: TilePlan, count: int) -> None:
    parts = cut(plan, count)
    times = np.zeros((plan.height, plan.width), dtype=int)
    for part in parts:
        assert not plan.window(part).is_empty
        times[plan.window(part).slices] += 1
    assert times.min() == times.max() == 1
    assert len(parts) == min(count, len(plan.rows) * plan.chunks_a_row)


@settings(max_examples=100)
@given(PLANS, st.integers(1, 30), st.data())
def test_shards_of_a_part_cover_it_once(plan: TilePlan, count: int, data: st.DataObject) -> None:
    row, column = (data.draw(st.integers(0, side - 1)) for side in (plan.height, plan.width))
    height = data.draw(st.integers(1, plan.height - row))
    width = data.draw(st.integers(1, plan.width - column))
    part = replace(plan, within=Window(row, column, height, width))
    times = np.zeros((height, width), dtype=int)
    for shard in cut(part, count):
        assert not part.window(shard).is_empty
        times[part.window(shard).slices] += 1
    assert times.min() == times.max() == 1


def test_four_shards_of_a_square_are_its_quarters() -> None:
    plan = TilePlan(height=80, width=80, tile_px=8, overlap_px=0, chunk_tiles=1)
    halves = range(5), range(5, 10)
    assert cut(plan, 4) == tuple(Part(rows, chunks) for rows in halves for chunks in halves)


@pytest.mark.parametrize("count", [7, 13, 61, 64, 100])
def test_shards_are_of_like_size_and_their_rims_small(count: int) -> None:
    plan = TilePlan(height=40_000, width=40_000, tile_px=256, overlap_px=32, chunk_tiles=2)
    parts = cut(plan, count)
    own = [len(part.rows) * len(part.chunks) for part in parts]
    needed = [plan.needed(part) for part in parts]
    computed = [len(part.rows) * len(part.chunks) for part in needed]
    assert max(own) < 1.35 * min(own)
    # whole rows of tiles would compute one row more for each shard: 56 % more at 100 shards
    assert sum(computed) < (1 + 0.022 * count**0.5) * sum(own)


def test_a_shard_at_the_upper_left_has_no_rim() -> None:
    plan = TilePlan(height=80, width=80, tile_px=8, overlap_px=2, chunk_tiles=1)
    first, *_, last = cut(plan, 9)
    assert plan.needed(first) == first
    needed = plan.needed(last)
    assert (needed.rows.start, needed.chunks.start) == (last.rows.start - 1, last.chunks.start - 1)
    assert (needed.rows.stop, needed.chunks.stop) == (last.rows.stop, last.chunks.stop)
