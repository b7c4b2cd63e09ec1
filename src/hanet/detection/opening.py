"""Opening a pair for a detection: both rasters once, looked at, and brought to the grid of the
result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from hanet.detection.settings import DetectionSettings
from hanet.errors import RasterError
from hanet.imagery.addresses import lies_here
from hanet.imagery.area import MARGIN_PX, area_of
from hanet.imagery.findings import (
    GIVE_SCALING,
    LEAVE_RESOLUTION,
    STATE_RESOLUTION,
    WARN_BEYOND,
)
from hanet.imagery.fingerprint import local_files, states
from hanet.imagery.gdal import reading
from hanet.imagery.grid import Grid
from hanet.imagery.in_memory import RasterInput
from hanet.imagery.pair import (
    PairSettings,
    RasterPair,
    Sources,
    grid_of,
    open_sources,
    pair_on,
)
from hanet.imagery.pair_grid import GridChoice
from hanet.imagery.preflight import Preflight, examine_open, shift_on_grid
from hanet.imagery.radiometry import GIVEN, Scaling, match_histogram
from hanet.metadata import Metadata
from hanet.types import Json, Window

DEAR_SCOUT = 0.2
"""Share of the weights' work from which on a scout is said to pay in empty areas alone: weights
before themselves take a quarter."""


@dataclass(frozen=True, slots=True)
class Notices:
    """What a detection says to its user before it begins, and keeps for the manifest.

    Args:
        note: Called with each decision, in words.
        warn: Called with what will hurt the result.
        said: All of it: level, message and the option that fixes it.
    """

    note: Callable[[str], None]
    warn: Callable[[str], None]
    said: list[Json] = field(default_factory=list)

    def say(self, message: str, fix: str = "", level: str = "note") -> None:
        """Says it and keeps it."""
        self.said.append({"level": level, "message": message, "fix": fix})
        (self.warn if level == "warning" else self.note)(message + (f" ({fix})" if fix else ""))

    def has_said(self, message: str) -> bool:
        """Whether it was said already."""
        return any(one["message"] == message for one in self.said)

    def say_tiles(self, *, asked_px: int | None, taken_px: int) -> None:
        """Says it where the tiles are smaller than was asked."""
        if asked_px is not None and taken_px < asked_px:
            self.say(
                f"tiles of {asked_px} pixels are larger than the pair needs: {taken_px} are taken"
            )

    def say_part(self, grid: Grid, whole: Grid) -> None:
        """Says it where the result is a part of the pair."""
        if grid != whole:
            self.say(
                f"the result covers the area of interest and {MARGIN_PX} pixels around it: "
                f"{grid.height} x {grid.width} of {whole.height} x {whole.width} pixels"
            )

    def say_scout(self, work: float | None) -> None:
        """Says it where a scout saves little or nothing.

        Args:
            work: As :attr:`hanet.weights.cascade.Cascade.scout_work`.
        """
        if work is None:
            return
        if work >= 1:
            self.say(
                f"the scout takes {work:.2g} times the work of the weights for every tile, and "
                "cannot save any",
                "leave --scout out, or name faster weights",
                "warning",
            )
        elif work >= DEAR_SCOUT:
            self.say(
                f"the scout, at half the resolution, takes {work:.0%} of the work of the weights: "
                f"it saves work only where it passes on less than {1 - work:.0%} of the tiles"
            )

    def say_filter(self, *, is_used: bool) -> None:
        """Says it where the weights leave footprints out."""
        if is_used:
            self.say(
                "footprints that look like false alarms on the ground that the weights were "
                "adapted to are left out",
                "--no-footprint-filter keeps them",
            )


@dataclass(frozen=True, slots=True)
class OpenedPair:
    """A pair on the grid of its result.

    Args:
        pair: It, open.
        decided: How both rasters become this pair, with everything that is decided by looking at
            them: grid, scaling, shift, histogram.
        preflight: What was found before, for manifests.
        files: Local files that it is read from, with size and time when it was opened.
    """

    pair: RasterPair
    decided: PairSettings
    preflight: Json
    files: dict[Path, tuple[int, int] | None]

    def check_unchanged(self) -> None:
        """Does nothing unless a file that the pair is read from was replaced, changed or removed
        since it was opened.

        Raises:
            RasterError: One was: the result would be neither that of the old nor of the new file.
        """
        now = states(self.files)
        for path, before in self.files.items():
            if now[path] != before:
                what = "removed" if now[path] is None else "changed"
                raise RasterError(
                    f"{path.name} was {what} while it was read",
                    hint="run hanet detect again with --overwrite when the file stays as it is",
                )


@contextmanager
def opened(
    before: RasterInput,
    after: RasterInput,
    *,
    settings: DetectionSettings,
    metadata: Metadata,
    notices: Notices,
    room: Callable[[Grid], None] | None = None,
) -> Iterator[OpenedPair]:
    """The pair as the settings want it, for the time of a ``with``; every decision is reported.

    Both files are opened once: the pairs that are looked at before (for the scaling, the preflight,
    the histogram) are views on other grids of the same open rasters.

    Args:
        before: Raster of the first date.
        after: The other one.
        settings: As chosen.
        metadata: Of the weights.
        notices: Hear every decision.
        room: Called with the grid before a pixel is read, to raise where the result has no room.

    Raises:
        HanetError: As :func:`hanet.imagery.pair.open_pair`.
    """
    with open_sources(before, after) as sources:
        files = watched(sources, settings.aoi)
        chosen = pair_settings(settings, metadata)
        whole = grid_of(sources, chosen)
        chosen = replace(chosen, part=_part_of(whole, settings.aoi))
        if room is not None:
            room(whole if chosen.part is None else whole.part(chosen.part))
        with pair_on(sources, chosen) as first:
            choice, scaling = GridChoice(first.whole, first.notes), first.scaling
            for text in first.aoi_notes:
                notices.say(text)
            notices.say_part(first.grid, whole)
        chosen = replace(chosen, scaling=scaling)
        dates = settings.footprints
        preflight = examine_open(
            sources, chosen, before_date=dates.before_date, after_date=dates.after_date
        )
        # not before: the pair is examined at its own resolution
        chosen = replace(chosen, choice=choice)
        if settings.coregister == "shift":
            chosen = _shifted(chosen, preflight, choice.grid, notices)
        if settings.match_radiometry:
            chosen = _matched(chosen, sources, notices)
        _warn_of_unlike_pixels(settings, choice.grid, metadata, notices)
        _say_findings(preflight, settings, notices)
        with pair_on(sources, chosen) as pair:
            yield OpenedPair(pair, chosen, preflight.to_json(), files)


def pair_settings(settings: DetectionSettings, metadata: Metadata) -> PairSettings:
    """The part of a detection's settings that says how two rasters become a pair, for weights."""
    count = len(metadata.bands)
    scaling = None
    if settings.scaling is not None:
        low, high = settings.scaling
        scaling = Scaling((float(low),) * count, (float(high),) * count, GIVEN)
    return PairSettings(
        grid=settings.grid,
        gsd_m=settings.gsd_m,
        target_gsd_m=metadata.gsd_m,
        bbox=settings.bbox,
        aoi=settings.aoi,
        bands=settings.bands,
        band_count=count,
        scaling=scaling,
    )


