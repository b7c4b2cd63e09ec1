"""The rungs with torch: what is learned, what stays, what is written, and that a kill changes
nothing."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hanet.adaptation import fine_tuning
from hanet.adaptation.fine_tuning import RECIPES, Recipe, _folders, fine_tune
from hanet.adaptation.ladder import TrainedName
from hanet.errors import DataSetError, MissingExtraError, OutputError, WeightsError
from hanet.imagery.images import write_png
from hanet.metadata import Metadata
from hanet.models import create
from hanet.synthetic.scene import render_pair
from hanet.weights.weights_file import (
    load_weights,
    read_safetensors_metadata,
    read_tensors,
    save_weights,
)

PX = 256


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder as the ladder makes it, small: three tiles to learn from, one that watches,
    two rendered ones; and small weights."""
    work = tmp_path_factory.mktemp("work")
    learn, rendered = ["ground/learn"] * 3, ["replay"] * 2
    places = [*learn, "ground/watch", *rendered]
    for number, place in enumerate(places):
        before, after, change = render_pair(PX, PX, 60 + number, change_share=0.7)
        label = change.astype(np.uint8) * np.uint8(255)
        label[:20] = 128  # nobody looked here
        for kind, pixels in (("A", before), ("B", after), ("label", label)):
            (work / place / kind).mkdir(parents=True, exist_ok=True)
            write_png(work / place / kind / f"{number}.png", pixels)
    torch.manual_seed(0)
    network = create("hanet_lite", width=8, detail=4)
    save_weights(
        work / "start.safetensors",
        network,
        Metadata(
            "town",
            "hanet_lite",
            model_arguments={"width": 8, "detail": 4},
            mean_before=(0.4, 0.4, 0.4),
            threshold=0.3,
            temperature=1.5,
            gsd_m=0.3,
            licence="academic use only",
            training_data="somewhere",
        ),
    )
    return work


