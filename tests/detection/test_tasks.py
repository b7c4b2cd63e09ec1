"""Which shards a job runs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanet.detection.tasks import compact, shards_of, shards_of_task
from hanet.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "indices"),
    [("7", (7,)), ("3,17,40-44", (3, 17, 40, 41, 42, 43, 44)), (" 2 - 3, 2", (2, 3))],
)
def test_numbers_and_ranges(text: str, indices: tuple[int, ...]) -> None:
    assert shards_of(text, 64) == indices


@given(st.sets(st.integers(0, 99), min_size=1))
def test_what_is_listed_is_read_again(indices: set[int]) -> None:
    assert shards_of(compact(sorted(indices)), 100) == tuple(sorted(indices))


@pytest.mark.parametrize("text", ["", "a", "1,", "-1", "1.5", "5-3", "64", "60-64", "9" * 30])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="--shard"):
        shards_of(text, 64)


@given(st.integers(1, 50), st.integers(1, 50))
def test_all_tasks_together_run_every_shard_once(tasks: int, count: int) -> None:
    shares = [shards_of_task(f"{task}/{tasks}", count) for task in range(tasks)]
    assert sorted(index for share in shares for index in share) == list(range(count))


@pytest.mark.parametrize("text", ["64/64", "0/0", "1", "a/b", "-1/4", ""])
def test_what_is_no_task_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="task"):
        shards_of_task(text, 64)


def slurm(number: int, first: int, last: int, count: int) -> dict[str, str]:
    return {
        "SLURM_ARRAY_TASK_ID": str(number),
        "SLURM_ARRAY_TASK_MIN": str(first),
        "SLURM_ARRAY_TASK_MAX": str(last),
        "SLURM_ARRAY_TASK_COUNT": str(count),
    }


@pytest.mark.parametrize(
    ("environment", "indices"),
    [
        (slurm(2, 0, 3, 4), (2, 6)),
        (slurm(4, 1, 4, 4), (3, 7)),
        ({"AWS_BATCH_JOB_ARRAY_INDEX": "0", "AWS_BATCH_JOB_ARRAY_SIZE": "3"}, (0, 3, 6)),
    ],
)
def test_a_job_array_names_its_task(environment: dict[str, str], indices: tuple[int, ...]) -> None:
    assert shards_of_task("auto", 8, environment) == indices


@pytest.mark.parametrize(
    "environment",
    [
        {},
        slurm(5, 5, 5, 1),  # one task submitted again: a share of what?
        slurm(3, 0, 6, 3),  # --array=0,3,6
        {"AWS_BATCH_JOB_ARRAY_INDEX": "1"},
        {"SLURM_ARRAY_TASK_ID": "1"},
    ],
)
def test_part_of_a_job_array_is_refused(environment: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="--task auto"):
        shards_of_task("auto", 8, environment)
