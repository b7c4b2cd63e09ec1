"""torch -> ONNX: normalisation, temperature and softmax inside the graph, metadata inside the file,
parity checked before it is written."""

from __future__ import annotations

import copy
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hanet.destination import check_file, check_packages
from hanet.errors import ParityError, SettingsError
from hanet.files import replace_file
from hanet.metadata import METADATA_KEY, Metadata
from hanet.models import ChangeModel
from hanet.models.fusion import fuse, unfused
from hanet.types import FloatArray
from hanet.version import __version__
from hanet.weights.onnx_contract import BUILT, PROBABILITY
from hanet.weights.probability import ProbabilityNetwork
from hanet.weights.quantisation import CalibrationTiles, quantised
from hanet.weights.runtime import imported_onnxruntime, on_scale
from hanet.weights.workload import of_network

OPSET = 18
"""ONNX operator set of the files; ONNX Runtime 1.14 and OpenVINO 2023 read it."""

PARITY_TOLERANCE = 1e-3
"""Largest difference of probability between torch and ONNX Runtime that export lets pass, but for
:func:`is_rounding`."""

ROUNDING_FACTOR = 3.0
"""How many times as far as torch in float32 a file may be from float64, where the two differ by
more than the tolerance."""

ROUNDING_LIMIT = 0.02
"""Farther than this from float64 no file may be."""

INT8_MEAN_TOLERANCE = 0.02
"""Largest mean difference of probability between torch and the file in integers, over tiles that
calibration did not see."""

INT8_MASK_TOLERANCE = 0.02
"""Largest share of their pixels that may stand on another side of the threshold."""

INT8_BUILT_TOLERANCE = 0.05
"""Largest mean difference of the probability of "built", over the changed pixels of those tiles."""

PRECISIONS = ("fp32", "int8")
"""Number formats of a file. bf16 is not one: a runtime computes a file of fp32 in it
(:class:`hanet.weights.engine.Engine`)."""

