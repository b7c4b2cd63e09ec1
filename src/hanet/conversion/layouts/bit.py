"""BIT: the authors' state dict (``base_transformer_pos_s4_dd8``, with or without ``_dedim8``)."""

from __future__ import annotations

from collections.abc import Iterator

from hanet.conversion.layouts.layout import Layout, renamed
from hanet.models.bit import DECODER_DEPTH, HEADS

_QUERY = "transformer_decoder.layers.0.0.fn.fn.to_q.weight"


def _modules() -> Iterator[tuple[str, str]]:
    """(theirs, ours)."""
    yield "resnet", "encoder"
    yield "conv_pred", "narrow"
    yield "conv_a", "tokens"
    yield "pos_embedding", "position"
    yield "classifier", "head"
    layers = {"transformer.layers.0": "transformer"} | {
        f"transformer_decoder.layers.{number}": f"decoder.{number}"
        for number in range(DECODER_DEPTH)
    }
    for theirs, ours in layers.items():
        yield f"{theirs}.0.fn.norm", f"{ours}.attention_norm"
        yield f"{theirs}.0.fn.fn.to_out.0", f"{ours}.attention.out"
        for projection in ("query", "key", "value"):
            # the encoder, which looks at itself, has all three in one
            name = "to_qkv" if ours == "transformer" else f"to_{projection[0]}"
            yield f"{theirs}.0.fn.fn.{name}", f"{ours}.attention.{projection}"
        yield f"{theirs}.1.fn.norm", f"{ours}.perceptron_norm"
        yield f"{theirs}.1.fn.fn.net.0", f"{ours}.perceptron.0"
        yield f"{theirs}.1.fn.fn.net.3", f"{ours}.perceptron.2"


LAYOUT = Layout(
    model="bit",
    title="BIT",
    stem="conv_a.weight",
    first="resnet.conv1.weight",
    names=lambda: renamed("bit", _modules()),
    statistics="half",
    arguments=lambda shapes: {"decoder_head_width": shapes[_QUERY][0] // HEADS},
    dead=("resnet.layer4", "resnet.fc"),
)
