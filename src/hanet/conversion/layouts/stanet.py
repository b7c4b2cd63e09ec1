"""STANet with PAM: the authors' two state dicts, of the feature extractor (``NAME_net_F.pth``) and
of the attention (``NAME_net_A.pth``)."""

from __future__ import annotations

from collections.abc import Iterator

from hanet.conversion.layouts.layout import Layout, renamed
from hanet.models.stanet import GRIDS

_ENDS = ("net_F", "net_A")


def _extractor() -> Iterator[tuple[str, str]]:
    """(theirs, ours). Theirs count levels by what they halve the image to, from 2 on."""
    yield "backbone", "encoder"
    for level in range(4):
        yield f"decoder.dr{level + 2}.conv1", f"decoder.narrow.{level}.0"
        yield f"decoder.dr{level + 2}.bn1", f"decoder.narrow.{level}.1"
    yield "decoder.last_conv", "decoder.merge"


def _attention() -> Iterator[tuple[str, str]]:
    """(theirs, ours)."""
    for level in range(len(GRIDS)):
        for projection in ("query", "key", "value"):
            yield (
                f"Self_Att.stages.{level}.f_{projection}",
                f"attention.levels.{level}.{projection}",
            )
    yield "Self_Att.conv_bn.0", "attention.merge"


LAYOUTS = (
    Layout(
        model="stanet",
        title="STANet's extractor",
        stem="decoder.dr2.conv1.weight",
        first="backbone.conv1.weight",
        names=lambda: renamed("stanet", _extractor(), parts=("encoder.", "decoder.")),
        statistics="half",
        arguments=lambda shapes: {"width": shapes["backbone.conv1.weight"][0]},
        halves=_ENDS,
    ),
    Layout(
        model="stanet",
        title="STANet's attention",
        stem="Self_Att.conv_bn.0.weight",
        first="",
        names=lambda: renamed("stanet", _attention(), parts=("attention.",)),
        statistics="half",
        arguments=lambda shapes: {"width": shapes["Self_Att.conv_bn.0.weight"][0]},
        halves=_ENDS[::-1],
    ),
)
"""The two halves."""
