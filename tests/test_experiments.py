"""Every experiment file parses; mistakes are named in the user's words."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hanet.augmentation import AUGMENTATIONS, Batch
from hanet.errors import SettingsError
from hanet.experiment import read_experiment

FILES = sorted((Path(__file__).parents[1] / "experiments").glob("*.toml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_experiment_parses_and_says_how_it_is_run(path: Path) -> None:
    read_experiment(path)
    assert f"experiments/{path.name}" in path.read_text()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("hanet-levir-paper-fixed-15", {"epochs": 100, "batch": 8, "optimiser": "adam", "learning_rate": 5e-4, "weight_decay": 5e-4, "schedule": "step", "step_epochs": 8, "step_factor": 0.5, "loss": "hybrid", "pfbs": "fixed-15"}),
        ("hanet-whu-paper-fixed-25", {"epochs": 100, "batch": 8, "optimiser": "adam", "learning_rate": 5e-4, "loss": "hybrid", "pfbs": "fixed-25"}),
        ("hanet-levir-open-cd", {"iterations": 40_000, "batch": 8, "optimiser": "adamw", "learning_rate": 1e-3, "weight_decay": 0.05, "schedule": "polynomial", "warmup_iterations": 1000, "loss": "cross_entropy", "pfbs": "normal", "head": "open-cd", "cut": "random crops"}),
    ],
)  # fmt: skip
def test_published_recipes_hold_their_published_values(path: str, expected: dict[str, object]) -> None:
    experiment = read_experiment(next(file for file in FILES if file.stem == path))
    assert {key: getattr(experiment, key) for key in expected} == expected


def test_an_unknown_key_is_refused_with_the_nearest() -> None:
    with pytest.raises(SettingsError) as error:
        read_experiment(FILES[0], {"learning_rte": "1"})
    assert "learning_rate" in str(error.value.hint)


@pytest.mark.parametrize(
    ("key", "value"), [("batch", "0"), ("model", "unet"), ("pfbs", "fixed"), ("loss", "mse"), ("precision", "fp8")]
)
def test_values_that_are_not_allowed_are_refused(key: str, value: str) -> None:
    with pytest.raises(SettingsError, match=key):
        read_experiment(FILES[0], {key: value})


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_both_dates_and_the_label_keep_one_geometry(name: str) -> None:
    change = torch.zeros(4, 64, 64, dtype=torch.int64)
    change[:, 12:30, 20:40] = 1
    image = change[:, None].float().expand(-1, 3, -1, -1) * 0.6 + 0.2
    augmented = AUGMENTATIONS[name](Batch(image, image.clone(), change), torch.Generator().manual_seed(3))
    for date in augmented[:2]:
        assert date.shape == image.shape
        for picture, label in zip(date, augmented.change, strict=True):
            grey = picture.mean(dim=0)
            bright = grey > (grey.max() + grey.min()) / 2
            common = (bright & (label == 1)).sum() / (bright | (label == 1)).sum()
            assert common > 0.8
    again = AUGMENTATIONS[name](Batch(image, image.clone(), change), torch.Generator().manual_seed(3))
    assert all(torch.equal(a, b) for a, b in zip(augmented, again, strict=True))
