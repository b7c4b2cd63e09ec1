"""Shifts planted on real and rendered pairs, found or not; what is found where nothing is shared;
what aligning the pairs as they are does to the score. Writes results/reliability/shifts.json.

    python benchmarks/shifts.py --data ../shared/data/levir-cd/scenes-1024

Real pairs lie one to six pixels apart by themselves, and nobody knows the truth: the error of a
planted shift is counted from what is found without it. The renderer knows its own shift.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.ndimage

from hanet.datasets.layout import list_pairs
from hanet.detection.arrays import load
from hanet.evaluation.metrics import Counts
from hanet.files import replace_file
from hanet.imagery.findings import MIN_CONFIDENCE
from hanet.imagery.images import read_image, read_label
from hanet.imagery.preflight import SHIFT_WINDOW_PX, WINDOW_STRIDE_PX
from hanet.imagery.registration import Shift, common_shift, correlation_surface, peak_of
from hanet.provenance import machine, versions
from hanet.synthetic.scene import Scene
from hanet.types import FloatArray, Json, Mask, Window

ROOT = Path(__file__).resolve().parents[1]
LENGTHS_PX = (0.5, 1, 2, 3, 5, 8, 12, 20)
RENDERED = 8
UNRELATED = 40
FOUND_PX = 0.5
"""A planted shift is found when it is this near and confident."""


class _Pair(NamedTuple):
    name: str
    before: FloatArray  # (3, H, W)
    after: FloatArray
    change: Mask
    truth: tuple[float, float] | None  # rows, columns, where they are known


class _Found(NamedTuple):
    shift: Shift
    peak: float


def _find(before: FloatArray, after: FloatArray) -> _Found:
    side, stride = SHIFT_WINDOW_PX, WINDOW_STRIDE_PX
    first, second = before.mean(axis=0), after.mean(axis=0)
    surfaces = [
        correlation_surface(
            first[row : row + side, column : column + side],
            second[row : row + side, column : column + side],
        )
        for row in range(0, first.shape[0] - side + 1, stride)
        for column in range(0, first.shape[1] - side + 1, stride)
    ]
    return _Found(common_shift(surfaces), peak_of(np.mean(surfaces, axis=0))[2])


def _moved(image: FloatArray, rows: float, columns: float) -> FloatArray:
    """The image with its content lower and further right, by cubic splines."""
    bands = [scipy.ndimage.shift(band, (rows, columns), order=3, mode="reflect") for band in image]
    return np.clip(np.stack(bands), 0, 255).astype(np.float32)


def _real(data: Path) -> Iterator[_Pair]:
    for pair in list_pairs(data, "val"):
        assert pair.label is not None
        images = (read_image(path).astype(np.float32) for path in (pair.before, pair.after))
        yield _Pair(pair.name, *images, read_label(pair.label), None)


def _rendered() -> Iterator[_Pair]:
    for seed in range(9000, 9000 + RENDERED):
        scene = Scene(seed)
        before, after, change = scene.render(Window(0, 0, 1024, 1024))
        x, y = (metres / scene.gsd_m for metres in scene._dates[1].shift_m)
        images = (image.astype(np.float32) for image in (before, after))
        yield _Pair(f"rendered-{seed}", *images, np.asarray(change, dtype=np.bool_), (-y, -x))


def _planted(pairs: list[_Pair]) -> list[Json]:
    random = np.random.default_rng(0)
    rows = []
    for pair in pairs:
        alone = _find(pair.before, pair.after)
        origin = pair.truth or (alone.shift.rows_px, alone.shift.columns_px)
        row: Json = {"pair": pair.name, "alone": alone.shift.to_json(), "peak": alone.peak}
        if pair.truth is not None:
            row["truth"] = pair.truth
        row["planted"] = []
        for length in LENGTHS_PX:
            angle = random.uniform(0, 2 * np.pi)
            by = (length * np.sin(angle), length * np.cos(angle))
            found = _find(pair.before, _moved(pair.after, *by))
            error = np.hypot(
                found.shift.rows_px - origin[0] - by[0],
                found.shift.columns_px - origin[1] - by[1],
            )
            facts = {"length_px": length, "error_px": float(error), "peak": found.peak}
            row["planted"].append({**facts, "confidence": found.shift.confidence})
        rows.append(row)
    return rows


def _unrelated(pairs: list[_Pair]) -> list[Json]:
    """What is found between a scene and another one, and between images of noise."""
    random = np.random.default_rng(1)
    found = []
    for number in range(UNRELATED):
        first, second = random.choice(len(pairs), 2, replace=False)
        noise = random.normal(size=(2, 3, 512, 512)).astype(np.float32)
        couple = (pairs[first].before, pairs[second].after) if number % 2 else (noise[0], noise[1])
        result = _find(*couple)
        facts: Json = {"kind": "other scene" if number % 2 else "noise", "peak": result.peak}
        found.append({**facts, "confidence": result.shift.confidence})
    return found


def _aligned(pairs: list[_Pair]) -> Json:
    """F1 of the default weights on the pairs as they are, and with the before image aligned: the
    labels were drawn over the after image, which therefore stays."""
    network = load(threads=1)
    threshold = network.metadata.threshold
    totals = {"as they are": Counts(0, 0, 0, 0), "aligned": Counts(0, 0, 0, 0)}
    for pair in pairs:
        shift = _find(pair.before, pair.after).shift
        aligned = _moved(pair.before, shift.rows_px, shift.columns_px)
        for name, before in (("as they are", pair.before), ("aligned", aligned)):
            probability = network.predict(before, pair.after)
            totals[name] += Counts.of(probability >= threshold, pair.change)
    return {name: counts.scores().f1 for name, counts in totals.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="LEVIR-CD, SPLIT/{A,B,label}")
    parser.add_argument("--out", type=Path, default=ROOT / "results/reliability/shifts.json")
    arguments = parser.parse_args()
    real, rendered = list(_real(arguments.data)), list(_rendered())
    result: Json = {
        "benchmark": "shifts",
        "data": f"{arguments.data.name}/val and {RENDERED} rendered scenes of 1024 pixels",
        "machine": machine(),
        "versions": versions(("numpy", "scipy")),
        "found_px": FOUND_PX,
    }
    for name, pairs in (("real", real), ("rendered", rendered)):
        rows = _planted(pairs)
        planted = [shift for row in rows for shift in row["planted"]]
        near = [shift for shift in planted if shift["error_px"] <= FOUND_PX]
        sure = [shift for shift in near if shift["confidence"] >= MIN_CONFIDENCE]
        wrong = [s for s in planted if s["confidence"] >= MIN_CONFIDENCE and s not in near]
        result[name] = {
            "planted": len(planted),
            "within_half_a_pixel": len(near),
            "of_these_confident": len(sure),
            "confident_and_wrong": len(wrong),
            "lowest_peak": min(shift["peak"] for shift in planted),
            "rows": rows,
        }
    unrelated = _unrelated(real)
    result["unrelated"] = {
        "pairs": len(unrelated),
        "highest_peak": max(row["peak"] for row in unrelated),
        "confident": sum(row["confidence"] >= MIN_CONFIDENCE for row in unrelated),
        "rows": unrelated,
    }
    result["f1_of_hanet_lite"] = _aligned(real)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    replace_file(arguments.out, f"{json.dumps(result, indent=2)}\n".encode())
    for name in ("real", "rendered", "unrelated"):
        print(name, {key: value for key, value in result[name].items() if key != "rows"})
    print(result["f1_of_hanet_lite"])


if __name__ == "__main__":
    main()
