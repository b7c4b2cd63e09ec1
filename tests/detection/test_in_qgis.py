"""Results opened in QGIS itself: layers, names, styles, and the colours that are drawn."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from checkout import ROOT
from difference_weights import write_difference_weights
from hanet.detection.job import detect
from hanet.imagery.images import write_png
from hanet.imagery.qgis import CLASSES
from hanet.synthetic.scene import render_pair, render_scene

SCRIPT = ROOT / "tests" / "support" / "open_in_qgis.py"

PYTHONS = (os.environ.get("HANET_QGIS_PYTHON", ""), "/usr/bin/python3")
"""Where QGIS's Python may be; it is never that of a virtual environment."""


@pytest.fixture(scope="module")
def qgis() -> str:
    """A Python that has QGIS; skips where there is none."""
    for python in PYTHONS:
        if (
            python
            and subprocess.run(
                [python, "-c", "import qgis.core"], capture_output=True, check=False
            ).returncode
            == 0
        ):
            return python
    pytest.skip(
        "no QGIS is installed (Debian: apt-get install python3-qgis; elsewhere HANET_QGIS_PYTHON)"
    )


def _open(qgis: str, folder: Path, background: Path) -> dict[str, Any]:
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "PYTHONPATH": ""}
    command = [qgis, str(SCRIPT), str(folder), str(background)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert (
        "GeoPackage" not in done.stderr
    )  # an older GDAL says there that it does not know the version
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_a_result_opens_styled_and_in_place(qgis: str, tmp_path: Path) -> None:
    files = render_scene(tmp_path / "scene", size=320, seed=1, change_share=0.4)
    weights = write_difference_weights(tmp_path / "difference.onnx", tile_px=128, overlap_px=16)
    done = detect(files.before, files.after, out=tmp_path / "out", weights=weights, threads=1)
    seen = _open(qgis, tmp_path / "out", files.after)
    assert seen["sublayers"] == ["footprints"]  # layer_styles is not offered as a layer
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


def test_a_pair_without_georeference_lies_on_its_image(qgis: str, tmp_path: Path) -> None:
    before, after, _ = render_pair(256, 320, 1, change_share=0.4)
    for name, image in (("before", before), ("after", after)):
        write_png(tmp_path / f"{name}.png", image)
    weights = write_difference_weights(tmp_path / "difference.onnx", tile_px=128, overlap_px=16)
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
