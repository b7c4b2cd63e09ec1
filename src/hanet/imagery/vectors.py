"""Vector files: reading an area of interest, writing footprints. With
:mod:`hanet.imagery.vector_formats` the only user of pyogrio."""

from __future__ import annotations

import os
import re
import sqlite3
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import pyogrio
import pyogrio.raw
import shapely
from pyogrio.errors import DataLayerError, DataSourceError
from rasterio.warp import transform_geom

from hanet.errors import HanetError, VectorError
from hanet.files import writing
from hanet.imagery.addresses import bare_name, lies_here, with_slashes
from hanet.imagery.gdal import first_line, one_line, patience, reason_of
from hanet.imagery.grid import GDAL_ERRORS, crs_name
from hanet.imagery.polygons import is_usable, untangled
from hanet.imagery.qgis import add_columns
from hanet.imagery.raster_checks import names_service, service_name
from hanet.imagery.silence import silence
from hanet.imagery.vector_formats import (
    FORMATS,
    MORE_FORMATS,
    SIDECARS,
    Layer,
    StoredFeatures,
    check_crs,
    check_formats,
    feature_batches,
    pixel_coordinates,
    stored_crs,
    write_as,
)
from hanet.types import Json
from hanet.work_folder import WorkFolder, move_into_place

STAMP = "1970-01-01T00:00:00.000Z"
"""When a GeoPackage says that it was changed last: the same inputs give the same bytes, whenever a
run ends and however often it was interrupted. ``run.json`` says when it began."""

_GEOPACKAGE_VERSION = "1.2"
"""Oldest one that holds all we write: GDAL's own, 1.4, makes QGIS of 2022 warn of a file that it
may not support."""


LAYER = "|layername="
"""Parts the name of a file from that of a layer in it, as QGIS writes it."""


class Features(NamedTuple):
    """What :func:`read_features` found, one entry a feature."""

    shapes: list[shapely.Geometry | None]
    """As they are stored, in the file's CRS."""
    columns: dict[str, list[Any]]
    """Attributes by name; what is not set is None."""
    crs: str | None
    """CRS of the file; None where it states none."""
    notes: tuple[str, ...]
    """What was passed over, in words."""


class Polygons(NamedTuple):
    """What :func:`read_polygons` found."""

    shapes: list[Json]
    """GeoJSON geometries."""
    notes: tuple[str, ...]
    """What was passed over, in words."""


def read_polygons(path: str | Path, *, crs: str | None) -> Polygons:
    """The polygons of a vector file as GeoJSON geometries in a CRS.

    Args:
        path: Any vector file that GDAL reads, or ``FILE|layername=NAME``. Of several layers without
            a name the first one that is made of polygons counts, and a note says so.
        crs: Target CRS; None takes the coordinates as they are (pixel coordinates).

    Raises:
        VectorError: The file is missing, unreadable, holds no polygon that can be used, or says no
            CRS where one is needed.
    """
    place, wanted, name = _named(path)
    with _ogr(name) as said:
        layer, notes = _layer(place, wanted, name)
        meta, _, geometries, _ = pyogrio.raw.read(
            _untouched(place), layer=layer, columns=[], force_2d=True
        )
        stored = np.array([g for g in geometries if g is not None], dtype=object)
        shapes = np.atleast_1d(shapely.from_wkb(stored, on_invalid="fix"))
    drawn = [untangled(shape) for shape in shapes]
    polygons = [shape for shape, _ in drawn if is_usable(shape)]
    because = f" ({said[0]})" if said else ""
    if not polygons:
        raise VectorError(
            f"{name} holds no polygon that can be used{because}",
            hint="an area of interest is made of polygons",
        )
    if left_out := len(geometries) - len(polygons):
        notes += (
            f"{left_out} of {len(geometries)} geometries of {name} are no polygon that can be used "
            f"and are left out{because}",
        )
    if crossing := [why for shape, why in drawn if why and is_usable(shape)]:
        notes += (
            f"{len(crossing)} of {len(geometries)} polygons of {name} are not valid "
            f"({crossing[0]}): the ground that their lines enclose is taken",
        )
    found = [json_geometry(shape) for shape in polygons]
    if crs is None:
        return Polygons(found, notes)
    if not meta["crs"]:
        raise VectorError(
            f"{name} states no CRS{because}",
            hint="set it, for example with `ogr2ogr -a_srs EPSG:CODE`",
        )
    return Polygons([_brought(shape, meta["crs"], crs, name) for shape in found], notes)


