"""Which shards a job is to run: numbers and ranges, a task's share of all, or what a queue of jobs
says in the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

from hanet.command_line import counted
from hanet.errors import SettingsError

EXAMPLE = "for example --shard 7, or --shard 3,17,40-44"


def compact(indices: Sequence[int]) -> str:
    """Numbers as :func:`shards_of` reads them, neighbours as ranges.

    Example:
        >>> compact([3, 17, 40, 41, 42])
        '3,17,40-42'
    """
    runs: list[list[int]] = []
    for index in sorted(set(indices)):
        if runs and index == runs[-1][1] + 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)


def shards_of(text: str, count: int) -> tuple[int, ...]:
    """The numbers of a list such as ``3,17,40-44``, each once, rising.

    Args:
        text: What the user gave.
        count: Shards of the plan.

    Raises:
        SettingsError: It is no such list, or names a shard that there is not.
    """
    found: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,9})(?:\s*-\s*([0-9]{1,9}))?\s*", part)
        if match is None:
            raise SettingsError(f"--shard {text!r} is no list of shards", hint=EXAMPLE)
        low = int(match[1])
        high = int(match[2]) if match[2] else low
        if not low <= high < count:
            raise SettingsError(
                f"--shard {part.strip()}: the plan has {counted(count, 'shard')}, numbered from 0 "
                f"to {count - 1}",
                hint=EXAMPLE,
            )
        found.update(range(low, high + 1))
    return tuple(sorted(found))


def shards_of_task(
    text: str, count: int, environment: Mapping[str, str] | None = None
) -> tuple[int, ...]:
    """The share of one task of several: every n-th shard.

    Args:
        text: ``7/64`` for task 7 of 64, which count from 0; ``auto`` takes both from the job array
            of SLURM or AWS Batch that the process runs in.
        count: Shards of the plan.
        environment: The process's own if None.

    Returns:
        The numbers, rising; none where there are more tasks than shards.

    Raises:
        SettingsError: It is no task, or with ``auto`` there is no whole job array.

    Example:
        >>> shards_of_task("1/4", 10)
        (1, 5, 9)
    """
    if text == "auto":
        task, tasks = _from_queue(os.environ if environment is None else environment)
    else:
        match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text.strip())
        if match is None:
            raise SettingsError(
                f"--task {text!r} is no task of several",
                hint="for example --task 7/64, or --task auto in a job array",
            )
        task, tasks = int(match[1]), int(match[2])
    if not task < tasks:
        raise SettingsError(
            f"there is no task {task} of {tasks}: tasks count from 0",
            hint=f"give 0/{tasks} to {tasks - 1}/{tasks}" if tasks else "for example --task 7/64",
        )
    return tuple(range(task, count, tasks))


def _from_queue(environment: Mapping[str, str]) -> tuple[int, int]:
    """Task and number of tasks in a job array."""
    if "AWS_BATCH_JOB_ARRAY_INDEX" in environment:
        task = _whole(environment, "AWS_BATCH_JOB_ARRAY_INDEX")
        return task, _whole(environment, "AWS_BATCH_JOB_ARRAY_SIZE")
    if "SLURM_ARRAY_TASK_ID" in environment:
        task, tasks, first, last = (
            _whole(environment, f"SLURM_ARRAY_TASK_{name}")
            for name in ("ID", "COUNT", "MIN", "MAX")
        )
        if first > 1 or last - first + 1 != tasks:
            raise SettingsError(
                f"--task auto: this job array has {tasks} tasks from {first} to {last}, but the "
                "work was divided among more",
                hint="submit the whole array again, as shards that are done are passed over; or "
                "give --shard",
            )
        return task - first, tasks
    raise SettingsError(
        "--task auto: this is no job array: neither SLURM_ARRAY_TASK_ID nor "
        "AWS_BATCH_JOB_ARRAY_INDEX is set",
        hint="give the task, for example --task 7/64",
    )


def _whole(environment: Mapping[str, str], name: str) -> int:
    text = environment.get(name, "")
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise SettingsError(
            f"--task auto: {name} is {text!r}, which is no number",
            hint="give the task, for example --task 7/64",
        )
    return int(text)
