"""The table of results/few-labels, for docs/scripts/tables.py: whatever is there, and nothing where
nothing is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from textwrap import fill
from typing import Any

from pages import ROOT, table

RESULTS = ROOT / "results" / "few-labels"

Case = dict[str, Any]


def few_labels(page: Path, _: str) -> str:  # noqa: ARG001 - every table has these arguments
    """A section: a row for each share of the labels, F1 of both modes, and their difference seed by
    seed."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in RESULTS.glob("*.json")]
    if not found:
        return ""
    rows = [
        _row([case for case in found if case["percent"] == percent])
        for percent in sorted({case["percent"] for case in found})
    ]
    header = [
        "labels", "pairs with a label", "F1 supervised", "F1 semi-supervised", "difference",
        "average precision supervised", "semi-supervised", "difference", "confident pixels", "minutes",
    ]  # fmt: skip
    said = fill(_said(found), 100, break_long_words=False, break_on_hyphens=False)
    return f"## What it brings\n\n{said}\n\n{table(header, rows)}"


def _said(found: Sequence[Case]) -> str:
    """What holds for all cases."""
    first = max(found, key=lambda case: case["unlabelled_draws"])
    steps = sorted({case["iterations"] for case in found})
    processors = ", ".join(sorted({case["machine"]["processor"] for case in found}))
    without = first["unlabelled_draws"] // first["iterations"]
    return (
        f"F1 on {first['scored']} ({first['how']}) and average precision, which needs no "
        "threshold, per cent: mean over the seeds, in brackets the lowest, the highest and how "
        f"many. Every run is {_alternatives(steps)} steps of "
        f"{first['experiment']['batch']} labelled pairs of {first['experiment']['crop_px']} px, "
        f"the semi-supervised ones see {without} more without their labels in each. The difference "
        "is of runs with the same seed, so the same labels, and says how many have its sign. "
        "Confident pixels are the share with a pseudo label at the end. Minutes are of whatever "
        f"else the machine did ({processors})."
    )


def _row(cases: Sequence[Case]) -> list[str]:
    supervised, semi = (
        [case for case in cases if case["mode"] == mode]
        for mode in ("supervised", "semi-supervised")
    )
    confident = [case["log"][-1]["confident_share"] for case in semi]
    minutes = " / ".join(
        f"{mean(case['minutes'] for case in group):.1f}" for group in (supervised, semi) if group
    )
    return [
        f"{cases[0]['percent']} %",
        f"{cases[0]['labels_used']:,}",
        _scores(supervised, "f1"),
        _scores(semi, "f1"),
        _difference(semi, supervised, "f1"),
        _scores(supervised, "average_precision"),
        _scores(semi, "average_precision"),
        _difference(semi, supervised, "average_precision"),
        f"{100 * mean(confident):.0f} %" if confident else "-",
        minutes,
    ]


def _scores(cases: Sequence[Case], key: str) -> str:
    values = [100 * case[key] for case in cases]
    if not values:
        return "-"
    spread = f"{min(values):.1f}-{max(values):.1f}, " if len(values) > 1 else ""
    return f"{mean(values):.1f} ({spread}{len(values)})"


def _difference(cases: Sequence[Case], others: Sequence[Case], key: str) -> str:
    """Mean difference over the seeds that both have, in points, and how many have its sign."""
    of_others = {case["seed"]: case[key] for case in others}
    found = [
        100 * (case[key] - of_others[case["seed"]]) for case in cases if case["seed"] in of_others
    ]
    if not found:
        return "-"
    middle = mean(found)
    agree = sum((value > 0) == (middle > 0) for value in found)
    return f"{middle:+.1f} ({agree} of {len(found)})"


def _alternatives(values: Sequence[int]) -> str:
    return " or ".join(map(str, values))
