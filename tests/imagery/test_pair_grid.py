"""The grid that two rasters of a few pixels are read on, and the words that say why."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.errors import NotGeoreferencedWarning

from hanet.errors import GridError, SettingsError
from hanet.imagery.grid import to_wgs84
from hanet.imagery.pair_grid import choose_grid, is_oblong
from hanet.imagery.raster_source import RasterSource

UTM = "EPSG:32614"
LEFT, TOP = 500000.0, 3350000.0
"""On the central meridian, where a metre of the map is 1 / 0.9996 m on the ground."""

Opener = Callable[..., RasterSource]


@pytest.fixture
def raster(tmp_path: Path) -> Iterator[Opener]:
    """Makes and opens a GeoTIFF of zeros; all are closed at the end."""
    with ExitStack() as stack:

        def opened(
            name: str,
            *,
            left: float = LEFT,
            top: float = TOP,
            gsd: float | tuple[float, float] = 0.5,
            size: tuple[int, int] = (8, 8),
            crs: str | None = UTM,
            gcps: list[GroundControlPoint] | None = None,
        ) -> RasterSource:
            across, down = gsd if isinstance(gsd, tuple) else (gsd, gsd)
            place: dict[str, Any] = {"crs": crs}
            place["transform"] = rasterio.Affine(across, 0, left, 0, -down, top)
            if gcps is not None:
                place = {"gcps": gcps, "crs": UTM}
            elif crs is None:
                place = {}
            height, width = size
            profile: dict[str, Any] = {"driver": "GTiff", "dtype": "uint8", "count": 3, **place}
            path = tmp_path / name
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                with rasterio.open(path, "w", height=height, width=width, **profile) as file:
                    file.write(np.zeros((3, height, width), np.uint8))
            return stack.enter_context(RasterSource(path))

        yield opened


def test_one_grid_stays_as_it_is_without_a_word(raster: Opener) -> None:
    choice = choose_grid(raster("a.tif"), raster("b.tif"))
    assert choice.grid.transform == (0.5, 0.0, LEFT, 0.0, -0.5, TOP)
    assert (choice.grid.height, choice.grid.width) == (8, 8)
    assert choice.notes == ()


def test_shifted_rasters_meet_in_their_overlap(raster: Opener) -> None:
    after = raster("b.tif", left=LEFT + 1.0, top=TOP - 0.5)  # two pixels right, one down
    grid = choose_grid(raster("a.tif"), after).grid
    assert (grid.height, grid.width) == (7, 6)
    assert grid.bounds == (LEFT + 1.0, TOP - 4.0, LEFT + 4.0, TOP - 0.5)


@pytest.mark.parametrize(
    ("wanted", "gsd", "size"),
    [("finer", 0.25, 16), ("after", 0.25, 16), ("before", 0.5, 8)],
)
def test_the_finer_date_or_the_named_one_gives_the_pixels(
    raster: Opener, wanted: Any, gsd: float, size: int
) -> None:
    before, after = raster("a.tif"), raster("b.tif", gsd=0.25, size=(16, 16))
    grid = choose_grid(before, after, grid=wanted).grid
    assert (grid.transform[0], grid.transform[4]) == (gsd, -gsd)
    assert (grid.height, grid.width) == (size, size)


@pytest.mark.parametrize(("gsd", "taken"), [(0.4999, 0.5), (0.49, 0.49)])
def test_a_hair_finer_is_not_finer(raster: Opener, gsd: float, taken: float) -> None:
    assert choose_grid(raster("a.tif"), raster("b.tif", gsd=gsd)).grid.transform[0] == taken


def test_another_crs_is_told_and_the_grid_keeps_that_of_the_base(raster: Opener) -> None:
    before = raster("a.tif")
    (longitude,), (latitude,) = to_wgs84(UTM, [LEFT], [TOP])
    after = raster("b.tif", crs="EPSG:4326", left=longitude, top=latitude, gsd=5e-6)
    choice = choose_grid(before, after, grid="before")
    assert choice.grid.crs == before.grid.crs
    assert choice.grid.bounds[0] == LEFT
    assert choice.grid.height == 8
    assert choice.notes == (
        "the dates differ in CRS (EPSG:32614, EPSG:4326); both are read in that of a.tif",
    )


@pytest.mark.parametrize("degrees_first", [False, True])
@pytest.mark.parametrize(
    ("gsd_m", "in_degrees"),
    [(0.45, True), (0.47, True), (0.49, False), (0.51, False), (0.6, False)],
)
def test_of_grids_as_fine_the_one_in_metres_is_taken(
    raster: Opener, gsd_m: float, in_degrees: bool, degrees_first: bool
) -> None:
    """A pair in UTM and degrees was read in degrees because those were finer by 0.7 %."""
    (longitude,), (latitude,) = to_wgs84(UTM, [LEFT], [TOP])
    # so many degrees that a pixel is as large as one of gsd_m metres
    east, north = gsd_m / 96_276, gsd_m / 110_859
    degrees = raster(
        "degrees.tif", crs="EPSG:4326", left=longitude, top=latitude, gsd=(east, north)
    )
    assert degrees.gsd_m == pytest.approx(gsd_m, rel=1e-3)
    metres = raster("metres.tif")
    pair = (degrees, metres) if degrees_first else (metres, degrees)
    choice = choose_grid(*pair)
    assert choice.grid.is_in_degrees == in_degrees
    taken = "degrees.tif" if in_degrees else "metres.tif"
    other = "after" if (taken == "degrees.tif") == degrees_first else "before"
    assert choice.notes[0].endswith(f"in that of {taken} (--grid {other} takes the other)")
    assert choose_grid(*pair, grid=other).grid.is_in_degrees != in_degrees


def test_a_raster_that_counts_its_longitudes_on_is_met_across_the_date_line(raster: Opener) -> None:
    degrees = {"crs": "EPSG:4326", "gsd": 1e-5, "top": 10.0}
    before = raster("a.tif", left=180.0, **degrees)
    after = raster("b.tif", left=-180.0 + 2e-5, **degrees)
    grid = choose_grid(before, after).grid
    assert (grid.height, grid.width) == (8, 6)
    assert grid.bounds[0] == pytest.approx(180.0 + 2e-5)


def test_rasters_apart_are_refused_with_both_extents(raster: Opener) -> None:
    with pytest.raises(GridError, match=r"a\.tif and .*b\.tif do not overlap") as refusal:
        choose_grid(raster("a.tif"), raster("b.tif", left=LEFT + 4.0))
    assert "(500000, 3349996, 500004, 3350000)" in refusal.value.message
    assert "(500004, 3349996, 500008, 3350000) in EPSG:32614" in refusal.value.message
    assert refusal.value.hint == "check that both show the same place, and that their CRS are right"


def test_rasters_apart_near_the_date_line_are_sent_to_utm(raster: Opener) -> None:
    easts = (20037000.0, -20037000.0)  # web mercator ends at 20037508
    pair = [raster(f"{x}.tif", crs="EPSG:3857", left=x, top=0.0) for x in easts]
    with pytest.raises(GridError, match="do not overlap") as refusal:
        choose_grid(*pair)
    assert "gdalwarp -t_srs EPSG:32601" in str(refusal.value.hint)


def test_an_overlap_of_less_than_half_a_pixel_is_refused(raster: Opener) -> None:
    with pytest.raises(GridError, match="less than a pixel"):
        choose_grid(raster("a.tif"), raster("b.tif", left=LEFT + 3.8))


def test_a_bbox_cuts_to_the_pixels_whose_greater_part_it_holds(raster: Opener) -> None:
    bbox = (LEFT + 0.9, TOP - 2.1, LEFT + 2.6, TOP + 100.0)  # pixel edges lie at 1.0, 2.0 and 2.5
    grid = choose_grid(raster("a.tif"), raster("b.tif"), bbox=bbox).grid
    assert (grid.height, grid.width) == (4, 3)
    assert grid.bounds == (LEFT + 1.0, TOP - 2.0, LEFT + 2.5, TOP)


@pytest.mark.parametrize(
    ("bbox", "error", "message"),
    [
        ((LEFT + 2, TOP - 2, LEFT + 1, TOP), SettingsError, "is not left, bottom, right, top"),
        ((LEFT, TOP, LEFT + 1, TOP - 2), SettingsError, "is not left, bottom, right, top"),
        ((0.0, 0.0, 1.0, 1.0), GridError, r"the bbox \(0, 0, 1, 1\) does not meet the overlap"),
        ((LEFT, TOP - 0.1, LEFT + 0.1, TOP), GridError, "less than a pixel"),
        ((float("nan"), TOP - 1, LEFT + 1, TOP), SettingsError, "is not left, bottom, right, top"),
    ],
)
def test_a_bbox_that_cannot_be_cut_to_is_refused(
    raster: Opener, bbox: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        choose_grid(raster("a.tif"), raster("b.tif"), bbox=bbox)


@pytest.mark.parametrize("without", ["a.tif", "b.tif"])
def test_a_crs_on_one_side_only_is_refused_by_name(raster: Opener, without: str) -> None:
    pair = [raster(name, crs=None if name == without else UTM) for name in ("a.tif", "b.tif")]
    with pytest.raises(GridError, match=rf"{without} has no CRS, .* has its place") as refusal:
        choose_grid(*pair)
    assert "gdal_edit.py -a_srs" in str(refusal.value.hint)


def test_a_raster_placed_by_points_is_sent_to_gdalwarp(raster: Opener) -> None:
    corners = ((0, 0), (0, 8), (8, 0), (8, 8))
    points = [GroundControlPoint(row, col, LEFT + col, TOP - row) for row, col in corners]
    with pytest.raises(GridError, match=r"a\.tif has no CRS") as refusal:
        choose_grid(raster("a.tif", gcps=points), raster("b.tif"))
    assert "gdalwarp a.tif warped.tif" in str(refusal.value.hint)


def test_a_pair_of_pictures_has_a_grid_of_pixels(raster: Opener) -> None:
    choice = choose_grid(raster("a.tif", crs=None), raster("b.tif", crs=None), gsd_m="native")
    assert choice.grid.crs is None
    assert choice.grid.bounds == (0.0, -8.0, 8.0, 0.0)
    assert choice.notes == (
        "neither raster has a CRS: results are in pixel coordinates, areas in pixels",
    )


def test_of_pictures_the_user_says_what_a_pixel_measures(raster: Opener) -> None:
    pair = raster("a.tif", crs=None), raster("b.tif", crs=None)
    kept = choose_grid(*pair, gsd_m=0.2)
    assert (kept.grid.unit_m, kept.grid.gsd_m, kept.grid.height) == (0.2, 0.2, 8)
    assert kept.notes[0].endswith("in pixel coordinates, at 0.2 m a pixel as --gsd says")
    brought = choose_grid(*pair, gsd_m=0.2, target_gsd_m=0.5)
    assert (brought.grid.height, brought.grid.width) == (3, 3)
    assert brought.grid.gsd_m == pytest.approx(0.5)
    assert brought.grid.transform[0] == pytest.approx(2.5)  # coordinates stay those of the pictures
    with pytest.raises(GridError, match="no house can be seen"):
        choose_grid(*pair, gsd_m=30.0, target_gsd_m=0.5)


@pytest.mark.parametrize(
    ("size", "options", "error", "message"),
    [
        ((8, 6), {}, GridError, "their sizes differ: 8x8 and 8x6"),
        ((8, 8), {"gsd_m": 0.0}, SettingsError, "must be above 0 metres"),
        ((8, 8), {"gsd_m": float("nan")}, SettingsError, "must be above 0 metres"),
        ((8, 8), {"gsd_m": "fine"}, SettingsError, "must be above 0 metres"),
        ((8, 8), {"bbox": (0, -4, 4, 0)}, SettingsError, "--bbox cannot be used"),
    ],
)
def test_a_pair_of_pictures_has_no_map(
    raster: Opener, size: tuple[int, int], options: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        choose_grid(raster("a.tif", crs=None), raster("b.tif", crs=None, size=size), **options)


@pytest.mark.parametrize(
    ("native", "side"),
    [
        (0.5, 8),
        (0.6, 8),  # less than a quarter off
        (0.42, 8),
        (0.7, 11),  # 8 * 0.7 / 0.5
        (1.0, 16),
        (0.25, 4),
    ],
)
def test_a_resolution_off_the_weights_by_a_quarter_is_resampled(
    raster: Opener, native: float, side: int
) -> None:
    pair = raster("a.tif", gsd=native), raster("b.tif", gsd=native)
    choice = choose_grid(*pair, target_gsd_m=0.5)
    assert (choice.grid.height, choice.grid.width) == (side, side)
    assert len(choice.notes) == (side != 8)
    assert all("--gsd native keeps the pair's own" in note for note in choice.notes)
    assert choice.grid.bounds[0] == LEFT
    assert choice.grid.bounds[3] == TOP
    if side != 8:
        assert choice.grid.gsd_m == pytest.approx(0.5)
    assert choose_grid(*pair, target_gsd_m=0.5, gsd_m="native").grid.height == 8


def test_oblong_pixels_are_made_square(raster: Opener) -> None:
    pair = raster("a.tif", gsd=(0.4, 0.65)), raster("b.tif", gsd=(0.4, 0.65))
    choice = choose_grid(*pair, target_gsd_m=0.5)
    assert (choice.grid.height, choice.grid.width) == (10, 6)  # 8 * 0.65 / 0.5, 8 * 0.4 / 0.5
    assert "a pixel is 0.4 m wide and 0.65 m high" in choice.notes[0]
    assert choice.grid.gsd_axes_m == pytest.approx((0.5, 0.5))


@pytest.mark.parametrize(
    ("axes", "oblong"),
    [((0.5, 0.5), False), ((0.5, 0.74), False), ((0.5, 0.76), True), ((3, 1), True)],
)
def test_what_counts_as_oblong(axes: tuple[float, float], oblong: bool) -> None:
    assert is_oblong(axes) is oblong


@pytest.mark.parametrize(("gsd_m", "side"), [(1.0, 4), (0.25, 16), (100.0, 1)])
def test_a_gsd_that_is_given_counts(raster: Opener, gsd_m: float, side: int) -> None:
    choice = choose_grid(raster("a.tif"), raster("b.tif"), gsd_m=gsd_m, target_gsd_m=0.5)
    assert (choice.grid.height, choice.grid.width) == (side, side)
    assert choice.notes == ()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"gsd_m": 0.0}, SettingsError, "above 0 metres"),
        ({"gsd_m": -1.0}, SettingsError, "above 0 metres"),
        ({"gsd_m": float("nan")}, SettingsError, "above 0 metres"),
        ({"gsd_m": float("inf")}, SettingsError, "above 0 metres"),
        ({"gsd_m": 1e9}, SettingsError, "and the whole pair is 4 m long"),  # its CRS was blamed
        ({"gsd_m": 0.015}, SettingsError, "more than 32 times finer"),
        ({"gsd_m": "coarse"}, SettingsError, "gsd is 'coarse'"),
        ({"grid": "coarser"}, SettingsError, "grid is 'coarser'"),
        ({"target_gsd_m": 0.0156}, GridError, "32 times the weights' .* no house can be seen"),
    ],
)
def test_a_resolution_that_makes_no_sense_is_refused(
    raster: Opener, options: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        choose_grid(raster("a.tif"), raster("b.tif"), **options)
