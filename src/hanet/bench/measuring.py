"""How measurements are made: interleaved runs, medians, the machine's own limits beside them.

Everything that is compared runs in one process in turn, so that whatever else the machine does
affects all subjects alike. The plain network, the yardstick of the tests, is not part of the
package: ratios against it need a checkout and its file (``tests/support/plain_hanet.py``).
"""

from __future__ import annotations

import copy
import importlib.util
import multiprocessing
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import TypeAlias

import numpy as np
import torch
from torch import nn

from hanet.errors import InputError
from hanet.models import create
from hanet.models.layers.precision import has_bfloat16
from hanet.provenance import machine, versions
from hanet.threads import Threads, threads_for
from hanet.training.process_memory import linux_memory_mb
from hanet.types import Json

Run: TypeAlias = Callable[[], object]


GSD_M = 0.5
"""Ground sample distance at which areas are reported."""


LIMIT_ROUNDS = 5


def limits() -> Json:
    """What the machine can do: products of matrices and convolutions by torch (multiply and add
    counted apart), and copies by numpy.

    Convolutions in bfloat16 too where the processor has it.
    """
    side, channels, pixels = 1024, 64, 128
    matrix = torch.rand(side, side)
    image = torch.rand(4, channels, pixels, pixels).contiguous(memory_format=torch.channels_last)
    convolution = nn.Conv2d(channels, channels, 3, padding=1).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    source = np.ones(2**27, dtype=np.uint8)
    target = np.empty_like(source)
    runs: dict[str, Run] = {
        "matrix": lambda: matrix @ matrix,
        "convolution": lambda: convolution(image),
        "copy": lambda: np.copyto(target, source),
    }
    if has_bfloat16():
        half, of_half = copy.deepcopy(convolution).bfloat16(), image.bfloat16()
        runs["convolution_bf16"] = lambda: half(of_half)
    with torch.inference_mode():
        seconds = interleaved(runs, LIMIT_ROUNDS)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    work = 2 * 9 * channels**2 * image[:, 0].numel() / 1e9
    return {
        "matrix_product_gflop_per_s": 2 * side**3 / median["matrix"] / 1e9,
        **{
            f"{name}_gflop_per_s": work / median[name]
            for name in runs
            if name.startswith("convolution")
        },
        "copy_gb_per_s": source.nbytes / median["copy"] / 1e9,
    }


def interleaved(
    runs: Mapping[str, Run], rounds: int, *, warm_ups: int = 1
) -> dict[str, list[float]]:
    """Seconds of each run in each round; they run in turn, in the first ``warm_ups`` rounds
    unmeasured."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(warm_ups + rounds):
        for name, run in runs.items():
            begun = perf_counter()
            run()
            if number >= warm_ups:
                seconds[name].append(perf_counter() - begun)
    return seconds


def frame(what: str, threads: int | None, rounds: int) -> Json:
    packages = ("torch", "onnxruntime", "openvino", "numpy", "rasterio")
    allowed = threads_for(threads, also=[Threads(torch.get_num_threads(), "torch")])
    facts = {"threads": allowed.count, "rounds": rounds, "gsd_m": GSD_M}
    return {
        "benchmark": what,
        "machine": machine(),
        "versions": versions(packages),
        **facts,
        "limits": limits(),
        "rows": [],
    }


def rates(seconds: list[float], pixels: int) -> Json:
    median = statistics.median(seconds)
    per_minute = pixels / median * 60
    return {
        "seconds": median,
        "all_seconds": seconds,
        "megapixels_per_s": pixels / median / 1e6,
        "km2_per_minute": per_minute * GSD_M**2 / 1e6,
    }


def with_ratios(result: Json, *, against: str) -> Json:
    """Each row's speed as a multiple of the yardstick's at the same size, where the yardstick was
    run."""
    for row in result["rows"]:
        for other in result["rows"]:
            if other["subject"] == against and other["size_px"] == row["size_px"]:
                row["times_as_fast"] = other["seconds"] / row["seconds"]
    return result


def both_precisions(subject: str) -> list[str]:
    """The subject in float32, then in bfloat16 where the processor has it."""
    return [subject, f"{subject} bf16"] if has_bfloat16() else [subject]


def network_of(name: str, plain: Path | None) -> nn.Module:
    """A network with random weights by the name of its subject."""
    torch.manual_seed(0)
    if name == "plain, torch":
        assert plain is not None
        return plain_class(plain)().eval()
    return create(name.partition(",")[0]).eval()


def plain_class(path: Path) -> Callable[[], nn.Module]:
    spec = importlib.util.spec_from_file_location("plain_hanet", path) if path.is_file() else None
    if spec is None or spec.loader is None:
        raise InputError(
            f"{path} is no Python file",
            hint="a checkout has the plain network in tests/support/plain_hanet.py",
        )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "PlainHANet"):
        raise InputError(f"{path} has no class PlainHANet")
    found: Callable[[], nn.Module] = module.PlainHANet
    return found


def set_threads(threads: int | None) -> None:
    """Gives torch as many as are asked for; else no more than this process may use."""
    own = Threads(torch.get_num_threads(), "torch")
    torch.set_num_threads(threads_for(threads, also=[own]).count)


def in_child(function: Callable[..., float], *arguments: object) -> float:
    """The function's value in a fresh process: the peak of a process that did other things before
    would be theirs."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def added_mb(run: Run) -> float:
    """How far the peak of resident memory lies above what was resident before."""
    before = linux_memory_mb("VmRSS")
    run()
    return linux_memory_mb("VmHWM") - before
