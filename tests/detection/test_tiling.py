"""The tiles cover a raster, their weights sum to one, and blending in a stream equals blending at
once."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanet.detection.blending import Blender
from hanet.detection.tiling import AxisPlan, Part, TilePlan
from hanet.errors import SettingsError
from hanet.types import FloatArray, Window

AXES = st.integers(1, 40).flatmap(
    lambda tile: st.builds(AxisPlan, st.integers(1, 200), st.just(tile), st.integers(0, tile - 1))
)
PLANS = st.integers(2, 12).flatmap(
    lambda tile: st.builds(
        TilePlan,
        height=st.integers(1, 40),
        width=st.integers(1, 60),
        tile_px=st.just(tile),
        overlap_px=st.integers(0, tile - 1),
        chunk_tiles=st.integers(1, 5),
    )
)


@pytest.mark.parametrize(
    ("size", "tile_px", "overlap_px", "starts", "first", "end"),
    [
        (10, 6, 2, (0, 4), (0, 4, 10), (6, 10)),
        (5, 6, 2, (0,), (0, 5), (5,)),
        (6, 6, 2, (0,), (0, 6), (6,)),
        (7, 6, 2, (0, 1), (0, 2, 7), (4, 7)),
        (14, 6, 2, (0, 4, 8), (0, 4, 8, 14), (6, 10, 14)),
        (8, 4, 0, (0, 4), (0, 4, 8), (4, 8)),
        (1024, 512, 64, (0, 256, 512), (0, 352, 608, 1024), (416, 672, 1024)),
    ],
)
def test_tiles_along_one_axis(
    size: int,
    tile_px: int,
    overlap_px: int,
    starts: tuple[int, ...],
    first: tuple[int, ...],
    end: tuple[int, ...],
) -> None:
    axis = AxisPlan(size, tile_px, overlap_px)
    assert (axis.starts, axis.first, axis.end) == (starts, first, end)


@given(AXES)
def test_neighbours_overlap_enough_and_reach_both_edges(axis: AxisPlan) -> None:
    steps = np.diff(axis.starts)
    assert axis.starts[0] == 0
    assert np.all(steps >= 1)
    assert np.all(steps <= axis.tile_px - axis.overlap_px)
    if axis.size >= axis.tile_px:
        assert axis.starts[-1] + axis.tile_px == axis.size
    else:
        assert len(axis) == 1


@given(AXES)
def test_no_more_tiles_than_needed(axis: AxisPlan) -> None:
    fewer = len(axis) - 1
    assert fewer * (axis.tile_px - axis.overlap_px) + axis.overlap_px < axis.size or fewer == 0


@given(AXES)
def test_weights_are_a_partition_of_one(axis: AxisPlan) -> None:
    total = np.zeros(axis.size)
    for index in range(len(axis)):
        weights = axis.weights(index)
        assert weights.min() >= 0
        assert axis.first[index] >= axis.starts[index]
        assert axis.end[index] <= axis.starts[index] + axis.tile_px
        total[axis.first[index] : axis.end[index]] += weights
    np.testing.assert_allclose(total, 1.0, atol=1e-6)


def test_weights_fall_smoothly_towards_the_rim_of_a_tile() -> None:
    weights = AxisPlan(size=20, tile_px=8, overlap_px=2).weights(1)
    assert weights[0] < 0.2 < 0.8 < weights[1]
    assert np.all(weights[2:-2] == 1)
    np.testing.assert_allclose(weights, weights[::-1], atol=1e-6)


def _on_whole(window: Window, part: Window) -> Window:
    return Window(window.row + part.row, window.column + part.column, *window.shape)


def _blend(
    plan: TilePlan, field: FloatArray, part: Part | None = None, *, unlike: float = 0.0
) -> tuple[FloatArray, np.ndarray]:
    """Streams a field through the plan, or through what a part of it needs; gives the result and
    how often each pixel of it was handed out. With ``unlike`` each tile sees values of its own, as
    a network's are."""
    padded = np.pad(field, ((0, plan.tile_px), (0, plan.tile_px)), mode="edge")
    corner = plan.within or Window(0, 0, plan.height, plan.width)
    result, count = np.full(corner.shape, np.nan, field.dtype), np.zeros(corner.shape, int)
    part = part or plan.whole
    needed = plan.needed(part)
    blender = Blender(plan, first_chunk=needed.chunks.start)
    for row, index in itertools.product(needed.rows, needed.chunks):
        chunk = plan.chunk(row, index)
        probabilities = {
            column: padded[_on_whole(plan.tile(row, column), corner).slices]
            * np.float32(1 - unlike * (row + column))
            for column in chunk.columns
        }
        window, values = blender.add(chunk, probabilities)
        if chunk in part:
            result[window.slices] = values
            count[window.slices] += 1
    return result, count


