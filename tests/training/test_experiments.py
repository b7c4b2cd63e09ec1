"""Every experiment file parses; mistakes are named in the user's words."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from checkout import ROOT
from hanet.datasets.published import PER_DATE_STATISTICS
from hanet.errors import SettingsError
from hanet.training.augmentation import AUGMENTATIONS, Batch, copy_paste
from hanet.training.experiment import Experiment, experiment_of, read_experiment
from hanet.types import IGNORED

FILES = sorted((ROOT / "experiments").rglob("*.toml"))
GPU = ROOT / "experiments" / "hanet-gpu.toml"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_experiment_parses_and_says_how_it_is_run(path: Path) -> None:
    read_experiment(path)
    assert path.relative_to(ROOT).as_posix() in path.read_text()


IDLE_UNLESS: dict[str, Callable[[Experiment], object]] = {
    "max_class_share": lambda one: one.cut == "random crops",
    "step_epochs": lambda one: one.schedule == "step",
    "step_factor": lambda one: one.schedule == "step",
    "power": lambda one: one.schedule == "polynomial",
    "warmup_start": lambda one: one.warmup_iterations,
    "teacher_share": lambda one: one.teacher,
    "labels_seed": lambda one: one.labels_kept < 1.0,
    "unlabelled_split": lambda one: one.unlabelled_folders,
    "unlabelled_batch": lambda one: one.unlabelled_weight,
    "unlabelled_strong": lambda one: one.unlabelled_weight,
    "unlabelled_views": lambda one: one.unlabelled_weight,
    "confidence": lambda one: one.unlabelled_weight,
}
"""Settings that another one may leave without a meaning."""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_experiment_sets_what_does_nothing_in_it(path: Path) -> None:
    """One gave the share of a class above which crops are drawn again, and had no crops."""
    experiment, written = read_experiment(path), tomllib.loads(path.read_text(encoding="utf-8"))
    assert not [key for key, acts in IDLE_UNLESS.items() if key in written and not acts(experiment)]


# The recipe table of docs/concepts/sources.md, section 3, column by column, in the words of an
# experiment. What the paper leaves open (augmentation, normalisation) is taken from its authors' code.
PAPER = {
    "model": "hanet", "width": 40, "head": "official", "cut": "tiles", "tile_px": 256, "batch": 8, "epochs": 100, "iterations": None,
    "optimiser": "adam", "learning_rate": 5e-4, "encoder_learning_rate_factor": 1.0, "weight_decay": 5e-4,
    "schedule": "step", "step_epochs": 8, "step_factor": 0.5, "warmup_iterations": 0, "loss": "hybrid",
    "augmentation": "official", "pfbs_unit": "epochs", "epoch_length": "set",
    "start_from": "nothing", "clip_norm": 0.0, "ema_decay": 0.0, "precision": "fp32", "data_folders": ["."],
}  # fmt: skip
OPEN_CD = {
    "model": "hanet", "width": 40, "head": "open-cd", "cut": "random crops", "tile_px": 256, "max_class_share": 0.75, "batch": 8,
    "epochs": None, "iterations": 40_000, "optimiser": "adamw", "learning_rate": 1e-3, "encoder_learning_rate_factor": 1.0,
    "weight_decay": 0.05, "schedule": "polynomial", "power": 1.0, "warmup_iterations": 1000, "warmup_start": 1e-6,
    "loss": "cross_entropy", "augmentation": "open-cd", "statistics": "imagenet", "pfbs": "normal", "validate_every": 4000,
    "start_from": "nothing", "clip_norm": 0.0, "ema_decay": 0.0, "precision": "fp32", "data_folders": ["."],
}  # fmt: skip
LEVIR = {"dataset": "LEVIR-CD", "statistics": "levir-cd", "gsd_m": 0.5, "validate_every": 7120 // 8}
WHU = {"dataset": "WHU-CD", "statistics": "whu-cd", "gsd_m": 0.2, "validate_every": 4536 // 8}
RECIPES: dict[str, dict[str, object]] = {
    "hanet-levir-paper-normal": {**PAPER, **LEVIR, "pfbs": "normal"},
    "hanet-levir-paper-fixed-15": {**PAPER, **LEVIR, "pfbs": "fixed-15"},
    "hanet-levir-paper-linear-35": {**PAPER, **LEVIR, "pfbs": "linear-35"},
    "hanet-whu-paper-fixed-25": {**PAPER, **WHU, "pfbs": "fixed-25"},
    "hanet-levir-open-cd": {**OPEN_CD, "dataset": "LEVIR-CD", "gsd_m": 0.5},
    # ours: Open-CD's with PFBS, which needs tiles to choose among
    "hanet-levir-open-cd-pfbs": {
        **OPEN_CD, "dataset": "LEVIR-CD", "gsd_m": 0.5, "cut": "jittered tiles", "pfbs": "fixed-6000", "pfbs_unit": "iterations",
    },
}  # fmt: skip

# docs/concepts/sources.md, section 3: mean and std of the before image, then of the after image, of
# values in 0-1.
STATISTICS = {
    "levir-cd": "0.4503 0.4467 0.3813; 0.2171 0.2040 0.1867; 0.3455 0.3382 0.2888; 0.1576 0.1520 "
    "0.1444",
    "whu-cd": "0.4907 0.4491 0.3930; 0.1723 0.1682 0.1702; 0.4914 0.4904 0.4698; 0.2150 0.2045 "
    "0.2196",
}

# docs/concepts/sources.md, section 4: the F1 that a file which names a published row must name.
PUBLISHED_F1 = {
    "LEVIR-CD": {"official": "90.28", "open-cd": "90.89"},
    "WHU-CD": {"official": "88.16"},
}


@pytest.mark.parametrize("name", RECIPES)
def test_published_recipes_hold_their_published_values(name: str) -> None:
    experiment = read_experiment(next(file for file in FILES if file.stem == name))
    assert {key: getattr(experiment, key) for key in RECIPES[name]} == RECIPES[name]
    assert f"F1 {PUBLISHED_F1[experiment.dataset][str(experiment.head)]}" in experiment.aims_at


def test_every_experiment_on_a_whole_data_set_follows_a_published_recipe() -> None:
    experiments = {path.stem: read_experiment(path) for path in FILES}
    whole = [
        name
        for name, one in experiments.items()
        if one.dataset in PUBLISHED_F1 and one.data_folders == ["."]
    ]
    assert set(whole) == RECIPES.keys()
    assert [name for name in whole if experiments[name].name != name] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_experiment_says_what_it_aims_at(path: Path) -> None:
    assert "F1 " in read_experiment(path).aims_at


@pytest.mark.parametrize("name", STATISTICS)
def test_statistics_are_the_published_ones(name: str) -> None:
    published = tuple(
        tuple(float(value) for value in part.split()) for part in STATISTICS[name].split(";")
    )
    assert tuple(PER_DATE_STATISTICS[name]) == published


def test_an_unknown_key_is_refused_with_the_nearest() -> None:
    with pytest.raises(SettingsError) as error:
        read_experiment(GPU, {"learning_rte": "1"})
    assert "learning_rate" in str(error.value.hint)


@pytest.mark.parametrize(
    ("key", "value"),
    [("batch", "0"), ("model", "unet"), ("pfbs", "fixed"), ("loss", "mse"), ("precision", "fp8")],
)
def test_values_that_are_not_allowed_are_refused(key: str, value: str) -> None:
    with pytest.raises(SettingsError, match=key):
        read_experiment(GPU, {key: value})


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("iterations", "true", "iterations is true, it should be a valid integer"),
        ("learning_rate", "'1e-3'", 'learning_rate is "1e-3", it should be a valid number'),
        ("learning_rate", "inf", "it should be a finite number"),
        ("epoch_length", "2.5", "it should be 'set' or 'pool' or be a valid integer"),
        ("name", "", "it should have at least 1 character"),
    ],
)
def test_values_of_another_kind_are_refused_and_the_key_is_explained(
    key: str, value: str, message: str
) -> None:
    with pytest.raises(SettingsError, match=message) as error:
        read_experiment(GPU, {key: value})
    assert str(error.value.hint).startswith(f"{key}: ")


def test_an_experiment_with_tables_is_told_that_it_is_flat() -> None:
    with pytest.raises(SettingsError, match='no setting "network"') as error:
        experiment_of({"network": {"model": "hanet"}}, source="x.toml")
    assert "flat" in str(error.value.hint)


def test_partly_without_a_file_is_refused_instead_of_left_aside() -> None:
    with pytest.raises(SettingsError, match="name it in start_from"):
        read_experiment(GPU, {"start_from_partly": "true", "start_from": "nothing"})


def test_a_bias_without_parts_is_refused_instead_of_left_aside() -> None:
    with pytest.raises(SettingsError, match="set crop_px too"):
        read_experiment(GPU, {"foreground_bias": "0.5", "cut": "tiles"})


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_both_dates_and_the_label_keep_one_geometry(name: str) -> None:
    change = torch.zeros(4, 64, 64, dtype=torch.int64)
    change[:, 12:30, 20:40] = 1
    image = change[:, None].float().expand(-1, 3, -1, -1) * 0.6 + 0.2
    augmented = AUGMENTATIONS[name](
        Batch(image, image.clone(), change), torch.Generator().manual_seed(3)
    )
    for date in augmented[:2]:
        assert date.shape == image.shape
        for picture, label in zip(date, augmented.change, strict=True):
            grey = picture.mean(dim=0)
            bright = grey > (grey.max() + grey.min()) / 2
            common = (bright & (label == 1)).sum() / (bright | (label == 1)).sum()
            assert common > 0.8
    again = AUGMENTATIONS[name](
        Batch(image, image.clone(), change), torch.Generator().manual_seed(3)
    )
    assert all(torch.equal(a, b) for a, b in zip(augmented, again, strict=True))


def test_half_of_the_pairs_keep_their_photometry_and_a_fifth_are_exchanged() -> None:
    count = 400
    before, after = torch.full((count, 3, 32, 32), 0.25), torch.full((count, 3, 32, 32), 0.75)
    change = torch.zeros(count, 32, 32, dtype=torch.int64)
    seen = AUGMENTATIONS["half with photometry"](
        Batch(before, after, change), torch.Generator().manual_seed(0)
    )
    values = torch.stack([seen.before[:, 0, 16, 16], seen.after[:, 0, 16, 16]], dim=1)
    as_they_were = torch.isin(values, torch.tensor([0.25, 0.75])).all(dim=1)
    assert 0.4 < as_they_were.float().mean() < 0.6
    assert 0.1 < (values[as_they_were, 0] == 0.75).float().mean() < 0.3
    assert torch.equal(before, torch.full_like(before, 0.25))  # the argument stays as it is


def test_pasted_buildings_come_with_both_dates_and_their_label() -> None:
    count, side = 200, 32
    number = torch.arange(count).float()[:, None, None, None] / 1000
    before, after = number.expand(-1, 3, side, side).clone(), number.expand(-1, 3, side, side) + 0.5
    change = torch.zeros(count, side, side, dtype=torch.int64)
    change[:, 8:12, 8:14] = torch.arange(count)[:, None, None] % 2  # every other pair has a change
    pasted = copy_paste(Batch(before, after, change), torch.Generator().manual_seed(0), margin_px=2)
    foreign = pasted.before[:, 0] != before[:, 0]
    assert torch.equal(pasted.after, pasted.before + 0.5)  # what comes, comes in both dates
    assert (
        30 < foreign.any(dim=(1, 2)).sum() < 70
    )  # about half of the hundred whose donor has a change
    assert (foreign.any(dim=(1, 2)).nonzero().flatten() % 2 == 0).all()
    assert foreign[foreign.any(dim=(1, 2))][0].nonzero().amin(dim=0).tolist() == [6, 6]
    assert (
        pasted.change.sum(dim=(1, 2))
        == torch.where(foreign.any(dim=(1, 2)), 24, change.sum(dim=(1, 2)))
    ).all()


def test_what_open_cd_turns_in_from_outside_is_black_and_ignored() -> None:
    """It was taught as unchanged ground."""
    batch = Batch(
        torch.ones(64, 3, 32, 32),
        torch.ones(64, 3, 32, 32),
        torch.zeros(64, 32, 32, dtype=torch.int64),
    )
    turned = AUGMENTATIONS["open-cd"](batch, torch.Generator().manual_seed(0))
    outside = turned.change == IGNORED
    assert 0.3 < outside.flatten(1).any(dim=1).float().mean() < 0.7  # as many as are turned
    assert not ((turned.before.sum(dim=1) == 0) & ~outside).any()
    assert (
        turned.before.amax(dim=1)[outside] < 0.7
    ).all()  # half of a pixel on the edge may come from inside


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
def test_augmentation_keeps_what_is_ignored_ignored(name: str) -> None:
    """A label of 255 was warped as if it were 255 times changed."""
    change = torch.zeros(8, 32, 32, dtype=torch.int64)
    change[:, 8:16, 8:16], change[:, 20:28, 4:20] = 1, IGNORED
    before = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    turned = AUGMENTATIONS[name](
        Batch(before, before.clone(), change), torch.Generator().manual_seed(0)
    ).change
    assert set(turned.unique().tolist()) <= {0, 1, IGNORED}
    assert 0.3 * 8 * 64 < (turned == 1).sum() < 3 * 8 * 64
    assert 0.3 * 8 * 128 < (turned == IGNORED).sum() < 3 * 8 * 128


def test_open_cd_flips_along_both_axes() -> None:
    """Rows were never flipped without a turn."""
    change = torch.zeros(200, 8, 8, dtype=torch.int64)
    change[:, 0, 1] = 1
    image = torch.full((200, 3, 8, 8), 0.5)
    turned = AUGMENTATIONS["open-cd"](Batch(image, image, change), torch.Generator().manual_seed(0))
    corners = [(0, 1), (0, 6), (7, 1), (7, 6)]
    counts = [int((turned.change[:, row, column] == 1).sum()) for row, column in corners]
    assert min(counts) > 10, counts


SMALL = 'name = "t"\nmodel = "fc_ef"\niterations = 2\nlearning_rate = 1e-3\n'


@pytest.mark.parametrize(
    "line",
    [
        "ema_decay = " + "9" * 5000,
        "warmup_start = " + "{a=" * 5000 + "1" + "}" * 5000,
        'step_epochs = "' + "a" * 100_000 + '"',
        'a\u00e4 = "' + "a" * 100_000,
        f"width = {2**63}",
        f"epochs = {2**40}",
        'pfbs = "fixed-' + "9" * 5000 + '"',
        'loss = "' + "a" * 100_000 + '"',
        '"' + "k" * 100_000 + '" = 1',
    ],
)
def test_an_odd_experiment_is_refused_in_a_short_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "odd.toml"
    path.write_text(SMALL + line, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        read_experiment(path)
    assert len(caught.value.message.replace(str(path), "")) < 300
    assert caught.value.hint


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("warmup_start", "[" * 5000),
        ("ema_decay", "9" * 5000),
        ("name", "\udce9"),
        ("name", "a\x1b[31m"),
        ("name", "n" * 101),
    ],
)
def test_an_odd_value_of_set_is_refused_in_a_short_line(
    tmp_path: Path, key: str, value: str
) -> None:
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    with pytest.raises(SettingsError, match=key) as caught:
        read_experiment(path, {key: value})
    assert len(caught.value.message.replace(str(path), "")) < 200
    assert caught.value.message.isprintable()
    assert caught.value.hint


def test_an_empty_value_of_set_leaves_the_key_out(tmp_path: Path) -> None:
    """No value of --set said "none": a file with iterations could not be run for epochs."""
    path = tmp_path / "small.toml"
    path.write_text(
        'name = "x"\nmodel = "fc_ef"\niterations = 2\nlearning_rate = 1e-3\nbatch = 3\n'
    )
    with pytest.raises(SettingsError, match="--set iterations="):
        read_experiment(path, {"epochs": "3"})
    experiment = read_experiment(path, {"epochs": "3", "iterations": "", "batch": ""})
    assert (experiment.epochs, experiment.iterations, experiment.batch) == (3, None, 8)
    with pytest.raises(SettingsError, match="there is no setting"):
        read_experiment(path, {"epoch": ""})


@pytest.mark.parametrize("key", ["data_folders", "validation_folder", "start_from", "teacher"])
def test_a_name_in_an_experiment_is_utf8(key: str) -> None:
    value = ["latin\udce4"] if key == "data_folders" else "latin\udce4"
    values = {"name": "x", "model": "fc_ef", "iterations": 2, "learning_rate": 1e-3, key: value}
    with pytest.raises(SettingsError, match="is not UTF-8") as caught:
        experiment_of(values, source="here")
    assert caught.value.message.isprintable()
