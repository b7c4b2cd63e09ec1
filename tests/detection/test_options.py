"""What the options of detect do on good input: shift, histogram, grid, resolution, extent, area of
interest, nodata."""

from __future__ import annotations

import json
import math
import shutil
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely

from difference_weights import write_difference_weights
from hanet.detection import job, opening
from hanet.detection.arrays import load
from hanet.detection.job import detect
from hanet.detection.settings import DetectionSettings
from hanet.detection.streaming import stream
from hanet.detection.tiling import TilePlan
from hanet.errors import OutputError, SettingsError
from hanet.evaluation.metrics import Counts
from hanet.imagery.date_reader import DateReader
from hanet.imagery.images import write_png
from hanet.imagery.pair import open_pair
from hanet.imagery.vectors import read_features
from hanet.synthetic.scene import render_scene
from hanet.types import Mask, Window
from hanet.weights import catalogue
from hanet.weights.engine import Engine
from hanet.weights.runtime import OnnxRuntime

LEFT, TOP = 620000.0, 3350000.0
"""Upper left corner of rendered scenes."""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scene")
    render_scene(folder, size=640, seed=1, change_share=0.4)
    return folder


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights that tell apart every difference of colour, in no time."""
    return write_difference_weights(
        tmp_path_factory.mktemp("weights") / "difference.onnx", tile_px=128, overlap_px=16
    )


def _run(
    before: Path, after: Path, out: Path, **settings: Any
) -> tuple[np.ndarray[Any, Any], Any, dict[str, Any]]:
    """probability as stored, the raster's profile, the manifest."""
    detect(before, after, out=out, threads=1, report=False, **settings)
    with rasterio.open(out / "probability.tif") as dataset:
        return dataset.read(1), dataset.profile, json.loads((out / "run.json").read_text())


def _mask(out: Path) -> Mask:
    with rasterio.open(out / "mask.tif") as dataset:
        return np.asarray(dataset.read(1) == 1)


def test_a_known_shift_is_found_and_mended(scene: Path, tmp_path: Path) -> None:
    # the after image's georeference lies 12 pixels too far right and 10 too low, as a badly
    # registered image's would
    moved = tmp_path / "moved.tif"
    shutil.copy(scene / "after.tif", moved)
    with rasterio.open(moved, "r+") as dataset:
        dataset.transform = rasterio.Affine.translation(6.0, -5.0) @ dataset.transform
    _run(scene / "before.tif", moved, tmp_path / "off", grid="before")
    *_, manifest = _run(
        scene / "before.tif", moved, tmp_path / "shift", grid="before", coregister="shift"
    )
    applied = manifest["pair"]["shift_applied"]
    # the renderer itself moves the after image by up to 0.7 m along each axis
    assert (applied["rows_px"], applied["columns_px"]) == (
        pytest.approx(10, abs=1.5),
        pytest.approx(12, abs=1.5),
    )
    with rasterio.open(scene / "mask.tif") as dataset:
        truth = dataset.read(1)[10:, 12:] == 1  # the grid is the overlap
    scores = {name: Counts.of(_mask(tmp_path / name), truth).scores() for name in ("off", "shift")}
    assert scores["shift"].f1 > scores["off"].f1 + 0.05


