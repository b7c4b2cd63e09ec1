"""How far one image lies from another: phase correlation on windows, and the shift that most of
them agree on. Pure numpy.

Sources: Kuglin and Hines, "The phase correlation image alignment method", 1975; the peak is refined
by a parabola along each axis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hanet.types import FloatArray, Json

AGREEMENT_PX = 0.75
"""Windows whose shift lies this near the common one agree with it: phase correlation over changed
ground is good to about half a pixel."""

MIN_PEAK = 0.03
"""Peaks of the normalised correlation below this are noise at 256 pixels: white noise gives about
0.02."""


@dataclass(frozen=True, slots=True)
class Shift:
    """How far the after image lies from the before image on their common grid.

    Args:
        rows_px: Rows that the after image lies too low.
        columns_px: Columns that it lies too far right.
        confidence: Share of the windows with texture that agree with it, in 0-1; 0 where none had a
            clear peak.
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


def phase_correlate(before: FloatArray, after: FloatArray) -> tuple[float, float, float]:
    """Shift of ``after`` against ``before``, and the height of the peak.

    Args:
        before: A grey image (H, W).
        after: The same size.

    Returns:
        (rows, columns, peak): ``after[r + rows, c + columns]`` shows what ``before[r, c]`` does;
        the peak is 1 for a pure shift and near 0 for images that have nothing in common.
    """
    height, width = before.shape
    taper = np.outer(np.hanning(height), np.hanning(width))
    spectra = [np.fft.rfft2(_edges(image) * taper) for image in (after, before)]
    product = spectra[0] * np.conj(spectra[1])
    product /= np.maximum(np.abs(product), 1e-12)
    surface = np.fft.irfft2(product, s=before.shape)
    row, column = np.unravel_index(int(surface.argmax()), surface.shape)
    rows = _refined(surface[:, column], int(row))
    columns = _refined(surface[row, :], int(column))
    return rows, columns, float(surface.max())


def common_shift(shifts: list[tuple[float, float, float]]) -> Shift:
    """The shift that most windows agree on.

    Args:
        shifts: Results of :func:`phase_correlate` for windows spread over the overlap.

    Returns:
        The mean of the largest group of agreeing windows; the confidence is its share of all
        windows, halved where fewer than three windows are left.
    """
    clear = np.array(
        [(rows, columns) for rows, columns, peak in shifts if peak >= MIN_PEAK]
    ).reshape(-1, 2)
    if len(clear) == 0:
        return Shift(0.0, 0.0, 0.0, len(shifts))
    near = np.linalg.norm(clear[:, None] - clear[None], axis=2) <= AGREEMENT_PX
    group = clear[near[int(near.sum(axis=1).argmax())]]
    mean = group.mean(axis=0)
    confidence = len(group) / len(shifts) * (1.0 if len(group) >= 3 else 0.5)
    return Shift(float(mean[0]), float(mean[1]), confidence, len(shifts))


def _edges(image: FloatArray) -> npt.NDArray[np.float64]:
    """Gradient magnitude: edges stay where shadows and seasons turn brightness round."""
    down, across = np.gradient(image.astype(np.float64))
    magnitude = np.hypot(down, across)
    return np.asarray(magnitude - magnitude.mean())


def _refined(line: npt.NDArray[Any], peak: int) -> float:
    """Position of a peak on a circular line by the parabola through it and its neighbours, as a
    signed shift."""
    size = len(line)
    left, middle, right = line[(peak - 1) % size], line[peak], line[(peak + 1) % size]
    bend = left - 2 * middle + right
    offset = 0.5 * (left - right) / bend if bend != 0 else 0.0
    signed = peak if peak <= size // 2 else peak - size
    return float(signed + np.clip(offset, -0.5, 0.5))
