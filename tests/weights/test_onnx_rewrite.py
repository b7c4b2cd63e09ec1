"""ONNX files with other metadata and temperature, compared with what the package onnx writes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from hanet.errors import WeightsError
from hanet.evaluation.calibration import at_temperature
from hanet.metadata import METADATA_KEY, Metadata
from hanet.weights import catalogue
from hanet.weights.engine import Engine
from hanet.weights.onnx_rewrite import with_further_temperature, with_other_metadata
from hanet.weights.runtime import open_runtime, read_onnx_metadata


@pytest.fixture(scope="module")
def content() -> bytes:
    return catalogue.resolve("hanet_lite", suffixes=(".onnx",)).read_bytes()


@pytest.fixture(scope="module")
def metadata() -> Metadata:
    return catalogue.read_metadata(catalogue.resolve("hanet_lite", suffixes=(".onnx",)))


def probability(path: Path) -> np.ndarray:
    generator = np.random.default_rng(0)
    images = [generator.uniform(0, 255, (1, 3, 64, 64)).astype(np.float32) for _ in range(2)]
    return open_runtime(path, Engine(threads=1)).predict(images[0], images[1])


def test_metadata_is_replaced_and_nothing_else(
    tmp_path: Path, content: bytes, metadata: Metadata
) -> None:
    other = replace(metadata, name="mine", threshold=0.25)
    written = with_other_metadata(content, other)
    path = tmp_path / "mine.onnx"
    path.write_bytes(written)
    assert read_onnx_metadata(path) == other
    old, new = onnx.load_from_string(content), onnx.load_from_string(written)
    assert [entry.key for entry in new.metadata_props].count(METADATA_KEY) == 1
    for model in (old, new):
        del model.metadata_props[:]
    assert old == new
    assert with_other_metadata(written, metadata) == with_other_metadata(content, metadata)


def test_properties_of_other_tools_stay(content: bytes, metadata: Metadata) -> None:
    model = onnx.load_from_string(content)
    onnx.helper.set_model_props(model, {"resolution": "50", METADATA_KEY: "{}"})
    written = with_other_metadata(model.SerializeToString(), metadata)
    found = {entry.key: entry.value for entry in onnx.load_from_string(written).metadata_props}
    assert found == {"resolution": "50", METADATA_KEY: metadata.to_json()}


def test_a_further_temperature_divides_the_logit(tmp_path: Path, content: bytes) -> None:
    plain, warm, twice = (tmp_path / f"{name}.onnx" for name in ("plain", "warm", "twice"))
    plain.write_bytes(content)
    warm.write_bytes(with_further_temperature(content, 2.0))
    twice.write_bytes(with_further_temperature(warm.read_bytes(), 3.0))
    onnx.checker.check_model(onnx.load(twice))
    before = probability(plain)
    for path, temperature in ((warm, 2.0), (twice, 6.0)):
        found = probability(path)
        expected = [at_temperature(float(value), temperature) for value in before.ravel()]
        np.testing.assert_allclose(found.ravel(), expected, atol=2e-4)
        assert np.abs(found - before).max() > 0.01


def test_a_temperature_of_one_changes_nothing(content: bytes) -> None:
    assert with_further_temperature(content, 1.0) == content


@pytest.mark.parametrize("damaged", [b"\xff" * 40, b"\x0a\x7f", b"\x3a\x05abc"])
def test_what_is_no_onnx_file_is_refused(damaged: bytes, metadata: Metadata) -> None:
    with pytest.raises(WeightsError, match="no ONNX file"):
        with_other_metadata(damaged, metadata)


def test_a_graph_without_the_sigmoid_is_refused(content: bytes) -> None:
    model = onnx.load_from_string(content)
    (last,) = (node for node in model.graph.node if "probability" in node.output)
    last.op_type = "Tanh"
    with pytest.raises(WeightsError, match="sigmoid"):
        with_further_temperature(model.SerializeToString(), 2.0)
