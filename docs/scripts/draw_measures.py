"""Drawings of how results are measured: protocols, counts, calibration, thresholds, and what a
shift does."""

from __future__ import annotations

import json
import math

from pages import ROOT
from svg import ATTENTION, BEFORE, CHANGE, CURVES, INK, MUTED, Drawing, Plot

from hanet.evaluation.metrics import Counts

RELIABILITY = "hanet_lite-tiles-256-val.json"
"""The file of results that the drawing of calibration shows."""


def protocols() -> str:
    """One scene cut into tiles, and whole."""
    drawing = Drawing(860, 410, "The same scene under the protocols tiles-256 and whole")
    for left, title in (
        (50, "tiles-256: 16 tiles, each predicted on its own"),
        (470, "whole: one image of 1024 x 1024"),
    ):
        drawing.text(left, 34, title, size=13, bold=True)
        drawing.rect(left, 52, 288, 288, fill="#eef1ec")
        drawing.polygon(
            [(left + 122, 95), (left + 178, 95), (left + 178, 170), (left + 122, 170)],
            fill=CHANGE,
            stroke=INK,
        )
        drawing.rect(left + 225, 230, 40, 34, fill=CHANGE)
        drawing.rect(left + 30, 250, 46, 40, fill=CHANGE)
    for step in range(1, 4):
        drawing.line([(50 + 72 * step, 52), (50 + 72 * step, 340)], width=1.6, dash="6 4")
        drawing.line([(50, 52 + 72 * step), (338, 52 + 72 * step)], width=1.6, dash="6 4")
    drawing.text(50, 364, "The roof at the seams is four pieces, each judged without the", size=12)
    drawing.text(50, 381, "others, and attention ends at the seam.", size=12)
    drawing.text(470, 364, "The roof is seen in one piece. The same weights score 0.4", size=12)
    drawing.text(470, 381, "to 1.4 F1 higher: never compare one with the other.", size=12)
    return drawing.to_svg()


def counts() -> str:
    """F1 of summed counts against the mean of F1 over images."""
    images = (
        Counts(tp=900, fp=60, fn=40, tn=0),
        Counts(tp=5, fp=20, fn=15, tn=0),
        Counts(tp=0, fp=0, fn=0, tn=1),
    )
    titles = ("many new roofs", "one shed", "no change")
    drawing = Drawing(
        860, 300, "Counts summed over a split give another F1 than the mean over images"
    )
    drawing.text(40, 34, "One split, two numbers", size=14, bold=True)
    for column, title in zip(
        (260, 350, 440, 640), ("TP", "FP", "FN", "F1 of the image"), strict=True
    ):
        drawing.text(column, 70, title, size=12, bold=True, anchor="middle")
    scores = []
    for row, (image, title) in enumerate(zip(images, titles, strict=True)):
        y = 100 + 30 * row
        empty = image.tp + image.fp + image.fn == 0
        scores.append(1.0 if empty else image.scores().f1)
        drawing.text(40, y, title, size=13)
        for column, value in zip((260, 350, 440), (image.tp, image.fp, image.fn), strict=True):
            drawing.text(column, y, str(value), size=13, anchor="middle")
        drawing.text(
            640,
            y,
            "1.000, if empty counts as 1" if empty else f"{scores[-1]:.3f}",
            size=13,
            anchor="middle",
        )
    total = sum(images, Counts())
    drawing.line([(40, 176), (820, 176)], width=1)
    drawing.box(
        40,
        196,
        370,
        78,
        f"counts summed first: F1 {total.scores().f1:.3f}",
        f"TP {total.tp}, FP {total.fp}, FN {total.fn}; what hanet prints",
        fill=ATTENTION,
    )
    drawing.box(
        450,
        196,
        370,
        78,
        f"mean over images: F1 {sum(scores) / len(scores):.3f}",
        "depends on how images are cut and on empty ones",
        fill=CHANGE,
    )
    return drawing.to_svg()


def calibration() -> str:
    """Reliability of the shipped weights, before and after the temperature, from results/."""
    result = json.loads((ROOT / "results" / RELIABILITY).read_text(encoding="utf-8"))
    measured = result["calibration"]
    points = [(bin["mean_probability"], bin["share_changed"]) for bin in measured["reliability"]]
    temperature = measured["temperature"]
    drawing = Drawing(
        860, 440, "Reliability: predicted probability against the share that really changed"
    )
    drawing.text(
        90,
        34,
        f"Reliability of {result['weights']} on {result['data']}/{result['split']}",
        size=14,
        bold=True,
    )
    plot = Plot(drawing, (90, 56, 420, 310), (0, 1), (0, 1))
    ticks = [0, 0.2, 0.4, 0.6, 0.8, 1]
    plot.axes(
        x_ticks=ticks, y_ticks=ticks, x_label="predicted probability", y_label="share that changed"
    )
    plot.curve([(0, 0), (1, 1)], 2, "honest", label_at=(545, 90))
    plot.curve(points, 0, "as shipped", label_at=(545, 118))
    plot.curve(
        [(_tempered(p, temperature), share) for p, share in points],
        1,
        f"at temperature {temperature:.2f}",
        label_at=(545, 146),
    )
    for p, share in points:
        drawing.dot(*plot.at(p, share), 3, fill=CURVES[0])
    notes = (
        "Below the line change is overestimated, above it underestimated.",
        f"Mean error {100 * measured['expected_calibration_error']:.2f} % of a pixel's probability,",
        f"{100 * measured['expected_calibration_error_at_temperature']:.2f} % at the temperature.",
        f"Each dot is a twentieth of the range; {100 * measured['reliability'][0]['pixels'] / sum(bin['pixels'] for bin in measured['reliability']):.0f} %",
        "of all pixels are in the first.",
    )
    for index, note in enumerate(notes):
        drawing.text(545, 190 + 20 * index, note, size=11.5, colour=MUTED)
    return drawing.to_svg()


