"""What a user should know about a pair, in words: one function for each thing that may hurt, with
the option or the GDAL command that fixes it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hanet.imagery.dates import is_earlier
from hanet.imagery.grid import Grid
from hanet.imagery.overviews import are_stale
from hanet.imagery.pair import PairBlock, RasterPair
from hanet.imagery.pair_grid import FINEST, RESAMPLE_BEYOND, is_oblong
from hanet.imagery.radiometry import GIVEN, Scaling
from hanet.imagery.registration import Shift
from hanet.imagery.unstated import MIN_FILL, Fill
from hanet.types import Json, Mask

MIN_CONFIDENCE = 0.5
"""A shift that fewer groups of windows agree on is not applied: roofs lean, hills warp."""

MIN_SHIFT_PX = 3.0
"""A smaller shift is neither advised about nor taken back. The weights learned from pairs that lie
one to six pixels apart: aligning those of scenes-1024/val changes F1 from 0.880 to 0.882
(results/reliability/shifts.json)."""

MANY_SIGMAS = 2.0
"""Means that differ by more than this many standard deviations are said to differ strongly."""

BEYOND_SIGHT = 3.5
"""From this many on the weights see little, and a histogram match gains more than it costs: corners
of 512 pixels of four scenes of scenes-1024/val, in six exposures each, gained 0.07 to 0.87 of F1 in
all 6 cases beyond it and lost 0.01 to 0.16 in 12 of the 18 below (2026-11). On pairs as they come
the match costs 0.08 (results/elsewhere/hanet_lite-0.3.0-matched.json)."""

WARN_BEYOND = 1.6
"""Pixels more than so many times as coarse as the weights' are warned of."""

HOUSE_M = 12
"""Metres that a house is wide, about."""

LITTLE_COMMON = 0.1
"""Share of the smaller image below which the common ground is said to be little of it."""

LITTLE_CONTRAST = 4.0
"""Standard deviation in 0-255 below which an image shows nothing; those of val lie above 20."""

NARROW = 80.0
"""Width in 0-255 of the range of 99 values in 100 below which, at both dates, detections suffer and
a stretch helps: results/reliability/flat-hanet_lite.json. Of the scenes of scenes-1024/val none has
less than 135 at either date; of the 64 at 1 m the flattest have 96 before and 66 after (2026-11,
counted once)."""

MANY_CUT = 0.2
"""Share of values at 0 or 255 from which on detections suffer: of three rendered pairs F1 fell by
0.02, 0.03 and 0.07 with a fifth of the values cut off and by 0.03, 0.04 and 0.12 with a third. Of
150 images of LEVIR-CD none lies above 0.12 (2026-11)."""

GREY = 2.0
"""Difference of the largest and the smallest band, in the mean of all pixels in 0-255, below which
an image has no colour. Of 1,900 aerial images none lies below 3.8 (2026-11)."""

WIDER_SCALING = "give --scaling wider bounds, or leave it out"
"""Fixes values that a given scaling cuts off."""

NOTHING_VALID = "no pixel is valid at both dates: there is nothing to detect"
"""Said of a pair whose dates show nothing together."""

LEAVE_RESOLUTION = "--gsd native keeps the pair's own"
"""Fixes a finding about the pixels' size."""

STATE_RESOLUTION = "--gsd METRES states the size of a pixel of these images"
"""Fixes that it is not known."""

GIVE_SCALING = "--scaling LOW,HIGH sets it"
"""Fixes a finding about values that are not 8 bit."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a user should know.

    Args:
        level: ``"note"`` or ``"warning"``.
        message: What was found and what it does.
        fix: The option or command that fixes it, or "".
        about: What it speaks of, where a caller must know: ``"shift"``, or "".
    """

    level: Literal["note", "warning"]
    message: str
    fix: str = ""
    about: Literal["", "shift"] = ""


def about_dates(before: str | None, after: str | None) -> list[Finding]:
    """Dates the wrong way round."""
    if not is_earlier(after, before):
        return []
    message = (
        f"the after image ({after}) is older than the before image ({before}): what vanished will "
        "look new, and vice versa"
    )
    return [Finding("warning", message, "swap them, or set --before-date and --after-date")]


