"""Runs in which only the head for built or demolished learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hanet.datasets.torch_datasets import TileDataset, list_pairs
from hanet.errors import DataSetError, SettingsError
from hanet.imagery.images import write_png
from hanet.metadata import Metadata
from hanet.models import create
from hanet.synthetic.scene import Scene
from hanet.training.experiment import Experiment, experiment_of
from hanet.training.fitting import fit
from hanet.training.validation import validate
from hanet.types import IGNORED, Mask, Window
from hanet.weights.weights_file import load_weights, read_tensors, save_weights
from rendered_tiles import render_tiles

WINDOW = Window(0, 0, 64, 64)


def _built(number: int) -> Mask:
    """What :func:`rendered_tiles.render_tiles` labels, in every second stripe."""
    change = Scene(40 + number, change_share=0.7).change(WINDOW)
    change[:, np.arange(64) // 8 % 2 == 1] = False
    return change


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rendered pairs of 64x64 with ``built`` beside ``label``: what lies in every
    second stripe."""
    root = render_tiles(tmp_path_factory.mktemp("tiles"), count=6)
    for number in range(6):
        built = _built(number)
        for split in ("train", "val"):
            (root / split / "built").mkdir(exist_ok=True)
            write_png(root / split / "built" / f"{number}.png", built)
    return root


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("start") / "start.safetensors"
    metadata = Metadata(name="start", model="hanet_lite", temperature=1.5, threshold=0.6)
    model = create("hanet_lite", width=16)
    save_weights(path, model, Metadata(**_fields(metadata, {"width": 16})))
    return path


def _fields(metadata: Metadata, arguments: dict[str, Any]) -> dict[str, Any]:
    known = {name: getattr(metadata, name) for name in Metadata.__slots__}
    return known | {"model_arguments": arguments}


def _values(start: Path, **changes: Any) -> dict[str, Any]:
    values = {
        "name": "test",
        "model": "hanet_lite",
        "width": 16,
        "direction": 8,
        "start_from": str(start),
        "start_from_partly": True,
        "learns": "direction",
        "tile_px": 64,
        "iterations": 4,
        "batch": 4,
        "learning_rate": 1e-2,
        "augmentation": "moderate without zoom",
        "pfbs": "fixed-9",
        "ema_decay": 0.9,
        "validate_every": 2,
        "loss": "cross_entropy",
    }
    return {**values, **changes}


def test_labels_say_the_kind_of_each_changed_pixel(tiles: Path) -> None:
    pairs = list_pairs(tiles, "train")
    plain, marked, all_built = (
        TileDataset(pairs, tile_px=64, kinds=kinds) for kinds in ("none", "marked", "all built")
    )
    seen = set()
    for index in range(len(pairs)):
        change = plain[index]["change"].numpy() == 1
        built = _built(index)
        expected = np.where(change, built, IGNORED)
        np.testing.assert_array_equal(marked[index]["change"].numpy(), expected)
        np.testing.assert_array_equal(
            all_built[index]["change"].numpy(), np.where(change, 1, IGNORED)
        )
        seen |= set(np.unique(expected).tolist())
    assert seen == {0, 1, IGNORED}
    assert marked.foreground_pixels.tolist() == plain.foreground_pixels.tolist()


def test_without_marks_the_kinds_are_not_guessed(tmp_path: Path) -> None:
    root = render_tiles(tmp_path, count=1)
    with pytest.raises(DataSetError, match="nothing says which changes"):
        TileDataset(list_pairs(root, "train"), tile_px=64, kinds="marked")[0]


def test_only_the_head_learns_and_the_facts_of_its_start_stay(
    tiles: Path, start: Path, tmp_path: Path
) -> None:
    experiment = Experiment.model_validate(_values(start))
    fit(experiment, data=tiles, out=tmp_path / "run", accelerator="cpu")
    path = tmp_path / "run" / "weights" / "last.safetensors"
    before, after = read_tensors(start), read_tensors(path)
    assert all(torch.equal(before[name], after[name]) for name in before)
    model, metadata = load_weights(path)
    fresh = create("hanet_lite", width=16, direction=8)
    assert any(not torch.equal(after[name], value) for name, value in fresh.state_dict().items())
    assert model.tells_direction
    assert (metadata.temperature, metadata.threshold, metadata.scores) == (1.5, 0.6, ())
    assert "built from demolished" in metadata.notes[-1]


def test_validation_counts_both_orders_of_the_dates(tiles: Path) -> None:
    torch.manual_seed(5)
    model = create("hanet_lite", width=16, direction=8)
    dataset = TileDataset(list_pairs(tiles, "val"), tile_px=64, edges="pad", kinds="marked")
    metadata = Metadata(name="one", model="hanet_lite")
    counts = validate(model, dataset, metadata, batch=2, learns="direction")
    assert counts.tp == counts.tn
    assert counts.fp == counts.fn
    assert counts.tp + counts.fn == int(dataset.foreground_pixels.sum())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"direction": 0}, "needs direction"),
        ({"augmentation": "strong with time exchange"}, "may exchange the dates"),
        ({"all_built": ["elsewhere"]}, "names elsewhere"),
        ({"learns": "change", "all_built": ["."]}, "all_built is for learns"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    start: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        experiment_of(_values(start, **changes), source="test")
