"""Peak memory and time of `hanet detect` on rendered pairs of several sizes, each in a process of
its own.

    python benchmarks/detection_memory.py SCENES --sizes 4096 8192 16384 --weights hanet_lite

SCENES/SIZE is rendered if it is missing. The result goes to
results/benchmarks/detection-memory-WEIGHTS.json, size after size, beside the rows of other sizes
that the same versions measured on the same machine. `--weights difference` takes a tiny local
network, so that the pipeline around the network counts and footprints are many.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

from difference_weights import write_difference_weights
from hanet.provenance import machine, versions

ROOT = Path(__file__).resolve().parents[1]
HANET = [sys.executable, "-c", "from hanet.cli import main; main()"]


def measured(command: list[str]) -> tuple[float, float, float]:
    """Peak resident memory in megabytes, wall seconds and processor seconds of a command that must
    succeed."""
    begun = perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"{' '.join(command)} failed")
    kilobytes = usage.ru_maxrss / (1024 if sys.platform == "darwin" else 1)  # macOS counts bytes
    return kilobytes / 1024, perf_counter() - begun, usage.ru_utime + usage.ru_stime


def one_size(
    scenes: Path, size: int, weights: str, threads: int, options: list[str]
) -> dict[str, Any]:
    """A row of the result."""
    scene = scenes / str(size)
    if not (scene / "after.tif").exists():
        subprocess.run(
            [*HANET, "scene", str(scene), "--size", str(size), "--seed", "1", "--overwrite"],
            check=True,
        )
    with tempfile.TemporaryDirectory(dir=scenes) as folder:
        out = Path(folder) / "out"
        pair = [str(scene / "before.tif"), str(scene / "after.tif")]
        command = [
            *HANET,
            "detect",
            *pair,
            "--out",
            str(out),
            "--weights",
            weights,
            "--threads",
            str(threads),
        ]
        peak, wall, processor = measured([*command, *options])
        manifest = json.loads((out / "run.json").read_text())
        report_bytes = (out / "report.html").stat().st_size
    return {
        "size": size,
        "megapixels": size * size / 1e6,
        "peak_mb": round(peak, 1),
        "wall_seconds": round(wall, 1),
        "processor_seconds": round(processor, 1),
        "footprints": manifest["footprints"]["count"],
        "report_bytes": report_bytes,
        "timings": manifest["timings"],
    }


def main() -> None:
    """Measures and writes the result after each size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scenes", type=Path, help="folder for rendered pairs, by size")
    parser.add_argument("--sizes", type=int, nargs="+", default=[4096, 8192, 16384])
    parser.add_argument(
        "--weights", default="hanet_lite", help="a name of `hanet models`, a file, or difference"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--min-area-m2", default=None)
    arguments = parser.parse_args()
    arguments.scenes.mkdir(parents=True, exist_ok=True)
    weights, name = arguments.weights, Path(arguments.weights).stem
    if weights == "difference":
        weights = str(write_difference_weights(arguments.scenes / "difference.onnx"))
    options = ["--min-area-m2", arguments.min_area_m2] if arguments.min_area_m2 else []
    path = ROOT / "results" / "benchmarks" / f"detection-memory-{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    known = versions(["numpy", "rasterio", "onnxruntime", "shapely", "pyogrio"])
    before = json.loads(path.read_text()) if path.exists() else {}
    kept = (
        before["rows"]
        if before.get("versions") == known and before.get("machine") == machine()
        else []
    )
    for size in arguments.sizes:
        row = one_size(arguments.scenes, size, weights, arguments.threads, options)
        kept = sorted(
            [*(other for other in kept if other["size"] != size), row],
            key=lambda other: int(other["size"]),
        )
        result: dict[str, Any] = {
            "what": "peak resident memory of hanet detect on rendered pairs, seed 1, 8 bit, one "
            "grid",
            "command": "python benchmarks/detection_memory.py "
            + " ".join(["SCENES", *sys.argv[2:]]),
            "rows": kept,
            "peak_of_largest_to_smallest": round(kept[-1]["peak_mb"] / kept[0]["peak_mb"], 3),
            "machine": machine(),
            "versions": known,
        }
        path.write_text(json.dumps(result, indent=2) + "\n")
        print(json.dumps(row))


if __name__ == "__main__":
    main()
