"""What lies in the folders of a data set, file by file, without judging it: names, sizes, label
encodings, values, thumbnails, hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hanet.datasets.layout import (
    AFTER,
    BEFORE,
    LABEL,
    files_by_stem,
    layout_hint,
    listed_splits,
    names_in_list,
)
from hanet.datasets.perceptual_hash import thumbnail
from hanet.datasets.published import Statistics
from hanet.errors import DataSetError
from hanet.files import is_folder
from hanet.imagery.images import examine_label, image_size, read_image
from hanet.threads import threads_for
from hanet.types import ByteArray, Progress

FOLDERS = (BEFORE, AFTER, LABEL)

OTHER_NAMES = {
    BEFORE: ("t1", "time1", "im1", "image1", "pre", "before", "2012"),
    AFTER: ("t2", "time2", "im2", "image2", "post", "after", "2016"),
    LABEL: ("mask", "gt", "out", "labels", "change", "cm"),
}
"""Names, in lower case, that other data sets give the three folders."""


@dataclass(frozen=True, slots=True)
class PairFacts:
    """One complete pair.

    Args:
        name: The stem that the files share.
        problems: Files that could not be read, with the reason.
        remedies: What to do about them, each once.
        sizes: (height, width) by folder, of files whose header could be read.
        encoding: Of the label, as ``hanet.imagery.images.LabelFile`` names it; None where it could
            not be read.
        carrier: How the label is stored.
        label_values: Grey values of a label that cannot be used, as text.
        changed: Changed pixels; None where the label cannot be used.
        ignored: Pixels that are marked as unknown.
        digest: SHA-256 of the pixels of both dates; None where one could not be read.
        same_dates: Both dates are the same picture.
        thumbnails: (2, 32, 32), before and after; None where one could not be read.
        one_colour: Dates that hold a single colour.
        grey: All bands of both dates are equal.
    """

    name: str
    problems: tuple[str, ...] = ()
    remedies: tuple[str, ...] = ()
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    encoding: str | None = None
    carrier: str = ""
    label_values: str = ""
    changed: int | None = None
    ignored: int = 0
    digest: str | None = None
    same_dates: bool = False
    thumbnails: ByteArray | None = None
    one_colour: tuple[str, ...] = ()
    grey: bool = False


@dataclass(slots=True)
class SplitFacts:
    """What lies in one split.

    Args:
        name: Its name.
        place: Folder of A, B and label, relative to the data set; "." where splits are lists of
            names and share them.
        folders: Those of A, B and label that are there.
        renamed: Folder that is missing -> one that is there and seems to be it.
        files: Images by folder.
        unpaired: Folder -> names that it lacks and another has.
        twice: ``FOLDER/STEM`` with more than one file.
        pairs: Complete pairs, by name.
        histogram: Counts (2, 3, 256) of values by date and band, over all pairs that could be read.
    """

    name: str
    place: str
    folders: tuple[str, ...]
    renamed: dict[str, str]
    files: dict[str, int]
    unpaired: dict[str, list[str]]
    twice: list[str]
    pairs: list[PairFacts]
    histogram: npt.NDArray[np.int64]

    @property
    def pixels(self) -> int:
        """Pixels of usable labels, without ignored ones."""
        return sum(
            p.sizes[LABEL][0] * p.sizes[LABEL][1] - p.ignored
            for p in self.pairs
            if p.changed is not None
        )

    @property
    def changed(self) -> int:
        """Changed pixels of usable labels."""
        return sum(pair.changed or 0 for pair in self.pairs)

    @property
    def foreground(self) -> int:
        """Pairs with at least one changed pixel."""
        return sum(1 for pair in self.pairs if pair.changed)

    def statistics(self) -> Statistics | None:
        """Mean and std of each band and date, of values in 0-1, over all pixels; None where a date
        has none."""
        if not self.histogram.any(axis=(1, 2)).all():
            return None
        values = np.arange(256) / 255
        parts: list[tuple[float, ...]] = []
        for date in (0, 1):
            share = self.histogram[date] / self.histogram[date].sum(axis=-1, keepdims=True)
            mean = share @ values
            std = np.sqrt(np.maximum(share @ values**2 - mean**2, 0))
            parts += [tuple(float(v) for v in mean), tuple(float(v) for v in std)]
        return Statistics(*parts)


def split_folders(root: Path) -> list[Path]:
    """Folders under ``root`` that hold, or seem to be meant to hold, a split; train, val, test
    first."""
    found = []
    for folder in root.iterdir():
        if folder.is_dir() and not folder.name.startswith("."):
            inside = {child.name.lower() for child in folder.iterdir() if child.is_dir()}
            known = {name for names in OTHER_NAMES.values() for name in names} | {
                name.lower() for name in FOLDERS
            }
            if inside & known:
                found.append(folder)
    return sorted(found, key=lambda folder: _order(folder.name))


def survey(root: Path, progress: Progress) -> list[SplitFacts]:
    """Reads every file of every split once; splits are folders, or lists of names
    (``list/SPLIT.txt``) of files that share A, B and label.

    Memory: a batch of pairs, and two thumbnails of 1 KB for each pair.

    Raises:
        DataSetError: ``root`` is no folder or holds no split, or a list of names cannot be read.
    """
    if not is_folder(root):
        raise DataSetError(
            f"{root} is not a folder", hint="give the folder that holds train, val and test"
        )
    folders = split_folders(root)
    listed = [name for name in listed_splits(root) if name not in {f.name for f in folders}]
    if not folders and not listed:
        raise DataSetError(
            f"{root} holds no split: no folder with {BEFORE}, {AFTER} and {LABEL} in it",
            hint=layout_hint(root),
        )
    splits = [_list(folder, folder.name, folder.name, None) for folder in folders]
    splits += [_list(root, name, ".", names_in_list(root, name)) for name in listed]
    splits.sort(key=lambda item: _order(item[0].name))
    total = sum(len(names) for _, names in splits)
    done = 0
    with ThreadPoolExecutor(min(4, threads_for().count)) as pool:
        for split, names in splits:
            for facts, histogram in _in_batches(pool, names):
                split.pairs.append(facts)
                split.histogram += histogram
                done += 1
                progress("reading", done / total)
    return [split for split, _ in splits]


def _order(split: str) -> tuple[int, str]:
    return {"train": 0, "val": 1, "test": 2}.get(split, 3), split


def _list(
    folder: Path, name: str, place: str, chosen: set[str] | None
) -> tuple[SplitFacts, list[tuple[str, dict[str, Path]]]]:
    """A split before its files are read, and the files of its complete pairs.

    Args:
        folder: The folder that holds A, B and label.
        name: Name of the split.
        place: See :class:`SplitFacts`.
        chosen: Stems that belong to the split; all if None.
    """
    names_there = {child.name: child for child in folder.iterdir() if child.is_dir()}
    folders = tuple(name for name in FOLDERS if name in names_there)
    renamed = {
        missing: there
        for missing in FOLDERS
        if missing not in names_there
        for there in names_there
        if there.lower() in (*OTHER_NAMES[missing], missing.lower())
    }
    found = {name: files_by_stem(folder / name) for name in folders}
    if chosen is not None:
        found = {
            name: {stem: paths for stem, paths in files.items() if stem in chosen}
            for name, files in found.items()
        }
    stems = set().union(*found.values()) if chosen is None else chosen
    unpaired = {name: sorted(stems - files.keys()) for name, files in found.items()}
    twice = sorted(
        f"{name}/{stem}"
        for name, files in found.items()
        for stem, paths in files.items()
        if len(paths) > 1
    )
    complete = sorted(stems.intersection(*found.values())) if len(folders) > 1 else []
    split = SplitFacts(
        name=name,
        place=place,
        folders=folders,
        renamed=renamed,
        files={name: sum(map(len, files.values())) for name, files in found.items()},
        unpaired={name: names for name, names in unpaired.items() if names},
        twice=twice,
        pairs=[],
        histogram=np.zeros((2, 3, 256), dtype=np.int64),
    )
    return split, [
        (stem, {name: files[stem][0] for name, files in found.items()}) for stem in complete
    ]


def _in_batches(
    pool: ThreadPoolExecutor, names: list[tuple[str, dict[str, Path]]]
) -> Iterator[tuple[PairFacts, npt.NDArray[np.int64]]]:
    for start in range(0, len(names), 64):
        yield from pool.map(lambda item: _examine(*item), names[start : start + 64])


def _examine(name: str, files: dict[str, Path]) -> tuple[PairFacts, npt.NDArray[np.int64]]:
    problems: list[str] = []
    remedies: list[str] = []
    sizes: dict[str, tuple[int, int]] = {}
    histogram = np.zeros((2, 3, 256), dtype=np.int64)
    images: list[ByteArray] = []
    for position, folder in enumerate((BEFORE, AFTER)):
        if folder not in files:
            continue
        try:
            image = read_image(files[folder])
        except DataSetError as error:
            problems.append(
                error.message.replace(str(files[folder]), f"{folder}/{files[folder].name}")
            )
            remedies += [error.hint] if error.hint else []
            continue
        images.append(image)
        sizes[folder] = (image.shape[1], image.shape[2])
        histogram[position] = [np.bincount(band.ravel(), minlength=256) for band in image]
    values: dict[str, object] = {}
    if LABEL in files:
        try:
            label = examine_label(files[LABEL])
            sizes[LABEL] = (
                label.change.shape if label.change is not None else image_size(files[LABEL])
            )
            values = {
                "encoding": label.encoding,
                "carrier": label.carrier,
                "changed": None if label.change is None else int(label.change.sum()),
                "ignored": 0 if label.ignored is None else int(label.ignored.sum()),
                "label_values": ", ".join(map(str, label.values[:4]))
                + (" ..." if len(label.values) > 4 else ""),
            }
        except DataSetError as error:
            problems.append(
                error.message.replace(str(files[LABEL]), f"{LABEL}/{files[LABEL].name}")
            )
            remedies += [error.hint] if error.hint else []
    if len(images) == 2:
        before, after = images
        digests = [
            hashlib.sha256(image.tobytes() + str(image.shape).encode()).hexdigest()
            for image in images
        ]
        values |= {
            "digest": hashlib.sha256("".join(digests).encode()).hexdigest(),
            "same_dates": digests[0] == digests[1],
            "thumbnails": np.stack([thumbnail(before), thumbnail(after)]),
            "one_colour": tuple(
                folder
                for folder, image in zip((BEFORE, AFTER), images, strict=True)
                if _is_one_colour(image)
            ),
            "grey": all(bool((image == image[:1]).all()) for image in images),
        }
    facts = PairFacts(name, tuple(problems), tuple(dict.fromkeys(remedies)), sizes, **values)  # type: ignore[arg-type]
    return facts, histogram


def _is_one_colour(image: ByteArray) -> bool:
    return bool((image == image[:, :1, :1]).all())
