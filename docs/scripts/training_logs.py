"""Logs of our trainings in results/training/, as `hanet train` wrote them (its log.csv), one a
stage or run."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from pages import ROOT

LOGS = ROOT / "results" / "training"

PFBS_RUN = re.compile(r"pfbs-levir-part-(?P<schedule>.+)-(?P<seed>\d+)")
"""Name of a log of the comparison of schedules."""

PFBS_ORDER = ("normal", "fixed", "linear")
"""Kinds of schedules, as they are shown."""

Row = dict[str, float]
"""A validation: column of the log to its value."""


def read_log(path: Path) -> list[Row]:
    """The rows of a log."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {column: float(value) for column, value in row.items()} for row in csv.DictReader(file)
        ]


def stages(weights: str) -> list[list[Row]]:
    """The logs of a training in stages, ``WEIGHTS-levir-part.csv``, ``...-2.csv`` and so on, as
    many as there are."""
    numbered = [
        (int(path.stem.rpartition("-")[2]), path)
        for path in LOGS.glob(f"{weights}-levir-part-*.csv")
    ]
    first = LOGS / f"{weights}-levir-part.csv"
    return [
        read_log(path)
        for path in [*([first] if first.is_file() else []), *(path for _, path in sorted(numbered))]
    ]


def pfbs_runs() -> dict[str, dict[int, list[Row]]]:
    """Schedule to seed to log, in the order of :data:`PFBS_ORDER`."""
    found: dict[str, dict[int, list[Row]]] = {}
    for path in sorted(LOGS.glob("pfbs-levir-part-*.csv")):
        match = PFBS_RUN.fullmatch(path.stem)
        assert match is not None, f"{path.name} names no schedule and seed"
        found.setdefault(match["schedule"], {})[int(match["seed"])] = read_log(path)
    return dict(sorted(found.items(), key=lambda item: PFBS_ORDER.index(item[0].partition("-")[0])))
