"""Scores by the published protocols: counts over a whole split, with protocol, split, hashes and an interval."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Literal

import numpy as np

from hanet import __version__
from hanet.datasets import TileDataset, list_pairs
from hanet.errors import DataSetError, SettingsError
from hanet.images import read_label, write_png
from hanet.metrics import Counts, ProbabilityHistogram, Scores, bootstrap_f1
from hanet.objects import match_objects
from hanet.predictors import Predictor
from hanet.types import ByteArray, FloatArray, Json, Mask

Protocol = Literal["tiles", "whole"]
"""``"tiles"`` cuts images into tiles that are predicted by themselves; ``"whole"`` predicts whole images."""

BOOTSTRAP_SEED = 0
"""Seed of the interval's draws, so that a repeated evaluation prints the same interval."""


@dataclass(slots=True)
class Evaluation:
    """The result of an evaluation.

    Args:
        counts: Pixels over the whole split.
        per_image: Counts of each image (tile) by name.
        objects: Footprints matched at IoU 0.5.
        histogram: Probabilities by label; None for masks.
        threshold: Probability from which on a pixel counts as change; None for masks.
        protocol: How images were cut, for example ``"tiles-256"``.
        split: Name of the split.
        data_hash: SHA-256 over names and bytes of the labels.
        seconds: Time of prediction and counting.
    """

    counts: Counts
    per_image: dict[str, Counts]
    objects: Counts
    histogram: ProbabilityHistogram | None
    threshold: float | None
    protocol: str
    split: str
    data_hash: str
    seconds: float

    @property
    def scores(self) -> Scores:
        """Of the change class, from the counts of the whole split."""
        return self.counts.scores()

    def interval(self) -> tuple[float, float]:
        """95 % bootstrap interval of F1 over images."""
        return bootstrap_f1(list(self.per_image.values()), generator=np.random.default_rng(BOOTSTRAP_SEED))

    def to_json(self) -> Json:
        """For ``results/``."""
        objects = self.objects.scores()
        result: Json = {
            "protocol": self.protocol,
            "split": self.split,
            "images": len(self.per_image),
            "threshold": self.threshold,
            "counts": asdict(self.counts),
            "scores": asdict(self.scores),
            "f1_interval_95": list(self.interval()),
            "objects": {
                **{key: value for key, value in asdict(self.objects).items() if key != "tn"},
                "precision": objects.precision,
                "recall": objects.recall,
                "f1": objects.f1,
                "iou_to_match": 0.5,
            },
            "data_sha256": self.data_hash,
            "seconds": round(self.seconds, 2),
            "hanet": __version__,
            "python": platform.python_version(),
            "machine": platform.machine(),
        }
        if self.histogram is not None:
            best = self.histogram.best_threshold()
            result["sweep"] = {
                "best_threshold": best,
                "best_f1": self.histogram.counts(round(best * self.histogram.bins)).scores().f1,
                "average_precision": self.histogram.average_precision(),
            }
            result["calibration"] = {
                "expected_calibration_error": self.histogram.calibration_error(),
                "temperature": self.histogram.temperature(),
            }
        return result


