"""The pipeline: one thread reads ahead, the caller's thread infers, one thread blends and writes.
Memory does not grow with the raster."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Protocol, TypeAlias

import numpy as np

from hanet.detection.blending import Blender
from hanet.detection.tiling import AxisPlan, Chunk, Part, TilePlan
from hanet.errors import SettingsError
from hanet.imagery.grid import Grid
from hanet.imagery.pair import PairBlock
from hanet.metadata import Metadata
from hanet.types import FloatArray, Mask, Progress, Window
from hanet.weights.runtime import Predicts, directed

READ_AHEAD = 3
"""Chunks that wait between two threads at most."""


class Readable(Protocol):
    """A pair that can be read by windows: rasters or arrays."""

    grid: Grid

    def read(self, window: Window) -> PairBlock:
        """Pixels of a window; beyond the grid they are invalid."""


Write = Callable[[Window, FloatArray, Mask], None]
"""Takes final probability (h, w) of a window and its validity."""

ASKED_FROM = 0.1
"""Probability of change below which nobody asks whether something was built or demolished: nothing
is written of it there, so that the raster of it is small."""

See = Callable[[Chunk, PairBlock], None]
"""Is shown the pixels of a chunk's window."""


@dataclass(slots=True)
class StreamStatistics:
    """What a stream did: tiles inferred and skipped, and the seconds that each thread was busy."""

    tiles: int = 0
    skipped: int = 0
    seconds: dict[str, float] = field(
        default_factory=lambda: {"reading": 0.0, "inference": 0.0, "writing": 0.0}
    )


def stream(
    pair: Readable,
    runtime: Predicts,
    plan: TilePlan,
    *,
    write: Write,
    write_built: Write | None = None,
    part: Part | None = None,
    see: See | None = None,
    inferred: Callable[[Chunk], None] | None = None,
    after_row: Callable[[int], None] | None = None,
    progress: Progress | None = None,
) -> StreamStatistics:
    """Sends every tile of a plan through a runtime and hands out blended probability.

    The tiles of a chunk are always one batch, since another batch may round differently: so a
    stream of a part gives the same bytes for it as one of the whole plan.

    Args:
        pair: What to read.
        runtime: What to infer with.
        plan: The tiles.
        write: Gets each pixel once; called in the writing thread.
        write_built: Gets the blended probability of "built" of the same window after ``write``,
            valid where the probability of change is at least :data:`ASKED_FROM`; the weights must
            tell built from demolished.
        part: Chunks whose final pixels are written; all of the plan if None. Those beside them
            whose tiles reach into these pixels are computed too.
        see: Called in the reading thread with each chunk that is computed and its pixels, before
            any probability of them is written.
        inferred: Called in the caller's thread with each chunk when its tiles were inferred, before
            any pixel of them is written.
        after_row: Called in the writing thread when all final pixels of a row of the part are
            written.
        progress: Called after each chunk with the share of them that is done.

    Raises:
        HanetError: Whatever reading or writing raised.
    """
    statistics = StreamStatistics()
    predict = planes_of(runtime, with_built=write_built is not None)
    writes = [write] if write_built is None else [write, write_built]
    wanted = part if part is not None else plan.whole
    stop = threading.Event()
    # bounded: a fast reader waits for a slow network instead of filling the memory
    to_infer: queue.Queue[Any] = queue.Queue(READ_AHEAD)
    to_write: queue.Queue[Any] = queue.Queue(READ_AHEAD)
    errors: list[BaseException] = []

    def started(work: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=_guarded(work, stop, errors), daemon=True)
        thread.start()
        return thread

    reader = started(lambda: _read(pair, plan, wanted, see, to_infer, stop, statistics))
    writer = started(
        lambda: _write_all(plan, wanted, to_write, stop, writes, after_row, statistics)
    )
    try:
        _infer_all(predict, plan, wanted, to_infer, to_write, stop, statistics, inferred, progress)
    finally:
        # the writer ends first: what was inferred is written, even where inference has failed
        # meanwhile, so that --resume finds it. Only then is the reader told to stop.
        _put(to_write, None, stop)
        writer.join()
        stop.set()
        reader.join()
    if errors:
        raise errors[0]
    return statistics


Planes: TypeAlias = tuple[FloatArray, ...]
"""Probability of change, and perhaps that of "built": of a batch (B, H, W), or of a tile."""

