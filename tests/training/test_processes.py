"""Several processes train one network: two ranks with gloo on this machine."""

from __future__ import annotations

import copy
import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from checkout import ROOT
from command_server import Command, CommandServer, free_port, train_arguments
from hanet.datasets.torch_datasets import TileDataset, list_pairs
from hanet.errors import SettingsError, TrainingError
from hanet.imagery.images import read_image, write_png
from hanet.models.normalisation import Normalisation
from hanet.training.averaging import averaging_decay, update_average
from hanet.training.build import build_metadata, build_network
from hanet.training.consistency import Consistency
from hanet.training.experiment import Experiment, read_experiment
from hanet.training.losses import LOSSES
from hanet.training.module import TrainingModule
from hanet.training.optimisation import build_optimiser
from hanet.training.processes import ProcessLayout, process_layout
from hanet.training.stream import BatchStream, training_data
from hanet.training.validation import validate
from hanet.weights.weights_file import load_weights
from rendered_tiles import render_tiles

needs_fork = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")

EXPERIMENT = """
name = "tiny"
model = "hanet_lite"
width = 8
tile_px = 64
iterations = 6
batch = 4
learning_rate = 3e-3
augmentation = "none"
pfbs = "fixed-2"
validate_every = 1
checkpoint_every = 1
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five pairs; in four of them the brighter half of the later image is the change, so that any
    network finds some of it."""
    root = render_tiles(tmp_path_factory.mktemp("processes"), count=5)
    for number in range(5):
        after = read_image(root / "train" / "B" / f"{number}.png").mean(axis=0)
        for split in ("train", "val"):
            write_png(
                root / split / "label" / f"{number}.png", (after > np.median(after)) & (number > 0)
            )
    (root / "tiny.toml").write_text(EXPERIMENT)
    return root


def _torchrun(rank: int, port: int) -> dict[str, object]:
    """The environment that torchrun gives to one of two processes."""
    return {
        "TORCHELASTIC_RUN_ID": "test", "RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0, "WORLD_SIZE": 2,
        "LOCAL_WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
    }  # fmt: skip


def _slurm(rank: int, port: int) -> dict[str, object]:
    """The environment that srun gives to one of two tasks on one machine."""
    return {
        "SLURM_JOB_ID": 4242, "SLURM_JOB_NAME": "train", "SLURM_NTASKS": 2, "SLURM_NTASKS_PER_NODE": 2, "SLURM_NNODES": 1,
        "SLURM_STEP_NUM_TASKS": 2, "SLURM_STEP_NUM_NODES": 1, "SLURM_PROCID": rank, "SLURM_LOCALID": rank,
        "SLURM_NODEID": 0, "SLURM_NODELIST": "127.0.0.1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
    }  # fmt: skip


def _start(
    server: CommandServer,
    folder: Path,
    run: Path,
    *more: str,
    starter: Callable[[int, int], dict[str, object]],
) -> list[Command]:
    port = free_port()
    arguments = train_arguments(folder, run, *more)
    return [server.start(*arguments, **starter(rank, port)) for rank in range(2)]


def _finish(commands: list[Command]) -> None:
    for command in commands:
        assert command.wait() == 0, command.output


@pytest.fixture(scope="module")
def whole(folder: Path, server: CommandServer) -> Path:
    """A run of two ranks that nobody disturbs."""
    commands = _start(server, folder, folder / "whole", starter=_torchrun)
    _finish(commands)
    assert "best validation F1" in commands[0].output
    assert commands[1].output == "", "only the first process talks"
    return folder / "whole"


