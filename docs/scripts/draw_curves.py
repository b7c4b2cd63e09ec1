"""Learning curves of our trainings, from results/training/."""

from __future__ import annotations

import math
from statistics import mean
from typing import Any

from svg import CURVES, MUTED, Drawing, Plot
from training_logs import Row, pfbs_runs, stages


def training(weights: str) -> str:
    """Validation F1 and training loss of all stages of a training, behind one another."""
    parts = stages(weights)
    drawing = Drawing(860, 560, f"Validation F1 and loss while {weights} was trained")
    drawing.text(
        90,
        34,
        f"{weights}: F1 of the change class on validation, threshold 0.5",
        size=14,
        bold=True,
    )
    steps = sum(int(part[-1]["iteration"]) for part in parts)
    scores = [row["f1"] for part in parts for row in part]
    losses = [row["loss"] for part in parts for row in part]
    upper = Plot(drawing, (90, 66, 700, 190), (0, steps), _range(scores, 0.05))
    lower = Plot(drawing, (90, 320, 700, 170), (0, steps), (0, _range(losses, 0.2)[1]))
    ticks = _ticks(0, steps, _round(steps / 6))
    upper.axes(
        x_ticks=ticks,
        y_ticks=_ticks(*upper.y_range, 0.05 if _span(upper) <= 0.4 else 0.2),
        x_label="",
        y_label="F1",
    )
    lower.axes(
        x_ticks=ticks,
        y_ticks=_ticks(*lower.y_range, 0.2 if _span(lower) <= 1.4 else 0.5),
        x_label="step",
        y_label="loss",
    )
    drawing.text(90, 308, "Loss of training, mean since the last point", size=13, bold=True)
    begun = 0
    for number, part in enumerate(parts, start=1):
        if number > 1:
            for plot in (upper, lower):
                ends = [plot.at(begun, value) for value in plot.y_range]
                drawing.line(ends, colour=MUTED, width=1, dash="4 4")
        x, _ = upper.at(begun + int(part[-1]["iteration"]) / 2, 0)
        drawing.text(
            x,
            58,
            f"stage {number}" if len(parts) > 1 else "",
            size=11,
            anchor="middle",
            colour=MUTED,
        )
        for plot, key, colour in ((upper, "f1", 0), (lower, "loss", 1)):
            points = [(begun + row["iteration"], row[key]) for row in part]
            plot.curve(points, colour)
            for point in points:
                drawing.dot(*plot.at(*point), 3, fill=CURVES[colour])
        begun += int(part[-1]["iteration"])
    return drawing.to_svg()


def pfbs() -> str:
    """Validation F1 of each schedule: every seed as dots, their mean as a curve."""
    runs = pfbs_runs()
    logs = [log for of_schedule in runs.values() for log in of_schedule.values()]
    steps = max(int(row["iteration"]) for log in logs for row in log)
    highest = max(row["f1"] for log in logs for row in log)
    drawing = Drawing(
        860,
        400,
        "Validation F1 while a network trains by each PFBS schedule, all with equally many steps",
    )
    drawing.text(
        90,
        34,
        "F1 on validation at threshold 0.5: dots are seeds, curves their means",
        size=14,
        bold=True,
    )
    plot = Plot(drawing, (90, 56, 540, 270), (0, steps), (0, _range([0, highest], 0.1)[1]))
    plot.axes(
        x_ticks=_ticks(0, steps, 100),
        y_ticks=_ticks(*plot.y_range, 0.1),
        x_label="step",
        y_label="F1",
    )
    for index, (schedule, of_schedule) in enumerate(runs.items()):
        for log in of_schedule.values():
            for row in log:
                drawing.dot(*plot.at(row["iteration"], row["f1"]), 3, fill=CURVES[index])
        count = len(of_schedule)
        label = f"{schedule}, {count} seed{'s' if count > 1 else ''}"
        plot.curve(_mean(list(of_schedule.values())), index, label, label_at=(655, 90 + 28 * index))
    return drawing.to_svg()


def compared(title: str, kinds: dict[str, list[dict[str, Any]]]) -> str:
    """Validation F1 of a network over the compute of its training by each schedule: every seed as
    dots, their mean as a curve.

    Args:
        title: The network.
        kinds: Schedule to the results of its seeds, as benchmarks/compare_networks.py writes them.
    """
    results = [result for of_kind in kinds.values() for result in of_kind]
    highest = max(point["f1"] for result in results for point in result["curve"])
    end = max(_tmac(result, result["curve"][-1]) for result in results)
    drawing = Drawing(860, 400, f"Validation F1 of {title} over the compute of its training")
    drawing.text(
        90, 34, f"{title}: F1 on validation, threshold 0.5: dots are seeds", size=14, bold=True
    )
    plot = Plot(drawing, (90, 56, 540, 270), (0, end), (0, _range([0, highest + 0.01], 0.1)[1]))
    plot.axes(
        x_ticks=_ticks(0, end, _step(end)),
        y_ticks=_ticks(*plot.y_range, 0.1),
        x_label="compute of the training: million million multiply-adds",
        y_label="F1",
    )
    for index, (kind, of_kind) in enumerate(kinds.items()):
        for result in of_kind:
            for point in result["curve"]:
                place = plot.at(_tmac(result, point), point["f1"])
                drawing.dot(*place, 3, fill=CURVES[index])
        means = [
            (_tmac(of_kind[0], points[0]), mean(point["f1"] for point in points))
            for points in zip(*(result["curve"] for result in of_kind), strict=False)
        ]
        label = f"{kind}, {len(of_kind)} seed{'s' if len(of_kind) > 1 else ''}"
        plot.curve(means, index, label, label_at=(655, 90 + 28 * index))
    return drawing.to_svg()


TRAINING_FACTOR = 3
"""Forward and backward pass against forward alone."""


def _tmac(result: dict[str, Any], point: dict[str, Any]) -> float:
    return float(TRAINING_FACTOR * result["gmac_a_pair"] * point["pairs"] / 1000)


def _step(end: float) -> float:
    """Distance of ticks: 1, 2 or 5 times a power of ten, three to eight of them."""
    power = 10.0 ** math.floor(math.log10(end / 3))
    return next(factor * power for factor in (5, 2, 1) if factor * power <= end / 3)


def _mean(logs: list[list[Row]]) -> list[tuple[float, float]]:
    """Mean F1 over the seeds, as far as all of them went."""
    return [
        (rows[0]["iteration"], mean(row["f1"] for row in rows)) for rows in zip(*logs, strict=False)
    ]


def _range(values: list[float], step: float) -> tuple[float, float]:
    """Multiples of a step around all values."""
    return round(min(values) // step * step, 6), round(-(-max(values) // step) * step, 6)


def _span(plot: Plot) -> float:
    return plot.y_range[1] - plot.y_range[0]


def _ticks(low: float, high: float, step: float) -> list[float]:
    return [round(low + number * step, 6) for number in range(int((high - low) / step + 1e-6) + 1)]


def _round(value: float) -> int:
    """The nearest of 1, 2, 5 times a power of ten above a value."""
    power = 10 ** (len(str(int(value))) - 1)
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= value)
