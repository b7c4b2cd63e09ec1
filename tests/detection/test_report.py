"""What ``report.html`` holds of a pair of 8x8 pixels, and what it escapes."""

from __future__ import annotations

import base64
import copy
import html
import json
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image
from shapely import MultiPolygon, Polygon, box

from hanet.detection.highlights import DRAWN, Highlights
from hanet.detection.report import write_report
from hanet.footprints.footprint import Footprint
from hanet.imagery.grid import Grid
from hanet.imagery.pair import RasterPair, open_pair
from hanet.imagery.raster_output import FlatRaster, encode_probability, write_probability
from hanet.types import ByteArray, FloatArray, Json, Window

UTM = rasterio.crs.CRS.from_epsg(32614)
SIDE = 8
GREY: ByteArray = np.full((3, SIDE, SIDE), 90, dtype=np.uint8)

FILE: Json = {
    "path": "before.tif",
    "height": SIDE,
    "width": SIDE,
    "bands": 3,
    "type": "uint8",
    "crs": "EPSG:32614",
    "gsd_m": 0.5,
    "validity": "none",
    "date": None,
}

MANIFEST: Json = {
    "weights": {"name": "difference"},
    "pair": {"before": FILE, "after": {**FILE, "path": "after.tif"}},
    "said": [],
    "threshold": 0.5,
    "footprints": {"before_date": None, "after_date": None},
}
"""The part of ``run.json`` that the page asks for."""


