"""torch -> ONNX: normalisation, temperature and softmax inside the graph, metadata inside the file, parity checked before it is written."""

from __future__ import annotations

import copy
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from hanet import __version__
from hanet.errors import ParityError, SettingsError
from hanet.metadata import METADATA_KEY, Metadata
from hanet.models import ChangeModel
from hanet.models.fusion import Margin, fuse
from hanet.models.probability import ProbabilityNetwork
from hanet.types import FloatArray
from hanet.weights import replace_file

OPSET = 18
"""ONNX operator set of the files; ONNX Runtime 1.14 and OpenVINO 2023 read it."""

PARITY_TOLERANCE = 1e-3
"""Largest difference of probability between torch and ONNX Runtime that export lets pass."""


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written.

    Args:
        path: The file.
        bytes: Its size.
        largest_difference: Of probability against torch, over all checked inputs.
        checked: Shapes (B, C, H, W) that were compared.
    """

    path: Path
    bytes: int
    largest_difference: float
    checked: tuple[tuple[int, int, int, int], ...]


def export_onnx(
    model: ChangeModel,
    metadata: Metadata,
    path: Path,
    *,
    static_size: int | None = None,
) -> ExportReport:
    """Writes an ONNX file that :mod:`hanet.runtime`, plain ONNX Runtime and OpenVINO run.

    Inputs ``before`` and ``after``: float32 (batch, bands, height, width), raw values in 0 to ``metadata.scale``. Output
    ``probability``: float32 (batch, 1, height, width).

    Args:
        model: The network.
        metadata: What travels with it.
        path: Target.
        static_size: Fixes height and width to this; None leaves them free (multiples of the divisor).

    Raises:
        ParityError: ONNX Runtime gives another probability than torch; nothing is written.
        SettingsError: ``static_size`` does not fit the model.
    """
    if static_size is not None and (static_size % model.divisor or static_size < model.min_size_px):
        raise SettingsError(
            f"size {static_size} does not fit {model.name}: a multiple of {model.divisor}, at least {model.min_size_px}"
        )
    model = copy.deepcopy(model).eval()
    content = _to_onnx(ProbabilityNetwork(fuse(model), metadata).eval(), model, static_size)
    as_trained = ProbabilityNetwork(Margin(model), metadata).eval()
    difference, checked = _parity(as_trained, content, model, static_size)
    metadata = replace(
        metadata,
        model=model.name,
        divisor=model.divisor,
        code_version=__version__,
        extra={**metadata.extra, "parity": {"largest_difference": difference, "against": f"torch {torch.__version__}"}},
    )
    content = with_metadata(content, metadata)
    replace_file(path, content)
    return ExportReport(path, len(content), difference, checked)


def with_metadata(content: bytes, metadata: Metadata) -> bytes:
    """The ONNX file with this metadata in place of what it held."""
    import onnx

    proto = onnx.load_from_string(content)
    del proto.metadata_props[:]
    onnx.helper.set_model_props(proto, {METADATA_KEY: metadata.to_json()})
    return bytes(proto.SerializeToString(deterministic=True))


def _to_onnx(network: nn.Module, model: ChangeModel, static_size: int | None) -> bytes:
    side = static_size or max(4 * model.divisor, model.min_size_px)
    images = tuple(
        torch.rand(2, model.bands, side, side + (0 if static_size else model.divisor)) * 255 for _ in range(2)
    )
    axes = {0: "batch"} if static_size else {0: "batch", 2: "height", 3: "width"}
    buffer = io.BytesIO()
    with _quiet_exporter(), torch.no_grad():
        torch.onnx.export(
            network,
            images,
            buffer,  # type: ignore[arg-type]
            input_names=["before", "after"],
            output_names=["probability"],
            dynamic_axes=dict.fromkeys(("before", "after", "probability"), axes),
            opset_version=OPSET,
            dynamo=False,
        )
    return buffer.getvalue()


def _parity(
    network: nn.Module, content: bytes, model: ChangeModel, static_size: int | None
) -> tuple[float, tuple[tuple[int, int, int, int], ...]]:
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    smallest = -(-model.min_size_px // model.divisor) * model.divisor
    sizes = [(static_size, static_size)] if static_size else [(256, 256), (smallest, smallest + 3 * model.divisor)]
    generator = np.random.default_rng(0)
    largest, checked = 0.0, []
    for batch, (height, width) in ((batch, size) for batch in (1, 3) for size in sizes):
        shape = (batch, model.bands, height, width)
        images = [_smooth_noise(shape, generator) for _ in range(2)]
        with torch.inference_mode():
            expected = network(*(torch.from_numpy(image) for image in images)).numpy()
        (found,) = session.run(["probability"], dict(zip(("before", "after"), images, strict=True)))
        largest = max(largest, float(np.abs(found - expected).max()))
        checked.append(shape)
    if not largest <= PARITY_TOLERANCE:
        raise ParityError(
            f"the exported {model.name} differs from torch by {largest:.2g} in probability; {PARITY_TOLERANCE} is allowed",
            hint="please report this with the versions of torch and onnxruntime",
        )
    return largest, tuple(checked)


def _smooth_noise(shape: tuple[int, int, int, int], generator: np.random.Generator) -> FloatArray:
    """Blocks of random brightness with fine noise on top, 0-255: nearer to an image than white noise."""
    batch, bands, height, width = shape
    coarse = generator.uniform(0, 255, (batch, bands, -(-height // 8), -(-width // 8)))
    blocks = coarse.repeat(8, axis=2).repeat(8, axis=3)[:, :, :height, :width]
    return np.clip(blocks + generator.normal(0, 10, shape), 0, 255).astype(np.float32)


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """The exporter's own warnings (deprecation of this way, constants it folds) are not the user's."""
    logger: Any = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
