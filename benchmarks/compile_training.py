"""Processor time of a training step with and without torch.compile, and what compiling costs.

    timeout 240 python benchmarks/compile_training.py --model hanet_lite --precision fp32

The result goes to results/benchmarks/compile-training-MODEL-PRECISION.json. Needs a C++ compiler.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time

import torch
from torch import Tensor, nn

from hanet.models import create
from hanet.provenance import machine, versions
from hanet.training.losses import LOSSES

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Compiles, then measures both in turn."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="hanet_lite")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = create(arguments.model).train().to(memory_format=torch.channels_last)
    images = torch.randn(2, arguments.batch, 3, arguments.size, arguments.size)
    before, after = (image.contiguous(memory_format=torch.channels_last) for image in images)
    change = (torch.rand(arguments.batch, arguments.size, arguments.size) < 0.1).long()
    half = arguments.precision == "bf16"
    optimiser = torch.optim.Adam(network.parameters(), fused=True)

    def step_of(forward: Callable[[Tensor, Tensor], Tensor] | nn.Module) -> float:
        begun = process_time()
        optimiser.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            logits = forward(before, after)
        LOSSES["hybrid"](logits.float(), change).backward()
        optimiser.step()
        return process_time() - begun

    step_of(network)
    compiled = torch.compile(network)
    begun = perf_counter(), process_time()
    step_of(compiled)
    compiling = {
        "seconds": round(perf_counter() - begun[0], 1),
        "processor_seconds": round(process_time() - begun[1], 1),
    }
    seconds: dict[str, list[float]] = {"eager": [], "compiled": []}
    for _ in range(arguments.rounds):
        seconds["eager"].append(step_of(network))
        seconds["compiled"].append(step_of(compiled))
    median = {name: statistics.median(values) for name, values in seconds.items()}
    result = {
        "what": "processor time of a training step (forward, hybrid loss, backward, Adam), one "
        "thread, eager and compiled in turn",
        "command": f"python benchmarks/compile_training.py --model {arguments.model} --precision "
        f"{arguments.precision}",
        **{
            key: getattr(arguments, key)
            for key in ("model", "precision", "size", "batch", "rounds")
        },
        "first_compiled_step": compiling,
        "median_processor_seconds": {name: round(value, 3) for name, value in median.items()},
        "times_as_fast": round(median["eager"] / median["compiled"], 2),
        "machine": machine(),
        "versions": versions(["torch"]),
    }
    name = f"compile-training-{arguments.model}-{arguments.precision}.json"
    (ROOT / "results" / "benchmarks" / name).write_text(
        json.dumps(result, indent=2) + "\n", encoding="utf-8"
    )
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
