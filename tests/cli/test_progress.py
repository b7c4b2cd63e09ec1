"""What a training run shows: loss, validation F1, time left."""

from __future__ import annotations

import io
from contextlib import suppress
from itertools import count
from typing import Any

import pytest
from rich.console import Console

from hanet.cli import progress
from hanet.errors import HanetError


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


@pytest.mark.parametrize("told", [(0.0, 0.4), (0.5, 0.996), (0.5, 1.0, 1.0), (1.0, 0.2)])
def test_a_bar_ends_at_100_per_cent_once(
    monkeypatch: pytest.MonkeyPatch, told: tuple[float, ...]
) -> None:
    text = _console(monkeypatch, terminal=True)
    shown: list[float] = []
    update = progress.ProgressBars.update

    def note(self: Any, task: Any, **changes: Any) -> None:
        shown.append(changes["completed"])
        update(self, task, **changes)

    monkeypatch.setattr(progress.ProgressBars, "update", note)
    with progress.stage_progress() as report:
        for share in told:
            report("detecting", share)
    assert [round(100 * share) for share in shown].count(100) == 1
    assert shown[-1] == 1.0
    assert "100 %" in text.getvalue()


def test_a_bar_of_work_that_failed_does_not_end_at_100_per_cent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = _console(monkeypatch, terminal=True)
    with suppress(HanetError), progress.stage_progress() as report:
        report("detecting", 0.4)
        raise HanetError("the disk is full")
    assert "40 %" in text.getvalue()
    assert "100 %" not in text.getvalue()


@pytest.mark.parametrize(
    ("told", "last"),
    [
        ([("detecting", 1.0), ("writing the report", 0.0)], ("writing the report", 1.0)),
        ([("detecting", 0.3), ("detecting", 1.0), ("detecting", 0.5)], ("detecting", 1.0)),
        ([("detecting", 1.0), ("writing the report", 1.0)], ("writing the report", 1.0)),
    ],
)
def test_programs_are_told_of_100_per_cent_once(
    monkeypatch: pytest.MonkeyPatch, told: list[tuple[str, float]], last: tuple[str, float]
) -> None:
    lines: list[dict[str, Any]] = []
    monkeypatch.setattr(progress.events, "are_on", True)
    monkeypatch.setattr(progress.events, "say", lambda _, **fields: lines.append(fields))
    with progress.stage_progress({"detecting": 0.9, "writing the report": 0.1}) as report:
        for stage, share in told:
            report(stage, share)
    assert [line["overall"] for line in lines].count(1.0) == 1
    assert (lines[-1]["stage"], lines[-1]["share"], lines[-1]["overall"]) == (*last, 1.0)


def test_processes_behind_the_first_show_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    text = _console(monkeypatch, terminal=True)
    with progress.training_progress("fine", visible=False) as report:
        report(_state(5))
    assert text.getvalue() == ""
