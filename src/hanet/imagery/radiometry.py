"""Values of two dates on one footing: the scaling to 0-255, and the match of one date's histogram
to the other's.

Both come from a sample of the whole overlap, never from a window, so that no seam can show. Pure
numpy on samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hanet.errors import SettingsError
from hanet.imagery.unstated import MIN_FILL, filled
from hanet.types import FloatArray, Json, Mask

LEVELS = 256
"""Entries of a histogram match's table."""

PERCENTILES = (0.5, 99.5)
"""Percentiles of valid values that become 0 and 255 where no scaling is given: haze and glint do
not decide."""

BODY = (6.0, 94.0)
"""Percentiles between which a date's values lie whatever 5 % of outliers at either end do."""

FENCE = 1.0
"""Values further from the body than so many of its widths are outliers (cloud, glint, sensor
errors) where so many of them are there that they would decide the percentiles."""

UNLIKE_SPANS = 2.0
"""Dates whose ranges differ by more than this factor were not stored on one scale."""

UNLIKE_OVERLAP = 0.5
"""Dates whose ranges share less than this part of the narrower one were not, either."""

GIVEN = "given"
"""Source of a scaling that the user chose."""

LARGEST = np.float32(1e38)
"""Of values and their spans; single precision holds little more."""

SMALLEST_SPAN = np.float32(1e-30)
"""Narrower ranges count as so wide: 255 through them would be infinite."""

Range = tuple[float, float]
"""Lowest and highest value of a band that count."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """The linear rule from raw values to 0-255: one for both dates, so that it cannot make a
    change, unless they were not stored on one scale.

    Args:
        low: Raw value of each band that becomes 0.
        high: Raw value of each band that becomes 255.
        source: Where the numbers come from, in words.
        after: The after image's own rule; the same for both dates if None.
        nodata: The value that stands for no data at each date although its file does not state it,
            None at a date for no such value; None where nobody has looked.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    source: str
    after: Scaling | None = None
    nodata: tuple[float | None, float | None] | None = None

    def __post_init__(self) -> None:
        if len(self.low) != len(self.high) or any(
            h <= lo for lo, h in zip(self.low, self.high, strict=True)
        ):
            raise SettingsError(
                f"a scaling needs low < high for each band, got {self.low} and {self.high}"
            )

    @classmethod
    def eight_bit(cls, bands: int) -> Scaling:
        """Values of 0-255 as they are."""
        return cls((0.0,) * bands, (255.0,) * bands, _AS_IT_IS)

    @property
    def of_after(self) -> Scaling:
        """The rule for the after image."""
        return self.after or self

    def apply(self, values: FloatArray) -> FloatArray:  # (C, H, W) -> (C, H, W) in 0-255
        """The values scaled and cut to 0-255; those of :meth:`eight_bit`, which are so by their
        type, are handed back."""
        if self.source == _AS_IT_IS:
            return values
        low = np.array(self.low, dtype=np.float32)[:, None, None]
        high = np.array(self.high, dtype=np.float32)[:, None, None]
        with np.errstate(over="ignore"):  # infinite is cut to 255 like everything above
            span = np.clip(high - low, SMALLEST_SPAN, LARGEST)
            scaled: FloatArray = (values - low) * (np.float32(255.0) / span)
        return np.clip(scaled, 0.0, 255.0).astype(np.float32, copy=False)

    def to_json(self) -> Json:
        """For manifests."""
        facts: Json = {"low": list(self.low), "high": list(self.high), "source": self.source}
        if self.after is not None:
            facts["after"] = self.after.to_json()
        if self.nodata is not None and self.nodata != (None, None):
            facts["unstated_nodata"] = list(self.nodata)
        return facts

    @classmethod
    def from_json(cls, values: Json) -> Scaling:
        """Reads what :meth:`to_json` gave."""
        before, after = values.get("unstated_nodata", (None, None))
        return cls(
            tuple(float(value) for value in values["low"]),
            tuple(float(value) for value in values["high"]),
            str(values["source"]),
            cls.from_json(values["after"]) if "after" in values else None,
            (before, after),
        )


_AS_IT_IS = "8 bit, as it is"


@dataclass(frozen=True, slots=True, eq=False)
class HistogramMatch:
    """A monotone table a band that gives the after image the before image's distribution of values.

    Args:
        tables: New value for each whole value of 0-255, float32 (C, 256).
    """

    tables: FloatArray

    def apply(self, values: FloatArray) -> FloatArray:  # (C, H, W) in 0-255 -> the same
        """The values through the tables, linear between whole values."""
        levels = np.arange(LEVELS, dtype=np.float32)
        matched = [
            np.interp(band, levels, table) for band, table in zip(values, self.tables, strict=True)
        ]
        return np.stack(matched).astype(np.float32)


