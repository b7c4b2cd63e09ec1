"""An evaluation as text: tables for people, JSON and CSV for machines."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import TYPE_CHECKING

from hanet.files import table_cell
from hanet.types import Json

if TYPE_CHECKING:
    from rich.console import Console

    from hanet.evaluation.scoring import Evaluation

PIXEL_SCORES = ("precision", "recall", "f1", "iou", "oa", "kappa", "miou")


def as_text(values: Json) -> str:
    """JSON with an entry a line, but lists of numbers on one."""
    text = json.dumps(values, indent=2, allow_nan=False)
    return (
        re.sub(r"\[\s+([-+.\deE,\s]+?)\s+\]", lambda found: f"[{' '.join(found[1].split())}]", text)
        + "\n"
    )


def as_csv(result: Evaluation) -> str:
    """A line an image, with counts and scores of pixels and counts of footprints; a name
    that a spreadsheet would run as a formula begins with an apostrophe."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            "name",
            "tp",
            "fp",
            "fn",
            "tn",
            "precision",
            "recall",
            "f1",
            "iou",
            "objects_tp",
            "objects_fp",
            "objects_fn",
        ]
    )
    for image in result.images:
        pixels, objects, scores = image.pixels, image.objects, image.pixels.scores()
        rounded = (
            f"{value:.6f}" for value in (scores.precision, scores.recall, scores.f1, scores.iou)
        )
        writer.writerow(
            [
                table_cell(image.name),
                pixels.tp,
                pixels.fp,
                pixels.fn,
                pixels.tn,
                *rounded,
                objects.tp,
                objects.fp,
                objects.fn,
            ]
        )
    return text.getvalue()


def print_evaluation(console: Console, result: Evaluation, values: Json) -> None:
    """Scores in per cent, as papers print them; for probabilities their calibration. Fits 80
    columns."""
    from rich.table import Table

    console.print(_title(result), soft_wrap=True, markup=False)
    table = Table(show_edge=False)
    for column in ("per cent", "P", "R", "F1", "IoU", "OA", "kappa", "mIoU"):
        table.add_column(column, justify="left" if column == "per cent" else "right", no_wrap=True)
    table.add_row("pixels", *(_per_cent(values["scores"][key]) for key in PIXEL_SCORES))
    if "sweep" in values:
        best = values["sweep"]["best_scores"]
        table.add_row(
            f"at {values['sweep']['best_threshold']:.3f}",
            *(_per_cent(best[key]) for key in PIXEL_SCORES),
        )
    table.add_row(
        "footprints", *(_per_cent(values["objects"][key]) for key in ("precision", "recall", "f1"))
    )
    console.print(table)
    low, high = (_per_cent(end) for end in values["f1_interval_95"])
    console.print(f"F1 {low} to {high} (95 %, over images)", soft_wrap=True)
    if "calibration" in values:
        calibration = values["calibration"]
        error, corrected = (
            _per_cent(calibration[f"expected_calibration_error{at}"])
            for at in ("", "_at_temperature")
        )
        console.print(
            f"average precision {_per_cent(values['average_precision'])}, calibration error "
            f"{error} "
            f"({corrected} at temperature {calibration['temperature']:.3f})",
            soft_wrap=True,
        )


def _title(result: Evaluation) -> str:
    name = result.weights.metadata.name if result.weights else "predictions"
    parts = [result.protocol, f"{len(result.images)} images"]
    if result.threshold is not None:
        parts.append(f"threshold {result.threshold:.3g}")
    if result.weights and result.weights.engine.flips:
        parts.append("flips")
    return f"{name} on {result.data}, split {result.split}: {', '.join(parts)}"


def _per_cent(fraction: float) -> str:
    return f"{100 * fraction:.2f}"
