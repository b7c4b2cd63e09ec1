"""F1 and time of images in tiles of their own, as the detector cuts them, and in tiles of the
weights' size.

    python benchmarks/own_tiles.py TILES/SPLIT --weights hanet_lite

TILES/SPLIT holds A, B and label, images of one size. Each is inferred both ways, one right after
the other and in turns which first, so that whatever else the machine does meets both; the ratio is
the median of those of the images. ``hanet detect`` takes the same tiles of a raster
(tests/detection/test_small_rasters.py). The result goes to
results/benchmarks/own-tiles-SIZE-WEIGHTS.json.
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import numpy as np

from hanet.detection.streaming import own_tile, tile_and_overlap
from hanet.evaluation.metrics import Counts
from hanet.evaluation.scoring import hash_of_pairs
from hanet.files import file_hash
from hanet.imagery.images import read_image, read_label
from hanet.provenance import machine, versions
from one_detector import measured, parser_of

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Measures both, image by image."""
    split = measured(parser_of(__doc__))
    arguments, path, detector, pairs = split
    metadata = detector.metadata
    ways: dict[str, int | None] = {"own_tile": None, "weights_tile": metadata.tile_px}
    counts = {way: Counts() for way in ways}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    sizes: set[tuple[int, int]] = set()
    differing = pixels = 0
    for number, pair in enumerate(pairs):
        before, after, label = (
            read_image(pair.before),
            read_image(pair.after),
            read_label(pair.label),
        )
        sizes.add(label.shape)
        masks: dict[str, Any] = {}
        for way in list(ways)[:: 1 if number % 2 else -1]:
            begun = process_time()
            probability = detector.predict(before, after, tile_px=ways[way])
            seconds[way].append(process_time() - begun)
            masks[way] = probability >= np.float32(metadata.threshold)
            counts[way] += Counts.of(masks[way], label)
        differing += int((masks["own_tile"] != masks["weights_tile"]).sum())
        pixels += label.size
    if len(sizes) > 1:
        raise SystemExit(f"error: images of {len(sizes)} sizes; a split of one size is needed")
    (height, width), (_, overlap) = *sizes, tile_and_overlap(metadata, None, None)
    side = own_tile(metadata, overlap, height=height, width=width)
    ratios = [own / other for own, other in zip(*seconds.values(), strict=True)]
    result = {
        "what": "images in tiles of their own and in tiles of the weights' size; counts over all "
        "pixels of the split",
        "command": f"python benchmarks/own_tiles.py SPLIT --weights {arguments.weights}",
        "split": split.split,
        "images": len(pairs),
        "data_sha256": hash_of_pairs(pairs),
        "weights": {
            "name": metadata.name,
            "sha256": file_hash(path),
            "threshold": metadata.threshold,
        },
        "own_tile": {
            "tile_px": side,
            **_scores(counts["own_tile"], seconds["own_tile"]),
        },
        "weights_tile": {
            "tile_px": metadata.tile_px,
            **_scores(counts["weights_tile"], seconds["weights_tile"]),
        },
        "time_ratio": {
            "median": round(median(ratios), 3),
            "quartiles": [round(float(np.quantile(ratios, share)), 3) for share in (0.25, 0.75)],
        },
        "mask_pixels_that_differ": differing / pixels,
        "machine": machine(),
        "versions": versions(["numpy", "onnxruntime"]),
    }
    out = ROOT / "results" / "benchmarks" / f"own-tiles-{width}-{metadata.name}.json"
    out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({key: result[key] for key in ("own_tile", "weights_tile", "time_ratio")}))


def _scores(counts: Counts, seconds: list[float]) -> dict[str, float]:
    scores = counts.scores()
    named = {name: getattr(scores, name) for name in ("f1", "iou", "precision", "recall")}
    return {
        **{name: round(value, 5) for name, value in named.items()},
        "median_seconds": round(median(seconds), 4),
    }


if __name__ == "__main__":
    main()
