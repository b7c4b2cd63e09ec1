"""Vector files: reading an area of interest, writing footprints. The only user of pyogrio."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import pyogrio
import pyogrio.raw
import shapely
from pyogrio.errors import DataLayerError, DataSourceError
from rasterio.crs import CRS
from rasterio.warp import transform_geom

from hanet.errors import InputError, MissingExtraError, VectorError
from hanet.files import writing
from hanet.imagery.addresses import bare_name, without_credentials
from hanet.imagery.grid import GDAL_ERRORS, crs_name
from hanet.imagery.qgis import add_style
from hanet.types import Json

FORMATS: dict[str, str] = {
    "gpkg": ".gpkg",
    "geojson": ".geojson",
    "fgb": ".fgb",
    "parquet": ".parquet",
}
"""Formats by name, with the suffix of their files."""

_DRIVERS = {"geojson": "GeoJSON", "fgb": "FlatGeobuf"}

_GEOPACKAGE_VERSION = "1.2"
"""Oldest one that holds all we write: GDAL's own, 1.4, makes QGIS of 2022 warn of a file that it
may not support."""


def read_polygons(path: str | Path, *, crs: str | None) -> list[Json]:
    """The polygons of a vector file as GeoJSON geometries in a CRS.

    Args:
        path: Any vector file that GDAL reads; its first layer that has geometry.
        crs: Target CRS; None takes the coordinates as they are (pixel coordinates).

    Raises:
        VectorError: The file is missing, unreadable, holds no polygon, or says no CRS where one is
            needed.
    """
    name = bare_name(str(path))
    try:
        # a GeoPackage that QGIS or we styled has a table of styles too
        layers = [layer for layer, kind in pyogrio.list_layers(path) if kind is not None]
        meta, _, geometries, _ = pyogrio.raw.read(
            path, layer=layers[0] if layers else None, columns=[]
        )
    except (DataSourceError, DataLayerError, OSError, ValueError) as error:
        reason = without_credentials(str(error)).splitlines()[0]
        raise VectorError(f"the polygons {name} cannot be read: {reason}") from error
    shapes = shapely.from_wkb(np.array([g for g in geometries if g is not None], dtype=object))
    polygons = [
        shape
        for shape in np.atleast_1d(shapes)
        if shapely.get_dimensions(shape) == 2 and not shape.is_empty
    ]
    if not polygons:
        raise VectorError(
            f"{name} holds no polygon", hint="an area of interest is made of polygons"
        )
    found = [json_geometry(shape) for shape in polygons]
    if crs is None:
        return found
    if not meta["crs"]:
        raise VectorError(
            f"{name} says no CRS", hint="set it, for example with `ogr2ogr -a_srs EPSG:CODE`"
        )
    try:
        return [transform_geom(meta["crs"], crs, shape) for shape in found]
    except GDAL_ERRORS as error:
        raise VectorError(
            f"the polygons {name} cannot be brought from {crs_name(meta['crs'])} to "
            f"{crs_name(crs)}: {error}",
            hint="their CRS is wrong, or their axes are swapped: x is the longitude",
        ) from error


def json_geometry(shape: shapely.Geometry) -> Json:
    """A geometry as a GeoJSON object."""
    return dict(shapely.geometry.mapping(shape))


class FeatureWriter:
    """Writes polygons with attributes in batches, in one format or several; files are whole or not
    there. Closed by ``with``.

    Features go into a GeoPackage in a folder ``.STEM.*`` beside the files as they come; other
    formats are made of it in streams at the end. Memory does not grow with them. No features give
    valid empty layers.

    Args:
        out: Folder; made if it is missing.
        stem: Name of the files without suffix.
        formats: Keys of :data:`FORMATS`. GeoJSON is written in WGS84 by RFC 7946 whatever the CRS.
        crs: CRS of the coordinates; None for pixel coordinates.
        layer: Name of the layer.
        fields: Attribute name to int, float or str.
        style: Put a QGIS style into the GeoPackage.

    Attributes:
        files: What was written, in the order of ``formats``.

    Raises:
        OutputError: The disk is full or the folder cannot be written.
        MissingExtraError: GeoParquet without pyarrow.
    """

    def __init__(
        self,
        out: Path,
        stem: str,
        formats: Sequence[str],
        *,
        crs: str | None,
        layer: str,
        fields: Mapping[str, type],
        style: bool = False,
    ) -> None:
        formats = tuple(dict.fromkeys(formats))
        for name in formats:
            if name not in FORMATS:
                raise InputError(
                    f"there is no format {name!r}", hint=f"the formats are: {', '.join(FORMATS)}"
                )
        if "parquet" in formats:
            _arrow()
        self.files = tuple(out / f"{stem}{FORMATS[name]}" for name in formats)
        self._formats, self._crs, self._layer, self._fields, self._style = (
            formats,
            crs,
            layer,
            fields,
            style,
        )
        with _writing(self.files[0]):
            out.mkdir(parents=True, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(prefix=f".{stem}.", dir=out))
        self._store = self._folder / f"{stem}.gpkg"
        self._has_layer = False

    def __enter__(self) -> FeatureWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._finish()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def write(
        self, geometries: Sequence[shapely.Geometry], columns: Mapping[str, Sequence[Any]]
    ) -> None:
        """Takes polygons and MultiPolygons with one value of each field for each of them."""
        shapes = np.empty(
            len(geometries), dtype=object
        )  # one geometry type a layer, as every format wants it
        for index, shape in enumerate(geometries):
            shapes[index] = (
                shape if shape.geom_type == "MultiPolygon" else shapely.multipolygons([shape])
            )
        kinds = {int: np.int64, float: np.float64, str: object}
        with _writing(self.files[0]), _pixel_coordinates():
            pyogrio.raw.write(
                self._store,
                geometry=shapely.to_wkb(shapes) if len(shapes) else np.array([], dtype=object),
                field_data=[
                    np.array(list(columns[name]), dtype=kinds[kind])
                    for name, kind in self._fields.items()
                ],
                fields=list(self._fields),
                layer=self._layer,
                driver="GPKG",
                geometry_type="MultiPolygon",
                crs=self._crs,
                append=self._has_layer,
                dataset_options={} if self._has_layer else {"VERSION": _GEOPACKAGE_VERSION},
                layer_options={} if self._has_layer else {"GEOMETRY_NAME": "geom"},
            )
        self._has_layer = True

    def _finish(self) -> None:
        if not self._has_layer:
            self.write([], {name: [] for name in self._fields})
        made = []
        for name, path in zip(self._formats, self.files, strict=True):
            partial = self._folder / path.name
            with _writing(path), _pixel_coordinates():
                if name == "parquet":
                    _write_parquet(self._store, partial, self._layer, self._crs)
                elif name != "gpkg":
                    _convert(self._store, partial, self._layer, name, self._crs)
            made.append((partial, path))
        if self._style and "gpkg" in self._formats:
            with _writing(self.files[self._formats.index("gpkg")]):
                add_style(self._store, self._layer)
        for partial, path in made:
            with _writing(path):
                partial.replace(path)


def _writing(path: Path) -> AbstractContextManager[None]:
    errors = (DataSourceError, DataLayerError, sqlite3.Error)
    return writing(
        path, engine_errors=errors, hint="is the disk full, or the folder read-only or a file?"
    )


@contextmanager
def _pixel_coordinates() -> Iterator[None]:
    """Pixel coordinates have no CRS; that is no reason for a warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="'crs' was not provided")
        yield


