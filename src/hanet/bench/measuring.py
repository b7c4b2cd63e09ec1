"""Speed and memory of the networks and of detection: medians of interleaved runs, and the machine's own limits beside them.

Everything that is compared runs in one process in turn, so that whatever else the machine does falls on all alike. The plain network, the
yardstick of the tests, does not travel with the package: ratios against it need a checkout and its file (``tests/plain_hanet.py``).
"""

from __future__ import annotations

import copy
import importlib.util
import json
import multiprocessing
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from hanet.errors import InputError, MissingExtraError
from hanet.metadata import Metadata
from hanet.models import ChangeModel, create
from hanet.models.fusion import fuse
from hanet.models.hanet_fused import FusedHANet
from hanet.models.layers.precision import InBfloat16, has_bfloat16
from hanet.provenance import machine, versions
from hanet.training.losses import LOSSES
from hanet.training.process_memory import LINUX_STATUS, keep_freed_memory, linux_memory_mb
from hanet.types import Json
from hanet.weights import catalogue
from hanet.weights.probability import ProbabilityNetwork
from hanet.weights.runtime import RUNTIME_PRECISIONS, open_runtime

Run: TypeAlias = Callable[[], object]

GSD_M = 0.5
"""Ground sample distance for which areas are told."""

LIMIT_ROUNDS = 5

MEMORY_KEPT = ", memory kept"
"""Ends the name of a subject whose process keeps what it frees: :func:`hanet.training.process_memory.keep_freed_memory`."""

WARM_UP_PX = 64
"""Side of the tiles of a training step that is not measured: one at full size would take as long as one that is."""


def inference(
    *, sizes: Sequence[int] = (256, 512), rounds: int = 3, plain: Path | None = None, threads: int | None = None
) -> Json:
    """Seconds for one pair: ``hanet`` and ``hanet_lite`` by each runtime, and the plain network if its file is given.

    OpenVINO where it is installed, bfloat16 where the processor has it. At 512 pixels the plain network takes seven times as long as at
    256: with more rounds or larger tiles it is most of the run.

    Args:
        sizes: Sides of the tiles.
        rounds: Runs of each, in turn; the median counts.
        plain: File with a class ``PlainHANet``.
        threads: Threads of torch and of ONNX Runtime.

    Raises:
        InputError: ``plain`` is not such a file.
    """
    _set_threads(threads)
    result = _frame("inference", threads, rounds)
    with TemporaryDirectory() as folder:
        subjects = _inference_subjects(Path(folder), plain, threads)
        gflop = {size: _gflop_of_hanet(size) for size in sizes}
        for size in sizes:
            images = tuple(
                np.random.default_rng(n).uniform(0, 255, (1, 3, size, size)).astype(np.float32) for n in (0, 1)
            )
            runs = {name: _bound(run, images) for name, run in subjects.items()}
            for name, seconds in interleaved(runs, rounds).items():
                row = {"subject": name, "size_px": size, **_rates(seconds, size * size)}
                if name.startswith("hanet,"):
                    limit = "convolution_bf16_gflop_per_s" if name.endswith("bf16") else "convolution_gflop_per_s"
                    row["gflop_per_s"] = gflop[size] / row["seconds"]
                    row["share_of_limit"] = row["gflop_per_s"] / result["limits"][limit]
                result["rows"].append(row)
    for name in subjects if LINUX_STATUS.exists() else ():
        if name.endswith("torch"):
            for row in (row for row in result["rows"] if row["subject"] == name):
                row["peak_memory_mb"] = _in_child(_inference_memory, name, row["size_px"], plain, threads)
    return _with_ratios(result, against="plain, torch")


