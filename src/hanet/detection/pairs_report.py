"""``report.html`` of many pairs: a map of their extents, what was found in each, what failed."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hanet.detection.merged_layer import MERGED_CRS, FinishedPair, MergedLayer, Place
from hanet.errors import GridError
from hanet.files import replace_file
from hanet.imagery.grid import Bounds, bounds_in
from hanet.page_template import fill_page

MAP_PX = 1000
"""Longer side of the map in its own units."""

SMALLEST_PX = 4.0
"""Smallest side of an extent on the map: of a country, a single scene would not be seen."""

SHARES = (0.0, 0.001, 0.01)
"""Shares of an extent that changed, from which on it has another colour."""


def write_pairs_report(
    path: Path,
    *,
    title: str,
    rows: Sequence[Mapping[str, Any]],
    pairs: Sequence[FinishedPair],
    merged: MergedLayer | None,
    notes: Sequence[str],
) -> None:
    """Writes the page.

    Args:
        path: Where.
        title: Name of the result.
        rows: The table of results, :data:`hanet.detection.pair_list.COLUMNS`.
        pairs: The pairs that are done.
        merged: Their layer; None where no pair is done.
        notes: Remarks about the layer.

    Raises:
        OutputError: The disk does not take it.
    """
    failed = [row for row in rows if row["status"] != "done"]
    unit = "m²" if merged is None or merged.has_metres else "px²"
    words = [
        f"{len(failed)} of {len(rows)} pairs failed; they are listed below." if failed else "",
        f"Layer: {', '.join(file.name for file in merged.files)}." if merged is not None else "",
        _dates(pairs),
    ]
    page = fill_page(
        "hanet.detection",
        "pairs_report.html",
        title=html.escape(title),
        lede=html.escape(" ".join(filter(None, words))),
        done=f"{len(rows) - len(failed):,} of {len(rows):,}",
        count=f"{merged.count if merged is not None else 0:,}",
        area=f"{merged.area if merged is not None else 0:,.0f} {unit}",
        ground=_ground(pairs),
        notes="".join(f"<li>{html.escape(note)}</li>" for note in notes),
        map=_map(pairs),
        failures=_failures(failed),
        pairs=_pairs(rows, {pair.name: pair for pair in pairs}),
        largest=_largest(merged.largest if merged is not None else (), unit),
    )
    replace_file(path, page.encode())


def _dates(pairs: Sequence[FinishedPair]) -> str:
    parts = []
    for index, name in enumerate(("before", "after")):
        known = sorted({date for pair in pairs if (date := pair.dates[index]) is not None})
        if known:
            said = known[0] if len(known) == 1 else f"{known[0]} to {known[-1]}"
            parts.append(f"{name}: {said}")
    return f"Dates: {', '.join(parts)}." if parts else ""


def _ground(pairs: Sequence[FinishedPair]) -> str:
    """The area of all extents; where pairs overlap it counts twice."""
    ground = sum(ground_m2(pair) for pair in pairs)
    if ground:
        return f"{ground / 1e6:,.2f} km²"
    return f"{sum(pair.grid.height * pair.grid.width for pair in pairs) / 1e6:,.1f} megapixels"


def ground_m2(pair: FinishedPair) -> float:
    """Square metres of the extent of a pair; 0 without a CRS."""
    axes = pair.grid.gsd_axes_m
    return pair.grid.height * pair.grid.width * axes[0] * axes[1] if axes is not None else 0.0


def _map(pairs: Sequence[FinishedPair]) -> str:
    """The extents in longitude and latitude, as long as wide in the middle of the map."""
    placed: list[tuple[FinishedPair, Bounds]] = []
    for pair in pairs:
        if pair.grid.crs is not None:
            try:
                placed.append((pair, bounds_in(pair.grid.bounds, pair.grid.crs, MERGED_CRS)))
            except GridError:  # it stays in the table
                continue
    if not placed:
        return ""
    left, bottom = (min(bounds[k] for _, bounds in placed) for k in (0, 1))
    right, top = (max(bounds[k] for _, bounds in placed) for k in (2, 3))
    narrow = math.cos(math.radians((bottom + top) / 2))
    scale = MAP_PX / max((right - left) * narrow, top - bottom, 1e-9)
    shapes = []
    for pair, bounds in placed:
        width = max(SMALLEST_PX, (bounds[2] - bounds[0]) * narrow * scale)
        height = max(SMALLEST_PX, (bounds[3] - bounds[1]) * scale)
        x, y = (bounds[0] - left) * narrow * scale, (top - bounds[3]) * scale
        said = html.escape(f"{pair.name}: {pair.count:,} footprints")
        shape = (
            f'<rect class="{_class(pair)}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
            f'height="{height:.1f}"><title>{said}</title></rect>'
        )
        shapes.append(f'<a href="{_address(pair)}">{shape}</a>' if pair.has_report else shape)
    size = (
        f"{max(SMALLEST_PX, (right - left) * narrow * scale):.0f} "
        f"{max(SMALLEST_PX, (top - bottom) * scale):.0f}"
    )
    return (
        f'<svg class="map" viewBox="0 0 {size}" role="img" aria-label="extents of the pairs">'
        f'{"".join(shapes)}</svg><p class="soft legend">{_legend()}</p>'
        '<p class="soft">North is up. A click on an extent opens the report of its pair.</p>'
    )


def _class(pair: FinishedPair) -> str:
    share = pair.area / max(ground_m2(pair), 1.0)
    return f"s{sum(share > bound for bound in SHARES)}"


def _legend() -> str:
    names = (
        "nothing found",
        f"up to {SHARES[1]:.1%} of the ground changed",
        f"up to {SHARES[2]:.0%}",
        "more",
    )
    return "".join(
        f'<span><svg viewBox="0 0 10 10"><rect class="s{number}" width="10" height="10"/></svg>'
        f"{name}</span>"
        for number, name in enumerate(names)
    )


def _address(pair: FinishedPair) -> str:
    return html.escape(f"{quote(pair.name)}/report.html")


def _failures(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    lines = "".join(
        f"<tr><td>{html.escape(str(row['name']))}</td><td>{html.escape(str(row['message']))}</td>"
        "</tr>"
        for row in rows
    )
    return (
        "<h2>Failed</h2><p>The same command with <code>--resume</code> tries them again.</p>"
        f"{_table('<th>pair</th><th>reason</th>', lines)}"
    )


def _pairs(rows: Sequence[Mapping[str, Any]], done: Mapping[str, FinishedPair]) -> str:
    lines = []
    dated = any(date for pair in done.values() for date in pair.dates)
    for row in rows:
        pair = done.get(row["name"])
        if pair is None:
            continue
        name = html.escape(pair.name)
        link = f'<a href="{_address(pair)}">{name}</a>' if pair.has_report else name
        dates = [f"<td>{html.escape(str(date or ''))}</td>" for date in pair.dates if dated]
        unit = "m²" if pair.grid.has_metres else "px²"
        lines.append(
            f"<tr><td>{link}</td>{''.join(dates)}<td class=n>{pair.count:,}</td>"
            f"<td class=n>{pair.area:,.0f} {unit}</td>"
            f"<td class=n>{_megapixels(pair)}</td>"
            f"<td class=n>{html.escape(str(row['seconds']))}</td></tr>"
        )
    texts = ("pair", *(("before", "after") if dated else ()))
    return _table(_head(texts, ("footprints", "area", "megapixels", "seconds")), "".join(lines))


def _megapixels(pair: FinishedPair) -> str:
    size = pair.grid.height * pair.grid.width / 1e6
    return f"{size:,.1f}" if size >= 1 else f"{size:.2g}"


def _largest(places: Sequence[Place], unit: str) -> str:
    if not places:
        return ""
    located = any(place.latitude is not None for place in places)
    names = ("id", f"area, {unit}", "mean probability")
    head = _head(("pair",), (*names, *(("latitude", "longitude") if located else ())))
    lines = "".join(
        f"<tr><td>{html.escape(place.pair)}</td><td class=n>{place.id}</td>"
        f"<td class=n>{place.area:,.0f}</td><td class=n>{_shown(place.probability, 2)}</td>"
        + (
            f"<td class=n>{_shown(place.latitude, 5)}</td>"
            f"<td class=n>{_shown(place.longitude, 5)}</td>"
            if located
            else ""
        )
        + "</tr>"
        for place in places
    )
    return f"<h2>The largest footprints</h2>{_table(head, lines)}"


def _shown(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _head(texts: Sequence[str], numbers: Sequence[str]) -> str:
    """The names of columns of text, then of those of numbers, which stand above them."""
    return "".join(f"<th>{name}</th>" for name in texts) + "".join(
        f"<th class=n>{name}</th>" for name in numbers
    )


def _table(head: str, lines: str) -> str:
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"
    return f'<div class="wide">{table}</div>'
