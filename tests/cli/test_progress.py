"""What a training run shows: loss, validation F1, time left."""

from __future__ import annotations

import io
from itertools import count

import pytest
from rich.console import Console

from hanet.cli import progress


def _state(iteration: int, **changes: float) -> dict[str, float]:
    return {
        "iteration": iteration,
        "iterations": 1000,
        "loss": 0.51234,
        "f1": 0.81,
        "best_f1": 0.92,
        **changes,
    }


def _console(monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> io.StringIO:
    text = io.StringIO()
    monkeypatch.setattr(
        progress,
        "stderr",
        Console(file=text, force_terminal=terminal, width=200, color_system=None),
    )
    return text


def test_a_terminal_gets_a_bar_with_loss_score_and_time_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = _console(monkeypatch, terminal=True)
    with progress.training_progress("fine") as report:
        report(_state(901))
        report(_state(902))
    shown = text.getvalue()
    for part in ("fine", "902/1000", "loss 0.512", "val F1 0.8100 (best 0.9200)", "left"):
        assert part in shown


def test_before_the_first_validation_there_is_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    text = _console(monkeypatch, terminal=True)
    with progress.training_progress("fine") as report:
        report(_state(1, f1=float("nan"), best_f1=-1.0))
    assert "loss 0.512" in text.getvalue()
    assert "F1" not in text.getvalue()


def test_a_file_gets_a_line_a_minute_and_a_resumed_run_counts_only_its_own_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = _console(monkeypatch, terminal=False)
    clock = count(0, 20)  # every look at the clock is 20 seconds later
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    with progress.training_progress("slow") as report:
        for iteration in range(901, 907):
            report(_state(iteration))
    lines = text.getvalue().splitlines()
    assert lines == [
        "slow: 903/1000 loss 0.512, val F1 0.8100 (best 0.9200), 32 min left",
        "slow: 906/1000 loss 0.512, val F1 0.8100 (best 0.9200), 31 min left",
    ]


def test_a_stage_tells_a_file_a_line_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    text = _console(monkeypatch, terminal=False)
    clock = count(0, 20)
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    with progress.stage_progress() as report:
        for step in range(1, 8):
            report("detecting", step / 10)
    assert text.getvalue().splitlines() == ["note: detecting 30%", "note: detecting 60%"]


def test_processes_behind_the_first_show_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    text = _console(monkeypatch, terminal=True)
    with progress.training_progress("fine", visible=False) as report:
        report(_state(5))
    assert text.getvalue() == ""
