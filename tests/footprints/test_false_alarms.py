"""The footprint filter: what it keeps, and that every verb applies it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyogrio
import pytest
from typer.testing import CliRunner

from hanet.cli import app
from hanet.detection.job import detect
from hanet.detection.renewal import renew_footprints
from hanet.errors import SettingsError
from hanet.footprints.extraction import find_components, find_footprints
from hanet.footprints.false_alarms import FEATURES, FootprintFilter, features_of
from hanet.footprints.settings import FootprintSettings
from hanet.imagery.images import write_png
from hanet.imagery.raster_output import ProbabilityRaster
from hanet.review.finding import find
from hanet.synthetic.scene import render_pair
from hanet.weights import catalogue
from hanet.weights.onnx_rewrite import with_other_metadata
from reviewed_runs import finished_run, village

ONLY_LARGE = FootprintFilter(
    means=(0.0,) * len(FEATURES),
    scales=(1.0,) * len(FEATURES),
    weights=(1.0, *(0.0,) * (len(FEATURES) - 1)),
    bias=-float(np.log(100.0)),
    cut=0.5,
    gsd_m=0.5,
)
"""Keeps what has 100 square metres or more."""


def rows_of(out: Path) -> int:
    return int(pyogrio.read_info(out / "footprints.gpkg")["features"])


def test_features_are_those_of_the_shape_in_metres(tmp_path: Path) -> None:
    out = finished_run(tmp_path / "run", village())
    with ProbabilityRaster(out / "probability.tif") as raster:
        barn = find_components(raster, FootprintSettings(threshold=0.8))
    (row,) = features_of(barn, (0.5, 0.5))
    values = dict(zip(FEATURES, row.tolist(), strict=True))
    assert values["log_area_m2"] == pytest.approx(np.log(20 * 30 * 0.25))
    assert values["compactness"] == pytest.approx(4 * np.pi * 600 / 100**2)
    assert values["elongation"] == pytest.approx(np.log(1.5))
    assert values["fill"] == pytest.approx(1.0)
    assert values["logit_mean"] == pytest.approx(np.log(9), abs=0.05)
    assert values["logit_spread"] == pytest.approx(0.0, abs=1e-6)


def test_what_it_takes_for_false_alarms_is_left_out(tmp_path: Path) -> None:
    plain = finished_run(tmp_path / "plain", village())
    filtered = finished_run(tmp_path / "filtered", village(), footprint_filter=ONLY_LARGE)
    assert (rows_of(plain), rows_of(filtered)) == (3, 1)


def test_without_a_crs_a_pixel_is_one_of_the_weights(tmp_path: Path) -> None:
    out = finished_run(tmp_path / "run", village(), crs=None, footprint_filter=ONLY_LARGE)
    assert rows_of(out) == 1


def test_the_outline_asked_for_does_not_matter(tmp_path: Path) -> None:
    out = finished_run(tmp_path / "run", village())
    with ProbabilityRaster(out / "probability.tif") as raster:
        for outline in ("pixels", "simple", "square"):
            settings = FootprintSettings(outline=outline, footprint_filter=ONLY_LARGE)
            assert len(find_footprints(raster, settings)) == 1


def test_a_renewed_run_keeps_its_filter_until_told_otherwise(tmp_path: Path) -> None:
    out = finished_run(tmp_path / "run", village(), footprint_filter=ONLY_LARGE)
    renew_footprints(out, min_area_m2=5.0)
    record = json.loads((out / "run.json").read_text())["footprints"]
    assert (rows_of(out), record["left_out"]) == (1, 2)
    answer = CliRunner().invoke(app, ["footprints", str(out), "--no-footprint-filter"])
    assert answer.exit_code == 0, answer.output
    assert rows_of(out) == 3
    assert "footprint_filter" not in json.loads((out / "run.json").read_text())["footprints"]
    renew_footprints(out, filter_footprints=True)
    assert rows_of(out) == 1


def test_what_is_left_out_can_be_reviewed_as_missed(tmp_path: Path) -> None:
    out = finished_run(tmp_path / "run", village())
    settings = FootprintSettings(threshold=0.5, footprint_filter=ONLY_LARGE)
    findings = find(out / "probability.tif", settings)
    assert (len(findings.found), len(findings.missed)) == (1, 3)


def test_it_is_read_back_from_json() -> None:
    assert FootprintFilter.from_json(json.loads(json.dumps(ONLY_LARGE.to_json()))) == ONLY_LARGE
    settings = FootprintSettings(threshold=0.5, footprint_filter=ONLY_LARGE)
    assert FootprintSettings(**json.loads(json.dumps(settings.to_json()))) == settings
    assert "footprint_filter" not in FootprintSettings().to_json()


@pytest.mark.parametrize(
    "values",
    [
        3,
        {},
        {**ONLY_LARGE.to_json(), "scales": [0.0] * len(FEATURES)},
        {**ONLY_LARGE.to_json(), "bias": "nan"},
        {**ONLY_LARGE.to_json(), "weights": [1.0]},
        {**ONLY_LARGE.to_json(), "cut": 2},
        {**ONLY_LARGE.to_json(), "features": ["colour"]},
        {**ONLY_LARGE.to_json(), "more": 1},
    ],
)
def test_a_damaged_one_is_refused(values: object) -> None:
    with pytest.raises(SettingsError):
        FootprintFilter.from_json(values)


def test_a_cut_of_zero_keeps_all(tmp_path: Path) -> None:
    out = finished_run(tmp_path / "run", village(), footprint_filter=replace(ONLY_LARGE, cut=0.0))
    assert rows_of(out) == 3


def test_detection_applies_the_filter_of_its_weights(tmp_path: Path) -> None:
    path = catalogue.resolve("hanet_lite", suffixes=(".onnx",))
    none = replace(ONLY_LARGE, bias=-50.0)
    metadata = replace(catalogue.read_metadata(path), footprint_filter=none.to_json())
    strict = tmp_path / "strict.onnx"
    strict.write_bytes(with_other_metadata(path.read_bytes(), metadata))
    before, after, _ = render_pair(256, 256, 301, change_share=0.5)
    for name, pixels in (("before", before), ("after", after)):
        write_png(tmp_path / f"{name}.png", pixels)
    images = [str(tmp_path / f"{name}.png") for name in ("before", "after")]
    said: list[str] = []
    out = tmp_path / "out"
    given = {"weights": strict, "report": False, "qgis": False, "threads": 1}
    result = detect(*images, out=out, note=said.append, **given)
    record = json.loads((out / "run.json").read_text())["footprints"]
    assert result.footprints.count == 0 < record["left_out"]
    assert any("--no-footprint-filter" in text for text in said)
    everything = detect(*images, out=tmp_path / "all", filter_footprints=False, **given)
    assert everything.footprints.count >= record["left_out"]
    assert (
        "footprint_filter" not in json.loads((tmp_path / "all" / "run.json").read_text())["weights"]
    )
