"""Rasters smaller than a tile of the weights take a tile of their own, as small arrays do."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio

from difference_weights import write_difference_weights
from hanet.detection.arrays import load
from hanet.detection.job import detect
from hanet.detection.merging import merge
from hanet.detection.planning import plan
from hanet.detection.shard import run_shards
from small_rasters import write

OWN_PX = 184
"""Of 120 pixels with 64 reflected beyond them."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "difference.onnx"
    return write_difference_weights(path, tile_px=512, overlap_px=64)


@pytest.fixture(scope="module")
def images() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    before = random.integers(60, 140, (3, 90, 120), dtype=np.uint8)
    after = before.copy()
    after[:, 20:50, 30:70] = 230
    return before, after


@pytest.fixture(scope="module")
def pair(
    images: tuple[np.ndarray, np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    folder = tmp_path_factory.mktemp("pair")
    names = ("before.tif", "after.tif")
    return [write(folder / name, image) for name, image in zip(names, images, strict=True)]


@pytest.fixture(scope="module")
def detected(pair: list[Path], weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("detected") / "out"
    said: list[str] = []
    detect(*pair, out=out, weights=weights, threads=1, report=False, note=said.append)
    assert not any("tile" in text for text in said)
    return out


def test_a_small_raster_is_inferred_in_one_tile_of_its_own(
    detected: Path, weights: Path, images: tuple[np.ndarray, np.ndarray]
) -> None:
    tiles = json.loads((detected / "run.json").read_text())["tiles"]
    assert (tiles["tile_px"], tiles["count"]) == (OWN_PX, 1)
    with rasterio.open(detected / "probability.tif") as dataset:
        stored = dataset.read(1)
    expected = load(weights, threads=1).predict(*images)
    assert (stored == np.rint(250 * expected)).all()


def test_a_tile_that_is_named_is_taken(pair: list[Path], weights: Path, tmp_path: Path) -> None:
    detect(*pair, out=tmp_path, weights=weights, threads=1, tile_px=512, report=False)
    assert json.loads((tmp_path / "run.json").read_text())["tiles"]["tile_px"] == 512


def test_the_shards_of_a_small_raster_give_the_same_bytes(
    pair: list[Path], weights: Path, detected: Path, tmp_path: Path
) -> None:
    made = plan(*pair, out=tmp_path, weights=weights, threads=1, shards=4, report=False)
    assert made.tile_px == OWN_PX
    run_shards(made, range(len(made.shards)))
    merge(tmp_path)
    for name in ("probability.tif", "mask.tif", "footprints.gpkg"):
        assert (tmp_path / name).read_bytes() == (detected / name).read_bytes()
