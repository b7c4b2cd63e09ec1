"""What a user may choose about footprints."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Literal

from hanet.errors import SettingsError
from hanet.footprints.false_alarms import FootprintFilter
from hanet.footprints.outlines import Outline
from hanet.imagery.dates import check_date
from hanet.types import Json

DEFAULT_THRESHOLD = 0.5
"""Threshold where neither the user nor the raster states one."""


@dataclass(frozen=True, slots=True)
class FootprintSettings:
    """How footprints are made.

    Args:
        threshold: A pixel with at least this probability counts as change, between 0 and 1; None
            takes the weights' own (``hanet detect``) or what the raster states, else 0.5.
        connectivity: 8 joins pixels that touch at a corner into one footprint, 4 does not.
        min_area_m2: Smaller footprints are left out (square pixels where the raster has no CRS).
        min_hole_m2: Smaller holes in a footprint are closed, up to ``min_area_m2`` (so that no
            footprint lies in a closed one); 0 keeps them all.
        outline: See :mod:`hanet.footprints.outlines`.
        separate: Separate touching buildings where each has a high-probability core; see
            :mod:`hanet.footprints.touching`.
        before_date: Date of the before image (ISO 8601: year, month or day), put into every
            footprint; None takes the date that the raster states.
        after_date: Date of the after image, in the same format.
        footprint_filter: Leaves out what looks like a false alarm; None leaves nothing out. What
            its ``to_json`` gave is taken as well.

    Raises:
        SettingsError: A value is out of range, or a date is not valid.
    """

    threshold: float | None = None
    connectivity: Literal[4, 8] = 8
    min_area_m2: float = 10.0
    min_hole_m2: float = 10.0
    outline: Outline = "square"
    separate: bool = True
    before_date: str | None = None
    after_date: str | None = None
    footprint_filter: FootprintFilter | None = None

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0.0 < self.threshold < 1.0:
            raise SettingsError(
                f"the threshold is {self.threshold}; it must lie between 0 and 1, both excluded",
                hint="for example --threshold 0.5",
            )
        if self.connectivity not in (4, 8):
            raise SettingsError(f"the connectivity is {self.connectivity}; it must be 4 or 8")
        if self.outline not in ("pixels", "simple", "square"):
            raise SettingsError(f"the outline is {self.outline!r}", hint="pixels, simple or square")
        for what, area in (("area", self.min_area_m2), ("hole", self.min_hole_m2)):
            if not 0 <= area < math.inf:
                raise SettingsError(
                    f"the smallest {what} is {area}; it must be 0 or more, and finite"
                )
        given: object = self.footprint_filter
        if given is not None and not isinstance(given, FootprintFilter):
            object.__setattr__(self, "footprint_filter", FootprintFilter.from_json(given))
        check_date(self.before_date, "the date of the before image")
        check_date(self.after_date, "the date of the after image")

    def to_json(self) -> Json:
        """For manifests; without a filter, the same as before filters existed."""
        values = asdict(self)
        if self.footprint_filter is None:
            del values["footprint_filter"]
        return values