def estimate_scaling(
    before: FloatArray, after: FloatArray, *, valid_before: Mask, valid_after: Mask
) -> Scaling:
    """Robust percentiles of both dates' valid values together; of each date by itself where their
    ranges say that they were not stored on one scale.

    Args:
        before: Raw sample (C, H, W).
        after: Raw sample of the other date.
        valid_before: Pixels (H, W) that count.
        valid_after: The same of the other date.
    """
    cut, outliers = [], 0.0
    for image, valid in ((before, valid_before), (after, valid_after)):
        bands = [without_outliers(band[valid]) for band in image]
        outliers = max(outliers, *(1.0 - band.size / max(1, valid.sum()) for band in bands))
        cut.append(bands)
    said = f", {outliers:.1%} of outliers left out" if outliers > 0 and valid_before.any() else ""
    ranges = [[value_range(band) for band in bands] for bands in cut]
    between = f"percentiles {PERCENTILES[0]} and {PERCENTILES[1]}"
    if are_alike(*ranges):
        together = [value_range(np.concatenate(bands)) for bands in zip(*cut, strict=True)]
        return _scaling(together, f"{between} of both dates together{said}")
    reach = ", ".join(
        f"{min(low for low, _ in bands):.4g} to {max(high for _, high in bands):.4g} {date}"
        for bands, date in zip(ranges, ("before", "after"), strict=True)
    )
    own = f"{between} of each date by itself{said}, since their values differ in range: {reach}"
    return replace(_scaling(ranges[0], own), after=_scaling(ranges[1], own))


def _scaling(ranges: Sequence[Range], source: str) -> Scaling:
    return Scaling(tuple(low for low, _ in ranges), tuple(high for _, high in ranges), source)


def value_range(values: FloatArray) -> Range:
    """The two :data:`PERCENTILES` of a band's values, never equal; 0 and 255 of no values."""
    if values.size == 0:
        return 0.0, 255.0
    bottom, top = (float(value) for value in _percentiles(values, PERCENTILES))
    return bottom, top if top > bottom else bottom + max(1.0, abs(bottom) * 1e-6)


def without_outliers(values: FloatArray) -> FloatArray:
    """A band's values without those far from their body, where up to 5 % at either end would else
    decide the percentiles; all of them where none does."""
    if values.size == 0:
        return values
    percentiles = (PERCENTILES[0], *BODY, PERCENTILES[1])
    lowest, bottom, top, highest = _percentiles(values, percentiles)
    reach = FENCE * (top - bottom)
    if reach <= 0 or (lowest >= bottom - reach and highest <= top + reach):
        return values
    inside: FloatArray = values[(values >= bottom - reach) & (values <= top + reach)]
    return inside


def _percentiles(values: FloatArray, percentiles: tuple[float, ...]) -> npt.NDArray[np.float64]:
    """Percentiles of values, of which the extremes of single precision are cut off: numpy takes the
    difference of neighbours."""
    return np.percentile(np.clip(values, -LARGEST, LARGEST), percentiles).astype(np.float64)


def are_alike(first: Sequence[Range], second: Sequence[Range]) -> bool:
    """Whether the ranges of two dates' bands may lie on one scale: for more than half of the bands
    they overlap well and are of like width."""
    alike = 0
    for (low, high), (other_low, other_high) in zip(first, second, strict=True):
        spans = sorted((high - low, other_high - other_low))
        shared = min(high, other_high) - max(low, other_low)
        alike += spans[1] <= UNLIKE_SPANS * spans[0] and shared >= UNLIKE_OVERLAP * spans[0]
    return 2 * alike > len(first)


def match_histogram(before: FloatArray, after: FloatArray, *, valid: Mask) -> HistogramMatch:
    """The table that maps ``after`` onto the distribution of ``before``.

    Args:
        before: Sample (C, H, W) in 0-255.
        after: The same places at the other date.
        valid: Pixels (H, W) valid in both; black or white blocks of either date, which may be
            nodata that nobody stated, do not count.
    """
    for image in (before, after):
        fill = filled(image, valid)
        valid = valid & ~fill.where if MIN_FILL <= fill.share < 1 else valid
    tables = np.tile(np.arange(LEVELS, dtype=np.float32), (len(before), 1))
    if not valid.any():
        return HistogramMatch(tables)
    shares = (np.arange(LEVELS) + 0.5) / LEVELS
    for band in range(len(before)):
        source, target = (np.quantile(image[band][valid], shares) for image in (after, before))
        # many quantiles fall on one value where images have whole values or saturate: it becomes
        # the mean of theirs
        found, place, count = np.unique(source, return_inverse=True, return_counts=True)
        tables[band] = np.interp(np.arange(LEVELS), found, np.bincount(place, target) / count)
    return HistogramMatch(tables)


def radiometric_difference(before: FloatArray, after: FloatArray, *, valid: Mask) -> list[Json]:
    """Mean and spread of each band at both dates (0-255) over the valid pixels."""
    rows = []
    for band in range(len(before)):
        first, second = before[band][valid], after[band][valid]
        if first.size == 0:
            continue
        rows.append(
            {
                "band": band + 1,
                "mean_before": float(first.mean()),
                "mean_after": float(second.mean()),
                "std_before": float(first.std()),
                "std_after": float(second.std()),
            }
        )
    return rows
