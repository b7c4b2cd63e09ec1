"""``changes.qgz``: a result with both dates as a project for QGIS, to look through and to correct.

The project names its layers and holds none of their pixels. It is written without QGIS: XML in a
zip, checked with QGIS itself by ``tests/detection/test_qgis_project.py``.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, fromstring, tostring

from hanet.detection.qgis_layer import MapLayer, add_crs, child, image_layer, plain_text
from hanet.files import replace_file
from hanet.footprints.extraction import LAYER
from hanet.footprints.measures import field_types
from hanet.footprints.review_columns import KINDS, REVIEW_COLUMNS, STATUSES
from hanet.imagery.addresses import gdal_name
from hanet.imagery.grid import Grid, bounds_in, to_wgs84, wkt_of
from hanet.imagery.pair import RasterPair
from hanet.imagery.pixel_view import needs_pixel_view, pixel_view
from hanet.imagery.qgis import built_style, footprint_style, mask_style, probability_style
from hanet.imagery.raster_source import RasterSource

PROJECT = "changes.qgz"
"""Name of the project in a run folder."""

OLDEST_QGIS = "3.22.0"
"""The version that the project is written for. Newer ones bring it up to date without a word; an
older one would warn."""

READ_BY_QGIS = (".gpkg", ".fgb", ".geojson")
"""Footprint files that every build of QGIS reads, the best one first: GeoPackage has the columns to
fill in."""

ALIASES = {
    "id": "Number",
    "status": "Status",
    "kind": "Kind of change",
    "comment": "Comment",
    "area_m2": "Area (m²)",
    "area_px": "Area (pixels)",
    "perimeter_m": "Perimeter (m)",
    "perimeter_px": "Perimeter (pixels)",
    "compactness": "Compactness (1 is a circle)",
    "centroid_longitude": "Longitude of the centre (°)",
    "centroid_latitude": "Latitude of the centre (°)",
    "centroid_column": "Column of the centre",
    "centroid_row": "Row of the centre",
    "probability_mean": "Mean probability",
    "probability_max": "Highest probability",
    "built_probability": "Probability of built",
    "before_date": "Date before",
    "after_date": "Date after",
}
"""What QGIS shows in place of a column's name."""

THEMES = {
    "After": ("footprints", "after"),
    "Before": ("footprints", "before"),
    "Probability": ("footprints", "probability", "after"),
    "Mask": ("mask", "after"),
}
"""Map themes: which layers are shown, by name."""

NULL = "{2839923C-8B7D-419E-B84B-CA2FE9B80EC7}"
"""How a drop-down of QGIS spells NULL."""

WGS84_ELLIPSOID = "EPSG:7030"
"""On which areas and perimeters of footprints are measured; QGIS's own tools then agree."""


def write_project(
    out: Path,
    *,
    pair: RasterPair,
    footprints: Sequence[Path],
    dates: tuple[str | None, str | None],
    key: str,
    has_kinds: bool = False,
    into: Path | None = None,
) -> Path:
    """Writes the project of a run folder; the same run in the same place gives the same bytes.

    Results are named relative to the folder, and so are images on its disk, so that the project
    opens wherever the whole is moved. Remote images are named without what opens them to others. An
    image whose name XML cannot hold (control characters, bytes that are not UTF-8) is left out.

    Args:
        out: The run folder, with rasters and footprints.
        pair: The pair on the run's grid, open.
        footprints: The footprint files; the first that QGIS reads becomes the layer.
        dates: Of the before and after image, if known.
        key: Letters and digits that tell this run from others, so that layers of two projects can
            lie in one.
        has_kinds: Whether the footprints say what was built and what demolished, and ``built.tif``
            lies beside them.
        into: Folder that gets the file; the run folder if None.

    Raises:
        OutputError: It cannot be written.
    """
    path = (into or out) / PROJECT
    layers = _layers(
        out, pair=pair, footprints=footprints, dates=dates, key=key, has_kinds=has_kinds
    )
    names = [plain_text(source.short_name) for source in (pair.before, pair.after)]
    title = f"Changed buildings: {names[0]} → {names[1]}"
    replace_file(path, _zipped(_project(layers, title=title, grid=pair.grid)))
    return path


def _zipped(project: Element) -> bytes:
    """The project in a zip without a time of writing, as QGIS wants it."""
    document = b"<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
    document += tostring(project, encoding="utf-8")
    store = io.BytesIO()
    with zipfile.ZipFile(store, "w", zipfile.ZIP_DEFLATED) as archive:
        entry = zipfile.ZipInfo(Path(PROJECT).with_suffix(".qgs").name)  # dated 1980
        entry.external_attr, entry.compress_type = 0o644 << 16, zipfile.ZIP_DEFLATED
        archive.writestr(entry, document)
    return store.getvalue()


