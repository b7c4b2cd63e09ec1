"""A folder of masks, or of probabilities as grey images, that anybody predicted: paired with
labels, and put together where they are tiles.

The tiles of the HANet authors' released LEVIR-CD results are numbered through: file n of
``test256_n.png`` is a tile of scene (n - 1) // 16 + 1, column ((n - 1) % 16) // 4, row (n - 1) % 4.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, KeysView
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

from hanet.datasets.layout import files_by_stem
from hanet.errors import DataSetError
from hanet.files import is_folder
from hanet.imagery.images import image_size, read_image, read_label
from hanet.types import FloatArray, Mask

Value = TypeVar("Value", bound=np.generic)

TileOrder = Literal["row-major", "column-major"]
"""How the tiles of a scene are numbered: along its rows, or down its columns (the authors'
results)."""


@dataclass(frozen=True, slots=True)
class PredictedFile:
    """What is to be scored for one label.

    Args:
        name: Stem of the label.
        label: The label file.
        tiles: Prediction files; one, or those of all tiles of the scene, row by row.
        columns: Tiles in a row of the scene.
    """

    name: str
    label: Path
    tiles: tuple[Path, ...]
    columns: int

    def mask(self) -> Mask:
        """The predicted mask (H, W), put together."""
        return self._assembled([read_label(path) for path in self.tiles])

    def probability(self) -> FloatArray:
        """The predicted probability (H, W): grey values divided by 255."""
        return self._assembled([_read_probability(path) for path in self.tiles])

    def _assembled(self, parts: list[npt.NDArray[Value]]) -> npt.NDArray[Value]:
        rows = [
            np.hstack(parts[start : start + self.columns])
            for start in range(0, len(parts), self.columns)
        ]
        return np.vstack(rows)


def pair_predictions(
    predictions: Path, labels: Path, *, tiles_of_scenes: TileOrder | None = None
) -> list[PredictedFile]:
    """Predictions with their labels, sorted by name.

    Args:
        predictions: Folder of images. Without ``tiles_of_scenes`` they are matched with the labels
            by stem.
        labels: Folder of labels.
        tiles_of_scenes: Predictions are equal tiles without overlap of the labels' scenes, both
            numbered from 1 by the last number in their names; tiles run through all scenes, within
            a scene in this order.

    Raises:
        DataSetError: A folder is missing or empty, a name is there twice or lacks its partner, or
            sizes or numbers do not fit.
    """
    files, truths = _images(predictions), _images(labels)
    if tiles_of_scenes is not None:
        return list(_scenes(files, truths, tiles_of_scenes))
    _refuse_unpaired(files.keys(), truths.keys(), predictions, labels)
    return [PredictedFile(name, label, (files[name],), 1) for name, label in sorted(truths.items())]


def _scenes(
    files: dict[str, Path], truths: dict[str, Path], order: TileOrder
) -> Iterator[PredictedFile]:
    tiles, scenes = _by_number(files), _by_number(truths)
    height, width = _one_size(tiles)
    scene_height, scene_width = _one_size(scenes)
    if scene_height % height or scene_width % width:
        raise DataSetError(
            f"tiles of {height}x{width} pixels do not fill scenes of {scene_height}x{scene_width}"
        )
    rows, columns = scene_height // height, scene_width // width
    if set(tiles) != set(range(1, len(tiles) + 1)) or set(scenes) != set(range(1, len(scenes) + 1)):
        raise DataSetError(
            "tiles and scenes must be numbered from 1 without gaps by the last number in their "
            "names",
            hint="with --tiles-of-scenes, --labels is the folder of the whole scenes of the split",
        )
    needed = len(scenes) * rows * columns
    if len(tiles) != needed:
        raise DataSetError(
            f"{len(scenes)} scenes of {rows}x{columns} tiles need {needed} predictions, there "
            f"are {len(tiles)}"
        )
    for number, label in sorted(scenes.items()):
        first = (number - 1) * rows * columns + 1
        offsets = (
            column * rows + row if order == "column-major" else row * columns + column
            for row in range(rows)
            for column in range(columns)
        )
        yield PredictedFile(
            label.stem, label, tuple(tiles[first + offset] for offset in offsets), columns
        )


def _images(folder: Path) -> dict[str, Path]:
    if not is_folder(folder):
        raise DataSetError(f"{folder} is not a folder")
    found = files_by_stem(folder)
    if not found:
        raise DataSetError(f"{folder} holds no image")
    twice = [name for name, paths in found.items() if len(paths) > 1]
    if twice:
        raise DataSetError(
            f"{folder} holds {len(twice)} names more than once, the first: {twice[0]}"
        )
    return {name: paths[0] for name, paths in found.items()}


def _refuse_unpaired(
    have: KeysView[str], need: KeysView[str], predictions: Path, labels: Path
) -> None:
    for lacking, what, where in (
        (sorted(need - have), "labels have no prediction", predictions),
        (sorted(have - need), "predictions have no label", labels),
    ):
        if lacking:
            raise DataSetError(
                f"{len(lacking)} {what} in {where}, the first: {lacking[0]}",
                hint="names are matched without suffix; for numbered tiles of scenes see "
                "--tiles-of-scenes",
            )


def _by_number(files: dict[str, Path]) -> dict[int, Path]:
    numbered: dict[int, Path] = {}
    for name, path in files.items():
        digits = re.findall(r"\d+", name)
        if not digits:
            raise DataSetError(
                f"{path} contains no number",
                hint="tiles and scenes are ordered by the last number in their names",
            )
        if int(digits[-1]) in numbered:
            raise DataSetError(f"{path} and {numbered[int(digits[-1])]} have the same number")
        numbered[int(digits[-1])] = path
    return numbered


def _one_size(files: dict[int, Path]) -> tuple[int, int]:
    sizes: dict[tuple[int, int], Path] = {}
    for path in files.values():
        sizes.setdefault(image_size(path), path)
    if len(sizes) > 1:
        (first, one), (second, other), *_ = sizes.items()
        raise DataSetError(
            f"{one.name} is {first[0]}x{first[1]} pixels, {other.name} {second[0]}x{second[1]}; "
            "they must be equal"
        )
    return next(iter(sizes))


def _read_probability(path: Path) -> FloatArray:
    bands = read_image(path)
    if (bands != bands[:1]).any():
        raise DataSetError(f"{path} is coloured; a probability is a grey image, 0 to 255")
    probability: FloatArray = bands[0].astype(np.float32) / np.float32(255)
    return probability
