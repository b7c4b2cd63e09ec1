"""A weights file becomes a function from two windows to probability: ONNX Runtime, OpenVINO or
torch."""

from __future__ import annotations

import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeAlias, cast

import numpy as np

from hanet.destination import check_packages
from hanet.errors import SettingsError, WeightsError, importing
from hanet.files import file_hash
from hanet.metadata import METADATA_KEY, Metadata
from hanet.types import FloatArray
from hanet.weights.engine import DEFAULT_ENGINE, Engine, RuntimeName, threads_of
from hanet.weights.engine_errors import own_memory, time_limit, translated
from hanet.weights.onnx_contract import (
    BUILT,
    PROBABILITY,
    Interface,
    checked_probability,
    interface_of,
    trial_images,
)
from hanet.weights.onnx_size import MAX_ELEMENTS, largest_constant_shape


class Predicts(Protocol):
    """Something that turns two images in 0-255 into probability."""

    def predict(
        self, before: FloatArray, after: FloatArray
    ) -> FloatArray:  # (B, C, H, W) twice -> (B, H, W)
        """Probability of change in 0-1.

        Args:
            before: Values in 0-255 whatever ``metadata.scale`` is, float32; height and width
                multiples of ``metadata.divisor``.
            after: The other date, same shape.
        """


class Runtime(Predicts, Protocol):
    """Weights that are loaded."""

    metadata: Metadata
    """What travels with the weights."""


class DirectedRuntime(Runtime, Protocol):
    """A runtime whose weights may tell built from demolished."""

    @property
    def tells_direction(self) -> bool:
        """Whether they do."""

    def predict_both(
        self, before: FloatArray, after: FloatArray
    ) -> tuple[FloatArray, FloatArray]:  # (B, C, H, W) twice -> (B, H, W) twice
        """What :meth:`predict` gives for the same images, and the probability in 0-1 that what has
        changed is a new building; it means nothing where nothing has changed.

        Raises:
            SettingsError: The weights do not tell.
        """


def directed(runtime: Predicts) -> DirectedRuntime | None:
    """The runtime where its weights tell built from demolished, else None."""
    tells: bool = getattr(runtime, "tells_direction", False)
    return cast("DirectedRuntime", runtime) if tells else None


Runtimes: TypeAlias = dict[tuple[str, Engine], DirectedRuntime]
"""Runtimes by the hash of their file and what they run on."""

_KEPT: ContextVar[Runtimes | None] = ContextVar("_KEPT", default=None)


def open_runtime(weights: Path, engine: Engine = DEFAULT_ENGINE) -> DirectedRuntime:
    """Loads weights to run.

    Args:
        weights: An ``.onnx`` file for ONNX Runtime and OpenVINO, ``.safetensors`` for torch.
        engine: What they run on.

    Raises:
        SettingsError: The engine or this processor does not compute in that precision.
        WeightsError: The file is missing, corrupt, or of a kind that the engine does not run.
        MissingExtraError: The engine is not installed.
    """
    if weights.suffix not in engine.suffixes:
        raise WeightsError(
            f"{engine.runtime} runs {engine.suffixes[0]} files; {weights.name} is not one",
            hint="hanet export converts .safetensors to .onnx; --runtime torch runs .safetensors",
        )
    kept = _KEPT.get()
    if kept is None:
        return _opened(weights, engine)
    key = (file_hash(weights), replace(engine, threads=threads_of(engine).count))
    if key not in kept:
        kept[key] = _opened(weights, engine)
    return kept[key]


def check_engine(engine: Engine) -> None:
    """Does nothing where the packages of an engine are installed; nothing is loaded.

    Raises:
        MissingExtraError: One is not.
    """
    extra = _EXTRAS.get(engine.runtime)
    if extra is not None:
        package, name = extra
        check_packages((package,), extra=name, purpose=f"--runtime {engine.runtime}")