PredictPlanes: TypeAlias = Callable[[FloatArray, FloatArray], Planes]


def planes_of(runtime: Predicts, *, with_built: bool) -> PredictPlanes:
    """What a stream asks of a runtime for each batch of tiles: the probability of change alone, or
    that of "built" beside it, which the runtime must be able to tell."""
    if not with_built:
        return lambda before, after: (runtime.predict(before, after),)
    telling = directed(runtime)
    assert telling is not None
    return telling.predict_both


REFLECTED_PX = 64
"""Of a small raster beyond its edges. On all of tiles-256/val, with hanet_lite before it told
kinds: F1 0.8872 with none, 0.8884 with 64, and 0.8884 in a whole tile of 512 (November 2026). The
weights of now, and the time: results/benchmarks/own-tiles-256-hanet_lite.json."""

SMALLEST_SHARE = 0.5
"""Of the weights' own tile: the smallest one that a larger raster is cut into. On scenes-1024/val
tiles of 384 score no worse than 512 (results/benchmarks/own-tiles-1024-hanet_lite.json)."""


def tile_and_overlap(
    metadata: Metadata, tile_px: int | None, overlap_px: int | None
) -> tuple[int, int]:
    """Side of a tile and overlap in pixels; where None, the weights' own.

    Raises:
        SettingsError: The network does not take such a tile, or the overlap does not fit it.
    """
    tile = tile_px if tile_px is not None else metadata.tile_px
    overlap = overlap_px if overlap_px is not None else min(metadata.overlap_px, tile // 4)
    divisor, smallest = metadata.divisor, metadata.min_size_px
    if tile < smallest or tile % divisor:
        raise SettingsError(
            f"a tile of {tile} pixels does not fit {metadata.name}: it must be a multiple of "
            f"{divisor}, at least {smallest}",
            hint=f"for example a tile of {max(smallest, tile // divisor * divisor)}",
        )
    AxisPlan(tile, tile, overlap)  # raises where they do not fit
    return tile, overlap


def fitted_tile(
    metadata: Metadata, tile_px: int, overlap_px: int, *, height: int, width: int
) -> tuple[int, int]:
    """Side of a tile and overlap for a raster where the user names a tile: no larger than it needs,
    for what is reflected beyond it costs memory and tells nothing; one of the weights' own size is
    left to whoever asks for it."""
    enough = _multiple(max(height, width), metadata.divisor)
    tile = min(tile_px, max(enough, metadata.tile_px))
    return tile, min(overlap_px, tile - 1)


def own_tile(metadata: Metadata, overlap_px: int, *, height: int, width: int) -> int:
    """Side of a tile for a raster or an array where the user names none: where one tile with
    :data:`REFLECTED_PX` beyond it holds all of it, that one; else the one from
    :data:`SMALLEST_SHARE` of the weights' own to all of it whose tiles have the fewest pixels.

    Tiles are spread from edge to edge, so that a tile that does not divide the raster well makes
    them overlap by more than they need: 1,024 pixels are three tiles of 512, or three of 384.
    """
    divisor, smallest_px = metadata.divisor, metadata.min_size_px
    longest = max(height, width)
    if longest <= metadata.tile_px:
        enough = _multiple(max(longest + REFLECTED_PX, smallest_px), divisor)
        return min(enough, metadata.tile_px)
    half = max(round(SMALLEST_SHARE * metadata.tile_px), 2 * overlap_px)
    smallest = min(_multiple(max(half, smallest_px), divisor), metadata.tile_px)

    def pixels(tile: int) -> int:
        rows, columns = (len(AxisPlan(size, tile, overlap_px)) for size in (height, width))
        return rows * columns * tile**2

    # of several the largest: it sees more around each pixel
    return min(range(metadata.tile_px, smallest - 1, -divisor), key=pixels)


def _multiple(pixels: int, divisor: int) -> int:
    """The next multiple from so many pixels on."""
    return -(-pixels // divisor) * divisor


def chunks_for(plan: TilePlan, part: Part) -> Iterator[Chunk]:
    """The chunks that the final pixels of a part need, in the order of the plan."""
    needed = plan.needed(part)
    for row in needed.rows:
        for index in needed.chunks:
            yield plan.chunk(row, index)


def _read(
    pair: Readable,
    plan: TilePlan,
    part: Part,
    see: See | None,
    out: queue.Queue[Any],
    stop: threading.Event,
    statistics: StreamStatistics,
) -> None:
    for chunk in chunks_for(plan, part):
        if stop.is_set():
            return
        with _timed(statistics, "reading"):
            block = pair.read(chunk.window)
            if see is not None:
                see(chunk, block)
        _put(out, (chunk, block), stop)
    _put(out, None, stop)


def _infer_all(
    predict: PredictPlanes,
    plan: TilePlan,
    part: Part,
    incoming: queue.Queue[Any],
    out: queue.Queue[Any],
    stop: threading.Event,
    statistics: StreamStatistics,
    inferred: Callable[[Chunk], None] | None,
    progress: Progress | None,
) -> None:
    needed = plan.needed(part)
    total, done = len(needed.rows) * len(needed.chunks), 0
    while (item := _get(incoming, stop)) is not None:
        chunk, block = item
        with _timed(statistics, "inference"):
            tiles = infer_chunk(predict, plan, chunk, block)
        if inferred is not None:
            inferred(chunk)
        statistics.tiles += len(tiles)
        statistics.skipped += len(chunk.columns) - len(tiles)
        inside = chunk.final.relative_to(chunk.window)
        _put(out, (chunk, tiles, block.valid[inside.slices]), stop)
        done += 1
        if progress is not None:
            progress("detecting", done / total)


def infer_chunk(
    predict: PredictPlanes, plan: TilePlan, chunk: Chunk, block: PairBlock
) -> dict[int, Planes]:
    """What is predicted, (tile, tile) each, of those tiles of a chunk that hold a valid pixel, by
    column."""
    side = plan.tile_px
    starts = {
        column: plan.tile(chunk.row, column).column - chunk.window.column
        for column in chunk.columns
    }
    wanted = [
        column for column, start in starts.items() if block.valid[:, start : start + side].any()
    ]
    if not wanted:
        return {}
    before, after = (
        np.stack([image[:, :, starts[c] : starts[c] + side] for c in wanted])
        for image in (block.before, block.after)
    )
    of_tiles = zip(*predict(before, after), strict=True)
    return dict(zip(wanted, of_tiles, strict=True))


def _write_all(
    plan: TilePlan,
    part: Part,
    incoming: queue.Queue[Any],
    stop: threading.Event,
    writes: Sequence[Write],
    after_row: Callable[[int], None] | None,
    statistics: StreamStatistics,
) -> None:
    first_chunk = plan.needed(part).chunks.start
    blenders = [Blender(plan, first_chunk=first_chunk) for _ in writes]
    while (item := _get(incoming, stop)) is not None:
        chunk, tiles, known = item
        with _timed(statistics, "writing"):
            for number, (blender, write) in enumerate(zip(blenders, writes, strict=True)):
                plane = {column: planes[number] for column, planes in tiles.items()}
                window, blended = blender.add(chunk, plane)
                if chunk in part:
                    write(window, blended, known)
                    known = known & (blended >= ASKED_FROM)
            if chunk in part and after_row is not None and chunk.index == part.chunks[-1]:
                after_row(chunk.row)


def _guarded(
    work: Callable[[], None], stop: threading.Event, errors: list[BaseException]
) -> Callable[[], None]:
    """The work of a thread; what it raises stops the stream and is carried to the caller's
    thread."""

    def run() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)
            stop.set()

    return run


def _put(target: queue.Queue[Any], item: Any, stop: threading.Event) -> None:
    """Puts an item unless the stream stops.

    It waits in short turns: a thread that waits without end for room would never see that the one
    that makes room has failed.
    """
    while not stop.is_set():
        try:
            target.put(item, timeout=0.1)
        except queue.Full:
            continue
        return


def _get(source: queue.Queue[Any], stop: threading.Event) -> Any:
    """The next item; None at the end or when the stream stops."""
    while not stop.is_set():
        try:
            return source.get(timeout=0.1)
        except queue.Empty:
            continue
    return None


@contextmanager
def _timed(statistics: StreamStatistics, what: str) -> Iterator[None]:
    begun = perf_counter()
    yield
    statistics.seconds[what] += perf_counter() - begun
