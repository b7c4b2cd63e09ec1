"""Two hundred cases of the campaign, told by kind; ``make campaign`` runs more of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))  # where the package of this file lies

from campaigns.families import KINDS  # noqa: E402
from campaigns.runner import case_names  # noqa: E402
from campaigns.sums import summed  # noqa: E402

CASES, SEED = 200, 14

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it forks, and counts by /proc")


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What came of all cases; they run in processes of their own."""
    folder = tmp_path_factory.mktemp("campaign")
    paths = [str(TESTS), str(TESTS.parent / "src"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    environment |= {"OMP_NUM_THREADS": "1", "TMPDIR": str(folder)}
    jobs = min(2, os.cpu_count() or 1)
    text = f"--cases {CASES} --seed {SEED} --jobs {jobs} --summary all.json"
    command = [sys.executable, "-m", "campaigns", *text.split()]
    ended = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, check=False
    )
    assert (folder / "all.json").exists(), ended.stdout + ended.stderr
    found: dict[str, Any] = json.loads((folder / "all.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_promise_is_kept(summary: dict[str, Any], kind: str) -> None:
    assert summary["kinds"][kind]["cases"] > 0
    broken = {
        key: group["reproducer"]
        for key, group in summary["failures"].items()
        if kind in group["kinds"]
    }
    assert broken == {}


def test_every_verb_and_kind_has_its_share() -> None:
    names = case_names(seed=SEED, cases=CASES)
    assert len(set(names)) == CASES
    places = {(name.verb, name.kind) for name in names}
    assert places == {(verb, kind) for kind, about in KINDS.items() for verb in about.verbs}


def test_a_case_does_not_depend_on_the_others() -> None:
    every = case_names(seed=3, cases=1000)
    few = case_names(seed=3, cases=40, verbs=("detect",))
    assert set(few) <= set(every)


def _summary(seed: int, *, failed: bool = False) -> dict[str, Any]:
    group = {"count": 1, "kinds": ["tiff-tags"], "reproducer": "python -m campaigns ..."}
    return {
        "seed": seed,
        "cases": 10,
        "failed": int(failed),
        "seconds": 2.5,
        "largest_memory_mb": 100 * seed,
        "longest_seconds": 1.5,
        "exit_codes": {"0": 4, "2": 6},
        "kinds": {"tiff-tags": {"cases": 10, "failed": int(failed)}},
        "failures": {"traceback": group} if failed else {},
    }


def test_summaries_of_several_seeds_are_added() -> None:
    found = summed([_summary(2), _summary(1, failed=True)])
    assert (found["seeds"], found["cases"], found["failed"]) == ([1, 2], 20, 1)
    assert (found["seconds"], found["largest_memory_mb"]) == (5.0, 200)
    assert found["exit_codes"] == {"0": 8, "2": 12}
    assert found["kinds"] == {"tiff-tags": {"cases": 20, "failed": 1}}
    assert [(group["seed"], group["what"]) for group in found["failures"]] == [(1, "traceback")]


def test_no_case_is_counted_twice() -> None:
    with pytest.raises(ValueError, match="same seed"):
        summed([_summary(1), _summary(1)])
    both = summed([_summary(1), _summary(2)])
    with pytest.raises(ValueError, match="same seed"):
        summed([both, _summary(2)])
    three = summed([both, _summary(3)])
    assert three["seeds"] == [1, 2, 3]
    assert three["cases"] == summed([_summary(seed) for seed in (1, 2, 3)])["cases"]
    assert [failure["seed"] for failure in three["failures"]] == [
        failure["seed"] for seed in (1, 2, 3) for failure in summed([_summary(seed)])["failures"]
    ]