@pytest.fixture
def pair(tmp_path: Path) -> RasterPair:
    """A black and a white image on one grid; probability is 0 in the left half, 1 in the right."""
    for name, value in (("before", 0), ("after", 255)):
        place = rasterio.Affine(0.5, 0, 620000, 0, -0.5, 3350000)
        profile: Json = {
            "height": SIDE,
            "width": SIDE,
            "count": 3,
            "dtype": "uint8",
            "crs": UTM,
            "transform": place,
        }
        with rasterio.open(tmp_path / f"{name}.tif", "w", driver="GTiff", **profile) as file:
            file.write(np.full((3, SIDE, SIDE), value, np.uint8))
    opened = open_pair(tmp_path / "before.tif", tmp_path / "after.tif")
    probability = np.zeros((SIDE, SIDE), np.float32)
    probability[:, SIDE // 2 :] = 1
    _write_probability(tmp_path, opened.grid, probability)
    return opened


def _write_probability(out: Path, grid: Grid, probability: FloatArray) -> None:
    valid = np.isfinite(probability)
    stored = encode_probability(np.nan_to_num(probability), valid)
    with FlatRaster(out / "raw", grid) as flat:
        flat.write(Window(0, 0, *probability.shape), stored)
    write_probability(out / "raw", grid, out / "probability.tif", tags={})


def footprint(
    number: int, shape: Polygon | MultiPolygon, *, mean: float = 0.9, **more: Any
) -> Footprint:
    """A footprint in pixels; its area is that of its pixels."""
    facts = {"id": number, "area_m2": shape.area / 4, "probability_mean": mean}
    place = {"centroid_longitude": -97.752346, "centroid_latitude": 30.275678}
    return Footprint(shape, shape, {**facts, **place, **more})


def highlights_of(*footprints: Footprint) -> Highlights:
    """What was kept of these footprints."""
    highlights = Highlights()
    for each in footprints:
        highlights.see(each)
    return highlights


def page_of(
    pair: RasterPair,
    out: Path,
    highlights: Highlights,
    manifest: Json | None = None,
    picture: ByteArray = GREY,
) -> str:
    """The text of the page."""
    given = MANIFEST if manifest is None else manifest
    with pair:
        path = write_report(
            out, pair=pair, pictures=(picture, picture), manifest=given, highlights=highlights
        )
    assert path == out / "report.html"
    assert not list(out.glob(".report*"))
    return path.read_text(encoding="utf-8")


def manifest_with(*path: str, value: Any) -> Json:
    """A copy of the manifest with one value replaced."""
    manifest = copy.deepcopy(MANIFEST)
    place = manifest
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return manifest


def picture(page: str, alt: str) -> ByteArray:
    """The picture with this text beside it, (H, W, 3)."""
    found = re.search(rf'<img src="data:image/jpeg;base64,([^"]+)" alt="{alt}"', page)
    assert found is not None
    return np.asarray(Image.open(BytesIO(base64.b64decode(found[1]))))


def swipe_picture(page: str, date: str) -> ByteArray:
    """The picture of one date on the swipe, (H, W, 3)."""
    place = f'class="{date}" alt="the place {date}" src="data:image/jpeg;base64,'
    found = re.search(re.escape(place) + '([^"]+)"', page)
    assert found is not None
    return np.asarray(Image.open(BytesIO(base64.b64decode(found[1]))))


def facts(page: str) -> dict[str, list[str]]:
    """The table of the pair: name to before and after."""
    rows = re.findall(r"<tr><td>(.*?)</td><td>(.*?)</td><td>(.*?)</td></tr>", page)
    return {name: values for name, *values in rows}


def test_count_area_threshold_and_weights_stand_at_the_top(
    pair: RasterPair, tmp_path: Path
) -> None:
    shapes = box(0, 0, 2, 2), box(4, 4, 8, 8)
    page = page_of(
        pair, tmp_path, highlights_of(*(footprint(n, s) for n, s in enumerate(shapes, 1)))
    )
    figures = re.findall(r"<div><b>(.*?)</b><span>(.*?)</span></div>", page)
    assert figures == [
        ("2", "footprints"),
        ("5 m²", "changed area"),
        ("0.5", "probability threshold"),
    ]
    assert "<title>before.tif → after.tif · hanet</title>" in page
    assert "with the weights “difference”" in page
    assert "checked> footprints </label>" in page  # all are drawn, so nothing is said


def test_a_pair_of_pictures_counts_square_pixels(pair: RasterPair, tmp_path: Path) -> None:
    pair.grid = Grid(None, (1.0, 0.0, 0.0, 0.0, -1.0, 0.0), SIDE, SIDE)
    shape = box(0, 0, 2, 2)
    facts_px = {
        "id": 1,
        "area_px": 4,
        "probability_mean": 0.9,
        "centroid_row": 1,
        "centroid_column": 1,
    }
    page = page_of(pair, tmp_path, highlights_of(Footprint(shape, shape, facts_px)))
    assert "<b>4 px²</b>" in page
    assert "<b>#1</b> 4 px² · probability 0.90 · row 1, column 1" in page


def test_outlines_are_drawn_in_the_pixels_of_the_picture(pair: RasterPair, tmp_path: Path) -> None:
    half = np.full((3, SIDE // 2, SIDE // 2), 90, np.uint8)
    page = page_of(pair, tmp_path, highlights_of(footprint(1, box(2, 2, 6, 4))), picture=half)
    swipe = re.search(r'<svg id="outlines" viewBox="0 0 4 4"[^>]*>(.*?)</svg>', page)
    assert swipe is not None
    assert swipe[1] == '<path d="M3.0 1.0L3.0 2.0L1.0 2.0L1.0 1.0Z"/>'


def test_a_hole_and_a_second_part_are_rings_of_one_path(pair: RasterPair, tmp_path: Path) -> None:
    ring = box(0, 0, 4, 4) - box(1, 1, 2, 2)
    page = page_of(
        pair, tmp_path, highlights_of(footprint(1, MultiPolygon([ring, box(6, 6, 7, 7)])))
    )
    swipe = re.search(r'<svg id="outlines"[^>]*>(.*?)</svg>', page)
    assert swipe is not None
    assert swipe[1].count("<path") == 1
    assert [len(part.split("L")) for part in swipe[1].split("M")[1:]] == [4, 4, 4]


def test_chips_show_both_dates_and_the_probability(pair: RasterPair, tmp_path: Path) -> None:
    page = page_of(pair, tmp_path, highlights_of(footprint(7, box(5, 2, 7, 4), mean=0.876)))
    assert picture(page, "before").max() <= 2
    assert picture(page, "after").min() >= 253
    heat = picture(page, "probability").astype(int)
    assert heat.shape == (SIDE, SIDE, 3)
    assert (
        abs(heat[:, :2].mean(axis=(0, 1)) - (13, 22, 48)).max() < 30
    )  # dark blue, smeared by JPEG
    assert abs(heat[:, -2:].mean(axis=(0, 1)) - (255, 236, 160)).max() < 30  # light yellow
    assert "<b>#7</b> 1 m² · probability 0.88 · 30.27568, -97.75235" in page


def test_an_invalid_pixel_is_grey(pair: RasterPair, tmp_path: Path) -> None:
    _write_probability(tmp_path, pair.grid, np.full((SIDE, SIDE), np.nan, np.float32))
    page = page_of(pair, tmp_path, highlights_of(footprint(1, box(2, 2, 6, 4))))
    assert abs(picture(page, "probability").astype(int) - 128).max() <= 2


def test_the_swipe_shows_before_and_after(pair: RasterPair, tmp_path: Path) -> None:
    white = np.full((3, SIDE, SIDE), 255, np.uint8)
    with pair:
        options: Json = {"manifest": MANIFEST, "highlights": highlights_of()}
        path = write_report(tmp_path, pair=pair, pictures=(GREY, white), **options)
    page = path.read_text(encoding="utf-8")
    assert abs(swipe_picture(page, "before").astype(int) - 90).max() <= 2
    assert swipe_picture(page, "after").min() >= 253


def test_a_grey_pair_gives_grey_pictures(pair: RasterPair, tmp_path: Path) -> None:
    pixels = swipe_picture(page_of(pair, tmp_path, highlights_of(), picture=GREY[:1]), "before")
    assert pixels.shape == (SIDE, SIDE, 3)
    assert abs(pixels.astype(int) - 90).max() <= 2


@pytest.mark.parametrize(
    ("left", "top", "column", "row"),
    [(50, 40, 20, 10), (96, 76, 36, 16), (0, 0, 0, 0)],
)
def test_a_chip_is_centred_on_its_footprint_and_stays_inside(
    tmp_path: Path, left: int, top: int, column: int, row: int
) -> None:
    pixels = np.zeros((3, 80, 100), np.uint8)
    pixels[0] = np.arange(80)[:, None] * 2  # red tells the row, green the column
    pixels[1] = np.arange(100)[None, :] * 2
    profile: Json = {"height": 80, "width": 100, "count": 3, "dtype": "uint8", "crs": UTM}
    profile["transform"] = rasterio.Affine(0.5, 0, 620000, 0, -0.5, 3350000)
    with rasterio.open(tmp_path / "a.tif", "w", driver="GTiff", **profile) as file:
        file.write(pixels)
    pair = open_pair(tmp_path / "a.tif", tmp_path / "a.tif")
    _write_probability(tmp_path, pair.grid, np.zeros((80, 100), np.float32))
    page = page_of(
        pair,
        tmp_path,
        highlights_of(footprint(1, box(left, top, left + 4, top + 4))),
        picture=pixels,
    )
    chip = picture(page, "before").astype(int)
    assert chip.shape == (64, 64, 3)
    assert abs(chip[0, 0] - (2 * row, 2 * column, 0)).max() <= 8
    outline = re.search(r'<svg viewBox="0 0 64 64"><path d="(.*?)"/></svg>', page)
    assert outline is not None
    x, y = left - column, top - row
    corners = ((x + 4, y), (x + 4, y + 4), (x, y + 4), (x, y))
    assert outline[1] == "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in corners) + "Z"


def test_without_footprints_the_page_says_so(pair: RasterPair, tmp_path: Path) -> None:
    page = page_of(pair, tmp_path, highlights_of())
    assert "<p>No change was found.</p>" in page
    assert "These are all footprints." not in page
    assert "Most doubtful changes" not in page


def test_few_footprints_have_one_gallery_and_more_a_second_one(
    pair: RasterPair, tmp_path: Path
) -> None:
    few = [footprint(number, box(0, 0, 1, number)) for number in range(1, 9)]
    page = page_of(pair, tmp_path, highlights_of(*few))
    assert "These are all footprints." in page
    assert "Most doubtful changes" not in page
    small = [footprint(9, box(0, 0, 1, 0.5), mean=0.7), footprint(10, box(0, 0, 1, 0.5), mean=0.6)]
    page = page_of(
        open_pair(tmp_path / "before.tif", tmp_path / "after.tif"),
        tmp_path,
        highlights_of(*few, *small),
    )
    galleries = page.split("Most doubtful changes")
    numbers = [re.findall(r"<b>#(\d+)</b>", gallery) for gallery in galleries]
    assert numbers == [["8", "7", "6", "5", "4", "3", "2", "1"], ["10", "9"]]


def test_more_footprints_than_are_drawn_are_told(pair: RasterPair, tmp_path: Path) -> None:
    square = box(0, 0, 2, 2)
    page = page_of(pair, tmp_path, highlights_of(*(footprint(n, square) for n in range(DRAWN + 1))))
    assert "footprints (the 4,000 largest of 4,001)</label>" in page
    outlines = re.search(r'<svg id="outlines"[^>]*>(.*?)</svg>', page)
    assert outlines is not None
    assert outlines[1].count("<path") == DRAWN


def test_bars_are_logarithmic(pair: RasterPair, tmp_path: Path) -> None:
    highlights = highlights_of()
    probability = np.zeros((100, 10), np.float32)
    probability[0, :9] = 1
    highlights.see_strip(probability)
    page = page_of(pair, tmp_path, highlights)
    bars = re.findall(r'<div class="bar" style="height:([\d.]+)%" title="([^"]+)">', page)
    assert len(bars) == 20
    assert bars[0] == ("100.0", "0.00-0.05: 991 pixels")
    assert bars[-1] == ("33.4", "0.95-1.00: 9 pixels")  # log 10 / log 992
    assert {height for height, _ in bars[1:-1]} == {"0.0"}


def test_the_table_tells_the_files_in_words(pair: RasterPair, tmp_path: Path) -> None:
    table = facts(page_of(pair, tmp_path, highlights_of()))
    assert table == {
        "file": ["before.tif", "after.tif"],
        "date": ["not known"] * 2,
        "size": ["8 × 8 pixels"] * 2,
        "pixel": ["0.5 m"] * 2,
        "CRS": ["EPSG:32614"] * 2,
        "bands": ["3, uint8"] * 2,
        "invalid pixels": ["not marked"] * 2,
    }


@pytest.mark.parametrize(
    ("key", "value", "row", "shown"),
    [
        ("crs", None, "CRS", "none: pixel coordinates"),
        ("crs", 'PROJCS["A local grid",GEOGCS["x"]]', "CRS", "A local grid"),
        ("gsd_m", None, "pixel", "not known"),
        ("gsd_m", 0.123456, "pixel", "0.123 m"),
        ("validity", "alpha", "invalid pixels", "by alpha"),
        ("validity", "mask", "invalid pixels", "by a mask"),
        ("validity", "nodata 0", "invalid pixels", "nodata 0"),
        ("date", "2020-05-01", "date", "2020-05-01"),
        ("width", 12345, "size", "12,345 × 8 pixels"),
    ],
)
def test_a_fact_of_a_file(
    pair: RasterPair, tmp_path: Path, key: str, value: Any, row: str, shown: str
) -> None:
    manifest = manifest_with("pair", "before", key, value=value)
    table = facts(page_of(pair, tmp_path, highlights_of(), manifest))
    assert table[row][0] == shown


def test_a_date_that_the_user_gave_comes_first(pair: RasterPair, tmp_path: Path) -> None:
    manifest = manifest_with("pair", "before", "date", value="2020-05-01")
    manifest["footprints"]["before_date"] = "2019-01-01"
    table = facts(page_of(pair, tmp_path, highlights_of(), manifest))
    assert table["date"] == ["2019-01-01", "not known"]


def test_what_was_said_is_listed_with_its_remedy(pair: RasterPair, tmp_path: Path) -> None:
    said = [
        {"level": "warning", "message": "the dates differ", "fix": "--match-radiometry"},
        {"level": "note", "message": "it is small", "fix": ""},
    ]
    page = page_of(pair, tmp_path, highlights_of(), manifest_with("said", value=said))
    assert '<li class="warning">the dates differ <code>--match-radiometry</code></li>' in page
    assert '<li class="note">it is small</li>' in page
    assert "Nothing to say" not in page


def test_where_nothing_was_said_the_page_says_so(pair: RasterPair, tmp_path: Path) -> None:
    assert "Nothing to say: the pair fits the weights." in page_of(pair, tmp_path, highlights_of())


HOSTILE = '"></pre></title><script>alert(1)</script>&amp;'


@pytest.mark.parametrize(
    "path",
    [
        ("pair", "before", "path"),
        ("pair", "after", "path"),
        ("pair", "before", "type"),
        ("pair", "after", "validity"),
        ("pair", "before", "date"),
        ("pair", "after", "crs"),
        ("footprints", "after_date"),
        ("weights", "name"),
        ("said",),
    ],
)
def test_names_dates_and_notes_are_escaped(
    pair: RasterPair, tmp_path: Path, path: tuple[str, ...]
) -> None:
    said = [{"level": HOSTILE, "message": HOSTILE, "fix": HOSTILE}]
    manifest = manifest_with(*path, value=said if path == ("said",) else HOSTILE)
    page = page_of(pair, tmp_path, highlights_of(), manifest)
    assert page.count("<script>") == 1  # the page's own
    assert "alert(1)</script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;" in page
    assert page.count("</pre>") == page.count("</title>") == 1


def test_the_manifest_comes_back_from_the_page(pair: RasterPair, tmp_path: Path) -> None:
    manifest = manifest_with("pair", "before", "path", value="a $title of ${weights} & <b>.tif")
    page = page_of(pair, tmp_path, highlights_of(), manifest)
    found = re.search(r"<pre>(.*?)</pre>", page, re.DOTALL)
    assert found is not None
    assert json.loads(html.unescape(found[1])) == manifest
    assert "<title>a $title of ${weights} &amp; &lt;b&gt;.tif → after.tif" in page


def test_the_page_asks_nothing_of_the_network(pair: RasterPair, tmp_path: Path) -> None:
    page = page_of(pair, tmp_path, highlights_of(footprint(1, box(2, 2, 6, 4))))
    sources = re.findall(r'(?:src|href)\s*=\s*"([^"]{0,30})', page)
    assert len(sources) == 5
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert re.findall(r"https?://|@import|url\(", page) == []
