"""Training: it learns, it resumes exactly, ranks agree; evaluation of what it made."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from hanet.cli import main
from hanet.errors import OutputError, TrainingError
from hanet.experiment import Experiment
from hanet.images import write_png
from hanet.synthetic import render_pair
from hanet.training import fit
from hanet.training.callbacks import Keeper
from hanet.weights import read_tensors


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight rendered pairs of 64x64 as train and val."""
    root = tmp_path_factory.mktemp("tiles")
    for number in range(8):
        before, after, change = render_pair(64, 64, 40 + number, change_share=0.7)
        for split in ("train", "val"):
            for folder, image in (("A", before), ("B", after), ("label", change)):
                (root / split / folder).mkdir(parents=True, exist_ok=True)
                write_png(root / split / folder / f"{number}.png", image)
    return root


def _experiment(**changes: object) -> Experiment:
    values = {
        "name": "test",
        "model": "hanet_lite",
        "width": 16,
        "tile_px": 64,
        "iterations": 8,
        "batch": 4,
        "learning_rate": 2e-3,
        "augmentation": "strong",
        "pfbs": "fixed-2",
        "ema_decay": 0.9,
        "validate_every": 4,
        "checkpoint_every": 2,
    }
    return Experiment.model_validate({**values, **changes})


def test_a_stopped_run_resumes_to_the_same_weights(
    tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit(_experiment(), data=tiles, out=tmp_path / "whole", accelerator="cpu")
    assert whole.finished

    class Killed(BaseException):
        pass

    def dies(self: Keeper, trainer: object, *rest: object) -> None:
        original(self, trainer, *rest)  # type: ignore[arg-type]
        if trainer.global_step == 5:  # type: ignore[attr-defined]
            raise Killed

    original = Keeper.on_train_batch_end
    monkeypatch.setattr(Keeper, "on_train_batch_end", dies)
    with pytest.raises(Killed):
        fit(_experiment(), data=tiles, out=tmp_path / "killed", accelerator="cpu")
    monkeypatch.undo()
    with pytest.raises(OutputError, match="already holds"):
        fit(_experiment(), data=tiles, out=tmp_path / "killed", accelerator="cpu")
    with pytest.raises(OutputError, match="learning_rate"):
        fit(_experiment(learning_rate=1.0), data=tiles, out=tmp_path / "killed", resume=True, accelerator="cpu")
    fit(_experiment(), data=tiles, out=tmp_path / "killed", resume=True, accelerator="cpu")
    first, second = (read_tensors(tmp_path / name / "weights" / "last.safetensors") for name in ("whole", "killed"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert [row.split(",")[:6] for row in (tmp_path / "whole" / "log.csv").read_text().splitlines()] == [
        row.split(",")[:6] for row in (tmp_path / "killed" / "log.csv").read_text().splitlines()
    ]


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_iteration(tiles: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"iteration \d+"):
        fit(_experiment(learning_rate=1e30, iterations=30), data=tiles, out=tmp_path / "run", accelerator="cpu")


@pytest.mark.slow
def test_it_learns_eight_pairs_and_evaluate_says_so(
    tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = _experiment(
        width=32, iterations=220, batch=8, learning_rate=4e-3, schedule="cosine", augmentation="none", pfbs="normal",
        ema_decay=0.0, validate_every=110, checkpoint_every=110, clip_norm=5.0,
    )  # fmt: skip
    result = fit(experiment, data=tiles, out=tmp_path / "run", accelerator="cpu")
    assert result.best_f1 > 0.95
    arguments = ["hanet", "evaluate", str(tmp_path / "run"), "--data", str(tiles), "--split", "val", "--tile", "64"]
    monkeypatch.setattr(
        sys,
        "argv",
        [
            *arguments,
            "--out",
            str(tmp_path / "scores.json"),
            "--per-image",
            str(tmp_path / "images.csv"),
            "--error-maps",
            str(tmp_path / "maps"),
        ],
    )
    main()
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["scores"]["f1"] == pytest.approx(result.best_f1, abs=2e-3)
    assert scores["protocol"] == "tiles-64"
    assert sum(scores["counts"].values()) == 8 * 64 * 64
    assert len((tmp_path / "images.csv").read_text().splitlines()) == 9
    assert len(list((tmp_path / "maps").iterdir())) == 8


def test_masks_of_anybody_are_scored(tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = tiles / "val" / "label"
    monkeypatch.setattr(
        sys,
        "argv",
        ["hanet", "evaluate", "--predictions", str(labels), "--labels", str(labels), "--out", str(tmp_path / "s.json")],
    )
    main()
    scores = json.loads((tmp_path / "s.json").read_text())
    assert scores["scores"]["f1"] == 1.0
    assert scores["objects"]["f1"] == 1.0


def test_rendered_windows_have_no_seams() -> None:
    whole = render_pair(200, 200, 3)
    from hanet.synthetic import Scene
    from hanet.types import Window

    part = Scene(3).render(Window(50, 30, 90, 110))
    for one, other in zip(whole, part, strict=True):
        assert np.array_equal(one[..., 50:140, 30:140], other)
