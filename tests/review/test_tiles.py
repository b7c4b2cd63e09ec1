"""Tiles show the original pixels, at their place, by the rules of the detection."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import BytesIO
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.crs import CRS

from hanet.errors import OutputError, RasterError
from hanet.imagery.grid import Grid
from hanet.imagery.pair import PairSettings, open_pair, open_sources, pair_on
from hanet.imagery.radiometry import Scaling, match_histogram
from hanet.imagery.raster_output import ProbabilityRaster
from hanet.imagery.raster_source import RasterSource
from hanet.imagery.registration import Shift
from hanet.review.dates import Rules
from hanet.review.display import Display, reduced
from hanet.review.inputs import Input, find_inputs
from hanet.review.run_images import find_images, with_histogram
from hanet.review.tiles import EMPTY, RAMP, ByteCache, Pool, Tiles
from hanet.types import Window
from small_rasters import write

PLAIN = Rules(((1, 2, 3), (1, 2, 3)), Scaling.eight_bit(3))
CLOSE = 6
"""How far JPEG may move the mean of a smooth area."""


def _smooth(height: int, width: int, *, bands: int = 3, seed: int = 0) -> np.ndarray[Any, Any]:
    """Blocks of 64 pixels of one colour each."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(30, 226, (bands, -(-height // 64), -(-width // 64)), dtype=np.uint8)
    return blocks.repeat(64, axis=1).repeat(64, axis=2)[:, :height, :width]


def _probability(path: Path, values: np.ndarray[Any, Any], **profile: Any) -> Path:
    stored = np.rint(values * 250).astype(np.uint8)[None]
    write(path, stored, nodata=255, **profile)
    with rasterio.open(path, "r+") as dataset:
        dataset.scales, dataset.offsets = (0.004,), (0.0,)
    return path


def _inputs(before: Path, after: Path) -> tuple[Input, Input]:
    return (
        Input("before", str(before), {"sha256": "1"}, is_the_runs=True),
        Input("after", str(after), {"sha256": "2"}, is_the_runs=True),
    )


def _tiles(folder: Path, before: Path, after: Path, *, rules: Rules = PLAIN) -> Tiles:
    with RasterSource(before) as source:
        grid = source.grid
    probability = folder / "probability.tif"
    if not probability.exists():
        place = {"transform": grid.affine, "crs": CRS.from_wkt(grid.crs)} if grid.crs else {}
        _probability(probability, np.zeros((grid.height, grid.width)), **place)
    return Tiles(
        Display.of(grid),
        _inputs(before, after),
        rules,
        probability,
        pictures=folder / "review",
        progress=lambda *_: None,
    )


def _pixels(content: bytes) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(BytesIO(content))).astype(int).transpose(2, 0, 1)


