"""``report.html``: a finished run as one file to look at, to send around and to print.

The page is put together from ``report.html`` (a template), ``report.css`` and ``report.js`` beside
this module. Both dates, outlines and tables stand in the page itself; nothing is asked of a
network, and a policy in the page lets no other script run.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

import numpy as np
import shapely

from hanet.detection import report_tables as tables
from hanet.detection.highlights import Highlights, style_of
from hanet.detection.pictures import QUALITY, Pictures, take_pictures
from hanet.files import replace_file
from hanet.footprints.footprint import Footprint
from hanet.imagery.grid import Grid, to_wgs84
from hanet.imagery.images import encode_jpeg, resampled
from hanet.imagery.pair import RasterPair
from hanet.imagery.raster_output import ProbabilityRaster
from hanet.types import ByteArray, FloatArray, Json, Window

CHIP_PX = 320
"""Longest side of the picture on a card: twice what it takes on the page, for fine screens."""

SMALLEST_CHIP_PX, LARGEST_CHIP_PX = 64, 2048
"""Side of the ground that a card shows, in pixels of the grid."""

LABELS_SHARE = 0.018
"""Height of a number on the printed pictures, as a share of their longer side."""


HINT = "Click a footprint, a card or a row of the table: both dates then show that place."
"""Under the picture at first."""

NOTHING = '<p class="nothing">No change was found.</p>'
"""Above the picture without footprints."""


@dataclass(frozen=True, slots=True)
class Ground:
    """How pixels of a grid lie on the ground, so that the page can show the ground as it is.

    Args:
        stretch: Factors (x, y), one of them 1, that make pixels square on the ground.
        metres: Metres to a unit after that; None where they are not known.
        north_deg: Direction of true north, clockwise from up; None without a CRS.
    """

    stretch: tuple[float, float]
    metres: float | None
    north_deg: float | None

    @classmethod
    def of(cls, grid: Grid) -> Ground:
        """At the centre of a grid."""
        axes = grid.gsd_axes_m
        if axes is None:
            return cls((1.0, 1.0), None, None)
        if grid.crs is None:
            return cls((1.0, 1.0), axes[0], None)
        unit = min(axes)
        is_square = math.isclose(*axes, rel_tol=1e-3)
        stretch = (1.0, 1.0) if is_square else (axes[0] / unit, axes[1] / unit)
        points = [grid.affine @ (grid.width / 2, grid.height / 2 - up) for up in (0, 1)]
        longitudes, latitudes = to_wgs84(grid.crs, [p[0] for p in points], [p[1] for p in points])
        east = math.remainder(longitudes[1] - longitudes[0], 360.0)
        east *= math.cos(math.radians(latitudes[0]))
        return cls(stretch, unit, -math.degrees(math.atan2(east, latitudes[1] - latitudes[0])))


def pictures_for(
    pair: RasterPair, overview: tuple[ByteArray, ByteArray], highlights: Highlights
) -> Pictures:
    """The pictures of a pair that a report of these footprints shows.

    Args:
        pair: The pair on the run's grid, open.
        overview: Before and after of the whole grid, uint8 (3, h, w), or (1, h, w) for grey.
        highlights: What was kept of the footprints while they were written.

    Raises:
        RasterError: The pair cannot be read.
    """
    ground = Ground.of(pair.grid)
    cards = (*highlights.largest, *highlights.doubtful)
    return take_pictures(
        pair,
        overview,
        first=[_chip_window(footprint, pair.grid, ground) for footprint in cards],
        others=[_window_of(footprint) for footprint in highlights.listed],
    )


def write_report(
    path: Path,
    *,
    probability: Path,
    pictures: Pictures,
    manifest: Json,
    highlights: Highlights,
) -> None:
    """Writes the report of a run: self-contained, it opens without network.

    Args:
        path: The file; its folder is made.
        probability: ``probability.tif`` of the run.
        pictures: Both dates on the grid of that raster.
        manifest: What ``run.json`` holds, or will hold.
        highlights: What was kept of the footprints while they were written. Footprints may have the
            attributes ``status``, ``kind`` and ``comment``; the page shows them then.

    Raises:
        RasterError: The probability cannot be read.
        OutputError: The disk does not take the page.
    """
    with ProbabilityRaster(probability) as raster:
        page = _page(raster, pictures, manifest, highlights)
    replace_file(path, page.encode())


def _page(
    raster: ProbabilityRaster, pictures: Pictures, manifest: Json, highlights: Highlights
) -> str:
    grid = raster.grid
    ground = Ground.of(grid)
    unit = "m²" if grid.has_metres else "px²"
    width, height = grid.width * ground.stretch[0], grid.height * ground.stretch[1]
    script, style = _part("report.js"), _part("report.css")
    largest, doubtful = highlights.largest, highlights.doubtful
    facts = {
        "width": width,
        "height": height,
        "stretch": ground.stretch,
        "metres": ground.metres,
        "scale": pictures.scale,
    }
    return Template(_part("report.html")).substitute(
        policy=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        style=style,
        script=script,
        title=html.escape(_title(manifest)),
        made=html.escape(_made(manifest)),
        figures=tables.figures(manifest, highlights, grid),
        limits=tables.limits(manifest),
        terms=tables.terms(manifest),
        before=_date(manifest, "before"),
        after=_date(manifest, "after"),
        width=f"{width:.1f}",
        height=f"{height:.1f}",
        picture_before=_data_url(pictures.whole.before),
        picture_after=_data_url(pictures.whole.after),
        outlines=_svg_paths(highlights.listed, ground),
        labels=_labels((*largest, *doubtful), ground, max(width, height)),
        north=_north(ground),
        scale_bar=_scale_bar(ground, width),
        legend=tables.legend(highlights),
        sharpness=_sharpness(pictures, highlights, grid),
        listed=tables.listed_in_words(highlights) if highlights.count else "",
        empty="" if highlights.count else ' class="is-empty"',
        hint=HINT if highlights.count else "",
        nothing="" if highlights.count else NOTHING,
        largest=_cards(raster, pictures, ground, largest),
        doubtful=_doubtful(_cards(raster, pictures, ground, doubtful), any_at_all=bool(largest)),
        sizes=tables.size_table(highlights, unit=unit),
        kinds=_kinds(tables.kind_table(highlights, unit=unit)),
        table=tables.footprint_table(highlights.listed) or "<p>There is no footprint to list.</p>",
        histogram=tables.histogram(highlights.histogram.tolist()),
        notes=tables.notes(manifest),
        pair=tables.pair_table(manifest),
        manifest=html.escape(json.dumps(_without_folders(manifest), indent=2)),
        facts=json.dumps(facts),
        cells=pictures.cells_json(),
    )


def _part(name: str) -> str:
    return (files("hanet.detection") / name).read_text(encoding="utf-8")


def _without_folders(manifest: Json) -> Json:
    """The manifest without where the inputs lie: the report is handed on, and names files only."""
    return {key: value for key, value in manifest.items() if key != "inputs"}


def _title(manifest: Json) -> str:
    return " → ".join(str(manifest["pair"][date]["path"]) for date in ("before", "after"))


def _made(manifest: Json) -> str:
    """Which program made it, with which weights, and when."""
    version, begun = manifest.get("hanet"), str(manifest.get("started", ""))[:10]
    made = f"Found by hanet{f' {version}' if version else ''}"
    made += f" with the weights “{manifest['weights']['name']}”"
    made += f" on {begun}" if begun else ""
    renewed = manifest.get("renewed")
    if renewed:
        made += f"; footprints made again on {str(renewed['at'])[:10]}"
    return f"{made}."


def _date(manifest: Json, which: str) -> str:
    """The name of a date with what is known of it, as HTML."""
    date = tables.date_of(manifest, which)
    return f"{which} <b>{html.escape(date)}</b>" if date else which


def _chip_window(footprint: Footprint, grid: Grid, ground: Ground) -> Window:
    """A footprint with its surroundings: square on the ground, inside the grid."""
    left, top, right, bottom = footprint.pixel_geometry.bounds
    sx, sy = ground.stretch
    side = 1.6 * max((right - left) * sx, (bottom - top) * sy)
    side = float(np.clip(side, SMALLEST_CHIP_PX, LARGEST_CHIP_PX))
    height, width = min(round(side / sy), grid.height), min(round(side / sx), grid.width)
    row = int(np.clip((top + bottom - height) / 2, 0, grid.height - height))
    column = int(np.clip((left + right - width) / 2, 0, grid.width - width))
    return Window(row, column, height, width)


def _window_of(footprint: Footprint) -> Window:
    """The pixels that a footprint lies in."""
    left, top, right, bottom = footprint.pixel_geometry.bounds
    row, column = math.floor(top), math.floor(left)
    return Window(row, column, math.ceil(bottom) - row, math.ceil(right) - column)


def _cards(
    raster: ProbabilityRaster,
    pictures: Pictures,
    ground: Ground,
    footprints: Iterable[Footprint],
) -> str:
    """Before, after and probability of each footprint with its surroundings."""
    cards = []
    for footprint in footprints:
        window = _chip_window(footprint, raster.grid, ground)
        sx, sy = ground.stretch
        width, height = window.width * sx, window.height * sy
        scale = min(1.0, CHIP_PX / max(width, height))
        size = {"height": max(1, round(height * scale)), "width": max(1, round(width * scale))}
        before, after = pictures.read(window, **size)
        path = _svg_path(footprint, ground, (window.column, window.row))
        outline = (
            f'<svg viewBox="0 0 {width:.1f} {height:.1f}" class="{style_of(footprint)}" '
            f'aria-hidden="true"><path d="{path}"/></svg>'
        )
        number = footprint.attributes["id"]
        shown = (
            ("before", before, outline),
            ("after", after, outline),
            ("probability", _heat(raster, window, **size), ""),
        )
        frames = "".join(
            f'<figure><div class="chip"><img src="{_picture(image)}" alt="{name}">{over}</div>'
            f"<figcaption>{name}</figcaption></figure>"
            for name, image, over in shown
        )
        cards.append(
            f'<article class="card" data-id="{number}"><div class="row">{frames}</div>'
            f'<p><button type="button" title="show it in the picture">#{number}</button> '
            f"{_caption(footprint)}</p></article>"
        )
    return "".join(cards)


def _doubtful(cards: str, *, any_at_all: bool) -> str:
    """The second gallery; without cards of its own only where its footprints are."""
    if not any_at_all:
        return ""
    if not cards:
        return '<p class="lede">These are all footprints.</p>'
    return (
        '<h2>Most doubtful changes</h2><p class="lede">Of the others the lowest mean probability '
        "first: look at these before you "
        f'trust the rest.</p><div class="cards">{cards}</div>'
    )


def _kinds(table: str) -> str:
    return f'<h2>By kind</h2><div class="scroll">{table}</div>' if table else ""


def _caption(footprint: Footprint) -> str:
    facts = footprint.attributes
    size = f"{facts['area_m2']:,.0f} m²" if "area_m2" in facts else f"{facts['area_px']:,.0f} px²"
    if "centroid_longitude" in facts:
        where = f"{facts['centroid_latitude']:.5f}, {facts['centroid_longitude']:.5f}"
    else:
        where = f"row {facts['centroid_row']:.0f}, column {facts['centroid_column']:.0f}"
    kind = f"{facts['kind']} · " if facts.get("kind") else ""
    return f"{kind}{size} · probability {facts['probability_mean']:.2f} · {where}"


def _svg_paths(footprints: Sequence[Footprint], ground: Ground) -> str:
    return "".join(
        f'<path id="f{footprint.attributes["id"]}" class="{style_of(footprint)}" '
        f'd="{_svg_path(footprint, ground, (0, 0))}"/>'
        for footprint in footprints
    )


def _svg_path(footprint: Footprint, ground: Ground, origin: tuple[int, int]) -> str:
    parts = []
    for polygon in shapely.get_parts(footprint.pixel_geometry):
        for ring in (polygon.exterior, *polygon.interiors):
            points = (np.asarray(ring.coords) - origin) * ground.stretch
            parts.append("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points[:-1]) + "Z")
    return "".join(parts)


def _labels(footprints: Iterable[Footprint], ground: Ground, longest: float) -> str:
    """Numbers of the footprints on the cards, for the printed pictures."""
    size = LABELS_SHARE * longest
    labels = []
    for footprint in footprints:
        left, top, right, _ = footprint.pixel_geometry.bounds
        x = (left + right) / 2 * ground.stretch[0]
        y = max(size, top * ground.stretch[1] - 0.3 * size)
        labels.append(f'<text x="{x:.1f}" y="{y:.1f}">{footprint.attributes["id"]}</text>')
    return f'<g class="labels" style="font-size:{size:.1f}px">{"".join(labels)}</g>'


def _north(ground: Ground) -> str:
    if ground.north_deg is None:
        return ""
    return (
        '<svg class="north" viewBox="0 0 24 36" role="img" aria-label="north arrow" '
        f'style="transform:rotate({ground.north_deg:.1f}deg)"><path d="M12 1L20 24L12 19L4 24Z"/>'
        '<text x="12" y="35">N</text></svg>'
    )


def _scale_bar(ground: Ground, width: float) -> str:
    """A bar of about a quarter of the printed pictures' width."""
    unit = ground.metres or 1.0
    goal = 0.25 * width * unit
    power = 10.0 ** math.floor(math.log10(goal))
    length = max(step * power for step in (1, 2, 5) if step * power <= goal)
    if ground.metres is None:
        text = f"{length:g} px"
    else:
        text = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    return f'<div class="measure" style="width:{100 * length / unit / width:.2f}%">{text}</div>'


