"""The stream of tiles on rasters of a few pixels: what is blended, skipped and resumed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from hanet.detection.streaming import (
    chunks_for,
    fitted_tile,
    infer_chunk,
    own_tile,
    planes_of,
    stream,
    tile_and_overlap,
)
from hanet.detection.tiling import AxisPlan, Chunk, TilePlan
from hanet.errors import RasterError, SettingsError
from hanet.imagery.grid import Grid
from hanet.imagery.pair import PairBlock
from hanet.imagery.reflection import cut
from hanet.metadata import Metadata
from hanet.types import FloatArray, Mask, Window

Network = Callable[[FloatArray, FloatArray], FloatArray]
"""before and after (B, C, h, w) to probability (B, h, w)."""


class ArrayPair:
    """A pair of arrays (3, H, W) with validity (H, W); before counts the pixels, after is 0."""

    def __init__(self, height: int, width: int, *, invalid: Window | None = None) -> None:
        self.grid = Grid(None, (1.0, 0.0, 0.0, 0.0, -1.0, 0.0), height, width)
        pixels = np.arange(height * width, dtype=np.float32).reshape(height, width)
        self._before: FloatArray = np.stack([pixels] * 3)
        self._valid = np.ones((height, width), dtype=np.bool_)
        if invalid is not None:
            self._valid[invalid.slices] = False
        self.windows: list[Window] = []

    def read(self, window: Window) -> PairBlock:
        """Pixels of a window; beyond the arrays they are reflected and invalid."""
        self.windows.append(window)
        before = cut(self._before, window)
        inside = window.intersection(Window(0, 0, *self._valid.shape))
        valid = np.zeros(window.shape, dtype=np.bool_)
        valid[inside.relative_to(window).slices] = self._valid[inside.slices]
        return PairBlock(before, np.zeros_like(before), valid)


class FunctionRuntime:
    """A function as a runtime, which remembers the batches that it was given."""

    def __init__(self, function: Network, *, scale: float = 255.0) -> None:
        self.metadata = Metadata(name="function", model="function", divisor=1, scale=scale)
        self._function = function
        self.batches: list[FloatArray] = []

    def predict(self, before: FloatArray, after: FloatArray) -> FloatArray:
        """See :class:`hanet.weights.runtime.Runtime`."""
        self.batches.append(before)
        return self._function(before, after)


class Canvas:
    """What a stream writes, in its order."""

    def __init__(self, height: int, width: int) -> None:
        self.probability = np.full((height, width), -1, dtype=np.float32)
        self.valid = np.zeros((height, width), dtype=np.bool_)
        self.times_written = np.zeros((height, width), dtype=int)
        self.windows: list[Window] = []

    def write(self, window: Window, probability: FloatArray, valid: Mask) -> None:
        """Takes a window of final pixels."""
        assert probability.shape == valid.shape == window.shape
        self.probability[window.slices], self.valid[window.slices] = probability, valid
        self.times_written[window.slices] += 1
        self.windows.append(window)


def constant(value: float) -> Network:
    """A network that finds the same probability everywhere."""

    def network(before: FloatArray, after: FloatArray) -> FloatArray:
        assert before.shape == after.shape
        return np.full((len(before), *before.shape[2:]), value, dtype=np.float32)

    return network


def first_pixel(before: FloatArray, after: FloatArray) -> FloatArray:
    """Each tile all its first pixel's number / 100: other tiles, other values."""
    del after
    number = before[:, 0, :1, :1] / np.float32(100)
    return np.broadcast_to(number, (len(before), *before.shape[2:])).copy()


PLAN = TilePlan(height=8, width=6, tile_px=4, overlap_px=2, chunk_tiles=1)
"""Rows of tiles begin at 0, 2 and 4 and are final from 0, 2 and 4 on; columns begin at 0 and 2."""


@pytest.mark.parametrize("chunk_tiles", [1, 2, 4])
@pytest.mark.parametrize(("height", "width"), [(8, 6), (4, 4), (3, 2), (1, 9), (7, 11)])
def test_a_constant_network_gives_a_constant(height: int, width: int, chunk_tiles: int) -> None:
    plan, canvas = TilePlan(height, width, 4, 2, chunk_tiles), Canvas(height, width)
    pair, runtime = ArrayPair(height, width), FunctionRuntime(constant(0.3))
    statistics = stream(pair, runtime, plan, write=canvas.write)
    assert canvas.probability == pytest.approx(0.3, abs=1e-6)
    assert (canvas.times_written == 1).all()
    assert canvas.valid.all()
    assert (statistics.tiles, statistics.skipped) == (plan.tiles, 0)