_EXTRAS = {"openvino": ("openvino", "openvino"), "torch": ("torch", "train")}
"""Package and extra of hanet of the engines that do not come with it."""


@contextmanager
def reusing_runtimes(kept: Runtimes) -> Iterator[None]:
    """Within it, weights that were opened before are not loaded again: for processes that detect
    one pair or shard after another. A runtime serves one thread at a time.

    Args:
        kept: What was opened; more is added.
    """
    token = _KEPT.set(kept)
    try:
        yield
    finally:
        _KEPT.reset(token)


def _opened(weights: Path, engine: Engine) -> DirectedRuntime:
    kinds: dict[RuntimeName, Callable[[Path, Engine], DirectedRuntime]]
    kinds = {"onnxruntime": OnnxRuntime, "openvino": OpenVino, "torch": Torch}
    check_engine(engine)
    runtime = kinds[engine.runtime](weights, engine)
    return MeanOverFlips(runtime) if engine.flips else runtime


def read_onnx_metadata(path: Path) -> Metadata:
    """Metadata of an ONNX file.

    Raises:
        WeightsError: The file is missing, corrupt, or holds no metadata of this package.
    """
    return OnnxRuntime(path, Engine(threads=1), is_tried=False).metadata


def on_scale(image: FloatArray, scale: float) -> FloatArray:
    """An image in 0-255 as one in 0 to ``scale``; the same array where that is 255."""
    return image if scale == 255.0 else image * np.float32(scale / 255.0)


class _Loaded(ABC):
    """Loaded weights: here and nowhere else images in 0-255 come onto the scale of the weights,
    what an engine raises is translated, and what it gives is checked."""

    metadata: Metadata
    _path: Path
    _interface: Interface

    @property
    def tells_direction(self) -> bool:
        """See :class:`DirectedRuntime`."""
        return BUILT in self._interface.outputs

    def predict(self, before: FloatArray, after: FloatArray) -> FloatArray:
        """See :class:`Runtime`."""
        scale = self.metadata.scale
        return self._infer(on_scale(before, scale), on_scale(after, scale), (PROBABILITY,))[0]

    def predict_both(self, before: FloatArray, after: FloatArray) -> tuple[FloatArray, FloatArray]:
        """See :class:`DirectedRuntime`."""
        if not self.tells_direction:
            raise SettingsError(
                f"{self._path} does not tell built from demolished",
                hint="take weights that do: `hanet models NAME` says so",
            )
        scale = self.metadata.scale
        images = on_scale(before, scale), on_scale(after, scale)
        probability, built = self._infer(*images, (PROBABILITY, BUILT))
        return probability, built

    def _infer(
        self, before: FloatArray, after: FloatArray, outputs: tuple[str, ...]
    ) -> list[FloatArray]:
        """Each of the outputs (B, H, W) for images (B, C, H, W) in 0 to ``metadata.scale``."""
        self._interface.check(before.shape)
        one_by_one = self._interface.batch == 1 and len(before) > 1
        parts = [slice(n, n + 1) for n in range(len(before))] if one_by_one else [slice(None)]
        found: list[list[FloatArray]] = [[] for _ in outputs]
        for part in parts:
            images = before[part], after[part]
            results = translated(self._path, "run", partial(self._run, *images, outputs))
            for known, result in zip(found, results, strict=True):
                known.append(checked_probability(result, images[0], str(self._path)))
        return [np.concatenate(known) if one_by_one else known[0] for known in found]

    def _try_once(self) -> None:
        """Refuses a file that fails on the smallest window that it takes."""
        images = trial_images(self.metadata, self._interface)
        height, width = images[0].shape[2:]
        with own_memory(self._path, f"for images of {height}x{width} pixels already"):
            self._infer(*images, self._interface.outputs)

    @abstractmethod
    def _run(
        self, before: FloatArray, after: FloatArray, outputs: tuple[str, ...]
    ) -> Sequence[Any]:
        """What the engine gives under these names: (B, 1, H, W) each, if the file is what it
        should be."""


