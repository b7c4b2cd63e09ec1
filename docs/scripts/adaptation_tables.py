"""Tables of results/adaptation, for docs/scripts/tables.py."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from pages import ROOT, table

PLACES = {
    "new-york": "New York, exclusive-or, 0.9 m",
    "suburbs": "US suburbs, exclusive-or, 0.5 m",
    "scenes-1m": "LEVIR-CD at 1 m",
    "rendered-16bit": "rendered, dusk and noise, 16 bit",
}
"""What the places of benchmarks/adaptation_places.py are called."""

RUNGS = ("threshold", "footprints", "head", "top-down", "all", "crossed")

Case = dict[str, Any]


def adaptation(page: Path, rungs: str) -> str:  # noqa: ARG001 - every table has these arguments
    """A row for each place, number of tiles and kind of labels: means over seeds, of the ladder
    with these rungs (``all`` or ``light``)."""
    rows = []
    for (place, tiles, labels), group in _groups(rungs).items():
        full = _full(place)
        before, after = _mean(group, "before"), _mean(group, "after")
        way = (
            f"{100 * (after - before) / (full - before):.0f} %"
            if full is not None and full - before > 0.01
            else "-"
        )
        at_home = [case["home"]["after"]["f1"] - case["home"]["before"]["f1"] for case in group]
        rows.append(
            [
                PLACES.get(place, place),
                _tiles(group, tiles),
                labels,
                str(len(group)),
                f"{100 * before:.1f}",
                f"**{100 * after:.1f}**{_range(group)}",
                "-" if full is None else f"{100 * full:.1f}",
                way,
                f"{sum(case['written'] for case in group)} of {len(group)}",
                f"{100 * mean(at_home):+.1f}",
                _warned(group),
                f"{mean(case['processor_minutes'] for case in group):.1f}",
                f"{max(case['peak_mb'] for case in group):,.0f}",
            ]
        )
    header = [
        "place", "reviewed tiles", "labels", "seeds", "F1 before", "F1 after (range)", "fully trained",
        "of the way", "written", "F1 at home", "the check warned", "processor minutes", "MB",
    ]  # fmt: skip
    return table(header, rows) if rows else ""


def adaptation_rungs(page: Path, _: str) -> str:  # noqa: ARG001 - every table has these arguments
    """F1 of each rung's candidate on the test tiles, and how often it was kept: means over
    seeds."""
    rows = []
    for (place, tiles, labels), group in _groups("all").items():
        cells = [_of_rung(group, rung) for rung in RUNGS]
        first = f"{100 * _mean(group, 'before'):.1f}"
        rows.append([PLACES.get(place, place), _tiles(group, tiles), labels, first, *cells])
    return table(["place", "reviewed tiles", "labels", "before", *RUNGS], rows) if rows else ""


def little_ground(page: Path, _: str) -> str:  # noqa: ARG001 - every table has these arguments
    """How often the rung ``crossed`` and the hold-out keep a threshold, and what it gains."""
    path = ROOT / "results" / "adaptation" / "little-ground.json"
    if not path.is_file():
        return ""
    values = json.loads(path.read_text(encoding="utf-8"))
    rows = []
    for place, name in PLACES.items():
        found = values["places"][place]
        for draw in found["draws"]:
            crossed, holdout = draw["crossed"], draw["holdout"]
            gain = (
                f"{100 * crossed['mean_gain']:+.1f} (least {100 * crossed['least_gain']:+.1f})"
                if crossed["kept"]
                else "-"
            )
            rows.append(
                [
                    name,
                    str(draw["tiles"]),
                    f"{100 * found['before']:.1f}",
                    f"**{crossed['kept']}**",
                    gain,
                    str(crossed["wrong"]),
                    str(holdout["kept"]),
                ]
            )
    header = [
        "place", "reviewed tiles", "F1 before", f"crossed keeps, of {values['draws']}",
        "gain of F1 where kept", "wrong", "a hold-out would keep",
    ]  # fmt: skip
    return table(header, rows)


def _warned(group: Sequence[Case]) -> str:
    """How often the check on rendered pairs saw a loss, of the cases in which it was made."""
    checks = [case["home_check"] for case in group if case["home_check"] is not None]
    return f"{sum(check['has_lost'] for check in checks)} of {len(checks)}" if checks else "-"


def _of_rung(group: Sequence[Case], rung: str) -> str:
    tried = [
        one for case in group for one in case["climbed"] if one["rung"] == rung and "test" in one
    ]
    if not tried:
        return "-"
    kept = sum(one["outcome"] == "kept" for one in tried)
    minutes = mean(one["processor_minutes"] for one in tried)
    return f"{100 * mean(one['test']['f1'] for one in tried):.1f} ({kept}/{len(group)}, {minutes:.1f} min)"


def _groups(rungs: str) -> dict[tuple[str, int, str], list[Case]]:
    """The cases of all seeds by place, tiles and labels, in the order of the table."""
    found: defaultdict[tuple[str, int, str], list[Case]] = defaultdict(list)
    for case in _cases():
        if case["tiles"] is not None and case["rungs"] == rungs:
            found[case["place"], case["tiles"], case["labels"]].append(case)
    names = list(PLACES)

    def order(key: tuple[str, int, str]) -> tuple[int, str, int]:
        place, tiles, labels = key
        return (names.index(place) if place in names else len(names), labels, tiles)

    return {key: found[key] for key in sorted(found, key=order)}


def _cases() -> list[Case]:
    folder = ROOT / "results" / "adaptation" / "places"
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]


def _full(place: str) -> float | None:
    found = [case for case in _cases() if case["place"] == place and case["tiles"] is None]
    return float(found[0]["after"]["f1"]) if found else None


def _mean(group: Sequence[Case], which: str) -> float:
    return mean(case[which]["f1"] for case in group)


def _range(group: Sequence[Case]) -> str:
    values = [100 * case["after"]["f1"] for case in group]
    return f" ({min(values):.1f}-{max(values):.1f})" if len(values) > 1 else ""


def _tiles(group: Sequence[Case], asked: int) -> str:
    drawn = max(case["tiles_drawn"] for case in group)
    return str(asked) if drawn == asked else f"{asked} (there are {drawn})"
