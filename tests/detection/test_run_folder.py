"""The lock of a folder keeps every other run out, whenever it comes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

import pytest

from hanet.detection import run_folder as run_state
from hanet.detection.run_folder import RunState
from hanet.errors import OutputError

IDENTITY = {"settings": "the same"}


def _take(out: Path) -> RunState:
    return RunState(out, IDENTITY, resume=False, overwrite=True)


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    with _take(tmp_path / "out"), pytest.raises(OutputError, match="at work"):
        _take(tmp_path / "out")
    with _take(tmp_path / "out"):  # free again
        assert (tmp_path / "out" / ".hanet" / "lock").exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows removes no open file")
def test_a_lock_that_its_holder_removed_meanwhile_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the opening of the file and the locking of it: the lock was on a file without a name,
    and kept nobody out."""
    path, take, removals = tmp_path / "out" / ".hanet" / "lock", run_state._lock, []

    def late(file: IO[str]) -> None:
        if not removals:
            removals.append(path)
            path.unlink()
        take(file)

    monkeypatch.setattr(run_state, "_lock", late)
    with _take(tmp_path / "out"), pytest.raises(OutputError, match="at work"):
        _take(tmp_path / "out")


@pytest.mark.skipif(os.name == "nt", reason="Windows removes no open file")
def test_the_end_of_a_run_leaves_the_lock_of_the_next_one(tmp_path: Path) -> None:
    """The work folder goes before the lock does: the next run may have made it anew by then."""
    with _take(tmp_path / "out") as first:
        first.mark(1)
        first.finish({"identity": IDENTITY})
        second = _take(tmp_path / "out")
    with second, pytest.raises(OutputError, match="at work"):
        _take(tmp_path / "out")


def test_a_failure_leaves_no_half_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with _take(tmp_path / "out") as state:
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match="No space left"):
            state.mark(1)
        assert {path.name for path in state.work.iterdir()} == {"lock", "journal.json"}


def test_what_a_killed_run_was_writing_is_cleared_away(tmp_path: Path) -> None:
    """Half-written footprints stayed in the folder for ever, where a kill came while they were
    outlined."""
    out = tmp_path / "out"
    (out / ".footprints.k3j2").mkdir(parents=True)
    (out / ".footprints.k3j2" / "footprints.gpkg").touch()
    ours = {
        ".mask.tif.partial",
        ".mask.tif.vrt",
        ".probability.tif.partial",
        ".report.html.77.partial",
    }
    others = {
        "notes.txt",
        ".keep",
        ".mosaic.vrt",
        ".download.partial",
    }  # once all that ended so was taken for ours
    for name in ours | others:
        (out / name).touch()
    with _take(out):
        assert {path.name for path in out.iterdir()} == {".hanet", *others}


def test_rows_that_are_to_be_done_anew_are_so_after_a_second_kill_too(tmp_path: Path) -> None:
    """The journal still told of rows whose file had been made anew: the next resume took its nodata
    for them."""
    with _take(tmp_path / "out") as state:
        state.mark(3, {"tiles": 9})
    with RunState(tmp_path / "out", IDENTITY, resume=True, overwrite=False) as state:
        assert (state.rows_done, state.tally) == (3, {"tiles": 9})
        state.raw.touch()
        state.start_anew()
    with RunState(tmp_path / "out", IDENTITY, resume=True, overwrite=False) as state:
        assert (state.rows_done, state.tally) == (0, {})
