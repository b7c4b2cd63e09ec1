"""What a pair is, before anything is detected in it: geometry, radiometry, shift; and what will
hurt, with the option that mends it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hanet.imagery.dates import is_earlier
from hanet.imagery.grid import Grid
from hanet.imagery.overviews import are_stale
from hanet.imagery.pair import (
    SAMPLE_PX,
    PairBlock,
    PairSettings,
    RasterPair,
    Sources,
    open_sources,
    pair_on,
)
from hanet.imagery.pair_grid import FINEST, RESAMPLE_BEYOND, is_oblong
from hanet.imagery.radiometry import Scaling, radiometric_difference
from hanet.imagery.registration import MIN_WINDOWS, Shift, common_shift, correlation_surface
from hanet.types import FloatArray, Json, Window

SHIFT_WINDOW_PX = 256
"""Side of the windows for phase correlation."""

WINDOWS_A_SIDE = 6
"""Windows along each axis that are read at most; a shift is the same everywhere, so more add
little."""

WINDOW_STRIDE_PX = 128
"""Windows lie at least this far apart, so that each adds ground of its own."""

MIN_CONFIDENCE = 0.5
"""A shift that fewer groups of windows agree on is not applied: roofs lean, hills warp."""

MIN_SHIFT_PX = 3.0
"""A smaller shift is neither advised about nor taken back. The weights learned from pairs that lie
one to four pixels apart: aligning those of scenes-1024/val changes F1 from 0.880 to 0.882
(results/reliability/shifts.json)."""

MANY_SIGMAS = 0.8
"""Means that differ by more than this many standard deviations are said to differ strongly."""

WARN_BEYOND = 1.6
"""Pixels more than so many times as coarse as the weights' are warned of."""

LEAVE_RESOLUTION = "--gsd native leaves it"
"""Mends a finding about the pixels' size."""

GIVE_SCALING = "--scaling LOW,HIGH sets it"
"""Mends a finding about values that are not 8 bit."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a user should know.

    Args:
        level: ``"note"`` or ``"warning"``.
        message: What was found and what it does.
        mend: The option that mends it, or "".
        about: What it speaks of, where a caller must know: ``"shift"``, or "".
    """

    level: Literal["note", "warning"]
    message: str
    mend: str = ""
    about: Literal["", "shift"] = ""


@dataclass(frozen=True, slots=True)
class Preflight:
    """The result of :func:`examine`.

    Args:
        pair: The pair's manifest: rasters, grid, bands, scaling.
        valid_share: Share of the common grid that is valid at both dates, in 0-1.
        is_share_estimated: Whether it is an estimate from windows, as for a large pair.
        radiometry: Mean and spread of each band at both dates, in 0-255.
        shift: How far the after image lies from the before image.
        gsd_m: Metres a pixel of the common grid at its own resolution; None without a CRS.
        target_gsd_m: What the weights were trained at; None if no weights were asked for.
        findings: In words.
    """

    pair: Json
    valid_share: float
    is_share_estimated: bool
    radiometry: list[Json]
    shift: Shift
    gsd_m: float | None
    target_gsd_m: float | None
    findings: tuple[Finding, ...]

    @property
    def applicable_shift(self) -> Shift | None:
        """The shift if it is confident and long enough to be applied."""
        sure = self.shift.confidence >= MIN_CONFIDENCE and self.shift.length_px >= MIN_SHIFT_PX
        return self.shift if sure else None

    @property
    def why_no_shift(self) -> str:
        """Why there is no applicable shift, in words."""
        if self.shift.windows < MIN_WINDOWS:
            return "the overlap is too small, or has too few valid pixels"
        if self.shift.confidence < MIN_CONFIDENCE:
            return f"windows disagree (confidence {self.shift.confidence:.2f})"
        return (
            f"{self.shift.length_px:.1f} pixels are less than {MIN_SHIFT_PX:g}, which the weights "
            "are used to"
        )

    @property
    def coarseness(self) -> float | None:
        """How many times as long a pixel of the pair is as one of the weights' training data; None
        where either is not known."""
        if self.gsd_m is None or self.target_gsd_m is None:
            return None
        return self.gsd_m / self.target_gsd_m

    def to_json(self) -> Json:
        """For ``--json`` and manifests."""
        metres, axes = self.gsd_m, Grid.from_json(self.pair["grid"]).gsd_axes_m
        return {
            **self.pair,
            "valid_share": round(self.valid_share, 4),
            "valid_share_is_estimate": self.is_share_estimated,
            "radiometry": self.radiometry,
            "shift": {
                **self.shift.to_json(),
                "length_m": round(self.shift.length_m(axes), 3) if axes else None,
            },
            "native_gsd_m": metres,
            "target_gsd_m": self.target_gsd_m,
            "times_as_coarse_as_weights": round(self.coarseness, 3)
            if self.coarseness is not None
            else None,
            "findings": [
                {"level": f.level, "message": f.message, "mend": f.mend} for f in self.findings
            ],
        }