@pytest.fixture
def work(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder, to write into, and short rungs."""
    shutil.copytree(made, tmp_path / "work")
    _short(monkeypatch)
    return tmp_path / "work"


def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    for rung in RECIPES:
        monkeypatch.setitem(fine_tuning.RECIPES, rung, Recipe(iterations=4, learning_rate=1e-2))
    monkeypatch.setitem(fine_tuning.SETTINGS, "validate_every", 2)
    monkeypatch.setitem(fine_tuning.SETTINGS, "checkpoint_every", 1)


def _tuned(
    work: Path, rung: TrainedName, name: str = "rung", **more: object
) -> fine_tuning.FineTuned:
    return fine_tune(
        rung,
        start=work / "start.safetensors",
        ground=work / "ground",
        folder=work / name,
        threads=1,
        **more,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("rung", RECIPES)
def test_a_rung_changes_its_part_and_keeps_what_the_weights_say(
    work: Path, rung: TrainedName
) -> None:
    done = _tuned(work, rung)
    assert done.finished
    assert done.steps == 4
    before, after = (read_tensors(path) for path in (work / "start.safetensors", done.weights))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    parts = {name.split(".")[0] for name in changed}
    expected = {
        "head": {"head", "detail"},
        "top-down": {"head", "detail", "top_down", "narrow"},
        "all": {"head", "detail", "top_down", "narrow", "han_modules", "encoder"},
    }
    assert parts == expected[rung]
    assert not any("running" in name for name in changed), "statistics are held"
    start, metadata = (
        read_safetensors_metadata(path) for path in (work / "start.safetensors", done.weights)
    )
    assert metadata.notes[-1].startswith(f"{rung} trained for 4 steps on reviewed ground")
    assert replace(metadata, notes=()) == replace(
        start, threshold=0.5, temperature=1.0, notes=(), code_version=metadata.code_version
    )
    load_weights(done.weights)


def test_a_part_of_the_way_is_taken(work: Path) -> None:
    done = _tuned(work, "head")
    start, best = (
        read_tensors(path)
        for path in (
            work / "start.safetensors",
            work / "rung" / "run" / "weights" / "best.safetensors",
        )
    )
    for name, tensor in read_tensors(done.weights).items():
        if tensor.is_floating_point():
            assert torch.allclose(tensor, 0.4 * start[name] + 0.6 * best[name], atol=1e-6), name
    assert not list(work.rglob("*.partial"))


def test_a_rung_that_was_killed_ends_with_the_same_bytes(work: Path) -> None:
    whole = _tuned(work, "top-down", "whole").weights.read_bytes()

    class Killed(BaseException):
        pass

    def die(state: dict[str, float]) -> None:
        if state["iteration"] == 3:
            raise Killed

    with pytest.raises(Killed):
        _tuned(work, "top-down", "killed", watch=die)
    with pytest.raises(OutputError, match="already holds"):
        _tuned(work, "top-down", "killed")
    again = _tuned(work, "top-down", "killed", resume=True)
    assert again.weights.read_bytes() == whole
    finished = _tuned(work, "top-down", "killed", resume=True)  # has nothing left to do
    assert finished.weights.read_bytes() == whole
    assert finished.steps == 4


KILLED = """
import sys
from pathlib import Path
from hanet.adaptation import fine_tuning
for rung in fine_tuning.RECIPES:
    fine_tuning.RECIPES[rung] = fine_tuning.Recipe(iterations=4, learning_rate=1e-2)
fine_tuning.SETTINGS["validate_every"] = 2
fine_tuning.SETTINGS["checkpoint_every"] = 1
work = Path(sys.argv[1])
fine_tuning.fine_tune(
    "head", start=work / "start.safetensors", ground=work / "ground", folder=work / "killed",
    threads=1, resume=True,
)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_sigkill_loses_no_more_than_a_step(work: Path) -> None:
    whole = _tuned(work, "head", "whole").weights.read_bytes()
    checkpoint = work / "killed" / "run" / "checkpoints" / "last.ckpt"
    command = [sys.executable, "-c", KILLED, str(work)]
    with subprocess.Popen(command) as process:
        end = time.monotonic() + 300
        while not checkpoint.exists() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        process.kill()
    assert process.returncode in (-signal.SIGKILL, 0)
    assert checkpoint.exists()
    assert _tuned(work, "head", "killed", resume=True).weights.read_bytes() == whole


def test_a_rung_ends_with_its_time(work: Path) -> None:
    done = _tuned(work, "head", minutes=0.0)
    assert (done.finished, done.steps) == (True, 1)
    assert done.weights.exists()


@pytest.mark.parametrize("learn", [3, 20, 48, 50, 110])
def test_half_of_the_draws_are_the_users_tiles(learn: int, tmp_path: Path) -> None:
    sizes = {"ground/learn": learn, "replay": 48}
    for place, count in sizes.items():
        (tmp_path / place / "B").mkdir(parents=True)
        for number in range(count):
            (tmp_path / place / "B" / f"{number}.png").touch()
    folders = _folders(tmp_path, "ground")
    draws = [folders.count(place) * count for place, count in sizes.items()]
    assert draws[0] / sum(draws) == pytest.approx(0.5, abs=0.1)


def test_what_cannot_be_tuned_is_refused_before_anything_is_written(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = create("hanet_lite", width=8, bands=4)
    save_weights(
        work / "four.safetensors",
        network,
        Metadata(
            "four",
            "hanet_lite",
            model_arguments={"width": 8, "bands": 4},
            bands=("red", "green", "blue", "nir"),
            mean_before=(0.4,) * 4,
            std_before=(0.2,) * 4,
            mean_after=(0.4,) * 4,
            std_after=(0.2,) * 4,
        ),
    )
    with pytest.raises(WeightsError, match="reviewed tiles have three"):
        fine_tune(
            "head", start=work / "four.safetensors", ground=work / "ground", folder=work / "no"
        )
    assert not (work / "no").exists()
    monkeypatch.setitem(sys.modules, "pytorch_lightning", None)
    for name in [name for name in sys.modules if name.startswith("hanet.training")]:
        monkeypatch.delitem(sys.modules, name)  # as in a process that has not trained
    with pytest.raises(MissingExtraError) as error:
        _tuned(work, "head", "no")
    assert error.value.hint == "pip install 'hanet[train]'"
    assert not (work / "no").exists()
    monkeypatch.undo()
    shutil.rmtree(work / "ground" / "learn")
    with pytest.raises(DataSetError, match="no tile to learn from"):
        _tuned(work, "head", "no")


def test_the_module_is_light() -> None:
    code = (
        "import sys, hanet.adaptation.fine_tuning, hanet.adaptation.replay\n"
        "print([name for name in ('torch', 'pytorch_lightning', 'kornia') if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
