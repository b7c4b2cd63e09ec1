"""A part of a network learns, the rest stays to the bit; a run ends early; first weights keep their
statistics; a teacher is heard where labels do not know."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from hanet.datasets.torch_datasets import TileDataset, list_pairs
from hanet.errors import SettingsError, WeightsError
from hanet.metadata import Metadata
from hanet.models import create
from hanet.models.contract import Part
from hanet.training import fit
from hanet.training.augmentation import Batch
from hanet.training.build import build_metadata, build_network
from hanet.training.experiment import Experiment, experiment_of
from hanet.training.freezing import enter_training, learn_only
from hanet.training.keeper import resumed_from
from hanet.training.module import TrainingModule
from hanet.training.teacher import Teacher, distance_to_teacher
from hanet.training.validation import validate
from hanet.types import IGNORED
from hanet.weights.weights_file import read_safetensors_metadata, read_tensors, save_weights
from rendered_tiles import render_tiles

SMALL: dict[str, object] = {
    "name": "test",
    "model": "hanet_lite",
    "width": 8,
    "detail": 4,
    "tile_px": 64,
    "iterations": 4,
    "batch": 2,
    "learning_rate": 2e-3,
    "augmentation": "official",
    "ema_decay": 0.5,
    "validate_every": 2,
    "checkpoint_every": 1,
}


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four rendered pairs of 64x64 as train and val."""
    return render_tiles(tmp_path_factory.mktemp("tiles"), count=4)


def _experiment(**changes: object) -> Experiment:
    return experiment_of({**SMALL, **changes}, source="test")


def _start(folder: Path, **changes: object) -> Path:
    """Weights of an untrained network, whose normalisation has seen images: statistics that one
    could lose."""
    experiment = _experiment(**changes)
    network = build_network(experiment).train()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for _ in range(3):
            network(*torch.randn(2, 2, 3, 64, 64, generator=generator))
    path = folder / "start.safetensors"
    save_weights(path, network, build_metadata(experiment, network))
    return path


@pytest.mark.parametrize("part", ["head", "top-down"])
@pytest.mark.parametrize(
    "model", [{}, {"model": "hanet", "width": 4, "detail": None}, {"model": "fc_siam_diff"}]
)
def test_what_does_not_learn_stays_to_the_bit(
    part: Part, model: dict[str, object], tiles: Path, tmp_path: Path
) -> None:
    """Statistics of normalisation too, which move without a gradient."""
    if model.get("model") == "fc_siam_diff":
        model = {**model, "width": None, "detail": None}
    model = {key: value for key, value in {**SMALL, **model}.items() if value is not None}
    start = _start(tmp_path, **_without(model))
    experiment = experiment_of(
        {**model, "start_from": str(start), "trainable": part}, source="test"
    )
    fit(experiment, data=tiles, out=tmp_path / "run", accelerator="cpu")
    network = create(experiment.model, **experiment.model_arguments())
    learns = {id(module) for module in network.modules_of(part)}
    names = [name for name, module in network.named_modules() if id(module) in learns]
    before, after = (
        read_tensors(path) for path in (start, tmp_path / "run" / "weights" / "last.safetensors")
    )
    inside = {name for name in before if any(name.startswith(f"{one}.") for one in names)}
    assert inside
    assert all(torch.equal(before[name], after[name]) for name in before.keys() - inside)
    learned = [name for name in inside if name.endswith(("weight", "bias"))]
    assert all(not torch.equal(before[name], after[name]) for name in learned)


def _without(model: dict[str, object]) -> dict[str, object]:
    """Changes that make SMALL this experiment; None where a key is left out."""
    return {key: model.get(key) for key in SMALL}


