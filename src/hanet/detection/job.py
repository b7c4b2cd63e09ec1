"""``detect``: two rasters in; probability, mask, footprints, report and manifest out.

:func:`detect` is the whole way in order, and each step of it a function below: weights and settings
(:mod:`hanet.detection.loading`), the pair (:mod:`hanet.detection.opening`), the folder
(:mod:`hanet.detection.run_folder`), then stream, rasters, footprints, report, manifest.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from hanet.detection.highlights import Highlights
from hanet.detection.loading import LoadedWeights, load_weights
from hanet.detection.manifest import manifest_of, read_result, timings
from hanet.detection.opening import Notices, OpenedPair, opened
from hanet.detection.overview import Overview
from hanet.detection.qgis_project import PROJECT, write_project
from hanet.detection.report import pictures_for, write_report
from hanet.detection.run_folder import (
    RunState,
    check_folder_choice,
    damaged,
    result_files,
)
from hanet.detection.settings import DetectionSettings
from hanet.detection.streaming import StreamStatistics, stream
from hanet.detection.tiling import Chunk, TilePlan
from hanet.files import check_name, file_hash
from hanet.footprints.extraction import FootprintSummary, extract_footprints
from hanet.footprints.settings import FootprintSettings
from hanet.imagery.fingerprint import fingerprint, raster_fingerprint
from hanet.imagery.gdal import reading
from hanet.imagery.pair import PairBlock, RasterPair
from hanet.imagery.qgis import mask_style, probability_style
from hanet.imagery.raster_output import (
    FlatRaster,
    encode_probability,
    write_mask,
    write_probability,
)
from hanet.types import FloatArray, Json, Mask, Progress, Window
from hanet.version import __version__
from hanet.weights import catalogue
from hanet.weights.cascade import Cascade, CascadeCounts


@dataclass(frozen=True, slots=True)
class DetectionResult:
    """A finished run.

    Args:
        out: Its folder.
        footprints: Count and area.
        megapixels: Of the grid.
        seconds: Wall time of this call.
        notes: What was decided, in words.
        share_looked_at: With a scout: share of the tiles that the weights saw, in 0-1; None
            without, or where no tile was valid.
        was_finished: The folder already held the result of this run; nothing was computed.
    """

    out: Path
    footprints: FootprintSummary
    megapixels: float
    seconds: float
    notes: tuple[str, ...] = ()
    share_looked_at: float | None = None
    was_finished: bool = field(default=False)


def detect(
    before: str | Path,
    after: str | Path,
    *,
    out: str | Path,
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
        before: Raster of the first date: a local path, or anything that GDAL opens.
        after: The same place later.
        out: Folder for ``probability.tif``, ``mask.tif``, ``footprints.*``, ``run.json``,
            ``report.html``, ``changes.qgz``.
        weights: A name that ``hanet models`` lists, or a file.
        resume: Continue an unfinished run in ``out``.
        overwrite: Remove the result that ``out`` holds.
        progress: Called with a stage and the share done.
        note: Called with each decision, in words, before the work begins.
        warn: Called with what will hurt the result, in words; ``note`` if None.
        settings: Fields of :class:`hanet.detection.settings.DetectionSettings`.

    Raises:
        HanetError: Whatever keeps the pair from being detected; nothing half-written is left under
            a final name.

    Example:
        >>> result = detect("before.tif", "after.tif", out="changes", min_area_m2=25)
        >>> result.footprints.count
        17
    """
    begun = perf_counter()
    folder = Path(out)
    check_name(folder, "--out")
    check_folder_choice(resume=resume, overwrite=overwrite)
    chosen = DetectionSettings.of(**settings)
    loaded = load_weights(weights, chosen)
    tell = note or (lambda _: None)
    notices = Notices(tell, warn or tell)
    with opened(
        str(before), str(after), settings=chosen, metadata=loaded.metadata, notices=notices
    ) as pair:
        fitted = loaded.for_grid(pair.pair.grid)
        if fitted.tile_px < loaded.tile_px:
            notices.say(
                f"tiles of {loaded.tile_px} pixels are larger than the pair needs: "
                f"{fitted.tile_px} are taken"
            )
        identity = _identity(pair.pair, fitted, chosen)
        with RunState(
            folder,
            identity,
            files=result_files(chosen.formats),
            inputs=pair.files,
            resume=resume,
            overwrite=overwrite,
        ) as state:
            if state.is_finished:
                stored = read_result(folder)
                seconds = perf_counter() - begun
                return DetectionResult(
                    folder, stored.footprints, stored.megapixels, seconds, was_finished=True
                )
            job = _Job(chosen, fitted, pair, state, notices, progress or _no_progress)
            return job.run(identity, begun)


