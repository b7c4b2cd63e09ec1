"""What a split may choose for weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from difference_weights import write_difference_weights
from hanet.errors import SettingsError
from hanet.evaluation.scoring import Protocol, evaluate
from hanet.evaluation.threshold_choice import refuse_to_store, store_choices
from hanet.imagery.images import write_png
from hanet.weights.engine import Engine


def test_a_split_without_change_chooses_no_threshold(tmp_path: Path) -> None:
    """The middle of all thresholds was stored: each of them had F1 0."""
    random = np.random.default_rng(0)
    for folder, image in (
        ("A", random.integers(0, 255, (3, 32, 32), dtype=np.uint8)),
        ("B", random.integers(0, 255, (3, 32, 32), dtype=np.uint8)),
        ("label", np.zeros((32, 32), dtype=np.bool_)),
    ):
        (tmp_path / "val" / folder).mkdir(parents=True)
        write_png(tmp_path / "val" / folder / "one.png", image)
    weights = write_difference_weights(tmp_path / "difference.onnx")
    before = weights.read_bytes()
    result = evaluate(weights, tmp_path, split="val", protocol=Protocol(tile_px=32))
    with pytest.raises(SettingsError, match="no threshold finds a changed pixel"):
        store_choices(result, threshold=True)
    assert weights.read_bytes() == before


@pytest.mark.parametrize("split", ["test", "Test", "test2", "../data/test"])
def test_a_test_split_chooses_nothing(split: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="never on the test split"):
        refuse_to_store(tmp_path / "a.onnx", split=split, engine=Engine(), temperature=False)