def examine(
    before: str | Path,
    after: str | Path,
    *,
    before_date: str | None = None,
    after_date: str | None = None,
    **choices: Any,
) -> Preflight:
    """Looks at a pair without detecting anything; reads some windows, and a small raster whole.

    Args:
        before: As for :func:`hanet.imagery.pair.open_pair`.
        after: The other date.
        before_date: Date of the before image; what the file says if None.
        after_date: The other date's.
        choices: Fields of :class:`hanet.imagery.pair.PairSettings`.

    Raises:
        RasterError, GridError: As :func:`hanet.imagery.pair.open_pair`.
    """
    with open_sources(before, after) as sources:
        return examine_open(
            sources, PairSettings(**choices), before_date=before_date, after_date=after_date
        )


def examine_open(
    sources: Sources,
    settings: PairSettings,
    *,
    before_date: str | None = None,
    after_date: str | None = None,
) -> Preflight:
    """:func:`examine` of rasters that are open already, at their own resolution.

    An area of interest does not count: what is known of the ground around it tells more of shift
    and brightness.
    """
    target_gsd_m, band_count = settings.target_gsd_m, settings.band_count
    if settings.bands is None:  # too few are reported, not refused
        usable = min(len(source.image_bands(band_count)) for source in sources)
        settings = replace(settings, band_count=usable)
    else:
        settings = replace(settings, band_count=len(settings.bands))
    settings = replace(settings, gsd_m="native", target_gsd_m=None, aoi=None)
    with pair_on(sources, settings) as pair:
        blocks = _blocks(pair)
        sample, is_estimate = _sample(pair, blocks)
        radiometry = radiometric_difference(sample.before, sample.after, valid=sample.valid)
        shift = common_shift(_surfaces(blocks))
        share = float(sample.valid.mean())
        found = [Finding("note", note) for note in pair.notes]
        found += _about_remarks(pair)
        found += _about_dates(before_date or pair.before.date, after_date or pair.after.date)
        found += _about_times_of_writing(pair, before_date, after_date)
        found += _about_resolution(pair.grid, target_gsd_m)
        found += _about_overviews(pair)
        found += _about_bands(len(pair.bands), band_count)
        found += _about_validity(share, is_estimate=is_estimate)
        found += _about_likeness(sample)
        found += _about_types(pair)
        found += _about_scaling(pair.scaling)
        found += _about_radiometry(radiometry)
        found += _about_shift(shift, pair.grid.gsd_axes_m)
        gsd_m = pair.grid.gsd_m
        return Preflight(
            pair.manifest(),
            share,
            is_estimate,
            radiometry,
            shift,
            gsd_m,
            target_gsd_m,
            tuple(found),
        )


def _blocks(pair: RasterPair) -> list[PairBlock]:
    """Windows spread evenly over the grid, for shift and brightness; none of a small grid."""
    height, width = pair.grid.height, pair.grid.width
    side = min(SHIFT_WINDOW_PX, height, width)
    if side < 64 or max(height, width) < SHIFT_WINDOW_PX:
        return []
    rows, columns = (_starts(length, side) for length in (height, width))
    return [
        pair.read(Window(row, column, side, side))
        for row in rows.tolist()
        for column in columns.tolist()
    ]


