"""Which training pairs teach by their labels, and which are seen without one.

A share of the labels can be left out, as the published protocols of learning from few labels do:
so one sees what the others are worth. The choice is a pure function of the pairs and a seed, and a
smaller share is a part of a larger one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from hanet.datasets.layout import Pair, list_pairs
from hanet.errors import DataSetError, SettingsError
from hanet.training.experiment import Experiment

Use: TypeAlias = Literal["used", "left out", "none"]
"""What becomes of a pair's label: it teaches, it is there and not read, there is none to read."""


@dataclass(frozen=True, slots=True)
class FolderPairs:
    """Pairs of one folder of an experiment.

    Args:
        folder: As the experiment names it.
        split: Its split.
        pairs: Sorted by name.
    """

    folder: str
    split: str
    pairs: tuple[Pair, ...]

    def names(self) -> Iterator[str]:
        """``FOLDER/SPLIT/NAME`` of each pair."""
        return (f"{self.folder}/{self.split}/{pair.name}" for pair in self.pairs)


@dataclass(frozen=True, slots=True)
class TrainingPairs:
    """All pairs of a training.

    Args:
        labelled: Those whose labels are read, folder by folder.
        left_out: Those that have a label which is not read.
        foreign: Those of the folders without labels.
    """

    labelled: tuple[FolderPairs, ...]
    left_out: tuple[FolderPairs, ...]
    foreign: tuple[FolderPairs, ...]

    @property
    def unlabelled(self) -> tuple[FolderPairs, ...]:
        """All that can be seen without a label."""
        return self.left_out + self.foreign

    def uses(self) -> dict[str, Use]:
        """What becomes of the label of each pair, by ``FOLDER/SPLIT/NAME``; a folder that is named
        more than once counts once."""
        groups: tuple[tuple[Use, tuple[FolderPairs, ...]], ...] = (
            ("none", self.foreign),
            ("left out", self.left_out),
            ("used", self.labelled),
        )
        found = {name: use for use, parts in groups for part in parts for name in part.names()}
        return dict(sorted(found.items()))

    def note(self, experiment: Experiment) -> str:
        """How many labels were used, in words for the metadata of weights; "" where all of a plain
        training are."""
        if experiment.labels_kept == 1.0 and not experiment.unlabelled_weight:
            return ""
        uses = list(self.uses().values())
        used, there = uses.count("used"), len(uses) - uses.count("none")
        text = f"labels of {used:,} of {there:,} training pairs were used"
        if experiment.labels_kept < 1.0:
            text += f" (labels_kept {experiment.labels_kept:g}, labels_seed "
            text += f"{experiment.labels_seed})"
        if not experiment.unlabelled_weight:
            return f"{text}, the other pairs were not seen"
        return (
            f"{text}, {len(uses) - used:,} pairs were seen without a label: weak-to-strong "
            f"consistency, weight {experiment.unlabelled_weight:g}, confidence "
            f"{experiment.confidence:g}, strong views {experiment.unlabelled_strong!r}"
        )


def training_pairs(experiment: Experiment, root: Path) -> TrainingPairs:
    """The training pairs of an experiment, and what each of them is for.

    Args:
        experiment: Names the folders, and the share of labels that is kept.
        root: The folder that holds them.

    Raises:
        DataSetError: A folder is missing or wrong, or a pair of a labelled folder has no label.
        SettingsError: The share keeps no label.
    """
    split = experiment.training_split
    parts = tuple(
        FolderPairs(folder, split, tuple(list_pairs(root / folder, split)))
        for folder in experiment.data_folders
    )
    for part in parts:
        _refuse_without_labels(part)
    foreign_split = experiment.unlabelled_split or split
    foreign = tuple(
        FolderPairs(
            folder,
            foreign_split,
            tuple(list_pairs(root / folder, foreign_split, with_labels=False)),
        )
        for folder in experiment.unlabelled_folders
    )
    if experiment.labels_kept == 1.0:
        return TrainingPairs(parts, (), foreign)
    # by files: a folder that is named twice keeps the same labels both times
    files = sorted({pair.before for part in parts for pair in part.pairs})
    chosen = kept_positions(len(files), share=experiment.labels_kept, seed=experiment.labels_seed)
    kept = {files[position] for position in chosen}

    def only(part: FolderPairs, *, labelled: bool) -> FolderPairs:
        pairs = tuple(pair for pair in part.pairs if (pair.before in kept) == labelled)
        return FolderPairs(part.folder, part.split, pairs)

    labelled = (only(part, labelled=True) for part in parts)
    # seen once an epoch each: how often a folder is named says how much its labels count
    left_out = (only(part, labelled=False) for part in dict.fromkeys(parts))
    found = TrainingPairs(
        tuple(part for part in labelled if part.pairs),
        tuple(part for part in left_out if part.pairs),
        foreign,
    )
    if experiment.unlabelled_weight and not found.unlabelled:
        raise SettingsError(
            f"labels_kept = {experiment.labels_kept:g} of {len(files)} training pairs leaves no "
            "pair without a label, and unlabelled_weight wants some",
            hint="keep fewer labels, or name folders in unlabelled_folders",
        )
    return found


def kept_positions(count: int, *, share: float, seed: int) -> list[int]:
    """Positions of the pairs that keep their labels: the first of one shuffled order, so that a
    larger share holds all of a smaller one.

    Args:
        count: How many pairs there are.
        share: Of them, in 0-1; the number is rounded, halves to even.
        seed: Decides the order.

    Raises:
        SettingsError: The share keeps none.

    Example:
        >>> set(kept_positions(40, share=0.1, seed=3)) < set(kept_positions(40, share=0.2, seed=3))
        True
    """
    number = round(share * count)
    if number < 1:
        raise SettingsError(
            f"labels_kept = {share:g} of {count} training pairs keeps no label",
            hint=f"give at least {1 / count:.2g}, which keeps one",
        )
    order: list[int] = np.random.default_rng((seed, count)).permutation(count).tolist()
    return order[:number]


def _refuse_without_labels(part: FolderPairs) -> None:
    lacking = [pair.name for pair in part.pairs if pair.label is None]
    if lacking:
        raise DataSetError(
            f"{part.folder}/{part.split} has no labels: data_folders holds what is learned from "
            "them",
            hint="put masks into SPLIT/label; to learn from pairs without labels too, name their "
            "folder in unlabelled_folders and set unlabelled_weight",
        )