class OnnxRuntime(_Loaded):
    """ONNX Runtime on the CPU; the default, and all that a light installation needs.

    Args:
        weights: An ``.onnx`` file.
        engine: What it runs on.
        is_tried: Run it once on a small window; without, it is only opened and checked.
    """

    def __init__(self, weights: Path, engine: Engine, *, is_tried: bool = True) -> None:
        onnxruntime = imported_onnxruntime()
        if engine.precision == "bf16":
            raise SettingsError(
                "onnxruntime does not compute in bf16 on a CPU",
                hint="take --runtime openvino or torch, or leave --precision out",
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads_of(engine).count
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what matters comes as an exception
        self._path = weights
        _refuse_huge(weights)
        with own_memory(weights, "to be loaded"):
            session: Any = translated(
                weights,
                "loaded",
                lambda: onnxruntime.InferenceSession(
                    str(weights), options, providers=["CPUExecutionProvider"]
                ),
            )
        self._session = session
        # names, dimensions and metadata that are not UTF-8 raise when they are asked for, not
        # before
        entries = translated(weights, "read", lambda: session.get_modelmeta().custom_metadata_map)
        metadata = _metadata(weights, entries)
        self._interface = translated(
            weights,
            "read",
            lambda: interface_of(
                str(weights), session.get_inputs(), session.get_outputs(), metadata
            ),
        )
        self.metadata = self._interface.fitted(metadata)
        if is_tried:
            with time_limit(onnxruntime.RunOptions()) as self._options:
                self._try_once()
            self._options = None

    _options: Any = None
    """How a trial is run; None afterwards."""

    def _run(
        self, before: FloatArray, after: FloatArray, outputs: tuple[str, ...]
    ) -> Sequence[Any]:
        images = {"before": before, "after": after}
        found: Sequence[Any] = self._session.run(list(outputs), images, self._options)
        return found


class OpenVino(_Loaded):
    """OpenVINO on the CPU, in float32 unless bfloat16 is asked for: by itself it would take that
    wherever it can."""

    def __init__(self, weights: Path, engine: Engine) -> None:
        with importing("openvino", extra="openvino", purpose="--runtime openvino"):
            import openvino
        opened = OnnxRuntime(weights, Engine(threads=1), is_tried=False)
        self._path, self._interface, self.metadata = weights, opened._interface, opened.metadata
        core = openvino.Core()
        if engine.precision == "bf16" and "BF16" not in core.get_property(
            "CPU", "OPTIMIZATION_CAPABILITIES"
        ):
            raise _no_bf16()
        settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "bf16" if engine.precision == "bf16" else "f32",
            "INFERENCE_NUM_THREADS": threads_of(engine).count,
        }
        with own_memory(weights, "to be loaded"):
            self._compiled = translated(
                weights,
                "loaded",
                lambda: core.compile_model(core.read_model(weights), "CPU", settings),
            )
        self._try_once()

    def _run(
        self, before: FloatArray, after: FloatArray, outputs: tuple[str, ...]
    ) -> Sequence[Any]:
        found = self._compiled({"before": before, "after": after})
        return [found[name] for name in outputs]