def test_a_tile_hands_over_to_the_next_along_a_squared_sine() -> None:
    plan, canvas = TilePlan(height=4, width=6, tile_px=4, overlap_px=2), Canvas(4, 6)

    def left_0_right_1(before: FloatArray, after: FloatArray) -> FloatArray:
        return np.stack([np.zeros((4, 4), np.float32), np.ones((4, 4), np.float32)])

    stream(ArrayPair(4, 6), FunctionRuntime(left_0_right_1), plan, write=canvas.write)
    quarter = np.sin(np.pi / 8) ** 2
    for row in canvas.probability:
        assert row == pytest.approx([0, 0, quarter, 1 - quarter, 1, 1], abs=1e-6)


def test_nodata_stays_nodata_and_a_tile_without_a_valid_pixel_is_not_inferred() -> None:
    pair, canvas = ArrayPair(4, 12, invalid=Window(0, 0, 4, 5)), Canvas(4, 12)
    runtime = FunctionRuntime(constant(1.0))
    plan = TilePlan(height=4, width=12, tile_px=4, overlap_px=0)
    statistics = stream(pair, runtime, plan, write=canvas.write)
    assert (statistics.tiles, statistics.skipped) == (2, 1)
    assert [batch.shape for batch in runtime.batches] == [(2, 3, 4, 4)]
    assert canvas.valid.tolist() == [[False] * 5 + [True] * 7] * 4
    assert canvas.probability.tolist() == [[0.0] * 4 + [1.0] * 8] * 4


def test_a_chunk_without_a_valid_pixel_does_not_reach_the_network() -> None:
    pair, canvas = ArrayPair(8, 6, invalid=Window(0, 0, 8, 6)), Canvas(8, 6)
    runtime = FunctionRuntime(constant(1.0))
    statistics = stream(pair, runtime, PLAN, write=canvas.write)
    assert runtime.batches == []
    assert (statistics.tiles, statistics.skipped) == (0, 6)
    assert not canvas.valid.any()
    assert (canvas.probability == 0).all()


def test_windows_come_row_by_row_and_left_to_right() -> None:
    canvas, rows, done = Canvas(8, 6), [], []
    stream(
        ArrayPair(8, 6),
        FunctionRuntime(constant(0.5)),
        PLAN,
        write=canvas.write,
        after_row=lambda row: rows.append((row, len(canvas.windows))),
        progress=lambda stage, share: done.append((stage, share)),
    )
    left, right = (0, 2), (2, 4)  # first column and width
    expected = [
        (row, *column, height)
        for row, height in ((0, 2), (2, 2), (4, 4))
        for column in (left, right)
    ]
    assert [(w.row, w.column, w.width, w.height) for w in canvas.windows] == expected
    assert rows == [(0, 2), (1, 4), (2, 6)]
    assert done == [("detecting", pytest.approx(tiles / 6)) for tiles in range(1, 7)]


def test_pixels_are_seen_before_they_are_inferred_and_inferred_before_they_are_written() -> None:
    said: list[tuple[str, int, int]] = []
    canvas = Canvas(8, 6)

    def see(chunk: Chunk, block: PairBlock) -> None:
        assert block.valid.shape == chunk.window.shape
        said.append(("seen", chunk.row, chunk.index))

    def write(window: Window, probability: FloatArray, valid: Mask) -> None:
        chunk = next(c for row in range(3) for c in PLAN.chunks(row) if c.final == window)
        said.append(("written", chunk.row, chunk.index))
        canvas.write(window, probability, valid)

    def inferred(chunk: Chunk) -> None:
        said.append(("inferred", chunk.row, chunk.index))

    pair, runtime = ArrayPair(8, 6), FunctionRuntime(constant(0.5))
    stream(pair, runtime, PLAN, write=write, see=see, inferred=inferred)
    assert len(said) == 3 * 6
    for row in range(3):
        for index in range(2):
            places = [said.index((what, row, index)) for what in ("seen", "inferred", "written")]
            assert places == sorted(places)


