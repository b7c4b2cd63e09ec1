"""Tables of results/adaptation/joplin.json, for docs/scripts/tables.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pages import ROOT, table

RESULT = ROOT / "results" / "adaptation" / "joplin.json"


def joplin(page: Path, _: str) -> str:  # noqa: ARG001 - every table has these arguments
    """What was found on the scored half, before and after."""
    values = _values()
    rows = []
    for kind, what in (("pixels", "pixels"), ("objects", "buildings")):
        scores, difference = values[kind], values["difference"].get(kind)
        for name, title in (("f1", "F1"), ("precision", "precision"), ("recall", "recall")):
            after = scores.get("after")
            rows.append(
                [
                    f"{title} of {what}",
                    f"{100 * scores['before'][name]:.1f}",
                    "-" if after is None else f"{100 * after[name]:.1f}",
                    "-" if difference is None else _said(difference[name]),
                ]
            )
    for name, title in (("tp", "found"), ("fn", "missed"), ("fp", "false alarms")):
        cells = [str(values["objects"][one][name]) for one in values["objects"]]
        rows.append([title, *cells, *["-"] * (3 - len(cells))])
    return table(["on the scored half", "before", "after", "difference (95 % interval)"], rows)


def joplin_rungs(page: Path, _: str) -> str:  # noqa: ARG001 - every table has these arguments
    """What the hold-out said of each rung, and what its candidate scores on the other half."""
    values = _values()
    masks = values["masks"]
    rows = [["the old weights", "", "", f"{100 * masks['before']['f1']:.1f}"]]
    for one in values["rungs"]:
        verdict = one["verdict"]
        rows.append(
            [
                f"`{one['rung']}`",
                "-" if verdict is None else _said(verdict["f1"]),
                one["outcome"],
                f"{100 * masks[one['rung']]['f1']:.1f}" if one["rung"] in masks else "-",
            ]
        )
    return table(
        [
            "rung",
            "F1 on the hold-out, against what was kept before it",
            "outcome",
            "F1 on the scored half",
        ],
        rows,
    )


def _said(difference: dict[str, float]) -> str:
    value, low, high = (100 * difference[name] for name in ("value", "low", "high"))
    return f"{value:+.1f} ({low:+.1f} to {high:+.1f})"


def _values() -> dict[str, Any]:
    return dict(json.loads(RESULT.read_text(encoding="utf-8")))
