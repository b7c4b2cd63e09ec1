"""``--progress json``: the lines that programs read are what docs/reference/progress.md promises."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from checkout import ROOT
from difference_weights import write_difference_weights
from hanet.cli import main, progress
from hanet.cli.events import CONTRACT, Events, events, without_option
from hanet.command_line import typed
from hanet.errors import SettingsError
from hanet.synthetic.scene import SceneFiles, render_scene
from hanet.version import __version__
from hanet.weights import catalogue

PAGE = (ROOT / "docs" / "reference" / "progress.md").read_text(encoding="utf-8")

Told = Callable[..., tuple[int, list[dict[str, Any]]]]
"""Types ``hanet WORDS --progress json``; the exit code and the lines on stderr."""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> SceneFiles:
    return render_scene(tmp_path_factory.mktemp("pair"), size=320, seed=1, change_share=0.4)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "difference.onnx"
    return write_difference_weights(path, tile_px=128, overlap_px=16)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Told:
    def typed(*words: object) -> tuple[int, list[dict[str, Any]]]:
        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["hanet", *map(str, words), "--progress", "json"])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(str(stop.code))
        text = capfd.readouterr().err
        assert text.isascii()
        return code, [json.loads(line) for line in text.splitlines()]

    return typed


def _frame(lines: list[dict[str, Any]], verb: str | None, code: int) -> list[dict[str, Any]]:
    """What stands between the first line and the last, which are as the page says."""
    assert lines[0] == {
        "event": "start",
        "contract": CONTRACT,
        "version": __version__,
        "verb": verb,
    }
    assert lines[-1] == {"event": "end", "exit_code": code}
    return lines[1:-1]


def test_a_detection_tells_its_way_and_its_files(
    told: Told, pair: SceneFiles, weights: Path, tmp_path: Path
) -> None:
    code, lines = told(
        "detect", pair.before, pair.after, "--out", tmp_path / "out", "--weights", weights
    )
    between = _frame(lines, "detect", 0)
    steps = [line for line in between if line["event"] == "progress"]
    assert list(dict.fromkeys(line["stage"] for line in steps)) == [
        "detecting",
        "writing rasters",
        "outlining footprints",
        "writing the report",
    ]
    assert ("detecting", 1.0) in [(line["stage"], line["share"]) for line in steps]
    shares = [line["overall"] for line in steps]
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] <= 1
    (result,) = [line for line in between if line["event"] == "result"]
    assert code == 0
    assert between[-1] == result
    found = {Path(file["path"]).name: file["kind"] for file in result["files"]}
    assert found == {
        "footprints.gpkg": "footprints",
        "probability.tif": "probability",
        "mask.tif": "mask",
        "run.json": "manifest",
        "report.html": "report",
        "changes.qgz": "project",
        "stac-item.json": "item",
        "stac-model.json": "model",
    }
    assert all(Path(file["path"]).is_absolute() for file in result["files"])
    assert all(Path(file["path"]).is_file() for file in result["files"])
    assert result["footprints"] > 0
    assert result["has_metres"] is True
    assert result["message"].startswith(f"{result['footprints']} changed buildings")

    code, lines = told("footprints", tmp_path / "out", "--threshold", 0.9)
    (renewed,) = [line for line in _frame(lines, "footprints", 0) if line["event"] == "result"]
    assert renewed["threshold"] == 0.9
    kinds = [file["kind"] for file in renewed["files"]]
    assert kinds == ["footprints", "mask", "report", "item", "manifest"]


def test_a_small_pair_does_not_have_no_megapixels(
    told: Told, weights: Path, tmp_path: Path
) -> None:
    pair = render_scene(tmp_path, size=128, seed=1)
    out = tmp_path / "out"
    _, lines = told("detect", pair.before, pair.after, "--out", out, "--weights", weights)
    (result,) = [line for line in lines if line["event"] == "result"]
    assert " 0.02 megapixels" in result["message"]


def test_suggested_tiles_are_a_result(
    told: Told,
    pair: SceneFiles,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """And what a person is told to do next can be copied though the name has a space."""
    out = tmp_path / "my town"
    assert told("detect", pair.before, pair.after, "--out", out, "--weights", weights)[0] == 0
    code, lines = told("suggest", out, "--count", 1, "--weights", weights)
    result = _frame(lines, "suggest", 0)[-1]
    assert code == 0
    assert (result["event"], result["suggested"]) == ("result", 1)
    assert result["candidates"] >= 1
    assert [file["kind"] for file in result["files"]] == ["suggested"]
    assert result["files"][0]["path"].endswith("suggestions.gpkg")

    monkeypatch.setattr(sys, "argv", ["hanet", "suggest", str(out), "--weights", str(weights)])
    main()
    assert f"review them: hanet review {typed(out)}\n" in capfd.readouterr().out


def test_pairs_tell_the_share_that_is_done(
    told: Told, pair: SceneFiles, weights: Path, tmp_path: Path
) -> None:
    listing = tmp_path / "list.csv"
    rows = [f"{pair.before},{pair.after},{name}" for name in ("one", "two")]
    listing.write_text("\n".join(["before,after,name", *rows, "gone.tif,gone.tif,three"]))
    out = tmp_path / "out"
    code, lines = told("detect", "--pairs", listing, "--out", out, "--weights", weights)
    between = _frame(lines, "detect", 2)
    steps = [line for line in between if line["event"] == "progress"]
    assert [step["share"] for step in steps[:4]] == [0.0, 0.3333, 0.6667, 1.0]
    assert steps[-1]["stage"] == "merging footprints"
    shares = [step["overall"] for step in steps]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    (result,) = [line for line in between if line["event"] == "result"]
    assert (result["pairs"], result["failed"]) == (3, 1)
    assert [file["kind"] for file in result["files"]] == [
        "table",
        "footprints",
        "report",
        "run",
        "run",
    ]
    assert between[-1]["event"] == "error"
    assert code == 2


def test_findings_of_a_check_come_with_their_fix(
    told: Told, pair: SceneFiles, tmp_path: Path
) -> None:
    after = render_scene(tmp_path, size=320, seed=1, gsd_m=1.0).after
    code, lines = told("check", pair.before, after)
    between = _frame(lines, "check", 0)
    result = between[-1]
    listed = result["check"]["findings"]
    said = [line for line in between if line["event"] in ("note", "warning")]
    assert [(line["event"], line["message"], line["hint"]) for line in said] == [
        (one["level"], " ".join(one["message"].split()), one["fix"] or None) for one in listed
    ]
    assert result["warnings"] == sum(one["level"] == "warning" for one in listed) > 0
    assert any(line["hint"] for line in said)
    assert code == 0


@pytest.mark.parametrize(
    ("words", "verb", "message"),
    [
        (["detect", "gone.tif", "gone.tif", "--out", "out"], "detect", "gone.tif"),
        (["detect", "--no-such-option"], "detect", "no such option: --no-such-option"),
        (["detekt"], None, "no such command 'detekt'"),
        (["check", "one.tif"], "check", "missing argument"),
    ],
)
def test_an_error_comes_with_its_hint_and_exit_code(
    told: Told,
    words: list[str],
    verb: str | None,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, lines = told(*words)
    (error,) = _frame(lines, verb, 2)
    assert (error["event"], error["exit_code"], code) == ("error", 2, 2)
    assert message in error["message"]
    assert error["hint"]
    assert list(tmp_path.iterdir()) == []


def test_an_error_that_nobody_foresaw_is_told_with_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("something else")

    monkeypatch.setattr(catalogue, "installed", fail)
    monkeypatch.setattr(sys, "argv", ["hanet", "--progress", "json", "models"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    lines = capfd.readouterr().err.splitlines()
    told = [json.loads(line) for line in lines if line.startswith("{")]
    assert "RuntimeError: something else" in lines
    (error,) = _frame(told, "models", 1)
    assert error["message"] == "unexpected RuntimeError: something else"
    assert error["exit_code"] == 1
    # without the option it stays Python's affair
    monkeypatch.setattr(sys, "argv", ["hanet", "models"])
    with pytest.raises(RuntimeError, match="something else"):
        main()


def test_a_format_that_is_none_is_refused(refused: Callable[..., tuple[str, str]]) -> None:
    assert refused("models", "--progress", "yaml") == ("--progress is 'yaml'", "text or json")


@pytest.mark.parametrize(
    ("line", "left", "form"),
    [
        ("detect a b", "detect a b", "text"),
        ("--progress json detect a", "detect a", "json"),
        ("detect --progress json a", "detect a", "json"),
        ("detect a --progress=json", "detect a", "json"),
        ("detect --progress json --progress text", "detect", "text"),
        ("detect -- --progress json", "detect -- --progress json", "text"),
        ("--progress json detect -- a --progress", "detect -- a --progress", "json"),
        ("detect --progress-json", "detect --progress-json", "text"),
    ],
)
def test_the_option_stands_anywhere(line: str, left: str, form: str) -> None:
    assert without_option(line.split()) == (left.split(), form)


def test_the_option_needs_a_format() -> None:
    with pytest.raises(SettingsError, match="--progress is ''"):
        without_option(["detect", "--progress"])


def test_text_stays_text(capfd: pytest.CaptureFixture[str]) -> None:
    assert not events.are_on
    Events().say("note", message="quiet")
    assert capfd.readouterr() == ("", "")


def test_what_json_does_not_know_is_told_all_the_same(capfd: pytest.CaptureFixture[str]) -> None:
    speaker = Events()
    speaker.start(None)
    name = os.fsdecode(b"caf\xe9 \xc3\xa4")
    speaker.say("note", f1=float("nan"), deep={1: [float("inf"), Path("a")]}, name=name)
    speaker.end(0)
    text = capfd.readouterr().err
    assert text.isascii()
    line = json.loads(text.splitlines()[1])
    assert line == {"event": "note", "f1": None, "deep": {"1": [None, "a"]}, "name": name}


def test_a_listener_that_has_gone_is_no_error_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    speaker = Events()
    with os.fdopen(write, "w") as broken:
        monkeypatch.setattr(sys, "stderr", broken)
        speaker.start(None)
        os.close(read)
        speaker.end(0)
        monkeypatch.undo()
        with pytest.raises(BrokenPipeError):
            broken.close()


def test_a_stage_is_told_when_it_begins_and_ends_and_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    monkeypatch.setattr(events, "are_on", True)
    with progress.stage_progress({"first": 3.0, "second": 1.0}) as report:
        for step in range(1, 101):
            now += 0.01
            report("first", step / 100)
        report("second", 0.0)
        report("second", 0.5)
        report("strange", 0.5)
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert 10 <= sum(line["stage"] == "first" for line in lines) <= 12
    assert lines[0]["share"] == 0.01
    ends = {line["stage"]: (line["share"], line["overall"]) for line in lines}
    assert ends == {"first": (1.0, 0.75), "second": (1.0, 1.0), "strange": (1.0, None)}


def test_training_is_told_with_its_figures(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(events, "are_on", True)
    state = {"iteration": 4, "iterations": 8, "loss": 0.5, "f1": float("nan"), "best_f1": -1.0}
    with progress.training_progress("run") as report:
        report(state)
        report({**state, "iteration": 8, "f1": 0.75, "best_f1": 0.8})
    first, last = (json.loads(line) for line in capfd.readouterr().err.splitlines())
    assert first == {
        "event": "progress",
        "stage": "training",
        "share": 0.5,
        "overall": 0.5,
        "iteration": 4,
        "iterations": 8,
        "loss": 0.5,
        "f1": None,
        "best_f1": None,
    }
    assert (last["share"], last["f1"], last["best_f1"]) == (1.0, 0.75, 0.8)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for another process")
def test_a_stopped_detection_says_so_last(tmp_path: Path) -> None:
    pair = render_scene(tmp_path / "pair", size=1536, seed=1)
    command = [sys.executable, "-m", "hanet", "detect", pair.before, pair.after]
    command += ["--out", tmp_path / "out", "--batch", "1", "--progress", "json"]
    with subprocess.Popen(
        [str(word) for word in command],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    ) as process:
        assert process.stderr is not None
        lines = []
        for text in process.stderr:
            lines.append(json.loads(text))
            if lines[-1]["event"] == "progress" and len(lines) < 3:
                process.send_signal(signal.SIGINT)
    assert process.returncode == 130
    error = _frame(lines, "detect", 130)[-1]
    assert (error["message"], error["exit_code"]) == ("stopped", 130)
    assert list((tmp_path / "out").glob("[!.]*")) == []


def test_the_page_names_every_event_and_no_other() -> None:
    sources = "\n".join(path.read_text() for path in (ROOT / "src/hanet/cli").glob("*.py"))
    said = set(re.findall(r"\bsay\(\s*\"(\w+)\"", sources)) | {"note", "warning"}
    listed = PAGE.partition("## Events")[2].partition("## Exit codes")[0]
    assert set(re.findall(r"^\| `(\w+)`", listed, re.MULTILINE)) == said
    assert f'"contract": {CONTRACT},' in PAGE
    assert f"the version of what this page says: {CONTRACT}." in PAGE


def test_the_client_on_the_page_runs(pair: SceneFiles, weights: Path, tmp_path: Path) -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    shim = tmp_path / "hanet"
    here = shlex.quote(str(ROOT / "src"))
    shim.write_text(
        f'#!/bin/sh\nPYTHONPATH={here} exec {shlex.quote(sys.executable)} -m hanet "$@" --weights '
        f"{shlex.quote(str(weights))}\n"
    )
    shim.chmod(0o755)
    for name, path in (("before.tif", pair.before), ("after.tif", pair.after)):
        (tmp_path / name).write_bytes(path.read_bytes())
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(block)],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "% detecting" in done.stdout
    assert str(tmp_path / "changes" / "footprints.gpkg") in done.stdout
