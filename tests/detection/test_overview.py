"""The picture of a pair that grows window by window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hanet.detection import overview
from hanet.detection.overview import Overview, overview_grid
from hanet.detection.tiling import TilePlan
from hanet.imagery.grid import Grid
from hanet.imagery.pair import PairBlock
from hanet.types import FloatArray, Window


def grid_of(height: int, width: int) -> Grid:
    return Grid(None, (1.0, 0.0, 0.0, 0.0, -1.0, 0.0), height, width)


def images_of(grid: Grid, bands: int) -> FloatArray:
    return (
        np.random.default_rng(3)
        .uniform(0, 255, (2, bands, grid.height, grid.width))
        .astype(np.float32)
    )


def part_of(images: FloatArray, window: Window) -> PairBlock:
    before, after = images[:, :, window.slices[0], window.slices[1]]
    return PairBlock(before, after, np.ones(window.shape, dtype=np.bool_))


def filled(path: Path, images: FloatArray, grid: Grid, plan: TilePlan) -> tuple[bytes, bytes]:
    with Overview(path, grid, bands=images.shape[1]) as growing:
        for row in range(len(plan.rows)):
            for chunk in plan.chunks(row):
                growing.add(part_of(images, chunk.window), window=chunk.window, own=chunk.final)
            growing.flush()
    with Overview(path, grid, bands=images.shape[1]) as growing:  # what is on disk
        before, after = growing.pictures()
    return before.tobytes(), after.tobytes()


@pytest.mark.parametrize("most", [6_000_000, 40_000])
@pytest.mark.parametrize(("height", "width"), [(300, 430), (1500, 900), (96, 4300)])
def test_windows_give_the_picture_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, height: int, width: int, most: int
) -> None:
    monkeypatch.setattr(overview, "MOST_PIXELS", most)
    grid = grid_of(height, width)
    images = images_of(grid, 3)
    window = Window(0, 0, height, width)
    with Overview(tmp_path / "whole", grid, bands=3) as whole:
        whole.add(part_of(images, window), window=window, own=window)
        before, after = whole.pictures()
    plan = TilePlan(height, width, 96, 16, chunk_tiles=2)
    assert filled(tmp_path / "parts", images, grid, plan) == (before.tobytes(), after.tobytes())


def test_a_small_pair_is_its_own_picture(tmp_path: Path) -> None:
    grid = grid_of(5, 7)
    images = images_of(grid, 1)
    window = Window(0, 0, 5, 7)
    with Overview(tmp_path / "raw", grid, bands=1) as growing:
        growing.add(part_of(images, window), window=window, own=window)
        for image, picture in zip(images, growing.pictures(), strict=True):
            np.testing.assert_array_equal(picture, np.rint(image))


def test_a_pixel_is_the_mean_of_samples_spread_over_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """4200 columns become 1400: each is the mean of the three that it stands for; the single row
    has no more to give."""
    monkeypatch.setattr(overview, "LONGEST_PX", 1400)
    grid = grid_of(1, 4200)
    images = images_of(grid, 4)
    window = Window(0, 0, 1, 4200)
    with Overview(tmp_path / "raw", grid, bands=4) as growing:
        growing.add(part_of(images, window), window=window, own=window)
        before, after = growing.pictures()
    assert before.shape == after.shape == (3, 1, 1400)
    np.testing.assert_allclose(after, images[1, :3].reshape(3, 1, 1400, 3).mean(axis=3), atol=0.51)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((2000, 3000), (2000, 3000)),  # six megapixels as they are
        ((2001, 3000), (1001, 1500)),
        ((8192, 8192), (2048, 2048)),
        ((100, 40_000), (34, 13_334)),  # a long strip: its picture has at most 16,384 columns
        ((100_000, 100_000), (2440, 2440)),
    ],
)
def test_the_picture_has_at_most_six_megapixels(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    coarse = overview_grid(grid_of(*size))
    assert (coarse.height, coarse.width) == expected
    assert coarse.height * coarse.width <= 6_100_000


def test_odd_sizes_are_averaged_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five rows in three were single rows picked out, with jagged lines."""
    monkeypatch.setattr(overview, "MOST_PIXELS", 7)
    grid = grid_of(5, 5)
    images = images_of(grid, 1)
    window = Window(0, 0, 5, 5)
    with Overview(tmp_path / "raw", grid, bands=1) as growing:
        growing.add(part_of(images, window), window=window, own=window)
        before, _ = growing.pictures()
    assert before.shape == (1, 3, 3)
    assert before[0, 0, 0] == np.rint(images[0, 0, :2, :2].mean())


def test_a_file_of_another_size_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "raw"
    path.write_bytes(b"cut short")
    with Overview(path, grid_of(20, 30), bands=3) as growing:
        before, _ = growing.pictures()
    assert before.shape == (3, 20, 30)
    assert path.stat().st_size == 2 * 3 * 20 * 30