def read_features(path: str | Path) -> Features:
    """All features of a layer of polygons with their attributes.

    Args:
        path: As for :func:`read_polygons`.

    Raises:
        VectorError: The file is missing, unreadable, or has no layer of polygons.
    """
    place, wanted, name = _named(path)
    with _ogr(name):
        layer, notes = _layer(place, wanted, name)
        meta, _, geometries, values = pyogrio.raw.read(
            _untouched(place), layer=layer, force_2d=True
        )
        shapes = [None if wkb is None else shapely.from_wkb(wkb) for wkb in geometries]
        columns = {
            field: [_plain(value) for value in column.tolist()]
            for field, column in zip(meta["fields"].tolist(), values, strict=True)
        }
    return Features(shapes, columns, meta["crs"] or None, notes)


def footprint_batches(path: Path) -> Iterator[StoredFeatures]:
    """A layer that a :class:`FeatureWriter` has written, some thousand features at once, as WKB and
    columns.

    Raises:
        VectorError: The file is missing or cannot be read.
        MissingExtraError: It is GeoParquet, and pyarrow is not installed.
    """
    batches = feature_batches(path)
    while True:
        with _ogr(path.name):  # not while the caller has the turn
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


def footprint_crs(path: Path) -> str | None:
    """CRS of a layer that a :class:`FeatureWriter` has written; see
    :func:`hanet.imagery.vector_formats.stored_crs`."""
    with _ogr(path.name):
        return stored_crs(path)


def _named(path: str | Path) -> tuple[str, str, str]:
    """What OGR opens, the layer that is asked for, and the name to be shown.

    Raises:
        VectorError: It leads to a service or a database, or to what is only written.
    """
    place, _, wanted = str(path).partition(LAYER)
    place = with_slashes(place)
    name = bare_name(place)
    if names_service(place):
        raise VectorError(
            f"{service_name(place)} is a service or a database; polygons are read from files",
            hint="save the area as GeoPackage, for example with `ogr2ogr`, and give that",
        )
    if place.lower().endswith(FORMATS["parquet"]):
        raise VectorError(
            f"{name} is GeoParquet, which hanet writes and does not read",
            hint="save it as GeoPackage",
        )
    return place, wanted, name


def _plain(value: object) -> object:
    """The value; None for NaN, by which pyogrio says that a number is not set."""
    return None if isinstance(value, float) and value != value else value


def _untouched(place: str) -> str:
    """The name by which a file is opened so that OGR leaves its folder as it is: of GML without a
    schema it writes one beside it (``.gfs``), unless it cannot write there."""
    path = Path(place)
    if not lies_here(place) or not path.is_file():
        return place
    if any(path.with_suffix(suffix).exists() for suffix in (".gfs", ".xsd")):
        return place
    with path.open("rb") as file:
        is_gml = re.search(rb"opengis\.net/(gml|wfs)", file.read(4096)) is not None
    return f"/vsisubfile/0_0,{path.absolute()}" if is_gml else place


