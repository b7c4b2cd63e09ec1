"""Two runtimes as one: a scout looks at every tile at lower resolution, the stronger network only
where something may have changed.

Most of a large area has not changed. A tile seen at half its resolution costs a quarter, and a
network that was trained at several resolutions sees there whether there is anything to find. The
cascade is itself a :class:`hanet.weights.runtime.Runtime`, so detection, evaluation and notebooks
use it like any other.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hanet.errors import SettingsError
from hanet.metadata import Metadata
from hanet.types import FloatArray
from hanet.weights.runtime import Runtime, directed
from hanet.weights.workload import gmac_per_megapixel

SCOUT_THRESHOLD = 0.2
"""Largest probability of the scout's tile from which on the stronger network looks at it. Of 0.05,
0.1 and 0.2 on scenes-1024/val the fastest: 1.43 times as fast as the weights alone, at F1 0.8776
against 0.8792; 0.1 scores 0.8786 at 1.40 times, 0.05 0.8791 at 1.29 (hanet_lite before itself;
results/benchmarks/cascade-hanet_lite.json, 2026-11)."""


@dataclass(slots=True)
class CascadeCounts:
    """What a cascade did."""

    scouted: int = 0
    looked_at: int = 0

    @property
    def share_looked_at(self) -> float:
        """Share of the tiles that the stronger network saw, in 0-1; nan before the first."""
        return self.looked_at / self.scouted if self.scouted else float("nan")


class Cascade:
    """A scout and a stronger network behind it.

    A tile whose scouted probability stays under ``threshold`` everywhere (NaN does not) gets the
    scout's probability, enlarged; any other gets the stronger network's.

    Args:
        scout: Runs at ``reduction`` times the pixel size; its bands must be the stronger
            network's.
        strong: Decides wherever the scout saw something; its metadata are the cascade's.
        reduction: Factor by which the scout's images are made smaller, by averaging; 1 leaves them.
        threshold: In 0-1; 0 looks at every tile, so that the scout is only a cost.

    Raises:
        SettingsError: A value is out of range, or the two take different bands.
    """

    def __init__(
        self,
        scout: Runtime,
        strong: Runtime,
        *,
        reduction: int = 2,
        threshold: float = SCOUT_THRESHOLD,
    ) -> None:
        if reduction < 1:
            raise SettingsError(f"the scout's reduction is {reduction}; it must be at least 1")
        if not 0.0 <= threshold <= 1.0:
            raise SettingsError(f"the scout's threshold is {threshold}; it must lie in 0 to 1")
        theirs, ours = (", ".join(each.metadata.bands) for each in (scout, strong))
        if theirs != ours:
            raise SettingsError(
                f"the scout takes the bands {theirs}, the network behind it {ours}",
                hint="both weights of a cascade must take the same bands",
            )
        self._scout, self._strong = scout, strong
        self._reduction, self._threshold = reduction, threshold
        self._lock = threading.Lock()
        self.metadata: Metadata = strong.metadata
        self.counts = CascadeCounts()

    @property
    def scout_work(self) -> float | None:
        """Work of the scout for a tile, where that of the stronger network is 1; None where it is
        not known."""
        theirs, ours = (gmac_per_megapixel(one.metadata) for one in (self._scout, self._strong))
        return theirs / self._reduction**2 / ours if theirs and ours else None

    @property
    def tells_direction(self) -> bool:
        """See :class:`hanet.weights.runtime.DirectedRuntime`."""
        return directed(self._strong) is not None

    def predict(
        self, before: FloatArray, after: FloatArray
    ) -> FloatArray:  # (B, C, H, W) twice -> (B, H, W)
        """See :class:`hanet.weights.runtime.Runtime`."""
        probability, suspicious = self._suspicious(before, after)
        if len(suspicious):
            probability[suspicious] = self._strong.predict(before[suspicious], after[suspicious])
        return probability

    def predict_both(
        self, before: FloatArray, after: FloatArray
    ) -> tuple[FloatArray, FloatArray]:  # (B, C, H, W) twice -> (B, H, W) twice
        """See :class:`hanet.weights.runtime.DirectedRuntime`; of tiles in which the scout saw
        nothing, where nobody asks, "built" is a half."""
        strong = directed(self._strong)
        if strong is None:
            raise SettingsError(f"{self._strong.metadata.name} does not tell built from demolished")
        probability, suspicious = self._suspicious(before, after)
        built = np.full_like(probability, 0.5)
        if len(suspicious):
            both = strong.predict_both(before[suspicious], after[suspicious])
            probability[suspicious], built[suspicious] = both
        return probability, built

    def _suspicious(
        self, before: FloatArray, after: FloatArray
    ) -> tuple[FloatArray, npt.NDArray[np.int64]]:
        """The scout's probability, and the tiles that the stronger network is to see; both are
        counted."""
        probability = self._scouted(before, after)
        # NaN is under nothing: where the scout failed the stronger network looks
        suspicious = np.flatnonzero(
            ~(probability.reshape(len(probability), -1).max(axis=1) < self._threshold)
        )
        with self._lock:
            self.counts.scouted += len(probability)
            self.counts.looked_at += len(suspicious)
        return probability, suspicious

    def take_counts(self) -> CascadeCounts:
        """What was counted since the last call of this; the counts begin again at 0."""
        with self._lock:
            taken, self.counts = self.counts, CascadeCounts()
        return taken

    def _scouted(self, before: FloatArray, after: FloatArray) -> FloatArray:
        height, width = before.shape[-2:]
        step, smallest = (
            self._reduction * px
            for px in (self._scout.metadata.divisor, self._scout.metadata.min_size_px)
        )
        rows, columns = (-(-max(side, smallest) // step) * step - side for side in (height, width))
        padding = ((0, 0), (0, 0), (0, rows), (0, columns))
        small = [
            reduced(np.pad(image, padding, mode="edge"), self._reduction)
            for image in (before, after)
        ]
        return enlarged(self._scout.predict(small[0], small[1]), self._reduction)[
            :, :height, :width
        ].copy()


def reduced(
    image: FloatArray, factor: int
) -> FloatArray:  # (B, C, H, W) -> (B, C, H / factor, W / factor)
    """Means over squares of ``factor`` pixels, which must divide height and width.

    Example:
        >>> reduced(np.array([[[[1.0, 3.0], [5.0, 7.0]]]]), 2)
        array([[[[4.]]]])
    """
    if factor == 1:
        return image
    batch, bands, height, width = image.shape
    squares = image.reshape(batch, bands, height // factor, factor, width // factor, factor)
    return np.ascontiguousarray(squares.mean(axis=(3, 5), dtype=image.dtype))


def enlarged(
    probability: FloatArray, factor: int
) -> FloatArray:  # (B, H, W) -> (B, H factor, W factor)
    """Each pixel as a square of ``factor`` pixels."""
    return probability.repeat(factor, axis=1).repeat(factor, axis=2)
