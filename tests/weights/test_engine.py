"""What weights run on is one value, checked when it is made."""

from __future__ import annotations

import inspect
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest

import hanet
from hanet.detection.settings import DetectionSettings
from hanet.errors import SettingsError
from hanet.weights.engine import DEFAULT_ENGINE, Engine, runtime_of


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"runtime": "tensorrt"}, "no runtime 'tensorrt'"),
        ({"threads": 0}, "threads is 0"),
        ({"precision": "fp16"}, "no precision 'fp16'"),
    ],
    ids=str,
)
def test_values_that_are_not_allowed_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        Engine(**wrong)


def test_it_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        Engine().threads = 2  # type: ignore[misc]


def test_a_kind_of_file_has_its_engine_and_an_engine_its_kind_of_file() -> None:
    for name in ("a.onnx", "a.safetensors"):
        path = Path(name)
        assert path.suffix in Engine(runtime_of(path)).suffixes


@pytest.mark.parametrize("function", [hanet.load, hanet.evaluate], ids=["load", "evaluate"])
def test_public_arguments_have_the_defaults_of_the_engine(function: Any) -> None:
    arguments = inspect.signature(function).parameters
    for name in ("threads", "precision", "flips"):
        assert arguments[name].default == getattr(DEFAULT_ENGINE, name)
    assert DetectionSettings().engine == DEFAULT_ENGINE
