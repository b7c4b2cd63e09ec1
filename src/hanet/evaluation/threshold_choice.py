"""What a validation split chooses for weights, stored in their file: the threshold of the best F1,
and the temperature.

Never from a test split: a score at a threshold that was chosen on the same pixels is no score.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

from hanet.destination import check_file, check_packages
from hanet.errors import SettingsError, WeightsError, importing
from hanet.evaluation.calibration import MAX_TEMPERATURE, at_temperature
from hanet.evaluation.result import Evaluation
from hanet.files import file_hash, replace_file
from hanet.metadata import Metadata, Score
from hanet.weights.engine import DEFAULT_PRECISION, Engine
from hanet.weights.weights_file import update_safetensors_metadata

_STORING = "storing a threshold in an .onnx file"


@dataclass(frozen=True, slots=True)
class Stored:
    """What a weights file holds now.

    Args:
        path: The file.
        sha256: Of the file as it is now.
        threshold: Probability from which on a pixel counts as change.
        temperature: By which logits are divided.
        f1: On the split that chose, at this threshold.
    """

    path: Path
    sha256: str
    threshold: float
    temperature: float
    f1: float


def store_choices(
    evaluation: Evaluation, *, threshold: bool, temperature: bool = False, source: str = ""
) -> Stored:
    """Writes what an evaluation chose into the weights file that was evaluated, with the score that
    belongs to it.

    Args:
        evaluation: Of weights, on a validation split, without flips.
        threshold: Store the threshold of the best F1; else the file's own stays.
        temperature: Store the temperature of the highest likelihood. The threshold is moved along,
            so that masks stay as they are.
        source: Name of the results file that holds the counts.

    Raises:
        SettingsError: The split is a test split, the evaluation is not of the weights as they run
            elsewhere, or no threshold of it is better than another.
        WeightsError: The file belongs to the package, has changed since, or its temperature is part
            of its graph (ONNX).
    """
    weights, histogram, calibration = (
        evaluation.weights,
        evaluation.histogram,
        evaluation.calibration,
    )
    if weights is None or histogram is None or calibration is None:
        raise SettingsError("a threshold can be stored for weights only")
    refuse_to_store(
        weights.path,
        split=evaluation.split,
        engine=weights.engine,
        temperature=temperature,
    )
    if file_hash(weights.path) != weights.sha256:
        raise WeightsError(
            f"{weights.path} has changed since it was evaluated", hint="evaluate it again"
        )
    chosen = histogram.best_threshold() if threshold else weights.metadata.threshold
    factor = calibration.temperature() if temperature else 1.0
    if not 1.01 / MAX_TEMPERATURE < factor < MAX_TEMPERATURE / 1.01:
        raise SettingsError(
            f"no temperature fits this split: the likelihood still grows at {factor:.3g}",
            hint="the split has too few pixels, nearly all are right, or the network is no better "
            "than chance on it",
        )
    scores = histogram.counts(round(chosen * histogram.bins)).scores()
    if threshold and scores.f1 == 0:
        raise SettingsError(
            "no threshold finds a changed pixel of this split, so none can be chosen by it",
            hint="does it have labels with change? --no-store shows the scores without choosing",
        )
    score = Score(
        dataset=evaluation.data,
        split=evaluation.split,
        protocol=evaluation.protocol,
        precision=scores.precision,
        recall=scores.recall,
        f1=scores.f1,
        iou=scores.iou,
        source=source,
    )
    metadata = replace(
        weights.metadata,
        threshold=at_temperature(chosen, factor) if temperature else chosen,
        temperature=weights.metadata.temperature * factor,
    ).with_scores(score)
    _write(weights.path, metadata)
    return Stored(
        weights.path, file_hash(weights.path), metadata.threshold, metadata.temperature, scores.f1
    )


def refuse_to_store(path: Path, *, split: str, engine: Engine, temperature: bool) -> None:
    """Raises what :func:`store_choices` would, so that nobody waits for an evaluation first."""
    if Path(split).name.lower().startswith("test"):
        raise SettingsError(
            "a threshold is chosen on a validation split, never on the test split",
            hint="evaluate on val, or take --no-store to see the curve without choosing by it",
        )
    if engine.flips:
        raise SettingsError(
            "with flips the threshold is not the weights' own",
            hint="leave --flips out, or take --no-store",
        )
    if engine.precision != DEFAULT_PRECISION:
        raise SettingsError(
            f"in {engine.precision} the threshold is not the weights' own",
            hint="leave --precision out, or take --no-store",
        )
    if path.resolve().is_relative_to(Path(str(files("hanet"))).resolve()):
        raise WeightsError(
            f"{path.name} belongs to the installed package",
            hint="evaluate a copy of it, or take --no-store",
        )
    if temperature and path.suffix == ".onnx":
        raise WeightsError(
            f"the temperature of {path.name} is part of its graph",
            hint="calibrate the .safetensors and export it again",
        )
    check_file(path, "the weights file")
    if path.suffix == ".onnx":
        check_packages(("torch", "onnx"), extra="train", purpose=_STORING)


def _write(path: Path, metadata: Metadata) -> None:
    if path.suffix == ".safetensors":
        update_safetensors_metadata(path, metadata)
        return
    with importing("torch", extra="train", purpose=_STORING):
        from hanet.weights.export import with_metadata
    replace_file(path, with_metadata(path.read_bytes(), metadata))
