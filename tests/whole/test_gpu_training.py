"""A run that moves from machine to machine ends with the weights of one that stayed."""

from __future__ import annotations

import signal
import sys
import tarfile
from pathlib import Path

import pytest

import gpu_training
from gpu_training import STOPPED, collect, join, pack, train, unpack
from rendered_tiles import render_tiles

EXPERIMENT = """
name = "tiny"
model = "hanet_lite"
width = 8
tile_px = 64
iterations = 8
batch = 2
learning_rate = 2e-3
validate_every = 4
checkpoint_every = 1
"""

PART_BYTES = 300_000


def test_pieces_are_small_and_hold_every_file(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "tiles" / "A").mkdir(parents=True)
    for number in range(7):
        (data / "tiles" / "A" / f"{number}.png").write_bytes(bytes([number]) * 1000)
    (data / ".hidden").write_bytes(b"x")
    (data / "linked").symlink_to(data / "tiles" / "A", target_is_directory=True)
    pieces = pack(data, tmp_path / "pieces", most_bytes=3000)
    assert len(pieces) == 5
    assert unpack(pieces, tmp_path / "there") == 14
    for number in range(7):
        assert (tmp_path / "there" / "linked" / f"{number}.png").read_bytes() == (
            bytes([number]) * 1000
        )


def test_what_cannot_be_packed_is_said(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(SystemExit, match="there are no files"):
        pack(tmp_path / "data", tmp_path / "pieces", most_bytes=10)
    (tmp_path / "data" / "large.png").write_bytes(bytes(11))
    with pytest.raises(SystemExit, match="larger than a piece"):
        pack(tmp_path / "data", tmp_path / "pieces", most_bytes=10)
    (tmp_path / "pieces").mkdir()
    (tmp_path / "pieces" / "mine").touch()
    with pytest.raises(SystemExit, match="is not empty"):
        pack(tmp_path / "data", tmp_path / "pieces", most_bytes=20)


def test_a_piece_does_not_write_outside_the_folder(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    with tarfile.open(tmp_path / "evil.tar", "w") as archive:
        archive.add(tmp_path / "a", arcname="../outside")
    with pytest.raises(tarfile.OutsideDestinationError):
        unpack([tmp_path / "evil.tar"], tmp_path / "there" / "data")
    assert not (tmp_path / "there" / "outside").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM that can be heard")
def test_a_run_goes_on_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = render_tiles(tmp_path / "data", count=4)
    experiment = tmp_path / "tiny.toml"
    experiment.write_text(EXPERIMENT)
    options = ("--accelerator", "cpu", "--threads", "1")

    def on_a_machine(name: str, *, minutes: float) -> int:
        return train(
            experiment, data=data, run=tmp_path / name, out=tmp_path / f"{name}-out",
            minutes=minutes, part_bytes=PART_BYTES, further=options,
        )  # fmt: skip

    assert on_a_machine("stays", minutes=5) == 0
    _stop_after_a_checkpoint(monkeypatch, tmp_path / "first")
    assert on_a_machine("first", minutes=5) == STOPPED
    monkeypatch.undo()
    parts = sorted((tmp_path / "first-out").glob("last.ckpt.*"))
    assert len(parts) > 1
    assert all(part.stat().st_size <= PART_BYTES for part in parts)
    join(tmp_path / "first-out", tmp_path / "second")
    assert on_a_machine("second", minutes=5) == 0
    whole, moved = (
        (tmp_path / name / "best.safetensors").read_bytes() for name in ("stays-out", "second-out")
    )
    assert moved == whole


def _stop_after_a_checkpoint(monkeypatch: pytest.MonkeyPatch, run: Path) -> None:
    """The minutes are over as soon as the run has a checkpoint."""
    wait = gpu_training.subprocess.Popen.wait

    def waits(process: gpu_training.subprocess.Popen[bytes], timeout: float | None = None) -> int:
        if timeout is not None and timeout > gpu_training.ENDS_WITHIN_S:
            while not (run / "checkpoints" / "last.ckpt").exists():
                assert process.poll() is None, "it ended before it could be stopped"
            raise gpu_training.subprocess.TimeoutExpired("hanet train", timeout)
        return wait(process, timeout)

    monkeypatch.setattr(gpu_training.subprocess.Popen, "wait", waits)


def test_a_part_that_is_missing_is_said(tmp_path: Path) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "checkpoints" / "last.ckpt").write_bytes(bytes(25))
    made = collect(tmp_path / "run", tmp_path / "out", part_bytes=10)
    assert [path.stat().st_size for path in made[1:4]] == [10, 10, 5]
    (tmp_path / "out" / "last.ckpt.01").unlink()
    with pytest.raises(SystemExit, match=r"last\.ckpt\.01"):
        join(tmp_path / "out", tmp_path / "again")
    assert not (tmp_path / "again").exists()
    with pytest.raises(SystemExit, match="no checkpoint"):
        join(tmp_path, tmp_path / "again")


def test_signals_are_what_hanet_train_hears() -> None:
    from hanet.training.signals import STOPPING

    assert signal.SIGTERM in STOPPING
