"""Scores weights elsewhere than on LEVIR-CD's Texas; docs/concepts/elsewhere.md says by what rule.

    python scripts/elsewhere.py make FOLDER [--data ../shared/data]
    python scripts/elsewhere.py score WEIGHTS --sets FOLDER [--out results/elsewhere/NAME.json]
    python scripts/elsewhere.py thresholds WEIGHTS --sets FOLDER [--out results/NAME.json]
    python scripts/elsewhere.py decide results/elsewhere/OLD.json results/elsewhere/NEW.json [--drew
    SET ...]

FOLDER lies outside the repository: the imagery may not enter it. `make` gives the same files each
time. WEIGHTS is a name of weights, a weights file or a run folder.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from statistics import mean
from time import perf_counter
from typing import Any

import numpy as np

from elsewhere_sets import MATCHED, SETS, SPLIT, write_set
from hanet.cli.evaluation_tables import as_text
from hanet.evaluation.protocols import Protocol
from hanet.evaluation.result import Evaluation
from hanet.evaluation.scoring import evaluate
from hanet.files import replace_file
from hanet.types import Json

ROOT = Path(__file__).resolve().parents[1]

HOME = "tiles-256/val"
"""What the sets are reported beside."""

MOST_A_SET_MAY_FALL = 0.02
"""F1, by the rule."""

KEPT = (
    "protocol", "data", "split", "images", "threshold", "counts", "scores", "f1_interval_95",
    "objects", "average_precision", "data_sha256",
)  # fmt: skip
"""What a set's entry takes from an evaluation; the rest is the same for all sets or calibration."""

OF_WEIGHTS = (
    "weights", "weights_file", "weights_sha256", "model", "threshold", "runtime", "precision",
    "flips", "versions", "machine",
)  # fmt: skip
"""What stands once, above the sets."""


def make(folder: Path, data: Path, names: list[str]) -> None:
    """Writes the sets that are named, and says how many pairs each has."""
    if folder.resolve().is_relative_to(ROOT):
        raise SystemExit(f"error: {folder} lies in the repository, which holds no imagery")
    for name in names:
        pairs = (SETS | MATCHED)[name].pairs(data)
        print(f"{name}: {write_set(name, pairs, folder)} pairs", flush=True)


def score(
    weights: str, folder: Path, data: Path, names: list[str], *, threads: int, flips: bool
) -> Json:
    """Scores weights at their stored threshold on tiles-256/val and on each set named.

    Returns:
        What goes into ``results/elsewhere/``.
    """
    begun = perf_counter()
    home = evaluate(
        weights, data / "levir-cd" / "tiles-256", split="val", threads=threads, flips=flips
    )
    values = home.to_json()
    sets = {}
    for name in names:
        found = evaluate(
            weights,
            folder / name,
            split=SPLIT,
            protocol=Protocol(name=(SETS | MATCHED)[name].protocol),
            threads=threads,
            flips=flips,
        )
        sets[name] = _entry(found)
    result: Json = {key: values[key] for key in OF_WEIGHTS}
    result |= {"home": _entry(home), "sets": sets}
    choosing = [name for name, kind in SETS.items() if kind.chooses]
    if set(choosing) <= sets.keys():
        result["means"] = means(sets)
    hashes = "".join(f"{name} {entry['data_sha256']}\n" for name, entry in sorted(sets.items()))
    result["sets_sha256"] = hashlib.sha256(hashes.encode()).hexdigest()
    result["seconds"] = round(perf_counter() - begun, 2)
    return result


THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
"""At which `thresholds` scores."""


def at_thresholds(weights: str, folder: Path, data: Path, *, threads: int) -> Json:
    """What other thresholds than the stored one would give, on tiles-256/val and on all sets.

    Returns:
        What goes into ``results/``: precision, recall and F1 of each threshold.
    """
    home = evaluate(weights, data / "levir-cd" / "tiles-256", split="val", threads=threads)
    values = home.to_json()
    curves = {HOME: _curve(home)}
    for name, kind in SETS.items():
        protocol = Protocol(name=kind.protocol)
        found = evaluate(
            weights, folder / name, split=SPLIT, protocol=protocol, threads=threads, flips=False
        )
        curves[name] = _curve(found)
    choosing = [curves[name] for name, kind in SETS.items() if kind.chooses]
    curves["mean"] = [
        {key: mean(point[key] for point in points) for key in points[0]}
        for points in zip(*choosing, strict=True)
    ]
    return {**{key: values[key] for key in OF_WEIGHTS}, "curves": curves}


