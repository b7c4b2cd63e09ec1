"""What an evaluation found, and how it stands in ``results/``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from hanet.evaluation.calibration import Calibration
from hanet.evaluation.footprint_matching import MATCHING_IOU
from hanet.evaluation.histogram import ProbabilityHistogram
from hanet.evaluation.metrics import Counts, Scores, bootstrap_f1
from hanet.metadata import Metadata
from hanet.provenance import machine, versions
from hanet.types import Json
from hanet.weights.engine import Engine

INTERVAL_SAMPLES = 2000
"""Resampled splits behind the interval."""

INTERVAL_SEED = 0
"""Seed of the interval's draws, so that a repeated evaluation prints the same interval."""


@dataclass(frozen=True, slots=True)
class ImageCounts:
    """What one image of the split adds.

    Args:
        name: The stem that its files share.
        pixels: Counts of pixels.
        objects: Counts of footprints.
    """

    name: str
    pixels: Counts
    objects: Counts


@dataclass(frozen=True, slots=True)
class WeightsUsed:
    """Which weights were evaluated, and how they ran.

    Args:
        path: The file.
        sha256: Of the file as it was evaluated.
        metadata: What travels with it.
        engine: What they ran on.
    """

    path: Path
    sha256: str
    metadata: Metadata
    engine: Engine


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The result of an evaluation.

    Args:
        images: Counts of each image, in the order of the split.
        histogram: Pixels by probability and label; None for masks.
        calibration: Probability against label; None for masks.
        threshold: Probability from which on a pixel counts as change; None for masks.
        protocol: ``tiles-256``, ``whole``, or what masks were.
        data: Name of the data set.
        split: Name of the split.
        data_sha256: Over names and bytes of images and labels (for masks: of masks and labels).
        labels_sha256: Over names and bytes of the labels alone: two results of the same labels can
            be compared, whatever predicted them.
        seconds: Time of reading, prediction and counting.
        weights: What was evaluated; None for masks and for a function.
    """

    images: tuple[ImageCounts, ...]
    histogram: ProbabilityHistogram | None
    calibration: Calibration | None
    threshold: float | None
    protocol: str
    data: str
    split: str
    data_sha256: str
    labels_sha256: str
    seconds: float
    weights: WeightsUsed | None = None

    @property
    def counts(self) -> Counts:
        """Pixels over the whole split."""
        return sum((image.pixels for image in self.images), Counts())

    @property
    def objects(self) -> Counts:
        """Footprints over the whole split, matched image by image."""
        return sum((image.objects for image in self.images), Counts())

    @property
    def scores(self) -> Scores:
        """Of the change class, from the counts of the whole split."""
        return self.counts.scores()

    def interval(self) -> tuple[float, float]:
        """95 % bootstrap interval of F1 over images."""
        generator = np.random.default_rng(INTERVAL_SEED)
        return bootstrap_f1(
            [image.pixels for image in self.images], generator=generator, samples=INTERVAL_SAMPLES
        )

    def _per_image(self) -> Json:
        """Counts of each image, a list a column, for comparisons and other programs."""
        columns: Json = {"name": [image.name for image in self.images]}
        for key in ("tp", "fp", "fn", "tn"):
            columns[key] = [getattr(image.pixels, key) for image in self.images]
        return columns

    def to_json(self, *, curve: bool = False) -> Json:
        """For ``results/``.

        Args:
            curve: With the threshold sweep: the threshold of the best F1, and precision and recall
                at every hundredth.
        """
        result: Json = {
            "protocol": self.protocol,
            "data": self.data,
            "split": self.split,
            "images": len(self.images),
            "threshold": self.threshold,
            "counts": asdict(self.counts),
            "scores": asdict(self.scores),
            "f1_interval_95": list(self.interval()),
            "objects": _objects_json(self.objects),
            "per_image": self._per_image(),
        }
        if self.histogram is not None and self.calibration is not None:
            result["average_precision"] = self.calibration.average_precision()
            result["calibration"] = _calibration_json(self.calibration)
            if curve:
                result["sweep"] = _sweep_json(self.histogram)
        result |= {"data_sha256": self.data_sha256, "labels_sha256": self.labels_sha256}
        packages = ["numpy"]
        if self.weights is not None:
            packages.append(self.weights.engine.runtime)
            result |= {
                "weights": self.weights.metadata.name,
                "weights_file": self.weights.path.name,
                "weights_sha256": self.weights.sha256,
                "model": self.weights.metadata.model,
                "runtime": self.weights.engine.runtime,
                "precision": self.weights.engine.precision,
                "flips": self.weights.engine.flips,
            }
        return result | {
            "seconds": round(self.seconds, 2),
            "versions": versions(packages),
            "machine": machine(),
        }


def _objects_json(objects: Counts) -> Json:
    scores = objects.scores()
    return {
        "tp": objects.tp,
        "fp": objects.fp,
        "fn": objects.fn,
        "predicted": objects.tp + objects.fp,
        "labelled": objects.tp + objects.fn,
        "precision": scores.precision,
        "recall": scores.recall,
        "f1": scores.f1,
        "iou_to_match": MATCHING_IOU,
    }


def _calibration_json(calibration: Calibration) -> Json:
    temperature = calibration.temperature()
    return {
        "expected_calibration_error": calibration.error(),
        "negative_log_likelihood": calibration.negative_log_likelihood(),
        "temperature": temperature,
        "expected_calibration_error_at_temperature": calibration.error_at(temperature),
        "negative_log_likelihood_at_temperature": calibration.negative_log_likelihood(temperature),
        "reliability": [asdict(group) for group in calibration.reliability()],
    }


def _sweep_json(histogram: ProbabilityHistogram) -> Json:
    best, curve = histogram.best_threshold(), histogram.curve()
    return {
        "best_threshold": best,
        "best_scores": asdict(histogram.counts(round(best * histogram.bins)).scores()),
        "curve": {
            "threshold": [point.threshold for point in curve],
            "precision": [round(point.scores.precision, 6) for point in curve],
            "recall": [round(point.scores.recall, 6) for point in curve],
            "f1": [round(point.scores.f1, 6) for point in curve],
        },
    }
