"""The native libraries under rasterio, pyogrio and shapely: their versions, and what they read and
write."""

from __future__ import annotations

from collections.abc import Sequence

import pyogrio
import rasterio
import shapely

from hanet.errors import OutputError
from hanet.types import Json

RASTER_DRIVERS = ("GTiff", "COG", "VRT", "PNG", "JPEG", "JP2OpenJPEG", "HFA", "WEBP")
"""Raster formats that imagery comes in, by GDAL's names."""

VECTOR_DRIVERS = ("GPKG", "GeoJSON", "FlatGeobuf", "ESRI Shapefile", "KML", "CSV")
"""Vector formats of results, by GDAL's names."""

RASTERS_OF_RESULTS = ("GTiff", "COG", "VRT")
"""What GDAL needs to write the rasters of a run."""


def library_versions() -> Json:
    """Version of each library; GDAL twice, since rasterio and pyogrio each bring their own."""
    return {
        "GDAL of rasterio": rasterio.__gdal_version__,
        "GDAL of pyogrio": ".".join(map(str, pyogrio.__gdal_version__)),
        "PROJ": rasterio.__proj_version__,
        "GEOS": shapely.geos_version_string,
    }


def drivers() -> dict[str, str]:
    """What can be done with each format: ``"read and write"``, ``"read"`` or ``"missing"``."""
    with rasterio.Env() as environment:
        rasters = environment.drivers()
    # of rasters GDAL only says that a driver is there; these two carry our results
    written = ("GTiff", "COG")
    can = {name: "read and write" if name in written else "read" for name in RASTER_DRIVERS}
    found = {name: can[name] if name in rasters else "missing" for name in RASTER_DRIVERS}
    vectors = pyogrio.list_drivers()
    for name in VECTOR_DRIVERS:
        # "r", "rw" or, where layers can be added to a file, "raw"
        modes = vectors.get(name, "")
        found[name] = "read and write" if "w" in modes else "read" if modes else "missing"
    return found


def check_drivers(*, rasters: Sequence[str] = (), vectors: Sequence[str] = ()) -> None:
    """Does nothing where both libraries can write these formats here.

    Args:
        rasters: Names of GDAL's drivers that rasterio needs.
        vectors: Those that pyogrio needs.

    Raises:
        OutputError: A driver is missing, or reads only.
    """
    with rasterio.Env() as environment:
        known = environment.drivers()
    missing = [name for name in rasters if name not in known]
    modes = pyogrio.list_drivers() if vectors else {}
    missing += [name for name in vectors if "w" not in modes.get(name, "")]
    if missing:
        raise OutputError(
            f"the GDAL that is installed here cannot write {', '.join(missing)}",
            hint="the wheels of rasterio and pyogrio on PyPI can; `hanet doctor` lists the formats",
        )