Precision: TypeAlias = Literal["fp32", "int8"]
ReadTiles: TypeAlias = Callable[[int | None], CalibrationTiles]
Inputs: TypeAlias = Literal["two", "one"]
INPUTS: tuple[Inputs, ...] = ("two", "one")
"""``two``: before and after, raw. ``one``: a stack of both, in 0-1, for tools that take one
raster."""


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What was written.

    Args:
        path: The file.
        bytes: Its size.
        largest_difference: Of probability against torch, over all checked inputs.
        checked: Shapes (B, C, H, W) that were compared.
        mean_difference: Of probability against torch; None where only the largest was asked for.
        changed_mask_share: Share of pixels that stand on the other side of the threshold; None
            in the same case.
    """

    path: Path
    bytes: int
    largest_difference: float
    checked: tuple[tuple[int, int, int, int], ...]
    mean_difference: float | None = None
    changed_mask_share: float | None = None


class _OneInput(nn.Module):
    """Both dates in one stack of bands, 0-1: what a tool sends that knows one raster of 8 bits,
    divided by 255."""

    def __init__(self, network: ProbabilityNetwork, bands: int, scale: float) -> None:
        super().__init__()
        self.network, self.bands, self.scale = network, bands, scale

    def forward(self, image: Tensor) -> Tensor:  # (B, 2 C, H, W) -> (B, 1, H, W)
        """Probability of change in 0-1."""
        raw = image * self.scale
        found = self.network(raw[:, : self.bands], raw[:, self.bands :])
        # such tools know one output; what is not given is not in the graph
        probability: Tensor = found[0] if isinstance(found, tuple) else found
        return probability


def export_onnx(
    model: ChangeModel,
    metadata: Metadata,
    path: Path,
    *,
    static_size: int | None = None,
    precision: Precision = "fp32",
    calibration: ReadTiles | None = None,
    inputs: Inputs = "two",
) -> ExportResult:
    """Writes an ONNX file that :mod:`hanet.weights.runtime`, plain ONNX Runtime and OpenVINO run.

    Inputs ``before`` and ``after``: float32 (batch, bands, height, width), raw values in 0 to
    ``metadata.scale``. Output ``probability``: float32 (batch, 1, height, width). Of a network that
    tells built from demolished a second output ``built``, of the same shape: the probability that
    what has changed is a new building. With ``inputs="one"`` a single input ``image``, float32
    (batch, 2 bands, height, width), values in 0-1, the bands of before first, and the first output
    alone; :mod:`hanet.weights.runtime` does not run such files.

    Args:
        model: The network.
        metadata: What travels with it.
        path: Target.
        static_size: Fixes height and width to this; None leaves them free (multiples of the
            divisor), for one input fixes them to the detector's tile, which QGIS Deepness needs.
        precision: ``"int8"`` needs ``calibration``, and is compared with torch on tiles from there.
        calibration: Reads tiles of a side in pixels (None: as they come), for example
            :func:`hanet.datasets.calibration_tiles.read_calibration_tiles` of a data set; called
            when the choices are known to go together.
        inputs: ``"two"`` or ``"one"``.

    Raises:
        ParityError: The file gives another probability than torch; nothing is written.
        SettingsError: ``static_size`` does not fit the model, the choices do not go together, or
            ``path`` has a name that no file can have.
    """
    check_target(path)
    _check_choices(precision, calibration, inputs)
    if inputs == "one" and static_size is None:
        static_size = metadata.tile_px
    if static_size is not None and (static_size % model.divisor or static_size < model.min_size_px):
        raise SettingsError(
            f"size {static_size} does not fit {model.name}: a multiple of {model.divisor}, at "
            f"least {model.min_size_px}"
        )
    model = copy.deepcopy(model).eval()
    network = ProbabilityNetwork(unfused(model), metadata).eval()  # as trained: the yardstick
    fused = ProbabilityNetwork(fuse(model), metadata).eval()
    content = _graph_of(fused, model, static_size, inputs=inputs, scale=metadata.scale)
    if precision == "int8" and calibration is not None:
        if model.bands != 3:
            raise SettingsError(
                "int8 needs images to calibrate on, which are read with 3 bands; this network "
                f"takes {model.bands}",
                hint="export fp32",
            )
        tiles = calibration(static_size)
        content = quantised(content, tiles.calibrate)
        parity, checked = _int8_parity(network, content, model, tiles.judge, metadata.threshold)
    else:
        parity, checked = _parity(
            network, content, model, static_size, inputs=inputs, scale=metadata.scale
        )
    recorded = {**parity, "against": f"torch {torch.__version__}", "precision": precision}
    metadata = replace(
        of_network(metadata, model),
        code_version=__version__,
        extra={**metadata.extra, "parity": recorded, "precision": precision, "inputs": inputs},
    )
    others = (
        deepness_properties(metadata, size_px=static_size)
        if inputs == "one" and static_size
        else {}
    )
    content = with_metadata(content, metadata, others)
    replace_file(path, content)
    return ExportResult(
        path,
        len(content),
        parity["largest_difference"],
        checked,
        parity.get("mean_difference"),
        parity.get("changed_mask_share"),
    )


def check_target(path: Path) -> None:
    """Does nothing for a file that :func:`export_onnx` can write here.

    Raises:
        SettingsError: It has a name that no such file can have.
        OutputError: The disk does not take it.
        MissingExtraError: A package is not installed.
    """
    check_file(path, "the file to write")
    if path.suffix != ".onnx":
        raise SettingsError(
            f"{path.name} is no .onnx file", hint="runtimes know the file by its suffix"
        )
    check_packages(("onnx",), extra="train", purpose="writing an .onnx file")


def with_metadata(
    content: bytes, metadata: Metadata, others: Mapping[str, str] | None = None
) -> bytes:
    """The ONNX file with this metadata in place of what it held; properties of other tools stay, or
    are set."""
    import onnx

    proto = onnx.load_from_string(content)
    foreign = {
        entry.key: entry.value
        for entry in proto.metadata_props
        if not entry.key.startswith("onnx.")
    }
    del proto.metadata_props[:]
    onnx.helper.set_model_props(
        proto, {**foreign, **(others or {}), METADATA_KEY: metadata.to_json()}
    )
    return bytes(proto.SerializeToString(deterministic=True))


def deepness_properties(metadata: Metadata, *, size_px: int) -> dict[str, str]:
    """What the QGIS plugin Deepness reads from an ONNX file, so that a user need not fill in its
    form.

    Keys and units as its documentation ("Adding metadata to ONNX model") and its model_base.py
    (PUTvision/qgis-plugin-deepness) have them: every value is JSON. The plugin feeds one raster,
    eight bits a band divided by 255, in square tiles of the size of the graph's input.

    Args:
        metadata: What travels with the weights.
        size_px: Height and width of the graph's input.
    """
    overlap = round(100 * metadata.overlap_px / metadata.tile_px)
    return {
        key: json.dumps(value)
        for key, value in {
            "model_type": "Segmentor",
            "class_names": {0: "unchanged", 1: "changed"},
            "resolution": 100 * metadata.gsd_m,  # centimetres a pixel
            "tile_size": size_px,  # what the plugin's code reads
            "tiles_size": size_px,  # what its documentation says
            "tiles_overlap": overlap,  # per cent
            "seg_thresh": metadata.threshold,
            "seg_small_segment": 0,
        }.items()
    }


def _check_choices(precision: str, calibration: ReadTiles | None, inputs: str) -> None:
    if precision == "bf16":
        raise SettingsError(
            "bf16 is not written: a runtime computes an fp32 file in it",
            hint="export fp32, then hanet detect --runtime openvino --precision bf16",
        )
    if precision not in PRECISIONS or inputs not in INPUTS:
        raise SettingsError(
            f"there is no export in {precision!r} with {inputs!r} inputs",
            hint=f"--precision is {' or '.join(PRECISIONS)}, --inputs {' or '.join(INPUTS)}",
        )
    if (precision == "int8") != (calibration is not None):
        raise SettingsError(
            "int8 and calibration tiles belong together",
            hint="--precision int8 --calibration DATA, a folder with SPLIT/{A,B,label} of images "
            "like those to be looked at",
        )
    if precision == "int8" and inputs == "one":
        raise SettingsError(
            "int8 is written with two inputs only", hint="leave --inputs or --precision out"
        )


def _graph_of(
    network: ProbabilityNetwork,
    model: ChangeModel,
    static_size: int | None,
    *,
    inputs: Inputs,
    scale: float,
) -> bytes:
    """The only place where a module becomes a graph: whatever form of ``model`` is to be exported
    is what ``network`` holds here."""
    side = static_size or max(4 * model.divisor, model.min_size_px)
    width = side + (0 if static_size else model.divisor)
    bands, names = (
        (2 * model.bands, ["image"]) if inputs == "one" else (model.bands, ["before", "after"])
    )
    exported: nn.Module = (
        _OneInput(network, model.bands, scale).eval() if inputs == "one" else network
    )
    images = tuple(
        torch.rand(2, bands, side, width) * (1 if inputs == "one" else scale) for _ in names
    )
    outputs = [PROBABILITY]
    if model.tells_direction and inputs == "two":
        outputs.append(BUILT)
    axes = {0: "batch"} if static_size else {0: "batch", 2: "height", 3: "width"}
    buffer = io.BytesIO()
    with _quiet_exporter(), torch.no_grad():
        torch.onnx.export(
            exported,
            images,
            buffer,  # type: ignore[arg-type]
            input_names=names,
            output_names=outputs,
            dynamic_axes=dict.fromkeys((*names, *outputs), axes),
            opset_version=OPSET,
            dynamo=False,
        )
    return buffer.getvalue()


Parity: TypeAlias = tuple[dict[str, Any], tuple[tuple[int, int, int, int], ...]]


def _parity(
    network: ProbabilityNetwork,
    content: bytes,
    model: ChangeModel,
    static_size: int | None,
    *,
    inputs: Inputs,
    scale: float,
) -> Parity:
    smallest = -(-model.min_size_px // model.divisor) * model.divisor
    sizes = (
        [(static_size, static_size)]
        if static_size
        else [(256, 256), (smallest, smallest + 3 * model.divisor)]
    )
    generator = np.random.default_rng(0)
    run, largest, checked = _session(content), 0.0, []
    for batch, (height, width) in ((batch, size) for batch in (1, 3) for size in sizes):
        shape = (batch, model.bands, height, width)
        images = [on_scale(_smooth_noise(shape, generator), scale) for _ in range(2)]
        expected = _by_torch(network, images)
        fed = [np.concatenate(images, axis=1) / np.float32(scale)] if inputs == "one" else images
        for number, found in enumerate(run(*fed)):
            difference = float(np.abs(found - expected[number]).max())
            if not difference <= PARITY_TOLERANCE:
                exact = _by_torch(
                    copy.deepcopy(network).double(), [image.astype(np.float64) for image in images]
                )
                if not is_rounding(found, expected[number], exact[number]):
                    raise ParityError(
                        f"the exported {model.name} differs from torch by {difference:.2g} in "
                        f"probability; {PARITY_TOLERANCE} is allowed",
                        hint="please report this with the versions of torch and onnxruntime",
                    )
            largest = max(largest, difference)
        checked.append(shape)
    return {"largest_difference": largest, "tolerance": PARITY_TOLERANCE}, tuple(checked)


def is_rounding(found: FloatArray, by_torch: FloatArray, exact: npt.NDArray[np.float64]) -> bool:
    """Whether a file is as near to float64 as torch in float32 is.

    The softmax of attention is taken over scores of hundreds: on noise, which looks like nothing
    that it learned, a trained ``hanet`` rounds to a thousandth of probability by itself (F1 0.70,
    2026-11: torch 0.0006 from float64, ONNX Runtime 0.0004; on tiles 0.00003).
    """
    of_file, of_torch = (float(np.abs(values - exact).max()) for values in (found, by_torch))
    return of_file <= min(ROUNDING_LIMIT, ROUNDING_FACTOR * of_torch)


def _by_torch(
    network: ProbabilityNetwork, images: Sequence[npt.NDArray[Any]]
) -> list[npt.NDArray[Any]]:
    """Each output of the network."""
    with torch.inference_mode():
        found = network(*(torch.from_numpy(image) for image in images))
    return [part.numpy() for part in (found if isinstance(found, tuple) else (found,))]


def _int8_parity(
    network: ProbabilityNetwork,
    content: bytes,
    model: ChangeModel,
    tiles: Sequence[tuple[FloatArray, FloatArray]],
    threshold: float,
) -> Parity:
    run, largest, checked = _session(content), 0.0, []
    total = moved = of_built = 0.0
    pixels = changed_pixels = 0
    for images in tiles:
        expected, *built = _by_torch(network, images)
        found, *built_found = run(*images)
        changed = expected >= threshold
        for one, other in zip(built, built_found, strict=True):
            of_built += float(np.abs(one - other)[changed].sum(dtype=np.float64))
            changed_pixels += int(changed.sum())
        difference = np.abs(found - expected)
        largest = max(largest, float(difference.max()))
        total += float(difference.sum(dtype=np.float64))
        moved += float(np.count_nonzero((found >= threshold) != changed))
        pixels += difference.size
        checked.append(images[0].shape)
    mean, share = total / pixels, moved / pixels
    if not (mean <= INT8_MEAN_TOLERANCE and share <= INT8_MASK_TOLERANCE):
        raise ParityError(
            f"{model.name} in integers differs from torch by {mean:.3f} in mean probability and "
            f"in {100 * share:.1f} % of the mask; "
            f"{INT8_MEAN_TOLERANCE} and {100 * INT8_MASK_TOLERANCE:.0f} % are allowed",
            hint="calibrate on more images like those to be looked at, or export fp32",
        )
    built_difference = of_built / max(1, changed_pixels)
    if not built_difference <= INT8_BUILT_TOLERANCE:
        raise ParityError(
            f"{model.name} in integers differs from torch by {built_difference:.3f} in the mean "
            f"probability of built, where something changed; {INT8_BUILT_TOLERANCE} is allowed",
            hint="calibrate on more images like those to be looked at, or export fp32",
        )
    values = {
        "largest_difference": largest,
        "mean_difference": mean,
        "changed_mask_share": share,
        "tolerance": {
            "mean_difference": INT8_MEAN_TOLERANCE,
            "changed_mask_share": INT8_MASK_TOLERANCE,
        },
        "tiles": len(tiles),
    }
    if changed_pixels:
        values["built_difference"] = built_difference
    return values, tuple(checked)


def _session(content: bytes) -> Callable[..., list[FloatArray]]:
    session = imported_onnxruntime().InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]

    def run(*images: FloatArray) -> list[FloatArray]:
        found = session.run(None, dict(zip(names, images, strict=True)))
        return [np.asarray(part) for part in found]

    return run


def _smooth_noise(shape: tuple[int, int, int, int], generator: np.random.Generator) -> FloatArray:
    """Blocks of random brightness with fine noise on top, 0-255: nearer to an image than white
    noise."""
    batch, bands, height, width = shape
    coarse = generator.uniform(0, 255, (batch, bands, -(-height // 8), -(-width // 8)))
    blocks = coarse.repeat(8, axis=2).repeat(8, axis=3)[:, :, :height, :width]
    return np.clip(blocks + generator.normal(0, 10, shape), 0, 255).astype(np.float32)


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """The exporter's own warnings (deprecation of this way, constants it folds) are not the
    user's."""
    logger: Any = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