def training(
    *,
    sizes: Sequence[int] = (128,),
    batch: int = 8,
    rounds: int = 3,
    plain: Path | None = None,
    threads: int | None = None,
) -> Json:
    """Seconds of a training step (forward, hybrid loss, backward, Adam) of our networks, and of the plain one if its file is given.

    Ours in bfloat16 too where the processor has it, and ``hanet`` once more in a process that keeps its memory, under Linux.
    There is no round that does not count, but a step on small tiles.

    Args:
        sizes: Sides of the tiles.
        batch: Pairs a step.
        rounds: Steps of each, in turn; the median counts.
        plain: File with a class ``PlainHANet``.
        threads: Threads of torch.

    Raises:
        InputError: ``plain`` is not such a file.
    """
    _set_threads(threads)
    result = _frame("training", threads, rounds) | {"batch": batch}
    names = ["plain, torch"] if plain else []
    names += [name for model in ("hanet", "hanet_lite") for name in _both_precisions(f"{model}, torch")]
    networks = {name: _network(name, plain).train() for name in names}
    for name, network in networks.items():
        _training_step(name, network, WARM_UP_PX, batch)()
    kept = [f"hanet, torch{MEMORY_KEPT}"] if LINUX_STATUS.exists() else []
    for size in sizes:
        steps = {name: _training_step(name, network, size, batch) for name, network in networks.items()}
        with ExitStack() as children:
            steps |= {name: children.enter_context(_StepInChild(name, size, batch, threads)) for name in kept}
            measured = interleaved(steps, rounds, warm_ups=0)
        for name, seconds in measured.items():
            row = {"subject": name, "size_px": size, **_rates(seconds, batch * size * size)}
            if LINUX_STATUS.exists():
                row["peak_memory_mb"] = _in_child(_training_memory, name, size, batch, plain, threads)
            result["rows"].append(row)
    return _with_ratios(result, against="plain, torch")


def detection(
    *,
    sizes: Sequence[int] = (1024, 2048),
    rounds: int = 3,
    weights: str = catalogue.DEFAULT,
    threads: int | None = None,
) -> Json:
    """Seconds of a whole detection of rendered pairs, files to footprints, beside inference of as many tiles alone.

    Args:
        sizes: Sides of the rasters.
        rounds: Runs of each, in turn; the median counts.
        weights: Name or ONNX file.
        threads: Threads of ONNX Runtime.
    """
    from hanet.detection.job import detect
    from hanet.synthetic.scene import render_scene

    result = _frame("detect", threads, rounds) | {"weights": weights}
    runtime = open_runtime(catalogue.resolve(weights, suffixes=(".onnx",)), threads=threads)
    tile = runtime.metadata.tile_px
    images = [np.random.default_rng(n).uniform(0, 255, (1, 3, tile, tile)).astype(np.float32) for n in (0, 1)]
    settings: dict[str, Any] = {} if threads is None else {"threads": threads}
    with TemporaryDirectory() as name:
        for size in sizes:
            scene = Path(name) / str(size)
            render_scene(scene, size=size, seed=1)
            out = Path(name) / f"{size}-out"

            def whole(scene: Path = scene, out: Path = out) -> None:
                detect(scene / "before.tif", scene / "after.tif", out=out, weights=weights, overwrite=True, **settings)

            whole()
            tiles = _tiles_inferred(out)

            def alone(tiles: int = tiles) -> None:
                for _ in range(tiles):
                    runtime.predict(*images)

            for subject, seconds in interleaved({"detect": whole, "inference alone": alone}, rounds).items():
                row = {"subject": subject, "size_px": size, "tile_px": tile, "tiles": tiles}
                result["rows"].append(row | _rates(seconds, size * size))
    return _with_ratios(result, against="inference alone")


def limits() -> Json:
    """What the machine can do: products of matrices and convolutions by torch (multiply and add counted apart), and copies by numpy.

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
        **{f"{name}_gflop_per_s": work / median[name] for name in runs if name.startswith("convolution")},
        "copy_gb_per_s": source.nbytes / median["copy"] / 1e9,
    }


def interleaved(runs: Mapping[str, Run], rounds: int, *, warm_ups: int = 1) -> dict[str, list[float]]:
    """Seconds of each run in each round; they run in turn, in the first ``warm_ups`` rounds unmeasured."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(warm_ups + rounds):
        for name, run in runs.items():
            begun = perf_counter()
            run()
            if number >= warm_ups:
                seconds[name].append(perf_counter() - begun)
    return seconds


def _frame(what: str, threads: int | None, rounds: int) -> Json:
    packages = ("torch", "onnxruntime", "openvino", "numpy", "rasterio")
    facts = {"threads": threads or torch.get_num_threads(), "rounds": rounds, "gsd_m": GSD_M}
    return {
        "benchmark": what,
        "machine": machine(),
        "versions": versions(packages),
        **facts,
        "limits": limits(),
        "rows": [],
    }