def about_times_of_writing(
    pair: RasterPair, before_date: str | None, after_date: str | None
) -> list[Finding]:
    """Files that state when they were written and not when their images were taken."""
    dates = {
        "before": (pair.before, before_date or pair.before.date),
        "after": (pair.after, after_date or pair.after.date),
    }
    undated = {
        which: source
        for which, (source, date) in dates.items()
        if date is None and source.written is not None
    }
    if not undated:
        return []
    days = [source.written for source in undated.values()]
    if len(undated) == 2 and days[0] == days[1]:
        said = f"both files were written on {days[0]}"
    else:
        said = " and ".join(
            f"{source.short_name} was written on {source.written}" for source in undated.values()
        )
    message = (
        f"{said} (TIFFTAG_DATETIME), which need not be the day of the image; no date is taken "
        "from it"
    )
    options = " and ".join(f"--{which}-date" for which in undated)
    return [Finding("note", message, f"{options} {'sets' if len(undated) == 1 else 'set'} it")]


def about_remarks(pair: RasterPair) -> list[Finding]:
    """What GDAL said while it opened the rasters, which it could read all the same."""
    notes = []
    for source in (pair.before, pair.after):
        if source.remarks:
            more = f" (and {len(source.remarks) - 1} more)" if len(source.remarks) > 1 else ""
            message = f"GDAL reports about {source.short_name}: {source.remarks[0]}{more}"
            notes.append(Finding("note", message))
    return notes


def about_overviews(pair: RasterPair) -> list[Finding]:
    """Overviews that show something else than the pixels, where the scaling comes from them."""
    if not pair.scaling.source.startswith("percentiles"):
        return []
    return [
        Finding(
            "warning",
            f"the overviews of {source.short_name} differ from its pixels, so they are out of "
            "date; they are not used here, but viewers will show them",
            f"`gdaladdo -clean {source.short_name}`, then `gdaladdo {source.short_name}`",
        )
        for source in (pair.before, pair.after)
        if source.overview_factors and are_stale(source, pair.grid)
    ]


def about_common_ground(
    pair: RasterPair, target_gsd_m: float | None, *, is_part: bool
) -> list[Finding]:
    """Ground that is too narrow for a building, or hardly any of either image.

    Args:
        pair: On its own pixels.
        target_gsd_m: Taken for the size of a pixel where it is not known.
        is_part: Whether the user has chosen a part of the overlap.
    """
    grid = pair.grid
    gsd_m = grid.gsd_m or target_gsd_m
    if gsd_m is None:
        return []
    if min(grid.height, grid.width) * gsd_m < HOUSE_M:
        message = (
            f"only {grid.height} x {grid.width} pixels "
            + ("are chosen" if is_part else "are common to both dates")
            + f" ({grid.height * gsd_m:.3g} x {grid.width * gsd_m:.3g} m): too little to see a "
            "building"
        )
        return [Finding("warning", message)]
    grounds = [
        source.dataset.height * source.dataset.width * (source.gsd_m or gsd_m) ** 2
        for source in (pair.before, pair.after)
    ]
    share = grid.height * grid.width * gsd_m**2 / min(grounds)
    if is_part or share >= LITTLE_COMMON:
        return []
    return [Finding("note", f"only {share:.1%} of the smaller image lies within the other one")]


def about_too_few_bands(found: int, needed: int) -> list[Finding]:
    """Fewer bands than the weights take."""
    if found >= needed:
        return []
    message = f"the pair has {found} band(s), the weights take {needed}: detect will refuse"
    return [Finding("warning", message, "--bands 1,1,1")]


def about_validity(share: float, *, is_estimate: bool) -> list[Finding]:
    """Little that is valid at both dates, or nothing."""
    if share == 0 and is_estimate:
        message = "no pixel that was looked at is valid at both dates: little may be left to detect"
        return [Finding("warning", message)]
    if share == 0:
        return [Finding("warning", NOTHING_VALID)]
    if share < 0.5:
        about = "about " if is_estimate else ""
        message = (
            f"{about}{1 - share:.0%} of the overlap is nodata at one date or the other "
            "and will be skipped"
        )
        return [Finding("note", message)]
    return []


def about_likeness(sample: PairBlock) -> list[Finding]:
    """One image given twice."""
    if sample.valid.any() and np.array_equal(
        sample.before[:, sample.valid], sample.after[:, sample.valid]
    ):
        message = (
            "both dates show the very same pixels, so nothing can have changed: is one "
            "file given twice?"
        )
        return [Finding("warning", message)]
    return []


