"""Progress on stderr: a live bar on a terminal, a line a minute elsewhere, events for programs
that asked for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as ProgressBars

from hanet.cli.console import stderr
from hanet.cli.events import events
from hanet.types import Progress

SECONDS_BETWEEN_LINES = 60.0
"""How often a run whose stderr is a file says where it is."""

SECONDS_OF_SPEED = 600.0
"""The time left of a training run comes from the speed over so long: steps and validations."""

SECONDS_BETWEEN_EVENTS = 0.1
"""A program that draws a bar needs no more."""


@contextmanager
def training_progress(
    name: str, *, visible: bool = True
) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A function that shows iteration, loss, validation F1 and the time left of a training run.

    Args:
        name: Of the experiment.
        visible: False shows nothing: of several processes that share a terminal, one draws.
    """
    if not visible:
        yield _ignored
        return
    if events.are_on:
        yield _training_events()
        return
    if not stderr.is_terminal:
        yield _training_lines(name)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with ProgressBars(*columns, console=stderr, speed_estimate_period=SECONDS_OF_SPEED) as progress:
        task: TaskID | None = None

        def show(state: dict[str, Any]) -> None:
            nonlocal task
            if task is None:  # a resumed run does not start at 0: what was done before is no speed
                before = state["iteration"] - 1
                task = progress.add_task(
                    name, total=state["iterations"], completed=before, figures=""
                )
            progress.update(task, completed=state["iteration"], figures=_figures(state))

        yield show


def _ignored(state: dict[str, Any]) -> None:
    pass


def _training_lines(name: str) -> Callable[[dict[str, Any]], None]:
    shown = time.monotonic()
    begun, first = (
        0.0,
        0,
    )  # set by the first step, so that loading data, or what was done before a resume, is no speed

    def report(state: dict[str, Any]) -> None:
        nonlocal shown, begun, first
        now, step, steps = time.monotonic(), state["iteration"], state["iterations"]
        if not first:
            begun, first = now, step
        if now - shown < SECONDS_BETWEEN_LINES and step < steps:
            return
        shown = now
        left = (
            f", {(now - begun) / (step - first) * (steps - step) / 60:.0f} min left"
            if step > first
            else ""
        )
        stderr.print(f"{name}: {step}/{steps} {_figures(state)}{left}", soft_wrap=True)

    return report


def _figures(state: dict[str, Any]) -> str:
    text = f"loss {state['loss']:.3f}"
    if state["best_f1"] >= 0:
        text += f", val F1 {state['f1']:.4f} (best {state['best_f1']:.4f})"
    return text


def _training_events() -> Callable[[dict[str, Any]], None]:
    tell = _Teller({"training": 1.0})

    def report(state: dict[str, Any]) -> None:
        has_score = state["best_f1"] >= 0
        tell(
            "training",
            state["iteration"] / state["iterations"],
            iteration=state["iteration"],
            iterations=state["iterations"],
            loss=state["loss"],
            f1=state["f1"] if has_score else None,
            best_f1=state["best_f1"] if has_score else None,
        )

    return report


@contextmanager
def stage_progress(parts: Mapping[str, float] | None = None) -> Iterator[Progress]:
    """A function that shows a stage and the share of it that is done; a bar on a terminal, a line a
    minute elsewhere. Where the work ends well, every stage that was begun ends at 100 %, once,
    whether it was told or not.

    Args:
        parts: Of a command of known stages: each with its part of the time, in the order of the
            work. Programs then also get the share of the whole.
    """
    if events.are_on:
        tell = _Teller(parts or {})
        yield tell
        tell.finish()
        return
    if not stderr.is_terminal:
        yield _stage_lines()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    with ProgressBars(
        *columns, TextColumn("left"), TimeRemainingColumn(), console=stderr
    ) as progress:
        tasks: dict[str, Any] = {}

        def show(stage: str, share: float) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=1.0)
            elif progress.tasks[tasks[stage]].finished:
                return
            # 99.6 % would be shown as 100, before it is
            progress.update(tasks[stage], completed=1.0 if share >= 1 else min(share, 0.99))

        yield show
        for stage in tasks:
            show(stage, 1.0)


class _Teller:
    """Tells programs of progress: each stage's begin and end, and what is between them so often
    that a bar moves.

    Args:
        parts: Each known stage with its part of the time, in the order of the work; the parts of
            all need not sum to 1.
    """

    def __init__(self, parts: Mapping[str, float]) -> None:
        self._parts, self._whole = parts, sum(parts.values())
        self._stage, self._told = "", 0.0
        self._shares: dict[str, float] = {}
        self._overall: float | None = None
        self._furthest = 0.0

    def __call__(self, stage: str, share: float, **figures: Any) -> None:
        """One event, or none where the last was just now, or where the stage has ended."""
        now, last = time.monotonic(), self._shares.get(stage, -1.0)
        is_news = stage != self._stage or share >= 1
        if last >= 1 or (not is_news and now - self._told < SECONDS_BETWEEN_EVENTS):
            return
        self._stage, self._shares[stage], self._told = stage, share, now
        self._overall = self._share_of_whole(stage, share)
        if self._overall is not None:  # the late end of an earlier stage takes nothing back
            self._overall = self._furthest = max(self._furthest, self._overall)
        self._say(**figures)

    def finish(self) -> None:
        """The work has ended well: so have all stages that it began, and the whole."""
        for stage, share in self._shares.items():
            if share < 1:
                self(stage, 1.0)
        if self._overall is not None and self._overall < 1:  # a last stage was left out
            self._overall = 1.0
            self._say()

    def _say(self, **figures: Any) -> None:
        share = round(self._shares[self._stage], 4)
        events.say("progress", stage=self._stage, share=share, overall=self._overall, **figures)

    def _share_of_whole(self, stage: str, share: float) -> float | None:
        """None for a stage that is not known."""
        before = 0.0
        for name, part in self._parts.items():
            if name == stage:
                return round(min(1.0, (before + part * share) / self._whole), 4)
            before += part
        return None


def _stage_lines() -> Callable[[str, float], None]:
    shown = time.monotonic()

    def report(stage: str, share: float) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown >= SECONDS_BETWEEN_LINES:
            shown = now
            stderr.print(f"[cyan]note:[/] {stage} {share:.0%}", soft_wrap=True)

    return report
