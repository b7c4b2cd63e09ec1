"""Vector files: reading an area of interest, writing footprints. The only user of pyogrio."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyogrio
import pyogrio.raw
import shapely
from pyogrio.errors import DataLayerError, DataSourceError
from rasterio.warp import transform_geom

from hanet.errors import InputError, MissingExtraError, OutputError, VectorError
from hanet.qgis import add_style
from hanet.types import Json

FORMATS: dict[str, str] = {"gpkg": ".gpkg", "geojson": ".geojson", "fgb": ".fgb", "parquet": ".parquet"}
"""Formats by name, with the suffix of their files."""

_DRIVERS = {"gpkg": "GPKG", "geojson": "GeoJSON", "fgb": "FlatGeobuf"}


def read_polygons(path: str | Path, *, crs: str | None) -> list[Json]:
    """The polygons of a vector file as GeoJSON geometries in a CRS.

    Args:
        path: Any vector file that GDAL reads; its first layer.
        crs: Target CRS; None takes the coordinates as they are (pixel coordinates).

    Raises:
        VectorError: The file is missing, unreadable, holds no polygon, or says no CRS where one is needed.
    """
    try:
        meta, _, geometries, _ = pyogrio.raw.read(path, columns=[])
    except (DataSourceError, DataLayerError, OSError, ValueError) as error:
        raise VectorError(f"the polygons {path} cannot be read: {str(error).splitlines()[0]}") from error
    shapes = shapely.from_wkb(np.array([g for g in geometries if g is not None], dtype=object))
    polygons = [shape for shape in np.atleast_1d(shapes) if shapely.get_dimensions(shape) == 2 and not shape.is_empty]
    if not polygons:
        raise VectorError(f"{path} holds no polygon", hint="an area of interest is made of polygons")
    found = [json_geometry(shape) for shape in polygons]
    if crs is None:
        return found
    if not meta["crs"]:
        raise VectorError(f"{path} says no CRS", hint="set it, for example with `ogr2ogr -a_srs EPSG:CODE`")
    return [transform_geom(meta["crs"], crs, shape) for shape in found]


def json_geometry(shape: shapely.Geometry) -> Json:
    """A geometry as a GeoJSON object."""
    return dict(shapely.geometry.mapping(shape))


def write_features(
    path: Path,
    geometries: Sequence[shapely.Geometry],
    columns: Mapping[str, npt.NDArray[Any]],
    *,
    file_format: str,
    crs: str | None,
    layer: str,
    style: bool = False,
) -> None:
    """Writes polygons with attributes; the file is whole or not there. No features give a valid empty layer.

    Args:
        path: Target; replaced if it exists.
        geometries: Polygons and MultiPolygons in ``crs``.
        columns: Attribute name to one value for each geometry; numpy's type decides the field's.
        file_format: A key of :data:`FORMATS`. GeoJSON is written in WGS84 by RFC 7946 whatever the CRS.
        crs: CRS of the coordinates; None for pixel coordinates.
        layer: Name of the layer.
        style: Put a QGIS style into a GeoPackage.

    Raises:
        OutputError: The disk is full or the folder cannot be written.
        MissingExtraError: GeoParquet without pyarrow.
    """
    if file_format not in FORMATS:
        raise InputError(f"there is no format {file_format!r}", hint=f"the formats are: {', '.join(FORMATS)}")
    multi = shapely.multipolygons  # one geometry type a layer, as every format wants it
    shapes = np.array([g if g.geom_type == "MultiPolygon" else multi([g]) for g in geometries], dtype=object)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        partial = folder / path.name
        if file_format == "parquet":
            _write_parquet(partial, shapes, columns, crs)
        else:
            _write_ogr(partial, shapes, columns, file_format, crs, layer)
        if style and file_format == "gpkg":
            add_style(partial, layer)
        os.replace(partial, path)  # noqa: PTH105 - Path.replace is the same call; os names what must be atomic
    except (OSError, DataSourceError, DataLayerError) as error:
        raise _cannot_write(path, error) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _cannot_write(path: Path, error: Exception) -> OutputError:
    return OutputError(
        f"{path} cannot be written: {error}", hint="is the disk full, or the folder read-only or a file?"
    )


def _write_ogr(
    path: Path,
    shapes: npt.NDArray[np.object_],
    columns: Mapping[str, npt.NDArray[Any]],
    file_format: str,
    crs: str | None,
    layer: str,
) -> None:
    options: dict[str, str] = {}
    if file_format == "geojson" and crs is not None:
        options = {"RFC7946": "YES", "COORDINATE_PRECISION": "7", "WRITE_NAME": "NO"}
    if file_format == "gpkg":
        options = {"GEOMETRY_NAME": "geom"}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="'crs' was not provided")  # pixel coordinates have none
        _write_layer(path, shapes, columns, file_format, crs, layer, options)


def _write_layer(
    path: Path,
    shapes: npt.NDArray[np.object_],
    columns: Mapping[str, npt.NDArray[Any]],
    file_format: str,
    crs: str | None,
    layer: str,
    options: dict[str, str],
) -> None:
    pyogrio.raw.write(
        path,
        geometry=shapely.to_wkb(shapes) if len(shapes) else np.array([], dtype=object),
        field_data=list(columns.values()),
        fields=list(columns),
        layer=layer,
        driver=_DRIVERS[file_format],
        geometry_type="MultiPolygon",
        crs=crs,
        layer_options=options,
    )


def _write_parquet(
    path: Path, shapes: npt.NDArray[np.object_], columns: Mapping[str, npt.NDArray[Any]], crs: str | None
) -> None:
    """GeoParquet 1.1 with WKB geometry; GDAL's Parquet driver is not in pyogrio's wheels."""
    import json

    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", extra="parquet", purpose="writing GeoParquet") from error
    from rasterio.crs import CRS

    column: Json = {"encoding": "WKB", "geometry_types": ["MultiPolygon"] if len(shapes) else []}
    column["crs"] = CRS.from_string(crs).to_dict(projjson=True) if crs is not None else None
    if len(shapes):
        column["bbox"] = [float(v) for v in shapely.total_bounds(shapes)]
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
    data = {
        name: arrow.array(values.tolist() if values.dtype == object else values) for name, values in columns.items()
    }
    data["geometry"] = arrow.array(shapely.to_wkb(shapes).tolist() if len(shapes) else [], type=arrow.binary())
    table = arrow.table(data).replace_schema_metadata({"geo": json.dumps(geo)})
    parquet.write_table(table, path, compression="zstd")
