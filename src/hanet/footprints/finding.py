"""Footprints of whatever holds probabilities: an array, a file, a DataArray."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from hanet.errors import InputError, SettingsError, ShapeError
from hanet.footprints import extraction
from hanet.footprints.footprint import Footprint
from hanet.footprints.frame import geo_frame
from hanet.footprints.geojson import feature_collection
from hanet.footprints.kinds import built_beside
from hanet.footprints.measures import field_types
from hanet.footprints.settings import FootprintSettings
from hanet.imagery.dates import check_order
from hanet.imagery.gdal import gdal_session
from hanet.imagery.in_memory import Raster, RasterInput, path_of, write_input
from hanet.imagery.probability_array import ProbabilityArray
from hanet.imagery.raster_output import PIXELS, UNIT_TAG, ProbabilityRaster
from hanet.types import FloatArray, Json, Mask

if TYPE_CHECKING:
    from hanet.footprints.frame import GeoDataFrame


@dataclass(frozen=True, slots=True, eq=False)
class FootprintList(Sequence[Footprint]):
    """Footprints in memory, in the order of their ids; made by :func:`find_footprints`.

    Args:
        items: The footprints.
        crs: CRS of their geometries as WKT; None for pixel coordinates.
        threshold: The probability threshold that was used.
        fields: Names of their attributes.
    """

    items: tuple[Footprint, ...]
    crs: str | None
    threshold: float
    fields: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, index: int) -> Footprint: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Footprint]: ...
    def __getitem__(self, index: int | slice) -> Footprint | Sequence[Footprint]:
        return self.items[index]

    def to_geopandas(self) -> GeoDataFrame:
        """All of them as a GeoDataFrame.

        Raises:
            MissingExtraError: geopandas is not installed.
        """
        return geo_frame(self._shapes, self._columns, self.crs)

    @property
    def __geo_interface__(self) -> Json:
        """A GeoJSON FeatureCollection in WGS84; in pixel coordinates without a CRS."""
        return feature_collection(self._shapes, self._columns, self.crs)

    @property
    def _shapes(self) -> npt.NDArray[np.object_]:
        shapes = np.empty(len(self.items), dtype=object)
        shapes[:] = [footprint.geometry for footprint in self.items]
        return shapes

    @property
    def _columns(self) -> dict[str, list[Any]]:
        return {
            name: [footprint.attributes[name] for footprint in self.items] for name in self.fields
        }


def find_footprints(
    probability: RasterInput | ProbabilityArray | FloatArray | Mask,
    *,
    crs: Any = None,
    transform: Any = None,
    **settings: Any,
) -> FootprintList:
    """The footprints of changed pixels: those that ``hanet footprints`` writes for the same raster
    and settings.

    Args:
        probability: An array (H, W) of probability in 0-1, NaN where invalid, or a boolean mask;
            ``result.probability()``; a path, an open dataset or a DataArray of one band. Of the
            ``probability.tif`` of a run ``built.tif`` beside it gives the kinds, too.
        crs: CRS of an array; without one areas count in pixels.
        transform: Affine transform of an array, as rasterio has it.
        settings: Fields of :class:`hanet.footprints.settings.FootprintSettings`: ``threshold``,
            ``min_area_m2``, ``min_hole_m2``, ``outline``, ``separate``, ``connectivity``,
            ``before_date``, ``after_date``.

    Raises:
        InputError: It does not hold probabilities, or ``crs`` is given with an input that has
            its own.
        RasterError: It cannot be read, or its values are not probabilities.
        SettingsError: There is no setting of a name, or a value is not allowed.

    Example:
        >>> probability = hanet.load().predict(before, after)
        >>> found = hanet.find_footprints(probability, crs="EPSG:32614", transform=transform)
        >>> found.to_geopandas().to_file("footprints.gpkg")
    """
    try:
        chosen = FootprintSettings(**settings)
    except TypeError as error:
        known = ", ".join(FootprintSettings.__dataclass_fields__)
        raise SettingsError(
            f"hanet.find_footprints: {str(error).partition('() ')[2]}",
            hint=f"the settings are: {known}",
        ) from error
    check_order(chosen.before_date, chosen.after_date)
    with _opened(probability, crs, transform) as (raster, built):
        completed = extraction.completed(chosen, raster)
        items = extraction.find_footprints(raster, completed, built=built)
        assert completed.threshold is not None
        fields = tuple(field_types(raster.grid, has_kinds=built is not None))
        return FootprintList(tuple(items), raster.grid.crs, completed.threshold, fields)


@contextmanager
def _opened(
    given: Any, crs: Any, transform: Any
) -> Iterator[tuple[ProbabilityRaster, ProbabilityRaster | None]]:
    """The probabilities as a raster, of an array a temporary one; and the kinds beside those of a
    run."""
    if isinstance(given, np.ndarray):
        given = Raster(_as_floats(given), crs, transform)
    elif crs is not None or transform is not None:
        raise InputError(
            f"{type(given).__name__} has a CRS and a transform of its own",
            hint="leave crs and transform out; they are for arrays",
        )
    tags: dict[str, str] = {}
    if isinstance(given, ProbabilityArray):
        tags, given = _tags(given), _raster(given)
    with ExitStack() as stack:
        stack.enter_context(gdal_session())
        path = path_of(given)
        if path is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="hanet-"))
            path = str(Path(folder) / "probability.tif")
            write_input(given, Path(path), tags=tags)
        kinds = built_beside(path)
        built = None if kinds is None else stack.enter_context(ProbabilityRaster(kinds))
        yield stack.enter_context(ProbabilityRaster(path)), built


def _as_floats(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if array.ndim != 2:
        raise ShapeError(
            f"an array {array.shape} is no probability: (H, W) is needed",
            hint="choose the band of change: array[0]" if array.ndim == 3 else None,
        )
    if array.dtype == np.bool_:
        return array.astype(np.float32)
    if array.dtype.kind != "f":
        raise InputError(
            f"an array of type {array.dtype} is no probability: real numbers in 0-1 or a boolean "
            "mask are needed",
            hint="a mask of numbers: array > 0; probabilities in 0-255: array / 255",
        )
    return array


def _raster(given: ProbabilityArray) -> Raster:
    has_place = given.grid.crs is not None or given.grid.transform != PIXELS
    return Raster(given.values, given.grid.crs, given.grid.affine if has_place else None)


def _tags(given: ProbabilityArray) -> dict[str, str]:
    """What a probability raster keeps beside its values."""
    known = {
        "THRESHOLD": given.threshold,
        "BEFORE_DATE": given.before_date,
        "AFTER_DATE": given.after_date,
        UNIT_TAG: given.grid.unit_m,
    }
    return {name: str(value) for name, value in known.items() if value is not None}
