"""Everything that is made of a run's probability once all of it is there: rasters, footprints,
report, project, manifest.

A run on one machine (:mod:`hanet.detection.job`) and the merge of shards from many
(:mod:`hanet.detection.merging`) end here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

from hanet.detection.highlights import Highlights
from hanet.detection.manifest import keeps_kinds, manifest_of, timings
from hanet.detection.opening import OpenedPair
from hanet.detection.overview import Overview
from hanet.detection.qgis_project import PROJECT, write_project
from hanet.detection.report import pictures_for, write_report
from hanet.detection.result import DetectionResult
from hanet.detection.run_folder import BUILT, RunState, damaged
from hanet.detection.settings import DetectionSettings
from hanet.detection.stac_items import item_text, stac_items
from hanet.detection.streaming import StreamStatistics
from hanet.detection.tiling import TilePlan
from hanet.footprints.extraction import FootprintSummary, extract_footprints
from hanet.footprints.false_alarms import FootprintFilter
from hanet.footprints.passed_over import NOTHING_VALID as NO_PROBABILITY
from hanet.footprints.settings import FootprintSettings
from hanet.imagery.findings import NOTHING_VALID
from hanet.imagery.pair import RasterPair
from hanet.imagery.qgis import built_style, mask_style, probability_style
from hanet.imagery.raster_output import write_mask, write_probability
from hanet.types import Json, Progress
from hanet.version import __version__
from hanet.weights.cascade import CascadeCounts


@dataclass(frozen=True, slots=True)
class Finishing:
    """The last steps of a run whose inputs are open, whose folder is locked, and whose probability
    and overview lie in the work folder.

    Args:
        settings: As the user chose.
        opened: The pair.
        state: The folder.
        plan: The tiles that were inferred.
        weights: What ran, from :func:`hanet.detection.manifest.weights_record`.
        threshold: Probability from which on a pixel counts as change.
        threads: Threads of the engine; None of engines that differ.
        identity: What decides the bytes of the result.
        said: Decisions and warnings.
        progress: Called with a stage and the share done.
    """

    settings: DetectionSettings
    opened: OpenedPair
    state: RunState
    plan: TilePlan
    weights: Json
    threshold: float
    threads: Json | None
    identity: Json
    said: list[Json]
    progress: Progress

    @property
    def pair(self) -> RasterPair:
        """The pair, open."""
        return self.opened.pair

    def run(
        self,
        marks: Mapping[str, float],
        statistics: StreamStatistics,
        scouted: CascadeCounts | None,
        further: Json | None = None,
    ) -> DetectionResult:
        """Makes all of it; ``run.json`` comes last.

        Args:
            marks: When the stages before ended, by their names; the first is the beginning.
            statistics: What inference did.
            scouted: What the scout did in the whole run; None without one.
            further: What ``run.json`` keeps beside the timings.
        """
        grid, state, marks = self.pair.grid, self.state, dict(marks)
        begun = next(iter(marks.values()))
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
            built=state.out / BUILT if self.has_kinds else None,
        )
        if footprints.why_nothing == NO_PROBABILITY:  # which is a word of ours; say why that is
            footprints = replace(
                footprints,
                why_nothing=NOTHING_VALID
                if self.settings.aoi is None
                else "no pixel in the area of interest is valid at both dates",
            )
        marks["footprints"] = perf_counter()
        manifest = manifest_of(
            self.opened,
            self.weights,
            self.plan,
            threshold=self.threshold,
            threads=self.threads,
            identity=self.identity,
            out=state.out,
            started=state.started,
            said=self.said,
            drawn=drawn,
            footprints=footprints,
            scouted=scouted,
            runtime=self.settings.runtime,
        )
        if self.settings.report:
            self.write_report(manifest, highlights)
        if self.settings.qgis:
            self.write_project(drawn, footprints)
        self.write_items(manifest)
        marks["report"] = perf_counter()
        manifest["timings"] = {**timings(marks, statistics), **(further or {})}
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

    def write_rasters(self, drawn: FootprintSettings) -> Path:
        """``probability.tif`` and ``mask.tif`` with their styles; the path of the first."""
        state, threshold = self.state, self.threshold
        self.progress("writing rasters", 0.0)
        tags = {
            "TIFFTAG_SOFTWARE": f"hanet {__version__}",
            "HANET_WEIGHTS": str(self.weights["name"]),
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
        if self.has_kinds:
            described = "probability that a change is a new building"
            partial = state.building / BUILT
            write_probability(
                state.built, self.pair.grid, partial, tags=tags, description=described
            )
            state.place(BUILT)
            state.write("built.qml", built_style())
        write_mask(probability, state.building / "mask.tif", threshold=threshold, tags=tags)
        state.place("mask.tif")
        return probability

    @property
    def has_kinds(self) -> bool:
        """Whether footprints say what was built and what demolished."""
        return keeps_kinds(self.weights, self.settings)

    def write_report(self, manifest: Json, highlights: Highlights) -> None:
        """``report.html``, for which the surroundings of footprints may be read from the pair
        again."""
        self.progress("writing the report", 0.0)
        with overview_of(self.pair, self.state) as overview:
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

    def write_project(self, drawn: FootprintSettings, footprints: FootprintSummary) -> None:
        """``changes.qgz``."""
        text = json.dumps(self.identity, sort_keys=True)
        write_project(
            self.state.out,
            pair=self.pair,
            footprints=footprints.files,
            dates=(drawn.before_date, drawn.after_date),
            has_kinds=self.has_kinds,
            key=hashlib.sha256(text.encode()).hexdigest()[:16],
            into=self.state.building,
        )
        self.state.place(PROJECT)

    def write_items(self, manifest: Json) -> None:
        """``stac-item.json`` and ``stac-model.json``."""
        there = [path.name for path in self.state.out.iterdir()]
        for name, item in stac_items(manifest, there, self.state.out).items():
            self.state.write(name, item_text(item))

    def footprint_settings(self) -> FootprintSettings:
        """As chosen, with the weights' threshold and filter and the rasters' dates where the user
        left them out."""
        chosen, stored = self.settings.footprints, self.weights.get("footprint_filter")
        keeping = FootprintFilter.from_json(stored) if stored is not None else None
        return replace(
            chosen,
            threshold=self.threshold,
            before_date=chosen.before_date or self.pair.before.date,
            after_date=chosen.after_date or self.pair.after.date,
            footprint_filter=chosen.footprint_filter or keeping,
        )


def overview_of(pair: RasterPair, state: RunState) -> Overview:
    """Both dates so far, from the work folder."""
    return Overview(state.overview, pair.grid, bands=len(pair.bands))


def counts_of(tally: Mapping[str, int], kept_in: Path) -> CascadeCounts:
    """What a scout did, as a file of the run keeps it.

    Raises:
        OutputError: The file holds something else.
    """
    try:
        return CascadeCounts(**tally)
    except TypeError as error:
        raise damaged(kept_in) from error