@settings(max_examples=200)
@given(PLANS, st.integers(0, 2**32 - 1))
def test_a_local_function_in_tiles_equals_it_on_the_whole(plan: TilePlan, seed: int) -> None:
    field = np.random.default_rng(seed).random((plan.height, plan.width), dtype=np.float32)
    result, count = _blend(plan, field)
    assert np.all(count == 1)
    np.testing.assert_allclose(result, field, atol=2e-6)


@settings(max_examples=100)
@given(PLANS)
def test_a_constant_field_comes_back_constant(plan: TilePlan) -> None:
    result, _ = _blend(plan, np.ones((plan.height, plan.width), np.float32))
    np.testing.assert_allclose(result, 1.0, atol=1e-6)


@settings(max_examples=200)
@given(PLANS, st.data())
def test_a_part_gets_the_same_bytes_as_from_the_whole(plan: TilePlan, data: st.DataObject) -> None:
    rows, chunks = (
        sorted(data.draw(st.lists(st.integers(0, count), min_size=2, max_size=2, unique=True)))
        for count in (len(plan.rows), plan.chunks_a_row)
    )
    part = Part(range(*rows), range(*chunks))
    field = np.random.default_rng(rows[0]).random((plan.height, plan.width), dtype=np.float32)
    whole, _ = _blend(plan, field, unlike=1e-3)
    alone, count = _blend(plan, field, part, unlike=1e-3)
    inside = plan.window(part).slices
    assert np.array_equal(whole[inside], alone[inside])
    assert count[inside].min() == count[inside].max() == 1
    assert count.sum() == count[inside].size


@settings(max_examples=300)
@given(PLANS, st.data())
def test_pixels_within_a_window_get_the_same_bytes_from_fewer_tiles(
    plan: TilePlan, data: st.DataObject
) -> None:
    row, column = (
        data.draw(st.integers(0, plan.height - 1)),
        data.draw(st.integers(0, plan.width - 1)),
    )
    within = Window(
        row,
        column,
        data.draw(st.integers(1, plan.height - row)),
        data.draw(st.integers(1, plan.width - column)),
    )
    field = np.random.default_rng(row).random((plan.height, plan.width), dtype=np.float32)
    whole, _ = _blend(plan, field, unlike=1e-3)
    part = replace(plan, within=within)
    alone, count = _blend(part, field, unlike=1e-3)
    assert alone.shape == within.shape
    assert np.array_equal(whole[within.slices], alone)
    assert np.all(count == 1)
    assert part.window(part.whole) == Window(0, 0, *within.shape)
    # each row and each column of chunks that is taken holds a pixel of it
    for row in part.whole.rows:
        for index in part.whole.chunks:
            assert not part.chunk(row, index).final.is_empty
    assert part.tiles <= plan.tiles


@given(PLANS)
def test_chunks_cover_their_tiles(plan: TilePlan) -> None:
    for row in range(len(plan.rows)):
        columns = []
        for chunk in plan.chunks(row):
            columns.extend(chunk.columns)
            assert len(chunk.columns) <= plan.chunk_tiles
            for column in chunk.columns:
                assert plan.tile(row, column).intersection(chunk.window) == plan.tile(row, column)
            assert chunk.final.intersection(chunk.window) == chunk.final
        assert columns == list(range(len(plan.columns)))


def test_tiles_that_disagree_are_blended_by_their_weights() -> None:
    plan = TilePlan(height=1, width=6, tile_px=4, overlap_px=2, chunk_tiles=2)
    zeros, ones = np.zeros((4, 4), np.float32), np.ones((4, 4), np.float32)
    _, values = Blender(plan).add(next(plan.chunks(0)), {0: zeros, 1: ones})
    low, high = np.sin(np.pi / 8) ** 2, np.sin(3 * np.pi / 8) ** 2
    np.testing.assert_allclose(values, [[0, 0, low, high, 1, 1]], atol=1e-6)


def test_what_is_kept_does_not_grow_with_the_height() -> None:
    kept = []
    for height in (64, 640):
        plan = TilePlan(height=height, width=50, tile_px=16, overlap_px=4, chunk_tiles=2)
        blender = Blender(plan)
        most = 0
        for row in range(len(plan.rows)):
            for chunk in plan.chunks(row):
                blender.add(chunk, {})
                most = max(most, blender.kept_bytes)
        kept.append(most)
    assert kept[0] == kept[1] > 0


@pytest.mark.parametrize(("tile_px", "overlap_px"), [(0, 0), (-1, 0), (8, 8), (8, 9), (8, -1)])
def test_settings_that_do_not_fit_are_refused(tile_px: int, overlap_px: int) -> None:
    with pytest.raises(SettingsError):
        _ = AxisPlan(100, tile_px, overlap_px)