def _curve(result: Evaluation) -> list[Json]:
    histogram = result.histogram
    assert histogram is not None  # weights were scored, not masks
    points = []
    for threshold in THRESHOLDS:
        scores = histogram.counts(round(threshold * histogram.bins)).scores()
        point = {name: getattr(scores, name) for name in ("precision", "recall", "f1")}
        points.append({"threshold": threshold, **point})
    return points


def curve_table(result: Json) -> str:
    """The result as lines of text: F1 and recall in per cent, a threshold a line."""
    curves = result["curves"]
    lines = ["threshold  " + "  ".join(f"{name:>15}" for name in curves)]
    for number, threshold in enumerate(THRESHOLDS):
        points = [points[number] for points in curves.values()]
        shown = (f"{100 * point['f1']:9.1f} {100 * point['recall']:5.1f}" for point in points)
        lines.append(f"{threshold:9.2f}  " + "  ".join(shown))
    return "\n".join(lines)


def means(sets: Json) -> Json:
    """Unweighted means over the sets that choose, and over those that are no exclusive-or pairs."""
    chosen = [sets[name] for name, kind in SETS.items() if kind.chooses]
    no_xor = [sets[name] for name, kind in SETS.items() if kind.chooses and not kind.xor]
    return {
        "f1": mean(entry["scores"]["f1"] for entry in chosen),
        "precision": mean(entry["scores"]["precision"] for entry in chosen),
        "recall": mean(entry["scores"]["recall"] for entry in chosen),
        "object_recall": mean(entry["objects"]["recall"] for entry in chosen),
        "f1_without_xor": mean(entry["scores"]["f1"] for entry in no_xor),
        "recall_without_xor": mean(entry["scores"]["recall"] for entry in no_xor),
    }


def decide(old: Json, new: Json, *, drew: Collection[str]) -> list[tuple[str, bool]]:
    """The conditions of the rule, and whether the new weights meet each.

    Args:
        old: Result of the weights that are shipped.
        new: Result of the candidate, on the same sets.
        drew: Sets whose kind of pair the candidate's training drew.

    Raises:
        ValueError: The two were not scored on the same files, or training drew every kind.
    """
    chosen = [name for name, kind in SETS.items() if kind.chooses]
    unseen = [name for name in chosen if name not in drew]
    pairs = [(old["home"], new["home"]), *((old["sets"][n], new["sets"][n]) for n in chosen)]
    if any(a["data_sha256"] != b["data_sha256"] for a, b in pairs):
        raise ValueError("the two results are of different files: make the sets again, score both")
    if not unseen:
        raise ValueError("training drew every kind of pair: nothing here is elsewhere")
    f1 = [{name: result["sets"][name]["scores"]["f1"] for name in chosen} for result in (old, new)]
    conditions = [
        (f"{HOME}: F1 is higher", new["home"]["scores"]["f1"] > old["home"]["scores"]["f1"]),
        ("elsewhere: mean F1 is higher", new["means"]["f1"] > old["means"]["f1"]),
        ("elsewhere: mean recall does not fall", new["means"]["recall"] >= old["means"]["recall"]),
    ]
    for name in chosen:
        is_met = f1[0][name] - f1[1][name] <= MOST_A_SET_MAY_FALL
        conditions.append((f"{name}: F1 does not fall by more than 2 points", is_met))
    if drew:
        before, after = (mean(scores[name] for name in unseen) for scores in f1)
        conditions.append(
            ("sets of a kind that training did not draw: mean F1 is higher", after > before)
        )
    return conditions