def test_without_a_shift_none_is_applied_and_it_is_said(
    scene: Path, local: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    *_, manifest = _run(
        scene / "before.tif",
        scene / "after.tif",
        tmp_path / "out",
        weights=local,
        coregister="shift",
        note=said.append,
    )
    assert manifest["pair"]["shift_applied"] is None
    assert sum("shift" in line for line in said) == 1
    assert any("no shift is applied" in line for line in said)


def test_where_windows_disagree_no_shift_is_applied_and_it_is_said_once(
    local: Path, tmp_path: Path
) -> None:
    random = np.random.default_rng(1)
    profile = {
        "driver": "GTiff",
        "dtype": "uint8",
        "count": 3,
        "height": 512,
        "width": 512,
        "crs": "EPSG:32614",
    }
    profile["transform"] = rasterio.Affine(0.5, 0, LEFT, 0, -0.5, TOP)
    for name in ("before", "after"):  # nothing in common
        with rasterio.open(tmp_path / f"{name}.tif", "w", **profile) as dataset:
            dataset.write(random.integers(0, 256, (3, 512, 512), dtype=np.uint8))
    said: list[str] = []
    _run(
        tmp_path / "before.tif",
        tmp_path / "after.tif",
        tmp_path / "out",
        weights=local,
        coregister="shift",
        note=said.append,
    )
    told = [line for line in said if "shift" in line]
    assert told == [
        line for line in said if line.startswith("no shift is applied: windows disagree")
    ]
    assert len(told) == 1


def test_an_older_after_image_is_warned_of(scene: Path, local: Path, tmp_path: Path) -> None:
    dated = [tmp_path / "before.tif", tmp_path / "after.tif"]
    for path, day in zip(dated, ("2021:05:17 10:00:00", "2019:05:17 10:00:00"), strict=True):
        shutil.copy(scene / path.name, path)
        with rasterio.open(path, "r+") as dataset:
            dataset.update_tags(ns="IMAGERY", ACQUISITIONDATETIME=day)
    warned: list[str] = []
    _run(*dated, tmp_path / "files", weights=local, warn=warned.append)
    assert any(
        "(2019-05-17) is older than the before image (2021-05-17)" in line for line in warned
    )
    warned.clear()
    _run(*dated, tmp_path / "given", weights=local, warn=warned.append, after_date="2022")
    assert not any("older" in line for line in warned)


def test_an_unknown_setting_is_named_with_the_nearest_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"hanet\.detect has no setting 'min_area'") as caught:
        detect("before.tif", "after.tif", out=tmp_path / "out", min_area=3)
    assert caught.value.hint == "did you mean min_area_m2?"


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("bbox", (1, 2, 3), "must be 4 numbers"),
        ("scaling", (1,), "must be 2 numbers"),
        ("formats", "gpkg", "several names"),
        (
            "min_area_m2",
            math.inf,
            "finite",
        ),  # both ended in a ValueError when run.json was written, after all the work
        ("scaling", (0.0, math.inf), "LOW below HIGH"),
    ],
)
def test_a_setting_of_another_shape_is_told(
    setting: str, value: Any, said: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match=said):
        detect("before.tif", "after.tif", out=tmp_path / "out", **{setting: value})


def test_settings_may_be_numpys_and_dates(scene: Path, local: Path, tmp_path: Path) -> None:
    """The run ended in a TypeError when run.json was written, after all the work."""
    bbox = np.array([LEFT, TOP - 100, LEFT + 100, TOP])
    given: dict[str, Any] = {
        "threshold": np.float32(0.5),
        "bbox": bbox,
        "bands": np.array([3, 2, 1]),
        "tile_px": np.int64(128),
    }
    dates: dict[str, Any] = {
        "before_date": date(2020, 1, 2),
        "after_date": datetime(2021, 3, 4, 5, 6),
    }
    manifest = _run(
        scene / "before.tif", scene / "after.tif", tmp_path / "out", weights=local, **given, **dates
    )[2]
    assert (manifest["threshold"], manifest["tiles"]["tile_px"], manifest["pair"]["bands"]) == (
        0.5,
        128,
        [3, 2, 1],
    )
    assert manifest["footprints"]["before_date"] == "2020-01-02"
    assert manifest["footprints"]["after_date"] == "2021-03-04"


def test_a_darker_date_is_matched_before_it_is_compared(
    scene: Path, local: Path, tmp_path: Path
) -> None:
    with rasterio.open(scene / "before.tif") as dataset:
        pixels, profile = dataset.read(), dataset.profile
    with rasterio.open(tmp_path / "dark.tif", "w", **profile) as dataset:
        dataset.write((pixels * 0.5 + 10).astype(np.uint8))  # the same ground in half the light
    arguments = scene / "before.tif", tmp_path / "dark.tif"
    plain, *_ = _run(*arguments, tmp_path / "plain", weights=local)
    matched, _, manifest = _run(
        *arguments, tmp_path / "matched", weights=local, match_radiometry=True
    )
    assert manifest["pair"]["histogram_matched"]
    assert (plain >= 125).mean() > 0.3
    assert (matched >= 125).mean() < 0.001


