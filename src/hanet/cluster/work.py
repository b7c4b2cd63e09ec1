"""What travels between the command and the workers: names and numbers, and what became of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hanet.detection.result import DetectionResult
from hanet.types import Json
from hanet.version import __version__


@dataclass(frozen=True, slots=True)
class PairWork:
    """A pair as it travels to a worker; paths are absolute, and mean the same on all machines.

    Args:
        before: Raster of the first date.
        after: Raster of the second date.
        out: Folder of the run.
        weights: A name, or a file.
        settings: As for :func:`hanet.detect`; without threads.
        resume: Continue the run in ``out``.
        overwrite: Remove what ``out`` holds.
        shards: Pieces to cut the pair into; by its size if None.
        threads: Of the engine; those of the worker if None.
        version: Of hanet where the work was given out.
    """

    before: str
    after: str
    out: Path
    weights: str
    settings: Json
    resume: bool
    overwrite: bool
    shards: int | None = None
    threads: int | None = None
    version: str = __version__


@dataclass(slots=True)
class Outcome:
    """What became of a task.

    Args:
        result: Of a pair that is done.
        to_run: Shards of a pair that was planned.
        shards: How many the plan has in all.
        error: Why it failed, in words; "" if it did not.
        hint: What to do about it.
        said: Notes and warnings, each with its level.
        seconds: Wall time of the task.
        processor: Seconds of all processors in it.
        opened: Seconds of these in which a shard's pair was opened and checked; 0 where it was open
            still.
    """

    result: DetectionResult | None = None
    to_run: tuple[int, ...] = ()
    shards: int = 0
    error: str = ""
    hint: str | None = None
    said: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0
    processor: float = 0.0
    opened: float = 0.0


@dataclass(frozen=True, slots=True)
class Task:
    """Something to run on a worker.

    Args:
        kind: One word, for the name of the task on the dashboard.
        function: One of :mod:`hanet.cluster.tasks`.
        arguments: Its arguments.
        pair: Index of the pair that it belongs to.
    """

    kind: str
    function: Callable[..., Outcome]
    arguments: tuple[Any, ...]
    pair: int
