"""A raster as bare pixels: what its file says of where it lies is left away."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import fromstring, tostring

import rasterio.shutil
from rasterio.io import MemoryFile

from hanet.imagery.gdal import reading
from hanet.imagery.raster_source import RasterSource

_LEFT_AWAY = ("SRS", "GeoTransform", "GCPList", "Metadata")
"""Elements of a VRT that say where it lies (a sensor's model stands in metadata), or that a viewer
changes by writing statistics beside the file."""


def needs_pixel_view(source: RasterSource) -> bool:
    """Whether other programs would place the raster elsewhere than in its pixels, which is where we
    read it for want of a CRS: it has a world file, ground control points or a sensor's model."""
    return not source.has_crs and (source.has_geotransform or source.is_unwarped)


def pixel_view(source: RasterSource) -> str:
    """A VRT (XML on one line) of a local raster, which GDAL opens as if the text were a file's name
    and which lies in pixels: x is the column, y minus the row.

    Raises:
        RasterError: The raster cannot be read.
    """
    with reading(source.name), MemoryFile(ext=".vrt") as file:
        rasterio.shutil.copy(source.dataset, file.name, driver="VRT")
        view = fromstring(file.read().decode("utf-8"))
    for element in list(view.iter()):
        for part in [part for part in element if part.tag in _LEFT_AWAY]:
            element.remove(part)
        element.tail = None
        if element.text is not None and not element.text.strip():
            element.text = None
        if element.tag == "SourceFilename":
            element.text = str(Path(element.text or "").resolve())
            element.set("relativeToVRT", "0")
    return tostring(view, encoding="unicode")
