"""Functions from two raw images to probability, for evaluation: of weights by any runtime, with test-time flips if asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np

from hanet.errors import ShapeError
from hanet.metadata import Metadata
from hanet.types import ByteArray, FloatArray
from hanet.weights.runtime import RuntimeName, RuntimePrecision, open_runtime

Predictor: TypeAlias = Callable[[ByteArray, ByteArray], FloatArray]
"""before and after (B, C, H, W) in 0-255 give probability (B, H, W); any size."""


def predictor_of(
    weights: Path,
    *,
    runtime: RuntimeName | None = None,
    threads: int | None = None,
    precision: RuntimePrecision = "fp32",
    flips: bool = False,
) -> tuple[Predictor, Metadata]:
    """The predictor of a weights file, and its metadata.

    Args:
        weights: ``.onnx`` or ``.safetensors``.
        runtime: Engine; ONNX Runtime for ONNX files and torch for safetensors if None.
        threads: Threads of the engine.
        precision: What the engine computes in; see :func:`hanet.weights.runtime.open_runtime`.
        flips: Likewise.
    """
    chosen: RuntimeName = runtime or ("torch" if weights.suffix == ".safetensors" else "onnxruntime")
    engine = open_runtime(weights, runtime=chosen, threads=threads, precision=precision, flips=flips)
    bands = len(engine.metadata.bands)
    divisor, smallest = engine.metadata.divisor, engine.metadata.min_size_px
    factor = np.float32(engine.metadata.scale / 255.0)

    def predict(before: ByteArray, after: ByteArray) -> FloatArray:
        if before.shape != after.shape or before.ndim != 4:
            raise ShapeError(
                f"before {before.shape} and after {after.shape} must be two arrays (B, C, H, W) of one shape"
            )
        if before.shape[1] != bands:
            raise ShapeError(
                f"{weights.name} takes {bands} bands ({', '.join(engine.metadata.bands)}), the images have {before.shape[1]}"
            )
        height, width = before.shape[-2:]
        rows, columns = (-(-max(side, smallest) // divisor) * divisor - side for side in (height, width))
        padding = ((0, 0), (0, 0), (0, rows), (0, columns))
        padded = [np.pad(image, padding, mode="reflect").astype(np.float32) * factor for image in (before, after)]
        return engine.predict(padded[0], padded[1])[:, :height, :width]

    return predict, engine.metadata
