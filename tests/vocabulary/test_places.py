"""Places that no file system takes, or none that Python can make: every verb says so in words, and
before the work."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hanet.datasets.releases import plan_release
from hanet.detection.pair_list import detect_pairs
from hanet.errors import DataSetError, OutputError, RasterError, SettingsError, WeightsError
from hanet.evaluation.scoring import Pictures
from hanet.files import DEEPEST, check_name, is_folder, is_there, make_folder, replace_file
from hanet.imagery.raster_source import RasterSource
from hanet.synthetic.scene import render_scene
from hanet.weights.catalogue import installed, resolve
from hanet.work_folder import WorkFolder

LONG, DEEP, NUL = "n" * 300, "a/" * 1500 + "a", "nul\0"

IMPOSSIBLE = pytest.mark.parametrize("name", [LONG, "a/" * 2100 + "a", DEEP, NUL], ids=len)


def test_a_name_may_be_so_deep_and_no_deeper() -> None:
    check_name("a/" * (DEEPEST - 1) + "a", "--out")
    with pytest.raises(SettingsError, match="201 folders within each other"):
        check_name("a/" * DEEPEST + "a", "--out")


@IMPOSSIBLE
def test_a_folder_that_cannot_be_is_neither_there_nor_made(name: str, tmp_path: Path) -> None:
    place = tmp_path / name
    assert not is_there(place)
    assert not is_folder(place)
    with pytest.raises(OutputError, match="cannot be written") as caught:
        make_folder(place)
    assert caught.value.hint
    with pytest.raises(OutputError):
        replace_file(place / "a.json", b"{}")


@IMPOSSIBLE
def test_no_lock_can_be_taken_there(name: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        WorkFolder(tmp_path / name / ".hanet", busy="it is busy")


def test_a_folder_with_too_long_a_name_is_not_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(OutputError) as caught:
        make_folder(tmp_path / LONG)
    assert caught.value.hint == "choose a folder that you may write to"


def test_what_is_there_is_found(tmp_path: Path) -> None:
    make_folder(tmp_path / "one" / "two")
    make_folder(tmp_path / "one" / "two")
    (tmp_path / "dangling").symlink_to("nowhere")
    assert is_there(tmp_path / "one")
    assert is_folder(tmp_path / "one" / "two")
    assert not is_there(tmp_path / "dangling")


@IMPOSSIBLE
def test_no_weights_have_such_a_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(WeightsError):
        resolve(str(tmp_path / name))
    with pytest.raises(WeightsError):
        resolve(str(tmp_path / f"{name}.onnx"))
    if name != NUL:  # which no environment can hold
        monkeypatch.setenv("HANET_WEIGHTS", str(tmp_path / name))
        assert "hanet_lite" in {entry.name for entry in installed()}


@IMPOSSIBLE
def test_no_release_no_list_no_picture_lies_there(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match="is not a folder"):
        plan_release("levir-cd", tmp_path / name)
    with pytest.raises((SettingsError, OutputError)):
        detect_pairs([], out=tmp_path / name, resume=False, overwrite=False)
    with pytest.raises((SettingsError, OutputError)):
        render_scene(tmp_path / name, size=64)
    change = np.zeros((2, 2), dtype=np.bool_)
    for pictures in (Pictures(error_maps=tmp_path / name), Pictures(masks=tmp_path / name)):
        with pytest.raises(OutputError):
            pictures.write("a", change, change.astype(np.uint8))


@pytest.mark.parametrize("option", ["out", "per-image", "error-maps", "masks"])
@pytest.mark.parametrize("name", [LONG, DEEP], ids=len)
def test_evaluate_says_so_before_the_work(
    option: str, name: str, tmp_path: Path, refused: Callable[..., tuple[str, str]]
) -> None:
    error, _ = refused(
        "evaluate", "hanet_lite", "--data", tmp_path, "--split", "val", f"--{option}={name}"
    )
    assert f"given as --{option}" in error


@pytest.mark.parametrize(
    "words",
    [("export", "hanet_lite", "{}.onnx"), ("convert", "a.pth", "{}.safetensors")],
    ids=lambda words: words[0],
)
def test_weights_are_not_written_there(
    words: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    refused: Callable[..., tuple[str, str]],
) -> None:
    monkeypatch.chdir(tmp_path)
    error, _ = refused(*(word.format(DEEP) for word in words))
    assert "folders within each other" in error or "has a name" in error
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - names


def test_a_raster_whose_name_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    """GDAL takes names in UTF-8; ours ended in a UnicodeEncodeError."""
    path = tmp_path / "caf\udce9.tif"
    path.write_bytes(b"II*\0")
    with pytest.raises(RasterError, match=r"caf\\udce9\.tif is not UTF-8") as caught:
        RasterSource(path)
    assert caught.value.message.isprintable()


@pytest.mark.parametrize(
    ("name", "said"),
    [("d" * 201, "has 201 characters"), ("red\x1b[31m", "cannot be printed")],
)
def test_a_data_set_has_a_name_that_can_be_printed(
    name: str, said: str, tmp_path: Path, refused: Callable[..., tuple[str, str]]
) -> None:
    words = ("--data", tmp_path, "--split", "val", f"--data-name={name}")
    error, hint = refused("evaluate", "hanet_lite", *words)
    assert said in error
    assert "200" in hint
    labels = ("--predictions", tmp_path, "--labels", tmp_path, f"--data-name={name}")
    assert said in refused("evaluate", *labels)[0]
