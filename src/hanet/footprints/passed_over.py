"""What is passed over while footprints are made, so that a result without any can say why."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hanet.footprints.settings import FootprintSettings
from hanet.types import FloatArray

NOTHING_VALID = "no pixel of the probability raster is valid"
"""Why there is no footprint where nothing is known."""


@dataclass(slots=True)
class PassedOver:
    """Counts of what became no footprint.

    Attributes:
        left_out: Footprints that the filter has left out.
        small: Connected changed pixels whose area was too small.
        largest_small: The largest of these areas, in square metres or pixels.
        near_px: Pixels that reach half of the threshold, those that reach it included.
        has_valid: Whether any pixel is valid.
    """

    left_out: int = 0
    small: int = 0
    largest_small: float = 0.0
    near_px: int = 0
    has_valid: bool = False

    def add_small(self, area: float) -> None:
        """Counts one that is too small."""
        self.small += 1
        self.largest_small = max(self.largest_small, area)

    def see_strip(self, probability: FloatArray, threshold: float) -> None:
        """Counts the pixels of a strip (h, w) that come near the threshold."""
        self.has_valid = self.has_valid or bool(np.isfinite(probability).any())
        with np.errstate(invalid="ignore"):
            self.near_px += int(np.count_nonzero(probability >= np.float32(threshold / 2)))

    def why_nothing(self, settings: FootprintSettings, *, pixel_area: float, unit: str) -> str:
        """Why no footprint came out, with the option that shows more; "" where there is nothing to
        show.

        Args:
            settings: How footprints were made; its threshold must be given.
            pixel_area: Area of a pixel.
            unit: Of areas, ``"m²"`` or ``"square pixels"``.
        """
        assert settings.threshold is not None
        if not self.has_valid:
            return NOTHING_VALID
        if self.left_out:
            return (
                f"what was found looks like false alarms and is left out ({self.left_out}); "
                "--no-footprint-filter keeps it"
            )
        if self.largest_small > 2 * pixel_area:
            return (
                f"the largest of {self.small} changed places has {self.largest_small:,.3g} {unit}, "
                f"less than --min-area-m2 {settings.min_area_m2:.12g}; a smaller one shows more"
            )
        near = self.near_px * pixel_area
        if near < max(settings.min_area_m2, pixel_area):
            return ""
        return (
            f"{near:,.3g} {unit} reach half of the threshold, {settings.threshold:.3g}, and "
            f"nothing large enough reaches it; --threshold {settings.threshold / 2:.2g} shows more"
        )
