"""What ``report.html`` holds of a pair of 8x8 pixels, and what it escapes."""

from __future__ import annotations

import base64
import copy
import hashlib
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

from hanet.detection.highlights import DOUBTED, DRAWN, Highlights
from hanet.detection.pictures import Picture, Pictures
from hanet.detection.report import Ground, write_report
from hanet.footprints.footprint import Footprint
from hanet.imagery.grid import Grid
from hanet.imagery.images import encode_jpeg
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


GRID = Grid(UTM.to_wkt(), (0.5, 0.0, 620000.0, 0.0, -0.5, 3350000.0), SIDE, SIDE)
BLACK, WHITE = (np.full((3, SIDE, SIDE), value, np.uint8) for value in (0, 255))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder whose probability is 0 in the left half, 1 in the right."""
    probability = np.zeros((SIDE, SIDE), np.float32)
    probability[:, SIDE // 2 :] = 1
    _write_probability(tmp_path, GRID, probability)
    return tmp_path


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


def pictures_of(before: ByteArray, after: ByteArray, grid: Grid = GRID) -> Pictures:
    """Pictures without cells."""
    jpegs = [encode_jpeg(image, quality=95) for image in (before, after)]
    whole = Picture(Window(0, 0, grid.height, grid.width), *jpegs)
    return Pictures(whole, scale=max(1.0, grid.width / before.shape[2]))


def page_of(
    out: Path,
    highlights: Highlights,
    manifest: Json | None = None,
    pictures: Pictures | None = None,
) -> str:
    """The text of the page."""
    path = out / "report.html"
    write_report(
        path,
        probability=out / "probability.tif",
        pictures=pictures or pictures_of(BLACK, WHITE),
        manifest=MANIFEST if manifest is None else manifest,
        highlights=highlights,
    )
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
    place = f'id="picture-{date}" alt="the place {date}" src="data:image/jpeg;base64,'
    found = re.search(re.escape(place) + '([^"]+)"', page)
    assert found is not None
    return np.asarray(Image.open(BytesIO(base64.b64decode(found[1]))))


def facts(page: str) -> dict[str, list[str]]:
    """The table of the pair: name to before and after."""
    rows = re.findall(r"<tr><td>(.*?)</td><td>(.*?)</td><td>(.*?)</td></tr>", page)
    return {name: values for name, *values in rows}


def outlines(page: str) -> str:
    """What is drawn over the pictures."""
    found = re.search(r'<g id="outlines">(.*?)</g>', page)
    assert found is not None
    return found[1]


def figures_of(page: str) -> list[tuple[str, str]]:
    """Numbers at the top with what they are."""
    return re.findall(r"<div><b>(.*?)</b><span>(.*?)</span></div>", page)


def test_count_area_threshold_and_weights_stand_at_the_top(out: Path) -> None:
    shapes = box(0, 0, 2, 2), box(4, 4, 8, 8)
    seen = highlights_of(*(footprint(n, s) for n, s in enumerate(shapes, 1)))
    seen.see_strip(np.zeros((SIDE, SIDE), np.float32))
    manifest = manifest_with("footprints", "min_area_m2", value=0.5)
    page = page_of(out, seen, manifest)
    assert figures_of(page) == [
        ("2", "footprints"),
        ("5 m²", "changed area"),
        ("31 %", "of the 0.0016 ha examined"),  # 5 of 64 pixels of half a metre
        ("0.5", "probability threshold"),
        ("0.5 m²", "smallest footprint"),
    ]
    assert "<title>before.tif → after.tif · hanet</title>" in page
    assert "with the weights “difference”" in page
    assert "All 2 footprints." in page


def test_a_hectare_is_told_as_such(out: Path) -> None:
    page = page_of(out, highlights_of(footprint(1, box(0, 0, 2, 2), area_m2=25_500.0)))
    assert ("25,500 m²", "changed area (2.55 ha)") in figures_of(page)


def test_a_pair_of_pictures_counts_square_pixels(out: Path) -> None:
    grid = Grid(None, (1.0, 0.0, 0.0, 0.0, -1.0, 0.0), SIDE, SIDE)
    _write_probability(out, grid, np.zeros((SIDE, SIDE), np.float32))
    shape = box(0, 0, 2, 2)
    facts_px = {
        "id": 1,
        "area_px": 4,
        "probability_mean": 0.9,
        "centroid_row": 1,
        "centroid_column": 1,
    }
    page = page_of(out, highlights_of(Footprint(shape, shape, facts_px)))
    assert "<b>4 px²</b>" in page
    assert "#1</button> 4 px² · probability 0.90 · row 1, column 1" in page
    assert 'aria-label="north arrow"' not in page
    assert re.search(r'class="measure"[^>]*>2 px<', page)


def test_outlines_are_drawn_in_pixels_of_the_grid_and_known_by_number(out: Path) -> None:
    page = page_of(out, highlights_of(footprint(7, box(2, 2, 6, 4))))
    assert outlines(page) == '<path id="f7" class="c2" d="M6.0 2.0L6.0 4.0L2.0 4.0L2.0 2.0Z"/>'
    assert 'viewBox="0 0 8.0 8.0"' in page
    assert page.count('data-id="7"') == 2  # its card and its row


def test_a_hole_and_a_second_part_are_rings_of_one_path(out: Path) -> None:
    ring = box(0, 0, 4, 4) - box(1, 1, 2, 2)
    drawn = outlines(
        page_of(out, highlights_of(footprint(1, MultiPolygon([ring, box(6, 6, 7, 7)]))))
    )
    assert drawn.count("<path") == 1
    assert [len(part.split("L")) for part in drawn.split("M")[1:]] == [4, 4, 4]


def test_degrees_are_shown_as_wide_as_they_are_on_the_ground(out: Path) -> None:
    """Joplin's picture was squeezed by a quarter: at 60 degrees north a degree of longitude is half
    as wide as one of latitude."""
    degrees = rasterio.crs.CRS.from_epsg(4326).to_wkt()
    grid = Grid(degrees, (1e-5, 0.0, 10.0, 0.0, -1e-5, 60.0), SIDE, SIDE)
    _write_probability(out, grid, np.zeros((SIDE, SIDE), np.float32))
    ground = Ground.of(grid)
    assert ground.stretch[0] == 1
    assert ground.stretch[1] == pytest.approx(1.9966, abs=1e-3)  # 111,412 m by 55,800 m
    assert ground.metres == pytest.approx(0.5580, abs=1e-3)
    assert ground.north_deg == pytest.approx(0)
    page = page_of(out, highlights_of(footprint(1, box(0, 2, 4, 4))), pictures=None)
    assert 'style="aspect-ratio:8.0/16.0"' in page
    assert outlines(page).endswith('d="M4.0 4.0L4.0 8.0L0.0 8.0L0.0 4.0Z"/>')
    chip = picture(page, "before")
    assert chip.shape == (16, 8, 3)  # 64 on the ground would be square: the grid has no more


@pytest.mark.parametrize(
    ("code", "x", "y", "turn"),
    [
        (32614, 500_000, 5_000_000, 0.0),  # central meridian
        (32614, 700_000, 5_000_000, -1.8),  # east of it grid north points east of true north
        (32614, 300_000, 5_000_000, 1.8),
    ],
)
def test_the_arrow_points_to_true_north(code: int, x: float, y: float, turn: float) -> None:
    crs = rasterio.crs.CRS.from_epsg(code).to_wkt()
    found = Ground.of(Grid(crs, (0.5, 0.0, x, 0.0, -0.5, y), SIDE, SIDE)).north_deg
    assert found == pytest.approx(turn, abs=0.05)


def test_chips_show_both_dates_and_the_probability(out: Path) -> None:
    page = page_of(out, highlights_of(footprint(7, box(5, 2, 7, 4), mean=0.876)))
    assert picture(page, "before").max() <= 2
    assert picture(page, "after").min() >= 253
    heat = picture(page, "probability").astype(int)
    assert heat.shape == (SIDE, SIDE, 3)
    assert (
        abs(heat[:, :2].mean(axis=(0, 1)) - (13, 22, 48)).max() < 30
    )  # dark blue, smeared by JPEG
    assert abs(heat[:, -2:].mean(axis=(0, 1)) - (255, 236, 160)).max() < 30  # light yellow
    assert "#7</button> 1 m² · probability 0.88 · 30.27568, -97.75235" in page


def test_an_invalid_pixel_is_grey(out: Path) -> None:
    _write_probability(out, GRID, np.full((SIDE, SIDE), np.nan, np.float32))
    page = page_of(out, highlights_of(footprint(1, box(2, 2, 6, 4))))
    assert abs(picture(page, "probability").astype(int) - 128).max() <= 2


def test_both_dates_are_on_the_page(out: Path) -> None:
    page = page_of(out, highlights_of(), pictures=pictures_of(GREY, WHITE))
    assert abs(swipe_picture(page, "before").astype(int) - 90).max() <= 2
    assert swipe_picture(page, "after").min() >= 253


def test_dates_stand_at_the_pictures(out: Path) -> None:
    manifest = manifest_with("footprints", "before_date", value="2019-05")
    page = page_of(out, highlights_of(), manifest)
    assert 'id="tag-before">before <b>2019-05</b></span>' in page
    assert 'id="tag-after">after</span>' in page
    assert "<figcaption>before <b>2019-05</b></figcaption>" in page


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
    grid = Grid(GRID.crs, GRID.transform, 80, 100)
    _write_probability(tmp_path, grid, np.zeros((80, 100), np.float32))
    page = page_of(
        tmp_path,
        highlights_of(footprint(1, box(left, top, left + 4, top + 4))),
        pictures=pictures_of(pixels, pixels, grid),
    )
    chip = picture(page, "before").astype(int)
    assert chip.shape == (64, 64, 3)
    assert abs(chip[0, 0] - (2 * row, 2 * column, 0)).max() <= 8
    outline = re.search(r'<svg viewBox="0 0 64.0 64.0"[^>]*><path d="(.*?)"/></svg>', page)
    assert outline is not None
    x, y = left - column, top - row
    corners = ((x + 4, y), (x + 4, y + 4), (x, y + 4), (x, y))
    assert outline[1] == "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in corners) + "Z"


def test_without_footprints_the_page_says_so(out: Path) -> None:
    page = page_of(out, highlights_of())
    assert "No change was found." in page
    assert '<body class="is-empty">' in page
    assert "Click a footprint, a card" not in page
    assert "These are all footprints." not in page
    assert "Most doubtful changes" not in page


def test_few_footprints_have_one_gallery_and_more_a_second_one(out: Path) -> None:
    few = [footprint(number, box(0, 0, 1, number)) for number in range(1, 9)]
    page = page_of(out, highlights_of(*few))
    assert "These are all footprints." in page
    assert "Most doubtful changes" not in page
    small = [footprint(9, box(0, 0, 1, 0.5), mean=0.7), footprint(10, box(0, 0, 1, 0.5), mean=0.6)]
    galleries = page_of(out, highlights_of(*few, *small)).split("Most doubtful changes")
    numbers = [re.findall(r">#(\d+)</button>", gallery) for gallery in galleries]
    assert numbers == [["8", "7", "6", "5", "4", "3", "2", "1"], ["10", "9"]]


def test_more_footprints_than_a_page_holds_are_told(out: Path) -> None:
    """The largest are listed, and of the others the most doubtful."""
    square = box(0, 0, 2, 2)
    large = [footprint(n, square, area_m2=50.0, mean=0.9) for n in range(DRAWN)]
    small = [footprint(DRAWN + n, square, area_m2=20.0, mean=0.8) for n in range(DOUBTED)]
    sure = footprint(9_999, square, area_m2=20.0, mean=0.95)
    page = page_of(out, highlights_of(sure, *small, *large))
    said = "4,000 of 4,001 footprints are drawn and listed: the 3,000 largest, and of the others "
    assert said + "the 1,000 most doubtful." in page
    numbers = [int(number) for number in re.findall(r'<path id="f(\d+)"', outlines(page))]
    assert sorted(numbers) == list(range(DRAWN + DOUBTED))
    listed = [int(number) for number in re.findall(r'<tr data-id="(\d+)"', page)]
    assert listed == numbers


def test_the_table_lists_what_is_known_of_each_footprint(out: Path) -> None:
    shapes = (
        footprint(1, box(0, 0, 2, 2)),
        footprint(2, box(4, 4, 8, 8), comment="<b>", kind="hall"),
    )
    page = page_of(out, highlights_of(*shapes))
    table = re.search(r'<table id="footprints">(.*?)</table>', page)
    assert table is not None
    heads = re.findall(r'<th[^>]*><button type="button">(.*?)</button></th>', table[1])
    assert heads == [
        "number", "kind", "area, m²", "mean probability", "latitude", "longitude", "comment",
    ]  # fmt: skip
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in table[1].split("</tr>")[1:-1]]
    place = ["30.27568", "-97.75235"]
    number = '<button type="button">{}</button>'.format
    assert rows == [
        [number(2), "hall", "4", "0.90", *place, "&lt;b&gt;"],
        [number(1), "", "1", "0.90", *place, ""],
    ]


def tally(page: str, what: str) -> dict[str, tuple[str, str]]:
    """Count and area by class."""
    table = re.search(rf'<table class="tally"><thead><tr><th scope="col">{what}<.*?</table>', page)
    assert table is not None
    row = r'<tr><th scope="row">(.*?)</th><td class="n">(.*?)</td><td class="n">(.*?)</td>'
    return {name: (count, area) for name, count, area in re.findall(row, table[0])}


def test_all_footprints_are_counted_by_size_kind_and_doubt(out: Path) -> None:
    square = box(0, 0, 2, 2)
    areas = (24.9, 25.0, 99.0, 100.0, 5_000.0)
    kinds = ("built", "demolished", "built", None, None)
    shapes = [
        footprint(n, square, area_m2=area, kind=kind, mean=0.1 + 0.2 * n)
        for n, (area, kind) in enumerate(zip(areas, kinds, strict=True))
    ]
    page = page_of(out, highlights_of(*shapes))
    sizes = tally(page, "size")
    assert sizes == {
        "below 25 m²": ("1", "25"),
        "25 to 50 m²": ("1", "25"),
        "50 to 100 m²": ("1", "99"),
        "100 to 200 m²": ("1", "100"),
        "200 to 500 m²": ("0", "0"),
        "500 to 1,000 m²": ("0", "0"),
        "1,000 m² and above": ("1", "5,000"),
        "all": ("5", "5,249"),
    }
    assert tally(page, "kind") == {
        "not given": ("2", "5,100"),
        "built": ("2", "124"),
        "demolished": ("1", "25"),
        "all": ("5", "5,249"),
    }
    legend = re.findall(r"</span>probability (.*?) <b>\((\d)\)</b>", page)
    assert legend == [("below 0.6: check it", "3"), ("0.6 to 0.8", "1"), ("0.8 and above", "1")]


def test_without_kinds_there_is_no_table_of_kinds(out: Path) -> None:
    assert "By kind" not in page_of(out, highlights_of(footprint(1, box(0, 0, 2, 2))))


def test_limits_and_terms_of_the_weights_are_in_plain_sight(out: Path) -> None:
    score = {"dataset": "tiles", "split": "val", "protocol": "whole", "f1": 0.876}
    weights = {
        "name": "difference",
        "licence": "academic use <only>",
        "training_data": "suburbs & sheds",
        "gsd_m": 0.5,
        "scores": [{**score, "recall": 0.85, "precision": 0.9}],
    }
    manifest = manifest_with("weights", value=weights)
    manifest["pair"]["gsd_m"] = 1.0
    page = page_of(out, highlights_of(), manifest)
    trust = page.split('<section class="trust"')[1].split("</section>")[0]
    assert "(tiles/val, whole) it finds 85 % of the changed pixels, and 90 % of the" in trust
    assert "Learned from: suburbs &amp; sheds." in trust
    assert "Learned at 0.5 m a pixel; this result has 1 m. Expect lower accuracy" in trust
    assert "<b>Terms of the weights:</b> academic use &lt;only&gt;." in trust
    assert page.index('class="trust"') < page.index('id="viewer"')


def test_how_sharp_the_pictures_are_is_said_where_it_matters(out: Path) -> None:
    grid = Grid(GRID.crs, GRID.transform, 1024, 1024)
    _write_probability(out, grid, np.zeros((1024, 1024), np.float32))
    coarse = encode_jpeg(np.zeros((3, 256, 256), np.uint8))
    cells = [
        Picture(Window(512, 0, 512, 512), coarse, coarse, step=2),
        Picture(Window(0, 0, 256, 256), coarse, coarse),
    ]
    whole = Picture(Window(0, 0, 1024, 1024), coarse, coarse)
    places = [(10, 10), (100, 100), (700, 100), (100, 700)]
    shapes = [
        footprint(number, box(column, row, column + 4, row + 4))
        for number, (row, column) in enumerate(places)
    ]
    page = page_of(out, highlights_of(*shapes), pictures=Pictures(whole, cells, scale=4))
    assert (
        "The page holds pictures of 0.5 m a pixel around 2 of 4 footprints, 1 m a pixel around 1 "
        "of 4 footprints and 2 m of the whole area." in page
    )
    page = page_of(out, highlights_of(*shapes), pictures=Pictures(whole, scale=1))
    assert "The page holds pictures" not in page


def test_weights_that_state_nothing_are_told_of(out: Path) -> None:
    page = page_of(out, highlights_of())
    assert "The weights state no score" in page
    assert "the weights state no terms of use" in page


def test_the_page_lets_no_other_script_run(out: Path) -> None:
    page = page_of(out, highlights_of())
    script = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert len(script) == 1
    digest = base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert "default-src 'none'" in page


def test_bars_are_logarithmic(out: Path) -> None:
    highlights = highlights_of()
    probability = np.zeros((100, 10), np.float32)
    probability[0, :9] = 1
    highlights.see_strip(probability)
    page = page_of(out, highlights)
    bars = re.findall(r'<div class="bar" style="height:([\d.]+)%" title="([^"]+)">', page)
    assert len(bars) == 20
    assert bars[0] == ("100.0", "0.00-0.05: 991 pixels")
    assert bars[-1] == ("33.4", "0.95-1.00: 9 pixels")  # log 10 / log 992
    assert {height for height, _ in bars[1:-1]} == {"0.0"}


def test_the_table_tells_the_files_in_words(out: Path) -> None:
    table = facts(page_of(out, highlights_of()))
    assert table == {
        "file": ["before.tif", "after.tif"],
        "date": ["not known"] * 2,
        "size": ["8 × 8 pixels (height × width)"] * 2,
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
        ("width", 12345, "size", "8 × 12,345 pixels (height × width)"),
    ],
)
def test_a_fact_of_a_file(out: Path, key: str, value: Any, row: str, shown: str) -> None:
    manifest = manifest_with("pair", "before", key, value=value)
    table = facts(page_of(out, highlights_of(), manifest))
    assert table[row][0] == shown


def test_a_date_that_the_user_gave_comes_first(out: Path) -> None:
    manifest = manifest_with("pair", "before", "date", value="2020-05-01")
    manifest["footprints"]["before_date"] = "2019-01-01"
    table = facts(page_of(out, highlights_of(), manifest))
    assert table["date"] == ["2019-01-01", "not known"]


def test_what_was_said_is_listed_with_its_remedy(out: Path) -> None:
    said = [
        {"level": "warning", "message": "the dates differ", "fix": "--match-radiometry"},
        {"level": "note", "message": "it is small", "fix": ""},
    ]
    page = page_of(out, highlights_of(), manifest_with("said", value=said))
    assert '<li class="warning">the dates differ <code>--match-radiometry</code></li>' in page
    trust = page.split('<section class="trust"')[1].split("</section>")[0]
    assert '<li class="warning">the dates differ</li>' in trust
    assert "it is small" not in trust
    assert '<li class="note">it is small</li>' in page
    assert "Nothing to say" not in page


def test_where_nothing_was_said_the_page_says_so(out: Path) -> None:
    assert "Nothing to say: the pair fits the weights." in page_of(out, highlights_of())


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
def test_names_dates_and_notes_are_escaped(out: Path, path: tuple[str, ...]) -> None:
    said = [{"level": HOSTILE, "message": HOSTILE, "fix": HOSTILE}]
    manifest = manifest_with(*path, value=said if path == ("said",) else HOSTILE)
    page = page_of(out, highlights_of(), manifest)
    assert page.count("<script>") == 1  # the page's own
    assert "alert(1)</script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;" in page
    assert page.count("</pre>") == page.count("</title>") == 1


def test_the_manifest_comes_back_from_the_page(out: Path) -> None:
    manifest = manifest_with("pair", "before", "path", value="a $title of ${weights} & <b>.tif")
    page = page_of(out, highlights_of(), manifest)
    found = re.search(r"<pre>(.*?)</pre>", page, re.DOTALL)
    assert found is not None
    assert json.loads(html.unescape(found[1])) == manifest
    assert "<title>a $title of ${weights} &amp; &lt;b&gt;.tif → after.tif" in page


def test_the_page_asks_nothing_of_the_network(out: Path) -> None:
    page = page_of(out, highlights_of(footprint(1, box(2, 2, 6, 4))))
    sources = re.findall(r'(?:src|href)\s*=\s*"([^"#]{1,30})', page.split("<script>")[0])
    assert len(sources) == 5  # two dates, and three pictures of the card
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert re.findall(r"https?://|@import|url\(", page) == []