def _convert(store: Path, path: Path, layer: str, name: str, crs: str | None) -> None:
    """A layer in another format, in a stream from file to file."""
    options: dict[str, str] = {}
    if name == "geojson" and crs is not None:
        options = {"RFC7946": "YES", "COORDINATE_PRECISION": "7", "WRITE_NAME": "NO"}
    with pyogrio.raw.open_arrow(store, layer=layer, use_pyarrow=False) as (meta, stream):
        pyogrio.raw.write_arrow(
            stream,
            path,
            layer=layer,
            driver=_DRIVERS[name],
            geometry_name=meta["geometry_name"] or "wkb_geometry",
            geometry_type="MultiPolygon",
            crs=crs,
            layer_options=options,
        )


def _write_parquet(store: Path, path: Path, layer: str, crs: str | None) -> None:
    """GeoParquet 1.1 with WKB geometry, batch by batch; GDAL's Parquet driver is not in pyogrio's
    wheels."""
    arrow, parquet = _arrow()
    bounds: list[npt.NDArray[np.float64]] = []
    with pyogrio.raw.open_arrow(store, layer=layer, use_pyarrow=True) as (meta, reader):
        geometry = meta["geometry_name"] or "wkb_geometry"
        names = ["geometry" if name == geometry else name for name in reader.schema.names]
        types = [
            arrow.binary() if name == "geometry" else reader.schema.types[i]
            for i, name in enumerate(names)
        ]
        schema = arrow.schema(list(zip(names, types, strict=True)))
        with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
            for batch in reader:
                if not batch.num_rows:
                    continue
                writer.write_batch(
                    arrow.record_batch(
                        [c.cast(t) for c, t in zip(batch, types, strict=True)], schema
                    )
                )
                bounds.append(
                    shapely.total_bounds(
                        shapely.from_wkb(batch.column(names.index("geometry")).to_pylist())
                    )
                )
            column: Json = {"encoding": "WKB", "geometry_types": ["MultiPolygon"] if bounds else []}
            column["crs"] = CRS.from_string(crs).to_dict(projjson=True) if crs is not None else None
            if bounds:
                lows, highs = np.min(bounds, axis=0)[:2], np.max(bounds, axis=0)[2:]
                column["bbox"] = [*lows.tolist(), *highs.tolist()]
            geo = {
                "version": "1.1.0",
                "primary_column": "geometry",
                "columns": {"geometry": column},
            }
            writer.add_key_value_metadata({"geo": json.dumps(geo)})


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", extra="parquet", purpose="writing GeoParquet") from error
    return pyarrow, pyarrow.parquet
