"""Scores by the published protocols: counts over a whole split, with protocol, split, hashes and an
interval.

- :func:`evaluate`: weights, or any function from two images to probability, on
  ROOT/SPLIT/{A,B,label};
- :func:`evaluate_predictions`: anybody's masks against labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from hanet.datasets.layout import Pair, list_pairs
from hanet.errors import DataSetError, SettingsError
from hanet.evaluation.calibration import Calibration
from hanet.evaluation.footprint_matching import match_objects
from hanet.evaluation.histogram import ProbabilityHistogram
from hanet.evaluation.metrics import Counts
from hanet.evaluation.predicted_masks import PredictedFile, TileOrder, pair_predictions
from hanet.evaluation.protocols import Predictor, Protocol, predict_split, predictor_of
from hanet.evaluation.result import Evaluation, ImageCounts, WeightsUsed
from hanet.files import file_hash, make_folder
from hanet.imagery.images import IGNORED_GREY, read_change, write_png
from hanet.provenance import hash_of_files
from hanet.types import IGNORED, ByteArray, FloatArray, Mask, Progress
from hanet.weights import catalogue
from hanet.weights.engine import (
    DEFAULT_PRECISION,
    Engine,
    RuntimeName,
    RuntimePrecision,
    runtime_of,
)

__all__ = ["Evaluation", "Pictures", "Protocol", "error_map", "evaluate", "evaluate_predictions"]

LONGEST_DATA_NAME = 200
"""Characters that the name of a data set may have."""

Value = TypeVar("Value", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Pictures:
    """Images to write while evaluating, one a pair, named like it; folders are made.

    Args:
        error_maps: Folder for white TP, red FP, black TN, blue FN, grey for ignored pixels.
        masks: Folder for predicted masks, 0 and 255, which :func:`evaluate_predictions` scores
            alike.
    """

    error_maps: Path | None = None
    masks: Path | None = None

    def write(self, name: str, prediction: Mask, label: ByteArray) -> None:
        """Writes what is wanted of one image.

        Raises:
            OutputError: The disk does not take it.
        """
        if self.error_maps is not None:
            make_folder(self.error_maps)
            write_png(self.error_maps / f"{name}.png", error_map(prediction, label))
        if self.masks is not None:
            make_folder(self.masks)
            write_png(self.masks / f"{name}.png", prediction)


def evaluate(
    model: str | Path | Predictor,
    root: str | Path,
    *,
    split: str,
    protocol: Protocol | None = None,
    threshold: float | None = None,
    runtime: RuntimeName | None = None,
    precision: RuntimePrecision = DEFAULT_PRECISION,
    threads: int | None = None,
    flips: bool = False,
    data_name: str | None = None,
    pictures: Pictures | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Evaluates weights on ``ROOT/SPLIT/{A,B,label}``.

    Args:
        model: Name of weights, a weights file, a run folder (its best weights); or a function from
            two raw images (B, 3, H, W), uint8, to probability (B, H, W), which takes any size.
        root: The data set.
        split: Its split.
        protocol: How images are cut; tiles of 256 if None.
        threshold: Probability from which on a pixel counts as change; the weights' own if None, 0.5
            for a function.
        runtime: Engine for weights; ONNX Runtime for ``.onnx``, torch for ``.safetensors`` if None.
        precision: What the engine computes in; see :class:`hanet.weights.engine.Engine`.
        threads: Threads of the engine; as many as this process may use if None.
        flips: Average over the four combinations of flips; four times the work.
        data_name: What results call the data set, at most 200 printable characters; the name of
            ``root``'s folder if None.
        pictures: Images to write on the way.
        progress: Called after each image with the share of images done.

    Raises:
        DataSetError: The data set is missing or wrong.
        WeightsError: The weights are missing or wrong, or take other bands than three.
        SettingsError: A value is out of range, ``data_name`` cannot be a name, or tiles are smaller
            than the network takes.

    Example:
        >>> round(evaluate("hanet_lite", "levir-cd/tiles-256", split="val").scores.f1, 2)
        0.88
    """
    begun = perf_counter()
    _check_data_name(data_name)
    protocol = protocol or Protocol()
    pairs = list_pairs(root, split)
    predictor, weights = (
        (model, None)
        if callable(model)
        else _open_weights(model, runtime, precision, threads, flips)
    )
    if (
        weights is not None
        and protocol.name == "tiles"
        and protocol.tile_px < weights.metadata.min_size_px
    ):
        raise SettingsError(
            f"a tile of {protocol.tile_px} pixels is too small for {weights.metadata.name}: its "
            "network needs at least "
            f"{weights.metadata.min_size_px}",
            hint="the published protocol cuts tiles of 256",
        )
    if threshold is None:
        threshold = weights.metadata.threshold if weights is not None else 0.5
    tally = _Tally(len(pairs), threshold, pictures, progress)
    for image in predict_split(predictor, pairs, protocol):
        tally.add_probability(image.pair.name, image.probability, image.change)
    return Evaluation(
        images=tuple(tally.images),
        histogram=tally.histogram,
        calibration=tally.calibration,
        threshold=threshold,
        protocol=protocol.label,
        data=data_name or Path(root).resolve().name,
        split=split,
        data_sha256=hash_of_pairs(pairs),
        labels_sha256=_hash_of_labels(pair.label for pair in pairs),
        seconds=perf_counter() - begun,
        weights=weights,
    )