@pytest.mark.parametrize(("first_row", "rows_inferred"), [(0, 3), (1, 3), (2, 2)])
def test_a_resumed_run_writes_the_same_bytes(first_row: int, rows_inferred: int) -> None:
    whole, rest = Canvas(8, 6), Canvas(8, 6)
    stream(ArrayPair(8, 6), FunctionRuntime(first_pixel), PLAN, write=whole.write)
    runtime, rows, done = FunctionRuntime(first_pixel), list[int](), list[tuple[int, int]]()
    statistics = stream(
        ArrayPair(8, 6),
        runtime,
        PLAN,
        write=rest.write,
        part=PLAN.from_row(first_row),
        after_row=rows.append,
        progress=lambda stage, share: done.append((stage, share)),
    )
    begins = PLAN.rows.first[first_row]
    assert len(np.unique(whole.probability)) > 6
    assert rest.probability[begins:].tobytes() == whole.probability[begins:].tobytes()
    assert (rest.times_written[:begins] == 0).all()
    assert (rest.times_written[begins:] == 1).all()
    assert rows == list(range(first_row, 3))
    assert statistics.tiles == len(runtime.batches) == 2 * rows_inferred
    assert done[-1] == ("detecting", 1.0)


def test_a_row_that_only_hands_over_is_inferred_again() -> None:
    assert [(chunk.row, chunk.index) for chunk in chunks_for(PLAN, PLAN.from_row(2))] == [
        (1, 0),
        (1, 1),
        (2, 0),
        (2, 1),
    ]
    without_overlap = TilePlan(height=8, width=4, tile_px=4, overlap_px=0)
    assert [chunk.row for chunk in chunks_for(without_overlap, without_overlap.from_row(1))] == [1]


@pytest.mark.parametrize(("chunk_tiles", "batches"), [(1, [1, 1, 1]), (2, [2, 1]), (4, [3])])
def test_the_tiles_of_a_chunk_are_one_batch(chunk_tiles: int, batches: list[int]) -> None:
    plan = TilePlan(height=4, width=8, tile_px=4, overlap_px=2, chunk_tiles=chunk_tiles)
    pair, runtime = ArrayPair(4, 8), FunctionRuntime(first_pixel)
    stream(pair, runtime, plan, write=Canvas(4, 8).write)
    assert [len(batch) for batch in runtime.batches] == batches
    assert len(pair.windows) == len(batches)


@pytest.mark.parametrize("scale", [255.0, 1.0, 510.0])
def test_the_runtime_gets_0_to_255_whatever_the_scale_of_the_weights(scale: float) -> None:
    runtime = FunctionRuntime(constant(0.0), scale=scale)
    plan = TilePlan(height=4, width=8, tile_px=4, overlap_px=0)
    stream(ArrayPair(4, 8), runtime, plan, write=Canvas(4, 8).write)
    assert max(batch.max() for batch in runtime.batches) == 31.0


def test_probability_comes_by_the_column_of_its_tile() -> None:
    pair, runtime = ArrayPair(4, 12, invalid=Window(0, 4, 4, 4)), FunctionRuntime(first_pixel)
    plan = TilePlan(height=4, width=12, tile_px=4, overlap_px=0)
    (chunk,) = plan.chunks(0)
    predict = planes_of(runtime, with_built=False)
    tiles = infer_chunk(predict, plan, chunk, pair.read(chunk.window))
    assert {c: float(p[0, 0]) for c, (p,) in tiles.items()} == pytest.approx({0: 0.0, 2: 0.08})


@pytest.mark.parametrize("where", ["read", "infer", "write", "after_row"])
def test_what_a_thread_raises_reaches_the_caller_and_no_thread_stays(where: str) -> None:
    pair, canvas = ArrayPair(8, 6), Canvas(8, 6)
    before = threading.active_count()

    def broken(*_: object) -> FloatArray:
        raise RasterError(f"{where} is broken")

    runtime = FunctionRuntime(broken if where == "infer" else constant(0.5))
    if where == "read":
        pair.read = broken  # type: ignore[assignment, method-assign]
    after_row = broken if where == "after_row" else None
    write = broken if where == "write" else canvas.write
    with pytest.raises(RasterError, match=f"{where} is broken"):
        stream(pair, runtime, PLAN, write=write, after_row=after_row)  # type: ignore[arg-type]
    assert threading.active_count() == before


def test_what_was_inferred_before_a_failure_is_written() -> None:
    canvas, rows = Canvas(8, 6), list[int]()

    def fails_in_the_last_row(before: FloatArray, after: FloatArray) -> FloatArray:
        if before[0, 0, 0, 0] >= 4 * 6:
            raise MemoryError
        return constant(0.5)(before, after)

    runtime = FunctionRuntime(fails_in_the_last_row)
    with pytest.raises(MemoryError):
        stream(ArrayPair(8, 6), runtime, PLAN, write=canvas.write, after_row=rows.append)
    assert rows == [0, 1]
    assert canvas.times_written.tolist() == [[1] * 6] * 4 + [[0] * 6] * 4


