"""Two results of ``hanet evaluate`` on the same labels: which is better, by how much, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from hanet.documents import DocumentError, read_json
from hanet.errors import InputError
from hanet.evaluation.metrics import Counts, Scores
from hanet.evaluation.paired import Difference, paired_differences
from hanet.types import Json

SHOWN = 10
"""Images of the largest difference that are told by name and shown."""

SAME = {"labels_sha256": "labels", "split": "split", "protocol": "protocol"}
"""What two results must share to be compared, and its name."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One result of ``hanet evaluate --out``.

    Args:
        path: Its file.
        title: Weights, threshold and flips in words.
        values: What the file holds.
        images: Counts of each image by name.
    """

    path: Path
    title: str
    values: Json
    images: dict[str, Counts]

    @property
    def scores(self) -> Scores:
        """Over the whole split."""
        return sum(self.images.values(), Counts()).scores()


@dataclass(frozen=True, slots=True)
class ImageDifference:
    """What two results say of one image.

    Args:
        name: The stem that its files share.
        first: Counts of the first result. ``second`` are those of the other.
        second: See first.
    """

    name: str
    first: Counts
    second: Counts

    @property
    def fewer_wrong(self) -> int:
        """Wrong pixels of the first result less those of the second."""
        return self.first.fp + self.first.fn - self.second.fp - self.second.fn


@dataclass(frozen=True, slots=True)
class Comparison:
    """The second result against the first.

    Args:
        first: The one that is compared with.
        second: The one whose gain is told.
        differences: Second minus first by score, each with its interval.
        images: Every image, those of the largest difference in wrong pixels first.
    """

    first: Scored
    second: Scored
    differences: dict[str, Difference]
    images: tuple[ImageDifference, ...]

    def to_json(self) -> Json:
        """For files and other programs."""
        sides = {
            name: {"file": side.path.name, "title": side.title, "scores": asdict(side.scores)}
            for name, side in (("first", self.first), ("second", self.second))
        }
        return {
            **{key: self.first.values[key] for key in ("data", "split", "protocol")},
            "images": len(self.images),
            **sides,
            "differences": {
                name: {**asdict(found), "is_told_from_chance": found.is_told_from_chance}
                for name, found in self.differences.items()
            },
            "largest": [
                {
                    "name": image.name,
                    "fewer_wrong_pixels": image.fewer_wrong,
                    "first": asdict(image.first),
                    "second": asdict(image.second),
                }
                for image in self.images[:SHOWN]
            ],
        }

    def in_words(self) -> str:
        """One sentence: which is better, or that the difference may be chance."""
        f1 = self.differences["f1"]
        points = f"{100 * f1.value:+.2f} points of F1 ({100 * f1.low:+.2f} to {100 * f1.high:+.2f})"
        if not f1.is_told_from_chance:
            return f"the difference may be chance: {points}"
        better = self.second if f1.value > 0 else self.first
        return f"{better.title} is better: {points}"


def compare(first: str | Path, second: str | Path, *, seed: int = 0) -> Comparison:
    """Compares two results.

    Args:
        first: A file of ``hanet evaluate --out``.
        second: Another one on the same labels.
        seed: Of the interval's draws.

    Raises:
        InputError: A file is missing or holds no result, was written by a version that did not keep
            counts of each image, or labels, splits or protocols differ.
    """
    sides = read_result(Path(first)), read_result(Path(second))
    for key, meaning in SAME.items():
        told = [side.values[key] for side in sides]
        if told[0] != told[1]:
            shown = "" if key == "labels_sha256" else f": {told[0]} and {told[1]}"
            raise InputError(
                f"the two results have different {meaning}{'' if meaning == 'labels' else 's'}"
                f"{shown}; their scores cannot be compared",
                hint="evaluate both on one split by one protocol",
            )
    names = list(sides[0].images)
    if set(names) != set(sides[1].images):
        raise InputError("the two results hold other images", hint="evaluate both again")
    counts = [[side.images[name] for name in names] for side in sides]
    images = [
        ImageDifference(name, one, other) for name, one, other in zip(names, *counts, strict=True)
    ]
    images.sort(key=lambda image: (-abs(image.fewer_wrong), image.name))
    return Comparison(*sides, paired_differences(*counts, seed=seed), tuple(images))


def read_result(path: Path) -> Scored:
    """A result as ``hanet evaluate --out`` wrote it.

    Raises:
        InputError: As for :func:`compare`.
    """
    try:
        values = read_json(path)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror}", hint="give a file of hanet evaluate --out"
        ) from error
    except DocumentError as error:
        raise InputError(
            f"{path} is no result: {error}", hint="give a file of hanet evaluate --out"
        ) from error
    if not isinstance(values, dict) or not {"protocol", "split", "scores"} <= values.keys():
        raise InputError(f"{path} is no result", hint="give a file of hanet evaluate --out")
    if "per_image" not in values or "labels_sha256" not in values:
        raise InputError(
            f"{path} holds no counts of single images: an older version wrote it",
            hint="evaluate again with --out",
        )
    return Scored(path, _title(path, values), values, _images(path, values["per_image"]))


def _images(path: Path, columns: object) -> dict[str, Counts]:
    keys = ("tp", "fp", "fn", "tn")
    if not isinstance(columns, dict) or not {"name", *keys} <= columns.keys():
        raise InputError(f"{path}: per_image holds no columns name, {', '.join(keys)}")
    names, *numbers = (columns[key] for key in ("name", *keys))
    if (
        not all(isinstance(column, list) for column in (names, *numbers))
        or len({len(names), *map(len, numbers)}) != 1
        or not names
        or not all(isinstance(name, str) for name in names)
        or len(set(names)) != len(names)
        or not all(_is_count(value) for column in numbers for value in column)
    ):
        raise InputError(
            f"{path}: the columns of per_image do not fit together",
            hint="evaluate again with --out",
        )
    return {name: Counts(*values) for name, *values in zip(names, *numbers, strict=True)}


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _title(path: Path, values: Json) -> str:
    """What tells the result from another one."""
    parts = [str(values.get("weights") or path.stem)]
    threshold = values.get("threshold")
    if isinstance(threshold, int | float) and np.isfinite(threshold):
        parts.append(f"threshold {threshold:.3g}")
    if values.get("flips") is True:
        parts.append("flips")
    return ", ".join(parts)


def wrong(image: Counts) -> int:
    """Wrong pixels."""
    return image.fp + image.fn


def scatter(images: Sequence[ImageDifference]) -> list[tuple[str, float, float]]:
    """Name and F1 of both results of each image that either of them, or the label, calls changed
    somewhere: the others have no F1."""
    return [
        (image.name, image.first.scores().f1, image.second.scores().f1)
        for image in images
        if image.first.tp + image.first.fn + image.first.fp + image.second.fp > 0
    ]
