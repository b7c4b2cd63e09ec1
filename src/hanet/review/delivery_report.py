"""``delivery.html``: what was delivered of a review, as one page that opens without network."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import shapely

from hanet.files import replace_file
from hanet.page_template import fill_page
from hanet.review.display import Display
from hanet.review.estimates import Estimate
from hanet.review.items import KINDS, STATUSES, Item, Status
from hanet.review.reviewed_runs import ReviewedRun
from hanet.review.reviewed_sample import ASSUMPTIONS, estimates_of
from hanet.review.sampling import area_of
from hanet.types import Json

LISTED = 500
"""Rows of the table of what was delivered; the largest, if there are more."""

DRAWN = 5000
"""Outlines of a map; the largest, if there are more."""

MAP_PX = 1000
"""Width or height of a map's coordinates."""

_NUMBER = re.compile(r"[0-9,]*(\.[0-9]+)?")
"""A cell of a column of numbers, which may be empty."""


def write_delivery_page(
    path: Path,
    *,
    title: str,
    chosen: Sequence[tuple[ReviewedRun, Sequence[Item]]],
    statuses: Sequence[Status],
    files: Sequence[str],
    notes: Sequence[str],
) -> Path:
    """Writes the page.

    Args:
        path: Where.
        title: Name of the result.
        chosen: The runs, each with what was delivered of it.
        statuses: Of what was delivered.
        files: Names of the layers.
        notes: What was left out.

    Raises:
        OutputError: The disk does not take it.
    """
    items = [(run, item) for run, listed in chosen for item in listed]
    unit = "m²" if chosen[0][0].state.grid.has_metres else "px²"
    area = sum(area_of(item) for _, item in items)
    page = fill_page(
        "hanet.review",
        "delivery.html",
        title=html.escape(title),
        lede=html.escape(
            f"Status: {' or '.join(statuses)}. Files: {', '.join(files)}. {_dates(chosen[0][0])}"
        ),
        count=f"{len(items):,}",
        area=f"{area:,.0f} {unit}",
        thresholds=html.escape(
            " / ".join(sorted({f"{run.state.settings.threshold or 0:.3g}" for run, _ in chosen}))
        ),
        reviewed=_share_reviewed([run for run, _ in chosen]),
        notes="".join(f"<li>{html.escape(note)}</li>" for note in notes)
        or "<li>Nothing was left out.</li>",
        statuses=_table(_status_rows([run for run, _ in chosen])),
        kinds=_table(_kind_rows([item for _, item in items], unit)),
        runs="".join(_run(run, listed, unit, named=bool(run.name)) for run, listed in chosen),
        listed=_listed(items, unit),
    )
    replace_file(path, page.encode())
    return path


def _run(run: ReviewedRun, items: Sequence[Item], unit: str, *, named: bool) -> str:
    """A pair: map, settings, estimates, conflicts, weights."""
    parts = [f"<h2>{html.escape(run.name)}</h2>" if named else ""]
    parts.append(_map(run, items))
    settings = run.state.settings
    weights = run.manifest.get("weights")
    known: Json = weights if isinstance(weights, dict) else {}
    facts = [
        ("threshold", f"{settings.threshold or 0:g}"),
        ("smallest area", f"{settings.min_area_m2:g} {unit}"),
        ("footprints remade", f"{run.state.generation} times"),
        ("weights", str(known.get("name", "not recorded"))),
        ("terms of the weights", str(known.get("licence", "not recorded"))),
    ]
    parts.append(_table([("setting", "value"), *facts]))
    parts.append(_estimates(run, unit))
    if run.state.conflicts:
        rows = [(c.kept, ", ".join(c.new), c.why) for c in run.state.conflicts]
        parts.append("<h3>Decisions that may not fit the remade footprints</h3>")
        parts.append(_table([("decided", "remade", "why"), *rows]))
    return "".join(parts)


def _map(run: ReviewedRun, items: Sequence[Item]) -> str:
    """The outlines on their ground, square pixels whatever the CRS."""
    height, width = Display.of(run.state.grid).size
    scale = MAP_PX / max(height, width)
    sx, sy = (scale * stretch for stretch in Display.of(run.state.grid).stretch)
    drawn = sorted(items, key=area_of, reverse=True)[:DRAWN]
    paths = []
    for item in drawn:
        moved = shapely.transform(item.geometry, lambda xy: xy * (sx, sy))
        rings = shapely.get_rings(shapely.get_parts(moved))
        line = "".join(
            "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in shapely.get_coordinates(ring)) + "Z"
            for ring in rings
        )
        title = html.escape(f"{item.id} {item.kind}".strip())
        paths.append(
            f'<path class="{item.kind or "open"}" d="{line}"><title>{title}</title></path>'
        )
    said = "" if len(drawn) == len(items) else f"The {DRAWN:,} largest of {len(items):,} are drawn."
    return (
        f'<svg class="map" viewBox="0 0 {width * scale:.0f} {height * scale:.0f}" role="img" '
        f'aria-label="map of what was delivered">{"".join(paths)}</svg>'
        f'<p class="soft legend">{_legend(items)}</p>'
        f'<p class="soft">Up is up in the images. {said}</p>'
    )