def test_a_bbox_cuts_and_changes_no_pixel(scene: Path, local: Path, tmp_path: Path) -> None:
    pair = scene / "before.tif", scene / "after.tif"
    whole, *_ = _run(*pair, tmp_path / "whole", weights=local)
    bbox = (LEFT + 40, TOP - 200, LEFT + 190, TOP - 60)
    part, profile, _ = _run(*pair, tmp_path / "part", weights=local, bbox=bbox)
    assert part.shape == (280, 300)
    assert profile["transform"] @ (0, 0) == (LEFT + 40, TOP - 60)
    # a local network of radius 1 sees the same, but for the rim
    difference = np.abs(part.astype(int) - whole[120:400, 80:380])[1:-1, 1:-1]
    assert difference.max() <= 1


@pytest.mark.parametrize(("asked", "taken"), [(2048, 640), (640, 640), (512, 512), (None, 120)])
def test_no_tile_is_larger_than_the_pair_needs(
    scene: Path,
    local: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: int | None,
    taken: int,
) -> None:
    """--tile 2048 padded 640 pixels to tiles of 2048, and could take all memory."""
    sides: list[int] = []
    predict = OnnxRuntime.predict

    def counting(self: OnnxRuntime, before: Any, after: Any) -> Any:
        sides.extend(before.shape[2:])
        return predict(self, before, after)

    monkeypatch.setattr(OnnxRuntime, "predict", counting)
    said: list[str] = []
    given: dict[str, Any] = {} if asked is None else {"tile_px": asked, "overlap_px": asked - 64}
    pair = scene / "before.tif", scene / "after.tif"
    manifest = _run(*pair, tmp_path / "out", weights=local, note=said.append, **given)[2]
    assert set(sides) == {taken}
    assert manifest["tiles"]["tile_px"] == taken > manifest["tiles"]["overlap_px"]
    assert any(f"{taken} are taken" in line for line in said) is (asked == 2048)
    with open_pair(*pair) as opened:
        block = opened.read(Window(0, 0, 640, 640))
    sides.clear()
    load(local, threads=1).predict(block.before, block.after, **given)
    assert set(sides) == {taken}


def test_a_small_pair_keeps_the_weights_own_tile(local: Path, tmp_path: Path) -> None:
    files = render_scene(tmp_path / "scene", size=64, seed=1)
    for number, asked in enumerate((None, 128, 1024)):
        manifest = _run(
            files.before, files.after, tmp_path / str(number), weights=local, tile_px=asked
        )[2]
        assert manifest["tiles"]["tile_px"] == 128


def test_flips_are_averaged_and_set_down(scene: Path, tmp_path: Path) -> None:
    box, tile = (
        (LEFT, TOP - 64, LEFT + 64, TOP),
        {"tile_px": 128, "overlap_px": 0},
    )  # one tile, nothing beside it
    pair = scene / "before.tif", scene / "after.tif"
    plain, _, _ = _run(*pair, tmp_path / "plain", bbox=box, **tile)
    mean, _, manifest = _run(*pair, tmp_path / "mean", bbox=box, flips=True, **tile)
    assert manifest["identity"]["settings"]["flips"] == "True"
    with open_pair(*pair, bbox=box) as opened:
        block = opened.read(Window(0, 0, 128, 128))
    images = block.before, block.after
    detector = load(threads=1)
    parts = [
        np.flip(detector.predict(*(np.flip(image, axes).copy() for image in images), **tile), axes)
        for axes in ((), (-1,), (-2,), (-1, -2))
    ]
    assert load(threads=1, flips=True).predict(*images, **tile) == pytest.approx(
        np.mean(parts, axis=0), abs=1e-5
    )
    assert mean.astype(int) == pytest.approx(250 * np.mean(parts, axis=0), abs=0.6)
    assert (mean != plain).any()


def test_a_run_that_began_before_there_were_flips_goes_on() -> None:
    """Its identity did not name them, and every --resume of it was refused as another run."""
    assert "flips" not in DetectionSettings().identity()
    assert DetectionSettings(flips=True).identity() == DetectionSettings().identity() | {
        "flips": "True"
    }


