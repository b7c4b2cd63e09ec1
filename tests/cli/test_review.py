"""``hanet review`` as it is typed: what it prints, what it opens, and what it refuses."""

from __future__ import annotations

import json
import shutil
import signal
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hanet.cli import review as verb
from hanet.review.journal import read_journal
from review_pages import review_process, shown_run

Refused = Callable[..., tuple[str, str]]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kept")
    shown_run(folder)
    return folder


@pytest.fixture
def out(kept: Path, tmp_path: Path) -> Path:
    shutil.copytree(kept, tmp_path / "run")
    return tmp_path / "run" / "out"


def test_a_folder_without_a_run_is_refused(refused: Refused, tmp_path: Path) -> None:
    error, hint = refused("review", tmp_path / "nothing", "--no-browser")
    assert "holds no run" in error
    assert "hanet detect" in hint
    assert not (tmp_path / "nothing").exists()


def test_of_many_pairs_one_is_to_be_chosen(refused: Refused, out: Path) -> None:
    """ "holds no run" was said of the folder that ``hanet deliver`` takes."""
    error, hint = refused("review", out.parent, "--no-browser")
    assert "holds no run" in error
    assert str(out) in hint
    shutil.copytree(out, out.parent / "second")
    error, hint = refused("review", out.parent, "--no-browser")
    assert "holds several runs" in error
    assert str(out) in hint


def test_a_run_that_is_not_finished_is_refused(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / ".hanet").mkdir()
    (tmp_path / ".hanet" / "journal.json").write_text("{}")
    error, hint = refused("review", tmp_path, "--no-browser")
    assert "not finished" in error
    assert "--resume" in hint


@pytest.mark.parametrize("name", ["", "  ", "a" * 101, "a\x1b[31m"])
def test_a_reviewer_without_a_usable_name_is_refused(
    refused: Refused, out: Path, name: str
) -> None:
    error, _ = refused("review", out, "--no-browser", "--reviewer", name)
    assert "reviewer" in error


def test_an_image_that_was_moved_is_asked_for(refused: Refused, out: Path) -> None:
    moved = (out.parent / "before.tif").rename(out.parent / "old.tif")
    error, hint = refused("review", out, "--no-browser")
    assert "the before image of this run is not found" in error
    assert hint == "say where it lies now with --before FILE"
    error, _ = refused("review", out, "--no-browser", "--before", out.parent / "nothing.tif")
    assert "nothing.tif" in error
    with review_process(out, "--before", str(moved)) as process:
        assert process.get("/api/review")["dates"]["before"]["name"] == "old.tif"
        assert process.get("/api/review")["warnings"] == []


@pytest.mark.parametrize("port", ["-1", "70000", "x"])
def test_a_port_that_is_none_is_refused(refused: Refused, out: Path, port: str) -> None:
    error, _ = refused("review", out, "--no-browser", "--port", port)
    assert "port" in error


def test_a_run_json_that_is_damaged_is_refused(refused: Refused, out: Path) -> None:
    manifest = json.loads((out / "run.json").read_text())
    del manifest["pair"]["bands"]
    (out / "run.json").write_text(json.dumps(manifest))
    error, _ = refused("review", out, "--no-browser")
    assert "does not say how the images were read" in error
    (out / "run.json").write_text('{"pair": ')
    error, _ = refused("review", out, "--no-browser")
    assert "run.json is damaged" in error


def test_a_sample_is_drawn_once(out: Path) -> None:
    for _ in range(2):
        with review_process(out, "--sample", "8", "--seed", "5", "--reviewer", "anna") as process:
            assert process.get("/api/review")["progress"]["sample"]["total"] > 0
            process.end(signal.SIGTERM)
    records = read_journal(out).records
    assert [record["do"] for record in records] == ["begin", "sample"]
    assert (records[1]["count"], records[1]["seed"], records[1]["by"]) == (8, 5, "anna")


def test_where_a_review_stands_is_said_on_one_line() -> None:
    def counts(total: int, accepted: int, rejected: int, unsure: int) -> dict[str, int]:
        reviewed = accepted + rejected + unsure
        statuses = {"accepted": accepted, "rejected": rejected, "unsure": unsure}
        return {"total": total, "reviewed": reviewed, **statuses}

    progress: dict[str, Any] = {
        "found": counts(113, 80, 10, 2),
        "missed": counts(30, 0, 0, 0),
        "blank": counts(100, 0, 5, 0),
        "suggested": counts(20, 3, 1, 0),
        "sample": counts(0, 0, 0, 0),
        "drawn": 3,
    }
    assert verb._standing(progress) == (
        "92 of 113 footprints reviewed (80 accepted, 10 rejected, 2 unsure), 5 blank tiles, "
        "4 suggested tiles, 3 drawn"
    )


@pytest.mark.parametrize(
    ("variables", "is_opened", "note"),
    [
        ({"DISPLAY": ":0"}, True, ""),
        ({"WAYLAND_DISPLAY": "wayland-0"}, True, ""),
        ({"SSH_CONNECTION": "1.2.3.4 5 6.7.8.9 22"}, False, "ssh -L 8000:127.0.0.1:8000"),
        ({}, False, ""),
    ],
)
def test_a_browser_is_opened_where_there_are_windows(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    variables: dict[str, str],
    is_opened: bool,
    note: str,
) -> None:
    import threading

    opened: list[str] = []
    done = threading.Event()

    def open_(address: str) -> bool:
        opened.append(address)
        done.set()
        return True

    monkeypatch.setattr(webbrowser, "open", open_)
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    verb._open_browser("http://127.0.0.1:8000/?token=x", 8000)
    if is_opened:
        assert done.wait(5)
    assert opened == (["http://127.0.0.1:8000/?token=x"] if is_opened else [])
    assert note in capfd.readouterr().err
