"""The lock of a folder keeps every other run out, whenever it comes."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

import pytest

from hanet import work_folder
from hanet.detection.run_folder import RunState
from hanet.errors import OutputError

IDENTITY = {"settings": "the same", "tiles": {"tile_px": 256, "overlap_px": 64}}


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
    path, take, removals = tmp_path / "out" / ".hanet" / "lock", work_folder.lock_descriptor, []

    def late(descriptor: int, *, blocking: bool) -> bool:
        if not removals:
            removals.append(path)
            path.unlink()
        return take(descriptor, blocking=blocking)

    monkeypatch.setattr(work_folder, "lock_descriptor", late)
    with _take(tmp_path / "out"), pytest.raises(OutputError, match="at work"):
        _take(tmp_path / "out")


@pytest.mark.skipif(os.name == "nt", reason="Windows removes no open file")
def test_the_end_of_a_run_leaves_the_lock_of_the_next_one(tmp_path: Path) -> None:
    """Somebody removed the lock meanwhile, and the next run made its own."""
    with _take(tmp_path / "out") as first:
        first.mark(1)
        first.finish({"identity": IDENTITY})
        (tmp_path / "out" / ".hanet" / "lock").unlink()
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
        assert {path.name for path in state.work.iterdir()} == {"lock", "journal.json", "building"}
        assert not list(state.building.iterdir())


def test_only_what_a_killed_run_was_making_is_cleared_away(tmp_path: Path) -> None:
    """Hidden files beside the result that looked like our own were taken for ours."""
    out = tmp_path / "out"
    mine = out / ".hanet" / "building" / "features.gpkg"
    theirs = [
        out / ".footprints.backup" / "old.gpkg",
        out / ".run.json.old.partial",
        out / ".mask.tif.mine.vrt",
        out / ".hanet" / "notes.txt",
        out / "notes.txt",
    ]
    for path in (mine, *theirs):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    with _take(out) as state:
        assert not mine.exists()
        state.mark(1)
        state.finish({"identity": IDENTITY})
    assert all(path.read_text() == "x" for path in theirs)
    assert sorted(path.name for path in (out / ".hanet").iterdir()) == ["notes.txt"]


def test_overwrite_removes_what_a_run_lists_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in ("probability.tif", "footprints.gpkg", "footprints.fgb", "mask.tif.aux.xml"):
        (out / name).touch()
    manifest = {"identity": IDENTITY, "footprints": {"files": ["footprints.gpkg", "../away.tif"]}}
    (out / "run.json").write_text(json.dumps(manifest))
    (tmp_path / "away.tif").touch()
    with RunState(out, IDENTITY, resume=False, overwrite=True) as state:
        left = {path.name for path in out.iterdir()}
        assert left == {".hanet", "footprints.fgb", "mask.tif.aux.xml"}
        state.mark(1)
    assert (tmp_path / "away.tif").exists()


@pytest.mark.parametrize("choice", ["plain", "resume", "overwrite"])
def test_an_input_under_a_name_of_the_result_is_refused(tmp_path: Path, choice: str) -> None:
    """--overwrite threw the input away."""
    out, given = tmp_path / "out", tmp_path / "elsewhere.tif"
    out.mkdir()
    given.write_text("pixels")
    (out / "mask.tif").hardlink_to(given)
    with pytest.raises(OutputError, match="has a name that the result takes"):
        RunState(
            out,
            IDENTITY,
            inputs=[given],
            resume=choice == "resume",
            overwrite=choice == "overwrite",
        )
    assert (out / "mask.tif").read_text() == "pixels"
    assert [path.name for path in out.iterdir()] == ["mask.tif"]


def test_no_file_is_written_through_a_link(tmp_path: Path) -> None:
    out, outside = tmp_path / "out", tmp_path / "outside"
    outside.mkdir()
    with _take(out) as state:
        (out / "mask.qml").symlink_to(outside / "mask.qml")
        (out / "run.json").symlink_to(outside / "run.json")
        state.write("mask.qml", "style")
        state.mark(1)
        state.finish({"identity": IDENTITY})
    assert not list(outside.iterdir())
    assert (out / "mask.qml").read_text() == "style"
    assert not (out / "run.json").is_symlink()


def test_a_work_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "out" / ".hanet").symlink_to(tmp_path / "outside")
    with pytest.raises(OutputError, match="is a link"):
        _take(tmp_path / "out")
    assert not list((tmp_path / "outside").iterdir())


@pytest.mark.parametrize("name", ["probability.raw", "overview.raw", "probability.vrt"])
@pytest.mark.parametrize("resume", [True, False])
def test_links_in_the_work_folder_lead_nowhere(tmp_path: Path, name: str, resume: bool) -> None:
    out, outside = tmp_path / "out", tmp_path / "outside"
    with _take(out) as state:
        state.mark(1)
    outside.write_text("mine")
    (out / ".hanet" / name).unlink(missing_ok=True)
    (out / ".hanet" / name).symlink_to(outside)
    if resume:
        with pytest.raises(OutputError, match="is damaged"):
            RunState(out, IDENTITY, resume=True, overwrite=False)
    else:
        with _take(out):
            assert not (out / ".hanet" / name).is_symlink()
    assert outside.read_text() == "mine"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
@pytest.mark.parametrize("mask", [0o002, 0o027])
def test_files_have_the_permissions_that_the_umask_leaves(tmp_path: Path, mask: int) -> None:
    """footprints.gpkg had its library's own, others those of the umask."""
    before = os.umask(mask)
    try:
        with _take(tmp_path / "out") as state:
            (state.building / "mask.tif").touch(mode=0o600)
            state.place("mask.tif")
            state.write("mask.qml", "style")
            state.mark(1)
            modes = {path.stat().st_mode & 0o777 for path in tmp_path.glob("out/mask.*")}
    finally:
        os.umask(before)
    assert modes == {0o666 & ~mask}


