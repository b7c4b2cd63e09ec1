"""``changes.qgz`` without QGIS: what stands in it, and what must not. With QGIS: test_in_qgis.py."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, fromstring

import numpy as np
import pytest

from difference_weights import write_difference_weights
from hanet.detection.job import detect
from hanet.detection.qgis_project import ALIASES, PROJECT, map_crs, place_of, write_project
from hanet.footprints.measures import field_types
from hanet.footprints.review_columns import KINDS, REVIEW_COLUMNS, STATUSES
from hanet.imagery.grid import Grid, crs_name, wkt_of
from hanet.imagery.pair import RasterPair, open_pair
from hanet.imagery.radiometry import Scaling
from hanet.review import items
from small_rasters import write

KEY = "0123456789abcdef"
MAP = Grid(wkt_of("EPSG:32615"), (0.5, 0.0, 500_000.0, 0.0, -0.5, 4_000_000.0), 8, 8)


def _read(folder: Path) -> Element:
    with zipfile.ZipFile(folder / PROJECT) as archive:
        assert archive.namelist() == ["changes.qgs"]
        return fromstring(archive.read("changes.qgs"))


def _write(out: Path, pair: RasterPair, *names: str, **options: Any) -> Element:
    """The project of a folder with these footprint files, read back."""
    out.mkdir(exist_ok=True)
    files = [out / name for name in names or ("footprints.gpkg",)]
    settings: dict[str, Any] = {"dates": (None, None), "key": KEY, **options}
    write_project(out, pair=pair, footprints=files, **settings)
    return _read(out)


def _layer(project: Element, name: str) -> Element:
    for layer in project.iterfind("projectlayers/maplayer"):
        if layer.findtext("id") == f"{name}_{KEY}":
            return layer
    raise AssertionError(f"there is no layer {name}")


def _sources(project: Element) -> dict[str, str]:
    layers = project.findall("projectlayers/maplayer")
    return {
        (layer.findtext("id") or "").partition("_")[0]: layer.findtext("datasource") or ""
        for layer in layers
    }


@contextmanager
def _pair(
    folder: Path, names: tuple[str, str] = ("before.tif", "after.tif"), **profile: Any
) -> Iterator[RasterPair]:
    folder.mkdir(parents=True, exist_ok=True)
    pixels = profile.pop("pixels", np.zeros((3, 32, 48), dtype=np.uint8))
    scaling = profile.pop("scaling", None)
    paths = [write(folder / name, pixels, **profile) for name in names]
    with open_pair(*paths, scaling=scaling) as pair:
        yield pair


def test_layers_lie_in_order_and_are_named_from_the_folder(tmp_path: Path) -> None:
    with _pair(tmp_path / "images") as pair:
        project = _write(tmp_path / "out", pair, dates=("2019", "2021-05-17"))
    assert list(_sources(project).items()) == [
        ("footprints", "./footprints.gpkg|layername=footprints"),
        ("mask", "./mask.tif"),
        ("probability", "./probability.tif"),
        ("after", "../images/after.tif"),
        ("before", "../images/before.tif"),
    ]
    assert project.findtext("title") == "Changed buildings: before.tif → after.tif"
    assert _layer(project, "after").findtext("layername") == "after 2021-05-17: after.tif"
    assert crs_name(project.findtext("projectCrs/spatialrefsys/wkt") or "") == "EPSG:32614"
    view = project.find("ProjectViewSettings/DefaultViewExtent")
    assert view is not None
    assert [float(view.get(name, "")) for name in ("xmin", "ymin", "xmax", "ymax")] == [
        620000,
        3349984,
        620024,
        3350000,
    ]
    # the legend, the drawing order and the themes name layers that are there
    held = {layer.findtext("id") for layer in project.iterfind("projectlayers/maplayer")}
    named = [*project.iter("layer-tree-layer"), *project.iterfind("layerorder/layer")]
    assert {layer.get("id") for layer in named} == held
    assert {layer.get("id") for layer in project.iterfind("visibility-presets//layer")} == held


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    with _pair(tmp_path / "images") as pair:
        for name in ("first", "second"):
            _write(tmp_path / name, pair)
    first, second = ((tmp_path / name / PROJECT).read_bytes() for name in ("first", "second"))
    assert first == second


def test_images_inside_the_folder_are_named_as_results_are(tmp_path: Path) -> None:
    with _pair(tmp_path) as pair:
        sources = _sources(_write(tmp_path, pair))
    assert (sources["before"], sources["after"]) == ("./before.tif", "./after.tif")


def test_behind_a_link_images_have_whole_names(tmp_path: Path) -> None:
    # QGIS would look for ../images beside the link
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    (tmp_path / "out").symlink_to(tmp_path / "elsewhere" / "deep", target_is_directory=True)
    with _pair(tmp_path / "images") as pair:
        sources = _sources(_write(tmp_path / "out", pair))
    assert sources["before"] == str(tmp_path / "images" / "before.tif")
    assert sources["mask"] == "./mask.tif"


@pytest.mark.parametrize("name", ["vor & nach.tif", "<\"a'>.tif", "]]>.tif", "ä 日本 %20.tif"])
def test_hostile_names_stay_names(tmp_path: Path, name: str) -> None:
    with _pair(tmp_path / "images", (name, "after.tif")) as pair:
        project = _write(tmp_path / "out", pair)
    assert _sources(project)["before"] == f"../images/{name}"
    assert _layer(project, "before").findtext("layername") == f"before: {name}"


@pytest.mark.parametrize("name", ["a\x01b.tif", "a\nb.tif"])
def test_an_image_whose_name_xml_cannot_hold_is_left_out(tmp_path: Path, name: str) -> None:
    with _pair(tmp_path / "images", (name, "after.tif")) as pair:
        project = _write(tmp_path / "out", pair)
    assert list(_sources(project)) == ["footprints", "mask", "probability", "after"]
    assert "a?b.tif" in (project.findtext("title") or "")


def test_columns_to_fill_in_are_drop_downs_and_the_others_are_locked(tmp_path: Path) -> None:
    with _pair(tmp_path) as pair:
        layer = _layer(_write(tmp_path / "out", pair), "footprints")
    fields = list(field_types(MAP))
    editable = {field.get("name"): field.get("editable") for field in layer.iterfind("editable/*")}
    assert editable == dict.fromkeys(REVIEW_COLUMNS, "1") | dict.fromkeys(fields, "0")
    shown = [field.get("name") for field in layer.iter("attributeEditorField")]
    assert shown == [*REVIEW_COLUMNS, *fields]
    choices = {
        field.get("name"): [
            entry.get("name") for entry in field.iter("Option") if entry.get("value")
        ]
        for field in layer.iterfind("fieldConfiguration/field")
        if field.find("editWidget[@type='ValueMap']") is not None
    }
    assert choices == {
        "status": ["unreviewed", "accepted", "rejected", "unsure"],
        "kind": ["(not given)", "built", "demolished", "rebuilt", "other"],
    }


def test_qgis_and_the_review_speak_of_the_same_statuses_and_kinds() -> None:
    assert STATUSES == items.STATUSES
    assert ("", *KINDS) == items.KINDS  # nobody has said: NULL in a column, "" in a review


def test_every_column_has_an_alias() -> None:
    pixels = Grid(None, (1.0, 0.0, 0.0, 0.0, -1.0, 0.0), 8, 8)
    grids = (MAP, pixels, replace(pixels, unit_m=0.2))
    fields = {name for grid in grids for name in field_types(grid, has_kinds=True)}
    fields |= {*REVIEW_COLUMNS}
    assert fields == set(ALIASES)


@pytest.mark.parametrize(
    ("names", "source", "epsg"),
    [
        (
            ("footprints.geojson", "footprints.gpkg"),
            "./footprints.gpkg|layername=footprints",
            32614,
        ),
        (("footprints.geojson", "footprints.fgb"), "./footprints.fgb", 32614),
        (("footprints.geojson",), "./footprints.geojson", 4326),  # as RFC 7946 wants it
    ],
)
def test_the_best_file_of_footprints_is_shown(
    tmp_path: Path, names: tuple[str, ...], source: str, epsg: int
) -> None:
    with _pair(tmp_path) as pair:
        layer = _layer(_write(tmp_path / "out", pair, *names), "footprints")
    assert layer.findtext("datasource") == source
    assert crs_name(layer.findtext("srs/spatialrefsys/wkt") or "") == f"EPSG:{epsg}"
    assert ("status" in [field.get("name") for field in layer.iter("field")]) == (
        source.startswith("./footprints.gpkg")
    )


def test_without_a_file_that_qgis_reads_there_is_no_layer_of_footprints(tmp_path: Path) -> None:
    with _pair(tmp_path) as pair:
        project = _write(tmp_path / "out", pair, "footprints.parquet")
    assert list(_sources(project)) == ["mask", "probability", "after", "before"]


def _stretch(layer: Element) -> list[tuple[str | None, float, float]]:
    return [
        (
            part.findtext("algorithm"),
            *(float(part.findtext(end) or "") for end in ("minValue", "maxValue")),
        )
        for part in layer.iterfind("pipe/rasterrenderer/*")
        if part.tag.lower().endswith("contrastenhancement")
    ]


def test_8_bit_is_shown_as_it_is_and_16_bit_as_the_network_saw_it(tmp_path: Path) -> None:
    with _pair(tmp_path / "8") as pair:
        layer = _layer(_write(tmp_path / "8", pair), "before")
    assert _stretch(layer) == [("NoEnhancement", 0, 255)] * 3
    values = np.arange(3 * 32 * 48, dtype=np.uint16).reshape(3, 32, 48)
    rule = Scaling((100, 200, 300), (1000, 2000, 3000), "given")
    with _pair(tmp_path / "16", pixels=values, scaling=rule) as pair:
        layer = _layer(_write(tmp_path / "16", pair), "after")
    assert _stretch(layer) == [
        ("StretchToMinimumMaximum", 100, 1000),
        ("StretchToMinimumMaximum", 200, 2000),
        ("StretchToMinimumMaximum", 300, 3000),
    ]
    assert layer.findtext("pipe/rasterrenderer/minMaxOrigin/limits") == "None"


def test_the_stretch_is_in_measured_values_as_qgis_counts(tmp_path: Path) -> None:
    import rasterio

    paths = [write(tmp_path / name, np.ones((3, 32, 48), np.uint16)) for name in ("a.tif", "b.tif")]
    for path in paths:
        with rasterio.open(path, "r+") as dataset:
            dataset.scales, dataset.offsets = (0.5,) * 3, (10.0,) * 3
    with open_pair(*paths, scaling=Scaling((0,) * 3, (1000,) * 3, "given")) as pair:
        layer = _layer(_write(tmp_path, pair), "before")
    assert _stretch(layer) == [("StretchToMinimumMaximum", 10, 510)] * 3


def test_one_band_is_grey(tmp_path: Path) -> None:
    paths = [write(tmp_path / name, np.ones((2, 32, 48), np.uint8)) for name in ("a.tif", "b.tif")]
    with open_pair(*paths, bands=(2,), band_count=1) as pair:
        layer = _layer(_write(tmp_path, pair), "before")
    renderer = layer.find("pipe/rasterrenderer")
    assert renderer is not None
    assert (renderer.get("type"), renderer.get("grayBand")) == ("singlebandgray", "2")


def test_a_pair_without_crs_has_none_in_the_project(tmp_path: Path) -> None:
    with _pair(tmp_path, crs=None) as pair:
        project = _write(tmp_path / "out", pair)
    assert project.find("projectCrs/spatialrefsys") is not None
    assert not list(project.iter("wkt"))
    assert project.findtext("properties/SpatialRefSys/ProjectionsEnabled") == "0"
    # QGIS would place the images by their geotransform, and the results lie in pixels
    for name in ("before", "after"):
        view = fromstring(_sources(project)[name])
        assert {part.tag for part in view} == {"VRTRasterBand"}
        assert view.findtext(".//SourceFilename") == str(tmp_path / f"{name}.tif")


def test_degrees_are_drawn_in_utm(tmp_path: Path) -> None:
    wgs84 = wkt_of("EPSG:4326")
    step = 1e-5

    def at(longitude: float, latitude: float) -> str:
        found = map_crs(Grid(wgs84, (step, 0, longitude, 0, -step, latitude), 8, 8))
        return crs_name(found or "")

    assert at(-94.5, 37.06) == "EPSG:32615"
    assert at(151.2, -33.9) == "EPSG:32756"
    assert at(181.0, 10.0) == "EPSG:32601"  # beyond the date line
    assert at(15.0, 88.0) == "EPSG:4326"
    utm = wkt_of("EPSG:32614")
    assert map_crs(Grid(utm, (0.5, 0, 0, 0, -0.5, 0), 8, 8)) == utm
    assert map_crs(Grid(None, (1, 0, 0, 0, -1, 0), 8, 8)) is None


class _Remote:
    """Stands for a raster that is read from an address."""

    is_local, is_temporary = False, False

    def __init__(self, name: str) -> None:
        self.name = name


def test_remote_images_are_named_as_gdal_opens_them(tmp_path: Path) -> None:
    source: Any = _Remote("https://host.example/a.tif")
    assert place_of(source, tmp_path) == "/vsicurl/https://host.example/a.tif"


def test_no_project_is_written_where_none_is_wanted(tmp_path: Path) -> None:
    pixels = np.zeros((3, 128, 128), dtype=np.uint8)
    before, after = (write(tmp_path / f"{name}.tif", pixels) for name in ("before", "after"))
    weights = write_difference_weights(tmp_path / "difference.onnx", tile_px=128, overlap_px=16)
    options: dict[str, Any] = {"weights": weights, "threads": 1, "report": False}
    out = tmp_path / "out"
    detect(before, after, out=out, **options)
    assert (out / PROJECT).exists()
    detect(before, after, out=out, qgis=False, overwrite=True, **options)
    assert not (out / PROJECT).exists()


def test_runs_from_before_the_option_can_be_resumed() -> None:
    from hanet.detection.settings import DetectionSettings

    assert "qgis" not in DetectionSettings().identity()
    assert DetectionSettings(qgis=False).identity()["qgis"] == "False"
