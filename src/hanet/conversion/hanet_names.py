"""From the state dict of the released HANet to ours: pure tables, no files.

Two families of checkpoints exist: the authors' own (``head="official"``) and Open-CD's, which
prefixes the backbone and keeps its classifier in a decode head (``head="open-cd"``).
"""

from __future__ import annotations

from collections.abc import Iterator

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
