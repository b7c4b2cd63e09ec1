"""Damaged and hostile safetensors files are refused in one line."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from hanet.errors import WeightsError
from hanet.metadata import METADATA_KEY, Metadata
from hanet.models import create
from hanet.weights.weights_file import load_weights, read_safetensors_metadata, save_weights


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a small network."""
    path = tmp_path_factory.mktemp("weights") / "good.safetensors"
    arguments = {"width": 16}
    save_weights(path, create("hanet", **arguments), Metadata("good", "hanet", arguments))
    return path


def _with_header(good: Path, path: Path, header: str | bytes) -> Path:
    content = good.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    text = header.encode() if isinstance(header, str) else header
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])
    return path


def _with_metadata(good: Path, path: Path, **changed: Any) -> Path:
    content = good.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    values = json.loads(header["__metadata__"][METADATA_KEY]) | changed
    header["__metadata__"][METADATA_KEY] = json.dumps(values)
    return _with_header(good, path, json.dumps(header))


def _refused(load: Callable[[Path], object], path: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        load(path)
    message = caught.value.message
    assert message.isprintable()
    assert len(message) < 600
    return message


def test_the_good_file_loads(good: Path) -> None:
    assert load_weights(good)[1].name == "good"


@pytest.mark.parametrize(
    "header",
    [
        "[" * 50_000 + "]" * 50_000,
        "[]",
        "not JSON",
        b"\xff\xfe{}",
        '{"__metadata__": 3}',
        '{"__metadata__": {"hanet": 3}}',
        '{"__metadata__": {"hanet": "["}}',
        '{"a": 1, "a": 2}',
        "{}",
    ],
    ids=lambda header: repr(header)[:20],
)
def test_a_damaged_header_is_refused(header: str | bytes, good: Path, tmp_path: Path) -> None:
    path = _with_header(good, tmp_path / "bad.safetensors", header)
    _refused(read_safetensors_metadata, path)
    _refused(load_weights, path)


@pytest.mark.parametrize("cut", [0, 4, 8, 100, 20_000])
def test_a_file_cut_short_is_refused(cut: int, good: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.safetensors"
    path.write_bytes(good.read_bytes()[:cut])
    _refused(load_weights, path)


@pytest.mark.parametrize(
    "arguments",
    [
        {"width": 10**9},
        {"width": 2**70},
        {"width": -4},
        {"width": 0},
        {"width": 1.5},
        {"width": "wide"},
        {"width": None},
        {"width": 16, "bands": 10**9},
        {"width": 24},
        [],
    ],
    ids=str,
)
def test_arguments_of_another_network_are_refused(
    arguments: Any, good: Path, tmp_path: Path
) -> None:
    """A width of millions allocated until the system stopped the process."""
    path = _with_metadata(good, tmp_path / "bad.safetensors", model_arguments=arguments)
    _refused(load_weights, path)


def test_numbers_that_are_not_finite_are_refused(good: Path, tmp_path: Path) -> None:
    network, metadata = load_weights(good)
    with torch.no_grad():
        next(network.parameters()).view(-1)[0] = float("nan")
    save_weights(tmp_path / "nan.safetensors", network, metadata)
    assert "not finite" in _refused(load_weights, tmp_path / "nan.safetensors")


def test_complex_numbers_are_refused(good: Path, tmp_path: Path) -> None:
    """torch warned that it drops the imaginary part, on the terminal."""
    network, metadata = load_weights(good)
    tensors = {
        name: tensor.to(torch.complex64) if tensor.is_floating_point() else tensor
        for name, tensor in network.state_dict().items()
    }
    path = tmp_path / "complex.safetensors"
    save_file(tensors, path, metadata={METADATA_KEY: metadata.to_json()})
    assert "complex64" in _refused(load_weights, path)


def test_names_of_tensors_are_shown_without_control_characters(good: Path, tmp_path: Path) -> None:
    network, metadata = load_weights(good)
    tensors = {**network.state_dict(), "\x1b[31mred": torch.zeros(1)}
    path = tmp_path / "escape.safetensors"
    save_file(tensors, path, metadata={METADATA_KEY: metadata.to_json()})
    assert "1 unknown" in _refused(load_weights, path)