@pytest.mark.parametrize(
    ("tile_px", "overlap_px", "expected"),
    [
        (None, None, (512, 64)),
        (256, None, (256, 64)),
        (128, None, (128, 32)),  # a quarter of the tile at most
        (128, 0, (128, 0)),
        (None, 100, (512, 100)),
        (64, 63, (64, 63)),
    ],
)
def test_tile_and_overlap_are_the_weights_own_unless_given(
    tile_px: int | None, overlap_px: int | None, expected: tuple[int, int]
) -> None:
    metadata = Metadata(name="weights", model="hanet", divisor=16, tile_px=512, overlap_px=64)
    assert tile_and_overlap(metadata, tile_px, overlap_px) == expected


@pytest.mark.parametrize(
    ("tile_px", "overlap_px", "message", "hint"),
    [
        (100, None, "a tile of 100 pixels does not fit weights", "a tile of 96"),
        (16, None, "a multiple of 16, at least 32", "a tile of 32"),
        (0, None, "a tile of 0 pixels does not fit", "a tile of 32"),
        (64, 64, "the overlap of 64 pixels does not fit a tile of 64", "from 0 to 63"),
        (64, -1, "the overlap of -1 pixels does not fit", "from 0 to 63"),
    ],
)
def test_a_tile_that_the_network_cannot_take_is_refused(
    tile_px: int, overlap_px: int | None, message: str, hint: str
) -> None:
    metadata = Metadata(name="weights", model="hanet_lite", divisor=16)
    with pytest.raises(SettingsError, match=message) as refusal:
        tile_and_overlap(metadata, tile_px, overlap_px)
    assert hint in str(refusal.value.hint)


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (2000, 900, (1024, 64)),  # large enough for the tile that was asked for
        (900, 500, (912, 64)),  # the next multiple of 16 from 900
        (912, 16, (912, 64)),
        (300, 200, (512, 64)),  # a tile of the weights' own size is left
    ],
)
def test_a_tile_is_no_larger_than_the_raster_needs(
    height: int, width: int, expected: tuple[int, int]
) -> None:
    metadata = Metadata(name="weights", model="hanet", divisor=16, tile_px=512)
    assert fitted_tile(metadata, 1024, 64, height=height, width=width) == expected


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(256, 200, 320), (250, 10, 320), (10, 5, 80), (448, 448, 512), (449, 9, 512), (512, 512, 512)],
)
def test_a_small_array_takes_a_tile_of_its_own(height: int, width: int, expected: int) -> None:
    metadata = Metadata(name="weights", model="hanet", divisor=16, tile_px=512, smallest_px=32)
    assert own_tile(metadata, 64, height=height, width=width) == expected
    fixed = replace(metadata, smallest_px=512)
    assert own_tile(fixed, 64, height=height, width=width) == 512


@pytest.mark.parametrize(
    ("height", "width", "overlap", "expected"),
    [
        (1024, 1024, 64, 384),  # three tiles a side, as of 512
        (600, 600, 64, 336),
        (960, 960, 64, 512),  # two tiles of 512 fit as they are
        (960, 40, 64, 256),  # nothing but reflection beside it in a larger one
        (1024, 1024, 0, 512),
        (1024, 1024, 200, 480),  # never less than twice the overlap
        (1024, 1024, 300, 512),
    ],
)
def test_tiles_are_fitted_to_what_they_cover(
    height: int, width: int, overlap: int, expected: int
) -> None:
    metadata = Metadata(name="weights", model="hanet", divisor=16, tile_px=512, smallest_px=32)
    assert own_tile(metadata, overlap, height=height, width=width) == expected
    fixed = replace(metadata, smallest_px=512)
    assert own_tile(fixed, overlap, height=height, width=width) == 512


@pytest.mark.parametrize("size", [*range(513, 700, 7), 1000, 2047, 4096, 9999, 40_000])
def test_fitted_tiles_are_never_more_work(size: int) -> None:
    metadata = Metadata(name="weights", model="hanet", divisor=16, tile_px=512, smallest_px=32)
    tile = own_tile(metadata, 64, height=size, width=size)
    pixels = {side: len(AxisPlan(size, side, 64)) * side for side in (tile, 512)}
    assert pixels[tile] <= pixels[512]


def test_an_overlap_shrinks_with_its_tile() -> None:
    metadata = Metadata(name="weights", model="hanet", divisor=16, tile_px=32, overlap_px=8)
    assert fitted_tile(metadata, 128, 100, height=40, width=40) == (48, 47)
