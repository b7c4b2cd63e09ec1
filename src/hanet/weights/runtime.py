"""A weights file becomes a function from two windows to probability: ONNX Runtime, OpenVINO or
torch."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hanet.errors import MissingExtraError, SettingsError, WeightsError
from hanet.metadata import METADATA_KEY, Metadata
from hanet.types import FloatArray
from hanet.weights.engine import DEFAULT_ENGINE, Engine, RuntimeName

OUT_OF_MEMORY = ("allocate memory", "bad_alloc", "bad allocation", "not enough memory")
"""What the engines say when memory runs out, in lower case."""


class Runtime(Protocol):
    """Something that turns two images in 0-255 into probability."""

    metadata: Metadata
    """What travels with the weights."""

    def predict(
        self, before: FloatArray, after: FloatArray
    ) -> FloatArray:  # (B, C, H, W) twice -> (B, H, W)
        """Probability of change in 0-1.

        Args:
            before: Values in 0-255 whatever ``metadata.scale`` is, float32; height and width
                multiples of ``metadata.divisor``.
            after: The other date, same shape.
        """


def open_runtime(weights: Path, engine: Engine = DEFAULT_ENGINE) -> Runtime:
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
    kinds: dict[RuntimeName, Callable[[Path, Engine], Runtime]]
    kinds = {"onnxruntime": OnnxRuntime, "openvino": OpenVino, "torch": Torch}
    runtime = kinds[engine.runtime](weights, engine)
    return MeanOverFlips(runtime) if engine.flips else runtime


def read_onnx_metadata(path: Path) -> Metadata:
    """Metadata of an ONNX file.

    Raises:
        WeightsError: The file is missing, corrupt, or holds no metadata of this package.
    """
    return OnnxRuntime(path, Engine(threads=1)).metadata


def on_scale(image: FloatArray, scale: float) -> FloatArray:
    """An image in 0-255 as one in 0 to ``scale``; the same array where that is 255."""
    return image if scale == 255.0 else image * np.float32(scale / 255.0)


class _Loaded(ABC):
    """Loaded weights: images in 0-255 come onto the scale of the weights here and nowhere else."""

    metadata: Metadata

    def predict(self, before: FloatArray, after: FloatArray) -> FloatArray:
        """See :class:`Runtime`."""
        scale = self.metadata.scale
        return self._run(on_scale(before, scale), on_scale(after, scale))

    @abstractmethod
    def _run(self, before: FloatArray, after: FloatArray) -> FloatArray:
        """Probability (B, H, W) of images (B, C, H, W) in 0 to ``metadata.scale``."""


class OnnxRuntime(_Loaded):
    """ONNX Runtime on the CPU; the default, and all that a light installation needs."""

    def __init__(self, weights: Path, engine: Engine) -> None:
        import onnxruntime

        if engine.precision == "bf16":
            raise SettingsError(
                "onnxruntime does not compute in bf16 on a CPU",
                hint="take --runtime openvino or torch, or leave --precision out",
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = engine.threads or _cores()
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what matters comes as an exception
        self._session = _or_weights_error(
            weights,
            lambda: onnxruntime.InferenceSession(
                str(weights), options, providers=["CPUExecutionProvider"]
            ),
        )
        self.metadata = _metadata(weights, self._session.get_modelmeta().custom_metadata_map)
        names = (
            [i.name for i in self._session.get_inputs()],
            [o.name for o in self._session.get_outputs()],
        )
        if names != (["before", "after"], ["probability"]):
            raise WeightsError(
                f"{weights} has inputs and outputs {names}; before, after and probability are "
                "needed",
                hint="a file made with --inputs one is for other tools; export it again without",
            )

    def _run(self, before: FloatArray, after: FloatArray) -> FloatArray:
        images = {"before": before, "after": after}
        (probability,) = _or_memory_error(lambda: self._session.run(["probability"], images))
        return _in_range(np.asarray(probability[:, 0], dtype=np.float32))


class OpenVino(_Loaded):
    """OpenVINO on the CPU, in float32 unless bfloat16 is asked for: by itself it would take that
    wherever it can."""

    def __init__(self, weights: Path, engine: Engine) -> None:
        try:
            import openvino
        except ImportError as error:
            raise MissingExtraError(
                "openvino", extra="openvino", purpose="--runtime openvino"
            ) from error
        self.metadata = read_onnx_metadata(weights)
        core = openvino.Core()
        if engine.precision == "bf16" and "BF16" not in core.get_property(
            "CPU", "OPTIMIZATION_CAPABILITIES"
        ):
            raise _no_bf16()
        settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "bf16" if engine.precision == "bf16" else "f32"
        }
        if engine.threads:
            settings["INFERENCE_NUM_THREADS"] = engine.threads
        self._compiled = _or_weights_error(
            weights, lambda: core.compile_model(core.read_model(weights), "CPU", settings)
        )

    def _run(self, before: FloatArray, after: FloatArray) -> FloatArray:
        images = {"before": before, "after": after}
        result = _or_memory_error(lambda: self._compiled(images))["probability"]
        return _in_range(np.array(result[:, 0], dtype=np.float32))


class Torch(_Loaded):
    """torch on the CPU, from safetensors."""

    def __init__(self, weights: Path, engine: Engine) -> None:
        try:
            import torch
        except ImportError as error:
            raise MissingExtraError("torch", extra="train", purpose="--runtime torch") from error
        from hanet.models.fusion import fuse
        from hanet.models.layers.precision import InBfloat16, has_bfloat16
        from hanet.weights.probability import ProbabilityNetwork
        from hanet.weights.weights_file import load_weights

        if engine.precision == "bf16" and not has_bfloat16():
            raise _no_bf16()
        if engine.threads:
            torch.set_num_threads(engine.threads)
        self._torch: Any = torch
        model, self.metadata = load_weights(weights)
        margin = InBfloat16(fuse(model)) if engine.precision == "bf16" else fuse(model)
        network: Any = ProbabilityNetwork(margin, self.metadata).eval()
        self._network = network.to(memory_format=torch.channels_last)

    def _run(self, before: FloatArray, after: FloatArray) -> FloatArray:
        torch = self._torch
        with torch.inference_mode():
            images = (
                torch.from_numpy(image).contiguous(memory_format=torch.channels_last)
                for image in (before, after)
            )
            probability = _or_memory_error(lambda: self._network(*images))
            return np.asarray(probability[:, 0].numpy(), dtype=np.float32)


class MeanOverFlips:
    """A runtime that looks at each pair in its four flips, and takes the mean.

    Args:
        runtime: What looks.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.metadata: Metadata = runtime.metadata

    def predict(self, before: FloatArray, after: FloatArray) -> FloatArray:
        """See :class:`Runtime`."""
        total = self._runtime.predict(before, after)
        for axes in ((-1,), (-2,), (-1, -2)):
            flipped = (np.ascontiguousarray(np.flip(image, axes)) for image in (before, after))
            total = total + np.flip(self._runtime.predict(*flipped), axes)
        return total / np.float32(4)


def _in_range(probability: FloatArray) -> FloatArray:
    """The same array, in 0-1 to the last bit: ONNX Runtime's sigmoid of 17.844 is 1.0000001 (1.27,
    AVX-512, 2026-11)."""
    return np.clip(probability, 0.0, 1.0, out=probability)


def _cores() -> int:
    """Cores that this process may use, which ONNX Runtime does not ask; 0, its own choice, where
    the system does not say."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0


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


def _or_memory_error(run: Callable[[], Any]) -> Any:
    """What an engine computes; each says in its own way that memory does not suffice."""
    try:
        return run()
    except Exception as error:
        text = str(error)
        if any(word in text.lower() for word in OUT_OF_MEMORY):
            raise MemoryError(text.splitlines()[0]) from error
        raise


def _or_weights_error(weights: Path, load: Any) -> Any:
    try:
        return _or_memory_error(load)
    except MemoryError:  # no fault of the file
        raise
    except Exception as error:  # the engines raise types of their own, all of Exception
        lines = str(error).splitlines()
        raise WeightsError(
            f"{weights} cannot be loaded: {lines[0] if lines else type(error).__name__}",
            hint="the file may be damaged; copy it again",
        ) from error