def evaluate_predictions(
    predictions: str | Path,
    labels: str | Path,
    *,
    tiles_of_scenes: TileOrder | None = None,
    threshold: float | None = None,
    data_name: str | None = None,
    pictures: Pictures | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Scores anybody's masks against labels.

    Args:
        predictions: Folder of masks, one a label and of its size, matched by stem.
        labels: Folder of labels.
        tiles_of_scenes: Masks are numbered tiles of the labels' scenes, to be put together first;
            see :func:`hanet.evaluation.predicted_masks.pair_predictions`.
        threshold: If given, predictions are not masks but probabilities, grey images of 0 to 255,
            and this is where change begins.
        data_name: What results call the data set, at most 200 printable characters; the folder two
            above the labels if None.
        pictures: Images to write on the way.
        progress: Called after each image with the share of images done.

    Raises:
        DataSetError: A folder is missing or empty, names do not match, sizes differ, or a file is
            no mask.
        SettingsError: The threshold is out of range, or ``data_name`` cannot be a name.
    """
    begun = perf_counter()
    _check_data_name(data_name)
    predictions, labels = Path(predictions), Path(labels)
    files = pair_predictions(predictions, labels, tiles_of_scenes=tiles_of_scenes)
    tally = _Tally(len(files), threshold, pictures, progress)
    for file in files:
        change = read_change(file.label)
        if threshold is None:
            tally.add(file.name, _same_shape(file, file.mask(), change), change)
        else:
            tally.add_probability(file.name, _same_shape(file, file.probability(), change), change)
    kind = "masks" if threshold is None else "probabilities"
    hashed = [("label", file.label) for file in files] + [
        ("prediction", tile) for file in files for tile in file.tiles
    ]
    return Evaluation(
        images=tuple(tally.images),
        histogram=None if threshold is None else tally.histogram,
        calibration=None if threshold is None else tally.calibration,
        threshold=threshold,
        protocol=f"{kind} as given"
        if tiles_of_scenes is None
        else f"{kind} put together, {tiles_of_scenes}",
        data=data_name or labels.resolve().parent.parent.name,
        split=labels.resolve().parent.name,
        data_sha256=hash_of_files(hashed),
        labels_sha256=_hash_of_labels(file.label for file in files),
        seconds=perf_counter() - begun,
    )


def error_map(prediction: Mask, label: ByteArray | Mask) -> ByteArray:  # (H, W) twice -> (3, H, W)
    """White true positives, red false positives, black true negatives, blue false negatives; grey
    where the label (0, 1 or IGNORED) is ignored."""
    change = label == 1
    red, green, blue = prediction, prediction & change, change
    colours = np.stack([red, green, blue]).astype(np.uint8) * np.uint8(255)
    colours[:, label == IGNORED] = IGNORED_GREY
    return colours


def hash_of_pairs(pairs: Sequence[Pair]) -> str:
    """SHA-256 over names and bytes of all images and labels of a split."""
    files = [("A", pair.before) for pair in pairs] + [("B", pair.after) for pair in pairs]
    return hash_of_files(
        files + [("label", pair.label) for pair in pairs if pair.label is not None]
    )


def _hash_of_labels(labels: Iterable[Path | None]) -> str:
    return hash_of_files([("label", path) for path in labels if path is not None])


@dataclass(slots=True)
class _Tally:
    """Adds up images."""

    total: int
    threshold: float | None
    pictures: Pictures | None
    progress: Progress | None
    images: list[ImageCounts] = field(default_factory=list)
    histogram: ProbabilityHistogram = field(default_factory=ProbabilityHistogram)
    calibration: Calibration = field(default_factory=Calibration)

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0.0 < self.threshold < 1.0:
            raise SettingsError(
                f"the threshold is {self.threshold}; it must lie between 0 and 1, both excluded",
                hint="for example 0.5, not per cent",
            )

    def add_probability(self, name: str, probability: FloatArray, label: ByteArray) -> None:
        known = label != IGNORED
        self.histogram.add(probability[known], label[known] == 1)
        self.calibration.add(probability[known], label[known] == 1)
        self.add(name, probability >= np.float32(self.threshold or 0.5), label)

    def add(self, name: str, prediction: Mask, label: ByteArray) -> None:
        known, change = label != IGNORED, label == 1
        counts = Counts.of(prediction[known], change[known])
        self.images.append(ImageCounts(name, counts, match_objects(prediction & known, change)))
        if self.pictures is not None:
            self.pictures.write(name, prediction, label)
        if self.progress is not None:
            self.progress("evaluating", len(self.images) / self.total)


def _check_data_name(name: str | None) -> None:
    """It stands in tables, pages and on the terminal."""
    if name is not None and (not name.isprintable() or len(name) > LONGEST_DATA_NAME):
        raise SettingsError(
            f"the name of the data set has {len(name)} characters"
            if name.isprintable()
            else "the name of the data set holds characters that cannot be printed",
            hint=f"--data-name takes {LONGEST_DATA_NAME} printable characters",
        )


def _open_weights(
    model: str | Path,
    runtime: RuntimeName | None,
    precision: RuntimePrecision,
    threads: int | None,
    flips: bool,
) -> tuple[Predictor, WeightsUsed]:
    suffixes = catalogue.SUFFIXES if runtime is None else Engine(runtime).suffixes
    path = catalogue.resolve(model, suffixes=suffixes)
    engine = Engine(runtime or runtime_of(path), threads, precision, flips)
    predictor, metadata = predictor_of(path, engine)
    return predictor, WeightsUsed(path, file_hash(path), metadata, engine)


def _same_shape(
    file: PredictedFile, prediction: npt.NDArray[Value], change: ByteArray
) -> npt.NDArray[Value]:
    if prediction.shape != change.shape:
        got, needed = ("x".join(map(str, array.shape)) for array in (prediction, change))
        raise DataSetError(
            f"{file.tiles[0]} is {got} pixels, its label {needed}",
            hint="predictions have the size of their labels; for numbered tiles of scenes see "
            "--tiles-of-scenes",
        )
    return prediction
