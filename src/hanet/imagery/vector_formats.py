"""A layer of a GeoPackage as a file of another format. With :mod:`hanet.imagery.vectors` the only
place that reads and writes by pyogrio."""

from __future__ import annotations

import csv
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyogrio.raw
import shapely
from rasterio.crs import CRS

from hanet.errors import InputError, SettingsError, importing
from hanet.files import table_cell
from hanet.imagery.grid import to_wgs84
from hanet.imagery.libraries import check_drivers
from hanet.imagery.silence import silence
from hanet.types import Json

FORMATS: dict[str, str] = {
    "gpkg": ".gpkg",
    "geojson": ".geojson",
    "fgb": ".fgb",
    "parquet": ".parquet",
}
"""Formats by name, with the suffix of their files."""

MORE_FORMATS: dict[str, str] = {"shp": ".shp", "kml": ".kml", "csv": ".csv"}
"""Formats that cannot hold all that footprints are, for those who must have them."""

SIDECARS: dict[str, tuple[str, ...]] = {"shp": (".shx", ".dbf", ".prj", ".cpg")}
"""Files that belong to the one of a format's suffix."""

LONGEST_NAME, LONGEST_TEXT_BYTES = 10, 254
"""What the table of a Shapefile takes (dBASE)."""

BATCH = 10_000
"""Features that are held at once."""

StoredFeatures: TypeAlias = tuple[npt.NDArray[np.object_], dict[str, npt.NDArray[Any]]]
"""Outlines as WKB, and the values of each attribute."""

_DRIVERS = {
    "gpkg": "GPKG",
    "geojson": "GeoJSON",
    "fgb": "FlatGeobuf",
    "kml": "KML",
    "shp": "ESRI Shapefile",
}
"""GDAL's drivers by format; GeoParquet and CSV are written without one."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer that is to be written in another format.

    Args:
        store: The GeoPackage that holds it.
        name: Its name there.
        crs: CRS of its coordinates; None for pixel coordinates.
        fields: Attribute name to int, float or str.
        short_names: Names of fields that are too long for a Shapefile, in it.
    """

    store: Path
    name: str
    crs: str | None
    fields: Mapping[str, type]
    short_names: Mapping[str, str]


def check_names(names: Sequence[str], known: Mapping[str, str]) -> None:
    """Does nothing for names of formats, at least one.

    Args:
        names: Formats.
        known: Those that may be chosen, by name.

    Raises:
        SettingsError: There is none of a name, or no name.
    """
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise SettingsError(
            f"there is no format {', '.join(map(repr, unknown))}"
            if unknown
            else "no format is given",
            hint=f"the formats are: {', '.join(known)}",
        )


def check_formats(names: Sequence[str], known: Mapping[str, str]) -> None:
    """Does nothing for formats that can be written here, whatever is written; to be asked before
    the work.

    Args:
        names: Formats.
        known: Those that may be chosen, by name.

    Raises:
        SettingsError: There is none of a name, or no name.
        OutputError: GDAL lacks a driver.
        MissingExtraError: GeoParquet without pyarrow.
    """
    check_names(names, known)
    if "parquet" in names:
        _arrow()
    # every format is made of a GeoPackage
    check_drivers(vectors=[_DRIVERS[name] for name in ("gpkg", *names) if name in _DRIVERS])


def check_crs(name: str, crs: str | None) -> None:
    """Does nothing for a format that takes these coordinates.

    Raises:
        InputError: It cannot hold pixel coordinates.
    """
    if name == "kml" and crs is None:
        raise InputError(
            "KML holds longitudes and latitudes, and this result has no CRS",
            hint="choose another format, or georeference the pair",
        )


def write_as(name: str, layer: Layer, path: Path) -> tuple[str, ...]:
    """Writes a layer in a format that is not GeoPackage.

    Returns:
        What the format could not hold, in words.
    """
    if name == "parquet":
        _write_parquet(layer, path)
    elif name == "shp":
        return _write_shapefile(layer, path)
    elif name == "csv":
        _write_csv(layer, path)
    else:
        _convert(layer, path, name)
    return ("KML is in longitude and latitude (WGS84)",) if name == "kml" else ()


@contextmanager
def pixel_coordinates() -> Iterator[None]:
    """Neither pixel coordinates, which have no CRS, nor a name of a file that OGR finds unusual are
    a reason for a warning."""
    silence()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="'crs' was not provided")
        warnings.filterwarnings("ignore", category=RuntimeWarning)
        yield


def _convert(layer: Layer, path: Path, name: str) -> None:
    """A layer in another format, in a stream from file to file."""
    options: dict[str, str] = {}
    if name == "geojson" and layer.crs is not None:
        options = {"RFC7946": "YES", "COORDINATE_PRECISION": "7", "WRITE_NAME": "NO"}
    with pyogrio.raw.open_arrow(layer.store, layer=layer.name, use_pyarrow=False) as (meta, stream):
        pyogrio.raw.write_arrow(
            stream,
            path,
            layer=layer.name,
            driver=_DRIVERS[name],
            geometry_name=meta["geometry_name"] or "wkb_geometry",
            geometry_type="MultiPolygon",
            crs=layer.crs,
            dataset_options={"NameField": next(iter(layer.fields))} if name == "kml" else {},
            layer_options=options,
        )