def evaluate(
    predictor: Predictor,
    root: Path,
    *,
    split: str,
    threshold: float,
    protocol: Protocol = "tiles",
    tile_px: int = 256,
    batch: int = 8,
    error_maps: Path | None = None,
    report: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Evaluates a predictor on ``ROOT/SPLIT/{A,B,label}``.

    Args:
        predictor: From two raw images to probability.
        root: The data set.
        split: Its split.
        threshold: Probability from which on a pixel counts as change.
        protocol: ``"tiles"`` or ``"whole"``.
        tile_px: Side of a tile; larger images are cut, the last row and column is filled by reflection that does not count.
        batch: Tiles at once; whole images go one by one.
        error_maps: Folder for a picture of each image: white TP, red FP, black TN, blue FN.
        report: Called with images done and images in all.

    Raises:
        DataSetError: The data set is missing or wrong.
        SettingsError: The threshold or protocol cannot be.
    """
    if not 0.0 < threshold < 1.0:
        raise SettingsError(f"the threshold is {threshold}; it must lie between 0 and 1")
    if protocol not in ("tiles", "whole"):
        raise SettingsError(f"the protocol is {protocol!r}", hint="tiles or whole")
    begun = perf_counter()
    pairs = list_pairs(root, split)
    tiles = TileDataset(pairs, tile_px=tile_px if protocol == "tiles" else None, edges="pad")
    batch = batch if protocol == "tiles" else 1
    tally = _Tally(threshold, error_maps)
    for start in range(0, len(tiles), batch):
        numbers = range(start, min(start + batch, len(tiles)))
        samples = [tiles[number] for number in numbers]
        before, after = (np.stack([sample[date].numpy() for sample in samples]) for date in ("before", "after"))
        for number, sample, probability in zip(numbers, samples, predictor(before, after), strict=True):
            height, width = tiles.valid_size(number)
            tally.add(tiles.names[number], probability[:height, :width], sample["change"].numpy()[:height, :width] > 0)
        if report is not None:
            report(numbers[-1] + 1, len(tiles))
    name = f"tiles-{tile_px}" if protocol == "tiles" else "whole"
    labels = [pair.label for pair in pairs if pair.label is not None]
    return tally.evaluation(name, split, hash_of_files(labels), perf_counter() - begun)


def evaluate_predictions(predictions: Path, labels: Path, *, error_maps: Path | None = None) -> Evaluation:
    """Scores anybody's masks against labels, matched by stem; every label needs a mask.

    Raises:
        DataSetError: A folder is missing or empty, or a mask is missing or of another size.
    """
    begun = perf_counter()
    found = [{path.stem: path for path in _files(folder)} for folder in (predictions, labels)]
    missing = sorted(found[1].keys() - found[0].keys())
    if missing:
        raise DataSetError(
            f"{len(missing)} labels have no mask in {predictions}, the first: {missing[0]}",
            hint="names are matched without suffix",
        )
    tally = _Tally(None, error_maps)
    for name, label in sorted(found[1].items()):
        mask, change = read_label(found[0][name]), read_label(label)
        if mask.shape != change.shape:
            raise DataSetError(f"{found[0][name]} is {mask.shape}, its label {change.shape}")
        tally.add_mask(name, mask, change)
    return tally.evaluation(
        "masks as they are", labels.parent.name, hash_of_files(list(found[1].values())), perf_counter() - begun
    )


def hash_of_files(paths: list[Path]) -> str:
    """SHA-256 over the names and bytes of files, in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(paths, key=lambda p: p.name):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def error_map(prediction: Mask, change: Mask) -> ByteArray:  # (H, W) twice -> (3, H, W)
    """White true positives, red false positives, black true negatives, blue false negatives."""
    red, green, blue = prediction, prediction & change, change
    return np.stack([red, green, blue]).astype(np.uint8) * np.uint8(255)


class _Tally:
    """Adds up images."""

    def __init__(self, threshold: float | None, error_maps: Path | None) -> None:
        self._threshold, self._error_maps = threshold, error_maps
        self._counts, self._objects = Counts(), Counts()
        self._per_image: dict[str, Counts] = {}
        self._histogram = ProbabilityHistogram()

    def add(self, name: str, probability: FloatArray, change: Mask) -> None:
        self._histogram.add(probability, change)
        self.add_mask(name, probability >= np.float32(self._threshold or 0.5), change)

    def add_mask(self, name: str, prediction: Mask, change: Mask) -> None:
        counts = Counts.of(prediction, change)
        self._per_image[name] = counts
        self._counts += counts
        self._objects += match_objects(prediction, change)
        if self._error_maps is not None:
            self._error_maps.mkdir(parents=True, exist_ok=True)
            write_png(self._error_maps / f"{name}.png", error_map(prediction, change))

    def evaluation(self, protocol: str, split: str, data_hash: str, seconds: float) -> Evaluation:
        histogram = self._histogram if self._threshold is not None else None
        return Evaluation(
            self._counts,
            self._per_image,
            self._objects,
            histogram,
            self._threshold,
            protocol,
            split,
            data_hash,
            seconds,
        )


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataSetError(f"{folder} is not a folder")
    paths = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    if not paths:
        raise DataSetError(f"{folder} is empty")
    return paths
