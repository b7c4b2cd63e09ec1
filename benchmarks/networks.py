"""Seconds and memory of one pair of 256 pixels by every network, side by side.

    python benchmarks/networks.py [--threads 2] [--rounds 5] [--only tinycd bit ...]

Each network as `hanet detect` runs it, with random weights (its work does not depend on them): by
ONNX Runtime from a file of `hanet export`, and by torch. They run in turn, round by round, so that
whatever else the machine does affects all alike; how busy it was stands in the file. Memory is that
of a fresh process, above what it held before. The result goes to networks.json beside the other
benchmarks; with --only, to the terminal, since rows of different runs do not compare.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

import numpy as np
import torch

from hanet.bench.measuring import added_mb, in_child, set_threads
from hanet.files import replace_file
from hanet.metadata import Metadata
from hanet.models import MODELS, create
from hanet.provenance import machine, versions
from hanet.types import Json
from hanet.weights.engine import Engine, RuntimeName
from hanet.weights.export import export_onnx
from hanet.weights.runtime import open_runtime
from hanet.weights.weights_file import save_weights

SIZE_PX = 256
"""Side of the pair: what all of these networks are trained at."""

RUNTIMES: dict[RuntimeName, str] = {"onnxruntime": ".onnx", "torch": ".safetensors"}
"""What runs a network, and the kind of file that it takes."""

RESULT = Path(__file__).resolve().parents[1] / "results" / "benchmarks" / "networks.json"


@dataclass
class Subject:
    """One network by one runtime.

    Args:
        run: Infers the pair once.
        wall: Seconds of each measured round.
        processor: Seconds of all threads together, of each.
    """

    run: Callable[[], object]
    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def measure(self) -> None:
        """Runs it once, and keeps how long it took."""
        begun, used = perf_counter(), process_time()
        self.run()
        self.wall.append(perf_counter() - begun)
        self.processor.append(process_time() - used)


def main() -> None:
    """Measures, and writes the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=MODELS, default=list(MODELS))
    arguments = parser.parse_args()
    set_threads(arguments.threads)
    load = os.getloadavg()[0]
    with TemporaryDirectory() as folder:
        rows = measured(
            arguments.only, Path(folder), threads=arguments.threads, rounds=arguments.rounds
        )
    result = {
        "benchmark": "networks",
        "command": "python benchmarks/networks.py",
        "size_px": SIZE_PX,
        "threads": arguments.threads,
        "rounds": arguments.rounds,
        "machine": machine(),
        "versions": versions(("torch", "onnxruntime", "numpy")),
        "load_before_and_after": [round(load, 1), round(os.getloadavg()[0], 1)],
        "rows": rows,
    }
    text = json.dumps(result, indent=2) + "\n"
    if len(rows) == len(MODELS):
        replace_file(RESULT, text.encode())
    else:
        print(text)


def measured(networks: list[str], folder: Path, *, threads: int, rounds: int) -> list[Json]:
    """A row of each network.

    Args:
        networks: Keys of ``hanet.models.MODELS``.
        folder: For the files of the networks.
        threads: Of each runtime.
        rounds: How often each runs; the first one more is not counted.
    """
    subjects: dict[tuple[str, RuntimeName], Subject] = {}
    for name in networks:
        _write(name, folder)
        for runtime, kind in RUNTIMES.items():
            subjects[name, runtime] = Subject(_pair(folder / f"{name}{kind}", runtime, threads))
    for number in range(rounds + 1):
        for subject in subjects.values():
            subject.measure()
            if number == 0:
                subject.wall.clear()
                subject.processor.clear()
    rows = []
    for name in networks:
        row: Json = {
            "network": name,
            "parameters": sum(p.numel() for p in create(name).parameters()),
            "gmac": round(MODELS[name].gmac_per_megapixel * SIZE_PX**2 / 1e6, 2),
        }
        for runtime, kind in RUNTIMES.items():
            subject = subjects[name, runtime]
            row[runtime] = {
                "seconds": statistics.median(subject.wall),
                "processor_seconds": statistics.median(subject.processor),
                "all_seconds": subject.wall,
                "peak_memory_mb": in_child(
                    _memory, str(folder / f"{name}{kind}"), runtime, threads
                ),
            }
        rows.append(row)
    return rows


def _write(name: str, folder: Path) -> None:
    """A network with random weights, in both kinds of files."""
    torch.manual_seed(0)
    network = create(name).eval()
    metadata = Metadata(name=name, model=name, divisor=network.divisor)
    save_weights(folder / f"{name}.safetensors", network, metadata)
    export_onnx(network, metadata, folder / f"{name}.onnx")


def _pair(file: Path, runtime: RuntimeName, threads: int) -> Callable[[], object]:
    images = [
        np.random.default_rng(date).uniform(0, 255, (1, 3, SIZE_PX, SIZE_PX)).astype(np.float32)
        for date in (0, 1)
    ]
    engine = open_runtime(file, Engine(runtime, threads))
    return lambda: engine.predict(*images)


def _memory(file: str, runtime: RuntimeName, threads: int) -> float:
    set_threads(threads)
    # weights are part of it: what a process needs to infer a pair
    return added_mb(lambda: _pair(Path(file), runtime, threads)())


if __name__ == "__main__":
    main()
