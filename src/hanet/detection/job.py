"""``detect``: two rasters in; probability, mask, footprints, report and manifest out.

:func:`detect` is the whole way in order, and each step of it a function below: weights and settings
(:mod:`hanet.detection.loading`), the pair (:mod:`hanet.detection.opening`), the folder
(:mod:`hanet.detection.run_folder`), the stream, and everything that is made of it
(:mod:`hanet.detection.finishing`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from hanet.detection.beforehand import check_disk, check_run
from hanet.detection.finishing import Finishing, counts_of, overview_of
from hanet.detection.identity import identity_of
from hanet.detection.loading import LoadedWeights, load_weights, tile_plan
from hanet.detection.manifest import weights_record
from hanet.detection.opening import Notices, OpenedPair, opened
from hanet.detection.result import DetectionResult, TemporaryFolder, result_of
from hanet.detection.run_folder import RunState, check_folder_choice, damaged, result_files
from hanet.detection.settings import DetectionSettings
from hanet.detection.streaming import StreamStatistics, stream
from hanet.detection.tiling import Chunk, TilePlan
from hanet.errors import SettingsError
from hanet.files import check_name
from hanet.imagery.findings import NOTHING_VALID
from hanet.imagery.in_memory import RasterInput
from hanet.imagery.pair import PairBlock, RasterPair
from hanet.imagery.raster_output import FlatRaster, encode_probability
from hanet.listeners import listeners
from hanet.types import FloatArray, Json, Mask, Progress, Window
from hanet.weights import catalogue


def detect(
    before: RasterInput,
    after: RasterInput,
    *,
    out: str | Path | None = None,
    weights: str | Path = catalogue.DEFAULT,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
    warn: Callable[[str], None] | None = None,
    **settings: Any,
) -> DetectionResult:
    """Detects changed buildings between two rasters; memory does not grow with their size.

    Args:
        before: Raster of the first date: a local path, anything that GDAL opens, a STAC item
            (``"item.json"``, ``"STAC:https://host/items/7|asset=visual"``), an open rasterio
            dataset, a DataArray with CRS and transform, or a
            :class:`hanet.imagery.in_memory.Raster` (what lies in memory is written to a temporary
            GeoTIFF).
        after: The same place later.
        out: Folder for ``probability.tif``, ``mask.tif``, ``footprints.*``, ``run.json``,
            ``report.html``, ``changes.qgz``, ``stac-item.json``; if None a temporary one, which is
            removed once nothing refers to the result or its ``footprints``.
        weights: A name that ``hanet models`` lists, or a file.
        resume: Continue an unfinished run in ``out``.
        overwrite: Remove the result that ``out`` holds.
        progress: Called with a stage and the share done.
        note: Called with each decision, in words, before the work begins.
        warn: Called with what will hurt the result, in words; if None ``note``, and without
            that Python's warnings.
        settings: Fields of :class:`hanet.detection.settings.DetectionSettings`.

    Raises:
        HanetError: The pair cannot be detected; no partial file is left under a final name.

    Example:
        >>> result = detect("before.tif", "after.tif", out="changes", min_area_m2=25)
        >>> result.footprints.count
        17
    """
    begun = perf_counter()
    if out is None:
        if resume or overwrite:
            raise SettingsError(
                "a temporary folder holds no run to resume or overwrite", hint="give out="
            )
        temporary = TemporaryFolder()
        again = partial(detect, before, after, weights=weights, progress=progress, note=note)
        return again(out=temporary.path, warn=warn, **settings).kept_by(temporary)
    folder = Path(out)
    check_name(folder, "--out")
    check_folder_choice(resume=resume, overwrite=overwrite)
    chosen = DetectionSettings.of(**settings)
    check_run(folder, chosen, (before, after), resume=resume, overwrite=overwrite)
    loaded = load_weights(weights, chosen)
    notices = Notices(*listeners(note, warn))
    room = partial(check_disk, folder, planes=2 if loaded.keeps_kinds(chosen) else 1)
    with opened(
        before, after, settings=chosen, metadata=loaded.metadata, notices=notices, room=room
    ) as pair:
        fitted = loaded.for_grid(pair.pair.whole, chosen)
        notices.say_tiles(asked_px=chosen.tile_px, taken_px=fitted.tile_px)
        notices.say_scout(loaded.scout_work)
        notices.say_filter(is_used=fitted.footprint_filter is not None)
        identity = identity_of(pair.pair, fitted, chosen)
        with RunState(
            folder,
            identity,
            files=result_files(chosen.formats),
            inputs=pair.files,
            resume=resume,
            overwrite=overwrite,
        ) as state:
            if state.is_finished:
                return result_of(folder, begun)
            job = _Job(chosen, fitted, pair, state, notices, progress or _no_progress)
            return job.run(identity, begun)


def check_settings(*, weights: str | Path = catalogue.DEFAULT, **settings: Any) -> None:
    """Does nothing unless :func:`detect` would refuse these weights or settings for whatever pair.

    Raises:
        HanetError: It would.
    """
    load_weights(weights, DetectionSettings.of(**settings))


@dataclass(frozen=True, slots=True)
class _Job:
    """One detection whose inputs are open and whose folder is locked."""

    settings: DetectionSettings
    loaded: LoadedWeights
    opened: OpenedPair
    state: RunState
    notices: Notices
    progress: Progress

    @property
    def pair(self) -> RasterPair:
        return self.opened.pair

    def run(self, identity: Json, begun: float) -> DetectionResult:
        """Probability first, then everything that is made from it."""
        state, loaded = self.state, self.loaded
        plan = tile_plan(self.pair.whole, loaded, self.settings, within=self.opened.decided.part)
        marks = {"begun": begun, "opened": perf_counter()}
        statistics = self.stream(plan)
        # before anything is made of pixels of two files
        self.opened.check_unchanged()
        marks["streamed"] = perf_counter()
        journal = state.work / "journal.json"
        finishing = Finishing(
            self.settings,
            self.opened,
            state,
            plan,
            weights_record(loaded, sha256=identity["weights"]),
            loaded.threshold,
            loaded.threads.to_json(),
            identity,
            self.notices.said,
            self.progress,
        )
        scouted = counts_of(state.tally, journal) if loaded.scout is not None else None
        result = finishing.run(marks, statistics, scouted)
        if result.footprints.why_nothing and self.notices.has_said(NOTHING_VALID):
            return replace(result, footprints=replace(result.footprints, why_nothing=""))
        return result

    def stream(self, plan: TilePlan) -> StreamStatistics:
        """Every tile through the weights, and blended probability into the flat raster; nothing
        is computed where an interrupted run had already finished the stream."""
        state, rows = self.state, plan.whole.rows
        if state.rows_done > rows.stop:
            raise damaged(state.work / "journal.json")
        with ExitStack() as stack:
            flat = stack.enter_context(FlatRaster(state.raw, self.pair.grid))
            built = None
            if self.loaded.keeps_kinds(self.settings):
                built = stack.enter_context(FlatRaster(state.built, self.pair.grid))
            overview = None
            if self.settings.report:
                overview = stack.enter_context(overview_of(self.pair, state))
            kept = [part for part in (flat, built, overview) if part is not None]
            if any(part.is_new for part in kept):
                state.start_over()
            if state.rows_done == rows.stop:
                return StreamStatistics()
            counted: defaultdict[int, dict[str, int]] = defaultdict(dict)

            def see(chunk: Chunk, block: PairBlock) -> None:
                if overview is not None:
                    overview.add(block, window=chunk.window, own=chunk.final)

            def write(window: Window, probability: FloatArray, valid: Mask) -> None:
                flat.write(window, encode_probability(probability, valid))

            def write_built(window: Window, probability: FloatArray, asked: Mask) -> None:
                assert built is not None
                built.write(window, encode_probability(probability, asked))

            def inferred(chunk: Chunk) -> None:
                # by row, so that rows inferred again after a resume count once
                row = counted[chunk.row]
                for name, count in self.loaded.take_counts().items():
                    row[name] = row.get(name, 0) + count

            def after_row(row: int) -> None:
                # the journal must not name a row whose pixels the disk does not have yet; of the
                # overview, they were read before they were inferred
                for part in kept:
                    part.flush()
                state.mark(row + 1, counted.pop(row, None))

            done = max(0, state.rows_done - rows.start) / len(rows)
            return stream(
                self.pair,
                self.loaded.runtime,
                plan,
                write=write,
                write_built=None if built is None else write_built,
                part=plan.from_row(state.rows_done),
                see=see,
                inferred=inferred,
                after_row=after_row,
                progress=lambda stage, share: self.progress(stage, done + (1 - done) * share),
            )


def _no_progress(stage: str, share: float) -> None:
    pass


__all__ = ["DetectionResult", "DetectionSettings", "check_settings", "detect"]
