"""What a tile looks like in numbers, by tiles that one can imagine."""

from __future__ import annotations

import numpy as np
import pytest

from hanet.review.tile_features import disagreement, doubt_of, features_of


def _constant(*bands: float) -> np.ndarray:
    return np.stack([np.full((16, 16), band, dtype=np.float32) for band in bands])


def test_doubt_is_that_of_the_valid_pixels() -> None:
    probability = np.array([[0.5, 0.0], [1.0, np.nan]], dtype=np.float32)
    found = doubt_of(probability, 0.5)
    assert found.doubt == pytest.approx(1 / 3)
    assert found.near == pytest.approx(1 / 3)
    assert found.changed == pytest.approx(2 / 3)
    assert found.valid == 0.75
    assert found.shares == pytest.approx((1 / 3, 0, 0, 1 / 3, 1 / 3))


def test_near_is_from_half_the_threshold_to_half_way_to_one() -> None:
    values = np.array([[0.19, 0.21, 0.69, 0.71]], dtype=np.float32)
    assert doubt_of(values, 0.4).near == 0.5


def test_a_faint_glow_is_less_doubtful_than_one_doubtful_building() -> None:
    glow = np.full((64, 64), 0.03, dtype=np.float32)
    building = np.full((64, 64), 0.001, dtype=np.float32)
    building[:8, :8] = 0.45
    assert doubt_of(building, 0.5).doubt > 2 * doubt_of(glow, 0.5).doubt


def test_without_valid_pixels_nothing_is_said() -> None:
    found = doubt_of(np.full((4, 4), np.nan, dtype=np.float32), 0.5)
    assert (found.doubt, found.near, found.changed, found.valid) == (0, 0, 0, 0)
    assert found.shares == (0,) * 5


def test_features_of_plain_tiles() -> None:
    doubt = doubt_of(np.zeros((16, 16), dtype=np.float32), 0.5)
    found = features_of(_constant(10, 20, 30), _constant(40, 50, 60), doubt)
    before, after, between, shares = np.split(found, [7, 14, 18])
    assert before.tolist() == [10, 20, 30, 0, 0, 0, 0]
    assert after.tolist() == [40, 50, 60, 0, 0, 0, 0]
    assert between.tolist() == [30, 0, 0, 1]
    assert shares.tolist() == [1, 0, 0, 0, 0]


def test_texture_and_change_are_told_apart() -> None:
    rng = np.random.default_rng(1)
    noise = rng.uniform(0, 255, (3, 32, 32)).astype(np.float32)
    doubt = doubt_of(np.zeros((32, 32), dtype=np.float32), 0.5)
    same = features_of(noise, noise, doubt)
    other = features_of(noise, np.flip(noise, -1).copy(), doubt)
    assert same[14:18].tolist() == pytest.approx([0, 0, 0, 1])
    assert other[14] > 20
    assert abs(other[17]) < 0.3
    assert same[5] > same[6] > 0  # fine texture is stronger than coarse


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (5, 5)])
def test_small_tiles_and_other_bands_have_features_too(shape: tuple[int, int]) -> None:
    doubt = doubt_of(np.full(shape, 0.3, dtype=np.float32), 0.5)
    for bands in (1, 2, 3, 8):
        image = np.full((bands, *shape), 7.0, dtype=np.float32)
        found = features_of(image, image, doubt)
        assert found.shape == (23,)
        assert np.isfinite(found).all()


def test_flips_that_agree_do_not_disagree() -> None:
    view = np.random.default_rng(1).random((8, 8)).astype(np.float32)
    assert disagreement(np.stack([view] * 4)) == pytest.approx(0, abs=1e-6)
    assert disagreement(np.stack([view, 1 - view])) > 0.1
