"""scripts/round_weights.py: fewer bits, the same file otherwise."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

import round_weights
from hanet.metadata import Metadata
from hanet.models import create
from hanet.weights.catalogue import read_metadata
from hanet.weights.engine import Engine
from hanet.weights.export import export_onnx
from hanet.weights.runtime import open_runtime
from hanet.weights.weights_file import load_weights, save_weights


@pytest.mark.parametrize("bits", [1, 7, 10, 22])
def test_numbers_are_rounded_to_the_nearest(bits: int) -> None:
    values = np.random.default_rng(1).normal(size=(50, 20)).astype(np.float32)
    values[0, :4] = 0.0, -0.0, 1e-40, 65504.0
    found = round_weights.rounded(values, bits)
    fraction, exponent = np.frexp(values.astype(np.float64))
    step = 2.0 ** (bits + 1)
    expected = np.ldexp(np.round(fraction * step) / step, exponent)
    normal = np.abs(values) > 1e-37
    assert found.shape == values.shape
    np.testing.assert_array_equal(found[normal], expected.astype(np.float32)[normal])
    assert (np.abs(found - values) <= np.abs(values) * 2.0 ** -(bits + 1) + 1e-37).all()


def test_both_kinds_of_files_are_rounded_and_say_the_same(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = create("hanet_lite", width=16).eval()
    metadata = Metadata("x", "hanet_lite", {"width": 16}, threshold=0.4)
    save_weights(tmp_path / "x.safetensors", network, metadata)
    export_onnx(network, metadata, tmp_path / "x.onnx")
    before, after = torch.rand(2, 1, 3, 64, 64).numpy() * 255
    for name, engine in (("x.safetensors", "torch"), ("x.onnx", "onnxruntime")):
        path = tmp_path / name
        size, said = path.stat().st_size, read_metadata(path)
        was = open_runtime(path, Engine(engine, 1)).predict(before, after)
        packed = len(zlib.compress(path.read_bytes()))
        (round_weights.round_onnx if path.suffix == ".onnx" else round_weights.round_safetensors)(
            path, 10
        )
        now = open_runtime(path, Engine(engine, 1)).predict(before, after)
        assert abs(path.stat().st_size - size) <= 64
        assert read_metadata(path) == said
        assert len(zlib.compress(path.read_bytes())) < 0.75 * packed
        assert 0 < np.abs(now - was).max() < 0.02
    kept = load_weights(tmp_path / "x.safetensors")[0].state_dict()
    ends = [
        v.numpy().view(np.uint32) & 0x1FFF
        for v in kept.values()
        if v.numel() >= 64 and v.is_floating_point()
    ]
    assert not any(end.any() for end in ends)
