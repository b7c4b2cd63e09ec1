"""Results opened in QGIS itself: layers, names, styles, and the colours that are drawn."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import rasterio

from checkout import ROOT
from difference_weights import write_difference_weights
from hanet.detection.job import detect
from hanet.footprints.review_columns import KINDS, STATUSES
from hanet.imagery.images import read_image, write_png
from hanet.imagery.qgis import CLASSES
from hanet.synthetic.scene import render_pair, render_scene
from qgis_python import qgis_python
from small_rasters import write


@pytest.fixture(scope="module")
def qgis() -> str:
    """A Python that has QGIS; skips where there is none."""
    return qgis_python()


def _seen_in_qgis(qgis: str, script: str, *arguments: Path) -> dict[str, Any]:
    """What a script of tests/support prints when QGIS's Python runs it."""
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "PYTHONPATH": ""}
    command = [qgis, str(ROOT / "tests" / "support" / script), *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert (
        "GeoPackage" not in done.stderr
    )  # an older GDAL says there that it does not know the version
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _open(qgis: str, folder: Path, background: Path) -> dict[str, Any]:
    return _seen_in_qgis(qgis, "open_in_qgis.py", folder, background)


def _open_project(qgis: str, folder: Path) -> dict[str, Any]:
    return _seen_in_qgis(qgis, "open_project_in_qgis.py", folder / "changes.qgz", folder)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "difference.onnx"
    return write_difference_weights(path, tile_px=128, overlap_px=16)


def test_a_result_opens_styled_and_in_place(qgis: str, weights: Path, tmp_path: Path) -> None:
    files = render_scene(tmp_path / "scene", size=320, seed=1, change_share=0.4)
    done = detect(files.before, files.after, out=tmp_path / "out", weights=weights, threads=1)
    seen = _open(qgis, tmp_path / "out", files.after)
    assert seen["sublayers"] == ["footprints"]
    assert seen["valid"] == [True] * 4
    assert len(seen["crs"]) == 1
    assert seen["footprints"] == done.footprints.count > 0
    assert seen["renderers"] == ["graduatedSymbol", "singlebandpseudocolor", "paletted"]
    assert seen["classes"] == [[label, colour] for _, _, colour, label in CLASSES]
    assert [round(value, 6) for value, _, _ in seen["ramp"]] == [0.0, 0.2, 0.5, 1.0]
    image = np.array(seen["colour of image"], dtype=int)
    for layer in ("footprints", "probability", "mask"):
        change = np.array(seen[f"colour of {layer}"], dtype=int) - image
        assert change[0] - change[2] > 30, (
            f"{layer} draws no red where the largest footprint is: {seen}"
        )


def test_a_pair_without_georeference_lies_on_its_image(
    qgis: str, weights: Path, tmp_path: Path
) -> None:
    before, after, _ = render_pair(256, 320, 1, change_share=0.4)
    for name, image in (("before", before), ("after", after)):
        write_png(tmp_path / f"{name}.png", image)
    detect(
        tmp_path / "before.png",
        tmp_path / "after.png",
        out=tmp_path / "out",
        weights=weights,
        threads=1,
    )
    seen = _open(qgis, tmp_path / "out", tmp_path / "after.png")
    image = np.array(seen["colour of image"], dtype=int)
    for layer in ("footprints", "probability", "mask"):
        change = np.array(seen[f"colour of {layer}"], dtype=int) - image
        assert change[0] - change[2] > 30, f"{layer} does not lie where the footprint is: {seen}"


def _all_is_in_place(seen: dict[str, Any]) -> None:
    """Every layer opens, QGIS has nothing to complain of, and each theme draws red in the largest
    footprint."""
    assert seen["read"]
    assert seen["said"] == []
    assert [name for name, layer in seen["layers"].items() if not layer["valid"]] == []
    assert seen["order"] == ["footprints", "mask", "probability", "after", "before"]
    assert seen["shown"] == ["footprints", "after", "before"]
    assert seen["groups"] == {
        "Changes": ["footprints", "mask", "probability"],
        "Images": ["after", "before"],
    }
    for theme, colour in seen["colours"].items():
        assert colour[0] > colour[2] + 20, f"{theme} draws no red in the largest footprint: {seen}"
    assert sorted(seen["colours"]) == ["After", "Before", "Mask", "Probability"]


def test_the_project_opens_with_styles_and_form(qgis: str, weights: Path, tmp_path: Path) -> None:
    folder = tmp_path / "vor & nach <1> \"q\" 'x' é"
    files = render_scene(folder / "scene", size=320, seed=1, change_share=0.4)
    done = detect(
        files.before,
        files.after,
        out=folder / "out",
        weights=weights,
        threads=1,
        before_date="2019",
    )
    moved = tmp_path / "moved"
    folder.rename(moved)  # names are relative
    seen = _open_project(qgis, moved / "out")
    _all_is_in_place(seen)
    assert seen["title"] == "Changed buildings: before.tif → after.tif"
    assert (seen["crs"], seen["ellipsoid"]) == ("EPSG:32614", "EPSG:7030")
    assert seen["extent"] == [620000, 3349840, 620160, 3350000]
    layers = seen["layers"]
    assert {layer["crs"] for layer in layers.values()} == {"EPSG:32614"}
    assert layers["before"]["title"] == "before 2019: before.tif"
    assert layers["before"]["source"] == str(moved / "scene" / "before.tif")
    assert {name: layer["renderer"] for name, layer in layers.items()} == {
        "footprints": "graduatedSymbol",
        "mask": "paletted",
        "probability": "singlebandpseudocolor",
        "after": "multibandcolor",
        "before": "multibandcolor",
    }
    form = seen["form"]
    assert form["count"] == done.footprints.count
    assert form["classes"] == [[label, colour] for _, _, colour, label in CLASSES]
    assert form["choices"]["status"] == [[status, status] for status in STATUSES]
    assert form["choices"]["kind"][1:] == [[kind, kind] for kind in KINDS]
    assert form["multiline"] == ["comment"]
    assert form["boxes"]["Review"] == ["status", "kind", "comment"]
    assert set(form["read only"]) == set(form["boxes"]["Measured"])
    assert form["aliases"]["area_m2"] == "Area (m²)"
    first = form["first"]
    assert (first["status"], first["kind"], first["comment"]) == ("unreviewed", "NULL", "NULL")
    assert form["display"] == f"#{first['id']}, {float(first['area_m2']):,.0f} m²"
    assert form["tip"].startswith(f"<b>{form['display']}</b><br>probability 0.")
    assert form["drawn"] == {"status": "accepted", "kind": "None"}
    # what is filled in is in the file, for everyone
    assert form["saved"] == ["accepted", "built", "seen in <QGIS>"]
    meta, _, _, columns = pyogrio.raw.read(moved / "out" / "footprints.gpkg", layer="footprints")
    values = dict(zip(meta["fields"], columns, strict=True))
    assert sorted(values["status"])[:2] == ["accepted", "unreviewed"]
    assert "seen in <QGIS>" in list(values["comment"])
    assert "seen in &lt;QGIS>" in _open_project(qgis, moved / "out")["form"]["tip"]


def test_the_project_of_a_pair_in_degrees_is_drawn_square(
    qgis: str, weights: Path, tmp_path: Path
) -> None:
    before, after, _ = render_pair(256, 256, 1, change_share=0.4)
    step = 0.5 / 111_000  # half a metre to the north, 0.4 m to the east
    place = rasterio.Affine(step, 0, -94.5, 0, -step, 37.06)
    paths = [
        write(tmp_path / name, image, crs="EPSG:4326", transform=place)
        for name, image in (("before.tif", before), ("after.tif", after))
    ]
    detect(*paths, out=tmp_path / "out", weights=weights, threads=1)
    seen = _open_project(qgis, tmp_path / "out")
    _all_is_in_place(seen)
    assert seen["crs"] == "EPSG:32615"
    assert seen["layers"]["footprints"]["crs"] == "EPSG:4326"
    left, bottom, right, top = seen["extent"]
    assert (right - left) / (top - bottom) == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize("has_world_file", [False, True])
def test_the_project_of_a_pair_without_crs_lies_in_pixels(
    qgis: str, weights: Path, tmp_path: Path, has_world_file: bool
) -> None:
    before, after, _ = render_pair(256, 320, 1, change_share=0.4)
    for name, image in (("before", before), ("after", after)):
        write_png(tmp_path / f"{name}.png", image)
        if has_world_file:
            (tmp_path / f"{name}.pgw").write_text("0.5\n0\n0\n-0.5\n1000.25\n4999.75\n")
    paths = (tmp_path / "before.png", tmp_path / "after.png")
    detect(*paths, out=tmp_path / "out", weights=weights, threads=1)
    seen = _open_project(qgis, tmp_path / "out")
    _all_is_in_place(seen)
    assert seen["crs"] == ""
    assert seen["extent"] == [0, -256, 320, 0]
    assert seen["form"]["display"].endswith(" px²")


def test_16_bit_is_drawn_as_bright_as_the_network_saw_it(
    qgis: str, weights: Path, tmp_path: Path
) -> None:
    images = render_pair(256, 256, 1, change_share=0.4)[:2]
    paths = [
        write(tmp_path / name, image.astype(np.uint16) * 40 + 1000)
        for name, image in zip(("before.tif", "after.tif"), images, strict=True)
    ]
    detect(*paths, out=tmp_path / "out", weights=weights, threads=1, formats=("fgb",))
    seen = _open_project(qgis, tmp_path / "out")
    _all_is_in_place(seen)
    assert seen["form"]["choices"] == {}  # FlatGeobuf has no columns to fill in
    scaling = json.loads((tmp_path / "out" / "run.json").read_text())["pair"]["scaling"]
    ends = zip((1, 2, 3), scaling["low"], scaling["high"], strict=True)
    stretch = 1
    assert seen["stretch"]["before"] == [*([band, stretch, *pair] for band, *pair in ends), -1]
    drawn = read_image(tmp_path / "out" / "Before.png")
    assert drawn.mean() > 60, "drawn dark"


def test_what_is_filled_in_in_qgis_is_delivered(qgis: str, weights: Path, tmp_path: Path) -> None:
    files = render_scene(tmp_path / "scene", size=320, seed=1, change_share=0.4)
    out = tmp_path / "out"
    detect(files.before, files.after, out=out, weights=weights, threads=1)
    first = _open_project(qgis, out)["form"]["first"]["id"]
    command = [sys.executable, "-m", "hanet", "deliver", out, "--from", out / "footprints.gpkg"]
    subprocess.run([str(part) for part in command], check=True, capture_output=True)
    meta, _, _, columns = pyogrio.raw.read(out / "delivery" / "reviewed.gpkg")
    values = {name: list(column) for name, column in zip(meta["fields"], columns, strict=True)}
    found = {name: values[name] for name in ("id", "status", "kind", "comment")}
    assert found == {
        "id": [f"f{first}"],
        "status": ["accepted"],
        "kind": ["built"],
        "comment": ["seen in <QGIS>"],
    }
