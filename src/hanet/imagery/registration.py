"""How far one image lies from another: phase correlation of many windows, averaged, and whether
groups of them agree. Pure numpy.

Sources: Kuglin and Hines, "The phase correlation image alignment method", 1975; the peak is refined
by a parabola along each axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hanet.types import FloatArray, Json

LARGEST_SHIFT_PX = 32
"""Shifts are searched up to this far along each axis; beyond it a georeference is wrong, and no
resampling repairs that."""

SMOOTHNESS = 0.2
"""Standard deviation, in cycles a pixel, of the Gaussian that weighs frequencies: beyond it two
dates have nothing in common but noise."""

GROUPS = 6
"""Groups that windows are dealt into, each spread over the overlap, to see whether they agree."""

AGREEMENT_PX = 1.0
"""A group whose own shift lies this near the common one agrees with it."""

MIN_PEAK = 5.5
"""Height of the correlation peak, in standard deviations of the surface, below which it is noise:
unrelated scenes and white noise reach 4.3, the pairs of LEVIR-CD's scenes-1024/val at least 6.7
(results/reliability/shifts.json)."""

MIN_WINDOWS = 9
"""With fewer windows no shift is reported: a single leaning roof would decide it."""


@dataclass(frozen=True, slots=True)
class Shift:
    """How far the after image lies from the before image on their common grid.

    Args:
        rows_px: Rows that the after image lies too low.
        columns_px: Columns that it lies too far right.
        confidence: Share of the groups of windows that agree with it, in 0-1; 0 where the peak is
            noise or there are too few windows.
        windows: Windows that were used.
    """

    rows_px: float
    columns_px: float
    confidence: float
    windows: int

    @property
    def length_px(self) -> float:
        """Length of the shift in pixels."""
        return float(np.hypot(self.rows_px, self.columns_px))

    def length_m(self, axes_m: tuple[float, float]) -> float:
        """Length of the shift in metres, where a pixel measures so much along x and along y."""
        return float(np.hypot(self.columns_px * axes_m[0], self.rows_px * axes_m[1]))

    def to_json(self) -> Json:
        """For manifests."""
        return {
            "rows_px": round(self.rows_px, 3),
            "columns_px": round(self.columns_px, 3),
            "confidence": round(self.confidence, 3),
            "windows": self.windows,
        }

    @classmethod
    def from_json(cls, values: Json) -> Shift:
        """Reads what :meth:`to_json` gave."""
        rows, columns, confidence = (
            float(values[key]) for key in ("rows_px", "columns_px", "confidence")
        )
        return cls(rows, columns, confidence, int(values["windows"]))


def correlation_surface(before: FloatArray, after: FloatArray) -> FloatArray:
    """Phase correlation of two windows of one size, for shifts up to :data:`LARGEST_SHIFT_PX`.

    Args:
        before: A grey image (H, W), at least 128 pixels a side.
        after: The same size.

    Returns:
        A surface (65, 65) with no shift at its centre; it is high at (rows, columns) from there
        where ``after[r + rows, c + columns]`` shows what ``before[r, c]`` does. Surfaces of windows
        that share a shift can be averaged: noise falls, the peak stays.
    """
    height, width = before.shape
    taper = np.outer(np.hanning(height), np.hanning(width))
    spectra = [np.fft.rfft2(_edges(image) * taper) for image in (after, before)]
    product = spectra[0] * np.conj(spectra[1])
    product /= np.maximum(np.abs(product), 1e-12)
    rows, columns = np.fft.fftfreq(height)[:, np.newaxis], np.fft.rfftfreq(width)[np.newaxis]
    product *= np.exp(-(rows**2 + columns**2) / (2 * SMOOTHNESS**2))
    surface = np.fft.fftshift(np.fft.irfft2(product, s=before.shape))
    reach = LARGEST_SHIFT_PX
    middle_row, middle_column = height // 2, width // 2
    part = surface[
        middle_row - reach : middle_row + reach + 1,
        middle_column - reach : middle_column + reach + 1,
    ]
    return part.astype(np.float32)


def peak_of(surface: FloatArray) -> tuple[float, float, float]:
    """Shift (rows, columns) at the peak of a surface, and the peak's height over the surface's
    mean in standard deviations (0 for a flat one)."""
    row, column = (int(at) for at in np.unravel_index(int(surface.argmax()), surface.shape))
    rows = row - LARGEST_SHIFT_PX + _beyond_pixel(surface[:, column], row)
    columns = column - LARGEST_SHIFT_PX + _beyond_pixel(surface[row, :], column)
    spread = float(surface.std())
    height = float(surface.max() - surface.mean()) / spread if spread > 0 else 0.0
    return rows, columns, height


def common_shift(surfaces: Sequence[FloatArray]) -> Shift:
    """The shift of all windows together, and how many groups of them agree on it.

    On real pairs most single windows show nothing clear: seasons, shadows and what was built
    differ. Their mean does: of 120 shifts of 0.5 to 20 pixels planted on scenes-1024/val it finds
    112 within half a pixel, of 64 on rendered pairs 63 (results/reliability/shifts.json).

    Args:
        surfaces: Of windows spread over the overlap, in any order that is spread evenly.
    """
    if len(surfaces) < MIN_WINDOWS:
        return Shift(0.0, 0.0, 0.0, len(surfaces))
    stacked = np.stack(surfaces)
    rows, columns, height = peak_of(stacked.mean(axis=0))
    if height < MIN_PEAK:
        return Shift(0.0, 0.0, 0.0, len(surfaces))
    groups = (peak_of(stacked[first::GROUPS].mean(axis=0)) for first in range(GROUPS))
    agree = [np.hypot(down - rows, right - columns) <= AGREEMENT_PX for down, right, _ in groups]
    return Shift(rows, columns, float(np.mean(agree)), len(surfaces))


def _edges(image: FloatArray) -> npt.NDArray[np.float64]:
    """Gradient magnitude: edges stay where shadows and seasons turn brightness round."""
    down, across = np.gradient(image.astype(np.float64))
    magnitude = np.hypot(down, across)
    return np.asarray(magnitude - magnitude.mean())


def _beyond_pixel(line: npt.NDArray[Any], peak: int) -> float:
    """How far the top of the parabola through a peak and its neighbours lies from the peak, in
    -0.5 to 0.5; 0 at the rim."""
    if not 0 < peak < len(line) - 1:
        return 0.0
    left, middle, right = (float(line[at]) for at in (peak - 1, peak, peak + 1))
    bend = left - 2 * middle + right
    return float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5)) if bend != 0 else 0.0