DAMAGED: dict[str, object] = {
    "rows as text": {"rows_done": "1"},
    "rows below none": {"rows_done": -1},
    "rows beyond counting": {"rows_done": 10**30},
    "true for rows": {"rows_done": True},
    "tally of text": {"tally": {"a": "x"}},
    "tally as a list": {"tally": [1]},
    "no beginning": {"started": None},
    "a beginning that is no time": {"started": "yesterday"},
    "a list": [1, 2],
    "nested": None,
}


def test_a_run_continues_whose_inputs_are_not_named_in_utf8(tmp_path: Path) -> None:
    identity = {**IDENTITY, "aoi": "latin\udce4.gpkg"}
    with RunState(tmp_path / "out", identity, resume=False, overwrite=False) as state:
        state.mark(1)
    with RunState(tmp_path / "out", identity, resume=True, overwrite=False) as state:
        assert state.rows_done == 1


def test_a_run_of_an_earlier_version_is_not_continued(tmp_path: Path) -> None:
    """Its tiles, of which nothing was recorded, lie elsewhere."""
    old = {name: value for name, value in IDENTITY.items() if name != "tiles"}
    with RunState(tmp_path / "out", old, resume=False, overwrite=False) as state:
        state.mark(1)
    with pytest.raises(OutputError, match="was begun by an earlier version"):
        RunState(tmp_path / "out", IDENTITY, resume=True, overwrite=False)


def test_a_run_in_other_tiles_is_not_continued(tmp_path: Path) -> None:
    with _take(tmp_path / "out") as state:
        state.mark(1)
    other = {**IDENTITY, "tiles": {"tile_px": 512, "overlap_px": 64}}
    with pytest.raises(OutputError, match="differs from this one in: tiles"):
        RunState(tmp_path / "out", other, resume=True, overwrite=False)


def test_a_journal_beyond_the_bounds_is_damaged(tmp_path: Path) -> None:
    with _take(tmp_path / "out") as state:
        state.mark(1)
    path = tmp_path / "out" / ".hanet" / "journal.json"
    path.write_text(path.read_text()[:-1] + ', "rows_done": 1}')
    with pytest.raises(OutputError, match="is damaged"):
        RunState(tmp_path / "out", IDENTITY, resume=True, overwrite=False)


@pytest.mark.parametrize("damage", sorted(DAMAGED))
def test_a_damaged_journal_ends_in_words(tmp_path: Path, damage: str) -> None:
    with _take(tmp_path / "out") as state:
        state.mark(1)
    path = tmp_path / "out" / ".hanet" / "journal.json"
    part = DAMAGED[damage]
    if isinstance(part, dict):
        path.write_text(json.dumps(json.loads(path.read_text()) | part))
    else:
        path.write_text(json.dumps(part) if part is not None else "[" * 100_000)
    with pytest.raises(OutputError, match="is damaged") as caught:
        RunState(tmp_path / "out", IDENTITY, resume=True, overwrite=False)
    assert "--overwrite" in str(caught.value.hint)


def test_a_run_without_rows_that_has_placed_a_file_is_known_again(tmp_path: Path) -> None:
    """A merge that was stopped by Ctrl-C among its files took them for somebody else's."""
    with suppress(KeyboardInterrupt), _take(tmp_path / "out") as state:
        state.write("probability.qml", "style")
        raise KeyboardInterrupt
    with RunState(tmp_path / "out", IDENTITY, resume=True, overwrite=False) as state:
        state.write("probability.qml", "style")
        state.finish({"identity": IDENTITY})
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "probability.qml",
        "run.json",
    ]


def test_rows_that_are_to_be_done_anew_are_so_after_a_second_kill_too(tmp_path: Path) -> None:
    """The journal still told of rows whose file had been made anew: the next resume took its nodata
    for them."""
    with _take(tmp_path / "out") as state:
        state.mark(3, {"tiles": 9})
    with RunState(tmp_path / "out", IDENTITY, resume=True, overwrite=False) as state:
        assert (state.rows_done, state.tally) == (3, {"tiles": 9})
        state.raw.touch()
        state.start_over()
    with RunState(tmp_path / "out", IDENTITY, resume=True, overwrite=False) as state:
        assert (state.rows_done, state.tally) == (0, {})
