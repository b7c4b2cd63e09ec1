"""``report.html``: a finished run as one file to look at: swipe, largest and most doubtful changes,
histogram, the pair, the manifest."""

from __future__ import annotations

import base64
import html
import json
from importlib.resources import files
from pathlib import Path
from string import Template

import numpy as np
import shapely

from hanet.detection.highlights import Highlights
from hanet.files import replace_file
from hanet.footprints.footprint import Footprint
from hanet.imagery.images import encode_jpeg
from hanet.imagery.pair import RasterPair
from hanet.imagery.raster_output import ProbabilityRaster
from hanet.types import ByteArray, FloatArray, Json, Window

CHIP_PX = 160
"""Side of a chip on the page."""


def write_report(
    out: Path,
    *,
    pair: RasterPair,
    pictures: tuple[ByteArray, ByteArray],
    manifest: Json,
    highlights: Highlights,
    into: Path | None = None,
) -> Path:
    """Writes ``report.html`` for a run folder that holds ``probability.tif``.

    Args:
        out: The run folder.
        pair: The pair on the run's grid, open.
        pictures: Before and after of the whole grid, small: uint8 (3, h, w), or (1, h, w) for grey.
        manifest: What ``run.json`` will hold.
        highlights: What was kept of the footprints while they were written.
        into: Folder that gets the page; the run folder if None.

    Returns:
        The file: self-contained, it opens without network.
    """
    before, after = pictures
    with ProbabilityRaster(out / "probability.tif") as raster:
        chips = [_chips(pair, raster, group) for group in (highlights.largest, highlights.doubtful)]
    height, width = before.shape[1:]
    scale = width / pair.grid.width, height / pair.grid.height
    unit = "m²" if pair.grid.crs is not None else "px²"
    drawn = highlights.drawn
    template = Template((files("hanet.detection") / "report.html").read_text(encoding="utf-8"))
    page = template.substitute(
        title=html.escape(
            f"{manifest['pair']['before']['path']} → {manifest['pair']['after']['path']}"
        ),
        count=f"{highlights.count:,}",
        area=f"{highlights.area:,.0f} {unit}",
        threshold=f"{manifest['threshold']:.3g}",
        weights=html.escape(manifest["weights"]["name"]),
        width=width,
        height=height,
        before=_picture(before),
        after=_picture(after),
        outlines=_svg_paths(drawn, scale),
        drawn=""
        if len(drawn) == highlights.count
        else f"(the {len(drawn):,} largest of {highlights.count:,})",
        largest=chips[0] or "<p>No change was found.</p>",
        doubtful=_doubtful(chips[1]) if chips[0] else "",
        histogram=_bars(highlights.histogram.tolist()),
        notes=_notes(manifest),
        facts=_facts(manifest),
        manifest=html.escape(json.dumps(manifest, indent=2)),
    )
    path = (into or out) / "report.html"
    replace_file(path, page.encode())
    return path


def _chips(pair: RasterPair, raster: ProbabilityRaster, footprints: list[Footprint]) -> str:
    """Before, after and probability of each footprint with its surroundings."""
    cards = []
    for footprint in footprints:
        left, top, right, bottom = footprint.pixel_geometry.bounds
        side = int(np.clip(1.6 * max(right - left, bottom - top), 64, 512))
        side = min(side, pair.grid.height, pair.grid.width)
        row = int(np.clip((top + bottom - side) / 2, 0, pair.grid.height - side))
        column = int(np.clip((left + right - side) / 2, 0, pair.grid.width - side))
        window = Window(row, column, side, side)
        block = pair.read(window)
        path = _svg_path(footprint, (1.0, 1.0), (column, row))
        outline = f'<svg viewBox="0 0 {side} {side}"><path d="{path}"/></svg>'
        pictures = (
            ("before", _picture(block.before), outline),
            ("after", _picture(block.after), outline),
            ("probability", _picture(_heat(raster.read(window))), ""),
        )
        frames = "".join(
            f'<figure><div class="chip"><img src="{source}" alt="{name}" width="{CHIP_PX}" '
            f'height="{CHIP_PX}">{over}</div>'
            f"<figcaption>{name}</figcaption></figure>"
            for name, source, over in pictures
        )
        cards.append(
            '<article class="card"><div '
            f'class="row">{frames}</div><p>{_caption(footprint)}</p></article>'
        )
    return "".join(cards)


