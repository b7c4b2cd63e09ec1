"""The stream of training batches: which tiles, in which order, with which random seed, from the
first iteration to the last.

A run is one stream. Its draw number n is a pure function of the experiment's seed and n, so a run
that was killed continues at any iteration, and the ranks of a distributed run share the same stream
without talking to each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch.utils.data import Dataset, Sampler

from hanet.datasets.torch_datasets import CropDataset, Sample, TileDataset, list_pairs
from hanet.errors import TrainingError
from hanet.training.experiment import Experiment
from hanet.training.sampling import ForegroundBalancedSampler, parse

Key = tuple[int, int]
"""(position in the data set, seed of this draw)."""


class SeededDataset(Dataset[Sample]):
    """Several data sets behind one another, each item asked for by (position, seed).

    Args:
        parts: Tile data sets of fixed windows take the position alone; the others get the seed as
            well.
    """

    def __init__(self, parts: list[TileDataset | CropDataset]) -> None:
        self._parts = parts
        self._ends = np.cumsum([len(part) for part in parts])
        self.foreground_pixels: npt.NDArray[np.int64] = np.concatenate(
            [part.foreground_pixels for part in parts]
        )
        self.names = [name for part in parts for name in part.names]

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
    """The training split of every folder of an experiment, decoded into memory.

    Raises:
        DataSetError: A folder or a label is missing, as
            :func:`hanet.datasets.torch_datasets.list_pairs` says.
    """
    parts: list[TileDataset | CropDataset] = []
    for folder in experiment.data_folders:
        pairs = list_pairs(root / folder, experiment.training_split)
        if experiment.cut == "random crops":
            parts.append(
                CropDataset(
                    pairs,
                    crop_px=experiment.tile_px,
                    max_class_share=experiment.max_class_share,
                    cache="memory",
                    kinds=experiment.kinds_of(folder),
                )
            )
        else:
            jitter_px = experiment.tile_px // 2 if experiment.cut == "jittered tiles" else 0
            parts.append(
                TileDataset(
                    pairs,
                    tile_px=experiment.tile_px,
                    jitter_px=jitter_px,
                    crop_px=experiment.crop_px,
                    foreground_bias=experiment.foreground_bias,
                    cache="memory",
                    kinds=experiment.kinds_of(folder),
                )
            )
    return SeededDataset(parts)


class BatchStream(Sampler[list[Key]]):
    """Endless batches of keys for one rank, from a given iteration on.

    Args:
        experiment: Its batch is the number of pairs a step over all ranks.
        foreground_pixels: Changed pixels of each item.
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
        first_iteration: int = 0,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        if experiment.batch % ranks:
            raise TrainingError(
                f"a batch of {experiment.batch} pairs cannot be shared evenly by {ranks} processes",
                hint=f"set batch to a multiple of {ranks}",
            )
        self._experiment, self._first = experiment, first_iteration
        self._rank, self._ranks = rank, ranks
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

    def __iter__(self) -> Iterator[list[Key]]:
        """This rank's part of each batch, without end."""
        batch, per_rank = self._experiment.batch, self._experiment.batch // self._ranks
        iteration, epoch = 0, 1
        while True:
            draws = self.sampler.draws(epoch)
            for start in range(0, len(draws) - batch + 1, batch):
                if iteration >= self._first:
                    first = start + self._rank * per_rank
                    seed = iteration * batch + self._rank * per_rank
                    yield [
                        (int(draw), seed + n)
                        for n, draw in enumerate(draws[first : first + per_rank])
                    ]
                iteration += 1
            epoch += 1

    def data_identity(self) -> dict[str, Any]:
        """What tells one set of training tiles from another: how many there are, and which of them
        have change."""
        state = self.sampler.state_dict()
        return {key: state[key] for key in ("tiles", "foreground", "foreground_sha256")}

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
