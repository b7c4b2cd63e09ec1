"""F1 and processor time of weights by every runtime and precision, on a split of tiles with labels.

    python benchmarks/precision.py TILES/SPLIT --weights hanet_lite --int8 int8.onnx

TILES/SPLIT holds A, B and label. Each pair goes through all of them in turn. The result goes to
results/benchmarks/precision-WEIGHTS.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from hanet.datasets.layout import list_pairs
from hanet.evaluation.metrics import Counts
from hanet.evaluation.scoring import hash_of_pairs
from hanet.files import file_hash
from hanet.imagery.images import read_image, read_label
from hanet.provenance import machine, versions
from hanet.weights import catalogue
from hanet.weights.engine import Engine, RuntimeName, RuntimePrecision
from hanet.weights.runtime import Runtime, open_runtime

ROOT = Path(__file__).resolve().parents[1]

WAYS: tuple[tuple[RuntimeName, RuntimePrecision], ...] = (
    ("onnxruntime", "fp32"),
    ("openvino", "fp32"),
    ("openvino", "bf16"),
    ("torch", "fp32"),
    ("torch", "bf16"),
)
"""The first is what the others are compared with."""


def main() -> None:
    """Measures all of them, pair after pair."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("split", type=Path)
    parser.add_argument("--weights", default=catalogue.DEFAULT)
    parser.add_argument(
        "--int8", type=Path, help="what hanet export --precision int8 made of the same weights"
    )
    arguments = parser.parse_args()
    onnx, safetensors = (
        catalogue.resolve(arguments.weights, suffixes=(kind,)) for kind in (".onnx", ".safetensors")
    )
    engines: dict[tuple[str, str], Runtime] = {}
    for runtime, precision in WAYS:
        file = safetensors if runtime == "torch" else onnx
        engines[runtime, precision] = open_runtime(file, Engine(runtime, 1, precision))
    if arguments.int8 is not None:
        engines["onnxruntime", "int8"] = open_runtime(arguments.int8, Engine(threads=1))
    pairs = list_pairs(arguments.split.parent, arguments.split.name)
    metadata = engines[WAYS[0]].metadata
    threshold = np.float32(metadata.threshold)
    counts, seconds = dict.fromkeys(engines, Counts()), dict.fromkeys(engines, 0.0)
    difference, moved, pixels = dict.fromkeys(engines, 0.0), dict.fromkeys(engines, 0), 0
    for pair in pairs:
        before, after = (
            read_image(path)[None].astype(np.float32) for path in (pair.before, pair.after)
        )
        assert pair.label is not None
        label, expected = read_label(pair.label), None
        for way, engine in engines.items():
            if pair is pairs[0]:
                engine.predict(before, after)
            begun = process_time()
            found = engine.predict(before, after)[0]
            seconds[way] += process_time() - begun
            expected = found if expected is None else expected
            counts[way] += Counts.of(found >= threshold, label)
            difference[way] += float(np.abs(found - expected).sum(dtype=np.float64))
            moved[way] += int(np.count_nonzero((found >= threshold) != (expected >= threshold)))
        pixels += label.size
    rows: list[dict[str, Any]] = [
        {
            "runtime": runtime,
            "precision": precision,
            "f1": round(counts[runtime, precision].scores().f1, 5),
            "mean_difference": round(difference[runtime, precision] / pixels, 6),
            "changed_mask_share": round(moved[runtime, precision] / pixels, 6),
            "processor_ms_per_pair": round(seconds[runtime, precision] / len(pairs) * 1e3, 1),
            "times_as_fast": round(seconds[WAYS[0]] / seconds[runtime, precision], 2),
        }
        for runtime, precision in engines
    ]
    result = {
        "what": "weights by each runtime and precision, each pair by all of them in turn, one "
        "thread; differences against the first row",
        "command": f"python benchmarks/precision.py SPLIT --weights {arguments.weights}"
        + (" --int8 int8.onnx" if arguments.int8 is not None else ""),
        "split": "/".join(arguments.split.resolve().parts[-2:]),
        "pairs": len(pairs),
        "data_sha256": hash_of_pairs(pairs),
        "weights": {
            "name": metadata.name,
            "sha256": file_hash(onnx),
            "threshold": metadata.threshold,
        },
        "rows": rows,
        "machine": machine(),
        "versions": versions(["numpy", "onnxruntime", "openvino", "torch"]),
    }
    out = ROOT / "results" / "benchmarks" / f"precision-{metadata.name}.json"
    out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
