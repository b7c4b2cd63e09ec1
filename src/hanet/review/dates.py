"""One date as it is shown: read in the display's pixels by the rules of the detection."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from hanet.errors import OutputError, RasterError
from hanet.imagery.bands import DateBands
from hanet.imagery.date_reader import DateReader
from hanet.imagery.overviews import are_stale
from hanet.imagery.radiometry import HistogramMatch, Scaling
from hanet.imagery.raster_source import RasterSource
from hanet.imagery.registration import Shift
from hanet.review.display import Display, reduced
from hanet.review.inputs import DateName, Input
from hanet.types import ByteArray, FloatArray, Json, Mask, Window

OPENING = Lock()
"""Held while a raster is opened: what is silenced meanwhile is silenced in the whole process, and
two threads that set and restore that would leave it as either had set it."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How the values of two images become pictures: as ``run.json`` records that the detection
    read them.

    Args:
        bands: Bands of each date.
        scaling: From values to 0-255.
        shift: Of the after image, taken back when it is read; None for none.
        histogram: Match of the after image's values; None for none.
    """

    bands: DateBands
    scaling: Scaling
    shift: Shift | None = None
    histogram: HistogramMatch | None = None

    @classmethod
    def of(cls, manifest: Json) -> Rules:
        """Those of a run, but for the histogram match, of which ``run.json`` says only whether
        there was one (:func:`hanet.review.run_images.with_histogram`).

        Raises:
            OutputError: ``run.json`` does not say.
        """
        try:
            pair = manifest["pair"]
            bands = tuple(int(band) for band in pair["bands"])
            after = tuple(int(band) for band in pair.get("bands_after", bands))
            shift = pair["shift_applied"]
            return cls(
                (bands, after),
                Scaling.from_json(pair["scaling"]),
                Shift.from_json(shift) if shift is not None else None,
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise OutputError(
                "run.json does not say how the images were read",
                hint="give the folder of a finished run of hanet detect",
            ) from error

    def to_json(self) -> Json:
        """What decides how a picture looks."""
        return {
            "bands": [list(bands) for bands in self.bands],
            "scaling": self.scaling.to_json(),
            "shift": self.shift.to_json() if self.shift else None,
            "histogram": self.histogram.tables.tolist() if self.histogram else None,
        }

    def of_date(self, date: DateName) -> DateRules:
        """Those of one date."""
        marks = self.scaling.nodata or (None, None)
        if date == "before":
            return DateRules(self.bands[0], self.scaling, None, None, marks[0])
        return DateRules(self.bands[1], self.scaling.of_after, self.shift, self.histogram, marks[1])


@dataclass(frozen=True, slots=True)
class DateRules:
    """:class:`Rules` of one date; ``nodata`` is the value that stands for no data without being
    stated."""

    bands: tuple[int, ...]
    scaling: Scaling
    shift: Shift | None
    histogram: HistogramMatch | None
    nodata: float | None

    @property
    def shown_bands(self) -> int:
        """Bands of a picture: three as red, green and blue, or the first alone."""
        return 3 if len(self.bands) >= 3 else 1

    def picture(self, values: FloatArray) -> ByteArray:  # (C, h, w) -> (1 or 3, h, w)
        """Stored values as they are shown."""
        scaled = self.scaling.apply(values)
        if self.histogram is not None:
            scaled = self.histogram.apply(scaled)
        shown = scaled[: self.shown_bands]
        return np.rint(np.clip(shown, 0.0, 255.0)).astype(np.uint8)


class ShownDate:
    """One date, open; one thread at a time.

    Args:
        display: In whose pixels it is read.
        image: Which file.
        rules: How its values become a picture.
        picture: A small copy of it, from which coarse views are read; None for none.
    """

    def __init__(
        self, display: Display, image: Input, rules: Rules, *, picture: SmallPicture | None
    ) -> None:
        self._rules, self._small = rules.of_date(image.date), picture
        with ExitStack() as stack:
            source = stack.enter_context(RasterSource(image.path))
            self.source = source
            _check_bands(source, self._rules.bands)
            if source.overview_factors and are_stale(source, display.grid):
                source = stack.enter_context(RasterSource(image.path, overview_level=-1))
            self.is_stale = source is not self.source
            rule = self._rules
            self._fine = stack.enter_context(
                DateReader(source, display.shown, rule.bands, rule.shift, rule.nodata)
            )
            self._coarse: Any = None
            if picture is not None:
                small = stack.enter_context(RasterSource(picture.path))
                bands = small.image_bands(rule.shown_bands)
                self._coarse = stack.enter_context(DateReader(small, small.grid, bands, None))
                self._coarse_size = small.grid
            self._open = stack.pop_all()

    def close(self) -> None:
        """Closes the files."""
        self._open.close()

    @property
    def is_warped(self) -> bool:
        """Whether its pixels are resampled to the display's."""
        return self._fine.is_warped

    def read(self, window: Window, scale: int) -> tuple[ByteArray, Mask]:
        """The picture (1 or 3, h, w) of a window of the display, and its valid pixels (h, w).

        Args:
            window: In display pixels; it begins at a multiple of the scale.
            scale: Display pixels a pixel of the result.
        """
        shape = reduced(window, scale)
        if self._coarse is None or self._small is None or scale < self._small.factor:
            values, valid = self._fine.read(window, shape=shape)
            return self._rules.picture(values), valid
        factor = self._small.factor
        height, width = reduced(window, factor)
        place = Window(window.row // factor, window.column // factor, height, width)
        values, valid = self._coarse.read(place, shape=shape)
        return values.astype(np.uint8), valid


def _check_bands(source: RasterSource, bands: tuple[int, ...]) -> None:
    count = source.dataset.count
    if not bands or not all(1 <= band <= count for band in bands):
        raise RasterError(
            f"{source.short_name} has {count} bands, but the run read {', '.join(map(str, bands))}",
            hint="is it the image that the run was made from?",
        )


@dataclass(frozen=True, slots=True)
class SmallPicture:
    """A small copy of an image on the display.

    Args:
        path: A GeoTIFF with overviews.
        factor: Display pixels a pixel of it, a power of 2.
    """

    path: Path
    factor: int
