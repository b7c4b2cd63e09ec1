"""Scores how often weights tell built from demolished, footprint by footprint, in both orders of
the dates; docs/concepts/kinds.md says what the figures mean.

    python scripts/elsewhere.py make FOLDER [--data ../shared/data]
    python scripts/kinds_of_change.py WEIGHTS --sets FOLDER [--data ../shared/data/levir-cd]
        [--out results/kinds/NAME.json]

WEIGHTS is a name of weights or an ONNX file. FOLDER holds sets of ``SET/val/{A,B,label,built}`` as
the first command writes them; all changes of tiles-256/val count as new buildings, as nearly all
are.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from hanet.datasets.layout import Pair, list_pairs
from hanet.detection.arrays import Detector, load
from hanet.files import file_hash, replace_file
from hanet.footprints.kinds import CLEAR_FROM
from hanet.imagery.images import read_change, read_image
from hanet.provenance import machine, versions
from hanet.types import ByteArray, FloatArray, Json, Mask
from hanet.weights import catalogue

HOME = "tiles-256/val"
"""Whose changes are all taken for new buildings."""

SETS = ("suburbs-xor", "suburbs-planted", "nyc-xor", "rendered-styles", "france")
"""Sets of pairs that hold both kinds of change; training saw none of their places or styles."""

SMALLEST_PX = 40
"""Of a footprint: 10 square metres at half a metre, as `hanet detect` has it."""

TRUE_SHARE = 0.5
"""Share of a footprint's pixels that must have changed; of a false alarm no kind is true."""

LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9)
"""Probabilities from which on a kind could be called clear."""

TILE_PX = 256


class Footprint(NamedTuple):
    """What is counted of one: the mean probability that was given to its true kind, and whether
    that is "built"."""

    share: float
    is_built: bool


def footprints_of(
    probability: FloatArray, built: FloatArray, change: ByteArray, is_built: Mask, threshold: float
) -> Iterator[Footprint]:
    """The footprints of a pair that are true changes, all arrays (H, W).

    Args:
        probability: Of change.
        built: Of "built"; NaN where nobody asks.
        change: Label.
        is_built: Which of its changes are new buildings.
        threshold: From which on a pixel belongs to a footprint.
    """
    numbered, count = ndimage.label(probability >= threshold, np.ones((3, 3)))
    for number in range(1, count + 1):
        inside = numbered == number
        true = inside & (change == 1)
        if inside.sum() < SMALLEST_PX or true.sum() < TRUE_SHARE * inside.sum():
            continue
        truth = bool((true & is_built).sum() * 2 > true.sum())
        mean = float(np.nanmean(built[inside]))
        yield Footprint(mean if truth else 1.0 - mean, truth)


def of_pair(detector: Detector, pair: Pair, *, is_exchanged: bool) -> Iterator[Footprint]:
    """Those of a pair, before and after in their order or exchanged."""
    assert pair.label is not None
    change = read_change(pair.label)
    is_built = change == 1 if pair.built is None else read_change(pair.built) == 1
    dates = [read_image(pair.before), read_image(pair.after)]
    if is_exchanged:
        dates.reverse()
        is_built = (change == 1) & ~is_built
    probability, built = detector.predict_kinds(dates[0], dates[1], tile_px=TILE_PX)
    threshold = detector.metadata.threshold
    yield from footprints_of(probability, built, change, is_built, threshold)


def summary(found: list[Footprint]) -> Json:
    """Counts of right, wrong and unclear kinds at each level, and of each kind."""
    shares = np.array([one.share for one in found])
    truly_built = np.array([one.is_built for one in found], dtype=bool)
    levels = {}
    for level in LEVELS:
        right, wrong = shares >= level, 1.0 - shares >= level
        if level == LEVELS[0]:
            wrong &= ~right
        told = int(right.sum() + wrong.sum())
        levels[f"{level:g}"] = {
            "right": int(right.sum()),
            "wrong": int(wrong.sum()),
            "unclear": len(found) - told,
            "accuracy": round(float(right.mean()), 4) if found else None,
            "accuracy_of_clear": round(int(right.sum()) / told, 4) if told else None,
        }
    by_kind = {
        name: {
            "footprints": int(which.sum()),
            "right": int((shares[which] >= CLEAR_FROM).sum()),
            "wrong": int((1.0 - shares[which] >= CLEAR_FROM).sum()),
        }
        for name, which in (("built", truly_built), ("demolished", ~truly_built))
    }
    return {"footprints": len(found), "levels": levels, "by_kind": by_kind}


def score(weights: Path, data: Path, sets: Path, names: list[str], *, threads: int) -> Json:
    """Scores an ONNX file on tiles-256/val and on each set, in both orders of the dates."""
    detector = load(weights, threads=threads)
    roots = {HOME: data / "tiles-256", **{name: sets / name for name in names}}
    scores, everything = {}, []
    for name, root in roots.items():
        pairs = list_pairs(root, "val")
        orders = {}
        for order, is_exchanged in (("as it is", False), ("exchanged", True)):
            found = [
                one for pair in pairs for one in of_pair(detector, pair, is_exchanged=is_exchanged)
            ]
            orders[order] = summary(found)
            everything += found
            told = orders[order]["levels"][f"{CLEAR_FROM:g}"]
            print(f"{name}, {order}: {len(found)} footprints, {told}", flush=True)
        scores[name] = {"pairs": len(pairs), **orders}
    return {
        "weights": detector.metadata.name,
        "weights_file": weights.name,
        "weights_sha256": file_hash(weights),
        "threshold": detector.metadata.threshold,
        "clear_from": CLEAR_FROM,
        "smallest_px": SMALLEST_PX,
        "true_share": TRUE_SHARE,
        "sets": scores,
        "all": summary(everything),
        "versions": versions(["numpy", "scipy", "onnxruntime"]),
        "machine": machine(),
    }


def main() -> None:
    """Scores, and writes the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", help="a name of `hanet models`, or an .onnx file")
    parser.add_argument("--sets", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/levir-cd"))
    parser.add_argument("--only", nargs="*", default=list(SETS), help="sets, by name")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    weights = catalogue.resolve(arguments.weights, suffixes=(".onnx",))
    result = score(
        weights, arguments.data, arguments.sets, arguments.only, threads=arguments.threads
    )
    if arguments.out is not None:
        replace_file(arguments.out, (json.dumps(result, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
