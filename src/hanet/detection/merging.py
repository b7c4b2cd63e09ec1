"""``merge``: the shards of a plan become one result, the same as of a run on one machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import numpy as np

from hanet.command_line import typed
from hanet.detection.beforehand import check_disk, check_results
from hanet.detection.finishing import Finishing, counts_of, overview_of
from hanet.detection.opened_plan import opened_pair
from hanet.detection.opening import OpenedPair
from hanet.detection.overview import Overview, overview_window, shown_bands
from hanet.detection.plan import Plan, Shard, read_plan
from hanet.detection.planning import remove_shards
from hanet.detection.result import DetectionResult, result_of
from hanet.detection.run_folder import RunState, result_files
from hanet.detection.shard import is_merged
from hanet.detection.shard_file import Receipt, ShardError, ShardFile
from hanet.detection.streaming import StreamStatistics
from hanet.detection.tasks import compact
from hanet.documents import DocumentError, read_json
from hanet.errors import OutputError
from hanet.imagery.pair import INVALID_VALUE
from hanet.imagery.raster_output import FlatRaster
from hanet.listeners import listeners
from hanet.types import Json, Progress


@dataclass(slots=True)
class Standing:
    """Which shards of a plan are not there to be merged, by number.

    Args:
        missing: Without a file.
        failed: Of these, those that left a reason, with it.
        foreign: Of another plan: of other inputs, weights or settings.
        damaged: With a file that is not as it was written.
    """

    missing: list[int] = field(default_factory=list)
    failed: dict[int, str] = field(default_factory=dict)
    foreign: list[int] = field(default_factory=list)
    damaged: list[int] = field(default_factory=list)

    @property
    def to_run(self) -> list[int]:
        """All of them."""
        return sorted({*self.missing, *self.foreign, *self.damaged})

    def in_words(self) -> str:
        """What is wrong with which."""
        others = [index for index in self.missing if index not in self.failed]
        parts = [f"missing: {compact(others)}"] if others else []
        parts += [f"of another plan: {compact(self.foreign)}"] if self.foreign else []
        parts += [f"damaged: {compact(self.damaged)}"] if self.damaged else []
        if self.failed:
            index, message = min(self.failed.items())
            parts.append(f"failed: {compact(sorted(self.failed))} ({index}: {message})")
        return "; ".join(parts)


def standing_of(plan: Plan) -> Standing:
    """Which shards are not there yet; the files' contents are not read."""
    found = Standing()
    for shard in plan.shards:
        if shard.is_empty:
            continue
        path = plan.file_of(shard.index)
        if not path.exists():
            found.missing.append(shard.index)
            if (message := _failure(plan, shard.index)) is not None:
                found.failed[shard.index] = message
            continue
        try:
            with ShardFile(path) as file:
                if (file.receipt.plan, file.receipt.shard) != (plan.sha256, shard.index):
                    found.foreign.append(shard.index)
        except ShardError:
            found.damaged.append(shard.index)
    return found


def merge(
    run: str | Path,
    *,
    before: str | None = None,
    after: str | None = None,
    progress: Progress | None = None,
    warn: Callable[[str], None] | None = None,
) -> DetectionResult:
    """Makes one result of all shards of a plan: the bytes that a run on one machine would write.

    Memory does not grow with the raster. A merge that was interrupted begins again; the shards are
    removed when the result is whole.

    Args:
        run: Folder of the plan; the result goes there.
        before: Where the image of the first date lies on this machine, for the report; where the
            plan says if None.
        after: The same of the other date.
        progress: Called with a stage and the share done.
        warn: Called with what is doubtful, in words; Python's warnings if None.

    Raises:
        OutputError: Shards are missing, damaged or of another plan, which the message lists; or the
            folder holds another result, or one that lacks files, or cannot be written.
        HanetError: The inputs are missing, or not those of the plan.
    """
    begun = perf_counter()
    plan = read_plan(run)
    files = result_files(plan.settings.formats)
    if is_merged(plan):
        with RunState(plan.folder, plan.identity, files=files, resume=True, overwrite=False):
            result = result_of(plan.folder, begun)
            _check_whole(plan, result)
            remove_shards(plan.folder)
        return result
    check_results(plan.folder, plan.settings, what="the folder of the plan")
    _refuse(plan, standing_of(plan))
    check_disk(plan.folder, plan.grid, planes=2 if plan.has_kinds else 1)
    with (
        opened_pair(plan, before=before, after=after, is_hashed=True) as opened,
        RunState(
            plan.folder,
            plan.identity,
            files=files,
            inputs=opened.files,
            resume=True,
            overwrite=False,
        ) as state,
    ):
        state.started = plan.started
        marks = {"begun": begun, "opened": perf_counter()}
        gathered = _Gathering(plan, opened, state, progress or (lambda _, __: None))
        gathered.run()
        opened.check_unchanged()
        marks["merged"] = perf_counter()
        if text := gathered.doubt():
            listeners(None, warn)[1](text)
        finishing = Finishing(
            plan.settings,
            opened,
            state,
            plan.tiles,
            plan.weights,
            plan.threshold,
            gathered.threads,
            plan.identity,
            list(plan.said),
            gathered.progress,
        )
        scouted = None
        if plan.settings.scout is not None:
            scouted = counts_of(gathered.tally, plan.path)
        result = finishing.run(marks, gathered.statistics, scouted, {"shards": gathered.facts()})
        remove_shards(plan.folder)
        return result