def _layer(place: str, wanted: str, name: str) -> tuple[str | None, tuple[str, ...]]:
    """The layer to read, and a remark about the others."""
    # a GeoPackage that QGIS styled has a table of styles too, without geometry
    layers = pyogrio.list_layers(_untouched(place)).tolist()
    kinds = {str(layer): str(kind) for layer, kind in layers if kind}
    if layers and not kinds:
        raise VectorError(
            f"{name} is a table without geometry",
            hint="give a file of polygons; a CSV file needs a column WKT",
        )
    if wanted:
        if wanted not in kinds:
            raise VectorError(
                f"{name} has no layer {wanted!r} with geometry",
                hint=f"its layers are: {one_line(', '.join(kinds)) or 'none'}",
            )
        return wanted, ()
    polygonal = [layer for layer, kind in kinds.items() if _POLYGONAL.search(kind)]
    usable = polygonal or [layer for layer, kind in kinds.items() if _ANY_KIND.search(kind)]
    if not usable:
        if kinds:
            found = ", ".join(sorted(set(kinds.values())))
            raise VectorError(
                f"{name} holds no polygon: its layers are of {found}",
                hint="an area of interest is made of polygons",
            )
        return None, ()
    if len(usable) == 1:
        return usable[0], ()
    others = ", ".join(usable[1:])
    note = (
        f"{name} has {len(usable)} layers of polygons; {usable[0]} is taken, not {others} "
        f"(FILE{LAYER}NAME chooses another)"
    )
    return usable[0], (one_line(note),)


_POLYGONAL = re.compile("polygon|surface|triangle|tin", re.IGNORECASE)
_ANY_KIND = re.compile("unknown|collection", re.IGNORECASE)


def _brought(shape: Json, source: str, target: str, name: str) -> Json:
    """A geometry in another CRS."""
    reason = "its coordinates have no place there"
    try:
        moved: Json = transform_geom(source, target, shape)
        if np.isfinite(shapely.geometry.shape(moved).bounds).all():
            return moved
    except GDAL_ERRORS as error:
        if "partial" not in str(error):  # GDAL advises a setting of its own
            reason = first_line(error)
    try:
        known = crs_name(source)
    except GDAL_ERRORS:
        known = "their CRS"
    raise VectorError(
        f"the polygons {name} cannot be brought from {known} to {crs_name(target)}: {reason}",
        hint="their CRS is wrong, or their axes are swapped: x is the longitude",
    )


@contextmanager
def _ogr(name: str) -> Iterator[list[str]]:
    """What OGR says while a vector file is read: errors become a VectorError, warnings lines of the
    list."""
    silence()
    said: list[str] = []
    unset = {k: v for k, v in patience().items() if pyogrio.get_gdal_config_option(k) is None}
    pyogrio.set_gdal_config_options(unset)
    try:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            try:
                yield said
            except HanetError:
                raise
            # of damaged files it also lets IndexError, UnicodeError, GEOSException ... through
            except Exception as error:
                is_known = isinstance(error, (RuntimeError, OSError, shapely.errors.ShapelyError))
                reason = reason_of(error, name) if is_known else "it is damaged"
                raise VectorError(
                    f"the polygons {name} cannot be read: {reason}",
                    hint="check the path"
                    if reason.startswith("No such file")
                    else "`ogrinfo` tells more; GeoPackage, GeoJSON, Shapefile ... are read",
                ) from error
            finally:
                lines = (one_line(str(warning.message)) for warning in heard)
                said += dict.fromkeys(line for line in lines if not line.startswith("GFS file"))
    finally:
        pyogrio.set_gdal_config_options(dict.fromkeys(unset))


def json_geometry(shape: shapely.Geometry) -> Json:
    """A geometry as a GeoJSON object."""
    return dict(shapely.geometry.mapping(shape))