def _rates(seconds: list[float], pixels: int) -> Json:
    median = statistics.median(seconds)
    per_minute = pixels / median * 60
    return {
        "seconds": median,
        "all_seconds": seconds,
        "megapixels_per_s": pixels / median / 1e6,
        "km2_per_minute": per_minute * GSD_M**2 / 1e6,
    }


def _with_ratios(result: Json, *, against: str) -> Json:
    """Each row's speed as a multiple of the yardstick's at the same size, where the yardstick was run."""
    for row in result["rows"]:
        for other in result["rows"]:
            if other["subject"] == against and other["size_px"] == row["size_px"]:
                row["times_as_fast"] = other["seconds"] / row["seconds"]
    return result


def _inference_subjects(folder: Path, plain: Path | None, threads: int | None) -> dict[str, Callable[..., object]]:
    from hanet.weights.export import export_onnx

    subjects: dict[str, Callable[..., object]] = {}
    for name in (["plain, torch"] if plain else []) + _both_precisions("hanet, torch"):
        subjects[name] = _on_arrays(_inference_network(name, plain))
    metadata = Metadata(name="benchmark", model="hanet", divisor=8)
    export_onnx(create("hanet").eval(), metadata, folder / "hanet.onnx")
    lite = catalogue.resolve(catalogue.DEFAULT, suffixes=(".onnx",))
    for model, file in (("hanet", folder / "hanet.onnx"), ("hanet_lite", lite)):
        subjects[f"{model}, ONNX Runtime"] = open_runtime(file, threads=threads).predict
        try:
            for name, precision in zip(_both_precisions(f"{model}, OpenVINO"), RUNTIME_PRECISIONS, strict=False):
                engine = open_runtime(file, runtime="openvino", threads=threads, precision=precision)
                subjects[name] = engine.predict
        except MissingExtraError:
            continue
    return subjects


def _both_precisions(subject: str) -> list[str]:
    """The subject in float32, then in bfloat16 where the processor has it."""
    return [subject, f"{subject} bf16"] if has_bfloat16() else [subject]


def _network(name: str, plain: Path | None) -> nn.Module:
    """A network with random weights by the name of its subject."""
    torch.manual_seed(0)
    if name == "plain, torch":
        assert plain is not None
        return _plain_class(plain)().eval()
    return create(name.partition(",")[0]).eval()


def _inference_network(name: str, plain: Path | None) -> nn.Module:
    """The same as it is run: the plain one as it is, ours rewritten."""
    network = _network(name, plain)
    if name == "plain, torch":
        return network
    assert isinstance(network, ChangeModel)
    margin = InBfloat16(fuse(network)) if name.endswith("bf16") else fuse(network)
    return ProbabilityNetwork(margin, Metadata(name="benchmark", model="hanet")).eval()


def _plain_class(path: Path) -> Callable[[], nn.Module]:
    spec = importlib.util.spec_from_file_location("plain_hanet", path) if path.is_file() else None
    if spec is None or spec.loader is None:
        raise InputError(f"{path} is no Python file", hint="a checkout has the plain network in tests/plain_hanet.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "PlainHANet"):
        raise InputError(f"{path} has no class PlainHANet")
    found: Callable[[], nn.Module] = module.PlainHANet
    return found


def _on_arrays(network: nn.Module) -> Callable[..., Tensor]:
    """The network on two arrays; ours in channels-last memory, the plain one as torch has it by default."""
    layout = torch.channels_last if isinstance(network, ProbabilityNetwork) else torch.contiguous_format
    network = network.to(memory_format=layout)  # type: ignore[call-overload]

    def run(*images: Any) -> Tensor:
        with torch.inference_mode():
            result: Tensor = network(*(torch.from_numpy(image).contiguous(memory_format=layout) for image in images))
            return result

    return run


def _training_step(name: str, network: nn.Module, size: int, batch: int) -> Run:
    """A step of the subject of this name, on random images; ours in channels-last memory, as they are trained."""
    layout = torch.contiguous_format if name.startswith("plain") else torch.channels_last
    network = network.to(memory_format=layout)  # type: ignore[call-overload]
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(2, batch, 3, size, size, generator=generator)
    before, after = (image.contiguous(memory_format=layout) for image in images)
    change = (torch.rand(batch, size, size, generator=generator) < 0.1).long()
    optimiser = torch.optim.Adam(network.parameters(), fused=True)

    def step() -> None:
        optimiser.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled="bf16" in name):
            logits = network(before, after)
        loss: Tensor = LOSSES["hybrid"](logits.float(), change)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    return step


