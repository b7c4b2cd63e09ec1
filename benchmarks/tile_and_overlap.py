"""F1 and processor time of the detector against the side of its tiles and their overlap, on whole
scenes with labels.

    python benchmarks/tile_and_overlap.py SCENES/SPLIT --weights hanet_lite --plans 512:64 512:0
    256:64

SCENES/SPLIT holds A, B and label. The result goes to
results/benchmarks/tile-and-overlap-WEIGHTS.json, plan after plan.
"""

from __future__ import annotations

import json
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from hanet.evaluation.metrics import Counts
from hanet.files import file_hash
from hanet.imagery.images import read_image, read_label
from hanet.provenance import hash_of_files, machine, versions
from one_detector import measured, parser_of

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Measures one plan after the other."""
    parser = parser_of(__doc__)
    parser.add_argument(
        "--plans", nargs="+", default=["512:0", "512:32", "512:64", "512:128", "256:64", "1024:64"]
    )
    split = measured(parser)
    arguments, path, detector, pairs = split
    threshold = detector.metadata.threshold
    files = [
        (role, file)
        for p in pairs
        for role, file in (("before", p.before), ("after", p.after), ("label", p.label))
    ]
    rows: list[dict[str, Any]] = []
    for plan in arguments.plans:
        tile_px, overlap_px = (int(part) for part in plan.split(":"))
        counts, seconds, pixels = Counts(), 0.0, 0
        for pair in pairs:
            before, after, label = (
                read_image(pair.before),
                read_image(pair.after),
                read_label(pair.label),
            )
            begun = process_time()
            probability = detector.predict(before, after, tile_px=tile_px, overlap_px=overlap_px)
            seconds += process_time() - begun
            pixels += label.size
            counts += Counts.of(probability >= np.float32(threshold), label)
        scores = counts.scores()
        row = {
            "tile_px": tile_px,
            "overlap_px": overlap_px,
            "f1": round(scores.f1, 5),
            "iou": round(scores.iou, 5),
        }
        row |= {"precision": round(scores.precision, 5), "recall": round(scores.recall, 5)}
        rows.append({**row, "processor_seconds_per_megapixel": round(seconds / pixels * 1e6, 3)})
        result = {
            "what": "the detector's tiles on whole images, counts over all pixels of the split",
            "command": "python benchmarks/tile_and_overlap.py SPLIT --weights "
            f"{arguments.weights} --plans {' '.join(arguments.plans)}",
            "split": split.split,
            "images": len(pairs),
            "data_sha256": hash_of_files(files),
            "weights": {
                "name": detector.metadata.name,
                "sha256": file_hash(path),
                "threshold": threshold,
            },
            "rows": rows,
            "machine": machine(),
            "versions": versions(["numpy", "onnxruntime"]),
        }
        out = ROOT / "results" / "benchmarks" / f"tile-and-overlap-{detector.metadata.name}.json"
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(result, indent=2) + "\n")
        print(json.dumps(rows[-1]), flush=True)


if __name__ == "__main__":
    main()