def _rows(run: Path) -> list[dict[str, str]]:
    with (run / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _assert_scores_are_those_of_one_process(run: Path, data: Path) -> None:
    """The weights that two ranks validated and saved score the same, validated by one."""
    tiles = TileDataset(list_pairs(data, "val"), tile_px=64, edges="overlap", cache="memory")
    network, metadata = load_weights(run / "weights" / "last.safetensors")
    counts = validate(network, tiles, metadata, batch=4).scores()
    said = metadata.scores[-1]
    assert (said.precision, said.recall, said.f1, said.iou) == (
        counts.precision,
        counts.recall,
        counts.f1,
        counts.iou,
    )
    assert counts.f1 > 0, "a network that finds nothing would agree with any other"


@needs_fork
def test_two_ranks_score_as_one(folder: Path, whole: Path) -> None:
    _assert_scores_are_those_of_one_process(whole, folder)
    assert json.loads((whole / "summary.json").read_text())["processes"] == 2


@needs_fork
def test_two_ranks_average_gradients_and_normalise_each_its_own_part(
    folder: Path, whole: Path
) -> None:
    """Held against one process that takes both parts in turn: each part is normalised by its own
    statistics."""
    experiment = read_experiment(folder / "tiny.toml")
    expected = _losses_by_hand(experiment, folder, iterations=4)
    assert [float(row["loss"]) for row in _rows(whole)[:4]] == pytest.approx(expected, rel=1e-4)
    on_its_own = _losses_by_hand(experiment, folder, iterations=4, ranks=1)
    assert on_its_own != pytest.approx(expected, rel=1e-3), (
        "two ranks are not the same training as one: the guide says so"
    )


def _losses_by_hand(
    experiment: Experiment, folder: Path, *, iterations: int, ranks: int = 2
) -> list[float]:
    dataset, network = training_data(experiment, folder), build_network(experiment)
    metadata, optimiser = build_metadata(experiment, network), build_optimiser(experiment, network)
    streams = [
        iter(BatchStream(experiment, dataset.foreground_pixels, rank=r, ranks=ranks))
        for r in range(ranks)
    ]
    losses = []
    for _ in range(iterations):
        optimiser.zero_grad()
        mean = 0.0
        replicas = [network, *(copy.deepcopy(network) for _ in streams[1:])]
        for replica, stream in zip(replicas, streams, strict=True):
            items = [dataset[key] for key in next(stream)]
            before, after, change = (
                torch.stack([item[name] for item in items])
                for name in ("before", "after", "change")
            )  # type: ignore[literal-required]
            loss = (
                LOSSES[experiment.loss](
                    replica.train()(*Normalisation(metadata).of_raw(before, after)), change.long()
                )
                / ranks
            )
            loss.backward()
            mean += float(loss.detach())
        for parameters in zip(*(replica.parameters() for replica in replicas), strict=True):
            parameters[0].grad = sum(p.grad for p in parameters)  # type: ignore[assignment, misc]
        optimiser.step()
        losses.append(mean)
    return losses


FEW = {
    "labels_kept": "0.8",
    "unlabelled_folders": "['more']",
    "unlabelled_weight": "1.0",
    "unlabelled_batch": "4",
    "confidence": "0.51",
    "ema_decay": "0.5",
    "validate_every": "3",
}
"""Settings that see pairs without labels; a network of few steps is sure of some of their pixels
only. A validation gives all ranks one average, so some steps have none after them."""

FEW_OPTIONS = [f"--set={key}={value}" for key, value in FEW.items()]


@pytest.fixture(scope="module")
def few(folder: Path, server: CommandServer) -> Path:
    """An undisturbed run of two ranks that sees pairs without labels."""
    render_tiles(folder / "more", count=6)
    _finish(_start(server, folder, folder / "few", *FEW_OPTIONS, starter=_torchrun))
    return folder / "few"


class _Rank(TrainingModule):
    """The module of one rank at one step, without a trainer."""

    global_rank, global_step = 0, 0


def _consistency_by_hand(experiment: Experiment, folder: Path, *, iterations: int) -> list[float]:
    """Losses of two ranks in one process: mean gradients, one teacher that has the statistics of
    the first."""
    dataset, network = training_data(experiment, folder), build_network(experiment)
    metadata, optimiser = build_metadata(experiment, network), build_optimiser(experiment, network)
    average = copy.deepcopy(network).eval()
    streams = [
        iter(
            BatchStream(
                experiment,
                dataset.foreground_pixels,
                unlabelled_names=dataset.unlabelled_names,
                rank=rank,
                ranks=2,
            )
        )
        for rank in range(2)
    ]
    losses, shares = [], []
    for step in range(iterations):
        optimiser.zero_grad()
        replicas, mean = [network, copy.deepcopy(network)], 0.0
        for rank, (replica, stream) in enumerate(zip(replicas, streams, strict=True)):
            module = _Rank(
                experiment,
                replica,
                metadata,
                iterations=iterations,
                names=dataset.names,
                consistency=Consistency(experiment, lambda: average),
            )
            module.global_rank, module.global_step = rank, step
            sample = torch.utils.data.default_collate([dataset[key] for key in next(stream)])
            loss = module.training_step(sample, step) / 2
            loss.backward()
            mean += float(loss.detach())
            shares.append(module.last_figures["confident_share"])
        for parameters in zip(*(replica.parameters() for replica in replicas), strict=True):
            parameters[0].grad = sum(p.grad for p in parameters)  # type: ignore[assignment, misc]
        optimiser.step()
        update_average(average, network, decay=averaging_decay(experiment.ema_decay, step))
        losses.append(mean)
    assert any(0.05 < share < 0.95 for share in shares), "sure of some pixels, not of others"
    return losses


@needs_fork
def test_two_ranks_learn_from_pairs_without_labels_as_one_process_would(
    folder: Path, few: Path
) -> None:
    experiment = read_experiment(folder / "tiny.toml", FEW)
    losses = _consistency_by_hand(experiment, folder, iterations=6)
    expected = [sum(losses[:3]) / 3, sum(losses[3:]) / 3]
    assert [float(row["loss"]) for row in _rows(few)] == pytest.approx(expected, rel=1e-4)


@needs_fork
def test_two_ranks_resume_with_one_teacher(server: CommandServer, folder: Path, few: Path) -> None:
    """A checkpoint holds the average of the first rank; the other one must not have had its own."""
    run = folder / "few-stopped"
    checkpoint = run / "checkpoints" / "last.ckpt"
    commands = _start(server, folder, run, *FEW_OPTIONS, starter=_torchrun)
    commands[0].stop_when(checkpoint.exists)
    commands[1].send(signal.SIGTERM)
    commands[0].send(signal.SIGCONT)
    assert [command.wait() for command in commands] == [143, 143]
    _finish(_start(server, folder, run, *FEW_OPTIONS, "--resume", starter=_torchrun))
    for name in ("best", "last"):
        path = Path("weights") / f"{name}.safetensors"
        assert (run / path).read_bytes() == (few / path).read_bytes()


@needs_fork
def test_the_paper_s_network_trains_on_two_ranks_that_srun_starts(
    server: CommandServer, folder: Path
) -> None:
    """No parameter of it is unused, which DDP would refuse."""
    settings = [
        f"--set={text}" for text in ("model=hanet", "width=4", "ema_decay=0.5", "iterations=3")
    ]
    _finish(_start(server, folder, folder / "hanet", *settings, starter=_slurm))
    _assert_scores_are_those_of_one_process(folder / "hanet", folder)


@needs_fork
def test_two_ranks_stop_together_and_resume_to_the_same_bytes(
    server: CommandServer, folder: Path, whole: Path
) -> None:
    run = folder / "stopped"
    checkpoint = run / "checkpoints" / "last.ckpt"
    commands = _start(server, folder, run, starter=_torchrun)
    commands[0].stop_when(checkpoint.exists)
    commands[1].send(signal.SIGTERM)  # one of them hears it
    commands[0].send(signal.SIGCONT)
    assert [command.wait() for command in commands] == [143, 143]

    commands = _start(server, folder, run, "--resume", starter=_torchrun)
    was = checkpoint.stat().st_mtime_ns
    commands[0].kill_when(lambda: checkpoint.stat().st_mtime_ns != was)
    assert commands[1].wait() not in (0, 143), "a rank alone must end, not wait"

    _finish(_start(server, folder, run, "--resume", starter=_torchrun))
    for name in ("best", "last"):
        path = Path("weights") / f"{name}.safetensors"
        assert (run / path).read_bytes() == (whole / path).read_bytes()


@needs_fork
def test_a_loss_that_is_not_finite_stops_both_ranks(server: CommandServer, folder: Path) -> None:
    """The rank that saw it used to stop alone and leave the other one waiting."""
    settings = ["--set=learning_rate=1e30", "--set=iterations=30"]
    commands = _start(server, folder, folder / "nan", *settings, starter=_torchrun)
    assert [command.wait() for command in commands] == [2, 2]
    assert "error: process 1: " in commands[1].output
    for command in commands:
        assert "at iteration 2" in command.output


@pytest.mark.slow
def test_the_command_starts_its_processes_itself(folder: Path, tmp_path: Path) -> None:
    """All from the start, as a user types it: --processes 2."""
    source = str(ROOT / "src")
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([source, os.environ.get("PYTHONPATH", "")]),
    }
    command = [
        sys.executable,
        "-m",
        "hanet",
        "train",
        folder / "tiny.toml",
        "--data",
        folder,
        "--out",
        tmp_path / "run",
    ]
    options = [
        "--processes",
        "2",
        "--threads",
        "1",
        "--accelerator",
        "cpu",
        "--set",
        "iterations=2",
    ]
    ended = subprocess.run(
        [*command, *options], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("best validation F1") == 1
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["processes"] == 2
    _assert_scores_are_those_of_one_process(tmp_path / "run", folder)


@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("unit", ["epochs", "iterations"])
def test_ranks_share_the_stream_of_one(ranks: int, unit: str) -> None:
    """Their parts, put together, are the batches of one process: disjoint, of one length, with the
    same seeds."""
    experiment = Experiment.model_validate(
        {
            "name": "s",
            "model": "hanet_lite",
            "learning_rate": 1,
            "iterations": 9,
            "batch": 4,
            "pfbs": "fixed-2",
            "pfbs_unit": unit,
        }
    )
    pixels = torch.tensor([0, 7, 0, 0, 3, 0, 0, 0, 1, 0, 0]).numpy()
    one = iter(BatchStream(experiment, pixels))
    parts = [iter(BatchStream(experiment, pixels, rank=rank, ranks=ranks)) for rank in range(ranks)]
    for _ in range(9):
        shared = [next(part) for part in parts]
        assert {len(part) for part in shared} == {4 // ranks}
        assert [key for part in shared for key in part] == next(one)


def test_a_batch_that_ranks_cannot_share_is_refused() -> None:
    experiment = Experiment.model_validate(
        {"name": "s", "model": "hanet_lite", "learning_rate": 1, "iterations": 9, "batch": 4}
    )
    with pytest.raises(TrainingError, match="3 processes"):
        BatchStream(experiment, torch.tensor([1, 1, 1, 1]).numpy(), ranks=3)


def test_layouts_of_every_starter() -> None:
    torchrun = {
        "TORCHELASTIC_RUN_ID": "x",
        "RANK": "5",
        "LOCAL_RANK": "1",
        "WORLD_SIZE": "8",
        "LOCAL_WORLD_SIZE": "4",
    }
    srun = {
        "SLURM_STEP_NUM_TASKS": "6",
        "SLURM_STEP_NUM_NODES": "3",
        "SLURM_PROCID": "2",
        "SLURM_NTASKS": "6",
    }
    job_script = {"SLURM_NTASKS": "6", "SLURM_PROCID": "0"}  # without srun
    assert process_layout(None, None, environment={}) == ProcessLayout(1, 1, 0, "hanet")
    assert process_layout(None, None, environment={"LOCAL_RANK": "3"}) == ProcessLayout(
        1, 1, 0, "hanet"
    )
    assert process_layout(2, 2, environment={"LOCAL_RANK": "1", "NODE_RANK": "1"}) == ProcessLayout(
        2, 2, 3, "hanet"
    )
    assert process_layout(None, None, environment=torchrun) == ProcessLayout(4, 2, 5, "torchrun")
    assert process_layout(2, 3, environment=srun) == ProcessLayout(2, 3, 2, "slurm")
    assert process_layout(2, None, environment=job_script) == ProcessLayout(2, 1, 0, "hanet")
    with pytest.raises(SettingsError, match="torchrun started 4 processes on each of 2 machines"):
        process_layout(2, None, environment=torchrun)
    with pytest.raises(SettingsError, match="equally many"):
        process_layout(None, None, environment={**srun, "SLURM_STEP_NUM_TASKS": "7"})
    with pytest.raises(SettingsError, match="processes is 0"):
        process_layout(0, None, environment={})
