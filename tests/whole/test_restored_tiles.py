"""Colours and sharpness of train tiles: what was turned comes back, what is natural stays, and
nothing moves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from restored_tiles import (
    SETS,
    Pixels,
    has_natural_colours,
    likelihood_of_hues,
    main,
    read,
    sharpened,
    sharpness,
    turn_to_natural,
    turned,
)

GROUNDS = np.array([[150, 120, 80], [90, 110, 60], [120, 118, 110], [60, 80, 45]])
"""Soil, grass, road, trees."""


def _natural(seed: int, side: int = 64) -> Pixels:
    random = np.random.default_rng(seed)
    kinds = random.integers(len(GROUNDS), size=(side // 8, side // 8)).repeat(8, 0).repeat(8, 1)
    values = GROUNDS[kinds] + random.normal(0, 6, (side, side, 1))
    return np.clip(values, 0, 255).astype(np.uint8)


LIKELIHOOD = likelihood_of_hues(_natural(seed) for seed in range(10))


@pytest.mark.parametrize("degrees", [-100.0, -45.0, 60.0, 95.0])
def test_hues_that_were_turned_are_turned_back(degrees: float) -> None:
    image = _natural(99)
    found = turn_to_natural(turned(image, degrees), LIKELIHOOD)
    assert found == pytest.approx(-degrees, abs=8)
    back = turned(turned(image, degrees), found)
    assert np.abs(back.astype(int) - image).mean() < 4


def test_natural_hues_are_left() -> None:
    assert abs(turn_to_natural(_natural(98), LIKELIHOOD)) < 8


def test_a_turn_of_hues_leaves_value_and_saturation() -> None:
    image = _natural(3)
    for reduce in (np.max, np.min):  # of the three bands: value, and with it saturation
        difference = reduce(turned(image, 70), axis=-1).astype(int) - reduce(image, axis=-1)
        assert np.abs(difference).max() <= 2


def test_a_blurred_image_is_sharpened_to_the_target_and_a_sharp_one_stays() -> None:
    random = np.random.default_rng(4)
    sharp = random.integers(60, 200, (64, 64, 1)).repeat(3, axis=2).astype(np.uint8)
    blurred = ndimage.gaussian_filter(sharp.astype(float), (0.8, 0.8, 0)).astype(np.uint8)
    assert sharpness(blurred) < 0.45 < sharpness(sharp)
    assert sharpness(sharpened(blurred, 0.45)) == pytest.approx(0.45, abs=0.01)
    assert sharpened(sharp, 0.45) is sharp
    flat = np.full((8, 8, 3), 7, dtype=np.uint8)
    assert np.array_equal(sharpened(flat, 0.45), flat)


def test_names_tell_whose_colours_are_natural() -> None:
    assert has_natural_colours("scenes-512-1m", "mengdan1011_T_0_1_00")
    assert has_natural_colours("tiles-256", "mengdan1031_T_0_1_00")
    assert not has_natural_colours("tiles-256", "rala_T_0_1_00")
    assert not has_natural_colours("scenes-1024", "mengdan1031_T_0_1_00")


def test_folders_are_restored_with_their_labels_and_the_same_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    levir = tmp_path / "levir"
    label = np.zeros((64, 64), dtype=np.uint8)
    label[10:20, 30:50] = 255
    for number, set_name in enumerate(SETS):
        for part in ("A", "B", "label"):
            (levir / set_name / "train" / part).mkdir(parents=True)
        for name, degrees in (("rala_T_0", 80.0), ("mengdan1031_T_0", 0.0)):
            folder = levir / set_name / "train"
            image = _natural(40 + number)
            degrees = 0.0 if set_name == "scenes-512-1m" else degrees
            for date in "AB":
                Image.fromarray(turned(image, degrees)).save(folder / date / f"{name}.png")
            Image.fromarray(label).save(folder / "label" / f"{name}.png")
    made = []
    for out in (tmp_path / "one", tmp_path / "two"):
        monkeypatch.setattr("sys.argv", ["restored_tiles.py", str(levir), str(out)])
        main()
        made.append({str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*.png")})
    assert made[0] == made[1]
    assert len(made[0]) == len(SETS) * 2 * 3
    train = tmp_path / "one" / "tiles-256-restored" / "train"
    for name in ("rala_T_0", "mengdan1031_T_0"):
        assert np.array_equal(read(train / "label" / f"{name}.png")[..., 0], label)
        difference = read(train / "A" / f"{name}.png").astype(int) - _natural(40)
        assert np.abs(difference.mean(axis=(0, 1))).max() < 8  # the colours, if not every pixel
