"""What travels with weights, so that nobody can forget or mismatch it (DESIGN, contract of a
model).

The same JSON object stands in a safetensors file (``__metadata__``) and in an ONNX file
(``metadata_props``), under the key ``hanet``. This module knows the object, not the files.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from hanet.errors import WeightsError

METADATA_KEY = "hanet"
"""The key of the JSON object in a weights file."""

FORMAT_VERSION = 1
"""Raised when a reader of an older version could misunderstand the object."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Mean of ImageNet's RGB values in 0-1 (torchvision's constants)."""

IMAGENET_STD = (0.229, 0.224, 0.225)
"""Standard deviation of ImageNet's RGB values in 0-1 (torchvision's constants)."""


SMALLEST_PX = {"hanet": 16, "hanet_lite": 32, "fc_ef": 16, "fc_siam_conc": 16, "fc_siam_diff": 16}
"""Smallest height and width that each network takes, for those who run it without torch: its
class's ``min_size_px``."""


@dataclass(frozen=True, slots=True)
class Score:
    """One evaluation of the weights, named by data, split and protocol.

    Args:
        dataset: Data set, for example ``"LEVIR-CD part, tiles-256"``.
        split: ``"val"`` or ``"test"``.
        protocol: ``"tiles-256"`` or ``"whole"``.
        precision: Fraction in 0-1, change class, counts summed over the split. So are the next
            three.
        recall: See precision.
        f1: See precision.
        iou: See precision.
        source: Name of the file in ``results/`` that holds the counts.
    """

    dataset: str
    split: str
    protocol: str
    precision: float
    recall: float
    f1: float
    iou: float
    source: str = ""


@dataclass(frozen=True, slots=True)
class Metadata:
    """Everything that a program must know to run a set of weights.

    Args:
        name: Name of the weights, as ``hanet models`` lists them.
        model: Key in ``hanet.models.MODELS``.
        model_arguments: Keyword arguments of the model's constructor.
        bands: Names of the bands in the order that the network takes them.
        scale: Value that stands for 1.0; inputs are divided by it before normalisation (255 for
            8-bit imagery).
        mean_before: Mean of each band of the before image after scaling, in 0-1.
        std_before: Standard deviation likewise.
        mean_after: Mean for the after image.
        std_after: Standard deviation for the after image.
        gsd_m: Ground sample distance in metres that the weights were trained at.
        threshold: Probability from which on a pixel counts as change; chosen on a validation split.
        temperature: Logits are divided by it before softmax; 1.0 leaves them alone.
        divisor: Height and width of an input must be multiples of it.
        tile_px: Default tile of the detector in pixels.
        overlap_px: Default overlap of neighbouring tiles in pixels: 64 scores what 128 does, 0
            loses half a point of F1 (hanet_lite, whole val scenes;
            results/benchmarks/tile-and-overlap-hanet_lite.json).
        training_data: What the weights were trained on, in words.
        training_split: Which split of it.
        experiment: Name of the experiment file.
        scores: Evaluations, each with data, split and protocol.
        licence: Terms of use of the weights.
        citation: What to cite.
        code_version: Version of hanet that wrote the file.
        notes: Anything else that a reader should know, for example what a conversion dropped.
        extra: Keys that a later version wrote and this one does not know; kept when the file is
            written again.
    """

    name: str
    model: str
    model_arguments: dict[str, Any] = field(default_factory=dict)
    bands: tuple[str, ...] = ("red", "green", "blue")
    scale: float = 255.0
    mean_before: tuple[float, ...] = IMAGENET_MEAN
    std_before: tuple[float, ...] = IMAGENET_STD
    mean_after: tuple[float, ...] = IMAGENET_MEAN
    std_after: tuple[float, ...] = IMAGENET_STD
    gsd_m: float = 0.5
    threshold: float = 0.5
    temperature: float = 1.0
    divisor: int = 16
    tile_px: int = 512
    overlap_px: int = 64
    training_data: str = ""
    training_split: str = ""
    experiment: str = ""
    scores: tuple[Score, ...] = ()
    licence: str = ""
    citation: str = ""
    code_version: str = ""
    notes: tuple[str, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        bands = len(self.bands)
        for key in ("mean_before", "std_before", "mean_after", "std_after"):
            if len(getattr(self, key)) != bands:
                raise WeightsError(
                    f"metadata of {self.name!r}: {key} has {len(getattr(self, key))} values for "
                    f"{bands} bands"
                )
        positive = (*self.std_before, *self.std_after, self.scale, self.temperature, self.gsd_m)
        if not all(0 < value < math.inf for value in positive):  # NaN is not
            raise WeightsError(
                f"metadata of {self.name!r}: standard deviations, scale, temperature and gsd_m "
                "must be positive"
            )
        if not all(map(math.isfinite, (*self.mean_before, *self.mean_after))):
            raise WeightsError(f"metadata of {self.name!r}: a mean is no finite number")
        if not 0.0 < self.threshold < 1.0:
            raise WeightsError(
                f"metadata of {self.name!r}: threshold {self.threshold} is not between 0 and 1"
            )
        if self.divisor < 1 or self.tile_px < 1 or not 0 <= self.overlap_px < self.tile_px:
            raise WeightsError(
                f"metadata of {self.name!r}: divisor, tile_px and overlap_px do not fit together"
            )

    def to_json(self) -> str:
        """The object as a line of JSON with its format version."""
        values = asdict(self)
        extra = values.pop("extra")
        return json.dumps(
            {**extra, **values, "format": FORMAT_VERSION}, sort_keys=True, allow_nan=False
        )

    @property
    def min_size_px(self) -> int:
        """Smallest height and width of an input."""
        return SMALLEST_PX.get(self.model, self.divisor)

    @classmethod
    def from_json(cls, text: str) -> Metadata:
        """Reads what :meth:`to_json` wrote.

        Raises:
            WeightsError: The text is no JSON object, of a later format, or lacks or misfills a key.
        """
        try:
            values = json.loads(text)
        except (ValueError, TypeError) as error:  # TypeError: the entry of a file is no text
            raise WeightsError(f"the metadata of the weights is not JSON: {error}") from error
        if not isinstance(values, dict):
            raise WeightsError("the metadata of the weights is not a JSON object")
        written = values.pop("format", None)
        if written != FORMAT_VERSION:
            raise WeightsError(
                f"the weights' metadata has format {written!r}, this hanet reads {FORMAT_VERSION}",
                hint="update hanet, or convert the file again with this version",
            )
        known = {entry.name for entry in fields(cls)} - {"extra"}
        extra = {key: values.pop(key) for key in list(values) if key not in known}
        try:
            for key, value in values.items():
                if isinstance(value, list):
                    values[key] = (
                        tuple(Score(**item) for item in value) if key == "scores" else tuple(value)
                    )
            return cls(**values, extra=extra)
        except TypeError as error:
            raise WeightsError(
                f"the weights' metadata does not hold what it should: {error}"
            ) from error

    def with_scores(self, *scores: Score) -> Metadata:
        """A copy with these scores added; one of the same data, split and protocol is replaced."""
        keys = {(score.dataset, score.split, score.protocol) for score in scores}
        kept = tuple(s for s in self.scores if (s.dataset, s.split, s.protocol) not in keys)
        return replace(self, scores=kept + scores)