def _sharpness(pictures: Pictures, highlights: Highlights, grid: Grid) -> str:
    """How sharp the pictures are, where that is not as sharp as the pair."""
    if pictures.scale <= 1 or not highlights.count:
        return ""
    listed, pixel = highlights.listed, grid.gsd_m
    centres = [shapely.centroid(footprint.pixel_geometry) for footprint in listed]
    found = Counter(pictures.step_at(centre.y, centre.x) for centre in centres)

    def named(step: float) -> str:
        return f"{pixel * step:.3g} m" if pixel else f"{step:.3g} px"

    parts = [
        f"{named(step)} a pixel around {count:,} of {len(listed):,} footprints"
        for step, count in sorted(found.items())
        if step < pictures.scale
    ]
    whole = f"{named(pictures.scale)} of the whole area"
    return f"The page holds pictures of {', '.join(parts)}{' and ' if parts else ''}{whole}."


def _heat(
    raster: ProbabilityRaster, window: Window, *, height: int, width: int
) -> ByteArray:  # (3, height, width)
    """Probability as colours from dark blue over orange to light yellow; grey where invalid."""
    stops = np.array(
        [[13, 22, 48], [122, 40, 90], [233, 106, 60], [255, 236, 160]], dtype=np.float32
    )
    step = max(1, max(window.shape) // (2 * CHIP_PX))
    probability: FloatArray = raster.read(window)[::step, ::step]
    filled = np.nan_to_num(probability, nan=0.0) * (len(stops) - 1)
    levels = np.arange(len(stops))
    colours = np.stack([np.interp(filled, levels, stops[:, band]) for band in range(3)])
    colours[:, np.isnan(probability)] = 128
    rows, columns = probability.shape
    box = (0.0, 0.0, float(columns), float(rows))
    return resampled(np.rint(colours).astype(np.uint8), box, height=height, width=width)


def _picture(image: ByteArray) -> str:
    """An image (3, H, W) as a data URL."""
    return _data_url(encode_jpeg(image, quality=QUALITY))


def _data_url(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
