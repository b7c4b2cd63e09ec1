"""``python -m campaigns.sums SUMMARY ... --out FILE``: several summaries as one.

The long campaign runs seed by seed, so that it can be stopped; each call of ``python -m campaigns``
writes its own summary.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hanet.provenance import machine, versions

Summary = dict[str, Any]
"""What ``python -m campaigns --summary`` writes."""

LIBRARIES = ("numpy", "onnxruntime", "pyogrio", "rasterio", "torch")
"""Whose words and faults the campaign meets."""


def summed(summaries: Sequence[Summary]) -> Summary:
    """Counts added, the largest of what has a largest, failures side by side. A summary may be the
    sum of others.

    Raises:
        ValueError: Two summaries are of one seed: their cases are the same.
    """
    seeds = [seed for one in summaries for seed in one.get("seeds", [one.get("seed")])]
    if len(set(seeds)) < len(seeds):
        raise ValueError("two summaries are of the same seed, so of the same cases")
    kinds: dict[str, dict[str, int]] = {}
    codes: dict[str, int] = {}
    for summary in summaries:
        for kind, counts in summary["kinds"].items():
            for what, count in counts.items():
                of_kind = kinds.setdefault(kind, {})
                of_kind[what] = of_kind.get(what, 0) + count
        for code, count in summary["exit_codes"].items():
            codes[code] = codes.get(code, 0) + count
    return {
        "seeds": sorted(seeds),
        **{name: sum(summary[name] for summary in summaries) for name in ("cases", "failed")},
        "seconds": round(sum(summary["seconds"] for summary in summaries), 1),
        **{
            name: max(summary[name] for summary in summaries)
            for name in ("largest_memory_mb", "longest_seconds")
        },
        "exit_codes": dict(sorted(codes.items())),
        "kinds": dict(sorted(kinds.items())),
        "failures": [failure for summary in summaries for failure in _failures(summary)],
    }


def _failures(summary: Summary) -> list[dict[str, Any]]:
    found = summary["failures"]
    if isinstance(found, list):  # of a sum
        return found
    return [{"seed": summary["seed"], "what": what, **group} for what, group in found.items()]


def main() -> None:
    """Writes the sum."""
    parser = argparse.ArgumentParser(prog="python -m campaigns.sums", description=__doc__)
    parser.add_argument("summaries", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    read = [json.loads(path.read_text("utf-8")) for path in options.summaries]
    result = summed(read)
    earlier = [one["machine"] for one in read if "machine" in one]
    machines = [*earlier, machine()]
    result["machines"] = [m for number, m in enumerate(machines) if m not in machines[:number]]
    result["versions"] = versions(LIBRARIES)
    options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"{result['cases']} cases, {result['failed']} failed")


if __name__ == "__main__":
    main()