def as_table(result: Json) -> str:
    """The result as lines of text, in per cent."""
    lines = [f"{'per cent':<22}      P      R     F1 (95 %)          IoU  objects R"]
    for name, entry in [(HOME, result["home"]), *result["sets"].items()]:
        scores, (low, high) = entry["scores"], entry["f1_interval_95"]
        p, r, f1, iou = (100 * scores[key] for key in ("precision", "recall", "f1", "iou"))
        counted = (
            "" if name == HOME or (name in SETS and SETS[name].chooses) else " (not in the mean)"
        )
        lines.append(
            f"{name:<22} {p:6.2f} {r:6.2f} {f1:6.2f} ({100 * low:.1f}-{100 * high:.1f}) "
            f"{iou:10.2f} "
            f"{100 * entry['objects']['recall']:10.2f}{counted}"
        )
    if "means" in result:
        of_all = result["means"]
        lines.append(
            f"{'mean elsewhere':<22} {100 * of_all['precision']:6.2f} "
            f"{100 * of_all['recall']:6.2f} "
            f"{100 * of_all['f1']:6.2f}; without exclusive-or pairs F1 "
            f"{100 * of_all['f1_without_xor']:.2f}, recall {100 * of_all['recall_without_xor']:.2f}"
        )
    return "\n".join(lines)


def recall_interval(result: Evaluation) -> list[float]:
    """95 % bootstrap interval of recall over images, with the draws of the interval of F1."""
    table = np.array(
        [(image.pixels.tp, image.pixels.tp + image.pixels.fn) for image in result.images]
    )
    generator = np.random.default_rng(0)
    draws = generator.multinomial(len(table), np.full(len(table), 1 / len(table)), size=2000)
    found, labelled = (draws @ table).T
    recall = np.divide(found, labelled, out=np.zeros(len(draws)), where=labelled > 0)
    return [float(value) for value in np.quantile(recall, [0.025, 0.975])]


def _entry(result: Evaluation) -> Json:
    values = result.to_json()
    kept = {key: values[key] for key in KEPT}
    return kept | {"recall_interval_95": recall_interval(result)}


def _names(given: list[str] | None) -> list[str]:
    unknown = set(given or []) - SETS.keys() - MATCHED.keys()
    if unknown:
        raise SystemExit(f"error: no set is called {', '.join(sorted(unknown))}")
    return given or list(SETS)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    making = verbs.add_parser("make", help="write the sets")
    making.add_argument("folder", type=Path)
    scoring = verbs.add_parser("score", help="score weights on the sets")
    scoring.add_argument("--flips", action="store_true", help="average over four flips")
    others = verbs.add_parser("thresholds", help="score other thresholds than the stored one")
    for verb in (scoring, others):
        verb.add_argument("weights")
        verb.add_argument("--sets", type=Path, required=True, help="folder that `make` wrote")
        verb.add_argument("--out", type=Path, help="JSON file")
        verb.add_argument("--threads", type=int, default=1)
    for verb in (making, scoring, others):
        verb.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    for verb in (making, scoring):
        verb.add_argument("--only", nargs="+", metavar="SET", help="these sets; all if left out")
    deciding = verbs.add_parser("decide", help="apply the rule")
    deciding.add_argument("old", type=Path)
    deciding.add_argument("new", type=Path)
    deciding.add_argument(
        "--drew", nargs="+", default=[], metavar="SET", help="sets whose kind of pair training drew"
    )
    arguments = parser.parse_args()
    if arguments.verb == "make":
        make(arguments.folder, arguments.data, _names(arguments.only))
    elif arguments.verb == "score":
        names = _names(arguments.only)
        result = score(
            arguments.weights,
            arguments.sets,
            arguments.data,
            names,
            threads=arguments.threads,
            flips=arguments.flips,
        )
        print(as_table(result))
        _write(result, arguments.out)
    elif arguments.verb == "thresholds":
        result = at_thresholds(
            arguments.weights, arguments.sets, arguments.data, threads=arguments.threads
        )
        print(curve_table(result))
        _write(result, arguments.out)
    else:
        _print_decision(
            arguments.old, arguments.new, drew=arguments.drew and _names(arguments.drew)
        )


def _write(result: Json, out: Path | None) -> None:
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        replace_file(out, as_text(result).encode())


def _print_decision(old: Path, new: Path, *, drew: Collection[str]) -> None:
    results: list[Any] = [json.loads(path.read_text(encoding="utf-8")) for path in (old, new)]
    conditions = decide(results[0], results[1], drew=drew)
    for text, is_met in conditions:
        print(f"{'yes' if is_met else 'NO ':<4}{text}")
    if not all(is_met for _, is_met in conditions):
        raise SystemExit("the rule says: keep the old weights")
    print("the rule says: take the new weights")


if __name__ == "__main__":
    main()
