"""A finished run as HTML, for notebooks: both dates with outlines, counts under them.

Each date is one SVG picture in an ``img``: no scripts, no styles that leak into the page, and what
cleans pages of strangers (forges, mail) leaves it as it is.
"""

from __future__ import annotations

import base64
from html import escape

import numpy as np
import numpy.typing as npt
import shapely

from hanet.detection.result_view import ResultView
from hanet.imagery.images import encode_jpeg
from hanet.types import ByteArray

LONGEST_PX = 512
"""Of a date's picture: both together take some 100 KB in a notebook."""

MOST_OUTLINES = 1000
"""That are drawn, the largest ones."""

QUALITY = 75
"""Of the JPEG files."""

OUTLINE, PAPER = "#ffd400", "#e8e8e8"
"""Colours of outlines, as in the report, and of the ground without pictures."""


def result_html(view: ResultView) -> str:
    """The run as HTML that stands for itself; of a view of :data:`LONGEST_PX` pixels."""
    figures = []
    for index, date in enumerate(("before", "after")):
        picture = None if view.pictures is None else view.pictures[index]
        if picture is None and date == "before":
            continue  # one map of outlines is enough
        day = view.dates[index]
        title = "footprints" if picture is None else date
        source = base64.b64encode(_svg(view, picture).encode()).decode()
        figures.append(
            '<figure style="margin:0;flex:1 1 16em;max-width:32em">'
            f'<img alt="{title}" style="width:100%" src="data:image/svg+xml;base64,{source}">'
            f"<figcaption>{escape(title)}{f', {escape(day)}' if day else ''}</figcaption></figure>"
        )
    rows = "".join(
        f'<tr><th style="text-align:left">{name}</th><td style="text-align:left">{escape(text)}'
        "</td></tr>"
        for name, text in _facts(view)
    )
    return (
        f'<div><div style="display:flex;flex-wrap:wrap;gap:.5em">{"".join(figures)}</div>'
        f"<table>{rows}</table></div>"
    )


def _facts(view: ResultView) -> list[tuple[str, str]]:
    summary = view.summary
    unit = "m²" if summary.has_metres else "square pixels"
    grid = view.grid
    size = f"{grid.height:,} x {grid.width:,} pixels"
    if grid.gsd_m is not None:
        size += f" of {grid.gsd_m:.3g} m"
    count = f"{summary.count:,}, {summary.area_m2:,.0f} {unit}"
    if len(view.shapes) > MOST_OUTLINES:
        count += f" (the {MOST_OUTLINES:,} largest are drawn)"
    return [
        ("changed", count),
        ("threshold", f"{summary.threshold:.3g}"),
        ("pair", size),
        ("weights", view.weights),
        ("folder", view.name),
    ]


def _svg(view: ResultView, picture: ByteArray | None) -> str:
    """A date with outlines; in the pixels of its picture."""
    small = view.grid.decimated(longest_px=LONGEST_PX)
    height, width = small.height, small.width
    ground = f'<rect width="{width}" height="{height}" fill="{PAPER}"/>'
    if picture is not None:
        jpeg = base64.b64encode(encode_jpeg(picture, quality=QUALITY)).decode()
        ground = f'<image width="{width}" height="{height}" href="data:image/jpeg;base64,{jpeg}"/>'
    a, _, c, _, e, f = small.transform
    drawn = shapely.transform(
        view.shapes[:MOST_OUTLINES], lambda xy: (xy - np.array((c, f))) / np.array((a, e))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}">{ground}'
        f'<path fill="{OUTLINE}" fill-opacity=".15" stroke="{OUTLINE}" stroke-width="1.2" '
        f'fill-rule="evenodd" d="{_path(drawn)}"/></svg>'
    )


def _path(shapes: npt.NDArray[np.object_]) -> str:
    """Rings as the commands of an SVG path, to a tenth of a pixel."""
    rings = shapely.get_rings(shapely.get_parts(shapes))
    texts = []
    for ring in rings:
        points = [f"{x:.1f} {y:.1f}" for x, y in shapely.get_coordinates(ring)[:-1].tolist()]
        texts.append(f"M{'L'.join(points)}Z")
    return "".join(texts)
