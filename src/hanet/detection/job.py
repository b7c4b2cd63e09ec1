"""``detect``: two rasters in, probability, mask, footprints, report and manifest out."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any

from hanet.detection.highlights import Highlights
from hanet.detection.overview import Overview
from hanet.detection.report import write_report
from hanet.detection.run_folder import RunState, check_folder_choice
from hanet.detection.settings import DetectionSettings
from hanet.detection.streaming import StreamStatistics, fitted_tile, stream, tile_and_overlap
from hanet.detection.tiling import Chunk, TilePlan
from hanet.files import file_hash, writing
from hanet.footprints.extraction import FootprintSummary, extract_footprints
from hanet.footprints.settings import FootprintSettings
from hanet.imagery.findings import GIVE_SCALING, LEAVE_RESOLUTION, WARN_BEYOND
from hanet.imagery.fingerprint import fingerprint, raster_fingerprint
from hanet.imagery.grid import Grid
from hanet.imagery.pair import PairBlock, RasterPair, open_pair
from hanet.imagery.preflight import Preflight, examine, shift_on_grid
from hanet.imagery.qgis import mask_style, probability_style
from hanet.imagery.radiometry import Scaling, match_histogram
from hanet.imagery.raster_output import (
    FlatRaster,
    encode_probability,
    write_mask,
    write_probability,
)
from hanet.metadata import Metadata
from hanet.provenance import versions
from hanet.types import FloatArray, Json, Mask, Progress, Window
from hanet.version import __version__
from hanet.weights import catalogue
from hanet.weights.cascade import SCOUT_THRESHOLD, Cascade, CascadeCounts
from hanet.weights.runtime import Runtime, open_runtime


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
        was_finished: The folder already held this very run; nothing was computed.
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
            ``report.html``.
        weights: A name that ``hanet models`` lists, or a file.
        resume: Go on with an unfinished run in ``out``.
        overwrite: Throw away what ``out`` holds.
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
    check_folder_choice(resume=resume, overwrite=overwrite)
    job = _Job(str(before), str(after), Path(out), DetectionSettings.of(**settings), weights)
    tell = note or (lambda _: None)
    with job.open_pair(tell, warn or tell) as pair:
        identity = {
            "before": raster_fingerprint(pair.before),
            "after": raster_fingerprint(pair.after),
            "weights": file_hash(job.weights),
            **({"scout": file_hash(job.scout)} if job.scout is not None else {}),
            **({"aoi": fingerprint(str(job.settings.aoi))} if job.settings.aoi is not None else {}),
            "settings": job.settings.identity(),
            "grid": pair.grid.to_json(),
        }
        with RunState(Path(out), identity, resume=resume, overwrite=overwrite) as state:
            if state.is_finished:
                return job.finished_result(perf_counter() - begun)
            return job.run(pair, state, identity, begun, progress or _no_progress)


def check_settings(*, weights: str | Path = catalogue.DEFAULT, **settings: Any) -> None:
    """Does nothing unless :func:`detect` would refuse these weights or settings for whatever pair.

    Raises:
        HanetError: It would.
    """
    _Job("", "", Path(), DetectionSettings.of(**settings), weights)


class _Job:
    """One detection: its inputs, settings and runtime."""

    def __init__(
        self, before: str, after: str, out: Path, settings: DetectionSettings, weights: str | Path
    ) -> None:
        self.before, self.after, self.out, self.settings = before, after, out, settings
        engine = settings.engine
        self.weights = catalogue.resolve(weights, suffixes=engine.suffixes)
        self.runtime: Runtime = open_runtime(self.weights, engine)
        self.metadata: Metadata = self.runtime.metadata
        self.scout = (
            catalogue.resolve(settings.scout, suffixes=engine.suffixes)
            if settings.scout is not None
            else None
        )
        self.tile_px, self.overlap_px = tile_and_overlap(
            self.metadata, settings.tile_px, settings.overlap_px
        )
        self.threshold = (
            settings.footprints.threshold
            if settings.footprints.threshold is not None
            else self.metadata.threshold
        )
        if (
            self.scout is not None
        ):  # whatever becomes a footprint was seen by the weights themselves
            lowest = min(SCOUT_THRESHOLD, max(0.0, self.threshold))
            self.runtime = Cascade(
                open_runtime(self.scout, replace(engine, flips=False)),
                self.runtime,
                threshold=lowest,
            )
        self.preflight: Preflight | None = None
        self.said: list[Json] = []
        self._footprint_settings(None)  # raises where they make no sense

    def open_pair(self, note: Callable[[str], None], warn: Callable[[str], None]) -> RasterPair:
        """The pair on its grid, with shift and histogram as the settings say; every decision is
        told and set down."""
        settings = self.settings

        def say(message: str, mend: str = "", level: str = "note") -> None:
            self.said.append({"level": level, "message": message, "mend": mend})
            (warn if level == "warning" else note)(message + (f" ({mend})" if mend else ""))

        choices: Json = {"grid": settings.grid, "bbox": settings.bbox}
        target = self.metadata.gsd_m
        bands: Json = {"bands": settings.bands, "band_count": len(self.metadata.bands)}
        arguments: Json = {
            **choices,
            **bands,
            "gsd_m": settings.gsd_m,
            "target_gsd_m": target,
            "aoi": settings.aoi,
        }
        if settings.scaling is not None:
            low, high = settings.scaling
            count = len(self.metadata.bands)
            arguments["scaling"] = Scaling((low,) * count, (high,) * count, "given")
        with open_pair(self.before, self.after, **arguments) as pair:
            grid, scaling = pair.grid, pair.scaling
            for text in pair.aoi_notes:
                say(text)
        arguments["scaling"] = scaling
        tile, overlap = fitted_tile(
            self.metadata, self.tile_px, self.overlap_px, height=grid.height, width=grid.width
        )
        if tile < self.tile_px:
            say(f"tiles of {self.tile_px} pixels are larger than the pair needs: {tile} are taken")
        self.tile_px, self.overlap_px = tile, overlap
        dates: Json = {
            "before_date": settings.footprints.before_date,
            "after_date": settings.footprints.after_date,
        }
        self.preflight = examine(
            self.before,
            self.after,
            target_gsd_m=target,
            **choices,
            **bands,
            **dates,
            scaling=scaling,
        )
        if settings.coregister == "shift":
            shift = self.preflight.applicable_shift
            if shift is None:
                say(f"no shift is applied: {self.preflight.why_no_shift}")
            else:
                found_on = Grid.from_json(self.preflight.pair["grid"])
                arguments["shift"] = shift_on_grid(shift, found_on=found_on, grid=grid)
                say(
                    f"the after image is moved back by {shift.length_px:.2f} pixels (confidence "
                    f"{shift.confidence:.2f})"
                )
        if settings.match_radiometry:
            with open_pair(self.before, self.after, **arguments) as pair:
                sample = pair.sample()
            arguments["histogram"] = match_histogram(
                sample.before, sample.after, valid=sample.valid
            )
            say("the after image is given the before image's histogram")
        if (
            isinstance(settings.gsd_m, int | float)
            and grid.gsd_m is not None
            and target is not None
        ):
            coarseness = grid.gsd_m / target
            if coarseness > WARN_BEYOND:
                say(
                    f"{grid.gsd_m:.3g} m a pixel, as --gsd says, is {coarseness:.3g} times as "
                    "coarse as the weights know "
                    f"({target:.3g} m)",
                    "leave --gsd out",
                    "warning",
                )
        mended = {
            "--match-radiometry": settings.match_radiometry,
            LEAVE_RESOLUTION: settings.gsd_m is not None,
            GIVE_SCALING: settings.scaling is not None,
        }
        for finding in self.preflight.findings:
            is_told = finding.about == "shift" and settings.coregister == "shift"
            if not is_told and not mended.get(finding.mend, False):
                say(finding.message, finding.mend, finding.level)
        return open_pair(self.before, self.after, **arguments)

    def run(
        self, pair: RasterPair, state: RunState, identity: Json, begun: float, progress: Progress
    ) -> DetectionResult:
        """Probability first, then everything that is made from it."""
        plan = TilePlan(
            pair.grid.height,
            pair.grid.width,
            self.tile_px,
            self.overlap_px,
            chunk_tiles=self.settings.batch,
        )
        marks = {"begun": begun, "opened": perf_counter()}
        statistics = self._stream(pair, state, plan, progress)
        marks["streamed"] = perf_counter()
        progress("writing rasters", 0.0)
        tags = {
            "TIFFTAG_SOFTWARE": f"hanet {__version__}",
            "HANET_WEIGHTS": self.metadata.name,
            "THRESHOLD": str(self.threshold),
        }
        drawn = self._footprint_settings(pair)
        dates = {"BEFORE_DATE": drawn.before_date, "AFTER_DATE": drawn.after_date}
        tags |= {
            name: date for name, date in dates.items() if date is not None
        }  # for `hanet footprints`
        probability = self.out / "probability.tif"
        write_probability(state.raw, pair.grid, probability, tags=tags)
        with writing(self.out):
            (self.out / "probability.qml").write_text(probability_style(), encoding="utf-8")
            (self.out / "mask.qml").write_text(mask_style(), encoding="utf-8")
        write_mask(probability, self.out / "mask.tif", threshold=self.threshold, tags=tags)
        marks["rasters"] = perf_counter()
        highlights = Highlights()
        footprints = extract_footprints(
            probability,
            self.out,
            settings=drawn,
            formats=self.settings.formats,
            progress=progress,
            witness=highlights,
        )
        marks["footprints"] = perf_counter()
        scouted = CascadeCounts(**state.tally) if isinstance(self.runtime, Cascade) else None
        manifest = self._manifest(pair, plan, identity, footprints, scouted)
        if self.settings.report:
            progress("writing the report", 0.0)
            with self._overview(pair, state) as overview:
                pictures = overview.pictures()
            write_report(
                self.out, pair=pair, pictures=pictures, manifest=manifest, highlights=highlights
            )
        marks["report"] = perf_counter()
        manifest["timings"] = _timings(marks, statistics)
        state.finish(manifest)
        pixels = pair.grid.height * pair.grid.width / 1e6
        share = scouted.share_looked_at if scouted is not None and scouted.scouted else None
        return DetectionResult(
            self.out, footprints, pixels, perf_counter() - begun, pair.notes, share
        )

    def finished_result(self, seconds: float) -> DetectionResult:
        """What the folder already holds."""
        import json

        manifest = json.loads((self.out / "run.json").read_text(encoding="utf-8"))
        facts, grid = manifest["footprints"], manifest["pair"]["grid"]
        files = tuple(self.out / name for name in facts["files"])
        summary = FootprintSummary(
            facts["count"], facts["area"], facts["unit"] == "m2", files, facts["threshold"]
        )
        return DetectionResult(
            self.out, summary, grid["height"] * grid["width"] / 1e6, seconds, was_finished=True
        )

    def _stream(
        self, pair: RasterPair, state: RunState, plan: TilePlan, progress: Progress
    ) -> StreamStatistics:
        with ExitStack() as stack:
            flat = stack.enter_context(FlatRaster(state.raw, pair.grid))
            overview = (
                stack.enter_context(self._overview(pair, state)) if self.settings.report else None
            )
            if flat.is_new or (overview is not None and overview.is_new):
                state.start_anew()
            if state.rows_done >= len(plan.rows):
                return StreamStatistics()

            def see(chunk: Chunk, block: PairBlock) -> None:
                if overview is not None:
                    overview.add(block, window=chunk.window, own=chunk.final)

            def write(window: Window, probability: FloatArray, valid: Mask) -> None:
                flat.write(window, encode_probability(probability, valid))

            counted: defaultdict[int, dict[str, int]] = defaultdict(dict)

            def inferred(chunk: Chunk) -> None:
                if isinstance(
                    self.runtime, Cascade
                ):  # by row, so that rows inferred again after a resume count once
                    row, counts = counted[chunk.row], self.runtime.take_counts()
                    for name, count in asdict(counts).items():
                        row[name] = row.get(name, 0) + count

            def after_row(row: int) -> None:
                flat.flush()
                if (
                    overview is not None
                ):  # the pixels of this row's tiles were read before they were inferred
                    overview.flush()
                state.mark(row + 1, counted.pop(row, None))

            return stream(
                pair,
                self.runtime,
                plan,
                write=write,
                first_row=state.rows_done,
                see=see,
                inferred=inferred,
                after_row=after_row,
                progress=progress,
            )

    def _overview(self, pair: RasterPair, state: RunState) -> Overview:
        return Overview(state.overview, pair.grid, bands=len(pair.bands))

    def _footprint_settings(self, pair: RasterPair | None) -> FootprintSettings:
        settings = self.settings.footprints
        return replace(
            settings,
            threshold=self.threshold,
            before_date=settings.before_date or (pair.before.date if pair else None),
            after_date=settings.after_date or (pair.after.date if pair else None),
        )

    def _manifest(
        self,
        pair: RasterPair,
        plan: TilePlan,
        identity: Json,
        footprints: FootprintSummary,
        scouted: CascadeCounts | None,
    ) -> Json:
        import rasterio

        return {
            "hanet": __version__,
            "identity": identity,
            "weights": {
                "name": self.metadata.name,
                "file": self.weights.name,
                "sha256": identity["weights"],
                "scores": [asdict(score) for score in self.metadata.scores],
                "licence": self.metadata.licence,
            },
            "pair": pair.manifest(),
            "preflight": self.preflight.to_json() if self.preflight else None,
            "said": self.said,
            "tiles": {"tile_px": plan.tile_px, "overlap_px": plan.overlap_px, "count": plan.tiles},
            "cascade": asdict(scouted) if scouted is not None else None,
            "threshold": self.threshold,
            "footprints": {
                **self._footprint_settings(pair).to_json(),
                "count": footprints.count,
                "area": round(footprints.area_m2, 2),
                "unit": "m2" if footprints.has_metres else "px",
                "files": [path.name for path in footprints.files],
            },
            "versions": {
                **versions(["numpy", "rasterio", "pyogrio", "shapely", self.settings.runtime]),
                "gdal": rasterio.__gdal_version__,
                "platform": sys.platform,
            },
        }


def _no_progress(stage: str, share: float) -> None:
    pass


def _timings(marks: dict[str, float], statistics: StreamStatistics) -> Json:
    names = list(marks)
    stages = {later: round(marks[later] - marks[earlier], 3) for earlier, later in pairwise(names)}
    return {
        "seconds": stages,
        "busy_seconds": {key: round(value, 3) for key, value in statistics.seconds.items()},
        "tiles_inferred": statistics.tiles,
        "tiles_skipped": statistics.skipped,
    }


__all__ = ["DetectionResult", "DetectionSettings", "check_settings", "detect"]
