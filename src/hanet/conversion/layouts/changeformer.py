"""ChangeFormer: the authors' state dict of V6."""

from __future__ import annotations

from collections.abc import Iterator

from hanet.conversion.layouts.layout import Layout, renamed
from hanet.models.changeformer import DEPTHS

_BLOCK = (
    ("norm1", "attention_norm"),
    ("attn.q", "attention.query"),
    ("attn.kv", "attention.key_value"),
    ("attn.proj", "attention.out"),
    ("attn.sr", "attention.reduce"),
    ("attn.norm", "attention.reduce_norm"),
    ("norm2", "perceptron_norm"),
    ("mlp.fc1", "perceptron.expand"),
    ("mlp.dwconv.dwconv", "perceptron.mix"),
    ("mlp.fc2", "perceptron.project"),
)


def _modules() -> Iterator[tuple[str, str]]:
    """(theirs, ours). Theirs count stages from 1."""
    for stage, depth in enumerate(DEPTHS):
        number, ours = stage + 1, f"encoder.stages.{stage}"
        yield f"Tenc_x2.patch_embed{number}.proj", f"{ours}.embed.project"
        yield f"Tenc_x2.patch_embed{number}.norm", f"{ours}.embed.norm"
        yield f"Tenc_x2.norm{number}", f"{ours}.norm"
        for block in range(depth):
            for theirs, part in _BLOCK:
                yield f"Tenc_x2.block{number}.{block}.{theirs}", f"{ours}.blocks.{block}.{part}"
        yield f"TDec_x2.linear_c{number}.proj", f"narrow.{stage}"
        yield f"TDec_x2.diff_c{number}", f"differences.{stage}"
    yield "TDec_x2.linear_fuse", "merge"
    for number, scale in enumerate(("2x", "1x")):
        yield f"TDec_x2.convd{scale}.conv2d", f"ups.{number}.up"
        yield f"TDec_x2.dense_{scale}.0.conv1.conv2d", f"ups.{number}.first"
        yield f"TDec_x2.dense_{scale}.0.conv2.conv2d", f"ups.{number}.second"
    yield "TDec_x2.change_probability.conv2d", "head"


_FIRST = "Tenc_x2.patch_embed1.proj.weight"

LAYOUT = Layout(
    model="changeformer",
    title="ChangeFormer V6",
    stem=_FIRST,
    first=_FIRST,
    names=lambda: renamed("changeformer", _modules()),
    statistics="half",
    arguments=lambda shapes: {"width": shapes[_FIRST][0]},
    dead=tuple(f"TDec_x2.make_pred_c{number + 1}" for number in range(len(DEPTHS))),
)