def _legend(items: Sequence[Item]) -> str:
    """The colours of the kinds that occur."""
    kinds = {item.kind for item in items}
    return "".join(
        f'<span><svg viewBox="0 0 10 10"><rect class="{kind or "open"}" width="10" height="10"/>'
        f"</svg>{kind or 'kind not said'}</span>"
        for kind in KINDS
        if kind in kinds
    )


def _estimates(run: ReviewedRun, unit: str) -> str:
    """What the reviewed sample says, if one was drawn."""
    found = estimates_of(run.state)
    if found is None:
        return (
            '<p class="soft">No sample that fits these footprints was reviewed, so it is '
            "unknown how much was missed.</p>"
        )
    rows = [
        ("precision", _percent(found.precision)),
        ("recall", _percent(found.recall)),
        ("changed buildings", _amount(found.buildings, "")),
        ("changed area", _amount(found.area, f" {unit}")),
    ]
    lines = "".join(f"<li>{html.escape(text)}</li>" for text in (*found.notes, *ASSUMPTIONS))
    return (
        "<h3>What the random sample says about the whole map, with 95 % "
        f"intervals</h3>{_table([('number', 'estimate'), *rows])}<ul class='soft'>{lines}</ul>"
    )


def _percent(estimate: Estimate | None) -> str:
    if estimate is None:
        return "not known yet"
    text = f"{estimate.value:.0%} ({estimate.low:.0%} to {estimate.high:.0%})"
    if estimate.if_unsure is not None:
        text += f"; {estimate.if_unsure[0]:.0%} or {estimate.if_unsure[1]:.0%} with the unsure ones"
    return text


def _amount(estimate: Estimate | None, unit: str) -> str:
    if estimate is None:
        return "not known yet"
    text = f"{estimate.value:,.0f}{unit} ({estimate.low:,.0f} to {estimate.high:,.0f})"
    if estimate.if_unsure is not None:
        low, high = estimate.if_unsure
        text += f"; {low:,.0f} or {high:,.0f} with the unsure ones"
    return text


def _status_rows(runs: Sequence[ReviewedRun]) -> list[tuple[str, ...]]:
    """Items of each status by their source."""
    rows: list[tuple[str, ...]] = [("status", "found", "missed places", "drawn")]
    for status in STATUSES:
        counts = [
            sum(1 for run in runs for i in run.items if i.status == status and i.source == source)
            for source in ("found", "missed", "drawn")
        ]
        rows.append((status, *(f"{count:,}" for count in counts)))
    return rows


def _kind_rows(items: Iterable[Item], unit: str) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("kind", "delivered", f"area in {unit}")]
    listed = list(items)
    for kind in KINDS:
        areas = [area_of(item) for item in listed if item.kind == kind]
        if areas:
            rows.append((kind or "not said", f"{len(areas):,}", f"{sum(areas):,.0f}"))
    return rows


def _share_reviewed(runs: Sequence[ReviewedRun]) -> str:
    """Found and drawn items that somebody has decided on, of all of them."""
    total = sum(run.count(status) for run in runs for status in STATUSES)
    left = sum(run.count("unreviewed") for run in runs)
    return f"{total - left:,} of {total:,}"


def _listed(items: Sequence[tuple[ReviewedRun, Item]], unit: str) -> str:
    largest = sorted(items, key=lambda pair: area_of(pair[1]), reverse=True)[:LISTED]
    has_pairs = any(run.name for run, _ in items)
    head = ("id", *(("pair",) if has_pairs else ()), "kind", f"area in {unit}", "probability")
    rows: list[tuple[str, ...]] = [(*head, "status", "reviewer", "comment")]
    for run, item in largest:
        probability = "" if np.isnan(item.probability) else f"{item.probability:.2f}"
        pair = (run.name,) if has_pairs else ()
        values = (item.id, *pair, item.kind, f"{area_of(item):,.0f}", probability)
        rows.append((*values, item.status, item.reviewer, item.comment))
    said = "" if len(largest) == len(items) else f"The {LISTED} largest of {len(items):,}."
    return f'<p class="soft">{said}</p>{_table(rows)}'


def _dates(run: ReviewedRun) -> str:
    before, after = run.state.settings.before_date, run.state.settings.after_date
    if not (before or after):
        return ""
    return f"Before: {before or 'not known'}, after: {after or 'not known'}."


def _table(rows: Sequence[Sequence[str]]) -> str:
    """A table whose first row is its head; columns of numbers to the right, head and all."""
    columns = zip(*rows[1:], strict=True)
    classes = [
        " class=n" if any(cells) and all(_NUMBER.fullmatch(cell) for cell in cells) else ""
        for cells in columns
    ] or [""] * len(rows[0])
    head, *body = (
        "<tr>"
        + "".join(
            f"<{tag}{look}>{html.escape(cell)}</{tag}>"
            for look, cell in zip(classes, row, strict=True)
        )
        + "</tr>"
        for tag, row in zip(("th", *["td"] * (len(rows) - 1)), rows, strict=True)
    )
    table = f"<table><thead>{head}</thead><tbody>{''.join(body)}</tbody></table>"
    return f'<div class="wide">{table}</div>'