def _difference(
    shown: np.ndarray[Any, Any], original: np.ndarray[Any, Any], window: Window, scale: int
) -> float:
    """Mean difference of a tile from the colours of the blocks that it shows, at their centres; of
    blocks shown elsewhere it would be some 65."""
    rows, columns = np.arange(32, window.height, 64), np.arange(32, window.width, 64)
    seen = shown[:, rows[:, None] // scale, columns // scale]
    return float(
        np.abs(seen - original[:, window.row + rows[:, None], window.column + columns]).mean()
    )


@pytest.mark.parametrize(
    ("size", "levels"), [(1, 1), (256, 1), (257, 2), (512, 2), (513, 3), (16384, 7)]
)
def test_the_lowest_level_is_one_tile(size: int, levels: int) -> None:
    display = Display(Grid(None, (1, 0, 0, 0, -1, 0), size, 10), (1.0, 1.0), None)
    assert display.levels == levels
    assert display.window(0, 0, 0) == Window(0, 0, size, 10)
    assert display.window(0, 0, 1) is display.window(0, 1, 0) is None
    assert display.scale(levels - 1) == 1


@pytest.mark.parametrize(
    ("z", "x", "y"), [(-1, 0, 0), (3, 0, 0), (2, -1, 0), (2, 0, -1), (2, 3, 0), (2, 0, 2)]
)
def test_there_is_no_tile_beyond_the_display(z: int, x: int, y: int) -> None:
    display = Display(Grid(None, (1, 0, 0, 0, -1, 0), 300, 600), (1.0, 1.0), None)
    assert display.levels == 3
    assert display.window(z, x, y) is None
    assert display.window(2, 2, 1) == Window(256, 512, 44, 88)


def test_degrees_are_stretched_until_pixels_are_square_on_the_ground() -> None:
    degrees = Grid(CRS.from_epsg(4326).to_wkt(), (1e-5, 0, 10.0, 0, -1e-5, 60.0), 1000, 1000)
    display = Display.of(degrees)
    sx, sy = display.stretch
    assert sx == 1
    assert sy == pytest.approx(2.0, rel=0.01)  # at 60 degrees north
    assert display.size == (int(np.ceil(1000 * sy)), 1000)
    across, down = display.shown.gsd_axes_m or (0, 1)
    assert across == pytest.approx(down, rel=1e-3)
    assert display.gsd_m == pytest.approx(across, rel=1e-3)


def test_metres_are_shown_as_they_are() -> None:
    grid = Grid(CRS.from_epsg(32614).to_wkt(), (0.5, 0, 620000, 0, -0.5, 3350000), 40, 30)
    display = Display.of(grid)
    assert display.stretch == (1.0, 1.0)
    assert display.shown is grid


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")  # writing the file
@pytest.mark.parametrize("profile", [{}, {"crs": None, "transform": None}], ids=["UTM", "pixels"])
def test_each_level_shows_the_means_of_the_pixels_at_their_place(
    tmp_path: Path, profile: dict[str, Any]
) -> None:
    pixels = _smooth(700, 900)
    before = write(tmp_path / "before.tif", pixels, **profile)
    after = write(tmp_path / "after.tif", 255 - pixels, **profile)
    with _tiles(tmp_path, before, after) as tiles:
        assert tiles.display.levels == 3
        for layer, original in (("before", pixels), ("after", 255 - pixels)):
            for z, x, y in [(0, 0, 0), (1, 0, 0), (1, 1, 1), (2, 0, 0), (2, 3, 2), (2, 1, 1)]:
                scale = tiles.display.scale(z)
                window = tiles.display.window(z, x, y)
                assert window is not None
                tile = tiles.tile(layer, z, x, y)  # type: ignore[arg-type]
                assert tile is not None
                shown = _pixels(tile.content)
                assert shown.shape == (3, 256, 256)
                assert _difference(shown, original, window, scale) < 2 * CLOSE, (layer, z, x, y)
                height, width = reduced(window, scale)
                beyond = shown[:, height + 16 :], shown[:, :, width + 16 :]
                assert all(np.abs(part - EMPTY).max(initial=0) <= CLOSE for part in beyond)


def test_degrees_are_read_at_their_place_too(tmp_path: Path) -> None:
    pixels = _smooth(256, 256)
    place = {"crs": CRS.from_epsg(4326), "transform": rasterio.Affine(1e-5, 0, 10, 0, -1e-5, 60)}
    before = write(tmp_path / "before.tif", pixels, **place)
    values = np.zeros((256, 256))
    values[96:128, 192:208] = 0.9
    _probability(tmp_path / "probability.tif", values, **place)
    with _tiles(tmp_path, before, before) as tiles:
        _, sy = tiles.display.stretch
        assert tiles.display.levels == 2
        for y in (0, 1):  # one above the other: the pixels are twice as high as wide
            tile = tiles.tile("before", 1, 0, y)
            assert tile is not None
            shown = _pixels(tile.content)
            rows = [row for row in range(32, 256, 64) if 256 * y + 8 < row * sy < 256 * y + 248]
            assert len(rows) == 2
            for row in rows:
                seen = shown[:, round(row * sy) - 256 * y, 32:256:64]
                assert np.abs(seen - pixels[:, row, 32:256:64]).max() <= 3 * CLOSE
        tile = tiles.tile("probability", 1, 0, 0)
        assert tile is not None
        seen = np.asarray(Image.open(BytesIO(tile.content)).convert("RGBA"))[..., 3] > 0
        rows, columns = np.nonzero(seen)
        assert abs(rows.min() - 96 * sy) <= 1
        assert abs(rows.max() + 1 - min(256, 128 * sy)) <= 1
        assert (columns.min(), columns.max()) == (192, 207)


def test_a_small_picture_serves_coarse_levels_and_the_image_fine_ones(tmp_path: Path) -> None:
    pixels = _smooth(1100, 2050)
    before = write(tmp_path / "before.tif", pixels)
    after = write(tmp_path / "after.tif", pixels)
    said: list[float] = []
    with RasterSource(before) as source:
        display = Display.of(source.grid)
    _probability(tmp_path / "p.tif", np.zeros((1100, 2050)))

    def opened(rules: Rules = PLAIN) -> Tiles:
        return Tiles(
            display,
            _inputs(before, after),
            rules,
            tmp_path / "p.tif",
            pictures=tmp_path / "review",
            progress=lambda _, share: said.append(share),
        )

    with opened() as tiles:
        made = sorted((tmp_path / "review").iterdir())
        assert [path.name.split("-")[0] for path in made] == ["after", "before"]
        assert said[-1] == pytest.approx(1.0)
        for z in range(display.levels):
            tile = tiles.tile("before", z, 0, 0)
            assert tile is not None
            scale = display.scale(z)
            shown = _pixels(tile.content)
            window = display.window(z, 0, 0)
            assert window is not None
            assert _difference(shown, pixels, window, scale) < 2 * CLOSE, z
    said.clear()
    left = tmp_path / "review" / ".making"  # by a process killed after its last picture
    (left / "building").mkdir(parents=True)
    (left / "lock").touch()
    with opened():
        assert not said  # they are kept
        assert sorted((tmp_path / "review").iterdir()) == made
    other = Rules(((3, 2, 1), (3, 2, 1)), PLAIN.scaling)
    with opened(other):
        renewed = sorted((tmp_path / "review").iterdir())
        assert len(renewed) == 2  # those by other rules are gone
        assert not set(renewed) & set(made)


def test_overviews_of_the_image_serve_where_they_show_what_its_pixels_do(tmp_path: Path) -> None:
    pixels = _smooth(1200, 1200)
    before, after = (write(tmp_path / f"{name}.tif", pixels, tiled=True) for name in ("b", "a"))
    for path in (before, after):
        with rasterio.open(path, "r+") as dataset:
            dataset.build_overviews([2, 4, 8], rasterio.enums.Resampling.average)
    with rasterio.open(after, "r+") as dataset:  # its overviews are stale now
        dataset.write(255 - pixels)
    with rasterio.open(after) as dataset:
        # GDAL drops none of them by itself
        assert dataset.overviews(1) == [2, 4, 8]
    with _tiles(tmp_path, before, after) as tiles:
        kept = [path.name.split("-")[0] for path in (tmp_path / "review").iterdir()]
        assert kept == ["after"]
        for layer, original in (("before", pixels), ("after", 255 - pixels)):
            tile = tiles.tile(layer, 0, 0, 0)  # type: ignore[arg-type]
            assert tile is not None
            seen = _pixels(tile.content)[:, 4:144:8, 4:144:8]
            at = original[:, 32:1152:64, 32:1152:64]
            assert np.abs(seen - at).mean() < 2 * CLOSE


def test_the_after_image_lies_on_the_grid_of_the_result_by_scaling_and_shift(
    tmp_path: Path,
) -> None:
    pixels = _smooth(384, 384).astype(np.uint16) * 16
    before = write(tmp_path / "before.tif", pixels)
    moved = np.roll(pixels, (8, 4), axis=(1, 2))
    after = write(tmp_path / "after.tif", moved)
    scaling = Scaling((0.0,) * 3, (4080.0,) * 3, "given")
    rules = Rules(((1, 2, 3), (1, 2, 3)), scaling, Shift(8.0, 4.0, 1.0, 9))
    with _tiles(tmp_path, before, after, rules=rules) as tiles:
        first, second = tiles.tile("before", 1, 0, 0), tiles.tile("after", 1, 0, 0)
        assert first is not None
        assert second is not None
        centres = np.s_[:, 32:256:64, 32:256:64]
        wanted = pixels[centres] // 16
        assert np.abs(_pixels(first.content)[centres] - wanted).max() <= 2 * CLOSE
        assert np.abs(_pixels(second.content)[centres] - wanted).max() <= 2 * CLOSE


def test_pixels_are_those_that_the_detection_reads(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    before = write(tmp_path / "before.tif", _smooth(256, 256, seed=1))
    dim = (_smooth(256, 256, seed=1) // 2 + rng.integers(0, 3, (3, 256, 256))).astype(np.uint8)
    after = write(tmp_path / "after.tif", dim)
    with open_pair(before, after) as pair:
        grid, manifest = pair.grid, pair.manifest()
    plain = Rules.of({"pair": manifest})
    matched = with_histogram(plain, grid, _inputs(before, after))
    assert matched.histogram is not None
    with open_pair(before, after, histogram=matched.histogram) as pair:
        block = pair.read(Window(0, 0, 256, 256))
    with _tiles(tmp_path, before, after, rules=matched) as tiles:
        for layer, read in (("before", block.before), ("after", block.after)):
            tile = tiles.tile(layer, 0, 0, 0)  # type: ignore[arg-type]
            assert tile is not None
            centres = np.s_[:, 32:256:64, 32:256:64]
            assert np.abs(_pixels(tile.content)[centres] - read[centres]).max() <= 3 * CLOSE
    # the match did something: the after image had half the brightness
    assert block.after.mean() > 1.6 * dim.mean()


def test_of_a_part_the_histogram_is_that_of_the_whole_pair(tmp_path: Path) -> None:
    """Where an area of interest was given, the detection had matched the whole pair."""
    pixels = _smooth(256, 256, seed=1)
    before = write(tmp_path / "before.tif", pixels)
    after = write(tmp_path / "after.tif", pixels // 2)
    with (
        open_sources(before, after) as sources,
        pair_on(sources, PairSettings(part=Window(40, 60, 50, 30))) as pair,
    ):
        sample = pair.sample()
        wanted = match_histogram(sample.before, sample.after, valid=sample.valid)
        manifest = {"pair": {**pair.manifest(), "histogram_matched": True}}
        grid = pair.grid
    given: dict[Any, str | None] = {"before": str(before), "after": str(after)}
    _, rules = find_images(tmp_path, manifest, grid, given=given, warn=print)
    assert rules.histogram is not None
    assert np.array_equal(rules.histogram.tables, wanted.tables)
    manifest["pair"]["part_of"] = {"crs": 3}
    with pytest.raises(OutputError, match="does not say how the images were read"):
        find_images(tmp_path, manifest, grid, given=given, warn=print)


def test_invalid_pixels_and_one_band_are_grey(tmp_path: Path) -> None:
    pixels = np.full((1, 100, 100), 200, dtype=np.uint8)
    pixels[:, :50] = 0
    before = write(tmp_path / "before.tif", pixels, nodata=0)
    after = write(tmp_path / "after.tif", pixels, nodata=0)
    rules = Rules(((1,), (1,)), Scaling.eight_bit(1))
    with _tiles(tmp_path, before, after, rules=rules) as tiles:
        tile = tiles.tile("before", 0, 0, 0)
        assert tile is not None
        shown = _pixels(tile.content)
        assert np.abs(shown[:, 8:40, 8:90] - EMPTY).max() <= CLOSE
        assert np.abs(shown[:, 60:90, 8:90] - 200).max() <= CLOSE


def test_probability_is_transparent_where_it_is_low(tmp_path: Path) -> None:
    values = np.zeros((300, 300))
    values[40:80, 100:140] = 0.8
    values[200:210] = 0.012
    probability = _probability(tmp_path / "probability.tif", values)
    with rasterio.open(probability, "r+") as dataset:
        stored = dataset.read()
        stored[:, :20] = 255
        dataset.write(stored)
    picture = write(tmp_path / "picture.tif", _smooth(300, 300))
    with _tiles(tmp_path, picture, picture) as tiles:
        tile = tiles.tile("probability", 1, 0, 0)
        assert tile is not None
        assert tile.media_type == "image/png"
        image = Image.open(BytesIO(tile.content))
        assert image.size == (256, 256)
        seen = np.asarray(image.convert("RGBA"))
        assert (seen[40:80, 100:140] == RAMP[200]).all()
        assert RAMP[200, 3] > 200
        opaque = np.argwhere(seen[..., 3] > 0)
        assert opaque.min(axis=0).tolist() == [40, 100]
        assert opaque.max(axis=0).tolist() == [79, 139]


def test_tiles_are_kept_up_to_a_number_of_bytes() -> None:
    cache = ByteCache(100)
    cache.put("a", b"x" * 60)
    cache.put("b", b"y" * 30)
    assert cache.get("a") == b"x" * 60
    cache.put("c", b"z" * 40)  # b was not used for longest
    assert cache.get("b") is None
    assert cache.get("a") is not None
    assert cache.bytes == 100
    cache.put("a", b"short")
    assert cache.bytes == 45
    cache.put("huge", b"h" * 101)
    assert cache.get("huge") is None
    assert cache.bytes <= 100


def test_a_raster_that_a_thread_opened_ends_no_settings_of_another_one(tmp_path: Path) -> None:
    """`hanet review` ended with "No GDAL environment exists" after Ctrl-C."""
    probability = _probability(tmp_path / "probability.tif", np.zeros((64, 64)))

    def borrow_another() -> None:
        with pool.borrow():
            pass

    with (
        rasterio.Env(),
        Pool(partial(ProbabilityRaster, probability)) as pool,
        pool.borrow(),
        ThreadPoolExecutor(1) as another,
    ):
        another.submit(borrow_another).result()


def test_many_threads_get_the_same_tiles_as_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    picture = write(
        tmp_path / "picture.tif",
        rng.integers(0, 255, (3, 900, 900), dtype=np.uint8),
        tiled=True,
        blockxsize=128,
        blockysize=128,
    )
    keys = [(z, x, y) for z in range(3) for x in range(1 << z) for y in range(1 << z)]
    with _tiles(tmp_path, picture, picture) as tiles:
        alone = {key: tiles.tile("before", *key) for key in keys}
    got: list[tuple[Any, Any]] = []
    start = Barrier(8)

    def ask(number: int) -> None:
        start.wait()
        for place in range(len(keys)):
            key = keys[(place + 3 * number) % len(keys)]
            got.append((key, tiles.tile("before", *key)))

    with _tiles(tmp_path, picture, picture) as tiles:
        threads = [Thread(target=ask, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(got) == 8 * len(keys)
    assert all(tile == alone[key] for key, tile in got)


@pytest.fixture
def run_of(tmp_path: Path) -> Callable[[], tuple[Path, dict[str, Any]]]:
    """A folder ``out`` with the parts of a run that name its inputs, which lie beside it."""

    def made() -> tuple[Path, dict[str, Any]]:
        from hanet.imagery.fingerprint import raster_fingerprint

        out = tmp_path / "place" / "out"
        out.mkdir(parents=True)
        identity = {}
        for date, seed in (("before", 1), ("after", 2)):
            path = write(tmp_path / "place" / f"{date}.tif", _smooth(64, 64, seed=seed))
            with RasterSource(path) as source:
                identity[date] = raster_fingerprint(source)
        manifest = {
            "identity": identity,
            "inputs": {date: f"../{date}.tif" for date in identity},
            "pair": {date: {"path": f"{date}.tif"} for date in identity},
        }
        return out, manifest

    return made


NOWHERE: dict[Any, Any] = {"before": None, "after": None}


def test_inputs_are_found_where_the_run_says(run_of: Any, tmp_path: Path) -> None:
    out, manifest = run_of()
    said: list[str] = []
    first = find_inputs(out, manifest, given=NOWHERE, warn=said.append)
    assert [Path(one.path).resolve().name for one in first] == ["before.tif", "after.tif"]
    assert all(one.is_the_runs for one in first)
    assert not said
    (tmp_path / "place").rename(tmp_path / "moved")  # with the folder, together
    moved = find_inputs(tmp_path / "moved" / "out", manifest, given=NOWHERE, warn=said.append)
    assert all(one.is_the_runs for one in moved)
    old = {key: value for key, value in manifest.items() if key != "inputs"}
    of_old = find_inputs(tmp_path / "moved" / "out", old, given=NOWHERE, warn=said.append)
    assert [Path(one.path).resolve() for one in of_old] == [
        Path(one.path).resolve() for one in moved
    ]
    assert [one.fingerprint for one in of_old] == [one.fingerprint for one in moved]
    assert not said


def test_inputs_that_moved_are_asked_for(run_of: Any, tmp_path: Path) -> None:
    out, manifest = run_of()
    elsewhere = (tmp_path / "place" / "after.tif").rename(tmp_path / "elsewhere.tif")
    with pytest.raises(RasterError, match="the after image of this run is not found") as error:
        find_inputs(out, manifest, given=NOWHERE, warn=lambda _: None)
    assert "--after FILE" in str(error.value.hint)
    said: list[str] = []
    found = find_inputs(
        out, manifest, given={"before": None, "after": str(elsewhere)}, warn=said.append
    )
    assert found[1].path == str(elsewhere)
    assert found[1].is_the_runs
    assert not said


def test_another_file_is_said_to_be_one(run_of: Any, tmp_path: Path) -> None:
    out, manifest = run_of()
    find_inputs(out, manifest, given=NOWHERE, warn=lambda _: None)
    write(tmp_path / "place" / "before.tif", _smooth(64, 64, seed=9))
    said: list[str] = []
    found = find_inputs(out, manifest, given=NOWHERE, warn=said.append)
    assert [one.is_the_runs for one in found] == [False, True]
    assert len(said) == 1
    assert "before.tif is not the file that the run was made from" in said[0]


def test_fingerprints_are_kept_but_not_believed_blindly(run_of: Any, tmp_path: Path) -> None:
    out, manifest = run_of()
    find_inputs(out, manifest, given=NOWHERE, warn=lambda _: None)
    kept = out / "review" / "inputs.json"
    facts = json.loads(kept.read_text())
    facts["before"]["fingerprint"] = {"bytes": 1}
    kept.write_text(json.dumps(facts))
    said: list[str] = []
    find_inputs(out, manifest, given=NOWHERE, warn=said.append)
    assert len(said) == 1  # it was taken from the file: nothing was hashed again
    kept.write_text("{ not JSON")
    assert all(
        one.is_the_runs for one in find_inputs(out, manifest, given=NOWHERE, warn=said.append)
    )
    assert len(said) == 1


def test_an_image_with_fewer_bands_than_the_run_read_is_refused(tmp_path: Path) -> None:
    grey = write(tmp_path / "grey.tif", _smooth(64, 64, bands=1))
    with pytest.raises(RasterError, match="has 1 bands, but the run read 1, 2, 3"):
        _tiles(tmp_path, grey, grey)


@pytest.mark.parametrize("part", [None, 1, "x", [], {"before": 1}, {"before": ["x"]}])
@pytest.mark.parametrize("key", ["identity", "inputs", "pair"])
def test_a_run_json_that_was_changed_is_no_failure(run_of: Any, key: str, part: Any) -> None:
    out, manifest = run_of()
    manifest[key] = part
    said: list[str] = []
    found = find_inputs(out, manifest, given=NOWHERE, warn=said.append)
    assert all(one.is_the_runs for one in found) == (key != "identity")


@pytest.mark.parametrize(
    "broken",
    [{}, {"pair": None}, {"pair": []}, {"pair": {"bands": ["x"]}}, {"pair": {"bands": [1e400]}}],
)
def test_a_run_that_does_not_say_how_it_was_read_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(OutputError, match="does not say how the images were read"):
        Rules.of(broken)