class _Gathering:
    """Puts the shards into the flat raster and the overview of a run."""

    def __init__(self, plan: Plan, opened: OpenedPair, state: RunState, progress: Progress) -> None:
        self._plan, self._opened, self._state, self.progress = plan, opened, state, progress
        self._receipts: list[Receipt] = []

    def run(self) -> None:
        """All of them, one after another.

        Raises:
            OutputError: One is damaged; all that are are listed.
        """
        grid, report = self._opened.pair.grid, self._plan.settings.report
        damaged: list[int] = []
        with ExitStack() as stack:
            flats = [stack.enter_context(FlatRaster(self._state.raw, grid))]
            if self._plan.has_kinds:
                flats.append(stack.enter_context(FlatRaster(self._state.built, grid)))
            overview = None
            if report:
                overview = stack.enter_context(overview_of(self._opened.pair, self._state))
            for number, shard in enumerate(self._plan.shards):
                self.progress("merging shards", number / len(self._plan.shards))
                try:
                    self._take(shard, flats, overview)
                except ShardError:
                    damaged.append(shard.index)
            for flat in flats:
                flat.flush()
            if overview is not None:
                overview.flush()
        _refuse(self._plan, Standing(damaged=damaged))

    def _take(self, shard: Shard, flats: Sequence[FlatRaster], overview: Overview | None) -> None:
        grid = self._opened.pair.grid
        place = overview_window(grid, shard.window)
        bands = shown_bands(len(self._opened.pair.bands))
        shape = (place.height, 2 * bands, place.width)
        if shard.is_empty:  # of the raster nothing else than nodata was ever there
            if overview is not None:
                overview.put(place, np.full(shape, round(INVALID_VALUE), dtype=np.uint8))
            return
        with ShardFile(self._plan.file_of(shard.index)) as file:
            if file.receipt.planes != len(flats):
                raise ShardError(f"{self._plan.file_of(shard.index)}: it lacks a plane")
            for window, planes in file.rows(shard.window):
                for flat, plane in zip(flats, planes, strict=True):
                    flat.write(window, plane)
            if overview is not None:
                overview.put(place, file.overview(shape))
            self._receipts.append(file.receipt)

    @property
    def tally(self) -> dict[str, int]:
        """What was counted in all of them, by name."""
        total: Counter[str] = Counter()
        for receipt in self._receipts:
            total.update(receipt.tally)
        return dict(total)

    @property
    def statistics(self) -> StreamStatistics:
        """What all of them did, those tiles that two computed counted twice."""
        total = StreamStatistics()
        for receipt in self._receipts:
            total.tiles += receipt.tiles.get("inferred", 0)
            total.skipped += receipt.tiles.get("skipped", 0)
            for name in total.seconds:
                total.seconds[name] += receipt.seconds.get(name, 0.0)
        return total

    def facts(self) -> Json:
        """What ``run.json`` says of the shards, beside the timings."""
        return {
            "count": len(self._plan.shards),
            "without_ground": sum(shard.is_empty for shard in self._plan.shards),
            "processors": self._processors,
        }

    def doubt(self) -> str:
        """What may keep the bytes from being those of one machine; "" where nothing may."""
        kinds = self._processors
        if len(kinds) < 2:
            return ""
        return (
            f"the shards ran on {len(kinds)} kinds of processors ({', '.join(sorted(kinds))}): "
            "single pixels may differ by a step of 0.4 % from a run on one of them"
        )

    @property
    def threads(self) -> Json | None:
        """Threads of the engine, where all machines agree."""
        found = [receipt.machine.get("threads") for receipt in self._receipts]
        known: list[Json] = [threads for threads in found if isinstance(threads, dict)]
        return known[0] if known and all(threads == known[0] for threads in known) else None

    @property
    def _processors(self) -> dict[str, int]:
        names = [str(receipt.machine.get("processor", "")) for receipt in self._receipts]
        return {name: names.count(name) for name in sorted(set(names))}


def _check_whole(plan: Plan, result: DetectionResult) -> None:
    """Does nothing for a result that holds its rasters and footprints.

    Raises:
        OutputError: Somebody has removed one.
    """
    paths = result.paths
    rasters = [path.name for path in (paths.probability, paths.mask) if not path.exists()]
    gone = rasters + [path.name for path in result.footprints.files if not path.exists()]
    if not gone:
        return
    raise OutputError(
        f"{plan.folder} was merged, but {', '.join(gone)} of the result "
        f"{'is' if len(gone) == 1 else 'are'} missing, and its shards were removed",
        hint="bring it back, or begin again: hanet plan BEFORE AFTER "
        f"--out {typed(plan.folder)} --overwrite"
        if paths.probability.name in gone
        else f"hanet footprints {typed(plan.folder)} makes it again",
    )


def _refuse(plan: Plan, standing: Standing) -> None:
    """Does nothing where all shards are there.

    Raises:
        OutputError: Some are not.
    """
    if not standing.to_run:
        return
    count = len(standing.to_run)
    raise OutputError(
        f"{count} of {len(plan.shards)} shards of {plan.folder} cannot be merged: "
        f"{standing.in_words()}",
        hint=f"hanet detect --plan {typed(plan.path)} --shard {compact(standing.to_run)}",
    )


def _failure(plan: Plan, index: int) -> str | None:
    """Why a shard failed, where it says so."""
    try:
        value = read_json(plan.failure_of(index), max_bytes=1 << 16)
    except (OSError, DocumentError):
        return None
    return str(value.get("message")) if isinstance(value, dict) else None