class _StepInChild:
    """A training step in a process of its own, that keeps its memory; called, it does one step there and waits for it.

    Raises:
        MemoryError: The system has stopped that process, as it does where memory runs out.
    """

    def __init__(self, name: str, size: int, batch: int, threads: int | None) -> None:
        self._name = name
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve_steps, args=(theirs, name, size, batch, threads), daemon=True)

    def __enter__(self) -> _StepInChild:
        self._process.start()
        self._wait()  # it does a step on tiles of full size, so that it has the memory that it keeps
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.terminate()
        self._process.join()

    def __call__(self) -> None:
        self._wait(goes_on=True)

    def _wait(self, *, goes_on: bool = False) -> None:
        try:
            if goes_on:
                self._pipe.send(None)
            self._pipe.recv()
        except (EOFError, ConnectionError) as error:
            raise MemoryError(f"the process of {self._name!r} was stopped") from error


def _serve_steps(pipe: Connection, name: str, size: int, batch: int, threads: int | None) -> None:
    _set_threads(threads)
    keep_freed_memory()
    step = _training_step(name, _network(name, None).train(), size, batch)
    with suppress(EOFError):  # the parent is gone
        while True:
            step()
            pipe.send(None)
            pipe.recv()


def _gflop_of_hanet(size: int) -> float:
    """Multiplications and additions of the rewritten network on one pair, counted by torch operation by operation.

    Products with the zeros that merge groups of the parallel convolutions are no work that anybody asked for: they are left out.
    """
    network = fuse(create("hanet").eval())
    assert isinstance(network, FusedHANet)
    images = torch.zeros(2, 1, 3, size, size)
    attention = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    counter = FlopCounterMode(display=False, custom_mapping={attention: _attention_flop})
    with torch.no_grad(), counter:
        network(*images)
    zeros = 0
    for scale, han in enumerate(network.han_modules):
        for name, weight in han.named_parameters():
            if name.startswith("parallel.branches."):
                zeros += 2 * (size // 2**scale) ** 2 * int((weight == 0).sum()) * (weight.ndim == 4)
    return (float(counter.get_total_flops()) - zeros) / 1e9


def _attention_flop(query: Sequence[int], *_: Any, **__: Any) -> int:
    batch, lines, positions, channels = query
    return 4 * batch * lines * positions**2 * channels


def _tiles_inferred(out: Path) -> int:
    return int(json.loads((out / "run.json").read_text(encoding="utf-8"))["timings"]["tiles_inferred"])


def _bound(run: Callable[..., object], images: Sequence[object]) -> Run:
    return lambda: run(*images)


def _set_threads(threads: int | None) -> None:
    if threads is not None:
        torch.set_num_threads(threads)


def _in_child(function: Callable[..., float], *arguments: object) -> float:
    """The function's value in a fresh process: the peak of a process that did other things before would be theirs."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def _inference_memory(name: str, size: int, plain: Path | None, threads: int | None) -> float:
    _set_threads(threads)
    run = _on_arrays(_inference_network(name, plain))
    images = [np.zeros((1, 3, size, size), dtype=np.float32)] * 2
    return _added_mb(lambda: run(*images))


def _training_memory(name: str, size: int, batch: int, plain: Path | None, threads: int | None) -> float:
    _set_threads(threads)
    if name.endswith(MEMORY_KEPT):
        keep_freed_memory()
    return _added_mb(_training_step(name, _network(name, plain).train(), size, batch))


def _added_mb(run: Run) -> float:
    """How far the peak of resident memory lies above what was resident before."""
    before = linux_memory_mb("VmRSS")
    run()
    return linux_memory_mb("VmHWM") - before
