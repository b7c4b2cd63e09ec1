"""Training: it learns, it resumes exactly, ranks agree; evaluation of what it made."""

from __future__ import annotations

import csv
import errno
import json
import math
import os
import shutil
import signal
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from pytorch_lightning import Trainer
from safetensors.torch import save_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.nn.modules.module import register_module_forward_hook

from hanet.cli import main
from hanet.datasets.torch_datasets import TileDataset, list_pairs
from hanet.errors import (
    DataSetError,
    HanetError,
    OutputError,
    SettingsError,
    TrainingError,
    WeightsError,
)
from hanet.evaluation.scoring import Protocol, evaluate
from hanet.imagery.images import read_image, write_png
from hanet.models import create
from hanet.models.layers.depthwise import DepthwiseConv2d
from hanet.models.layers.precision import multiplies_in_bfloat16
from hanet.models.layers.resnet import ResNet18
from hanet.synthetic.scene import render_pair
from hanet.training import fit
from hanet.training.augmentation import AUGMENTATIONS, Batch
from hanet.training.averaging import Averaging, averaging_decay, update_average
from hanet.training.build import build_metadata, build_network
from hanet.training.experiment import Experiment
from hanet.training.keeper import Keeper, resumed_from
from hanet.training.losses import LOSSES, cross_entropy, hybrid
from hanet.training.module import TrainingModule
from hanet.training.process_memory import peak_memory_mb
from hanet.training.teacher import Teacher, distance_to_teacher
from hanet.training.validation import validate
from hanet.types import IGNORED
from hanet.weights.weights_file import (
    load_weights,
    read_safetensors_metadata,
    read_tensors,
    save_weights,
)
from rendered_tiles import render_tiles


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight rendered pairs of 64x64 as train and val."""
    return render_tiles(tmp_path_factory.mktemp("tiles"), count=8)


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


def _table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


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
        fit(
            _experiment(learning_rate=1.0),
            data=tiles,
            out=tmp_path / "killed",
            resume=True,
            accelerator="cpu",
        )
    fit(_experiment(), data=tiles, out=tmp_path / "killed", resume=True, accelerator="cpu")
    first, second = (
        read_tensors(tmp_path / name / "weights" / "last.safetensors")
        for name in ("whole", "killed")
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert [
        row.split(",")[:6] for row in (tmp_path / "whole" / "log.csv").read_text().splitlines()
    ] == [row.split(",")[:6] for row in (tmp_path / "killed" / "log.csv").read_text().splitlines()]


def test_a_loss_that_is_not_finite_stops_the_run_says_where_and_leaves_the_last_good_checkpoint(
    tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit(_experiment(), data=tiles, out=tmp_path / "whole", accelerator="cpu")
    calls = iter(range(1, 100))
    monkeypatch.setitem(
        LOSSES,
        "hybrid",
        lambda *batch: hybrid(*batch) * (float("nan") if next(calls) == 6 else 1.0),
    )
    run = tmp_path / "run"
    with pytest.raises(
        TrainingError, match=r"the loss is nan on the tiles \d.*, at iteration 6 \(learning rate"
    ) as error:
        fit(_experiment(), data=tiles, out=run, accelerator="cpu")
    assert "start_from" in str(error.value.hint)
    monkeypatch.undo()
    assert resumed_from(run / "checkpoints" / "last.ckpt")[0] == 4
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    for tensors in (checkpoint["state_dict"], read_tensors(run / "weights" / "best.safetensors")):
        assert all(torch.isfinite(tensor).all() for tensor in tensors.values())
    fit(_experiment(), data=tiles, out=run, resume=True, accelerator="cpu")
    assert (run / "weights" / "last.safetensors").read_bytes() == whole.best_weights.with_name(
        "last.safetensors"
    ).read_bytes()


@pytest.mark.skipif(
    not torch.set_flush_denormal(False),
    reason="this processor cannot take subnormal numbers for zero",
)
def test_subnormal_numbers_are_zero_while_training_and_only_then(
    tiles: Path, tmp_path: Path
) -> None:
    def smallest() -> float:
        return float(torch.tensor(1e-40) * 1.0)

    seen: list[float] = []
    experiment = _experiment(iterations=1, batch=2, model="fc_ef", width=None)
    fit(
        experiment,
        data=tiles,
        out=tmp_path / "run",
        accelerator="cpu",
        watch=lambda _: seen.append(smallest()),
    )
    assert seen == [0.0]
    assert smallest() > 0.0


def test_a_run_is_not_resumed_on_other_data(tiles: Path, tmp_path: Path) -> None:
    """It went on, and its scores were those of nobody's training."""
    experiment = _experiment(iterations=2, batch=2, model="fc_ef", width=None)
    fit(experiment, data=tiles, out=tmp_path / "run", accelerator="cpu")
    fit(experiment, data=tiles, out=tmp_path / "run", resume=True, accelerator="cpu")
    other = render_tiles(tmp_path, count=6)
    with pytest.raises(TrainingError, match=r"started with: then 8, .*; now 6 and"):
        fit(experiment, data=other, out=tmp_path / "run", resume=True, accelerator="cpu")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch": 9}, "8 draws, fewer than a batch of 9"),
        ({"tile_px": 128}, "smaller than the 128x128"),
        ({"validation_split": "dev"}, "does not hold the folders"),
        ({"start_from": "none.safetensors"}, "none.safetensors"),
        ({"model": "fc_ef"}, "'fc_ef' does not take width"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_run_that_cannot_start_leaves_no_folder(
    changes: dict[str, object], message: str, tiles: Path, tmp_path: Path
) -> None:
    """It left experiment.json, so that the corrected command was refused: the folder holds a run."""
    with pytest.raises(HanetError, match=message):
        fit(_experiment(**changes), data=tiles, out=tmp_path / "run", accelerator="cpu")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--threads", "0"], "invalid value for '--threads'"),
        (["--workers", "-1"], "invalid value for '--workers'"),
        (["--set", "name="], 'name is "", it should have at least 1 character'),
        (["--set", "seed=99999999999"], "seed is 99999999999, it should be less than 4294967296"),
        (["--set", "iterations=true"], "iterations is true, it should be a valid integer"),
        (["--accelerator", "gpu"], "there are 0 GPUs that torch can use, and 1 processes"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_a_wrong_command_is_one_line_and_a_hint(
    arguments: list[str],
    message: str,
    tiles: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    experiment = tmp_path / "x.toml"
    experiment.write_text('name = "x"\nmodel = "fc_ef"\niterations = 2\nlearning_rate = 1e-3\n')
    command = ["train", experiment, "--data", tiles, "--out", tmp_path / "run", *arguments]
    monkeypatch.setattr(sys, "argv", ["hanet", *map(str, command)])
    with pytest.raises(SystemExit) as stop:
        main()
    error, hint = capsys.readouterr().err.splitlines()
    assert stop.value.code == 2
    assert message in error
    assert hint.startswith("hint: ")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("start_from=/nowhere/first.safetensors", "no weights file /nowhere/first"),
        ("start_from=no_such_name", "no weights 'no_such_name'"),
        ("teacher=/nowhere/teacher.safetensors", "no weights file /nowhere/teacher"),
    ],
)
def test_what_a_run_begins_with_is_looked_for_before_lightning_is_loaded(
    setting: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "hanet.training.fitting", None)
    experiment = tmp_path / "x.toml"
    experiment.write_text('name = "x"\nmodel = "fc_ef"\niterations = 2\nlearning_rate = 1e-3\n')
    out = tmp_path / "run"
    command = ["train", experiment, "--data", tmp_path, "--out", out, "--set", setting]
    monkeypatch.setattr(sys, "argv", ["hanet", *map(str, command)])
    with pytest.raises(SystemExit) as stop:
        main()
    error, hint = capsys.readouterr().err.splitlines()
    assert stop.value.code == 2
    assert message in error
    assert hint.startswith("hint: ")
    assert not out.exists()


@pytest.mark.parametrize("name", ["latin\udce4", "control\x1b[1m", "n" * 300])
def test_a_folder_that_no_weights_can_name_is_refused_before_the_first_step(
    name: str, tiles: Path, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match="the name given as --out"):
        fit(_experiment(), data=tiles, out=tmp_path / name, accelerator="cpu")


def test_data_in_a_folder_whose_name_is_not_utf8_can_be_trained_on(
    tiles: Path, tmp_path: Path
) -> None:
    root = tmp_path / "latin\udce4"
    shutil.copytree(tiles, root)
    experiment = _experiment(iterations=2, validate_every=2)
    assert fit(experiment, data=root, out=tmp_path / "run", accelerator="cpu").finished


def test_weights_that_are_not_finite_are_not_saved(tiles: Path, tmp_path: Path) -> None:
    """A step may overflow although loss and gradient are finite."""
    with pytest.raises(TrainingError, match="not finite after iteration 1"):
        fit(
            _experiment(learning_rate=1e39, checkpoint_every=1),
            data=tiles,
            out=tmp_path / "run",
            accelerator="cpu",
        )
    assert not list((tmp_path / "run").glob("*/last.*"))


def test_a_checkpoint_that_the_disk_does_not_take_is_told_of_in_words(
    tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was a traceback, and left half a checkpoint on the full disk."""

    def full(self: Trainer, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Trainer, "save_checkpoint", full)
    with pytest.raises(
        OutputError, match=r"last\.ckpt cannot be written: No space left on device"
    ) as error:
        fit(
            _experiment(model="fc_ef", width=None),
            data=tiles,
            out=tmp_path / "run",
            accelerator="cpu",
        )
    assert "--resume" in str(error.value.hint)
    assert not list((tmp_path / "run" / "checkpoints").iterdir())


def test_a_run_leaves_its_tables_and_curves(tiles: Path, tmp_path: Path) -> None:
    states: list[dict[str, float]] = []
    experiment = _experiment(
        iterations=10,
        epoch_length=4,
        validate_every=5,
        pfbs="fixed-2",
        data_folders=["../" + tiles.name],
    )
    result = fit(
        experiment, data=tiles, out=tmp_path / "run", accelerator="cpu", watch=states.append
    )
    log, epochs = (_table(tmp_path / "run" / name) for name in ("log.csv", "epochs.csv"))
    assert [row["iteration"] for row in log] == ["5", "10"]
    assert max(float(row["f1"]) for row in log) == pytest.approx(result.best_f1, rel=1e-5)
    assert all(float(row["peak_memory_mb"]) > 0 for row in log)
    assert [int(row["epoch"]) for row in epochs] == list(range(1, 11))
    assert [int(row["first_iteration"]) for row in epochs] == list(range(1, 11))
    assert {row["foreground_share"] for row in epochs[:2]} == {"1"}
    curves = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    assert [event.step for event in curves.Scalars("f1")] == [5, 10]
    assert curves.Scalars("foreground_share")[0].step == 0
    assert curves.Scalars("loss")[-1].step == 10
    assert [state["iteration"] for state in states] == list(range(1, 11))
    metadata = read_safetensors_metadata(result.best_weights)
    assert metadata.training_data == f"unnamed data (../{tiles.name})"
    assert [score.dataset for score in metadata.scores] == ["unnamed data"], (
        "a score names the data that it was taken on"
    )
    assert states[-1]["best_f1"] == result.best_f1


def test_a_run_that_is_stopped_before_its_first_validation_names_no_score(
    tiles: Path, tmp_path: Path
) -> None:
    """It said "best validation F1 -1.0000", and named weights that were not there."""

    def watch(state: dict[str, float]) -> None:
        if state["iteration"] == 1:  # a second signal would end the process
            os.kill(os.getpid(), signal.SIGTERM)

    result = fit(
        _experiment(iterations=10, validate_every=10),
        data=tiles,
        out=tmp_path / "run",
        accelerator="cpu",
        watch=watch,
    )
    assert (result.finished, result.best_f1, result.best_weights) == (False, None, None)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["best_f1"], summary["best_weights"]) == (None, None)


@pytest.mark.parametrize("augmentation", sorted(AUGMENTATIONS))
def test_every_augmentation_stands_mixed_precision(
    tiles: Path, tmp_path: Path, augmentation: str
) -> None:
    """Blur of a part of a batch, for one, fails where it comes back in bf16."""
    experiment = _experiment(
        augmentation=augmentation, precision="bf16", crop_px=32, iterations=4, validate_every=4,
        ema_decay=0,
    )  # fmt: skip
    assert math.isfinite(
        fit(experiment, data=tiles, out=tmp_path / "run", accelerator="cpu").best_f1
    )


@pytest.mark.parametrize(("model", "width"), [("hanet", 4), ("hanet_lite", 8)])
def test_mixed_precision_trains_and_spares_dilated_grouped_convolutions(
    tiles: Path, tmp_path: Path, model: str, width: int
) -> None:
    """bf16 gave NaN gradients in grouped convolutions of dilation 3 and 4 without AMX; depthwise
    ones take theirs in float32 by themselves."""
    types: set[tuple[bool, torch.dtype]] = set()

    def watch(module: torch.nn.Module, inputs: object, output: torch.Tensor) -> None:
        if (
            isinstance(module, torch.nn.Conv2d) and torch.is_grad_enabled()
        ):  # validation is in float32
            grouped = module.groups > 1 and not isinstance(module, DepthwiseConv2d)
            types.add((grouped and module.dilation != (1, 1), output.dtype))

    settings = {
        "model": model,
        "width": width,
        "iterations": 2,
        "validate_every": 1,
        "augmentation": "none",
        "ema_decay": 0,
    }
    fit(_experiment(**settings), data=tiles, out=tmp_path / "fp32", accelerator="cpu")
    with register_module_forward_hook(watch):
        fit(
            _experiment(**settings, precision="bf16"),
            data=tiles,
            out=tmp_path / "bf16",
            accelerator="cpu",
        )
    with torch.autocast("cpu", torch.bfloat16):
        spared = torch.bfloat16 if multiplies_in_bfloat16(torch.device("cpu")) else torch.float32
    assert {kind for dilated, kind in types if dilated} == ({spared} if model == "hanet" else set())
    assert (False, torch.bfloat16) in types
    losses = [
        [float(row["loss"]) for row in _table(tmp_path / precision / "log.csv")]
        for precision in ("fp32", "bf16")
    ]
    assert losses[1] == pytest.approx(losses[0], rel=0.05)
    tensors = read_tensors(tmp_path / "bf16" / "weights" / "last.safetensors").values()
    assert {tensor.dtype for tensor in tensors if tensor.is_floating_point()} == {torch.float32}


def test_the_average_of_a_checkpoint_goes_to_where_the_network_is() -> None:
    """A run with averaging that was resumed on a GPU kept it on the CPU, and stopped at its first
    step."""
    experiment = _experiment()
    network = build_network(experiment)
    module = TrainingModule(
        experiment, network, build_metadata(experiment, network), iterations=1, names=[]
    )
    averaging = Averaging(0.9)
    averaging.on_load_checkpoint(None, module, {"average": network.state_dict()})  # type: ignore[arg-type]
    averaging.on_fit_start(None, module.to("meta"))  # type: ignore[arg-type]
    assert {
        tensor.device.type for tensor in averaging.network_of(module).state_dict().values()
    } == {"meta"}


def test_the_average_follows_the_weights_and_forgets_the_start() -> None:
    assert [averaging_decay(0.999, iteration) for iteration in (0, 8)] == [
        pytest.approx(0.1),
        pytest.approx(0.5),
    ]
    assert averaging_decay(0.9, 10_000) == 0.9
    average, network = create("fc_ef"), create("fc_ef")
    expected = {
        name: 0.75 * a + 0.25 * b
        for (name, a), b in zip(
            average.state_dict().items(), network.state_dict().values(), strict=True
        )
        if a.is_floating_point()
    }
    update_average(average, network, decay=0.75)
    assert all(
        torch.allclose(average.state_dict()[name], tensor, atol=1e-6)
        for name, tensor in expected.items()
    )


def test_a_teacher_is_seen_in_every_view_and_turned_back(tmp_path: Path) -> None:
    """Of a network that looks at single pixels no view matters; of another each does, and the mean
    over the eight has their symmetry."""
    experiment = _experiment()
    save_weights(
        tmp_path / "teacher.safetensors",
        build_network(experiment),
        build_metadata(experiment, build_network(experiment)),
    )
    teacher = Teacher(tmp_path / "teacher.safetensors", bands=3)
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, 2, 3, 32, 48, generator=generator)
    batch = Batch(images[0], images[1], torch.zeros(2, 32, 48, dtype=torch.int64))
    views = [teacher.probability(batch, generator) for _ in range(60)]
    assert all(view.shape == (2, 32, 48) for view in views)
    different = {view.numpy().tobytes(): view for view in views}
    assert len(different) == 8
    mirrored = Batch(images[0].flip(-1), images[1].flip(-1), batch.change)
    again = {
        view.numpy().tobytes(): view
        for view in (teacher.probability(mirrored, generator) for _ in range(60))
    }
    means = [torch.stack(list(each.values())).mean(dim=0) for each in (different, again)]
    assert torch.allclose(means[0].flip(-1), means[1], atol=1e-5)


def test_the_distance_to_a_teacher_is_the_cross_entropy_where_it_is_sure() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, change = (
        torch.randn(2, 2, 8, 8, generator=generator),
        torch.randint(2, (2, 8, 8), generator=generator),
    )
    change[0, :2] = IGNORED
    sure = (change == 1).float()
    known = change != IGNORED
    assert torch.allclose(distance_to_teacher(logits, sure, known), cross_entropy(logits, change))
    half = distance_to_teacher(logits, torch.full_like(sure, 0.5), known)
    expected = -logits.log_softmax(dim=1).mean(dim=1)[change != IGNORED].mean()
    assert torch.allclose(half, expected)


def test_a_student_comes_near_its_teacher_where_labels_say_nothing(
    tiles: Path, tmp_path: Path
) -> None:
    """Taught by the teacher alone, it ends nearer to it than it began; a teacher of other bands, or
    none, is refused."""
    start = _experiment(seed=5)
    teacher = tmp_path / "teacher.safetensors"
    fit(
        _experiment(iterations=24, augmentation="none"),
        data=tiles,
        out=tmp_path / "of-teacher",
        accelerator="cpu",
    )
    teacher.write_bytes((tmp_path / "of-teacher" / "weights" / "last.safetensors").read_bytes())
    taught = start.model_copy(
        update={
            "teacher": str(teacher),
            "teacher_share": 1.0,
            "iterations": 24,
            "augmentation": "none",
        }
    )
    result = fit(taught, data=tiles, out=tmp_path / "of-student", accelerator="cpu")
    assert result.finished
    assert all(
        "teacher" not in name
        for name in read_tensors(tmp_path / "of-student" / "weights" / "last.safetensors")
    )
    pair = [torch.from_numpy(image)[None].float() for image in render_pair(64, 64, 77)[:2]]
    outputs = {}
    for name, network in (
        ("teacher", load_weights(teacher)[0]),
        ("student", load_weights(tmp_path / "of-student" / "weights" / "last.safetensors")[0]),
        ("start", build_network(start).eval()),
    ):
        with torch.no_grad():
            outputs[name] = network(*((image / 255 - 0.45) / 0.23 for image in pair)).softmax(
                dim=1
            )[:, 1]
    distance = {
        name: float((outputs[name] - outputs["teacher"]).abs().mean())
        for name in ("student", "start")
    }
    assert distance["student"] < 0.5 * distance["start"], distance
    with pytest.raises(WeightsError, match=r"there is no weights file nothing\.safetensors"):
        fit(
            start.model_copy(update={"teacher": "nothing.safetensors"}),
            data=tiles,
            out=tmp_path / "none",
            accelerator="cpu",
        )
    assert not (tmp_path / "none").exists()
    with pytest.raises(WeightsError, match="bands"):
        Teacher(teacher, bands=4)


def test_a_run_is_not_resumed_with_another_teacher(tiles: Path, tmp_path: Path) -> None:
    """The teacher may be a run folder, whose best weights change: the second half was taught by
    others than the first."""
    teacher = tmp_path / "teacher.safetensors"
    for seed in (1, 2):
        first = _experiment(model="fc_ef", width=None, seed=seed)
        save_weights(
            tmp_path / f"{seed}.safetensors",
            build_network(first),
            build_metadata(first, build_network(first)),
        )
    shutil.copy(tmp_path / "1.safetensors", teacher)
    experiment = _experiment(model="fc_ef", width=None, iterations=1, teacher=str(teacher))
    fit(experiment, data=tiles, out=tmp_path / "run", accelerator="cpu")
    assert fit(
        experiment, data=tiles, out=tmp_path / "run", resume=True, accelerator="cpu"
    ).finished
    shutil.copy(tmp_path / "2.safetensors", teacher)
    with pytest.raises(TrainingError, match="not those that it was started with"):
        fit(experiment, data=tiles, out=tmp_path / "run", resume=True, accelerator="cpu")


def test_a_run_starts_from_a_run_folder_or_a_name_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guide says that a run folder is taken wherever weights are; here it was no readable
    file."""
    first = build_network(_experiment(seed=1))
    for path in ("runs/first/weights/best.safetensors", "named/mine.safetensors"):
        save_weights(tmp_path / path, first, build_metadata(_experiment(), first))
    monkeypatch.setenv("HANET_WEIGHTS", str(tmp_path / "named"))
    for start in (str(tmp_path / "runs" / "first"), "mine"):
        second = build_network(_experiment(start_from=start)).state_dict()
        assert all(torch.equal(tensor, second[name]) for name, tensor in first.state_dict().items())


@pytest.mark.parametrize("model", ["bit", "stanet"])
def test_common_weights_of_a_resnet_fill_the_encoder(model: str, tmp_path: Path) -> None:
    """Files of ImageNet weights name the encoder's tensors without what we put before them."""
    torch.manual_seed(5)
    known = ResNet18().state_dict() | {"fc.weight": torch.zeros(1000, 512)}
    save_file(known, tmp_path / "resnet18.safetensors")
    start = {"start_from": str(tmp_path / "resnet18.safetensors"), "start_from_partly": True}
    found = build_network(_experiment(model=model, width=None, **start)).state_dict()
    taken = [name for name in known if f"encoder.{name}" in found]
    assert len(taken) > 80
    assert all(torch.equal(found[f"encoder.{name}"], known[name]) for name in taken)
    with pytest.raises(WeightsError, match=r"no tensor of .* fits snunet"):
        build_network(_experiment(model="snunet", width=None, **start))


def test_a_validation_split_without_change_is_refused(tiles: Path, tmp_path: Path) -> None:
    """F1 was 0 from the first validation to the last, and the weights of the first were the
    best."""
    shutil.copytree(tiles, tmp_path / "data")
    for label in (tmp_path / "data" / "val" / "label").iterdir():
        write_png(label, np.zeros((64, 64), dtype=np.bool_))
    with pytest.raises(DataSetError, match="no label of the split val has a changed pixel"):
        fit(
            _experiment(model="fc_ef", width=None),
            data=tmp_path / "data",
            out=tmp_path / "run",
            accelerator="cpu",
        )
    assert not (tmp_path / "run").exists()


def test_a_training_split_without_change_is_refused(tiles: Path, tmp_path: Path) -> None:
    """With pfbs = "normal" it was trained on to the end without a word."""
    shutil.copytree(tiles, tmp_path / "data")
    for label in (tmp_path / "data" / "train" / "label").iterdir():
        write_png(label, np.zeros((64, 64), dtype=np.bool_))
    with pytest.raises(DataSetError, match="no label of the training split has a changed pixel"):
        fit(
            _experiment(model="fc_ef", width=None, pfbs="normal"),
            data=tmp_path / "data",
            out=tmp_path / "run",
            accelerator="cpu",
        )
    assert not (tmp_path / "run").exists()


class _Hostile:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (f"{self.mark}",)


def test_a_run_is_not_resumed_from_a_damaged_or_hostile_checkpoint(
    tiles: Path, tmp_path: Path
) -> None:
    experiment = _experiment(iterations=2, batch=2, model="fc_ef", width=None)
    run = tmp_path / "run"
    fit(experiment, data=tiles, out=run, accelerator="cpu")
    checkpoint = run / "checkpoints" / "last.ckpt"
    sound = checkpoint.read_bytes()
    content = torch.load(checkpoint, weights_only=True)
    further = experiment.model_copy(update={"iterations": 4})
    settings = run / "experiment.json"
    settings.write_text(settings.read_text().replace('"iterations": 2', '"iterations": 4'))
    mark = tmp_path / "ran\x1b[31m"
    hostile = BytesIO()
    torch.save({**content, "x": _Hostile(mark)}, hostile)
    without_optimiser = BytesIO()
    torch.save({**content, "optimizer_states": [{"state": 1}]}, without_optimiser)
    odd_losses = BytesIO()
    kept = {**content["callbacks"]["Keeper"], "losses": ["a"]}
    torch.save({**content, "callbacks": {**content["callbacks"], "Keeper": kept}}, odd_losses)
    curves = sorted((run / "tensorboard").iterdir())
    for bad in (
        b"",
        b"\x80\x02cos\nmkdir\n.",
        sound[: len(sound) // 2],
        hostile.getvalue(),
        without_optimiser.getvalue(),
        odd_losses.getvalue(),
    ):
        checkpoint.write_bytes(bad)
        with pytest.raises(TrainingError, match="is damaged, or hanet train did not") as caught:
            fit(further, data=tiles, out=run, resume=True, accelerator="cpu")
        assert caught.value.hint
        assert "weights_only" not in f"{caught.value.message}{caught.value.hint}"
        assert "\x1b" not in caught.value.message
    assert not mark.exists()
    # the one that Lightning refuses left an empty file of curves
    assert sorted((run / "tensorboard").iterdir()) == curves
    # torch warned of another protocol of pickle; warnings are errors here
    torch.save(content, checkpoint, pickle_protocol=3)
    assert fit(further, data=tiles, out=run, resume=True, accelerator="cpu").iterations == 4


def test_weights_that_know_other_statistics_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The authors' weights are normalised by LEVIR-CD's statistics; trained on by ImageNet's, the
    default, they saw other images."""
    network = build_network(_experiment())
    save_weights(
        tmp_path / "x.safetensors",
        network,
        build_metadata(_experiment(statistics="levir-cd"), network),
    )
    same = _experiment(start_from=str(tmp_path / "x.safetensors"), statistics="levir-cd")
    build_metadata(same, network)
    assert not caplog.messages
    build_metadata(same.model_copy(update={"statistics": "imagenet"}), network)
    assert "by the statistics 'levir-cd', this experiment normalises by 'imagenet'" in caplog.text


def test_a_mistyped_data_set_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """Weights of `dataset = "levir_cd"` came out without LEVIR-CD's terms, and nothing said so."""
    network = build_network(_experiment())
    assert "academic" in build_metadata(_experiment(dataset="LEVIR-CD"), network).licence
    build_metadata(_experiment(dataset="our town"), network)
    assert not caplog.messages
    assert build_metadata(_experiment(dataset="levir_cd"), network).licence == ""
    assert "did you mean 'levir-cd'?" in caplog.text


def test_terms_of_the_first_weights_hold_for_those_made_of_them(tmp_path: Path) -> None:
    """Weights under terms, trained on with data of one's own, came out without any."""
    network = build_network(_experiment())
    first = build_metadata(_experiment(name="first", dataset="levir-cd"), network)
    assert "academic use only" in first.licence
    save_weights(tmp_path / "first.safetensors", network, first)
    start = str(tmp_path / "first.safetensors")
    second = build_metadata(_experiment(dataset="our town", start_from=start), network)
    assert second.licence == first.licence
    assert second.training_data == "our town"
    assert second.notes == ("started from first, trained on levir-cd",)
    both = build_metadata(_experiment(dataset="whu-cd", start_from=start), network)
    assert both.licence == f"{first.licence}; as the data set WHU-CD allows"
    save_weights(tmp_path / "both.safetensors", network, both)
    third = build_metadata(
        _experiment(dataset="levir-cd", start_from=str(tmp_path / "both.safetensors")), network
    )
    assert third.licence == both.licence  # each once


def test_terms_of_a_teacher_hold_for_its_student(tmp_path: Path) -> None:
    """A student of weights under terms came out without any."""
    network = build_network(_experiment())
    teacher = build_metadata(_experiment(name="first", dataset="levir-cd"), network)
    save_weights(tmp_path / "teacher.safetensors", network, teacher)
    student = build_metadata(
        _experiment(dataset="our town", teacher=str(tmp_path / "teacher.safetensors")), network
    )
    assert student.licence == teacher.licence
    assert student.notes == ("taught by first, trained on levir-cd",)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no getrusage")
def test_peak_memory_is_what_the_system_says() -> None:
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    assert peak_memory_mb() == pytest.approx(
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, rel=0.2
    )


@pytest.mark.slow
def test_it_learns_eight_pairs_and_evaluate_says_so(
    tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = _experiment(
        iterations=90, learning_rate=8e-3, schedule="cosine", augmentation="none", pfbs="normal",
        ema_decay=0.0, validate_every=45, checkpoint_every=45, clip_norm=5.0,
    )  # fmt: skip
    result = fit(experiment, data=tiles, out=tmp_path / "run", accelerator="cpu")
    assert result.best_f1 > 0.95
    arguments = [
        "hanet",
        "evaluate",
        str(tmp_path / "run"),
        "--data",
        str(tiles),
        "--split",
        "val",
        "--tile",
        "64",
    ]
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


def test_validation_counts_each_pixel_once(tmp_path: Path) -> None:
    """Images that tiles do not divide: the last tiles were shifted inwards, and what stands in two
    of them counted twice."""
    for split, side in (("train", 64), ("val", 80)):
        for folder, image in zip(
            ("A", "B", "label"), render_pair(side, side, 41, change_share=0.7), strict=True
        ):
            (tmp_path / split / folder).mkdir(parents=True)
            write_png(tmp_path / split / folder / "1.png", image)
    experiment = _experiment(model="fc_ef", width=None, iterations=1, batch=1)
    run = fit(experiment, data=tmp_path, out=tmp_path / "run", accelerator="cpu").best_weights
    found = evaluate(run, tmp_path, split="val", protocol=Protocol(tile_px=64), threshold=0.5)
    assert found.counts.total == 80 * 80
    (said,) = read_safetensors_metadata(run).scores
    expected = found.scores
    assert said.protocol == found.protocol
    assert (said.precision, said.recall, said.f1) == pytest.approx(
        (expected.precision, expected.recall, expected.f1), abs=1e-3
    )


def test_masks_of_anybody_are_scored(
    tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = tiles / "val" / "label"
    monkeypatch.setattr(
        sys,
        "argv",
        [
            "hanet",
            "evaluate",
            "--predictions",
            str(labels),
            "--labels",
            str(labels),
            "--out",
            str(tmp_path / "s.json"),
        ],
    )
    main()
    scores = json.loads((tmp_path / "s.json").read_text())
    assert scores["scores"]["f1"] == 1.0
    assert scores["objects"]["f1"] == 1.0


def test_rendered_windows_have_no_seams() -> None:
    whole = render_pair(200, 200, 3)
    from hanet.synthetic.scene import Scene
    from hanet.types import Window

    part = Scene(3).render(Window(50, 30, 90, 110))
    for one, other in zip(whole, part, strict=True):
        assert np.array_equal(one[..., 50:140, 30:140], other)


def test_validation_counts_known_pixels_only(tmp_path: Path) -> None:
    """255, the label of a pixel that nobody knows, was taken for change."""
    root = render_tiles(tmp_path / "tiles", count=2)
    known = 0
    for path in sorted((root / "val" / "label").iterdir()):
        label = read_image(path)[0]
        label[32:] = 128
        write_png(path, label)
        known += label[:32].size
    experiment = _experiment()
    network = build_network(experiment)
    tiles = TileDataset(list_pairs(root, "val"), tile_px=64, edges="pad")
    counts = validate(network, tiles, build_metadata(experiment, network), batch=2)
    assert counts.total == known
    assert counts.tp + counts.fn == tiles.foreground_pixels.sum()
