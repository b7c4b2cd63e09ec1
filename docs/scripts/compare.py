"""Makes docs/compare.md from results/compare/*.json, which benchmarks/compare_networks.py wrote:
whatever is there. Nobody types a score.

Run: python docs/scripts/compare.py [--check]
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median
from textwrap import fill
from typing import Any

from draw_curves import compared
from pages import DOCS, ROOT, table, write_or_check

RESULTS = ROOT / "results" / "compare"

KINDS = ("normal", "fixed", "linear")
"""Kinds of schedules, as they are shown."""

Result = dict[str, Any]
"""What a file of a case holds."""

NOTES = """# Networks by one small training

Does PFBS help, whom, and how much? Every network is trained by one recipe
([compare-networks.toml](../experiments/compare-networks.toml)): the same part of LEVIR-CD, the same
number of pairs, from nothing (`hanet_lite` from ImageNet too, the only one that needs no file of
yours for that), by each schedule: `normal`, `fixed-100` (foreground alone for a quarter of the
run) and `linear-140` (a ramp). What differs: `changeformer` learns at a tenth of the rate, as by
its authors, and `stanet` by its own loss.

What this can tell and what not:

- The budget is small, so that all fit into it: F1 here is far below what a network reaches in the
  end, and a network that learns slowly looks worse than it is. Schedules are compared within
  a network.
- No epoch is chosen. Scored are the averaged weights of the last step, on every third pair of the
  validation split, by tiles of 64 pixels as in training, at the threshold of the best F1: it is
  chosen on what is scored, for all alike, so that a schedule that shifts probabilities gains
  nothing by it.
- The curves are of every twelfth pair of that split, at threshold 0.5: their ends are not the
  scores of the table.
- Seeds scatter. A difference is told with how many of the seeds that both schedules have agree with
  its sign, and means little where these are few.

Made by `make pages` from the files that
`python benchmarks/compare_networks.py DATA --out RUNS` writes, one a case; a case that is not there
has not been run.
"""


def page(results: Sequence[Result]) -> str:
    """The whole page."""
    if not results:
        return f"{NOTES}\n**No case has been run yet.**\n"
    rows = [_row(group) for group in groups(results).values()]
    heads = ["network", "start", "parameters", "GMAC a pair", *KINDS]
    heads += ["fixed less normal", "linear less normal", "minutes a run"]
    first = results[0]
    parts = [
        NOTES,
        fill(
            f"F1 on {first['data']} ({first['protocol']}), per cent: mean over the seeds, the lowest "
            f"and highest, how many; {first['pairs']:,} pairs a run. Minutes are of whatever else "
            "the machine did beside it, and compare roughly.",
            width=100,
        )
        + "\n",
        table(heads, rows),
        answer(results),
    ]
    for network, start in groups(results):
        title = _title(network, start)
        parts.append(f"![F1 of {title} over compute](images/{_image(network, start)}.svg)\n")
    return "\n".join(parts)


def answer(results: Sequence[Result]) -> str:
    """With how many networks each schedule is ahead of normal, and by how much."""
    lines = []
    for kind in KINDS[1:]:
        found = [
            difference
            for group in groups(results).values()
            for kinds in (_of_kinds(group),)
            if (difference := _differences(kinds.get(kind, []), kinds.get("normal", [])))
        ]
        gains = [mean(differences) for differences in found]
        if gains:
            ahead = sum(gain > 0 for gain in gains)
            text = (
                f"- `{kind}` is ahead of `normal` in {ahead} of {len(gains)} rows, by "
                f"{median(gains):+.1f} points in the median ({min(gains):+.1f} to "
                f"{max(gains):+.1f})."
            )
            lines.append(fill(text, width=100, subsequent_indent="  "))
    if not lines:
        return ""
    return "\n".join(["In short, at this budget:\n", *lines]) + "\n"


def drawings(results: Sequence[Result]) -> dict[Path, str]:
    """The curves of each network and start."""
    found = {}
    for (network, start), group in groups(results).items():
        title = _title(network, start)
        found[DOCS / "images" / f"{_image(network, start)}.svg"] = compared(title, _of_kinds(group))
    return found


def groups(results: Sequence[Result]) -> dict[tuple[str, str], list[Result]]:
    """Results by network and start, in the order of the files."""
    found: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        found.setdefault((result["network"], result["start"]), []).append(result)
    return found


def read_results(folder: Path) -> list[Result]:
    """All cases, sorted by the names of their files."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]


def _title(network: str, start: str) -> str:
    return network if start == "nothing" else f"{network}, from {start}"


def _image(network: str, start: str) -> str:
    return f"compare-{network}-{start}"


def _of_kinds(group: Sequence[Result]) -> dict[str, list[Result]]:
    found = {kind: [r for r in group if r["schedule"].partition("-")[0] == kind] for kind in KINDS}
    return {kind: results for kind, results in found.items() if results}


def _row(group: Sequence[Result]) -> list[str]:
    kinds, first = _of_kinds(group), group[0]
    minutes = [result["minutes"] for result in group]
    return [
        first["network"],
        first["start"],
        f"{first['parameters']:,}",
        f"{first['gmac_a_pair']:.2f}",
        *(_scores(kinds.get(kind, [])) for kind in KINDS),
        *(_difference(kinds.get(kind, []), kinds.get("normal", [])) for kind in KINDS[1:]),
        f"{min(minutes):.0f}-{max(minutes):.0f}" if len(minutes) > 1 else f"{minutes[0]:.0f}",
    ]


def _scores(results: Sequence[Result]) -> str:
    values = [100 * result["best_f1"] for result in results]
    if not values:
        return "-"
    scatter = (
        f" ({min(values):.1f}-{max(values):.1f}, {len(values)})" if len(values) > 1 else " (1)"
    )
    return f"{mean(values):.1f}{scatter}"


def _difference(results: Sequence[Result], normal: Sequence[Result]) -> str:
    """Mean difference over the seeds that both have, and how many have its sign."""
    differences = _differences(results, normal)
    if not differences:
        return "-"
    middle = mean(differences)
    agree = sum((value > 0) == (middle > 0) for value in differences)
    return f"{middle:+.1f} ({agree} of {len(differences)})"


def _differences(results: Sequence[Result], normal: Sequence[Result]) -> list[float]:
    """Points of F1 that each seed gains over normal."""
    of_normal = {result["seed"]: result["best_f1"] for result in normal}
    return [
        100 * (result["best_f1"] - of_normal[result["seed"]])
        for result in results
        if result["seed"] in of_normal
    ]


def main() -> None:
    """Writes or checks the page and its drawings."""
    results = read_results(RESULTS)
    texts = {DOCS / "compare.md": page(results), **drawings(results)}
    write_or_check(texts, command="make pages")


if __name__ == "__main__":
    main()