class Torch(_Loaded):
    """torch on the CPU, from safetensors."""

    def __init__(self, weights: Path, engine: Engine) -> None:
        with importing("torch", extra="train", purpose="--runtime torch"):
            import torch
        from hanet.models.fusion import fuse
        from hanet.models.layers.precision import InBfloat16, has_bfloat16
        from hanet.weights.probability import ProbabilityNetwork
        from hanet.weights.weights_file import load_weights

        if engine.precision == "bf16" and not has_bfloat16():
            raise _no_bf16()
        torch.set_num_threads(threads_of(engine).count)
        self._torch: Any = torch
        model, self.metadata = load_weights(weights)
        outputs = (PROBABILITY, BUILT) if model.tells_direction else (PROBABILITY,)
        self._path, self._interface = weights, Interface(str(weights), outputs=outputs)
        margin = InBfloat16(fuse(model)) if engine.precision == "bf16" else fuse(model)
        network: Any = ProbabilityNetwork(margin, self.metadata).eval()
        self._network = network.to(memory_format=torch.channels_last)

    def _run(
        self, before: FloatArray, after: FloatArray, outputs: tuple[str, ...]
    ) -> Sequence[Any]:
        torch = self._torch
        with torch.inference_mode():
            images = (
                torch.from_numpy(image).contiguous(memory_format=torch.channels_last)
                for image in (before, after)
            )
            found = self._network(*images)
        parts = found if isinstance(found, tuple) else (found,)
        return [part.numpy() for part in parts[: len(outputs)]]


class MeanOverFlips:
    """A runtime that looks at each pair in its four flips, and takes the mean.

    Args:
        runtime: What looks.
    """

    def __init__(self, runtime: DirectedRuntime) -> None:
        self._runtime = runtime
        self.metadata: Metadata = runtime.metadata

    @property
    def tells_direction(self) -> bool:
        """See :class:`DirectedRuntime`."""
        return self._runtime.tells_direction

    def predict(self, before: FloatArray, after: FloatArray) -> FloatArray:
        """See :class:`Runtime`."""
        return self._mean(lambda *images: (self._runtime.predict(*images),), before, after)[0]

    def predict_both(self, before: FloatArray, after: FloatArray) -> tuple[FloatArray, FloatArray]:
        """See :class:`DirectedRuntime`."""
        probability, built = self._mean(self._runtime.predict_both, before, after)
        return probability, built

    @staticmethod
    def _mean(
        predict: Callable[[FloatArray, FloatArray], tuple[FloatArray, ...]],
        before: FloatArray,
        after: FloatArray,
    ) -> list[FloatArray]:
        totals = list(predict(before, after))
        for axes in ((-1,), (-2,), (-1, -2)):
            one, other = (np.ascontiguousarray(np.flip(image, axes)) for image in (before, after))
            found = predict(one, other)
            totals = [
                total + np.flip(part, axes) for total, part in zip(totals, found, strict=True)
            ]
        return [total / np.float32(4) for total in totals]


def imported_onnxruntime() -> Any:
    """ONNX Runtime as a module. Its compiled part prints a traceback of its own where Ctrl-C meets
    it half imported, so that SIGINT is held back meanwhile and comes after."""
    with _interrupt_afterwards():
        import onnxruntime
    return onnxruntime


@contextmanager
def _interrupt_afterwards() -> Iterator[None]:
    """Holds SIGINT back until its end; outside the main thread, which alone hears signals, and
    where a handler is none of Python's, it does nothing."""
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or handler is None:
        yield
        return
    heard: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if heard:
            signal.raise_signal(signal.SIGINT)


def _no_bf16() -> SettingsError:
    return SettingsError(
        "this processor has no instructions for bf16 (AVX-512 BF16 or AMX): it would be slower "
        "than fp32",
        hint="leave --precision out",
    )


def _metadata(weights: Path, entries: dict[str, str]) -> Metadata:
    if METADATA_KEY not in entries:
        raise WeightsError(
            f"{weights} holds no hanet metadata: nobody knows its bands, statistics and threshold",
            hint="export it with `hanet export`, which puts them in",
        )
    return Metadata.from_json(entries[METADATA_KEY])


def _refuse_huge(weights: Path) -> None:
    elements = largest_constant_shape(weights)
    if elements > MAX_ELEMENTS:
        raise WeightsError(
            f"{weights} asks for a constant of {elements:.1e} numbers; at most "
            f"{MAX_ELEMENTS:.1e} are allowed",
            hint="the file may be damaged; copy it again",
        )
