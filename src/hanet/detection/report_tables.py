"""The tables of a report, and what it says in words, as HTML: everything that comes from outside
(names, dates, notes, comments) is escaped here."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from hanet.detection.highlights import SIZES, Highlights, Tally, class_of
from hanet.footprints.footprint import Footprint
from hanet.footprints.kinds import KINDS
from hanet.imagery.grid import Grid
from hanet.imagery.qgis import CLASSES
from hanet.types import Json

FAR_OFF = 1.25
"""From this ratio of resolutions on the page says that the weights know another one."""

COLUMNS: Mapping[str, tuple[str, str]] = {
    "status": ("status", ""),
    "kind": ("kind", ""),
    "area_m2": ("area, m²", ",.0f"),
    "area_px": ("area, px²", ",.0f"),
    "perimeter_m": ("perimeter, m", ",.0f"),
    "perimeter_px": ("perimeter, px", ",.0f"),
    "probability_mean": ("mean probability", ".2f"),
    "probability_max": ("highest probability", ".2f"),
    "centroid_latitude": ("latitude", ".5f"),
    "centroid_longitude": ("longitude", ".5f"),
    "centroid_row": ("row", ".0f"),
    "centroid_column": ("column", ".0f"),
    "built_probability": ("probability of built", ".2f"),
    "comment": ("comment", ""),
}
"""Attributes that the table of footprints shows where they are there: heading and format."""


def footprint_table(footprints: Sequence[Footprint]) -> str:
    """A row for each footprint, by which the page finds its outline; empty without footprints."""
    if not footprints:
        return ""
    there = [
        name
        for name in COLUMNS
        if any(_has(footprint.attributes.get(name)) for footprint in footprints)
    ]
    heads = "".join(
        f'<th scope="col"{_kind(name)}><button type="button">{COLUMNS[name][0]}</button></th>'
        for name in there
    )
    rows = "".join(_row(footprint, there) for footprint in footprints)
    return (
        '<table id="footprints"><thead><tr><th scope="col" class="n"><button type="button">number'
        f"</button></th>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _has(value: object) -> bool:
    return value is not None and value != ""


def _kind(name: str) -> str:
    return ' class="n"' if COLUMNS[name][1] else ""


def _row(footprint: Footprint, names: Sequence[str]) -> str:
    facts = footprint.attributes
    number = int(facts["id"])
    cells = "".join(f"<td{_kind(name)}>{_cell(facts.get(name), name)}</td>" for name in names)
    doubt = class_of(facts["probability_mean"])
    return (
        f'<tr data-id="{number}" class="c{doubt}"><td class="n"><button type="button">{number}'
        f"</button></td>{cells}</tr>"
    )


def _cell(value: object, name: str) -> str:
    if not _has(value):
        return ""
    form = COLUMNS[name][1]
    if not form:
        return html.escape(str(value))
    number = float(value) if isinstance(value, int | float | str) else math.nan
    return format(number, form) if math.isfinite(number) else ""


def listed_in_words(highlights: Highlights) -> str:
    """Which footprints the page draws and lists, in words."""
    listed, count = len(highlights.listed), highlights.count
    if listed == count:
        return f"All {count:,} footprints." if count > 1 else "The only footprint."
    drawn = len(highlights.drawn)
    return (
        f"{listed:,} of {count:,} footprints are drawn and listed: the {drawn:,} largest, and of "
        f"the others the {listed - drawn:,} most doubtful. All are in the footprint file."
    )


def size_table(highlights: Highlights, *, unit: str) -> str:
    """Counts and area by class of size."""
    bounds = [f"{bound:,.0f}" for bound in SIZES]
    names = [
        f"below {bounds[0]} {unit}",
        *(f"{low} to {high} {unit}" for low, high in pairwise(bounds)),
        f"{bounds[-1]} {unit} and above",
    ]
    rows = list(zip(names, highlights.by_size, strict=True))
    return _tallies("size", rows, highlights.total, unit)


def kind_table(highlights: Highlights, *, unit: str) -> str:
    """Counts and area by kind, where footprints have one; empty where none has."""
    if not highlights.by_kind:
        return ""
    rows = sorted(highlights.by_kind.items(), key=lambda item: -item[1].area)
    counted = sum(tally.count for _, tally in rows)
    if counted < highlights.count:
        area = highlights.area - sum(tally.area for _, tally in rows)
        rows.append(("not given", Tally(highlights.count - counted, max(0.0, area))))
    return _tallies("kind", rows, highlights.total, unit)


def _tallies(what: str, rows: Sequence[tuple[str, Tally]], total: Tally, unit: str) -> str:
    """A table of tallies with a bar for the share of the area."""
    body = "".join(
        f'<tr><th scope="row">{html.escape(name)}</th><td class="n">{tally.count:,}</td>'
        f'<td class="n">{tally.area:,.0f}</td><td class="share"><span style="width:'
        f'{100 * tally.area / total.area if total.area else 0:.1f}%"></span></td></tr>'
        for name, tally in rows
    )
    return (
        f'<table class="tally"><thead><tr><th scope="col">{what}</th><th scope="col" class="n">'
        f'footprints</th><th scope="col" class="n">area, {unit}</th><th scope="col" class="share">'
        f"share of the area</th></tr></thead><tbody>{body}</tbody><tfoot><tr>"
        f'<th scope="row">all</th><td class="n">{total.count:,}</td><td class="n">{total.area:,.0f}'
        "</td><td></td></tr></tfoot></table>"
    )


def legend(highlights: Highlights) -> str:
    """What the colours of the outlines mean, and how many there are of each."""
    if highlights.has_kinds:
        return "".join(
            f'<li><span class="swatch k-{kind}"></span>{kind} '
            f"<b>({highlights.by_kind.get(kind, Tally()).count:,})</b></li>"
            for kind in KINDS
        )
    return "".join(
        f'<li><span class="swatch c{index}"></span>probability {html.escape(label)} '
        f"<b>({tally.count:,})</b></li>"
        for index, ((_, _, _, label), tally) in enumerate(
            zip(CLASSES, highlights.by_doubt, strict=True)
        )
    )


def figures(manifest: Json, highlights: Highlights, grid: Grid) -> str:
    """The numbers at the top."""
    unit = "m²" if grid.has_metres else "px²"
    area = f"{highlights.area:,.0f} {unit}"
    pixels = int(highlights.histogram.sum())
    axes = grid.gsd_axes_m
    examined = pixels * (axes[0] * axes[1] if axes else 1.0)
    shown = [
        (f"{highlights.count:,}", "footprint" if highlights.count == 1 else "footprints"),
        (area, "changed area" + _hectares(highlights.area, unit)),
    ]
    if examined > 0:
        looked_at = _large(examined, unit)
        shown.append((f"{100 * highlights.area / examined:.2g} %", f"of the {looked_at} examined"))
    shown.append((f"{manifest['threshold']:.3g}", "probability threshold"))
    smallest = manifest["footprints"].get("min_area_m2")
    if isinstance(smallest, int | float):
        shown.append((f"{smallest:g} {unit}", "smallest footprint"))
    left_out = manifest["footprints"].get("left_out")
    if isinstance(left_out, int):
        shown.append((f"{left_out:,}", "left out as likely false alarms"))
    return "".join(f"<div><b>{value}</b><span>{what}</span></div>" for value, what in shown)


def _hectares(area: float, unit: str) -> str:
    return f" ({area / 1e4:,.3g} ha)" if unit == "m²" and area >= 1e4 else ""


def _large(area: float, unit: str) -> str:
    if unit != "m²":
        return f"{area:,.0f} {unit}"
    return f"{area / 1e6:,.3g} km²" if area >= 1e5 else f"{area / 1e4:,.3g} ha"


def limits(manifest: Json) -> str:
    """What was warned of, what the weights know and how well, as list items."""
    weights: Json = manifest["weights"]
    said = [
        "Every footprint is a suggestion of a neural network. Look at a sample of what was found, "
        "and of what was not, before you count on it."
    ]
    said += [_score_in_words(score) for score in weights.get("scores", [])[:2]]
    if not weights.get("scores"):
        said.append("The weights state no score: it is unknown how much they find and miss.")
    if weights.get("training_data"):
        said.append(f"Learned from: {weights['training_data']}.")
    known, here = weights.get("gsd_m"), manifest["pair"].get("gsd_m")
    if known and here:
        text = f"Learned at {known:.3g} m a pixel; this result has {here:.3g} m."
        ratio = max(here / known, known / here)
        said.append(
            text + (" Expect lower accuracy than at its own resolution." if ratio > FAR_OFF else "")
        )
    warnings = [each["message"] for each in manifest["said"] if each["level"] == "warning"]
    return "".join(
        [
            *(f'<li class="warning">{html.escape(text)}</li>' for text in warnings),
            *(f"<li>{html.escape(text)}</li>" for text in said),
        ]
    )


def _score_in_words(score: Json) -> str:
    return (
        f"On images of the kind it learned from ({score['dataset']}/{score['split']}, "
        f"{score['protocol']}) it finds {100 * score['recall']:.0f} % of the changed pixels, and "
        f"{100 * score['precision']:.0f} % of the pixels that it reports are changed (F1 "
        f"{score['f1']:.3f}). In other places and lights it misses more."
    )


def terms(manifest: Json) -> str:
    """Terms of use of the weights, escaped."""
    weights: Json = manifest["weights"]
    stated = html.escape(weights.get("licence") or "")
    return stated or "the weights state no terms of use; ask whoever made them"


def histogram(counts: Sequence[int]) -> str:
    """Bars of logarithmic height: almost all pixels are unchanged."""
    top = max(1.0, np.log10(1 + max(counts)))
    bars = []
    for number, count in enumerate(counts):
        share = np.log10(1 + count) / top
        low, high = number / len(counts), (number + 1) / len(counts)
        bars.append(
            f'<div class="bar" style="height:{100 * share:.1f}%" title="{low:.2f}-{high:.2f}: '
            f'{count:,} pixels"></div>'
        )
    return "".join(bars)


def notes(manifest: Json) -> str:
    """What the run said before it began: decisions and warnings."""
    rows = [
        f'<li class="{html.escape(said["level"])}">{html.escape(said["message"])}'
        + (f" <code>{html.escape(said['fix'])}</code>" if said["fix"] else "")
        + "</li>"
        for said in manifest["said"]
    ]
    if not rows:
        return "<p>Nothing to say: the pair fits the weights.</p>"
    return "<ul>" + "".join(rows) + "</ul>"


def pair_table(manifest: Json) -> str:
    """What both files are, in words with units."""
    columns = [_facts_of(manifest, date) for date in ("before", "after")]
    head = '<tr><th></th><th scope="col">before</th><th scope="col">after</th></tr>'
    body = "".join(
        f"<tr><td>{name}</td>"
        + "".join(f"<td>{html.escape(column[name])}</td>" for column in columns)
        + "</tr>"
        for name in columns[0]
    )
    return f"<table>{head}{body}</table>"


def date_of(manifest: Json, which: str) -> str | None:
    """The date of an image, not yet escaped: what the user gave before what the file states."""
    date = manifest["footprints"].get(f"{which}_date") or manifest["pair"][which]["date"]
    return str(date) if date else None


def _facts_of(manifest: Json, date: str) -> dict[str, str]:
    facts: Json = manifest["pair"][date]
    gsd = facts["gsd_m"]
    return {
        "file": facts["path"],
        "date": date_of(manifest, date) or "not known",
        "size": f"{facts['height']:,} × {facts['width']:,} pixels (height × width)",
        "pixel": f"{gsd:.3g} m" if gsd is not None else "not known",
        "CRS": _crs_name(facts["crs"]),
        "bands": f"{facts['bands']}, {facts['type']}",
        "invalid pixels": {"none": "not marked", "alpha": "by alpha", "mask": "by a mask"}.get(
            facts["validity"], facts["validity"]
        ),
    }


def _crs_name(crs: str | None) -> str:
    """A code as it is, and of WKT, which fills a page, the name."""
    if crs is None:
        return "none: pixel coordinates"
    return crs.split('"')[1] if '"' in crs else crs
