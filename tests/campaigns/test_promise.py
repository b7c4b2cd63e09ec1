"""The checks of the campaign can fail: each broken promise is seen, and a kept one is not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the package of this file lies

from campaigns.kinds import Command
from campaigns.promise import Ended, listing, problems

REFUSED = b"error: a.tif is empty (0 bytes)\nhint: copy or download it again\n"


def found(
    folder: Path,
    *,
    code: int | None = 2,
    stdout: bytes = b"",
    stderr: bytes = REFUSED,
    peak_bytes: int = 0,
    processes: int = 1,
    makes: dict[str, bytes] | None = None,
    secrets: tuple[str, ...] = (),
) -> list[str]:
    """The sorts of promise that a command broke; ``makes`` is what it wrote meanwhile."""
    work, home = folder / "work", folder / "home"
    work.mkdir()
    home.mkdir()
    (work / "a.tif").write_bytes(b"input")
    (work / "out").mkdir()
    before = listing(work)
    for name, content in (makes or {}).items():
        path = work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    command = Command(
        ["x"], "x", writes=(work / "out",), keeps=(work / "out" / "mine",), secrets=secrets
    )
    ended = Ended(code, 1.0, peak_bytes, processes, stdout, stderr)
    return [p.sort for p in problems(command, ended, folder=work, before=before, home=home)]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"code": 0, "stderr": b"note: it is small\nwarning: it is grey\n", "stdout": b"done\n"},
        {"code": 0, "stderr": b"tiny: 2/9 loss 0.5, val F1 0.1\n"},
        {"code": 0, "stderr": b"", "makes": {"out/footprints.gpkg": b"1"}},
        {"makes": {"out/.hanet/journal.json": b"{}"}},
        {"code": 0, "stderr": b"", "makes": {"out/images.csv": b"name,f1\na,-0.5\n"}},
    ],
)
def test_a_kept_promise(tmp_path: Path, given: dict[str, object]) -> None:
    assert found(tmp_path, **given) == []  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "sort"),
    [
        (
            {"code": 1, "stderr": b"Traceback (most recent call last):\nValueError: x\n"},
            "traceback",
        ),
        ({"code": 1}, "code"),
        ({"code": -11, "stderr": b""}, "code"),
        ({"code": None}, "hang"),
        ({"peak_bytes": 7 * 2**30}, "memory"),
        ({"code": None, "processes": 101}, "processes"),
        ({"stderr": b"error: memory does not suffice: x\nhint: y\n"}, "memory"),
        ({"stderr": b"error: no hint\n"}, "form"),
        ({"stderr": REFUSED + b"hint: another one\n"}, "form"),
        ({"stderr": b""}, "form"),
        ({"code": 0}, "form"),
        ({"stderr": b"error: " + b"x" * 1001 + b"\nhint: y\n"}, "form"),
        ({"stderr": b"Warning 1: TIFF\n" + REFUSED}, "chatter"),
        ({"code": 0, "stderr": b"", "stdout": b"ERROR 4: TIFF\n"}, "chatter"),
        ({"stderr": b"error: \x1b[31m\nhint: y\n"}, "control"),
        ({"code": 0, "stderr": b"", "stdout": b"caf\xe9\n"}, "control"),
        ({"code": 0, "stderr": b"", "stdout": "\u202etxt.exe\n".encode()}, "control"),
        ({"secrets": ("empty",)}, "secret"),
        ({"secrets": ("pw",), "makes": {"out/run.json": b"pw"}}, "secret"),
        ({"makes": {"out/pairs.csv": b"name\n=1+1\n"}}, "formula"),
        ({"makes": {"a.tif": b"other"}}, "input"),
        ({"makes": {"out/mine": b"gone"}}, "outside"),
        ({"makes": {"b.tif": b""}}, "outside"),
        ({"makes": {"out/.footprints.x/a.gpkg": b""}}, "leftover"),
        ({"makes": {"out/mask.tif.partial": b""}}, "leftover"),
        ({"code": 0, "stderr": b"", "makes": {"out/.hanet/journal.json": b""}}, "leftover"),
        ({"makes": {"../home/a": b""}}, "leftover"),
    ],
)
def test_a_broken_promise(tmp_path: Path, given: dict[str, object], sort: str) -> None:
    assert sort in found(tmp_path, **given)  # type: ignore[arg-type]