def _layers(
    out: Path,
    *,
    pair: RasterPair,
    footprints: Sequence[Path],
    dates: tuple[str | None, str | None],
    key: str,
    has_kinds: bool,
) -> list[MapLayer]:
    """From the top to the bottom of the map."""
    crs = pair.grid.crs
    found: list[MapLayer] = []
    by_suffix = {path.suffix: path.name for path in footprints}
    vector = next((by_suffix[suffix] for suffix in READ_BY_QGIS if suffix in by_suffix), None)
    if vector is not None:
        found.append(_footprint_layer(vector, pair.grid, key, has_kinds=has_kinds))
    rasters = [("mask", mask_style()), ("probability", probability_style())]
    rasters += [("built", built_style())] if has_kinds else []
    for name, style in rasters:
        element = Element("maplayer", type="raster")
        element.extend(fromstring(style).findall("pipe"))
        found.append(MapLayer(name, name, f"./{name}.tif", crs, element, key, is_shown=False))
    rules = (
        ("after", pair.after, pair.bands_after, pair.scaling.of_after, dates[1]),
        ("before", pair.before, pair.bands, pair.scaling, dates[0]),
    )
    for name, source, bands, scaling, date in rules:
        place = place_of(source, out)
        if place is not None:
            title = f"{name}{f' {date}' if date else ''}: {source.short_name}"
            element = image_layer(source, bands, scaling)
            found.append(MapLayer(name, title, place, source.grid.crs, element, key, is_image=True))
    return found


def place_of(source: RasterSource, folder: Path) -> str | None:
    """The name by which a project in a folder reaches a raster; None where XML cannot hold it,
    or the raster lay in memory."""
    if source.is_temporary:
        return None
    if not source.is_local:
        place = gdal_name(source.name)
    elif needs_pixel_view(source):
        place = pixel_view(source)
    else:
        place = _local_place(Path(source.path), folder)
    return place if plain_text(place) == place else None


def _local_place(path: Path, folder: Path) -> str:
    """Relative to the folder where the way leads there by its letters too: QGIS follows ``..`` in
    names, the disk in folders, and behind links the two differ."""
    home = Path(os.path.normpath(folder.absolute()))
    with suppress(OSError, ValueError):  # another drive of Windows
        relative = os.path.relpath(path, home)
        if home == home.resolve() and path.samefile(os.path.normpath(home / relative)):
            spelled = relative.replace(os.sep, "/")
            return spelled if spelled.startswith("../") else f"./{spelled}"
    return str(path.resolve())


def _footprint_layer(name: str, grid: Grid, key: str, *, has_kinds: bool) -> MapLayer:
    """Footprints coloured by kind where they say it, else by probability, with the form."""
    is_store = name.endswith(".gpkg")
    fields, crs = list(field_types(grid, has_kinds=has_kinds)), grid.crs
    if is_store and has_kinds:
        fields.remove("kind")  # stands among what a person fills in
    to_fill_in = list(REVIEW_COLUMNS) if is_store else []
    layer = Element(
        "maplayer",
        {"type": "vector", "geometry": "Polygon", "wkbType": "MultiPolygon", "labelsEnabled": "0"},
    )
    layer.extend(fromstring(footprint_style(has_kinds=has_kinds)).findall("renderer-v2"))
    configuration = SubElement(layer, "fieldConfiguration")
    if is_store:
        named = dict.fromkeys((*KINDS, *(("unclear",) if has_kinds else ())))
        kinds = {"(not given)": NULL} | {kind: kind for kind in named}
        _drop_down(configuration, "status", {status: status for status in STATUSES})
        _drop_down(configuration, "kind", kinds)
        _widget(configuration, "comment", "TextEdit", {"IsMultiline": True, "UseHtml": False})
    aliases, editable = SubElement(layer, "aliases"), SubElement(layer, "editable")
    for field in (*to_fill_in, *fields):
        SubElement(aliases, "alias", field=field, name=ALIASES[field])
        SubElement(editable, "field", name=field, editable=str(int(field in to_fill_in)))
    if is_store:  # whoever draws a footprint has looked at it
        SubElement(
            SubElement(layer, "defaults"),
            "default",
            field="status",
            expression="'accepted'",
            applyOnUpdate="0",
        )
    child(layer, "editorlayout", "tablayout")
    form = SubElement(layer, "attributeEditorForm")
    for title, group in (("Review", to_fill_in), ("Measured", fields)):
        if group:
            box = SubElement(
                form, "attributeEditorContainer", name=title, groupBox="1", columnCount="1"
            )
            for field in group:
                SubElement(box, "attributeEditorField", name=field, showLabel="1")
    area, unit = ("area_m2", "m²") if grid.has_metres else ("area_px", "px²")
    number = "coalesce('#' || \"id\", 'drawn')"
    size = f"coalesce(', ' || format_number(\"{area}\", 0) || ' {unit}', '')"
    child(layer, "previewExpression", f"{number} || {size}")
    child(layer, "mapTip", _map_tip(number + " || " + size, has_columns=is_store))
    place = f"./{name}|layername={LAYER}" if is_store else f"./{name}"
    # GeoJSON is in longitude and latitude whatever the grid
    own_crs = wkt_of("EPSG:4326") if crs is not None and name.endswith(".geojson") else crs
    return MapLayer("footprints", "footprints", place, own_crs, layer, key)


