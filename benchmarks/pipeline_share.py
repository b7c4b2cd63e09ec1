"""Speed of `hanet detect` from files to footprints, as a share of the speed of inference alone on
the same tiles.

    python benchmarks/pipeline_share.py SCENES --size 8192 --weights hanet_lite --rounds 3

SCENES/SIZE is rendered if it is missing. Both run in one process, in turn, so that whatever else
the machine does falls on both alike; the medians of wall and processor time count. Inference alone
takes the plan's tiles in the plan's batches, with pixels of the pair that were read before the
clock runs. The result goes to results/benchmarks/pipeline-WEIGHTS-SIZE.json.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from hanet.detection.job import DetectionSettings, detect
from hanet.detection.streaming import infer_chunk, own_tile, planes_of, tile_and_overlap
from hanet.detection.tiling import TilePlan
from hanet.imagery.pair import open_pair
from hanet.provenance import machine, versions
from hanet.synthetic.scene import render_scene
from hanet.weights import catalogue
from hanet.weights.engine import Engine
from hanet.weights.runtime import Runtime, directed, open_runtime

ROOT = Path(__file__).resolve().parents[1]


def inference_alone(scene: Path, runtime: Runtime) -> Callable[[], None]:
    """Runs every tile of the plan; each row of tiles takes the pixels of the first, so that memory
    stays small."""
    facts = runtime.metadata
    with open_pair(scene / "before.tif", scene / "after.tif", target_gsd_m=facts.gsd_m) as pair:
        height, width = pair.grid.height, pair.grid.width
        _, overlap = tile_and_overlap(facts, None, None)
        tile = own_tile(facts, overlap, height=height, width=width)
        plan = TilePlan(height, width, tile, overlap, chunk_tiles=DetectionSettings().batch)
        chunks = [(chunk, pair.read(chunk.window)) for chunk in plan.chunks(0)]

    # what `hanet detect` asks of these weights
    predict = planes_of(runtime, with_built=directed(runtime) is not None)

    def run() -> None:
        for _ in range(len(plan.rows)):
            for chunk, block in chunks:
                infer_chunk(predict, plan, chunk, block)

    return run


def clocked(run: Callable[[], None]) -> dict[str, float]:
    """Wall and processor seconds of a run."""
    begun, used = perf_counter(), process_time()
    run()
    return {"wall": perf_counter() - begun, "processor": process_time() - used}


def main() -> None:
    """Measures and writes the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scenes", type=Path, help="folder for rendered pairs, by size")
    parser.add_argument("--size", type=int, default=8192)
    parser.add_argument(
        "--weights", default=catalogue.DEFAULT, help="a name of `hanet models`, or an .onnx file"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--threads", type=int, default=None, help="threads of ONNX Runtime; all cores if left out"
    )
    arguments = parser.parse_args()
    scene = arguments.scenes / str(arguments.size)
    if not (scene / "after.tif").exists():
        render_scene(scene, size=arguments.size, seed=1)
    path = catalogue.resolve(arguments.weights, suffixes=(".onnx",))
    runtime = open_runtime(path, Engine(threads=arguments.threads))
    seconds: dict[str, list[dict[str, float]]] = {"detect": [], "inference alone": []}
    timings: list[Any] = []
    with tempfile.TemporaryDirectory(dir=arguments.scenes) as name:
        out = Path(name) / "out"

        def whole() -> None:
            pair = scene / "before.tif", scene / "after.tif"
            detect(*pair, out=out, weights=path, threads=arguments.threads)

        alone = inference_alone(scene, runtime)
        alone()  # unmeasured: memory is taken and files are in the page cache
        for _ in range(arguments.rounds):
            seconds["detect"].append(clocked(whole))
            timings.append(json.loads((out / "run.json").read_text(encoding="utf-8"))["timings"])
            shutil.rmtree(out)
            seconds["inference alone"].append(clocked(alone))
    median = {
        subject: {
            clock: statistics.median(run[clock] for run in runs) for clock in ("wall", "processor")
        }
        for subject, runs in seconds.items()
    }
    pixels = arguments.size**2
    result: dict[str, Any] = {
        "what": "hanet detect, files to footprints and report, against inference alone on the "
        "same tiles; medians of turns",
        "command": f"python benchmarks/pipeline_share.py SCENES --size {arguments.size} "
        f"--weights {arguments.weights} "
        f"--rounds {arguments.rounds}"
        + (f" --threads {arguments.threads}" if arguments.threads else ""),
        "share_of_inference_speed": {
            clock: round(median["inference alone"][clock] / median["detect"][clock], 3)
            for clock in ("wall", "processor")
        },
        "megapixels_per_s": {
            subject: round(pixels / both["wall"] / 1e6, 3) for subject, both in median.items()
        },
        "seconds": {
            subject: [{clock: round(value, 2) for clock, value in run.items()} for run in runs]
            for subject, runs in seconds.items()
        },
        "timings": timings,
        "machine": machine(),
        "versions": versions(["numpy", "rasterio", "onnxruntime", "shapely", "pyogrio"]),
    }
    target = ROOT / "results" / "benchmarks" / f"pipeline-{path.stem}-{arguments.size}.json"
    target.write_text(json.dumps(result, indent=2) + "\n")
    print(
        json.dumps({key: result[key] for key in ("share_of_inference_speed", "megapixels_per_s")})
    )


if __name__ == "__main__":
    main()
