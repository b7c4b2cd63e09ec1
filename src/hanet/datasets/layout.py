"""The folders of a data set: ``ROOT/SPLIT/{A,B,label}``, one file a date and scene, matched by
stem.

This layout is LEVIR-CD's own. A is before, B is after. Beside ``label`` may lie ``built``, masks of
the same kind: the new buildings of the label, whose other pixels were demolished. The layout of BIT
and ChangeFormer, ``ROOT/{A,B,label}`` with ``ROOT/list/SPLIT.txt``, is read as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from hanet.errors import DataSetError
from hanet.files import is_folder
from hanet.imagery.images import IMAGE_SUFFIXES
from hanet.types import Window

BEFORE, AFTER, LABEL = "A", "B", "label"
"""Names of the three folders of a split."""

BUILT = "built"
"""Folder of a split with the new buildings of its labels; most data sets have none."""

LISTS = "list"
"""Folder of lists of names (``train.txt`` ...), where all splits share ``A``, ``B`` and
``label``."""


@dataclass(frozen=True, slots=True)
class Pair:
    """The files of one place.

    Args:
        name: The stem that the files share.
        before: Image of the first date.
        after: Image of the second date.
        label: Changed pixels; None where the split has no labels.
        built: Those of them that are new buildings; None where the split does not say.
    """

    name: str
    before: Path
    after: Path
    label: Path | None
    built: Path | None = None


class TileWindow(NamedTuple):
    """A tile of an image: its row and column, counted in tiles from 0, and its pixels there."""

    row: int
    column: int
    window: Window


def list_splits(root: str | Path) -> list[str]:
    """Names of the folders of ``root`` that hold both ``A`` and ``B``, or of its lists of names
    (``list/train.txt`` ...), sorted train, val, test, others."""
    root = Path(root)
    if not is_folder(root):
        raise DataSetError(
            f"{root} is not a folder", hint="give the folder that holds train, val and test"
        )
    order = {"train": 0, "val": 1, "test": 2}
    found = [
        folder.name
        for folder in root.iterdir()
        if is_folder(folder / BEFORE) and is_folder(folder / AFTER) and not listed_splits(folder)
    ]
    found += [name for name in listed_splits(root) if name not in found]
    return sorted(found, key=lambda name: (order.get(name, 3), name))


def list_pairs(root: str | Path, split: str, *, with_labels: bool = True) -> list[Pair]:
    """The pairs of a split, sorted by name.

    Args:
        root: The data set: a folder with ``SPLIT/A``, ``SPLIT/B`` and, for training and evaluation,
            ``SPLIT/label``.
        split: Name of the folder under ``root``, for example ``"train"``.
        with_labels: False leaves ``SPLIT/label`` alone, whatever lies there: some pairs may have a
            label and others none.

    Raises:
        DataSetError: A folder is missing or empty, a name lacks its partner, or a stem occurs twice
            in a folder.

    Example:
        >>> list_pairs("levir-cd", "val")[0].label
        PosixPath('levir-cd/val/label/val_1.png')
    """
    root = Path(root)
    folder, chosen = root / split, None
    if split in listed_splits(root) and not is_folder(folder / BEFORE):
        folder, chosen = root, names_in_list(root, split)
    elif listed_splits(folder):
        raise DataSetError(
            f"{folder} holds all splits together, told apart by {LISTS}/*.txt",
            hint=f"give {folder} as the data set; its splits are {', '.join(list_splits(folder))}",
        )
    if not is_folder(folder / BEFORE) or not is_folder(folder / AFTER):
        raise DataSetError(
            f"{folder} does not hold the folders {BEFORE} and {AFTER}", hint=layout_hint(root)
        )
    before, after = files_by_stem(folder / BEFORE), files_by_stem(folder / AFTER)
    label, built = (
        files_by_stem(folder / name) if with_labels and is_folder(folder / name) else None
        for name in (LABEL, BUILT)
    )
    folders = ((BEFORE, before), (AFTER, after), (LABEL, label), (BUILT, built))
    for name, files in folders:
        twice = [stem for stem, paths in (files or {}).items() if len(paths) > 1]
        if twice:
            raise DataSetError(
                f"{folder / name} holds {len(twice)} names more than once: {_listed(twice)}",
                hint="keep one file for each name",
            )
    everything = chosen or before.keys() | after.keys() | (label or {}).keys()
    for name, files in folders:
        lacking = sorted(everything - files.keys()) if files is not None else []
        if lacking:
            raise DataSetError(
                f"{folder / name} lacks {len(lacking)} of {len(everything)} names: "
                f"{_listed(lacking)}",
                hint="names are matched without their suffix; every name must stand in A, B and "
                f"label under {root}",
            )
    if not everything:
        raise DataSetError(
            f"{folder} holds no image", hint=f"images end with {', '.join(sorted(IMAGE_SUFFIXES))}"
        )
    return [
        Pair(
            name,
            before[name][0],
            after[name][0],
            label[name][0] if label else None,
            built[name][0] if built else None,
        )
        for name in sorted(everything)
    ]


def listed_splits(root: Path) -> list[str]:
    """Splits that a data set keeps as lists beside ``A`` and ``B``, as BIT, ChangeFormer and others
    do."""
    folder = root / LISTS
    if not (is_folder(folder) and is_folder(root / BEFORE) and is_folder(root / AFTER)):
        return []
    return sorted(path.stem for path in folder.glob("*.txt") if path.is_file())


def names_in_list(root: Path, split: str) -> set[str]:
    """The stems in ``ROOT/list/SPLIT.txt``, one file name a line.

    Raises:
        DataSetError: The list cannot be read or is empty.
    """
    path = root / LISTS / f"{split}.txt"
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataSetError(
            f"{path} cannot be read: {error}", hint="it holds one file name a line"
        ) from error
    names = {Path(line.strip()) for line in lines if line.strip()}
    if not names:
        raise DataSetError(f"{path} is empty", hint="it holds one file name a line")
    return {name.stem if name.suffix.lower() in IMAGE_SUFFIXES else name.name for name in names}


def files_by_stem(folder: Path) -> dict[str, list[Path]]:
    """The image files of a folder by stem, sorted; hidden files and other suffixes are left out.
    Missing folder: empty."""
    found: dict[str, list[Path]] = {}
    if is_folder(folder):
        for path in sorted(folder.iterdir()):
            if (
                path.suffix.lower() in IMAGE_SUFFIXES
                and not path.name.startswith(".")
                and path.is_file()
            ):
                found.setdefault(path.stem, []).append(path)
    return found


def tile_windows(
    height: int, width: int, *, tile_px: int, edges: str = "overlap"
) -> list[TileWindow]:
    """The tiles that cover an image, row by row.

    Args:
        height: Rows of the image.
        width: Columns of the image.
        tile_px: Side of a tile.
        edges: What the last row and column do where ``tile_px`` does not divide the image:
            ``"overlap"`` shifts them inwards until they fit (the image must be as large as a tile),
            ``"pad"`` lets them reach beyond the image, ``"drop"`` leaves them out.

    Returns:
        Tiles with their windows; with ``"pad"`` a window may reach beyond the image.
    """
    rows, columns = (_starts(size, tile_px, edges) for size in (height, width))
    return [
        TileWindow(r, c, Window(row, column, tile_px, tile_px))
        for r, row in enumerate(rows)
        for c, column in enumerate(columns)
    ]


def tile_name(name: str, row: int, column: int) -> str:
    """Name of the tile in row ``row`` and column ``column`` (counted in tiles from 0) of the image
    ``name``."""
    return f"{name}_{row}_{column}"


def _starts(size: int, tile_px: int, edges: str) -> list[int]:
    whole = list(range(0, size - tile_px + 1, tile_px))
    if size % tile_px == 0 or edges == "drop":
        return whole
    if edges == "pad":
        return [*whole, len(whole) * tile_px]
    return [*whole, size - tile_px]


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")


def layout_hint(root: Path) -> str:
    """What to do about a folder that does not hold the split that was looked for."""
    if not is_folder(root):
        return f"{root} is not a folder"
    splits = list_splits(root)
    if splits:
        return f"splits found in {root}: {', '.join(splits)}"
    if is_folder(root / BEFORE):
        inside = sorted(child.name for child in (root / BEFORE).iterdir() if is_folder(child))
        if inside and not files_by_stem(root / BEFORE):
            return (
                f"{root} holds {BEFORE}/{inside[0]}, and {inside[0]}/{BEFORE} is needed: the "
                f"layout is {root}/SPLIT/{{{BEFORE},{AFTER},{LABEL}}}"
            )
        return (
            f"{root} itself holds {BEFORE}: give the folder above it, and its name as the split; "
            f"or write the names of each split into {root / LISTS}/SPLIT.txt"
        )
    return f"the layout is {root}/SPLIT/{{{BEFORE},{AFTER},{LABEL}}}"