def _tempered(probability: float, temperature: float) -> float:
    logit = math.log(probability / (1 - probability))
    return 1 / (1 + math.exp(-logit / temperature))


def thresholds() -> str:
    """A profile of probability across two roofs, cut at two thresholds."""
    drawing = Drawing(
        860, 360, "A threshold turns probability into a mask: low finds more, high is more certain"
    )
    drawing.text(
        90,
        34,
        "Probability along a line of 120 pixels: a clear change, and a doubtful one",
        size=14,
        bold=True,
    )
    plot = Plot(drawing, (90, 56, 540, 200), (0, 120), (0, 1))
    plot.axes(
        x_ticks=range(0, 121, 20),
        y_ticks=[0, 0.25, 0.5, 0.75, 1],
        x_label="pixel",
        y_label="probability",
    )
    profile = [(x, _bump(x, 18, 46, 0.97) + _bump(x, 78, 96, 0.48)) for x in range(121)]
    plot.curve(profile, 0)
    for index, (threshold, y) in enumerate(((0.35, 306), (0.7, 330))):
        plot.curve(
            [(0, threshold), (120, threshold)],
            index + 1,
            f"threshold {threshold:g}",
            label_at=(655, 120 + 28 * index),
        )
        found = [x for x, value in profile if value >= threshold]
        for x in found:
            left, _ = plot.at(x, 0)
            drawing.rect(left - 2.25, y, 4.5, 12, fill=CURVES[index + 1], stroke="none")
        drawing.text(655, y + 11, f"{len(found)} pixels at {threshold:g}", size=12)
    return drawing.to_svg()


def _bump(x: float, start: float, end: float, height: float) -> float:
    return height / (1 + math.exp(-(x - start) / 1.6)) / (1 + math.exp((x - end) / 1.6))


def coregistration() -> str:
    """A roof that did not change, shifted: slivers of false change; and how large they are."""
    drawing = Drawing(
        900, 380, "A shift between the dates makes slivers of false change along every edge"
    )
    drawing.text(40, 34, "An unchanged roof, shifted by 3 pixels", size=13, bold=True)
    scale, side, shift = 9, 24, 3
    x, y = 60.0, 70.0
    drawing.rect(x, y, side * scale, side * scale, fill=BEFORE)
    moved = x + shift * scale, y + shift * scale
    drawing.rect(*moved, side * scale, side * scale, fill="none", dash="5 4")
    far = side * scale
    drawing.polygon(
        [
            (x, y),
            (x + far, y),
            (x + far, moved[1]),
            (moved[0], moved[1]),
            (moved[0], y + far),
            (x, y + far),
        ],
        fill=CHANGE,
        stroke=INK,
    )
    drawing.polygon(
        [
            (x + far, moved[1]),
            (moved[0] + far, moved[1]),
            (moved[0] + far, moved[1] + far),
            (moved[0], moved[1] + far),
            (moved[0], y + far),
            (x + far, y + far),
        ],
        fill=CHANGE,
        stroke=INK,
    )
    drawing.text(40, 344, "solid: before; dashed: after; red: what differs", size=12)
    drawing.text(430, 34, "What differs, as a share of the roof", size=13, bold=True)
    plot = Plot(drawing, (440, 56, 300, 250), (0, 5), (0, 1))
    plot.axes(
        x_ticks=range(6),
        y_ticks=[0, 0.25, 0.5, 0.75, 1],
        x_label="shift along both axes, pixels",
        y_label="share of the roof's area",
    )
    for index, roof in enumerate((16, 24, 48)):
        shares = [(d / 10, _differs(roof, d / 10)) for d in range(51)]
        plot.curve(
            [(d, share) for d, share in shares if share <= 1],
            index,
            f"{roof} px",
            label_at=(765, 90 + 28 * index),
        )
    return drawing.to_svg()


def _differs(side: float, shift: float) -> float:
    """Area of the symmetric difference of a square and itself moved along both axes, over the
    square's area."""
    return 2 * (1 - (1 - shift / side) ** 2)
