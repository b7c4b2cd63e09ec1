"""Drawings of PFBS, computed by hanet.training.sampling, for the paper's example: WHU-CD, 1200
foreground and 3336 background tiles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from svg import Drawing, Plot

from hanet.training.sampling import ForegroundBalancedSampler, parse

FOREGROUND, BACKGROUND, EPOCHS = 1200, 3336, 40
NAMES = ("normal", "fixed-15", "linear-15", "fixed-10-linear-10")


def schedules() -> str:
    """Background tiles in the pool of each epoch."""
    drawing = Drawing(860, 400, "Background tiles that an epoch may draw, for four PFBS schedules")
    drawing.text(
        90,
        34,
        f"Which tiles an epoch sees: all {FOREGROUND} foreground tiles, and so many background "
        "tiles",
        size=14,
        bold=True,
    )
    plot = Plot(drawing, (90, 56, 540, 270), (1, EPOCHS), (0, 3500))
    plot.axes(
        x_ticks=[1, 5, 10, 15, 20, 25, 30, 35, 40],
        y_ticks=range(0, 3501, 500),
        x_label="epoch",
        y_label="background tiles",
    )
    for index, name in enumerate(NAMES):
        schedule = parse(name)
        counts = [
            (epoch, schedule.background_count(epoch, background=BACKGROUND))
            for epoch in range(1, EPOCHS + 1)
        ]
        plot.curve(_steps(counts), index, name, label_at=(655, 90 + 28 * index))
    return drawing.to_svg()


def foreground_share() -> str:
    """Share of foreground among the draws of each epoch, from the sampler itself."""
    drawing = Drawing(
        860, 400, "Share of foreground tiles among the draws of an epoch, for four PFBS schedules"
    )
    drawing.text(
        90,
        34,
        "Share of draws that are foreground (an epoch is as long as the set)",
        size=14,
        bold=True,
    )
    plot = Plot(drawing, (90, 56, 540, 270), (1, EPOCHS), (0, 1))
    plot.axes(
        x_ticks=[1, 5, 10, 15, 20, 25, 30, 35, 40],
        y_ticks=[0, 0.25, 0.5, 0.75, 1],
        x_label="epoch",
        y_label="share of draws",
    )
    pixels = np.array([1] * FOREGROUND + [0] * BACKGROUND)
    for index, name in enumerate(NAMES):
        sampler = ForegroundBalancedSampler(pixels, schedule=name, seed=0)
        shares = [(epoch, sampler.foreground_share(epoch)) for epoch in range(1, EPOCHS + 1)]
        plot.curve(_steps(shares), index, name, label_at=(655, 90 + 28 * index))
    return drawing.to_svg()


def _steps(points: Sequence[tuple[int, float]]) -> list[tuple[float, float]]:
    """An epoch has one value: a curve of steps."""
    stepped: list[tuple[float, float]] = []
    for epoch, value in points:
        stepped += [(max(1, epoch - 0.5), value), (min(EPOCHS, epoch + 0.5), value)]
    return stepped