def _doubtful(chips: str) -> str:
    """The second gallery; without chips of its own only where its footprints are."""
    if not chips:
        return '<p class="lede">These are all footprints.</p>'
    return (
        '<h2>Most doubtful changes</h2><p class="lede">Of the others the lowest mean probability '
        "first: look at these before you "
        f'trust the rest.</p><div class="cards">{chips}</div>'
    )


def _caption(footprint: Footprint) -> str:
    facts = footprint.attributes
    size = f"{facts['area_m2']:,.0f} m²" if "area_m2" in facts else f"{facts['area_px']:,.0f} px²"
    if "centroid_longitude" in facts:
        where = f"{facts['centroid_latitude']:.5f}, {facts['centroid_longitude']:.5f}"
    else:
        where = f"row {facts['centroid_row']:.0f}, column {facts['centroid_column']:.0f}"
    return f"<b>#{facts['id']}</b> {size} · probability {facts['probability_mean']:.2f} · {where}"


def _svg_paths(footprints: list[Footprint], scale: tuple[float, float]) -> str:
    return "".join(f'<path d="{_svg_path(footprint, scale, (0, 0))}"/>' for footprint in footprints)


def _svg_path(footprint: Footprint, scale: tuple[float, float], origin: tuple[int, int]) -> str:
    parts = []
    for polygon in shapely.get_parts(footprint.pixel_geometry):
        for ring in (polygon.exterior, *polygon.interiors):
            points = (np.asarray(ring.coords) - origin) * scale
            parts.append("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points[:-1]) + "Z")
    return "".join(parts)


def _heat(probability: FloatArray) -> FloatArray:  # (H, W) -> (3, H, W)
    """Probability as colours from dark blue over orange to light yellow; grey where invalid."""
    stops = np.array(
        [[13, 22, 48], [122, 40, 90], [233, 106, 60], [255, 236, 160]], dtype=np.float32
    )
    filled = np.nan_to_num(probability, nan=0.0) * (len(stops) - 1)
    levels = np.arange(len(stops))
    colours = np.stack([np.interp(filled, levels, stops[:, band]) for band in range(3)])
    colours[:, np.isnan(probability)] = 128
    return colours.astype(np.float32)


def _picture(image: FloatArray | ByteArray) -> str:
    """An image (C, H, W) in 0-255 as a data URL; the first three bands, or grey."""
    shown = image[:3] if len(image) >= 3 else np.repeat(image[:1], 3, axis=0)
    pixels: ByteArray = np.clip(shown, 0, 255).astype(np.uint8)
    return "data:image/jpeg;base64," + base64.b64encode(encode_jpeg(pixels)).decode()


def _bars(counts: list[int]) -> str:
    """The histogram with a logarithmic height: almost all pixels are unchanged."""
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


def _notes(manifest: Json) -> str:
    """What the run said before it began: decisions and warnings."""
    rows = [
        f'<li class="{html.escape(said["level"])}">{html.escape(said["message"])}'
        + (f" <code>{html.escape(said['fix'])}</code>" if said["fix"] else "")
        + "</li>"
        for said in manifest["said"]
    ]
    return (
        "<ul>" + "".join(rows) + "</ul>"
        if rows
        else "<p>Nothing to say: the pair fits the weights.</p>"
    )


def _facts(manifest: Json) -> str:
    """What both files are, in words with units."""
    columns = [_facts_of(manifest, date) for date in ("before", "after")]
    head = "<tr><th></th><th>before</th><th>after</th></tr>"
    body = "".join(
        f"<tr><td>{name}</td>"
        + "".join(f"<td>{html.escape(column[name])}</td>" for column in columns)
        + "</tr>"
        for name in columns[0]
    )
    return f"<table>{head}{body}</table>"


def _facts_of(manifest: Json, date: str) -> dict[str, str]:
    facts: Json = manifest["pair"][date]
    gsd = facts["gsd_m"]
    return {
        "file": facts["path"],
        "date": manifest["footprints"].get(f"{date}_date") or facts["date"] or "not known",
        "size": f"{facts['width']:,} × {facts['height']:,} pixels",
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
