"""F1 and processor time of the cascade against the stronger weights alone, on whole scenes with
labels, scene by scene in turn.

    python benchmarks/cascade.py SCENES/SPLIT --strong hanet_lite --scout hanet_lite --thresholds
    0.05 0.1 0.2

SCENES/SPLIT holds A, B and label. The result goes to results/benchmarks/cascade-STRONG.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import numpy as np

from hanet.datasets.layout import list_pairs
from hanet.detection.arrays import Detector
from hanet.evaluation.metrics import Counts
from hanet.files import file_hash
from hanet.imagery.images import read_image, read_label
from hanet.provenance import hash_of_files, machine, versions
from hanet.weights import catalogue
from hanet.weights.cascade import Cascade
from hanet.weights.engine import Engine
from hanet.weights.runtime import open_runtime

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Measures the stronger weights alone and each threshold of the scout on the same scene before
    the next scene."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("split", type=Path)
    parser.add_argument("--strong", default=catalogue.DEFAULT)
    parser.add_argument("--scout", default=catalogue.DEFAULT)
    parser.add_argument("--thresholds", nargs="+", type=float, default=[0.05, 0.1, 0.2])
    parser.add_argument("--tile", type=int, default=256)
    parser.add_argument("--overlap", type=int, default=32)
    arguments = parser.parse_args()
    paths = {
        role: catalogue.resolve(name, suffixes=(".onnx",))
        for role, name in (("strong", arguments.strong), ("scout", arguments.scout))
    }
    strong, scout = (open_runtime(paths[role], Engine(threads=1)) for role in ("strong", "scout"))
    cascades = [Cascade(scout, strong, threshold=threshold) for threshold in arguments.thresholds]
    ways: list[Detector] = [Detector(strong), *(Detector(cascade) for cascade in cascades)]
    # type: list[Counts], list[list[float]]
    counts, seconds = [Counts() for _ in ways], [[] for _ in ways]
    pairs = list_pairs(arguments.split.parent, arguments.split.name)
    cut = np.float32(strong.metadata.threshold)
    for pair in pairs:
        before, after, label = (
            read_image(pair.before),
            read_image(pair.after),
            read_label(pair.label),
        )
        for number, way in enumerate(ways):
            begun = process_time()
            probability = way.predict(
                before, after, tile_px=arguments.tile, overlap_px=arguments.overlap
            )
            seconds[number].append(process_time() - begun)
            counts[number] += Counts.of(probability >= cut, label)
    rows: list[dict[str, Any]] = []
    for number in range(len(ways)):
        scores = counts[number].scores()
        ratios = [alone / own for alone, own in zip(seconds[0], seconds[number], strict=True)]
        row: dict[str, Any] = {"way": "strong alone"}
        if number:
            cascade = cascades[number - 1]
            row = {"way": "cascade", "scout_threshold": arguments.thresholds[number - 1]}
            row["share_looked_at"] = round(cascade.counts.share_looked_at, 4)
        row |= {key: round(getattr(scores, key), 5) for key in ("f1", "precision", "recall")}
        row |= {"speed_up_in_all": round(sum(seconds[0]) / sum(seconds[number]), 3)}
        rows.append({**row, "speed_up_median_scene": round(median(ratios), 3)})
        print(json.dumps(rows[-1]), flush=True)
    files = [
        (role, file)
        for p in pairs
        for role, file in (("A", p.before), ("B", p.after), ("label", p.label))
    ]
    result = {
        "what": "a scout at half resolution before the stronger weights; processor time, each "
        "scene by every way in turn",
        "command": f"python benchmarks/cascade.py SPLIT --strong {arguments.strong} --scout "
        f"{arguments.scout} --thresholds " + " ".join(map(str, arguments.thresholds)),
        "split": "/".join(arguments.split.resolve().parts[-2:]),
        "scenes": len(pairs),
        "tile_px": arguments.tile,
        "overlap_px": arguments.overlap,
        "data_sha256": hash_of_files(files),
        "weights": {
            role: {"name": path.stem, "sha256": file_hash(path)} for role, path in paths.items()
        },
        "rows": rows,
        "machine": machine(),
        "versions": versions(["numpy", "onnxruntime"]),
    }
    out = ROOT / "results" / "benchmarks" / f"cascade-{strong.metadata.name}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
