"""Scenes in drawn styles: the same seed the same pixels, every seed another look, true masks."""

from __future__ import annotations

import numpy as np

from hanet.synthetic.scene import Scene
from hanet.synthetic.styles import drawn_style
from hanet.types import Window

WINDOW = Window(100, 60, 96, 128)


def test_a_window_is_a_pure_function_of_its_seed() -> None:
    first, again = (drawn_style(3, gsd_m=0.5).render(WINDOW) for _ in range(2))
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))
    inner = drawn_style(3, gsd_m=0.5).render(Window(110, 80, 40, 40))
    for whole, part in zip(first, inner, strict=True):
        assert np.array_equal(whole[..., 10:50, 20:60], part)


def test_styles_spread_wider_than_the_plain_renderer() -> None:
    """In brightness of each date, and in metres a pixel."""
    seeds = range(40)
    styled, plain = (
        np.array([np.mean(scene.render(Window(0, 0, 32, 32))[0]) for scene in scenes])
        for scenes in (
            [drawn_style(seed, gsd_m=0.5) for seed in seeds],
            [Scene(seed) for seed in seeds],
        )
    )
    assert styled.std() > 1.2 * plain.std()
    sizes = [drawn_style(seed, gsd_m=0.5).gsd_m for seed in seeds]
    assert 0.4 < min(sizes) < 0.45
    assert 0.58 < max(sizes) < 0.63


def test_the_label_marks_the_houses_that_stand_at_one_date_only() -> None:
    scene = drawn_style(9, gsd_m=0.5, change_share=0.5)
    change = scene.render(Window(0, 0, 256, 256))[2]
    houses = scene.houses(0.0, 0.0, 256 * scene.gsd_m, 256 * scene.gsd_m)
    marked = [
        bool(change[int(house.y / scene.gsd_m), int(house.x / scene.gsd_m)])
        for house in houses
        if max(house.x, house.y) < 255 * scene.gsd_m
    ]
    stands = [
        house.stands[0] != house.stands[1]
        for house in houses
        if max(house.x, house.y) < 255 * scene.gsd_m
    ]
    assert marked == stands
    assert {True, False} == set(marked)
