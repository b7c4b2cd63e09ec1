"""Rounds weights to fewer bits, so that they take less room where files are kept compressed.

    python scripts/round_weights.py FILE [--bits 10]

FILE (.safetensors or .onnx) is replaced. It keeps its size, its type (fp32) and its metadata; what
goes is the end of each number, so that git, or a zip, stores some three fifths of it. Random ends
do not compress, and each set of weights that replaces another stays in the history for good.

Ten bits are those of half precision, at the range of single precision. Score the weights after it,
not before.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx

from hanet.files import replace_file
from hanet.types import FloatArray
from hanet.weights.weights_file import load_state, load_weights, save_weights

STORED_BITS = 23
"""Of the fraction of a single-precision number."""

SMALLEST = 64
"""Arrays with fewer numbers stay as they are: they take no room, and sizes and factors of the graph
are among them."""


def rounded(values: FloatArray, bits: int) -> FloatArray:
    """Single-precision numbers to the nearest that have so many bits behind the first, ties to
    even.

    Args:
        values: Finite numbers, of any shape.
        bits: 1 to 22.

    Returns:
        The same shape; the relative difference is at most ``2 ** -(bits + 1)``.
    """
    end = STORED_BITS - bits
    words = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32).astype(np.uint64)
    is_odd = (words >> end) & 1
    words = (words + (1 << (end - 1)) - 1 + is_odd) >> end << end
    return words.astype(np.uint32).view(np.float32).reshape(np.shape(values))


def round_safetensors(path: Path, bits: int) -> None:
    """Rounds the tensors of a file of ours."""
    network, metadata = load_weights(path)
    tensors = network.state_dict()
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and tensor.numel() >= SMALLEST:
            values = tensor.numpy()
            values[...] = rounded(values, bits)
            assert np.isfinite(values).all(), f"{name} does not fit"
    load_state(network, tensors, source=str(path))
    save_weights(path, network, metadata)


def round_onnx(path: Path, bits: int) -> None:
    """Rounds the constants of a graph."""
    model = onnx.load(path)
    for constant in model.graph.initializer:
        values = onnx.numpy_helper.to_array(constant)
        if values.dtype == np.float32 and values.size >= SMALLEST:
            kept = onnx.numpy_helper.from_array(rounded(values, bits), constant.name)
            constant.CopyFrom(kept)
    replace_file(path, model.SerializeToString())


def main() -> None:
    """Rounds one file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--bits", type=int, default=10, choices=range(1, STORED_BITS))
    arguments = parser.parse_args()
    take = round_onnx if arguments.file.suffix == ".onnx" else round_safetensors
    take(arguments.file, arguments.bits)


if __name__ == "__main__":
    main()