def feature_batches(path: Path, layer: str | None = None) -> Iterator[StoredFeatures]:
    """WKB and columns of a layer in any of :data:`FORMATS`, batch by batch; one empty batch of an
    empty layer.

    Args:
        path: The file.
        layer: Its layer; the only one if None.
    """
    if path.suffix == FORMATS["parquet"]:
        yield from _parquet_batches(path)
        return
    start = 0
    while True:
        meta, _, shapes, columns = pyogrio.raw.read(
            path, layer=layer, skip_features=start, max_features=BATCH, force_2d=True
        )
        if start and not len(shapes):
            return
        yield shapes, dict(zip(meta["fields"].tolist(), columns, strict=True))
        start += len(shapes)
        if len(shapes) < BATCH:
            return


def stored_crs(path: Path) -> str | None:
    """CRS of the layer in a file of any of :data:`FORMATS`; None where it states none. GeoJSON
    cannot: it is taken for WGS84."""
    if path.suffix == FORMATS["parquet"]:
        _, parquet = _arrow()
        geo = json.loads(parquet.read_metadata(path).metadata[b"geo"])
        crs = geo["columns"][geo["primary_column"]]["crs"]
        return None if crs is None else str(CRS.from_string(json.dumps(crs)).to_wkt())
    found: str | None = pyogrio.read_info(path)["crs"]
    return found


def _write_shapefile(layer: Layer, path: Path) -> tuple[str, ...]:
    """A Shapefile in UTF-8: names and texts are cut to what its table takes."""
    names = {name: layer.short_names.get(name, name[:LONGEST_NAME]) for name in layer.fields}
    cut = 0
    for number, (shapes, columns) in enumerate(feature_batches(layer.store, layer.name)):
        values = []
        for name, kind in layer.fields.items():
            column = columns[name]
            if kind is str:
                short = [None if text is None else _cut(text) for text in column]
                cut += sum(a != b for a, b in zip(short, column, strict=True))
                column = np.array(short, dtype=object)
            values.append(column)
        pyogrio.raw.write(
            path,
            geometry=shapes,
            field_data=values,
            fields=list(names.values()),
            layer=path.stem,
            driver=_DRIVERS["shp"],
            geometry_type="MultiPolygon",
            crs=layer.crs,
            encoding="UTF-8",
            append=number > 0,
            layer_options={} if number else {"DBF_DATE_LAST_UPDATE": "1970-01-01"},
        )
    notes = []
    renamed = [f"{name} is {short}" for name, short in names.items() if name != short]
    if renamed:
        notes.append(f"a Shapefile takes names of ten letters: {', '.join(renamed)}")
    if cut:
        notes.append(
            f"a Shapefile takes texts of {LONGEST_TEXT_BYTES} bytes: {cut} longer ones are cut"
        )
    return tuple(notes)


def _cut(text: str) -> str:
    """The text as far as a dBASE field takes it, without half a character at its end."""
    return text.encode()[:LONGEST_TEXT_BYTES].decode(errors="ignore")


def _write_csv(layer: Layer, path: Path) -> None:
    """A table with the centroid and the outline as WKT; cells that a spreadsheet would run as
    formulas are made texts."""
    is_map = layer.crs is not None
    centre = ("centroid_longitude", "centroid_latitude") if is_map else ("centroid_x", "centroid_y")
    # some millimetres on the ground
    digits = 8 if layer.crs is not None and CRS.from_string(layer.crs).is_geographic else 3
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*layer.fields, *centre, "wkt"])
        for shapes, columns in feature_batches(layer.store, layer.name):
            outlines = shapely.from_wkb(shapes)
            points = shapely.get_coordinates(shapely.centroid(outlines))
            x, y = points[:, 0].tolist(), points[:, 1].tolist()
            if layer.crs is not None and len(points):
                x, y = to_wgs84(layer.crs, x, y)
            texts = shapely.to_wkt(outlines, rounding_precision=digits).tolist()
            rows = zip(*(columns[name].tolist() for name in layer.fields), x, y, texts, strict=True)
            for row in rows:
                writer.writerow([_cell(value) for value in row])


def _cell(value: object) -> object:
    if isinstance(value, str):
        return table_cell(value)
    if isinstance(value, float):
        return "" if np.isnan(value) else round(value, 8)
    return value


def _write_parquet(layer: Layer, path: Path) -> None:
    """GeoParquet 1.1 with WKB geometry, batch by batch; GDAL's Parquet driver is not in pyogrio's
    wheels."""
    arrow, parquet = _arrow()
    bounds: list[npt.NDArray[np.float64]] = []
    with pyogrio.raw.open_arrow(layer.store, layer=layer.name, use_pyarrow=True) as (meta, reader):
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
            column["crs"] = (
                CRS.from_string(layer.crs).to_dict(projjson=True) if layer.crs is not None else None
            )
            if bounds:
                lows, highs = np.min(bounds, axis=0)[:2], np.max(bounds, axis=0)[2:]
                column["bbox"] = [*lows.tolist(), *highs.tolist()]
            geo = {
                "version": "1.1.0",
                "primary_column": "geometry",
                "columns": {"geometry": column},
            }
            writer.add_key_value_metadata({"geo": json.dumps(geo)})


def _parquet_batches(path: Path) -> Iterator[StoredFeatures]:
    _, parquet = _arrow()
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(BATCH):
            columns = {
                name: np.array(batch.column(name).to_pylist(), dtype=object)
                for name in batch.schema.names
            }
            yield columns.pop("geometry"), columns


def _arrow() -> tuple[Any, Any]:
    with importing("pyarrow", extra="parquet", purpose="writing GeoParquet"):
        import pyarrow
        import pyarrow.parquet
    return pyarrow, pyarrow.parquet