def about_grey(sample: PairBlock) -> list[Finding]:
    """An after image without colour. What it costs: results/reliability/grey-hanet_lite.json; a
    grey before image costs less than a point."""
    if len(sample.after) < 3 or not sample.valid.any():
        return []
    pixels = sample.after[:3, sample.valid]
    if float((pixels.max(axis=0) - pixels.min(axis=0)).mean()) >= GREY:
        return []
    message = (
        "the after image is grey, and the weights know colour: without it F1 of hanet_lite is 0.81 "
        "instead of 0.89 on tiles-256/val"
    )
    return [Finding("warning", message)]


def about_unstated_nodata(pair: RasterPair) -> list[Finding]:
    """Values that were taken as no data although the file does not state them."""
    return [
        Finding(
            "warning",
            f"{source.short_name} holds {value:.9g} in all bands of whole blocks and does not "
            "state it as nodata; it is taken as no data",
            f"`gdal_edit.py -a_nodata {_exact(value)} {source.short_name}` states it",
        )
        for source, value in zip(
            (pair.before, pair.after), pair.scaling.nodata or (None, None), strict=True
        )
        if value is not None
    ]


def _exact(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def about_fills(pair: RasterPair, fills: tuple[Fill, Fill]) -> list[Finding]:
    """Black or white blocks of an 8-bit date that may be nodata without being stated."""
    found = []
    for source, fill in zip((pair.before, pair.after), fills, strict=True):
        # what a given scaling cuts off is no fill of the file
        if source.is_eight_bit and pair.scaling.source != GIVEN and fill.share >= MIN_FILL:
            message = (
                f"{fill.share:.1%} of {source.short_name} is exactly {fill.value} in all bands, in "
                "solid blocks (a collar, or blocks that were never filled), and not stated as "
                "nodata; false changes may arise there"
            )
            command = f"`gdal_edit.py -a_nodata {fill.value} {source.short_name}`"
            found.append(Finding("warning", message, f"if it is nodata: {command}"))
    return found


def about_cut_values(sample: PairBlock, ground: Mask, pair: RasterPair) -> list[Finding]:
    """Values that lie at 0 or 255 by the thousand, outside of fills: what was darker or brighter is
    gone.

    Args:
        sample: Pixels of both dates in 0-255.
        ground: Those (H, W) that are valid and no fill.
        pair: Its files.
    """
    by_us = pair.scaling.source == GIVEN
    if by_us:  # its fills are what it cuts off
        ground = sample.valid
    if not ground.any():
        return []
    found = []
    for source, image in ((pair.before, sample.before), (pair.after, sample.after)):
        values = image[:, ground]
        share = float(((values <= 0) | (values >= 255)).mean()) if values.size else 0.0
        if share < MANY_CUT:
            continue
        message = (
            f"{share:.0%} of the values of {source.short_name} are "
            + ("cut off to" if by_us else "exactly")
            + " 0 or 255: changes in its shadows and bright parts cannot be seen"
        )
        fix = WIDER_SCALING if by_us else "use the image from before its contrast was stretched"
        found.append(Finding("warning", message, fix))
    return found


def about_narrow_values(sample: PairBlock, ground: Mask, pair: RasterPair) -> list[Finding]:
    """Both dates of 8 bit in a narrow range of 0-255, as haze or a linear stretch leaves them.

    Args:
        sample: Pixels of both dates in 0-255.
        ground: Those (H, W) that are valid and no fill.
        pair: Its files.
    """
    sources = (pair.before, pair.after)
    if not all(source.is_eight_bit for source in sources) or not ground.any():
        return []
    ranges = [
        np.percentile(image[:, ground], (0.5, 99.5)) for image in (sample.before, sample.after)
    ]
    if any(high - low >= NARROW or high - low < LITTLE_CONTRAST for low, high in ranges):
        return []
    low = math.floor(min(bounds[0] for bounds in ranges))
    high = math.ceil(max(bounds[1] for bounds in ranges))
    message = f"the values of both dates lie between {low} and {high}: low contrast hides changes"
    if pair.scaling.source == GIVEN:
        return [Finding("warning", message, "give --scaling narrower bounds")]
    return [Finding("warning", message, f"--scaling {low},{high} stretches them")]


def about_types(pair: RasterPair) -> list[Finding]:
    """One date of 8 bit, one not."""
    if pair.before.is_eight_bit == pair.after.is_eight_bit:
        return []
    kinds = ", ".join(source.dataset.dtypes[0] for source in (pair.before, pair.after))
    message = f"one date is 8 bit and the other is not ({kinds})"
    if pair.scaling.after is None:
        message += ": one scaling cannot suit both"
        return [Finding("warning", message, "leave --scaling out")]
    return [Finding("note", f"{message}: the 8-bit one stays as it is, the other is stretched")]


def about_scaling(scaling: Scaling) -> list[Finding]:
    """How values that are not 8 bit are brought to 0-255."""
    sources = {rule.source for rule in (scaling, scaling.of_after)}
    stretched = sorted(source for source in sources if source.startswith("percentiles"))
    return [
        Finding(
            "note",
            f"values are not 8 bit; 0-255 is stretched between {source}",
            GIVE_SCALING if scaling.after is None else "",
        )
        for source in stretched[:1]
    ]


def about_contrast(radiometry: list[Json], scaling: Scaling) -> list[Finding]:
    """A date that is nearly one grey beside one that is not."""
    spreads = {
        date: max((row[f"std_{date}"] for row in radiometry), default=0.0)
        for date in ("before", "after")
    }
    flat, other = sorted(spreads, key=lambda date: spreads[date])
    if spreads[flat] >= LITTLE_CONTRAST or spreads[other] < 2 * LITTLE_CONTRAST:
        return []
    mean = next(row[f"mean_{flat}"] for row in radiometry)
    message = (
        f"the {flat} image has hardly any contrast (mean {mean:.0f}, spread {spreads[flat]:.1f} of "
        "0-255): nothing can be seen in it"
    )
    is_stretched = "8 bit" not in scaling.of_after.source
    return [Finding("warning", message, GIVE_SCALING if is_stretched else "")]


def about_unlike_resolutions(pair: RasterPair, target_gsd_m: float | None) -> list[Finding]:
    """One date much coarser than the other, where the grid is the finer one's."""
    first, second = pair.before.gsd_m, pair.after.gsd_m
    if first is None or second is None or pair.grid.gsd_m is None:
        return []
    coarse, fine = max(first, second), min(first, second)
    if coarse <= WARN_BEYOND * fine or coarse <= WARN_BEYOND * pair.grid.gsd_m:
        return []
    source = pair.before if first == coarse else pair.after
    message = (
        f"{source.short_name} has {coarse:.3g} m a pixel, {coarse / fine:.1f} times as coarse as "
        f"the other date ({fine:.3g} m): detail that it does not show cannot be compared"
    )
    times = coarse / (target_gsd_m or fine)
    if times > 3:
        message += f"; a house is {HOUSE_M / coarse:.1f} pixels wide there: do not trust the result"
    level: Literal["note", "warning"] = "warning" if times > WARN_BEYOND else "note"
    return [Finding(level, message, "use imagery of similar resolution for both dates")]


def about_resolution(grid: Grid, target_gsd_m: float | None) -> list[Finding]:
    """Pixels that are not those of the weights."""
    gsd_m, axes = grid.gsd_m, grid.gsd_axes_m
    if target_gsd_m is None:
        return []
    if gsd_m is None or axes is None:
        message = (
            f"a pixel is taken as {target_gsd_m:.3g} m, the resolution that the weights were "
            "trained at"
        )
        return [Finding("note", message, STATE_RESOLUTION)]
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
            f"{HOUSE_M / gsd_m:.1f} pixels wide here, and resampling cannot bring back what was "
            "never seen; do not trust the result"
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


def about_radiometry(radiometry: list[Json]) -> list[Finding]:
    """Brightness that differs strongly; a match is advised only where it was measured to help."""

    def sigmas(row: Json) -> float:
        spread = max(1e-6, (row["std_before"] + row["std_after"]) / 2)
        return float(abs(row["mean_before"] - row["mean_after"]) / spread)

    worst = max(radiometry, key=sigmas, default=None)
    if worst is None or sigmas(worst) <= MANY_SIGMAS:
        return []
    message = (
        f"brightness differs strongly (band {worst['band']}: mean {worst['mean_before']:.0f} "
        f"before, {worst['mean_after']:.0f} after)"
    )
    if sigmas(worst) <= BEYOND_SIGHT:
        return [Finding("note", f"{message}; the weights tolerate this at some cost in recall")]
    return [Finding("warning", f"{message}: more than the weights tolerate", "--match-radiometry")]


def about_shift(shift: Shift, axes_m: tuple[float, float] | None) -> list[Finding]:
    """A shift between the dates that is sure, and large enough to matter."""
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
