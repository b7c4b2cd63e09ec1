"""What Python and notebooks get of a finished run."""

from __future__ import annotations

import gc
import json
import re
import sys
import tempfile
from base64 import b64decode
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import geopandas
import matplotlib
import numpy as np
import pytest
import rasterio
import rioxarray
from rasterio.windows import Window as RasterioWindow

import hanet
import hanet.imagery.probability_array
from hanet.detection import result_picture
from hanet.detection.result import DetectionResult
from hanet.errors import (
    HanetError,
    InputError,
    MissingExtraError,
    OutputError,
    SettingsError,
    VectorError,
)
from hanet.synthetic.scene import render_scene
from hanet.types import Window

matplotlib.use("agg")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return render_scene(tmp_path_factory.mktemp("scene"), size=512, seed=1)


@pytest.fixture(scope="module")
def result(scene: Any, tmp_path_factory: pytest.TempPathFactory) -> DetectionResult:
    out = tmp_path_factory.mktemp("run") / "<changes>"
    return hanet.detect(
        scene.before,
        scene.after,
        out=out,
        threads=1,
        before_date="2020-05",
        after_date="2024-06-07",
        formats=("gpkg", "geojson", "parquet"),
        min_area_m2=1,
    )


def test_paths_are_there(result: DetectionResult) -> None:
    paths = result.paths
    files = [paths.probability, paths.mask, paths.run, paths.report, paths.project]
    assert all(path is not None and path.is_file() for path in files)
    assert {name: path.name for name, path in paths.footprints.items()} == {
        "gpkg": "footprints.gpkg",
        "geojson": "footprints.geojson",
        "parquet": "footprints.parquet",
    }


def test_footprints_count_and_give_a_frame(result: DetectionResult) -> None:
    frame = result.footprints()
    assert len(frame) == result.footprints.count > 3
    assert frame.area_m2.sum() == pytest.approx(result.footprints.area_m2, abs=0.01)
    assert frame.crs == rasterio.open(result.paths.probability).crs
    assert set(frame.after_date) == {"2024-06-07"}
    assert {"status", "kind", "comment"} <= set(frame.columns)


@pytest.mark.parametrize("kept", ["gpkg", "geojson", "parquet"])
def test_each_format_gives_the_same_places(result: DetectionResult, kept: str) -> None:
    from hanet.footprints.frame import geo_frame
    from hanet.footprints.stored import read_footprints

    frame = geo_frame(*read_footprints([result.paths.footprints[kept]]))
    wanted = result.footprints().to_crs(4326)
    apart = frame.to_crs(4326).union_all().symmetric_difference(wanted.union_all())
    assert apart.area < 2e-3 * wanted.union_all().area  # GeoJSON is rounded to a centimetre
    assert frame.id.tolist() == wanted.id.tolist()


def test_probability_has_its_place(result: DetectionResult) -> None:
    found = result.probability()
    with rasterio.open(result.paths.probability) as dataset:
        stored = dataset.read(1)
        assert rasterio.CRS.from_wkt(found.crs) == dataset.crs
        assert found.transform == dataset.transform
    assert found.values.dtype == np.float32
    assert np.allclose(found.values, stored * 0.004, atol=1e-6)
    part = result.probability(np.s_[10:50, 20:90])
    assert (part.values == found.values[10:50, 20:90]).all()
    assert part.transform == found.transform @ rasterio.Affine.translation(20, 10)
    for window in (Window(10, 20, 40, 70), RasterioWindow(20, 10, 70, 40)):
        assert (result.probability(window).values == part.values).all()


def test_probability_as_a_data_array(result: DetectionResult) -> None:
    array = result.probability(np.s_[10:50, 20:90]).to_xarray()
    with rioxarray.open_rasterio(result.paths.probability, mask_and_scale=True) as whole:
        other = whole.isel(band=0, y=slice(10, 50), x=slice(20, 90))
        assert np.allclose(array.x, other.x)
        assert np.allclose(array.y, other.y)
        assert np.allclose(array, other, atol=1e-6)
        assert array.rio.crs == whole.rio.crs
    assert array.rio.transform() == result.probability(np.s_[10:50, 20:90]).transform
    assert (array.attrs["before_date"], array.attrs["after_date"]) == ("2020-05", "2024-06-07")


def test_footprints_of_the_array_are_those_of_the_run(result: DetectionResult) -> None:
    found = hanet.find_footprints(result.probability(), min_area_m2=1)
    assert found.threshold == pytest.approx(result.footprints.threshold)
    frame, wanted = found.to_geopandas(), result.footprints()
    assert frame.geom_equals(wanted.geometry).all()
    for name in found.fields:
        assert frame[name].tolist() == wanted[name].tolist(), name


def test_too_much_at_once_is_refused(
    result: DetectionResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hanet.imagery.probability_array, "LARGEST_BYTES", 512 * 512 * 4 - 1)
    with pytest.raises(SettingsError, match="512 x 512") as error:
        result.probability()
    assert "window" in str(error.value.hint)
    assert result.probability(np.s_[:511, :]).values.shape == (511, 512)
    with pytest.raises(SettingsError, match="reaches beyond"):
        result.probability(Window(0, 0, 600, 10))