def _part_of(whole: Grid, aoi: Path | None) -> Window | None:
    """The part of a grid around the area of interest; None for all of it. Bare pixels stay whole:
    a part of them would not say where it lies."""
    if aoi is None or whole.crs is None:
        return None
    part = area_of(aoi, whole).window()
    return None if part.shape == (whole.height, whole.width) else part


def watched(sources: Sources, aoi: Path | None) -> dict[Path, tuple[int, int] | None]:
    """The local files that a pair is read from, with size and time of each."""
    paths = set()
    for source in sources:
        with reading(source.name):
            paths |= local_files(source)
        if source.item_file is not None:
            paths.add(source.item_file)
    if aoi is not None and lies_here(aoi):
        paths.add(Path(aoi).resolve())
    return states(paths)


def _shifted(
    chosen: PairSettings, preflight: Preflight, grid: Grid, notices: Notices
) -> PairSettings:
    """With the shift that was found taken back, if it can be trusted."""
    shift = preflight.applicable_shift
    if shift is None:
        notices.say(f"no shift is applied: {preflight.why_no_shift}")
        return chosen
    notices.say(
        f"the after image is moved back by {shift.length_px:.2f} pixels (confidence "
        f"{shift.confidence:.2f})"
    )
    found_on = Grid.from_json(preflight.pair["grid"])
    return replace(chosen, shift=shift_on_grid(shift, found_on=found_on, grid=grid))


def _matched(chosen: PairSettings, sources: Sources, notices: Notices) -> PairSettings:
    """With the after image's histogram matched to the before image's."""
    with pair_on(sources, chosen) as pair:
        sample = pair.sample()
    notices.say("the after image's histogram is matched to the before image's")
    histogram = match_histogram(sample.before, sample.after, valid=sample.valid)
    return replace(chosen, histogram=histogram)


def _warn_of_unlike_pixels(
    settings: DetectionSettings, grid: Grid, metadata: Metadata, notices: Notices
) -> None:
    gsd_m, target = settings.gsd_m, metadata.gsd_m
    if gsd_m is None or grid.gsd_m is None or target is None:
        return
    coarseness = grid.gsd_m / target
    if coarseness > WARN_BEYOND and isinstance(gsd_m, int | float):
        unlike = f"{coarseness:.3g} times as coarse as"
    elif coarseness < 1 / WARN_BEYOND:
        unlike = f"{1 / coarseness:.3g} times as fine as"
    else:
        return
    notices.say(
        f"{grid.gsd_m:.3g} m a pixel, as --gsd says, is {unlike} the weights' resolution "
        f"({target:.3g} m)"
        + ("" if coarseness > 1 else ": houses look larger than any that they learned"),
        "leave --gsd out",
        "warning",
    )


def _say_findings(preflight: Preflight, settings: DetectionSettings, notices: Notices) -> None:
    """What the preflight found, but for what the settings fix already."""
    fixed = {
        "--match-radiometry": settings.match_radiometry,
        LEAVE_RESOLUTION: settings.gsd_m is not None,
        STATE_RESOLUTION: settings.gsd_m is not None,
        GIVE_SCALING: settings.scaling is not None,
    }
    for finding in preflight.findings:
        is_said = finding.about == "shift" and settings.coregister == "shift"
        if not is_said and not fixed.get(finding.fix, False):
            notices.say(finding.message, finding.fix, finding.level)
