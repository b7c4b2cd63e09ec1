"""What an engine says, in our words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from difference_weights import write_difference_weights
from hanet.errors import WeightsError
from hanet.weights.runtime import open_runtime


@pytest.mark.parametrize(
    ("said", "error"),
    [("std::bad_alloc", MemoryError), ("Protobuf parsing failed.", WeightsError)],
    ids=["memory", "file"],
)
def test_what_fails_while_weights_are_loaded_is_told_apart(
    said: str, error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where memory did not suffice the file was said to be damaged."""

    def fails(*arguments: Any, **options: Any) -> None:
        raise RuntimeError(said)

    weights = write_difference_weights(tmp_path / "difference.onnx")
    monkeypatch.setattr(onnxruntime, "InferenceSession", fails)
    with pytest.raises(error, match=said):
        open_runtime(weights)
