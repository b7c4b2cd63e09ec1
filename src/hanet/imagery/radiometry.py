"""Values of two dates on one footing: the scaling to 0-255, and the match of one date's histogram
to the other's.

Both come from a sample of the whole overlap, never from a window, so that no seam can show. Pure
numpy on samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hanet.errors import SettingsError
from hanet.types import FloatArray, Json, Mask

LEVELS = 256
"""Entries of a histogram match's table."""

PERCENTILES = (0.5, 99.5)
"""Percentiles of valid values that become 0 and 255 where no scaling is given: haze and glint do
not decide."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """The linear rule from raw values to 0-255; the same for both dates, so that it cannot make a
    change.

    Args:
        low: Raw value of each band that becomes 0.
        high: Raw value of each band that becomes 255.
        source: Where the numbers come from, in words.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    source: str

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
        return cls((0.0,) * bands, (255.0,) * bands, "8 bit, as it is")

    def apply(self, values: FloatArray) -> FloatArray:  # (C, H, W) -> (C, H, W) in 0-255
        """The values scaled and cut to 0-255; those of :meth:`eight_bit`, which are so by their
        type, are handed back."""
        if self == Scaling.eight_bit(len(self.low)):
            return values
        low = np.array(self.low, dtype=np.float32)[:, None, None]
        high = np.array(self.high, dtype=np.float32)[:, None, None]
        return np.clip((values - low) * (255.0 / (high - low)), 0.0, 255.0).astype(
            np.float32, copy=False
        )

    def to_json(self) -> Json:
        """For manifests."""
        return {"low": list(self.low), "high": list(self.high), "source": self.source}


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
    """Robust percentiles of both dates' valid values together.

    Args:
        before: Raw sample (C, H, W).
        after: Raw sample of the other date.
        valid_before: Pixels (H, W) that count.
        valid_after: Likewise.
    """
    low, high = [], []
    for band_before, band_after in zip(before, after, strict=True):
        values = np.concatenate([band_before[valid_before], band_after[valid_after]])
        if values.size == 0:
            values = np.array([0.0, 255.0], dtype=np.float32)
        bottom, top = (float(value) for value in np.percentile(values, PERCENTILES))
        low.append(bottom)
        high.append(top if top > bottom else bottom + 1.0)
    return Scaling(
        tuple(low),
        tuple(high),
        f"percentiles {PERCENTILES[0]} and {PERCENTILES[1]} of both dates together",
    )


def match_histogram(before: FloatArray, after: FloatArray, *, valid: Mask) -> HistogramMatch:
    """The table that maps ``after`` onto the distribution of ``before``.

    Args:
        before: Sample (C, H, W) in 0-255.
        after: The same places at the other date.
        valid: Pixels (H, W) valid in both.
    """
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
