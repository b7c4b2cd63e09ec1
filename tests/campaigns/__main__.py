"""``python -m campaigns``: runs cases, tells each failure with its reproducer, sums up by kind."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from campaigns import families
from campaigns.kinds import VERBS
from campaigns.runner import CaseName, Outcome, Runner, case_names, run_cases, warm_up


class Summary:
    """Counts by kind, and the failures grouped by their cause."""

    def __init__(self, seed: int) -> None:
        self._seed, self._begun = seed, time.perf_counter()
        self._kinds: dict[str, dict[str, int]] = defaultdict(lambda: {"cases": 0, "failed": 0})
        self._codes: dict[str, int] = defaultdict(int)
        self._groups: dict[str, dict[str, Any]] = {}
        self.cases = self.failed = 0
        self._largest, self._longest = 0, 0.0

    def add(self, outcome: Outcome) -> list[str]:
        """Counts a case; gives the causes that were not seen before."""
        self.cases += 1
        counts = self._kinds[outcome.name.kind]
        counts["cases"] += 1
        self._codes[str(outcome.ended.code)] += 1
        self._largest = max(self._largest, outcome.ended.peak_bytes)
        self._longest = max(self._longest, outcome.ended.seconds)
        if outcome.problems:
            self.failed += 1
            counts["failed"] += 1
        new = []
        for problem in outcome.problems:
            group = self._groups.get(problem.key)
            if group is None:
                group = self._groups[problem.key] = {
                    "count": 0,
                    "kinds": [],
                    "verbs": [],
                    "example": problem.text,
                    "input": outcome.what,
                    "reproducer": outcome.name.reproducer,
                }
                new.append(problem.key)
            group["count"] += 1
            for key, value in (("kinds", outcome.name.kind), ("verbs", outcome.name.verb)):
                if value not in group[key]:
                    group[key].append(value)
        return new

    def write(self, path: Path | None) -> None:
        """Writes all of it to a file, if there is to be one."""
        if path is not None:
            path.write_text(json.dumps(self.to_json(), indent=2) + "\n", encoding="utf-8")

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return {
            "seed": self._seed,
            "cases": self.cases,
            "failed": self.failed,
            "seconds": round(time.perf_counter() - self._begun, 1),
            "largest_memory_mb": self._largest // 2**20,
            "longest_seconds": round(self._longest, 1),
            "exit_codes": dict(sorted(self._codes.items())),
            "kinds": dict(sorted(self._kinds.items())),
            "failures": dict(sorted(self._groups.items())),
        }


def main() -> int:
    """Exit code 1 where a promise was broken."""
    options = _options()
    warm_up()
    with tempfile.TemporaryDirectory(prefix="hanet-campaign-") as temporary:
        folder = Path(temporary)
        if options.case is not None:
            return _one(options, folder)
        verbs = (options.verb,) if options.verb else VERBS
        kinds = (options.kind,) if options.kind else ()
        names = case_names(seed=options.seed, cases=options.cases, verbs=verbs, kinds=kinds)
        summary = Summary(options.seed)
        for outcome in run_cases(names, folder, jobs=options.jobs):
            for key in summary.add(outcome):
                print(f"{key}\n    {outcome.what}\n    {outcome.name.reproducer}", flush=True)
            if summary.cases % 100 == 0:  # whoever stops a long one keeps what it has found
                print(f"... {summary.cases} cases, {summary.failed} failed", flush=True)
                summary.write(options.summary)
    summary.write(options.summary)
    print(f"{summary.cases} cases, {summary.failed} failed")
    return int(summary.failed > 0)


def _one(options: argparse.Namespace, folder: Path) -> int:
    """One case, told in full."""
    keep = options.keep
    name = CaseName(options.verb, options.kind, options.seed, options.case)
    outcome = Runner(keep or folder, keep=keep is not None).run(name)
    print(f"input:     {outcome.what}")
    print(f"arguments: {outcome.arguments}")
    print(f"exit code: {outcome.ended.code} after {outcome.ended.seconds:.1f} s")
    for label, content in (("stdout", outcome.ended.stdout), ("stderr", outcome.ended.stderr)):
        print(f"{label}:")
        for line in content.decode("utf-8", errors="backslashreplace").splitlines():
            print(f"    {ascii(line)[1:-1]}")
    for problem in outcome.problems:
        print(f"BROKEN {problem.key}\n    {problem.text}")
    if not outcome.problems:
        print("the promise is kept")
    return int(bool(outcome.problems))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m campaigns", description=__doc__)
    parser.add_argument("--verb", choices=VERBS)
    parser.add_argument("--kind", choices=sorted(families.KINDS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cases", type=int, default=200, help="so many, over all verbs and kinds")
    parser.add_argument("--case", type=int, help="this one alone; needs --verb and --kind")
    parser.add_argument("--keep", type=Path, help="folder for the input of --case, which is kept")
    parser.add_argument("--jobs", type=int, default=1, help="processes at once")
    parser.add_argument("--summary", type=Path, help="JSON file for the summary by kind")
    options = parser.parse_args()
    if options.case is not None and not (options.verb and options.kind):
        parser.error("--case needs --verb and --kind")
    return options


if __name__ == "__main__":
    sys.exit(main())