def _starts(length: int, side: int) -> npt.NDArray[np.intp]:
    """First pixels of the windows along an axis."""
    count = min(WINDOWS_A_SIDE, 1 + (length - side) // WINDOW_STRIDE_PX)
    return np.linspace(0, length - side, count).astype(np.intp)


def _surfaces(blocks: Sequence[PairBlock]) -> list[FloatArray]:
    """Correlation of the windows of full size; a pair below 512 x 512 pixels has too few of them,
    as a single leaning roof would fill them."""
    return [
        correlation_surface(block.before.mean(axis=0), block.after.mean(axis=0))
        for block in blocks
        if block.valid.shape == (SHIFT_WINDOW_PX, SHIFT_WINDOW_PX) and block.valid.mean() > 0.95
    ]


def _sample(pair: RasterPair, blocks: Sequence[PairBlock]) -> tuple[PairBlock, bool]:
    """Pixels of the whole overlap; of the windows alone (True) where it is large, so that looking
    costs the same for any raster.

    A decimated view of a raster without overviews unpacks every block of it: 1.7 s of the 47 s of a
    detection at 4096 px with hanet_lite (2026-11), and four times as much at twice the side.
    """
    if max(pair.grid.height, pair.grid.width) <= SAMPLE_PX or not any(
        block.valid.any() for block in blocks
    ):
        return pair.sample(), max(pair.grid.height, pair.grid.width) > SAMPLE_PX
    before, after = (
        np.concatenate([block[date][:, ::2, ::2] for block in blocks], axis=2) for date in (0, 1)
    )
    return PairBlock(
        before, after, np.concatenate([block.valid[::2, ::2] for block in blocks], axis=1)
    ), True


def shift_on_grid(shift: Shift, *, found_on: Grid, grid: Grid) -> Shift:
    """The shift in the pixels of a grid of another resolution in the same CRS."""
    rows, columns = (found_on.transform[side] / grid.transform[side] for side in (4, 0))
    return replace(shift, rows_px=shift.rows_px * rows, columns_px=shift.columns_px * columns)


def _about_dates(before: str | None, after: str | None) -> list[Finding]:
    if not is_earlier(after, before):
        return []
    message = (
        f"the after image ({after}) is older than the before image ({before}): what "
        "vanished will look new, and the other way round"
    )
    return [Finding("warning", message, "swap them, or set --before-date and --after-date")]


def _about_times_of_writing(
    pair: RasterPair, before_date: str | None, after_date: str | None
) -> list[Finding]:
    """A file that states when it was written and not when its image was taken."""
    notes = []
    given = (before_date, after_date)
    for which, source, date in zip(
        ("before", "after"), (pair.before, pair.after), given, strict=True
    ):
        if date is None and source.date is None and source.written is not None:
            message = (
                f"{source.short_name} was written on {source.written} (TIFFTAG_DATETIME), which "
                "need not be the day of its image; no date is taken from it"
            )
            notes.append(Finding("note", message, f"--{which}-date sets it"))
    return notes


def _about_remarks(pair: RasterPair) -> list[Finding]:
    """What GDAL said while it opened the rasters, which it could read all the same."""
    notes = []
    for source in (pair.before, pair.after):
        if source.remarks:
            more = f" (and {len(source.remarks) - 1} more)" if len(source.remarks) > 1 else ""
            message = f"GDAL reports about {source.short_name}: {source.remarks[0]}{more}"
            notes.append(Finding("note", message))
    return notes


def _about_overviews(pair: RasterPair) -> list[Finding]:
    """Overviews that show something else than the pixels, where the scaling comes from them."""
    if not pair.scaling.source.startswith("percentiles"):
        return []
    return [
        Finding(
            "warning",
            f"the overviews of {source.short_name} do not show what its pixels do, so they are "
            "older; they are not used here, and viewers will show them",
            f"`gdaladdo -clean {source.short_name}`, then `gdaladdo {source.short_name}`",
        )
        for source in (pair.before, pair.after)
        if source.overview_factors and are_stale(source, pair.grid)
    ]


def _about_bands(found: int, needed: int) -> list[Finding]:
    if found >= needed:
        return []
    message = f"the pair has {found} band(s), the weights take {needed}: detect will refuse"
    return [Finding("warning", message, "--bands 1,1,1")]


def _about_validity(share: float, *, is_estimate: bool) -> list[Finding]:
    if share == 0:
        return [Finding("warning", "no pixel is valid at both dates: there is nothing to detect")]
    if share < 0.5:
        about = "about " if is_estimate else ""
        message = (
            f"{about}{1 - share:.0%} of the overlap is nodata at one date or the other "
            "and will be skipped"
        )
        return [Finding("note", message)]
    return []


def _about_likeness(sample: PairBlock) -> list[Finding]:
    if sample.valid.any() and np.array_equal(
        sample.before[:, sample.valid], sample.after[:, sample.valid]
    ):
        message = (
            "both dates show the very same pixels, so nothing can have changed: is one "
            "file given twice?"
        )
        return [Finding("warning", message)]
    return []


def _about_types(pair: RasterPair) -> list[Finding]:
    if pair.before.is_eight_bit == pair.after.is_eight_bit:
        return []
    kinds = ", ".join(source.dataset.dtypes[0] for source in (pair.before, pair.after))
    message = (
        f"one date is 8 bit and the other is not ({kinds}): one scaling for both suits "
        "one of them at most"
    )
    return [
        Finding(
            "warning",
            message,
            "bring both to 8 bit first, for example with `gdal_translate -scale -ot Byte`",
        )
    ]


def _about_scaling(scaling: Scaling) -> list[Finding]:
    if not scaling.source.startswith("percentiles"):
        return []
    return [
        Finding(
            "note",
            f"values are not 8 bit; 0-255 is stretched between {scaling.source}",
            GIVE_SCALING,
        )
    ]


def _about_resolution(grid: Grid, target_gsd_m: float | None) -> list[Finding]:
    gsd_m, axes = grid.gsd_m, grid.gsd_axes_m
    if gsd_m is None or axes is None or target_gsd_m is None:
        return []
    ratio = gsd_m / target_gsd_m
    if 1 / RESAMPLE_BEYOND <= ratio <= RESAMPLE_BEYOND:
        if not is_oblong(axes):
            return []
        message = (
            f"a pixel is {axes[0]:.3g} m wide and {axes[1]:.3g} m high; detect resamples "
            f"to square ones of {target_gsd_m:.3g} m"
        )
        return [Finding("note", message, LEAVE_RESOLUTION)]
    if ratio > 3:
        message = (
            f"{gsd_m:.3g} m a pixel is far from the {target_gsd_m:.3g} m that the weights were "
            "trained at: a house is "
            f"{12 / gsd_m:.1f} pixels wide here, and resampling cannot bring back what was never "
            "seen; do not trust the result"
        )
        cost = (
            f"detect resamples to {target_gsd_m:.3g} m all the same: {ratio**2:.0f} times as "
            "many pixels"
        )
        if ratio > FINEST:
            cost = f"detect will refuse to resample to {target_gsd_m:.3g} m"
        return [
            Finding("warning", message, "use imagery of 1 m or finer"),
            Finding("note", cost, LEAVE_RESOLUTION),
        ]
    direction = "coarser" if ratio > 1 else "finer"
    message = (
        f"{gsd_m:.3g} m a pixel is {direction} than the weights' {target_gsd_m:.3g} m; "
        "detect resamples to those"
    )
    return [Finding("warning" if ratio > WARN_BEYOND else "note", message, LEAVE_RESOLUTION)]


def _about_radiometry(radiometry: list[Json]) -> list[Finding]:
    for row in radiometry:
        spread = max(1e-6, (row["std_before"] + row["std_after"]) / 2)
        if abs(row["mean_before"] - row["mean_after"]) > MANY_SIGMAS * spread:
            message = (
                f"brightness differs strongly (band {row['band']}: mean {row['mean_before']:.0f} "
                f"before, {row['mean_after']:.0f} after); "
                "the weights tolerate seasons, but this much may cost recall"
            )
            return [Finding("warning", message, "--match-radiometry")]
    return []


def _about_shift(shift: Shift, axes_m: tuple[float, float] | None) -> list[Finding]:
    if shift.confidence < MIN_CONFIDENCE or shift.length_px < MIN_SHIFT_PX:
        return []
    metres = f" ({shift.length_m(axes_m):.1f} m)" if axes_m else ""
    return [
        Finding(
            "warning",
            f"the after image is shifted by {shift.length_px:.1f} pixels{metres}, confidence "
            f"{shift.confidence:.2f}",
            "--coregister shift",
            about="shift",
        )
    ]
