"""SNUNet-CD with ECAM: the authors' state dict (``SNUNet_ECAM``)."""

from __future__ import annotations

from collections.abc import Iterator

from hanet.conversion.layouts.layout import Layout, renamed
from hanet.models.snunet import LEVELS

_NODE = (
    ("conv1", "first"),
    ("bn1", "first_norm"),
    ("conv2", "second"),
    ("bn2", "second_norm"),
)


def _modules() -> Iterator[tuple[str, str]]:
    """(theirs, ours). Theirs name a node by its level and its step; step 0 is the encoder's."""
    for level in range(LEVELS):
        for step in range(LEVELS - level):
            node = f"nested.{level}.{step - 1}" if step else f"encoder.{level}"
            for theirs, ours in _NODE:
                yield f"conv{level}_{step}.{theirs}", f"{node}.{ours}"
            if level:
                yield f"Up{level}_{step}.up", f"ups.{level - 1}.{step}"
    for theirs, ours in (("ca", "attention_across"), ("ca1", "attention_within")):
        yield f"{theirs}.fc1", f"{ours}.squeeze"
        yield f"{theirs}.fc2", f"{ours}.excite"
    yield "conv_final", "head"


LAYOUT = Layout(
    model="snunet",
    title="SNUNet-CD with ECAM",
    stem="conv0_0.conv1.weight",
    first="conv0_0.conv1.weight",
    names=lambda: renamed("snunet", _modules()),
    statistics="none",
    arguments=lambda shapes: {"width": shapes["conv0_0.conv1.weight"][0]},
)
