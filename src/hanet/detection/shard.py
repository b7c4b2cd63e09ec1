"""Runs the shards of a plan: each reads its rectangle and a halo, and writes the bytes of its
rectangle as a run on one machine would.

Byte for byte the same: a shard owns whole batches of tiles, those of the halo are inferred in the
batches of the whole run, and they are added up in its order.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Literal

import numpy as np

from hanet.destination import check_folder
from hanet.detection.opened_plan import OpenedPlan, opened_plan
from hanet.detection.overview import overview_window, part_of_overview, shown_bands
from hanet.detection.plan import SHARDS, Plan, Shard
from hanet.detection.planning import remove_shards
from hanet.detection.shard_file import Receipt, ShardError, ShardFile, ShardWriter
from hanet.detection.streaming import StreamStatistics, stream
from hanet.detection.tiling import Chunk
from hanet.errors import HanetError
from hanet.files import replace_file
from hanet.imagery.pair import PairBlock, RasterPair
from hanet.imagery.raster_output import NODATA, encode_probability
from hanet.provenance import machine, versions
from hanet.types import ByteArray, FloatArray, Mask, Progress, Window
from hanet.weights.runtime import check_engine

Status = Literal["done", "was done", "empty"]


@dataclass(frozen=True, slots=True)
class ShardResult:
    """What became of a shard.

    Args:
        index: Its number.
        status: Computed now; passed over, as its file was there and whole; or without anything to
            do, as the area of interest does not reach into it.
        seconds: Wall time.
        tiles: Tiles inferred, those of the halo included.
    """

    index: int
    status: Status
    seconds: float = 0.0
    tiles: int = 0


def run_shards(
    plan: Plan,
    indices: Sequence[int],
    *,
    before: str | None = None,
    after: str | None = None,
    weights: str | Path | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    done: Callable[[ShardResult], None] | None = None,
) -> list[ShardResult]:
    """Runs shards one after another; one that fails does not stop the others.

    Args:
        plan: The plan.
        indices: Numbers of the shards.
        before: As for :func:`opened_plan`, like all that follow.
        after: As there.
        weights: As there.
        threads: As there.
        progress: Called with the shard and the share of it that is done.
        done: Called with each result.

    Raises:
        HanetError: There is no such shard, the plan cannot be opened here, or a shard failed, which
            is said when all others are done.
    """
    shards = [plan.shard(index) for index in indices]
    results: list[ShardResult] = []

    def keep(result: ShardResult) -> None:
        results.append(result)
        if done is not None:
            done(result)

    waiting = []
    for shard in shards:  # what is done needs neither images nor weights
        if (status := standing(plan, shard)) is None:
            waiting.append(shard)
        else:
            keep(ShardResult(shard.index, status))
    if not waiting:
        return results
    check_folder(plan.folder / SHARDS, "the folder of the plan")
    check_engine(plan.settings.engine)
    errors: list[tuple[int, HanetError]] = []
    with opened_plan(plan, before=before, after=after, weights=weights, threads=threads) as opened:
        for shard in waiting:
            try:
                keep(run_shard(opened, shard.index, progress=progress))
            except HanetError as error:
                errors.append((shard.index, error))
    if len(indices) == 1 and errors:
        raise errors[0][1]
    if errors:
        index, first = errors[0]
        raise HanetError(
            f"{len(errors)} of {len(indices)} shards failed, the first: {index}: {first.message}",
            hint=first.hint,
        ) from first
    return results


def run_shard(opened: OpenedPlan, index: int, *, progress: Progress | None = None) -> ShardResult:
    """Computes a shard and writes its file; one that is done is passed over.

    It may run twice, even at once: both write the same bytes, and whichever is whole last takes the
    place.

    Args:
        opened: The plan.
        index: Number of the shard.
        progress: Called with the shard and the share of it that is done.

    Raises:
        HanetError: It could not be computed; why stands in ``shards`` until it is.
    """
    plan, begun = opened.plan, perf_counter()
    shard = plan.shard(index)
    if (status := standing(plan, shard)) is not None:
        return ShardResult(index, status)
    try:
        statistics = _Run(opened, shard, progress or (lambda _, __: None)).run()
    except (HanetError, MemoryError, OSError) as error:
        if is_merged(plan):  # another one was quicker, and the folder of shards is gone
            return ShardResult(index, "was done")
        _keep_failure(plan, shard, error)
        raise
    with suppress(OSError):
        plan.failure_of(index).unlink(missing_ok=True)
    if is_merged(plan):
        remove_shards(plan.folder)
    return ShardResult(index, "done", perf_counter() - begun, statistics.tiles)


def standing(plan: Plan, shard: Shard) -> Status | None:
    """How a shard stands that need not be run; None for one that must."""
    if shard.is_empty:
        return "empty"
    path = plan.file_of(shard.index)
    if not path.exists():
        return "was done" if is_merged(plan) else None
    try:
        with ShardFile(path) as file:
            if (file.receipt.plan, file.receipt.shard) != (plan.sha256, shard.index):
                return None
            file.check()
    except ShardError:
        return None
    return "was done"


def count_done(plan: Plan) -> int:
    """Shards that left a file or have nothing to do; files are counted, not looked into."""
    if is_merged(plan):
        return len(plan.shards)
    names = {path.name for path in (plan.folder / SHARDS).glob("[0-9]*.zip")}
    return sum(shard.is_empty or plan.file_of(shard.index).name in names for shard in plan.shards)


def is_merged(plan: Plan) -> bool:
    """Whether the folder of a plan holds the result of all shards."""
    return (plan.folder / "run.json").exists()


class _Run:
    """One shard on its way through the stream."""

    def __init__(self, opened: OpenedPlan, shard: Shard, progress: Progress) -> None:
        self._opened, self._shard, self._progress = opened, shard, progress
        self._pair: RasterPair = opened.opened.pair
        self._tally: dict[str, int] = {}
        self._band: ByteArray | None = None
        self._planes = 2 if opened.plan.has_kinds else 1
        self._overview: ByteArray | None = None
        self._shown = overview_window(self._pair.grid, shard.window)
        self._bands = shown_bands(len(self._pair.bands))
        if opened.plan.settings.report:
            shape = (self._shown.height, 2 * self._bands, self._shown.width)
            self._overview = np.full(shape, NODATA, dtype=np.uint8)

    def run(self) -> StreamStatistics:
        """Streams it, and writes its file."""
        plan, shard = self._opened.plan, self._shard
        with ShardWriter(plan.file_of(shard.index)) as self._writer:
            statistics = stream(
                self._pair,
                self._opened.weights,
                plan.tiles,
                part=shard.part,
                write=self._write,
                write_built=self._write_built if self._planes == 2 else None,
                see=self._see,
                inferred=self._inferred,
                after_row=self._after_row,
                progress=lambda _, share: self._progress(f"shard {shard.index}", share),
            )
            # before anything is kept that was made of pixels of two files
            self._opened.opened.check_unchanged()
            self._writer.finish(self._receipt(statistics), self._overview)
        return statistics

    def _see(self, chunk: Chunk, block: PairBlock) -> None:
        if self._overview is None or chunk not in self._shard.part:
            return
        place, part = part_of_overview(
            block, self._pair.grid, window=chunk.window, own=chunk.final, bands=self._bands
        )
        if not place.is_empty:
            rows, columns = place.relative_to(self._shown).slices
            self._overview[rows, :, columns] = part

    def _write(self, window: Window, probability: FloatArray, valid: Mask) -> None:
        if self._band is None:  # the first chunk of a row; all chunks of it are as high
            shape = (window.height, self._planes, self._shard.window.width)
            self._band = np.empty(shape, dtype=np.uint8)
        _, columns = window.relative_to(self._shard.window).slices
        self._band[:, 0, columns] = encode_probability(probability, valid)

    def _write_built(self, window: Window, probability: FloatArray, asked: Mask) -> None:
        assert self._band is not None
        _, columns = window.relative_to(self._shard.window).slices
        self._band[:, 1, columns] = encode_probability(probability, asked)

    def _after_row(self, _: int) -> None:
        assert self._band is not None
        self._writer.write(self._band)
        self._band = None

    def _inferred(self, chunk: Chunk) -> None:
        # what the scout did in the halo counts for the shard whose own that is
        counts = self._opened.weights.take_counts()
        if chunk in self._shard.part:
            for name, count in counts.items():
                self._tally[name] = self._tally.get(name, 0) + count

    def _receipt(self, statistics: StreamStatistics) -> Receipt:
        return Receipt(
            plan=self._opened.plan.sha256,
            shard=self._shard.index,
            planes=self._planes,
            tally=self._tally,
            tiles={"inferred": statistics.tiles, "skipped": statistics.skipped},
            seconds={name: round(value, 3) for name, value in statistics.seconds.items()},
            machine={**machine(), "threads": self._opened.weights.threads},
            versions=versions(["numpy", "rasterio", self._opened.plan.settings.runtime]),
        )


def _keep_failure(plan: Plan, shard: Shard, error: BaseException) -> None:
    """Writes down why a shard failed, for who merges; a disk that does not take it is no further
    error."""
    message = error.message if isinstance(error, HanetError) else str(error) or "out of memory"
    facts = {"plan": plan.sha256, "shard": shard.index, "message": message[:1000]}
    with suppress(HanetError, OSError):
        replace_file(plan.failure_of(shard.index), json.dumps(facts).encode())
