"""F1 of footprints with and without ``--separate``: those of ``hanet footprints`` against the
label's, whole scenes, one to one at IoU 0.5.

    python benchmarks/split.py SCENES/SPLIT --weights hanet_lite

SCENES/SPLIT holds A, B and label, at 0.5 m. The result goes to
results/benchmarks/split-WEIGHTS.json.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.features import rasterize
from scipy import ndimage

from hanet.evaluation.footprint_matching import EIGHT_CONNECTED, match_numbered
from hanet.evaluation.metrics import Counts
from hanet.files import file_hash
from hanet.footprints.extraction import find_footprints
from hanet.footprints.settings import FootprintSettings
from hanet.imagery.grid import Grid
from hanet.imagery.images import read_image, read_label
from hanet.imagery.raster_output import (
    FlatRaster,
    ProbabilityRaster,
    encode_probability,
    write_probability,
)
from hanet.provenance import hash_of_files, machine, versions
from hanet.types import FloatArray, Window
from one_detector import measured, parser_of

ROOT = Path(__file__).resolve().parents[1]
MIN_AREA_PX = 40
"""10 m² at 0.5 m, the default of ``hanet footprints``."""


def main() -> None:
    """Detects each scene once and makes its footprints in both ways."""
    split = measured(parser_of(__doc__))
    arguments, path, detector, pairs = split
    threshold = detector.metadata.threshold
    counts = {False: Counts(), True: Counts()}
    with tempfile.TemporaryDirectory() as folder:
        for pair in pairs:
            probability = detector.predict(read_image(pair.before), read_image(pair.after))
            label = np.asarray(
                ndimage.label(read_label(pair.label), EIGHT_CONNECTED)[0], dtype=np.int64
            )
            raster = _stored(Path(folder), probability)
            for separate in counts:
                settings = FootprintSettings(
                    threshold=threshold,
                    outline="pixels",
                    min_area_m2=MIN_AREA_PX,
                    separate=separate,
                )
                counts[separate] += match_numbered(
                    _numbered(raster, settings, label.shape), label, min_area_px=MIN_AREA_PX
                )
    files = [
        (role, file)
        for p in pairs
        for role, file in (("A", p.before), ("B", p.after), ("label", p.label))
    ]
    rows: list[dict[str, Any]] = [
        {
            "split": separate,
            "f1": round(found.scores().f1, 5),
            "right": found.tp,
            "wrong": found.fp,
            "missed": found.fn,
        }
        for separate, found in counts.items()
    ]
    result = {
        "what": "footprints of at least 10 m2 against the label's, one to one at IoU 0.5, with "
        "--separate and without",
        "command": f"python benchmarks/split.py SPLIT --weights {arguments.weights}",
        "split": split.split,
        "scenes": len(pairs),
        "min_area_px": MIN_AREA_PX,
        "threshold": threshold,
        "weights": {"name": path.stem, "sha256": file_hash(path)},
        "data_sha256": hash_of_files(files),
        "rows": rows,
        "machine": machine(),
        "versions": versions(["numpy", "onnxruntime"]),
    }
    out = ROOT / "results" / "benchmarks" / f"split-{detector.metadata.name}.json"
    out.write_text(json.dumps(result, indent=2) + "\n")
    print(*rows, sep="\n")


def _stored(folder: Path, probability: FloatArray) -> Path:
    """``probability.tif`` of an array, without CRS."""
    height, width = probability.shape
    grid = Grid(None, (1.0, 0.0, 0.0, 0.0, -1.0, 0.0), height, width)
    with FlatRaster(folder / "probability.raw", grid) as flat:
        flat.write(
            Window(0, 0, height, width),
            encode_probability(probability, np.ones(probability.shape, dtype=np.bool_)),
        )
    write_probability(folder / "probability.raw", grid, folder / "probability.tif", tags={})
    return folder / "probability.tif"


def _numbered(
    raster: Path, settings: FootprintSettings, shape: tuple[int, ...]
) -> npt.NDArray[np.int64]:
    """The number of the footprint of each pixel, 0 for none."""
    with ProbabilityRaster(raster) as opened:
        found = find_footprints(opened, settings)
    if not found:
        return np.zeros(shape, dtype=np.int64)
    shapes = [(footprint.pixel_geometry, number) for number, footprint in enumerate(found, start=1)]
    numbers = rasterize(shapes, out_shape=shape, dtype="int32")
    return np.asarray(numbers, dtype=np.int64)


if __name__ == "__main__":
    main()
