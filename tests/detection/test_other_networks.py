"""Weights of another network than HANet find changes like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import hanet
from hanet.metadata import Metadata
from hanet.models import create
from hanet.weights.export import export_onnx
from small_rasters import write

SIDE = 96


@pytest.mark.parametrize(("model", "arguments"), [("tinycd", {}), ("bit", {})])
def test_detection_gives_what_the_network_says(
    model: str, arguments: dict[str, Any], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    network = create(model, **arguments).eval()
    metadata = Metadata(
        name=model,
        model=model,
        model_arguments=arguments,
        temperature=0.2,  # a network that is not trained says little otherwise
        divisor=network.divisor,
        tile_px=SIDE,
    )
    weights = tmp_path / f"{model}.onnx"
    export_onnx(network, metadata, weights)
    drawn = np.random.default_rng(1).integers(0, 255, (2, 3, SIDE, SIDE), dtype=np.uint8)
    before, after = (
        write(tmp_path / f"{name}.tif", pixels)
        for name, pixels in zip(("before", "after"), drawn, strict=True)
    )
    result = hanet.detect(
        before, after, out=tmp_path / "changes", weights=weights, report=False, threads=1
    )
    expected = hanet.load(weights, threads=1).predict(*drawn)
    assert expected.std() > 0.01
    # stored in steps of 1/250
    np.testing.assert_allclose(result.probability().values, expected, atol=0.0021)