def test_a_frozen_part_keeps_no_gradient_and_drops_nothing() -> None:
    network = create("fc_siam_diff")
    learn_only(network, "head")
    enter_training(network, "head", frozen_statistics=False)
    assert [name for name, tensor in network.named_parameters() if tensor.requires_grad] == [
        "decoder.levels.0.1.weight",
        "decoder.levels.0.1.bias",
    ]
    images = torch.randn(2, 1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(network(*images), network(*images)), "dropout of the trunk is off"
    enter_training(network, "top-down", frozen_statistics=True)
    assert not torch.equal(network(*images), network(*images)), "that of the decoder is on"


def test_statistics_can_be_held_while_everything_learns(tiles: Path, tmp_path: Path) -> None:
    start = read_tensors(_start(tmp_path))
    moved = {}
    for held in (True, False):
        run = tmp_path / f"run-{held}"
        experiment = _experiment(
            start_from=str(tmp_path / "start.safetensors"), frozen_statistics=held, ema_decay=0.0
        )  # without averaging the trained network itself is validated, in evaluation mode
        fit(experiment, data=tiles, out=run, accelerator="cpu")
        after = read_tensors(run / "weights" / "last.safetensors")
        moved[held] = {name for name in start if not torch.equal(start[name], after[name])}
    statistics = {name for name in start if "running" in name}
    assert statistics
    assert not moved[True] & statistics
    assert statistics <= moved[False]
    learned = {name for name in start if name.endswith(("weight", "bias"))}
    assert moved[True] >= learned - {name for name in learned if "attention" in name}


def test_validation_leaves_each_module_in_its_mode(tiles: Path) -> None:
    """It put the whole network into training mode."""
    network = create("hanet_lite", width=8)
    enter_training(network, "head", frozen_statistics=True)
    modes = [module.training for module in network.modules()]
    assert set(modes) == {True, False}
    val = TileDataset(list_pairs(tiles, "val"), tile_px=64, edges="pad")
    validate(network, val, Metadata("x", "hanet_lite"), batch=4)
    assert [module.training for module in network.modules()] == modes


def test_a_run_ends_when_nothing_gets_better_and_is_not_taken_up_again(
    tiles: Path, tmp_path: Path
) -> None:
    settings = {"iterations": 40, "learning_rate": 1e-12, "validate_every": 1, "patience": 3}
    run = tmp_path / "run"
    result = fit(_experiment(**settings), data=tiles, out=run, accelerator="cpu")
    assert (result.finished, result.iterations) == (True, 4), "the first one is the best"
    assert resumed_from(run / "checkpoints" / "last.ckpt")[0] == 4
    before = (run / "weights" / "last.safetensors").read_bytes()
    again = fit(_experiment(**settings), data=tiles, out=run, resume=True, accelerator="cpu")
    assert (again.finished, again.iterations) == (True, 4)
    assert (run / "weights" / "last.safetensors").read_bytes() == before


def test_a_run_ends_with_its_time_validated_and_saved(tiles: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    result = fit(_experiment(), data=tiles, out=run, accelerator="cpu", minutes=0.0)
    assert (result.finished, result.iterations) == (True, 1)
    assert result.best_f1 >= 0.0
    assert (run / "weights" / "best.safetensors").exists()
    again = fit(_experiment(), data=tiles, out=run, resume=True, accelerator="cpu", minutes=60.0)
    assert again.iterations == 1


def test_patience_counts_over_a_kill(tiles: Path, tmp_path: Path) -> None:
    """What was in vain before it counts after it."""
    settings = {"iterations": 40, "learning_rate": 1e-12, "validate_every": 1, "patience": 3}

    class Killed(BaseException):
        pass

    def die(state: dict[str, float]) -> None:
        if state["iteration"] == 3:
            raise Killed

    run = tmp_path / "run"
    with pytest.raises(Killed):
        fit(_experiment(**settings), data=tiles, out=run, accelerator="cpu", watch=die)
    result = fit(_experiment(**settings), data=tiles, out=run, resume=True, accelerator="cpu")
    assert result.iterations == 4


def test_first_weights_keep_their_statistics(tmp_path: Path) -> None:
    start = _start(tmp_path, statistics="levir-cd")
    experiment = _experiment(start_from=str(start), statistics="start")
    made = build_metadata(experiment, build_network(experiment))
    theirs = read_safetensors_metadata(start)
    for key in ("mean_before", "std_before", "mean_after", "std_after"):
        assert getattr(made, key) == getattr(theirs, key)
    assert theirs.mean_before != theirs.mean_after
    with pytest.raises(SettingsError, match="name them in start_from"):
        _experiment(statistics="start")
    tensors = tmp_path / "foreign.safetensors"
    save_file(read_tensors(start), tensors)
    foreign = experiment.model_copy(update={"start_from": str(tensors)})
    with pytest.raises(WeightsError, match="does not say by which statistics"):
        build_metadata(foreign, build_network(foreign))


def test_a_teacher_can_be_heard_only_where_labels_do_not_know(tmp_path: Path) -> None:
    teacher_file = _start(tmp_path)
    teacher = Teacher(teacher_file, bands=3)
    experiment = _experiment(
        teacher=str(teacher_file), teacher_pixels="unknown", augmentation="none"
    )
    network = build_network(experiment.model_copy(update={"seed": 9}))
    module = TrainingModule(
        experiment,
        network,
        build_metadata(experiment, network),
        iterations=1,
        names=[],
        teacher=teacher,
    )
    images = torch.rand(2, 2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    change = torch.zeros(2, 64, 64, dtype=torch.int64)
    logits = torch.randn(2, 2, 64, 64, generator=torch.Generator().manual_seed(1))

    def distance() -> torch.Tensor:
        generator = torch.Generator().manual_seed(2)
        return module._distance(teacher, logits, Batch(*images, change), generator)

    assert float(distance()) == 0.0
    change[1, 10:20] = IGNORED
    pair = Batch(images[0][1:], images[1][1:], change[1:])
    target = teacher.probability(pair, torch.Generator().manual_seed(2))
    expected = distance_to_teacher(logits[1:], target, pair.change == IGNORED)
    assert float(expected) > 0
    assert torch.equal(distance(), expected)
    with pytest.raises(SettingsError, match="name its weights in teacher"):
        _experiment(teacher_pixels="unknown")


def test_another_split_can_be_trained_on(tiles: Path, tmp_path: Path) -> None:
    experiment = _experiment(
        iterations=1, training_split=".", data_folders=["val"], validation_split="train"
    )
    result = fit(experiment, data=tiles, out=tmp_path / "run", accelerator="cpu")
    metadata = read_safetensors_metadata(result.best_weights)
    assert metadata.training_split == "."
    assert metadata.training_data == "unnamed data (val)"
