"""Checks a pair before detection: geometry, radiometry, shift; lists what may hurt and the option
that fixes each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hanet.imagery import findings as say
from hanet.imagery.findings import MIN_CONFIDENCE, MIN_SHIFT_PX, Finding
from hanet.imagery.grid import Grid
from hanet.imagery.pair import (
    SAMPLE_PX,
    PairBlock,
    PairSettings,
    RasterPair,
    Sources,
    open_sources,
    pair_on,
)
from hanet.imagery.radiometry import radiometric_difference
from hanet.imagery.registration import MIN_WINDOWS, Shift, common_shift, correlation_surface
from hanet.imagery.unstated import filled
from hanet.types import FloatArray, Json, Window

SHIFT_WINDOW_PX = 256
"""Side of the windows for phase correlation."""

WINDOWS_A_SIDE = 6
"""Windows along each axis that are read at most; a shift is the same everywhere, so more add
little."""

WINDOW_STRIDE_PX = 128
"""Windows lie at least this far apart, so that each adds ground of its own."""


@dataclass(frozen=True, slots=True)
class Preflight:
    """The result of :func:`examine`.

    Args:
        pair: The pair's manifest: rasters, grid, bands, scaling.
        valid_share: Share of the common grid that is valid at both dates, in 0-1.
        is_share_estimated: Whether it is an estimate from windows, as for a large pair.
        radiometry: Mean and spread of each band at both dates, in 0-255.
        shift: How far the after image lies from the before image.
        gsd_m: Metres a pixel of the common grid at its own resolution; None where it is not known.
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
            "tolerate"
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
                {"level": f.level, "message": f.message, "fix": f.fix} for f in self.findings
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
    # of a pair without a CRS the user alone can say what a pixel measures
    stated = settings.gsd_m if not any(source.has_crs for source in sources) else None
    settings = replace(settings, gsd_m=stated or "native", target_gsd_m=None, aoi=None, part=None)
    with pair_on(sources, settings) as pair:
        blocks = _blocks(pair)
        sample, is_estimate = _sample(pair, blocks)
        fills = filled(sample.before, sample.valid), filled(sample.after, sample.valid)
        ground = sample.valid & ~fills[0].where & ~fills[1].where
        radiometry = radiometric_difference(
            sample.before, sample.after, valid=ground if ground.any() else sample.valid
        )
        shift = common_shift(_surfaces(blocks))
        share = float(sample.valid.mean())
        found = [Finding("note", note) for note in pair.notes]
        found += say.about_remarks(pair)
        found += say.about_dates(before_date or pair.before.date, after_date or pair.after.date)
        found += say.about_times_of_writing(pair, before_date, after_date)
        found += say.about_resolution(pair.grid, target_gsd_m)
        found += say.about_unlike_resolutions(pair, target_gsd_m)
        found += say.about_overviews(pair)
        found += say.about_common_ground(pair, target_gsd_m, is_part=settings.bbox is not None)
        found += say.about_too_few_bands(len(pair.bands), band_count)
        found += say.about_validity(share, is_estimate=is_estimate)
        found += say.about_likeness(sample)
        found += say.about_grey(sample)
        found += say.about_unstated_nodata(pair)
        found += say.about_fills(pair, fills)
        found += say.about_cut_values(sample, ground, pair)
        found += say.about_narrow_values(sample, ground, pair)
        found += say.about_types(pair)
        found += say.about_scaling(pair.scaling)
        found += say.about_contrast(radiometry, pair.scaling)
        found += say.about_radiometry(radiometry)
        found += say.about_shift(shift, pair.grid.gsd_axes_m)
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