def test_outside_the_area_of_interest_nothing_is_said(
    scene: Path, local: Path, tmp_path: Path
) -> None:
    aoi = tmp_path / "aoi.geojson"
    # in longitude and latitude, as RFC 7946 has it: a triangle that is brought to the grid's CRS
    from hanet.imagery.grid import to_wgs84

    corners = [
        (LEFT + 20, TOP - 20),
        (LEFT + 300, TOP - 20),
        (LEFT + 20, TOP - 300),
        (LEFT + 20, TOP - 20),
    ]
    ring = list(
        zip(
            *to_wgs84("EPSG:32614", *(list(axis) for axis in zip(*corners, strict=True))),
            strict=True,
        )
    )
    feature = {
        "type": "Feature",
        "properties": {},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
    aoi.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    with rasterio.open(scene / "before.tif") as dataset:
        of_scene = dataset.transform
    stored, profile, _ = _run(
        scene / "before.tif", scene / "after.tif", tmp_path / "out", weights=local, aoi=aoi
    )
    # 32 pixels around it, and perhaps one more: its corners came through degrees
    left, top = (round(place) for place in ~of_scene @ profile["transform"] @ (0, 0))
    assert stored.shape == (625, 625)
    assert {left, top} <= {7, 8}
    rows, columns = np.mgrid[top : top + 625, left : left + 625] + 0.5
    inside = (rows > 40) & (columns > 40) & ((rows - 40) + (columns - 40) < 560)
    assert ((stored != 255) != inside).mean() < 0.002  # but for pixels on the very edge
    assert (stored[inside] != 255).mean() > 0.99


def _write_area(path: Path, *rings: list[tuple[float, float]]) -> Path:
    """Polygons, in metres right of and below the upper left corner of the scene."""
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32614"}}
    places = [[[(LEFT + x, TOP - y) for x, y in (*ring, ring[0])]] for ring in rings]
    path.write_text(json.dumps({"type": "MultiPolygon", "coordinates": places, "crs": crs}))
    return path


@pytest.mark.parametrize(
    "options",
    [
        {"weights": catalogue.DEFAULT, "tile_px": 128, "overlap_px": 32},
        {"gsd_m": 0.43, "coregister": "shift"},
        {"match_radiometry": True, "batch": 3},
        {"outline": "pixels", "threshold": 0.3},
    ],
    ids=lambda options: ",".join(options),
)
def test_an_area_of_interest_comes_out_as_it_did_in_the_raster_of_the_whole_pair(
    scene: Path,
    local: Path,
    tmp_path: Path,
    options: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A small area in a large mosaic took as long as the mosaic."""
    area = _write_area(tmp_path / "area.geojson", [(120.3, 60), (230, 90), (190, 170), (110, 140)])
    settings = {"weights": local, "aoi": area, **options}
    pair = scene / "before.tif", scene / "after.tif"
    stored, profile, manifest = _run(*pair, tmp_path / "part", **settings)
    with monkeypatch.context() as patched:
        patched.setattr(opening, "_part_of", lambda *_: None)
        whole, of_whole, before = _run(*pair, tmp_path / "whole", **settings)
    column, row = (round(place) for place in ~of_whole["transform"] @ profile["transform"] @ (0, 0))
    inside = np.s_[row : row + stored.shape[0], column : column + stored.shape[1]]
    assert stored.size < 0.4 * whole.size
    assert np.array_equal(stored, whole[inside])
    assert (stored != 255).sum() == (whole != 255).sum()
    assert manifest["preflight"] == before["preflight"]
    assert manifest["timings"]["tiles_skipped"] < before["timings"]["tiles_skipped"]
    found, known = (
        read_features(tmp_path / name / "footprints.gpkg") for name in ("part", "whole")
    )
    assert len(found.shapes) == len(known.shapes) > 0
    for ours, theirs in zip(found.shapes, known.shapes, strict=True):
        assert shapely.equals_exact(ours, theirs, 1e-6)
    for name, values in found.columns.items():
        for ours, theirs in zip(values, known.columns[name], strict=True):
            assert ours == (pytest.approx(theirs) if isinstance(theirs, float) else theirs), name


def test_inside_an_area_of_interest_the_network_sees_what_is_around_it(
    scene: Path, tmp_path: Path
) -> None:
    """Pixels outside were one grey to it, and at the edge of the area it found something else than in
    the whole pair."""
    area = _write_area(tmp_path / "area.geojson", [(120.3, 60), (230, 90), (190, 170), (110, 140)])
    settings = {"weights": catalogue.DEFAULT, "tile_px": 128, "overlap_px": 32}
    pair = scene / "before.tif", scene / "after.tif"
    stored, profile, _ = _run(*pair, tmp_path / "part", aoi=area, **settings)
    whole, of_whole, _ = _run(*pair, tmp_path / "whole", **settings)
    column, row = (round(place) for place in ~of_whole["transform"] @ profile["transform"] @ (0, 0))
    same = whole[row : row + stored.shape[0], column : column + stored.shape[1]]
    inside = stored != 255
    assert 10_000 < inside.sum() < inside.size
    assert np.array_equal(stored[inside], same[inside])


def test_what_lies_far_from_the_area_of_interest_is_not_read(
    scene: Path, local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    area = _write_area(tmp_path / "area.geojson", [(200, 200), (250, 200), (250, 250), (200, 250)])
    read: list[Window] = []
    reads, streams = DateReader.read, stream

    def watched(self: DateReader, window: Window, **options: Any) -> Any:
        read.append(window)
        return reads(self, window, **options)

    def from_now_on(*arguments: Any, **options: Any) -> Any:  # the look at the pair is over
        monkeypatch.setattr(DateReader, "read", watched)
        return streams(*arguments, **options)

    monkeypatch.setattr(job, "stream", from_now_on)
    said: list[str] = []
    pair = scene / "before.tif", scene / "after.tif"
    stored, *_ = _run(*pair, tmp_path / "out", weights=local, aoi=area, note=said.append)
    assert stored.shape == (164, 164)
    part = Window(368, 368, 164, 164)
    assert read
    assert all(not window.intersection(part).is_empty for window in read)
    # of six rows of tiles two meet the area, which reaches from 400 to 500
    assert {(window.row, window.row_end) for window in read} == {(312, 432), (416, 536)}
    assert (
        "the result covers the area of interest and 32 pixels around it: 164 x 164 of 640 x 640 "
        "pixels"
    ) in said


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_bare_pixels_stay_whole(scene: Path, local: Path, tmp_path: Path) -> None:
    """A part of them would not say where it lies."""
    pair = []
    for name in ("before", "after"):
        with rasterio.open(scene / f"{name}.tif") as dataset:
            pixels = dataset.read()
        write_png(tmp_path / f"{name}.png", pixels)
        pair.append(tmp_path / f"{name}.png")
    area = tmp_path / "area.geojson"
    ring = [[200, -200], [300, -200], [300, -300], [200, -200]]
    area.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    stored, *_ = _run(*pair, tmp_path / "out", weights=local, aoi=area)
    assert stored.shape == (640, 640)
    assert (stored[200:300, 200:300] != 255).sum() == (stored != 255).sum() > 4900


def test_a_small_area_of_interest_does_not_blind_the_look_at_the_pair(
    scene: Path, local: Path, tmp_path: Path
) -> None:
    """Of a large pair the windows for the shift lay outside it, and its share was taken for that of
    valid pixels."""
    aoi = tmp_path / "aoi.geojson"
    ring = [
        (LEFT + x, TOP - y) for x, y in ((100, 100), (140, 100), (140, 140), (100, 140), (100, 100))
    ]
    feature = {
        "type": "Feature",
        "properties": {},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32614"}}
    aoi.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": [feature]}))
    whole = _run(scene / "before.tif", scene / "after.tif", tmp_path / "whole", weights=local)[2][
        "preflight"
    ]
    stored, _, manifest = _run(
        scene / "before.tif", scene / "after.tif", tmp_path / "out", weights=local, aoi=aoi
    )
    assert (stored != 255).sum() == 80 * 80
    assert stored.shape == (80 + 2 * 32, 80 + 2 * 32)
    assert manifest["preflight"] == whole
    aoi.write_text(aoi.read_text().replace("620100", "620110"))
    with pytest.raises(OutputError, match="differs from this one in: aoi"):
        detect(
            scene / "before.tif",
            scene / "after.tif",
            out=tmp_path / "out",
            weights=local,
            threads=1,
            report=False,
            aoi=aoi,
            resume=True,
        )


def test_the_report_says_what_was_done_about_the_pair(
    scene: Path, local: Path, tmp_path: Path
) -> None:
    """It went on to advise --match-radiometry where that was given."""
    dark = tmp_path / "dark.tif"
    shutil.copy(scene / "after.tif", dark)
    with rasterio.open(dark, "r+") as dataset:
        dataset.write(dataset.read() // 9)
    pages = {}
    for match in (False, True):
        out = tmp_path / str(match)
        detect(
            scene / "before.tif", dark, out=out, weights=local, threads=1, match_radiometry=match
        )
        pages[match] = (out / "report.html").read_text(encoding="utf-8")
    assert "<code>--match-radiometry</code>" in pages[False]
    assert "<code>--match-radiometry</code>" not in pages[True]
    assert "is matched to the before image&#x27;s</li>" in pages[True]


@pytest.mark.parametrize(("gsd", "is_warned_of"), [(5.0, True), (0.7, False), (0.25, True)])
def test_a_gsd_that_the_weights_do_not_know_is_warned_of(
    scene: Path, tmp_path: Path, gsd: float, is_warned_of: bool
) -> None:
    """Nothing was found at --gsd 5, a fifth at --gsd 0.2, and nothing said."""
    warned: list[str] = []
    *_, manifest = _run(
        scene / "before.tif", scene / "after.tif", tmp_path / "out", gsd_m=gsd, warn=warned.append
    )
    assert any(" as the weights' resolution (0.5 m)" in line for line in warned) is is_warned_of
    assert any(said["fix"] == "leave --gsd out" for said in manifest["said"]) is is_warned_of


def test_that_nothing_is_valid_is_said_once(scene: Path, local: Path, tmp_path: Path) -> None:
    """The warning before the work was said again after it, in other words."""
    empty = tmp_path / "empty.tif"
    shutil.copy(scene / "after.tif", empty)
    with rasterio.open(empty, "r+") as dataset:
        dataset.nodata = 0
        dataset.write(np.zeros_like(dataset.read()))
    warned: list[str] = []
    result = detect(
        scene / "before.tif", empty, out=tmp_path / "out", weights=local, warn=warned.append
    )
    assert warned == ["no pixel is valid at both dates: there is nothing to detect"]
    assert result.footprints.why_nothing == ""


def test_an_area_of_interest_between_the_pixels_is_named(
    scene: Path, local: Path, tmp_path: Path
) -> None:
    aoi = tmp_path / "aoi.geojson"
    left, top = LEFT + 100.05, TOP - 100.05
    ring = [[left, top], [left + 0.1, top], [left + 0.1, top - 0.1], [left, top]]
    crs = {"type": "name", "properties": {"name": "EPSG:32614"}}
    aoi.write_text(json.dumps({"type": "Polygon", "coordinates": [ring], "crs": crs}))
    pair = scene / "before.tif", scene / "after.tif"
    result = detect(*pair, out=tmp_path / "out", weights=local, aoi=aoi, report=False)
    assert (
        result.footprints.why_nothing == "no pixel in the area of interest is valid at both dates"
    )


@pytest.mark.parametrize(("gsd", "side"), [(1.0, 320), ("native", 640), (None, 640)])
def test_gsd_decides_the_resolution_of_every_output(
    scene: Path, local: Path, tmp_path: Path, gsd: float | str | None, side: int
) -> None:
    stored, profile, manifest = _run(
        scene / "before.tif", scene / "after.tif", tmp_path / "out", weights=local, gsd_m=gsd
    )
    assert stored.shape == (side, side)
    assert profile["transform"].a == pytest.approx(320 / side, rel=1e-3)
    assert manifest["pair"]["gsd_m"] == pytest.approx(320 / side, rel=1e-3)


def test_grid_decides_whose_pixels_the_result_has(local: Path, tmp_path: Path) -> None:
    files = render_scene(
        tmp_path / "scene", size=256, seed=2, after_crs="EPSG:4326", after_gsd_m=0.55
    )
    for grid, code in (("finer", 32614), ("before", 32614), ("after", 4326)):
        stored, profile, _ = _run(
            files.before, files.after, tmp_path / grid, weights=local, grid=grid
        )
        assert profile["crs"].to_epsg() == code
        assert (stored != 255).mean() > 0.85
    assert np.array_equal(_mask(tmp_path / "finer"), _mask(tmp_path / "before"))


def test_sixteen_bit_gives_what_eight_bit_gives(local: Path, tmp_path: Path) -> None:
    plain = render_scene(tmp_path / "eight", size=256, seed=2)
    deep = render_scene(tmp_path / "sixteen", size=256, seed=2, bits=16, bands=4)
    first, *_ = _run(plain.before, plain.after, tmp_path / "a", weights=local)
    second, *_ = _run(
        deep.before, deep.after, tmp_path / "b", weights=local, scaling=(150.0, 150.0 + 12 * 255)
    )
    assert (
        np.abs(first.astype(int) - second).max() <= 12
    )  # half a step of 0-255 at each date, at the steepest place
    assert np.abs(first.astype(int) - second).mean() < 1


class _Counting(OnnxRuntime):
    """Counts the tiles that reach the network."""

    tiles = 0

    def predict(self, before: Any, after: Any) -> Any:
        self.tiles += len(before)
        return super().predict(before, after)


def test_windows_without_a_valid_pixel_never_reach_the_network(local: Path, tmp_path: Path) -> None:
    files = render_scene(tmp_path, size=512, seed=1)
    with rasterio.open(files.before, "r+") as dataset:
        pixels = dataset.read()
        pixels[:, :, 200:] = 0
        dataset.nodata = 0
        dataset.write(pixels)
    runtime = _Counting(local, Engine(threads=1))
    plan = TilePlan(512, 512, 128, 16, chunk_tiles=2)
    with open_pair(files.before, files.after) as pair:
        statistics = stream(pair, runtime, plan, write=lambda *_: None)
    with_pixels = sum(start < 200 for start in plan.columns.starts) * len(plan.rows)
    assert runtime.tiles == statistics.tiles == with_pixels
    assert statistics.skipped == plan.tiles - with_pixels > 0


def test_the_old_name_of_separate_is_refused_with_the_new_one() -> None:
    with pytest.raises(SettingsError, match="no setting 'split'") as caught:
        DetectionSettings.of(split=True)
    assert caught.value.hint == "did you mean separate?"


def test_settings_of_footprints_stand_beside_the_others() -> None:
    settings = DetectionSettings.of(min_area_m2=25, outline="pixels", batch=1)
    assert (settings.footprints.min_area_m2, settings.footprints.outline) == (25, "pixels")
    assert settings.batch == 1
    assert settings.identity()["min_area_m2"] == "25"
    assert settings.identity() != DetectionSettings.of(batch=1).identity()


@pytest.mark.parametrize("option", ["--separate", "--split"])
def test_separate_has_its_old_name_on_the_command_line(
    option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``--split`` of version 0.3 stays for a while; the help text does not show it."""
    from typer.testing import CliRunner

    from hanet.cli import app
    from hanet.detection import job, pair_list

    assert pair_list.detect is job.detect  # imported before it is another function for a while
    given: dict[str, Any] = {}

    def remember(*_: Any, **settings: Any) -> None:
        given.update(settings)
        raise SettingsError("enough")

    monkeypatch.setattr(job, "detect", remember)
    CliRunner().invoke(app, ["detect", "a.tif", "b.tif", "--out", "out", option])
    assert given["separate"] is True
    shown = CliRunner().invoke(app, ["detect", "--help"]).output
    assert "--separate" in shown
    assert "--split" not in shown