def check_settings(*, weights: str | Path = catalogue.DEFAULT, **settings: Any) -> None:
    """Does nothing unless :func:`detect` would refuse these weights or settings for whatever pair.

    Raises:
        HanetError: It would.
    """
    load_weights(weights, DetectionSettings.of(**settings))


def _identity(pair: RasterPair, loaded: LoadedWeights, settings: DetectionSettings) -> Json:
    """What decides the bytes of the result; ``--resume`` continues a run of the same only."""
    identity: Json = {"weights": file_hash(loaded.weights)}
    for date, source in (("before", pair.before), ("after", pair.after)):
        with reading(source.name):
            identity[date] = raster_fingerprint(source)
    if loaded.scout is not None:
        identity["scout"] = file_hash(loaded.scout)
    if settings.aoi is not None:
        with reading(str(settings.aoi)):
            identity["aoi"] = fingerprint(str(settings.aoi))
    return {**identity, "settings": settings.identity(), "grid": pair.grid.to_json()}


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
        grid, state = self.pair.grid, self.state
        loaded, batch = self.loaded, self.settings.batch
        plan = TilePlan(
            grid.height, grid.width, loaded.tile_px, loaded.overlap_px, chunk_tiles=batch
        )
        marks = {"begun": begun, "opened": perf_counter()}
        statistics = self.stream(plan)
        # before anything is made of pixels of two files
        self.opened.check_unchanged()
        marks["streamed"] = perf_counter()
        drawn = self.footprint_settings()
        probability = self.write_rasters(drawn)
        marks["rasters"] = perf_counter()
        highlights = Highlights()
        footprints = extract_footprints(
            probability,
            state.out,
            settings=drawn,
            formats=self.settings.formats,
            progress=self.progress,
            witness=highlights,
            building=state.building,
        )
        marks["footprints"] = perf_counter()
        scouted = self.counts()
        manifest = manifest_of(
            self.opened,
            loaded,
            plan,
            identity=identity,
            out=state.out,
            started=state.started,
            said=self.notices.said,
            drawn=drawn,
            footprints=footprints,
            scouted=scouted,
            runtime=self.settings.runtime,
        )
        if self.settings.report:
            self.write_report(manifest, highlights)
        if self.settings.qgis:
            self.write_project(drawn, footprints, identity)
        marks["report"] = perf_counter()
        manifest["timings"] = timings(marks, statistics)
        state.finish(manifest)
        share = scouted.share_looked_at if scouted is not None and scouted.scouted else None
        return DetectionResult(
            state.out,
            footprints,
            grid.height * grid.width / 1e6,
            perf_counter() - begun,
            self.pair.notes,
            share,
        )

    def stream(self, plan: TilePlan) -> StreamStatistics:
        """Every tile through the weights, and blended probability into the flat raster; nothing
        is computed where an interrupted run had already finished the stream."""
        state = self.state
        if state.rows_done > len(plan.rows):
            raise damaged(state.work / "journal.json")
        with ExitStack() as stack:
            flat = stack.enter_context(FlatRaster(state.raw, self.pair.grid))
            overview = stack.enter_context(self.overview()) if self.settings.report else None
            if flat.is_new or (overview is not None and overview.is_new):
                state.start_over()
            if state.rows_done == len(plan.rows):
                return StreamStatistics()
            counted: defaultdict[int, dict[str, int]] = defaultdict(dict)

            def see(chunk: Chunk, block: PairBlock) -> None:
                if overview is not None:
                    overview.add(block, window=chunk.window, own=chunk.final)

            def write(window: Window, probability: FloatArray, valid: Mask) -> None:
                flat.write(window, encode_probability(probability, valid))

            def inferred(chunk: Chunk) -> None:
                # by row, so that rows inferred again after a resume count once
                if isinstance(self.loaded.runtime, Cascade):
                    row, counts = counted[chunk.row], self.loaded.runtime.take_counts()
                    for name, count in asdict(counts).items():
                        row[name] = row.get(name, 0) + count

            def after_row(row: int) -> None:
                # the journal must not name a row whose pixels the disk does not have yet
                flat.flush()
                if overview is not None:
                    # the pixels of this row's tiles were read before they were inferred
                    overview.flush()
                state.mark(row + 1, counted.pop(row, None))

            return stream(
                self.pair,
                self.loaded.runtime,
                plan,
                write=write,
                first_row=state.rows_done,
                see=see,
                inferred=inferred,
                after_row=after_row,
                progress=self.progress,
            )

    def write_rasters(self, drawn: FootprintSettings) -> Path:
        """``probability.tif`` and ``mask.tif`` with their styles; the path of the first."""
        state, threshold = self.state, self.loaded.threshold
        self.progress("writing rasters", 0.0)
        tags = {
            "TIFFTAG_SOFTWARE": f"hanet {__version__}",
            "HANET_WEIGHTS": self.loaded.metadata.name,
            "THRESHOLD": str(threshold),
        }
        # `hanet footprints` puts them into its footprints
        dates = {"BEFORE_DATE": drawn.before_date, "AFTER_DATE": drawn.after_date}
        tags |= {name: date for name, date in dates.items() if date is not None}
        partial = state.building / "probability.tif"
        write_probability(state.raw, self.pair.grid, partial, tags=tags)
        probability = state.place("probability.tif")
        state.write("probability.qml", probability_style())
        state.write("mask.qml", mask_style())
        write_mask(probability, state.building / "mask.tif", threshold=threshold, tags=tags)
        state.place("mask.tif")
        return probability

    def write_report(self, manifest: Json, highlights: Highlights) -> None:
        """``report.html``, for which the surroundings of footprints may be read from the pair
        again."""
        self.progress("writing the report", 0.0)
        with self.overview() as overview:
            pictures = pictures_for(self.pair, overview.pictures(), highlights)
        write_report(
            self.state.building / "report.html",
            probability=self.state.out / "probability.tif",
            pictures=pictures,
            manifest=manifest,
            highlights=highlights,
        )
        self.opened.check_unchanged()
        self.state.place("report.html")

    def write_project(
        self, drawn: FootprintSettings, footprints: FootprintSummary, identity: Json
    ) -> None:
        """``changes.qgz``."""
        text = json.dumps(identity, sort_keys=True)
        write_project(
            self.state.out,
            pair=self.pair,
            footprints=footprints.files,
            dates=(drawn.before_date, drawn.after_date),
            key=hashlib.sha256(text.encode()).hexdigest()[:16],
            into=self.state.building,
        )
        self.state.place(PROJECT)

    def overview(self) -> Overview:
        """Both dates so far."""
        return Overview(self.state.overview, self.pair.grid, bands=len(self.pair.bands))

    def footprint_settings(self) -> FootprintSettings:
        """As chosen, with the weights' threshold and the rasters' dates where the user left them
        out."""
        chosen = self.settings.footprints
        return replace(
            chosen,
            threshold=self.loaded.threshold,
            before_date=chosen.before_date or self.pair.before.date,
            after_date=chosen.after_date or self.pair.after.date,
        )

    def counts(self) -> CascadeCounts | None:
        """What the scout did in the whole run, before a resume too; None without one."""
        if not isinstance(self.loaded.runtime, Cascade):
            return None
        try:
            return CascadeCounts(**self.state.tally)
        except TypeError as error:
            raise damaged(self.state.work / "journal.json") from error


def _no_progress(stage: str, share: float) -> None:
    pass


__all__ = ["DetectionResult", "DetectionSettings", "check_settings", "detect"]