class FeatureWriter:
    """Writes polygons with attributes in batches, in one format or several; files are whole or not
    there. Closed by ``with``.

    Features go into a GeoPackage in a hidden folder as they come; other formats are made of it in
    streams at the end. Memory does not grow with them. No features give valid empty layers. The
    same features give the same bytes.

    Args:
        out: Folder; made if it is missing.
        stem: Name of the files without suffix.
        formats: Keys of :data:`FORMATS` or :data:`MORE_FORMATS`. GeoJSON and KML are written in
            WGS84 whatever the CRS, GeoJSON by RFC 7946.
        crs: CRS of the coordinates; None for pixel coordinates.
        layer: Name of the layer.
        fields: Attribute name to int, float or str.
        style: QML that QGIS applies to what it opens by the name of these files: ``STEM.qml``. One
            that lies there already stays.
        to_fill_in: Text columns that the GeoPackage alone has beyond ``fields``, for people to
            write to: name to what every feature holds at first.
        short_names: Names in a Shapefile, of at most ten letters, of fields that have more.
        building: Empty folder on the same disk in which the files are made; where None,
            ``.STEM.hanet`` in ``out``, under a lock.

    Attributes:
        files: What was written, in the order of ``formats``.
        notes: What a format could not hold, in words; known at the end.

    Raises:
        InputError: There is no such format, or it does not take this layer.
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
        style: str | None = None,
        to_fill_in: Mapping[str, str | None] | None = None,
        short_names: Mapping[str, str] | None = None,
        building: Path | None = None,
    ) -> None:
        formats = tuple(dict.fromkeys(formats))
        suffixes = {**FORMATS, **MORE_FORMATS}
        check_formats(formats, suffixes)
        for name in formats:
            check_crs(name, crs)
        self.files = tuple(out / f"{stem}{suffixes[name]}" for name in formats)
        self.notes: tuple[str, ...] = ()
        self._suffixes, self._short = suffixes, dict(short_names or {})
        self._formats, self._crs, self._layer, self._fields = formats, crs, layer, fields
        self._style, self._to_fill_in = style, dict(to_fill_in or {})
        self._open = ExitStack()
        if building is None:
            busy = f"{out / stem}.* are being written by another process"
            building = self._open.enter_context(
                WorkFolder(out / f".{stem}.hanet", busy=busy)
            ).building
        with _writing(self.files[0]):
            self._folder = self._open.enter_context(_plainly_named(building))
        # a name of our own: of some stems (quotes, semicolons) GDAL makes another file
        self._store = self._folder / "features.gpkg"
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
            self._open.close()

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
        with _writing(self.files[0]), pixel_coordinates(), _stamped():
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
            partial = self._folder / f"features{self._suffixes[name]}"
            if name != "gpkg":
                layer = Layer(self._store, self._layer, self._crs, self._fields, self._short)
                with _writing(path), pixel_coordinates(), _stamped():
                    self.notes += write_as(name, layer, partial)
            made += [
                (partial.with_suffix(suffix), path.with_name(f"{path.stem}{suffix}"))
                for suffix in SIDECARS.get(name, ())
                if partial.with_suffix(suffix).exists()
            ]
            made.append((partial, path))
        if "gpkg" in self._formats:
            with _writing(self.files[self._formats.index("gpkg")]):
                add_columns(self._store, self._layer, self._to_fill_in)
        style = self.files[0].with_name(f"{self.files[0].stem}.qml")
        if self._style is not None and not (style.exists() or style.is_symlink()):
            with _writing(style):
                (self._folder / "features.qml").write_text(self._style, encoding="utf-8")
            made.append((self._folder / "features.qml", style))
        for partial, path in made:
            move_into_place(partial, path)


def _writing(path: Path) -> AbstractContextManager[None]:
    errors = (DataSourceError, DataLayerError, sqlite3.Error, UnicodeError)
    return writing(
        path, engine_errors=errors, hint="is the disk full, or the folder read-only or a file?"
    )


@contextmanager
def _plainly_named(folder: Path) -> Iterator[Path]:
    """A folder under a name that pyogrio hands to GDAL as it is: what follows ``!`` it takes for a
    part of an archive, and it drops what follows ``;``."""
    folder = folder.resolve()
    if not {"!", ";"} & set(str(folder)):
        yield folder
        return
    with ExitStack() as stack:
        if Path("/proc/self/fd").is_dir():  # leaves nothing behind, however the process ends
            descriptor = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            yield Path(f"/proc/self/fd/{descriptor}")
        else:  # pragma: no cover - the tests run on Linux
            link = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "building"
            link.symlink_to(folder, target_is_directory=True)
            yield link


@contextmanager
def _stamped() -> Iterator[None]:
    """GeoPackages have :data:`STAMP` in place of the time of writing."""
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": STAMP})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})
