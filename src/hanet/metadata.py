"""What travels with weights, so that nobody can forget or mismatch it.

The same JSON object stands in a safetensors file (``__metadata__``) and in an ONNX file
(``metadata_props``), under the key ``hanet``. This module knows the object, not the files.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from hanet.documents import parse_json
from hanet.errors import WeightsError

METADATA_KEY = "hanet"
"""The key of the JSON object in a weights file."""

FORMAT_VERSION = 1
"""Raised when a reader of an older version could misunderstand the object."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Mean of ImageNet's RGB values in 0-1 (torchvision's constants)."""

IMAGENET_STD = (0.229, 0.224, 0.225)
"""Standard deviation of ImageNet's RGB values in 0-1 (torchvision's constants)."""


SMALLEST_PX_OF_OLD_FILES = {
    "hanet": 16,
    "hanet_lite": 32,
    "fc_ef": 16,
    "fc_siam_conc": 16,
    "fc_siam_diff": 16,
}
"""Smallest height and width by network, for files that do not store it: the ``min_size_px`` of the
network's class."""

MAX_BANDS, MAX_NOTES, MAX_SCORES, MAX_ARGUMENTS = 64, 1000, 1000, 64
"""Most entries of a list in the metadata."""

MAX_LENGTH, MAX_VALUES = 1_000_000, 100_000
"""Longest JSON text, in characters, and most values in it."""

MAX_TEXT = 10_000
"""Longest text of a field, in characters."""

MAX_DIVISOR_PX, MAX_TILE_PX = 1024, 65_536
"""Largest stride or smallest input, and largest tile, in pixels: beyond them a trial of one window
would take all memory."""

MAX_NUMBER = 1e12
"""Largest magnitude of a number, and the inverse of the smallest positive one."""

