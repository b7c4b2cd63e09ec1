"""``hanet doctor``: what it tells, what it keeps to itself, and that it notices what is broken."""

from __future__ import annotations

import getpass
import json
import platform
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hanet.bench import installation
from hanet.cli import app
from hanet.errors import GridError
from hanet.files import file_hash
from hanet.weights import catalogue

RUNNER = CliRunner()


def test_everything_that_a_report_needs_is_told() -> None:
    facts = installation.describe()
    assert facts["packages"]["rasterio"]
    assert facts["extras"]["train"]["torch"]
    assert facts["formats"]["GPKG"] == facts["formats"]["COG"] == "read and write"
    assert facts["libraries"]["PROJ"].count(".") == 2
    shipped = catalogue.resolve("hanet_lite", suffixes=(".onnx",))
    assert {
        "file": "hanet_lite.onnx",
        "megabytes": round(shipped.stat().st_size / 1e6, 1),
        "sha256": file_hash(shipped),
        "trouble": "",
    } in facts["weights"]
    assert json.loads(json.dumps(facts)) == facts


def test_nothing_private_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "anna-secret"
    folder.mkdir()
    (folder / "mine.onnx").write_bytes(b"rubbish")
    monkeypatch.setenv("HANET_WEIGHTS", str(folder))
    monkeypatch.setenv("GDAL_HTTP_USERPWD", "anna:secret")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    facts = installation.describe()
    text = json.dumps(facts)
    assert facts["environment"]["GDAL_HTTP_USERPWD"] == "(set)"
    assert facts["environment"]["OMP_NUM_THREADS"] == "3"
    mine = next(entry for entry in facts["weights"] if entry["file"] == "mine.onnx")
    assert "mine.onnx" in mine["trouble"]
    for private in ("secret", str(tmp_path), str(Path.home()) + "/", platform.node()):
        assert private not in text
    if len(getpass.getuser()) > 4:  # "root" is part of other words
        assert getpass.getuser() not in text


def test_all_trials_work_here() -> None:
    tried = installation.trials()
    assert [trial.said for trial in tried if not trial.worked] == []
    assert len(tried) == 5


def test_a_failed_trial_is_named_and_ends_with_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> None:
        raise GridError("proj.db is not found")

    monkeypatch.setattr(installation, "to_wgs84", broken)
    monkeypatch.setattr(installation, "find_spec", lambda _: None)
    result = RUNNER.invoke(app, ["doctor"])
    assert result.exit_code == 1
    assert "FAILED places on the map (PROJ): proj.db is not found" in result.stdout
    assert result.stdout.count("works ") == 3


def test_a_place_that_is_wrong_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "to_wgs84", lambda *_: ([36.1], [-93.0]))
    trial = installation._tried("places", installation._places)
    assert not trial.worked
    assert "instead of -93" in trial.said


def test_json_holds_facts_and_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "find_spec", lambda _: None)
    result = RUNNER.invoke(app, ["doctor", "--json"])
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert found["hanet"] == installation.__version__
    assert all(trial["worked"] for trial in found["trials"])
