"""What QGIS finds in our files: footprints coloured by probability and columns to fill in (in the
GeoPackage), a ramp for the probability raster and a colour for the mask (.qml files)."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

CLASSES = (
    (0.0, 0.6, "#fde0a6", "below 0.6: look at it"),
    (0.6, 0.8, "#f98e52", "0.6 to 0.8"),
    (0.8, 1.01, "#c1121f", "0.8 and above"),
)
"""Classes of mean probability: lower bound, upper bound, colour, label."""


PROBABILITY_RAMP = (
    (0.0, "#ffffff", 0),
    (0.2, "#fff3b0", 60),
    (0.5, "#f98e52", 200),
    (1.0, "#7f0000", 255),
)
"""Stops of the ramp of probability: probability, colour, opacity (0-255); linear between them."""


def add_style(geopackage: Path, layer: str, *, stamp: str) -> None:
    """Adds the table ``layer_styles`` with a default style for a layer, which QGIS applies when it
    opens the file; ``stamp`` is the time (ISO 8601) at which it says that it was changed."""
    with closing(sqlite3.connect(geopackage)) as database, database:
        database.execute(
            "CREATE TABLE IF NOT EXISTS layer_styles (id INTEGER PRIMARY KEY AUTOINCREMENT NOT "
            "NULL, f_table_catalog TEXT(256), "
            "f_table_schema TEXT(256), f_table_name TEXT(256), f_geometry_column TEXT(256), "
            "styleName TEXT(30), styleQML TEXT, "
            "styleSLD TEXT, useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30), "
            "update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')))"
        )
        database.execute(
            "INSERT OR IGNORE INTO gpkg_contents (table_name, data_type, identifier, description, "
            "last_change) VALUES ('layer_styles', 'attributes', 'layer_styles', 'styles for QGIS', "
            "?)",
            (stamp,),
        )
        database.execute(
            "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, "
            "f_geometry_column, styleName, styleQML, "
            "styleSLD, useAsDefault, description, owner, ui, update_time) VALUES ('', '', ?, "
            "'geom', 'changes', ?, '', 1, "
            "'changed buildings by mean probability', '', '', ?)",
            (layer, footprint_style(), stamp),
        )


def add_columns(geopackage: Path, layer: str, columns: Mapping[str, str | None]) -> None:
    """Adds columns of text; SQLite keeps what each row holds at first in the schema alone, so that
    no row is written again."""
    with closing(sqlite3.connect(geopackage)) as database, database:
        for name, first in columns.items():
            default = "" if first is None else " DEFAULT '{}'".format(first.replace("'", "''"))
            database.execute(f'ALTER TABLE "{layer}" ADD COLUMN "{name}" TEXT{default}')


def footprint_style() -> str:
    """QML of the footprints: outlines and light fills, graduated by ``probability_mean``."""
    ranges = "".join(
        f'<range lower="{low}" upper="{high}" symbol="{number}" label="{label}" render="true"/>'
        for number, (low, high, _, label) in enumerate(CLASSES)
    )
    symbols = "".join(
        f'<symbol type="fill" name="{number}" alpha="1" clip_to_extent="1"><layer '
        'class="SimpleFill" enabled="1" pass="0"><Option type="Map">'
        f'<Option type="QString" name="color" value="{_rgba(colour, 70)}"/><Option '
        f'type="QString" name="outline_color" value="{_rgba(colour, 255)}"/>'
        '<Option type="QString" name="outline_width" value="0.5"/><Option type="QString" '
        'name="style" value="solid"/></Option></layer></symbol>'
        for number, (_, _, colour, _) in enumerate(CLASSES)
    )
    return (
        "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'><qgis "
        'styleCategories="Symbology" version="3.34">'
        '<renderer-v2 type="graduatedSymbol" attr="probability_mean" '
        'graduatedMethod="GraduatedColor" enableorderby="0">'
        f"<ranges>{ranges}</ranges><symbols>{symbols}</symbols></renderer-v2></qgis>"
    )


def probability_style() -> str:
    """QML of the probability raster: transparent at 0, yellow to red above.

    QGIS applies the scale of the band before it colours, so the ramp is in probability, not in
    stored values.
    """
    items = "".join(
        f'<item value="{share:g}" label="{share:g}" color="{colour}" alpha="{alpha}"/>'
        for share, colour, alpha in PROBABILITY_RAMP
    )
    return (
        "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'><qgis "
        'styleCategories="Symbology" version="3.34"><pipe>'
        '<rasterrenderer type="singlebandpseudocolor" band="1" opacity="1" alphaBand="-1" '
        'classificationMin="0" classificationMax="1">'
        '<rastershader><colorrampshader colorRampType="INTERPOLATED" classificationMode="1" '
        f'clip="0" minimumValue="0" maximumValue="1">{items}</colorrampshader></rastershader>'
        "</rasterrenderer></pipe></qgis>\n"
    )


def mask_style() -> str:
    """QML of the mask: red where there is change, transparent elsewhere."""
    return (
        "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'><qgis "
        'styleCategories="Symbology" version="3.34"><pipe>'
        '<rasterrenderer type="paletted" band="1" opacity="1" alphaBand="-1"><colorPalette>'
        '<paletteEntry value="0" label="no change" color="#ffffff" alpha="0"/>'
        '<paletteEntry value="1" label="change" color="#c1121f" alpha="160"/>'
        "</colorPalette></rasterrenderer></pipe></qgis>\n"
    )


def _rgba(colour: str, alpha: int) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"{red},{green},{blue},{alpha}"
