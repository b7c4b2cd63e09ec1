"""Ground that somebody has drawn over a pair in a map program: polygons of what changed, and of the
area that was looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import shapely
from rasterio.features import rasterize

from hanet.adaptation.ground import Gatherer
from hanet.adaptation.sources import Warn, check_resolution, gather_pair
from hanet.detection.opening import Notices, opened
from hanet.detection.settings import DetectionSettings
from hanet.errors import VectorError
from hanet.imagery.addresses import bare_name
from hanet.imagery.fingerprint import fingerprint, raster_fingerprint
from hanet.imagery.gdal import gdal_session
from hanet.imagery.grid import Grid
from hanet.imagery.images import CHANGED_GREY, IGNORED_GREY, UNCHANGED_GREY
from hanet.imagery.raster_source import RasterSource
from hanet.imagery.vectors import read_polygons
from hanet.metadata import Metadata
from hanet.types import ByteArray, Json, Progress, Window


@dataclass(frozen=True, slots=True)
class DrawnGround:
    """A pair, what changed in it, and where that is known.

    Args:
        before: Raster of the first date.
        after: Raster of the second.
        polygons: Vector file of what changed.
        aoi: Vector file of what was looked at: there everything outside the polygons is unchanged.
        settings: Fields of :class:`hanet.detection.settings.DetectionSettings` that say how the
            pair is read, as ``hanet detect`` will be told: ``bands``, ``scaling``, ``coregister``
            and so on.
    """

    before: str
    after: str
    polygons: str
    aoi: str
    settings: Json = field(default_factory=dict)

    @property
    def name(self) -> str:
        """See :class:`hanet.adaptation.sources.Source`."""
        return f"{_name(self.before)} and {_name(self.after)}"

    @property
    def said(self) -> str:
        """See :class:`hanet.adaptation.sources.Source`."""
        return f"polygons drawn over {self.name}"

    def identity(self) -> Json:
        """See :class:`hanet.adaptation.sources.Source`."""
        files: dict[str, Any] = {}
        with gdal_session():
            for date, path in (("before", self.before), ("after", self.after)):
                with RasterSource(path) as source:
                    files[date] = raster_fingerprint(source)
        files |= {name: fingerprint(str(getattr(self, name))) for name in ("polygons", "aoi")}
        return {**files, "settings": {key: str(value) for key, value in self.settings.items()}}

    def gather(
        self, gatherer: Gatherer, metadata: Metadata, *, warn: Warn, progress: Progress | None
    ) -> None:
        """See :class:`hanet.adaptation.sources.Source`."""
        chosen = DetectionSettings.of(**self.settings)
        notices = Notices(lambda _: None, warn)
        with opened(
            self.before, self.after, settings=chosen, metadata=metadata, notices=notices
        ) as pair:
            grid = pair.pair.grid
            check_resolution(grid, metadata, self.name)
            changed, looked_at = (
                self._shapes(path, grid, warn) for path in (self.polygons, self.aoi)
            )
            painter = _Painter(changed, looked_at)
            if not painter.meets:
                raise VectorError(
                    f"no polygon of {bare_name(self.polygons)} lies in the area of "
                    f"{bare_name(self.aoi)}",
                    hint="the area is the ground that was checked; the changes lie inside it",
                )
            gather_pair(gatherer, pair.pair, self.name, label=painter.label, progress=progress)

    def _shapes(self, path: str, grid: Grid, warn: Warn) -> list[shapely.Geometry]:
        """The polygons of a file in pixel coordinates.

        Raises:
            VectorError: None of them lies on the pair.
        """
        found = read_polygons(path, crs=grid.crs)
        for note in found.notes:
            warn(note)
        a, _, c, _, e, f = grid.transform
        shapes = [
            shapely.transform(shapely.geometry.shape(one), lambda xy: (xy - (c, f)) / (a, e))
            for one in found.shapes
        ]
        whole = shapely.box(0, 0, grid.width, grid.height)
        inside = [shape for shape in shapes if shape.intersects(whole)]
        if not inside:
            raise VectorError(
                f"the polygons of {bare_name(path)} lie outside the pair",
                hint="check their CRS, and that they show the same place",
            )
        return inside


class _Painter:
    """Makes labels of windows from two sets of polygons in pixel coordinates."""

    def __init__(
        self, changed: Sequence[shapely.Geometry], looked_at: Sequence[shapely.Geometry]
    ) -> None:
        self._layers = (
            (looked_at, shapely.STRtree(looked_at)),
            (changed, shapely.STRtree(changed)),
        )
        self.meets = bool(len(self._layers[1][1].query(looked_at, predicate="intersects")[0]))

    def label(self, window: Window) -> ByteArray:  # (h, w)
        """Grey values of a window."""
        box = shapely.box(window.column, window.row, window.column_end, window.row_end)
        place = (1.0, 0.0, float(window.column), 0.0, 1.0, float(window.row))
        looked_at, changed = (
            rasterize(
                [(shapes[index], 1) for index in hits],
                out_shape=window.shape,
                fill=0,
                transform=place,
                dtype="uint8",
            )
            if (hits := sorted(tree.query(box).tolist()))
            else np.zeros(window.shape, dtype=np.uint8)
            for shapes, tree in self._layers
        )
        grey = np.where(changed > 0, CHANGED_GREY, UNCHANGED_GREY).astype(np.uint8)
        grey[looked_at == 0] = IGNORED_GREY
        return grey


def _name(path: str) -> str:
    return bare_name(path).rsplit("/", 1)[-1].rpartition(".")[0] or bare_name(path)
