"""Names of weights: what they stand for, what is said where there are none, and weights that lie in
a folder of one's own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from checkout import ROOT
from difference_weights import write_difference_weights
from hanet.cli import app
from hanet.errors import WeightsError
from hanet.weights import catalogue
from rendered_tiles import render_tiles

CHECKOUT = ROOT / "weights"


@pytest.fixture
def nothing_but(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, the only one where weights are looked for; the test runs beside it."""
    folder = tmp_path / "only"
    folder.mkdir()
    monkeypatch.setattr(catalogue, "_folders", lambda: iter([folder]))
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.mark.parametrize(
    "verb",
    [
        ["detect", "a.tif", "b.tif", "--out", "o", "--weights"],
        ["evaluate", "--data", ".", "--split", "val"],
    ],
)
def test_weights_of_ours_that_are_not_here_are_told_from_a_wrong_name(
    nothing_but: Path, verb: list[str]
) -> None:
    render_tiles(Path(), count=1)
    for name, said in (
        ("hanet", "the weights 'hanet' are not in this installation"),
        ("hanett", "no weights 'hanett'"),
    ):
        result = CliRunner().invoke(app, [*verb, name])
        assert result.exit_code != 0
        assert isinstance(result.exception, WeightsError)
        assert said in result.exception.message
        assert result.exception.hint


def test_weights_in_a_folder_of_one_s_own_have_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_difference_weights(tmp_path / "mine.onnx")
    monkeypatch.setenv(catalogue.FOLDERS_VARIABLE, str(tmp_path))
    assert catalogue.resolve("mine") == tmp_path / "mine.onnx"
    listed = json.loads(CliRunner().invoke(app, ["models", "--json"]).stdout)
    assert str(tmp_path / "mine.onnx") in [entry["file"] for entry in listed]
    with pytest.raises(WeightsError, match=r"here as \.onnx; \.safetensors is needed"):
        catalogue.resolve("mine", suffixes=(".safetensors",))
    with pytest.raises(WeightsError, match="no weights 'min'") as error:
        catalogue.resolve("min")
    assert error.value.hint == "did you mean mine?"


def test_a_file_of_another_tool_does_not_hide_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that held no metadata of ours ended the list before it began."""
    write_difference_weights(tmp_path / "mine.onnx")
    (tmp_path / "foreign.onnx").write_bytes(b"of another tool")
    monkeypatch.setenv(catalogue.FOLDERS_VARIABLE, str(tmp_path))
    result = CliRunner().invoke(app, ["models", "--json"])
    assert str(tmp_path / "mine.onnx") in [entry["file"] for entry in json.loads(result.stdout)]
    assert "foreign.onnx cannot be loaded" in result.stderr.replace("\n", " ")


def test_weights_can_be_asked_for_one_by_one(tmp_path: Path) -> None:
    """`hanet models FILE` was answered by a hint about quotation marks."""
    write_difference_weights(tmp_path / "mine.onnx")
    run = tmp_path / "run" / "weights" / "best.safetensors"
    run.parent.mkdir(parents=True)
    shutil.copy(CHECKOUT / "hanet_lite.safetensors", run)
    asked = [str(tmp_path / "mine.onnx"), str(tmp_path / "run"), catalogue.DEFAULT]
    listed = json.loads(CliRunner().invoke(app, ["models", *asked, "--json"]).stdout)
    assert [Path(entry["file"]) for entry in listed] == [
        tmp_path / "mine.onnx",
        run,
        catalogue.resolve(catalogue.DEFAULT),
    ]
    said = CliRunner().invoke(app, ["models", *asked]).stdout
    assert said.count("(default)") == 1
    assert "hanet_lite.onnx (default)" in said
    assert f"file        {tmp_path / 'mine.onnx'}" in said
    assert "note        mean of the ninth stage" in said
    refused = CliRunner().invoke(app, ["models", str(ROOT / "README.md")])
    assert isinstance(refused.exception, WeightsError)


def test_a_folder_that_happens_to_have_the_name_does_not_hide_the_weights(
    nothing_but: Path,
) -> None:
    """`hanet detect --out hanet_lite` made every later `--weights hanet_lite` in that folder an
    error."""
    Path("hanet_lite").mkdir()
    shutil.copy(CHECKOUT / "hanet_lite.safetensors", nothing_but)
    assert catalogue.resolve("hanet_lite") == nothing_but / "hanet_lite.safetensors"
    best = Path("hanet_lite/weights/best.safetensors")
    best.parent.mkdir()
    best.touch()
    assert catalogue.resolve("hanet_lite") == best, "a training run of this name comes first"
    Path("other").mkdir()
    with pytest.raises(WeightsError, match="no training run"):
        catalogue.resolve("other")


@pytest.mark.parametrize("entry", catalogue.installed(), ids=lambda entry: entry.path.name)
def test_installed_weights_say_what_they_are(entry: catalogue.Entry) -> None:
    metadata = entry.metadata()
    assert entry.name in catalogue.OURS
    assert metadata.name == entry.name
    assert metadata.scores
    assert metadata.licence
    assert metadata.training_data
    assert (ROOT / "docs" / "models" / f"{entry.name}.md").is_file(), "no card"