def test_the_geo_interface_is_what_the_geojson_file_holds(result: DetectionResult) -> None:
    frame = geopandas.GeoDataFrame.from_features(result, crs=4326)
    with result.paths.footprints["geojson"].open(encoding="utf-8") as file:
        stored = geopandas.GeoDataFrame.from_features(json.load(file), crs=4326)
    assert frame.normalize().geom_equals_exact(stored.normalize(), 2e-7).all()
    assert frame.id.tolist() == stored.id.tolist()
    json.dumps(result.__geo_interface__, allow_nan=False)


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.images: list[str] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ("div", "figure", "img", "figcaption", "table", "tr", "th", "td")
        if tag == "img":
            self.images.append(str(dict(attrs)["src"]))

    def handle_data(self, text: str) -> None:
        self.texts.append(text)


def test_notebooks_show_both_dates_with_outlines_and_counts(result: DetectionResult) -> None:
    page = _Page(str(result._repr_html_()))
    assert page.texts[:2] == ["before, 2020-05", "after, 2024-06-07"]
    assert any(text.startswith(f"{result.footprints.count}, ") for text in page.texts)
    assert "<changes>" in page.texts
    assert len(page.images) == 2
    for image in page.images:
        svg = b64decode(image.removeprefix("data:image/svg+xml;base64,")).decode()
        assert svg.count("data:image/jpeg") == 1
        assert svg.count("M") >= result.footprints.count


def test_without_a_report_there_is_a_map_of_outlines(
    result: DetectionResult, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept = result.out / "report.html"
    moved = kept.rename(tmp_path / "report.html")
    try:
        assert result.paths.report is None
        (image,) = _Page(str(result._repr_html_())).images
        svg = b64decode(image.removeprefix("data:image/svg+xml;base64,")).decode()
        assert "jpeg" not in svg
        path = re.findall(r' d="([^"]*)"', svg)[0]
        assert path.count("M") >= result.footprints.count
        monkeypatch.setattr(result_picture, "MOST_OUTLINES", 1)
        assert "the 1 largest are drawn" in str(result._repr_html_())
        kept.write_text("<p>another page</p>", encoding="utf-8")
        assert len(_Page(str(result._repr_html_())).images) == 1
    finally:
        moved.replace(kept)


def test_plots_are_drawn_on_the_map(result: DetectionResult) -> None:
    axes = result.plot()
    assert [one.get_title() for one in axes] == [
        "before, 2020-05",
        "after, 2024-06-07",
        "probability of change",
    ]
    left, bottom, right, top = result.grid.bounds
    for one in axes:
        assert (*one.get_xlim(), *one.get_ylim()) == (left, right, bottom, top)
        assert len(one.collections[0].get_paths()) >= result.footprints.count
    with pytest.raises(SettingsError, match="3 axes"):
        result.plot(axes[:2])
    assert list(result.plot(axes)) == list(axes)
    matplotlib.pyplot.close("all")


def test_a_finished_folder_is_opened_later(result: DetectionResult, tmp_path: Path) -> None:
    again = hanet.open_result(result.out)
    assert again.footprints == result.footprints
    assert again.was_finished
    assert (again.probability().values == result.probability().values).all()
    assert again._repr_html_() == result._repr_html_()
    with pytest.raises(OutputError, match="no finished run"):
        hanet.open_result(tmp_path)


def test_without_out_the_folder_lives_as_long_as_the_result(
    scene: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with rasterio.open(scene.before) as before, rasterio.open(scene.after) as after:
        result = hanet.detect(
            hanet.Raster(before.read(), before.crs, before.transform), after, threads=1
        )
    manifest = result.manifest()
    assert manifest["pair"]["before"]["path"] == "from memory"
    assert manifest["inputs"]["before"] is None
    assert Path(result.out, manifest["inputs"]["after"]).samefile(scene.after)
    footprints, out = result.footprints, result.out
    del result
    gc.collect()
    assert len(footprints()) == footprints.count
    del footprints
    gc.collect()
    assert not out.exists()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(HanetError):
        hanet.detect(scene.before, "missing.tif")
    gc.collect()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(SettingsError, match="to resume or overwrite"):
        hanet.detect(scene.before, scene.after, resume=True)


def test_files_that_are_gone_are_said(scene: Any, tmp_path: Path) -> None:
    result = hanet.detect(scene.before, scene.after, out=tmp_path / "out", threads=1, report=False)
    for path in result.paths.footprints.values():
        path.unlink()
    with pytest.raises(VectorError, match="no longer exist"):
        result.footprints()
    assert result._repr_html_() is None


@pytest.mark.parametrize(
    ("package", "call"),
    [
        ("geopandas", lambda result: result.footprints()),
        ("rioxarray", lambda result: result.probability().to_xarray()),
        ("matplotlib", lambda result: result.plot()),
    ],
)
def test_without_the_extra_a_line_says_what_to_install(
    result: DetectionResult, monkeypatch: pytest.MonkeyPatch, package: str, call: Any
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=package) as error:
        call(result)
    assert error.value.hint == "pip install 'hanet[notebook]'"
    assert result._repr_html_() is not None
    assert result.__geo_interface__["type"] == "FeatureCollection"


def test_arrays_without_a_place_are_refused_in_words(scene: Any) -> None:
    with pytest.raises(InputError, match="where it lies") as error:
        hanet.detect(np.zeros((3, 64, 64), np.uint8), scene.after)
    assert "hanet.Raster" in str(error.value.hint)
