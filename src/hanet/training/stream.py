"""The stream of training batches: which tiles, in which order, with which random seed, from the
first iteration to the last.

A run is one stream. Its draw number n is a pure function of the experiment's seed and n, so a run
that was killed continues at any iteration, and the ranks of a distributed run share the same stream
without talking to each other.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch.utils.data import Dataset, Sampler

from hanet.datasets.torch_datasets import CropDataset, Kinds, Sample, TileDataset
from hanet.errors import TrainingError
from hanet.training.experiment import Experiment
from hanet.training.labels import FolderPairs, TrainingPairs, training_pairs
from hanet.training.sampling import NORMAL, ForegroundBalancedSampler, parse
from hanet.training.strong_views import MIXES_PAIRS

Key = tuple[int, int]
"""(position in the data set, seed of this draw)."""

SEED_OF_UNLABELLED = 2**32
"""Added to the seed of an experiment, which is less: pairs without labels come in an order of their
own."""


class SeededDataset(Dataset[Sample]):
    """Several data sets behind one another, each item asked for by (position, seed).

    Args:
        parts: Tile data sets of fixed windows take the position alone; the others get the seed as
            well.
        unlabelled: The same without labels, behind them.
        pairs: All that they were made of.

    Attributes:
        foreground_pixels: Changed pixels of each item with a label.
        names: Of all items.
        unlabelled_names: Of those without labels.
    """

    def __init__(
        self,
        parts: list[TileDataset | CropDataset],
        unlabelled: list[TileDataset | CropDataset],
        pairs: TrainingPairs,
    ) -> None:
        self._parts, self.pairs = [*parts, *unlabelled], pairs
        self._ends = np.cumsum([len(part) for part in self._parts])
        self.foreground_pixels: npt.NDArray[np.int64] = np.concatenate(
            [part.foreground_pixels for part in parts]
        )
        self.unlabelled_names = [name for part in unlabelled for name in part.names]
        self.names = [name for part in parts for name in part.names] + self.unlabelled_names

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, key: Key) -> Sample:
        """The item at position ``key[0]``, drawn with the seed ``key[1]``; its ``index`` is that
        position."""
        position, seed = key
        number = int(np.searchsorted(self._ends, position, side="right"))
        part, start = self._parts[number], (int(self._ends[number - 1]) if number else 0)
        item = (
            part[position - start]
            if isinstance(part, TileDataset) and not part.is_drawn
            else part[position - start, seed]
        )
        return {**item, "index": position}


def training_data(experiment: Experiment, root: Path) -> SeededDataset:
    """The training split of every folder of an experiment, decoded into memory; pairs without a
    label only where the experiment sees them.

    Raises:
        DataSetError: A folder or a label is missing, or an image is smaller than a tile.
        SettingsError: ``labels_kept`` keeps no label.
    """
    pairs = training_pairs(experiment, root)
    unlabelled = pairs.unlabelled if experiment.unlabelled_weight else ()
    return SeededDataset(
        [_decoded(experiment, part, experiment.kinds_of(part.folder)) for part in pairs.labelled],
        [_decoded(experiment, part, "unlabelled") for part in unlabelled],
        pairs,
    )


def _decoded(experiment: Experiment, part: FolderPairs, kinds: Kinds) -> TileDataset | CropDataset:
    knows = kinds != "unlabelled"
    if experiment.cut == "random crops":
        return CropDataset(
            part.pairs,
            crop_px=experiment.tile_px,
            max_class_share=experiment.max_class_share if knows else 1.0,
            cache="memory",
            kinds=kinds,
        )
    jitter_px = experiment.tile_px // 2 if experiment.cut == "jittered tiles" else 0
    return TileDataset(
        part.pairs,
        tile_px=experiment.tile_px,
        jitter_px=jitter_px,
        crop_px=experiment.crop_px,
        foreground_bias=experiment.foreground_bias if knows else 0.0,
        cache="memory",
        kinds=kinds,
    )


class BatchStream(Sampler[list[Key]]):
    """Endless batches of keys for one rank, from a given iteration on: pairs with labels, then
    those without.

    Args:
        experiment: Its batch is the number of pairs a step over all ranks.
        foreground_pixels: Changed pixels of each item with a label.
        unlabelled_names: Names of the items without, which come behind those in the data set.
        first_iteration: Iterations that are already done.
        rank: This process.
        ranks: Processes; they must divide the batch.

    Raises:
        TrainingError: The batch cannot be shared by the processes, or an epoch does not fill one.
    """

    def __init__(
        self,
        experiment: Experiment,
        foreground_pixels: npt.NDArray[np.int64],
        *,
        unlabelled_names: list[str] | None = None,
        first_iteration: int = 0,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self._experiment, self._first = experiment, first_iteration
        self._rank, self._ranks = rank, ranks
        self._labelled, self._unlabelled_names = len(foreground_pixels), unlabelled_names or []
        self._check_batches()
        self.sampler = ForegroundBalancedSampler(
            foreground_pixels.tolist(),
            schedule=parse(experiment.pfbs),
            length=experiment.epoch_length,
            seed=experiment.seed,
            unit=experiment.pfbs_unit,
            batch=experiment.batch,
        )
        draws = self.sampler.draw_count(1)  # later epochs have no fewer: pools grow
        if draws < experiment.batch:
            raise TrainingError(
                f"an epoch of {len(foreground_pixels)} training tiles has {draws} draws, fewer "
                f"than a batch of {experiment.batch}",
                hint="lower the batch, or give epoch_length a number of draws",
            )

    def _check_batches(self) -> None:
        without = self._experiment.pairs_without_label
        for key, pairs in (("batch", self._experiment.batch), ("unlabelled_batch", without)):
            if pairs % self._ranks:
                raise TrainingError(
                    f"a{'n' if key[0] == 'u' else ''} {key} of {pairs} pairs cannot be shared "
                    f"evenly by {self._ranks} processes",
                    hint=f"set {key} to a multiple of {self._ranks}",
                )
        mixes = self._experiment.unlabelled_strong in MIXES_PAIRS
        if without == self._ranks and mixes:
            raise TrainingError(
                f"unlabelled_strong = {self._experiment.unlabelled_strong!r} mixes two pairs, and "
                "each process has one",
                hint=f"set unlabelled_batch to {2 * self._ranks} or more, or take 'photometry'",
            )

    def __iter__(self) -> Iterator[list[Key]]:
        """This rank's part of each batch, without end."""
        batch, without = self._experiment.batch, self._experiment.pairs_without_label
        labelled, unlabelled = _batches(self.sampler, batch), self._unlabelled_batches(without)
        for iteration in itertools.count():
            drawn, others = next(labelled), next(unlabelled)
            if iteration >= self._first:
                yield self._mine(drawn, iteration * batch) + self._mine(others, iteration * without)

    def _mine(self, draws: npt.NDArray[np.int64], first_seed: int) -> list[Key]:
        """This rank's part of what all ranks draw; each draw has its own seed."""
        share = len(draws) // self._ranks
        first = self._rank * share
        return [
            (int(draw), first_seed + first + n)
            for n, draw in enumerate(draws[first : first + share])
        ]

    def _unlabelled_batches(self, batch: int) -> Iterator[npt.NDArray[np.int64]]:
        """Shuffled passes through the items without labels; empty batches where there is none to
        draw."""
        if not batch:
            return itertools.repeat(np.zeros(0, dtype=np.int64))
        count = len(self._unlabelled_names)
        sampler = ForegroundBalancedSampler(
            [0] * count,
            schedule=NORMAL,
            length=max(count, batch),
            seed=self._experiment.seed + SEED_OF_UNLABELLED,
        )
        return (self._labelled + draws for draws in _batches(sampler, batch))

    def data_identity(self) -> dict[str, Any]:
        """What tells one set of training tiles from another: how many there are, and which of them
        have change; how many have no label, and their names."""
        state = self.sampler.state_dict()
        identity = {key: state[key] for key in ("tiles", "foreground", "foreground_sha256")}
        if self._experiment.pairs_without_label:
            names = "\n".join(self._unlabelled_names).encode(errors="surrogateescape")
            identity["unlabelled"] = len(self._unlabelled_names)
            identity["unlabelled_sha256"] = hashlib.sha256(names).hexdigest()
        return identity

    def epoch_of(self, iteration: int) -> int:
        """The epoch, from 1, that an iteration (from 0) belongs to."""
        epoch = 1
        while iteration >= (batches := self.sampler.draw_count(epoch) // self._experiment.batch):
            iteration -= batches
            epoch += 1
        return epoch

    def iterations_of(self, epochs: int) -> int:
        """Full batches of the first ``epochs`` epochs."""
        return sum(
            self.sampler.draw_count(epoch) // self._experiment.batch
            for epoch in range(1, epochs + 1)
        )


def _batches(sampler: ForegroundBalancedSampler, batch: int) -> Iterator[npt.NDArray[np.int64]]:
    """Full batches of one epoch after another, over all ranks, without end."""
    for epoch in itertools.count(1):
        draws = sampler.draws(epoch)
        for start in range(0, len(draws) - batch + 1, batch):
            yield draws[start : start + batch]
