"""HANet, and MSPSNet that it grew out of: from released state dicts to ours.

Two families of HANet's checkpoints exist: the authors' own (``head="official"``) and Open-CD's,
which prefixes the backbone and keeps its classifier in a decode head (``head="open-cd"``). Our own
state dicts are taken too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hanet.conversion.layouts.layout import Layout, Names, Shapes, shapes_of
from hanet.models.hanet import DILATIONS, SCALES, HeadName

DEAD_MODULES = ("c1_conv", "c2_conv", "c3_conv", "c4_conv")
"""Official modules that no forward pass uses; ours has no counterpart."""

OPEN_CD_PREFIX = "backbone."
"""What Open-CD puts before every name of the network proper."""

_OFFICIAL_BLOCKS = ("conv0", "conv2", "conv4", "conv5")
_CONV = ("weight", "bias")
_CONV_WITHOUT_BIAS = ("weight",)
_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
_SLOPE = ("weight",)


def official_names(head: HeadName = "official") -> dict[str, str]:
    """The name in ours for each name in a foreign state dict, dead ones left out.

    Args:
        head: Whose checkpoint it is; ``"open-cd"`` names carry its prefix.

    Example:
        >>> official_names()["conv0_0.weight"]
        'encoder.stem.weight'
    """
    prefix = OPEN_CD_PREFIX if head == "open-cd" else ""
    names = {
        f"{prefix}{official}.{entry}": f"{ours}.{entry}"
        for official, ours, entries in _network_modules()
        for entry in entries
    }
    if head == "open-cd":
        return names | {
            f"decode_head.conv_seg.{entry}": f"head.classify.{entry}" for entry in _CONV
        }
    return names | {"conv7.weight": "head.classify.weight"}


def is_dead(name: str) -> bool:
    """Whether a foreign state dict's name belongs to a module that no forward pass uses.

    Example:
        >>> is_dead("backbone.c4_conv.weight"), is_dead("conv6.weight")
        (True, False)
    """
    return name.removeprefix(OPEN_CD_PREFIX).split(".")[0] in DEAD_MODULES


def _network_modules() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """(official module, our module, its entries), all but the classifier."""
    yield "conv0_0", "encoder.stem", _CONV
    for index, block in enumerate(_OFFICIAL_BLOCKS):
        ours = f"encoder.blocks.{index}"
        yield f"{block}.conv1", f"{ours}.conv1", _CONV
        yield f"{block}.bn1", f"{ours}.norm1", _NORM
        yield f"{block}.conv2", f"{ours}.conv2", _CONV_WITHOUT_BIAS
        yield f"{block}.bn2", f"{ours}.norm2", _NORM
    for scale in range(SCALES):
        yield from _han_modules(scale)
    yield "conv6", "head.merge", _CONV


def _han_modules(scale: int) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    number, ours = scale + 1, f"han_modules.{scale}"  # the official names count scales from 1
    for index, dilation in enumerate(DILATIONS):
        yield f"conv6_{number}_{dilation}", f"{ours}.parallel.branches.{index}", _CONV
    yield f"conv{number}_1", f"{ours}.parallel.mix", _CONV
    cam, branch = f"cam_attention_{number}.attn", f"{ours}.channel_branch"
    yield f"{cam}.0", f"{branch}.reduce", _CONV
    yield f"{cam}.1", f"{branch}.reduce_norm", _NORM
    yield f"{cam}.2", f"{branch}.reduce_slope", _SLOPE
    yield f"{cam}.3", f"{branch}.attention", ("gamma",)
    yield f"{cam}.4", f"{branch}.restore", _CONV
    yield f"{cam}.5", f"{branch}.restore_norm", _NORM
    yield f"{cam}.6", f"{branch}.restore_slope", _SLOPE
    for official, line in (
        (f"col_attention_{number}", "column"),
        (f"row_attention_{number}", "row"),
    ):
        for projection in ("query", "key", "value"):
            yield f"{official}.{projection}_conv", f"{ours}.{line}.{projection}", _CONV
        yield official, f"{ours}.{line}", ("gamma",)


def width_of(shapes: Shapes, first: str) -> dict[str, Any]:
    """The width as an argument: channels of the first convolution."""
    return {"width": shapes[first][0]}


def _ours(head: HeadName) -> Names:
    return {name: (name,) for name in shapes_of("hanet", {"width": 8, "head": head})}


def _mspsnet_names() -> Names:
    """MSPSNet's modules have HANet's names in both; it lacks row and column attention."""
    ours = shapes_of("mspsnet", {"width": 8})
    renamed = {
        theirs: name.replace("han_modules", "parallel_modules")
        for theirs, name in official_names().items()
    }
    return {theirs: (name,) for theirs, name in renamed.items() if name in ours}


_ATTENTION = "row_attention_1.query_conv.weight"
"""HANet has it, MSPSNet has not."""

LAYOUTS = (
    Layout(
        model="hanet",
        title="HANet",
        stem=_ATTENTION,
        first="conv0_0.weight",
        names=lambda: {theirs: (ours,) for theirs, ours in official_names().items()},
        statistics=None,
        arguments=lambda shapes: width_of(shapes, "conv0_0.weight"),
        given={"head": "official"},
        dead=DEAD_MODULES,
    ),
    Layout(
        model="hanet",
        title="HANet",
        stem=f"{OPEN_CD_PREFIX}{_ATTENTION}",
        first=f"{OPEN_CD_PREFIX}conv0_0.weight",
        names=lambda: {theirs: (ours,) for theirs, ours in official_names("open-cd").items()},
        # whatever it was trained on
        statistics="imagenet",
        arguments=lambda shapes: width_of(shapes, f"{OPEN_CD_PREFIX}conv0_0.weight"),
        given={"head": "open-cd"},
        dead=tuple(f"{OPEN_CD_PREFIX}{module}" for module in DEAD_MODULES),
        scope=OPEN_CD_PREFIX,
    ),
    Layout(
        model="hanet",
        title="HANet",
        stem="encoder.stem.weight",
        first="encoder.stem.weight",
        names=lambda: _ours("official"),
        statistics=None,
        arguments=lambda shapes: width_of(shapes, "encoder.stem.weight"),
        given={"head": "official"},
        unless="head.classify.bias",
    ),
    Layout(
        model="hanet",
        title="HANet",
        stem="head.classify.bias",
        first="encoder.stem.weight",
        names=lambda: _ours("open-cd"),
        statistics="imagenet",
        arguments=lambda shapes: width_of(shapes, "encoder.stem.weight"),
        given={"head": "open-cd"},
    ),
    Layout(
        model="mspsnet",
        title="MSPSNet",
        stem="conv0_0.weight",
        first="conv0_0.weight",
        names=_mspsnet_names,
        statistics="none",
        why="the authors' repository lacks the file that prepares images, and says that its data "
        "are loaded as SNUNet's: values of 0-255 as they are",
        arguments=lambda shapes: width_of(shapes, "conv0_0.weight"),
        dead=DEAD_MODULES,
        unless=_ATTENTION,
    ),
)
"""Of these the first that fits is meant; an Open-CD file fits the second only."""
