"""Seconds and memory of inference: one pair of tiles by each network and each runtime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from hanet.bench.measuring import (
    Run,
    added_mb,
    both_precisions,
    frame,
    in_child,
    interleaved,
    network_of,
    rates,
    set_threads,
    with_ratios,
)
from hanet.errors import MissingExtraError
from hanet.metadata import Metadata
from hanet.models import ChangeModel, create
from hanet.models.fusion import fuse
from hanet.models.layers.precision import InBfloat16
from hanet.training.process_memory import LINUX_STATUS
from hanet.types import Json
from hanet.weights import catalogue
from hanet.weights.engine import RUNTIME_PRECISIONS, Engine
from hanet.weights.probability import ProbabilityNetwork
from hanet.weights.runtime import open_runtime


def inference(
    *,
    sizes: Sequence[int] = (256, 512),
    rounds: int = 3,
    plain: Path | None = None,
    threads: int | None = None,
) -> Json:
    """Seconds for one pair: ``hanet`` and ``hanet_lite`` by each runtime, and the plain network if
    its file is given.

    OpenVINO where it is installed, bfloat16 where the processor has it. At 512 pixels the plain
    network takes seven times as long as at 256: with more rounds or larger tiles it is most of the
    run.

    Args:
        sizes: Sides of the tiles.
        rounds: Runs of each, in turn; the median counts.
        plain: File with a class ``PlainHANet``.
        threads: Threads of torch and of ONNX Runtime.

    Raises:
        InputError: ``plain`` is not such a file.
    """
    set_threads(threads)
    result = frame("inference", threads, rounds)
    with TemporaryDirectory() as folder:
        subjects = _inference_subjects(Path(folder), plain, threads)
        gflop = {size: gflop_without_zeros("hanet", size) for size in sizes}
        for size in sizes:
            images = tuple(
                np.random.default_rng(n).uniform(0, 255, (1, 3, size, size)).astype(np.float32)
                for n in (0, 1)
            )
            runs = {name: _bound(run, images) for name, run in subjects.items()}
            for name, seconds in interleaved(runs, rounds).items():
                row = {"subject": name, "size_px": size, **rates(seconds, size * size)}
                if name.startswith("hanet,"):
                    limit = (
                        "convolution_bf16_gflop_per_s"
                        if name.endswith("bf16")
                        else "convolution_gflop_per_s"
                    )
                    row["gflop_per_s"] = gflop[size] / row["seconds"]
                    row["share_of_limit"] = row["gflop_per_s"] / result["limits"][limit]
                result["rows"].append(row)
    for name in subjects if LINUX_STATUS.exists() else ():
        if name.endswith("torch"):
            for row in (row for row in result["rows"] if row["subject"] == name):
                row["peak_memory_mb"] = in_child(
                    _inference_memory, name, row["size_px"], plain, threads
                )
    return with_ratios(result, against="plain, torch")


def _inference_subjects(
    folder: Path, plain: Path | None, threads: int | None
) -> dict[str, Callable[..., object]]:
    from hanet.weights.export import export_onnx

    subjects: dict[str, Callable[..., object]] = {}
    for name in (["plain, torch"] if plain else []) + both_precisions("hanet, torch"):
        subjects[name] = _on_arrays(_inference_network(name, plain))
    metadata = Metadata(name="benchmark", model="hanet", divisor=8)
    export_onnx(create("hanet").eval(), metadata, folder / "hanet.onnx")
    lite = catalogue.resolve(catalogue.DEFAULT, suffixes=(".onnx",))
    for model, file in (("hanet", folder / "hanet.onnx"), ("hanet_lite", lite)):
        subjects[f"{model}, ONNX Runtime"] = open_runtime(file, Engine(threads=threads)).predict
        try:
            for name, precision in zip(
                both_precisions(f"{model}, OpenVINO"), RUNTIME_PRECISIONS, strict=False
            ):
                engine = Engine("openvino", threads, precision)
                subjects[name] = open_runtime(file, engine).predict
        except MissingExtraError:
            continue
    return subjects


def _inference_network(name: str, plain: Path | None) -> nn.Module:
    """The same as it is run: the plain one as it is, ours rewritten."""
    network = network_of(name, plain)
    if name == "plain, torch":
        return network
    assert isinstance(network, ChangeModel)
    margin = InBfloat16(fuse(network)) if name.endswith("bf16") else fuse(network)
    return ProbabilityNetwork(margin, Metadata(name="benchmark", model="hanet")).eval()


def _on_arrays(network: nn.Module) -> Callable[..., Tensor]:
    """The network on two arrays; ours in channels-last memory, the plain one as torch has it by
    default."""
    layout = (
        torch.channels_last if isinstance(network, ProbabilityNetwork) else torch.contiguous_format
    )
    network = network.to(memory_format=layout)  # type: ignore[call-overload]

    def run(*images: Any) -> Tensor:
        with torch.inference_mode():
            result: Tensor = network(
                *(torch.from_numpy(image).contiguous(memory_format=layout) for image in images)
            )
            return result

    return run


def gflop_without_zeros(name: Literal["hanet", "mspsnet"], size: int) -> float:
    """Multiplications and additions of the rewritten network on one pair, counted by torch
    operation by operation.

    Products with the zeros that merge groups of the parallel convolutions are no work that anybody
    asked for: they are left out.
    """
    network = fuse(create(name).eval())
    images = torch.zeros(2, 1, 3, size, size)
    attention = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    counter = FlopCounterMode(display=False, custom_mapping={attention: _attention_flop})
    with torch.no_grad(), counter:
        network(*images)
    zeros = 0
    for path, weight in network.named_parameters():
        scale, inside, _ = path.partition(".parallel.branches.")
        if inside and weight.ndim == 4:
            pixels = (size // 2 ** int(scale.rpartition(".")[2])) ** 2
            zeros += 2 * pixels * int((weight == 0).sum())
    return (float(counter.get_total_flops()) - zeros) / 1e9


def _attention_flop(query: Sequence[int], *_: Any, **__: Any) -> int:
    batch, lines, positions, channels = query
    return 4 * batch * lines * positions**2 * channels


def _bound(run: Callable[..., object], images: Sequence[object]) -> Run:
    return lambda: run(*images)


def _inference_memory(name: str, size: int, plain: Path | None, threads: int | None) -> float:
    set_threads(threads)
    run = _on_arrays(_inference_network(name, plain))
    images = [np.zeros((1, 3, size, size), dtype=np.float32)] * 2
    return added_mb(lambda: run(*images))
