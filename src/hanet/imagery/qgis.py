"""What QGIS finds in our files: columns to fill in (in the GeoPackage), and beside them (.qml)
footprints coloured by probability, kind or status, a ramp for the probability raster and a colour
for the mask.

The style of footprints does not lie in the GeoPackage: other programs take the table of styles for
a second layer, and ask which one is meant.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

CLASSES = (
    (0.0, 0.6, "#fde0a6", "below 0.6: check it"),
    (0.6, 0.8, "#f98e52", "0.6 to 0.8"),
    (0.8, 1.01, "#c1121f", "0.8 and above"),
)
"""Classes of mean probability: lower bound, upper bound, colour, label."""


KIND_COLOURS = {"built": "#1b9e4b", "demolished": "#d7301f", "unclear": "#e6a700"}
"""Colour of each kind of change: green, red and amber, as maps of change have them."""

STATUS_COLOURS = {
    "accepted": "#3ddc84",
    "rejected": "#ff5964",
    "unsure": "#5cc8ff",
    "unreviewed": "#ffd23f",
}
"""Colour of each status of a reviewed footprint, as on the page of ``hanet review``."""

PROBABILITY_RAMP = (
    (0.0, "#ffffff", 0),
    (0.2, "#fff3b0", 60),
    (0.5, "#f98e52", 200),
    (1.0, "#7f0000", 255),
)
"""Stops of the ramp of probability: probability, colour, opacity (0-255); linear between them."""


def add_columns(geopackage: Path, layer: str, columns: Mapping[str, str | None]) -> None:
    """Adds columns of text; SQLite keeps what each row holds at first in the schema alone, so that
    no row is written again."""
    with closing(sqlite3.connect(geopackage)) as database, database:
        for name, first in columns.items():
            default = "" if first is None else " DEFAULT '{}'".format(first.replace("'", "''"))
            database.execute(f'ALTER TABLE "{layer}" ADD COLUMN "{name}" TEXT{default}')


def footprint_style(*, has_kinds: bool = False) -> str:
    """QML of the footprints: outlines and light fills, by ``kind`` where they have it, else
    graduated by ``probability_mean``."""
    if has_kinds:
        return _style(_by_category("kind", KIND_COLOURS))
    ranges = "".join(
        f'<range lower="{low}" upper="{high}" symbol="{number}" label="{label}" render="true"/>'
        for number, (low, high, _, label) in enumerate(CLASSES)
    )
    symbols = _symbols([colour for _, _, colour, _ in CLASSES])
    return _style(
        '<renderer-v2 type="graduatedSymbol" attr="probability_mean" '
        'graduatedMethod="GraduatedColor" enableorderby="0">'
        f"<ranges>{ranges}</ranges><symbols>{symbols}</symbols></renderer-v2>"
    )


def reviewed_style() -> str:
    """QML of delivered footprints: outlines and light fills, coloured by ``status``."""
    return _style(_by_category("status", STATUS_COLOURS))


def _by_category(column: str, colours: Mapping[str, str]) -> str:
    """A renderer that gives each value of a column its colour."""
    categories = "".join(
        f'<category value="{value}" symbol="{number}" label="{value}" type="string" render="true"/>'
        for number, value in enumerate(colours)
    )
    return (
        f'<renderer-v2 type="categorizedSymbol" attr="{column}" enableorderby="0">'
        f"<categories>{categories}</categories>"
        f"<symbols>{_symbols(list(colours.values()))}</symbols></renderer-v2>"
    )


def _symbols(colours: list[str]) -> str:
    return "".join(
        f'<symbol type="fill" name="{number}" alpha="1" clip_to_extent="1"><layer '
        'class="SimpleFill" enabled="1" pass="0"><Option type="Map">'
        f'<Option type="QString" name="color" value="{_rgba(colour, 70)}"/><Option '
        f'type="QString" name="outline_color" value="{_rgba(colour, 255)}"/>'
        '<Option type="QString" name="outline_width" value="0.5"/><Option type="QString" '
        'name="style" value="solid"/></Option></layer></symbol>'
        for number, colour in enumerate(colours)
    )


def _style(renderer: str) -> str:
    return (
        "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'><qgis "
        f'styleCategories="Symbology" version="3.34">{renderer}</qgis>'
    )


def built_style() -> str:
    """QML of the raster that tells built from demolished: red at 0, amber at a half, green at 1."""
    colours = (KIND_COLOURS[kind] for kind in ("demolished", "unclear", "built"))
    return _ramp_style(
        [(share, colour, 200) for share, colour in zip((0.0, 0.5, 1.0), colours, strict=True)]
    )


def probability_style() -> str:
    """QML of the probability raster: transparent at 0, yellow to red above.

    QGIS applies the scale of the band before it colours, so the ramp is in probability, not in
    stored values.
    """
    return _ramp_style(PROBABILITY_RAMP)


def _ramp_style(stops: Sequence[tuple[float, str, int]]) -> str:
    items = "".join(
        f'<item value="{share:g}" label="{share:g}" color="{colour}" alpha="{alpha}"/>'
        for share, colour, alpha in stops
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