def _map_tip(title: str, *, has_columns: bool) -> str:
    """What hovers over a footprint: HTML with expressions."""
    lines = [f"<b>[% {title} %]</b>", 'probability [% format_number("probability_mean", 2) %]']
    if has_columns:
        lines.append("[% \"status\" || coalesce(', ' || \"kind\", '') %]")
        lines.append("[% replace(coalesce(\"comment\", ''), map('&', '&amp;', '<', '&lt;')) %]")
    return "<br>".join(lines)


def _drop_down(parent: Element, field: str, choices: dict[str, str]) -> None:
    options = _widget(parent, field, "ValueMap", {})
    listed = SubElement(options, "Option", type="List", name="map")
    for label, value in choices.items():
        entry = SubElement(listed, "Option", type="Map")
        SubElement(entry, "Option", type="QString", name=label, value=value)


def _widget(parent: Element, field: str, kind: str, options: dict[str, bool]) -> Element:
    """How a column is edited; the element that holds the widget's options."""
    entry = SubElement(parent, "field", name=field, configurationFlags="None")
    config = SubElement(SubElement(entry, "editWidget", type=kind), "config")
    holder = SubElement(config, "Option", type="Map")
    for name, value in options.items():
        SubElement(holder, "Option", type="bool", name=name, value=str(value).lower())
    return holder


def map_crs(grid: Grid) -> str | None:
    """What the map is drawn in: the grid's CRS, but UTM for degrees, in which houses are askew."""
    if grid.crs is None or not grid.is_in_degrees:
        return grid.crs
    left, bottom, right, top = grid.bounds
    longitudes, latitudes = to_wgs84(grid.crs, [(left + right) / 2], [(bottom + top) / 2])
    zone = int((longitudes[0] + 180) // 6) % 60 + 1
    is_in_utm = -80 <= latitudes[0] <= 84
    return wkt_of(f"EPSG:{32600 + zone + 100 * (latitudes[0] < 0)}") if is_in_utm else grid.crs


def _project(layers: Sequence[MapLayer], *, title: str, grid: Grid) -> Element:
    crs = map_crs(grid)
    bounds = grid.bounds
    if grid.crs is not None and crs is not None and crs != grid.crs:
        bounds = bounds_in(bounds, grid.crs, crs)
    extent = dict(zip(("xmin", "ymin", "xmax", "ymax"), map(repr, bounds), strict=True))
    project = Element("qgis", version=OLDEST_QGIS, projectname=title)
    SubElement(project, "homePath", path="")
    child(project, "title", title)
    add_crs(SubElement(project, "projectCrs"), crs)
    tree = SubElement(project, "layer-tree-group")
    for name, is_image in (("Changes", False), ("Images", True)):
        group = SubElement(tree, "layer-tree-group", name=name, expanded="1", checked="Qt::Checked")
        for layer in layers:
            if layer.is_image == is_image:
                layer.add_to_tree(group)
    canvas = SubElement(project, "mapcanvas", name="theMapCanvas", annotationsVisible="1")
    seen = SubElement(canvas, "extent")
    for name, value in extent.items():
        child(seen, name, value)
    child(canvas, "rotation", "0")
    add_crs(SubElement(canvas, "destinationsrs"), crs)
    held = SubElement(project, "projectlayers")
    order = SubElement(project, "layerorder")
    for layer in layers:
        held.append(layer.element())
        SubElement(order, "layer", id=layer.id)
    themes = SubElement(project, "visibility-presets")
    for theme, shown in THEMES.items():
        preset = SubElement(themes, "visibility-preset", name=theme)
        for layer in layers:
            if layer.name in shown:
                SubElement(preset, "layer", id=layer.id, visible="1", style="default")
    _add_properties(project, has_crs=grid.crs is not None)
    view = SubElement(project, "ProjectViewSettings", UseProjectScales="0")
    add_crs(SubElement(view, "DefaultViewExtent", extent), crs)
    return project


def _add_properties(project: Element, *, has_crs: bool) -> None:
    properties = SubElement(project, "properties")
    values = (
        ("Paths", "Absolute", "bool", "false"),
        ("SpatialRefSys", "ProjectionsEnabled", "int", str(int(has_crs))),
        ("Measure", "Ellipsoid", "QString", WGS84_ELLIPSOID if has_crs else "NONE"),
        ("Measurement", "DistanceUnits", "QString", "meters" if has_crs else "unknown"),
        ("Measurement", "AreaUnits", "QString", "m2" if has_crs else "unknown"),
    )
    for scope, name, kind, text in values:
        holder = properties.find(scope)
        holder = SubElement(properties, scope) if holder is None else holder
        child(holder, name, text).set("type", kind)
