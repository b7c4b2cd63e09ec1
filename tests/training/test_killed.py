"""A training run that is killed at any moment ends, resumed, with the same bytes as one that was
not."""

from __future__ import annotations

import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from command_server import CommandServer, EndedError, train_arguments
from hanet.training.keeper import resumed_from
from rendered_tiles import render_tiles

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has neither fork nor SIGKILL"
)

EXPERIMENT = """
name = "tiny"
model = "hanet_lite"
width = 8
tile_px = 64
iterations = 12
batch = 4
learning_rate = 2e-3
augmentation = "strong"
pfbs = "fixed-2"
ema_decay = 0.9
validate_every = 3
checkpoint_every = 1
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six rendered pairs as train and val, and the experiment beside them."""
    root = render_tiles(tmp_path_factory.mktemp("killed"), count=6)
    (root / "tiny.toml").write_text(EXPERIMENT)
    return root


@pytest.fixture(scope="module")
def whole(folder: Path, server: CommandServer) -> Path:
    """The run that nobody disturbs."""
    command = server.start(*train_arguments(folder, folder / "whole"))
    assert command.wait() == 0, command.output
    return folder / "whole"


def test_killed_at_several_moments_it_resumes_to_the_same_bytes(
    folder: Path, server: CommandServer, whole: Path
) -> None:
    for attempt in range(
        10
    ):  # on a busy processor the moment of the first checkpoint may be missed
        run = folder / f"killed-{attempt}"
        checkpoint, partial = (
            run / "checkpoints" / "last.ckpt",
            run / "checkpoints" / "last.partial",
        )
        server.start(*train_arguments(folder, run)).kill_when((run / "experiment.json").exists)
        with suppress(EndedError):
            server.start(*train_arguments(folder, run, "--resume")).kill_when(partial.exists)
        if not checkpoint.exists():
            break
    assert not checkpoint.exists(), (
        "these kills are meant to come before the first checkpoint, and within it"
    )
    command = server.start(*train_arguments(folder, run, "--resume"))
    command.kill_when(lambda: checkpoint.exists() and partial.exists())  # a later one half written
    done, _ = resumed_from(checkpoint)
    command = server.start(*train_arguments(folder, run, "--resume"))
    command.kill_when(
        lambda: (run / "log.csv").exists()
    )  # in a validation, or between it and its checkpoint
    assert resumed_from(checkpoint)[0] >= max(2, done)

    command = server.start(*train_arguments(folder, run, "--resume"))
    was = checkpoint.stat().st_mtime_ns
    command.stop_when(lambda: checkpoint.stat().st_mtime_ns != was)
    command.send(signal.SIGTERM)
    command.send(signal.SIGCONT)
    assert command.wait() == 143
    done, _ = resumed_from(checkpoint)
    assert f"stopped after {done} iterations, all saved" in command.output

    command = server.start(
        *train_arguments(folder, run, "--resume", "--workers", "1")
    )  # which changes nothing
    was = checkpoint.stat().st_mtime_ns
    command.stop_when(lambda: checkpoint.stat().st_mtime_ns != was)
    assert resumed_from(checkpoint)[0] > done, "a resumed run goes on; it does not start anew"
    command.send(signal.SIGCONT)
    assert command.wait() == 0, command.output
    _assert_same(whole, run)
    assert not list(run.rglob("*.partial"))


def test_a_run_that_had_only_its_summary_to_write_says_that_it_is_finished(
    folder: Path, server: CommandServer, whole: Path
) -> None:
    """It reported 0 iterations, unfinished, and a best F1 of -1."""
    before = (whole / "summary.json").read_text()
    (whole / "summary.json").unlink()
    command = server.start(*train_arguments(folder, whole, "--resume"))
    assert command.wait() == 0, command.output
    assert "after 12 iterations" in command.output
    assert (
        before.split('"minutes"')[0] == (whole / "summary.json").read_text().split('"minutes"')[0]
    )


def _assert_same(one: Path, other: Path) -> None:
    for name in ("best", "last"):
        path = Path("weights") / f"{name}.safetensors"
        assert (one / path).read_bytes() == (other / path).read_bytes(), name
    assert (one / "epochs.csv").read_bytes() == (other / "epochs.csv").read_bytes()
    logs = [(run / "log.csv").read_text().splitlines() for run in (one, other)]
    without_clock = [[row.split(",")[:9] for row in log] for log in logs]
    assert without_clock[0] == without_clock[1]
    first, second = (
        torch.load(run / "checkpoints" / "last.ckpt", map_location="cpu", weights_only=True)
        for run in (one, other)
    )
    assert first["global_step"] == second["global_step"] == 12
    for part in ("state_dict", "average"):
        assert all(torch.equal(first[part][name], second[part][name]) for name in first[part]), part