TUPLES = frozenset(
    {"bands", "mean_before", "std_before", "mean_after", "std_after", "notes", "scores"}
)
"""Fields that JSON holds as lists."""


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

    def __post_init__(self) -> None:
        check = _Fields("a score")
        check.text(self, ("dataset", "split", "protocol", "source"))
        for key in ("precision", "recall", "f1", "iou"):
            value = getattr(self, key)
            check.number(key, value)
            if not 0.0 <= value <= 1.0:
                raise check.error(key, f"is {value}, not in 0 to 1")

    @classmethod
    def from_json(cls, values: object) -> Score:
        """The score that an entry of ``scores`` describes.

        Raises:
            WeightsError: It is not an object with these keys and values.
        """
        names = {entry.name for entry in fields(cls)}
        if not isinstance(values, dict) or not names - {"source"} <= values.keys() <= names:
            raise WeightsError(
                "the weights' metadata: an entry of scores is not an object with the keys "
                f"{', '.join(entry.name for entry in fields(cls))}"
            )
        return cls(**values)


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
        std_before: Standard deviation of each band, after scaling.
        mean_after: Mean for the after image.
        std_after: Standard deviation for the after image.
        gsd_m: Ground sample distance in metres that the weights were trained at.
        threshold: Probability from which on a pixel counts as change; chosen on a validation split.
        temperature: Logits are divided by it before softmax; 1.0 leaves them alone.
        divisor: Height and width of an input must be multiples of it.
        smallest_px: Smallest height and width of an input; None in files that were written before
            it was stored (see :attr:`min_size_px`).
        gmac_per_megapixel: Thousand million multiply-adds for a megapixel of both dates; None where
            it is not known.
        tile_px: Default tile of the detector in pixels.
        overlap_px: Default overlap of neighbouring tiles in pixels: 64 scores what 128 does, 0
            loses half a point of F1 (hanet_lite, whole val scenes;
            results/benchmarks/tile-and-overlap-hanet_lite.json).
        training_data: What the weights were trained on, in words.
        training_split: Which split of it.
        experiment: Name of the experiment file.
        footprint_filter: What :class:`hanet.footprints.false_alarms.FootprintFilter` gives as
            JSON; None leaves no footprint out.
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
    smallest_px: int | None = None
    gmac_per_megapixel: float | None = None
    tile_px: int = 512
    overlap_px: int = 64
    training_data: str = ""
    training_split: str = ""
    experiment: str = ""
    footprint_filter: dict[str, Any] | None = None
    scores: tuple[Score, ...] = ()
    licence: str = ""
    citation: str = ""
    code_version: str = ""
    notes: tuple[str, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check = _Fields(self.name)
        check.text(self, ("name", "model", "training_split", "experiment", "code_version"))
        check.text(self, ("training_data", "licence", "citation"), lines=True)
        check.texts(self, "bands", most=MAX_BANDS)
        check.texts(self, "notes", most=MAX_NOTES, lines=True)
        check.plain_mapping("model_arguments", self.model_arguments)
        check.mapping("extra", self.extra)
        if self.footprint_filter is not None:
            check.mapping("footprint_filter", self.footprint_filter)
        if len(set(self.bands)) != len(self.bands) or not self.bands:
            raise check.error("bands", "must be different names, at least one")
        for kind in ("mean", "std"):
            for key in (f"{kind}_before", f"{kind}_after"):
                check.numbers(
                    key, getattr(self, key), count=len(self.bands), positive=kind == "std"
                )
        for key in ("scale", "temperature", "gsd_m"):
            check.number(key, getattr(self, key), positive=True)
        check.number("threshold", self.threshold)
        if not 0.0 < self.threshold < 1.0:
            raise check.error("threshold", f"is {self.threshold}, not between 0 and 1")
        check.whole("divisor", self.divisor, 1, MAX_DIVISOR_PX)
        check.whole("tile_px", self.tile_px, 1, MAX_TILE_PX)
        check.whole("overlap_px", self.overlap_px, 0, self.tile_px - 1)
        if self.smallest_px is not None:
            check.whole("smallest_px", self.smallest_px, 1, MAX_DIVISOR_PX)
        if self.gmac_per_megapixel is not None:
            check.number("gmac_per_megapixel", self.gmac_per_megapixel, positive=True)
        if not isinstance(self.scores, tuple) or len(self.scores) > MAX_SCORES:
            raise check.error("scores", f"must be a list of at most {MAX_SCORES} evaluations")
        if not all(isinstance(score, Score) for score in self.scores):
            raise check.error("scores", "must be a list of evaluations")

    def to_json(self) -> str:
        """The object as a line of JSON with its format version."""
        values = asdict(self)
        extra = values.pop("extra")
        for key in ("smallest_px", "gmac_per_megapixel", "footprint_filter"):
            if values[key] is None:  # a file that did not say it still does not
                del values[key]
        return json.dumps(
            {**extra, **values, "format": FORMAT_VERSION}, sort_keys=True, allow_nan=False
        )

    @property
    def min_size_px(self) -> int:
        """Smallest height and width of an input."""
        if self.smallest_px is not None:
            return self.smallest_px
        return SMALLEST_PX_OF_OLD_FILES.get(self.model, self.divisor)

    @classmethod
    def from_json(cls, text: object) -> Metadata:
        """Reads what :meth:`to_json` wrote.

        Raises:
            WeightsError: The text is not a JSON object, is of a later format or too large, or a key
                is missing or holds a value that it cannot have; the message names the key.
        """
        if not isinstance(text, str):
            raise WeightsError("the metadata of the weights is not text")
        try:
            values = parse_json(text, max_bytes=MAX_LENGTH, max_values=MAX_VALUES, strict=False)
        except ValueError as error:
            raise WeightsError(f"the metadata of the weights is not JSON: {error}") from error
        if not isinstance(values, dict):
            raise WeightsError("the metadata of the weights is not a JSON object")
        written = values.pop("format", None)
        if type(written) is not int or written != FORMAT_VERSION:
            raise WeightsError(
                f"the weights' metadata has format {ascii(written)[:40]}, this hanet reads "
                f"{FORMAT_VERSION}",
                hint="update hanet, or convert the file again with this version",
            )
        known = {entry.name for entry in fields(cls)} - {"extra"}
        extra = {key: values.pop(key) for key in list(values) if key not in known}
        missing = {"name", "model"} - values.keys()
        if missing:
            raise WeightsError(f"the weights' metadata lacks {' and '.join(sorted(missing))}")
        for key in TUPLES & values.keys():
            if not isinstance(values[key], list):
                raise _Fields(values["name"]).error(key, "is not a list")
            values[key] = tuple(values[key])
        values["scores"] = tuple(Score.from_json(score) for score in values.get("scores", ()))
        return cls(**values, extra=extra)

    def with_scores(self, *scores: Score) -> Metadata:
        """A copy with these scores added; one of the same data, split and protocol is replaced."""
        keys = {(score.dataset, score.split, score.protocol) for score in scores}
        kept = tuple(s for s in self.scores if (s.dataset, s.split, s.protocol) not in keys)
        return replace(self, scores=kept + scores)


UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, marks that turn the direction of text, and halves of characters: what a
terminal obeys, or cannot be written."""


@dataclass(frozen=True, slots=True)
class _Fields:
    """Checks of the values of one object; every refusal names the object and the field."""

    owner: object

    def error(self, key: str, what: str) -> WeightsError:
        owner = ascii(self.owner[:80]) if isinstance(self.owner, str) else "the weights"
        return WeightsError(
            f"metadata of {owner}: {key} {what}",
            hint="the file may be damaged: copy it again, or write it again with hanet export or "
            "hanet convert",
        )

    def text(self, values: object, keys: tuple[str, ...], *, lines: bool = False) -> None:
        for key in keys:
            self._text(key, getattr(values, key), lines)

    def texts(self, values: object, key: str, *, most: int, lines: bool = False) -> None:
        entries = getattr(values, key)
        if not isinstance(entries, tuple) or len(entries) > most:
            raise self.error(key, f"must be a list of at most {most} texts")
        for entry in entries:
            self._text(key, entry, lines)

    def _text(self, key: str, value: object, lines: bool) -> None:
        if not isinstance(value, str):
            raise self.error(key, f"must be text, not {_kind(value)}")
        if len(value) > MAX_TEXT:
            raise self.error(key, f"has {len(value)} characters; at most {MAX_TEXT} are allowed")
        if UNPRINTABLE.search(re.sub(r"[\r\n\t]", " ", value) if lines else value):
            raise self.error(key, "holds control characters")

    def number(self, key: str, value: object, *, positive: bool = False) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(key, f"must be a number, not {_kind(value)}")
        if positive and not 0 < value < math.inf:  # NaN is not
            raise self.error(key, "must be positive and finite")
        if not abs(value) <= MAX_NUMBER or (positive and value < 1 / MAX_NUMBER):
            raise self.error(key, f"must be finite, of a magnitude up to {MAX_NUMBER:g}")

    def numbers(self, key: str, values: object, *, count: int, positive: bool) -> None:
        if not isinstance(values, tuple) or len(values) != count:
            raise self.error(key, f"must be a list of {count} numbers, one for each band")
        for value in values:
            self.number(key, value, positive=positive)

    def whole(self, key: str, value: object, low: int, high: int) -> None:
        if type(value) is not int:
            raise self.error(key, f"must be a whole number, not {_kind(value)}")
        if not low <= value <= high:
            raise self.error(key, f"must lie in {low} to {high}")

    def mapping(self, key: str, values: object) -> None:
        """An object whose values are free, but can be written as JSON."""
        if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
            raise self.error(key, "must be an object")
        try:
            json.dumps(values, allow_nan=False)
        except (ValueError, TypeError, RecursionError) as error:
            raise self.error(key, "holds values that JSON does not have") from error

    def plain_mapping(self, key: str, values: object) -> None:
        """An object of texts, numbers and yes or no."""
        self.mapping(key, values)
        assert isinstance(values, dict)
        if len(values) > MAX_ARGUMENTS:
            raise self.error(key, f"has more than {MAX_ARGUMENTS} entries")
        for name, value in values.items():
            self._text(key, name, lines=False)
            if isinstance(value, str):
                self._text(key, value, lines=False)
            elif value is not None and not isinstance(value, int | float):
                raise self.error(key, f"must hold plain values, not {_kind(value)}")


def _kind(value: object) -> str:
    """The kind of a value in JSON's words."""
    names = {dict: "an object", list: "a list", tuple: "a list", str: "text", bool: "true or false"}
    if value is None:
        return "null"
    return names.get(type(value), "a number")
