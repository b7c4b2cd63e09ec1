"""Every target over its seeds, without atheris: targets that no longer fit their readers show here.
``make fuzz`` looks for more inputs."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TESTS))  # where the package of this file lies

from campaigns.fuzz import __main__ as command  # noqa: E402
from campaigns.fuzz.targets import TARGETS  # noqa: E402
from campaigns.fuzz.watch import Target, Watch  # noqa: E402
from hanet.errors import InputError  # noqa: E402

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it counts memory as Linux does")


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_seeds_are_read_or_refused(tmp_path: Path, name: str) -> None:
    watch = Watch(TARGETS[name], tmp_path)
    for seed in TARGETS[name].seeds():
        fault = watch.fault_of(seed)
        assert fault is None or fault.key == "slow", fault


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_a_seed_is_read_to_its_end(tmp_path: Path, name: str) -> None:
    """Else a target refuses everything, and finds nothing."""
    for number, seed in enumerate(TARGETS[name].seeds()):
        folder = tmp_path / str(number)
        folder.mkdir()
        try:
            TARGETS[name].read(seed, folder)
        except Exception:
            continue
        return
    pytest.fail("no seed is sound")


@pytest.mark.parametrize(
    ("read", "key"),
    [
        (lambda content, _: {b"": 1}[content + b"a"], "KeyError in test_fuzz.py:<lambda>"),
        (lambda *_: __import__("os").system("true"), "ForbiddenError in test_fuzz.py:<lambda>"),
    ],
)
def test_what_is_no_refusal_is_a_fault(tmp_path: Path, read: object, key: str) -> None:
    fault = Watch(Target(read, list), tmp_path).fault_of(b"")  # type: ignore[arg-type]
    assert fault is not None
    assert fault.key == key


def test_a_refusal_in_our_words_is_none(tmp_path: Path) -> None:
    def read(*_: object) -> None:
        raise InputError("no")

    assert Watch(Target(read, list), tmp_path).fault_of(b"") is None


def test_without_atheris_it_says_that_nothing_was_fuzzed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(sys, "argv", ["fuzz", "name"])
    assert command.main() == 0
    assert "nothing was fuzzed" in capsys.readouterr().err


def test_a_fault_that_is_gone_has_been_fixed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "1")
    out = tmp_path / "fuzz.json"
    row = {"target": "name", "executions": 5, "seconds": 1.0, "edges": 7}
    fault = {"fault": "slow", "input": "a.bin"}
    rows = []
    for faults in ([fault], [fault], []):
        command._add(out, {**row, "faults": faults})
        rows += json.loads(out.read_text())["targets"]
    assert [found["fixed"] for found in rows] == [[], [], ["slow"]]
    assert rows[-1] == {**row, "executions": 15, "seconds": 3.0, "faults": [], "fixed": ["slow"]}
