"""Which tiles to review next, on plain arrays: a few that stand for all, the doubtful ones first.

Every tile of the map wants a reviewed one that looks like it; how much depends on how doubtful it
is. Tiles are chosen one after the other, each the one that gives most of that (facility location,
solved greedily: Nemhauser, Wolsey and Fisher, 1978; weighted by doubt as in Prabhu et al., "Active
domain adaptation via clustering uncertainty-weighted embeddings", ICCV 2021). So an outlier that
stands for nothing is not chosen for its doubt alone, and neither are twenty tiles of one kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hanet.errors import SettingsError

Array = npt.NDArray[np.float64]

LEAST_WEIGHT = 0.25
"""What a tile without any doubt counts, where the most doubtful ones count 1."""

FULL_DOUBT = 0.9
"""Quantile of doubt from which on a tile counts fully: beyond it doubt hangs on a few pixels."""

PLACE_SHARE = 0.25
"""How much distance on the map counts, where what the tiles look like counts 1."""

BLANK_SHARE = 0.2
"""Of the chosen tiles, at least: those in which nothing was found, where there are as many."""

FARTHEST = 3.0
"""Standard deviations beyond which features are cut off: one odd value must not decide alone."""

ALIKE = 0.5
"""Likeness, in 0-1, from which on a tile stands for another."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A tile that was chosen, with what there is to say about it.

    Args:
        index: Its row in the arrays.
        doubt_rank: Share of the tiles that are less doubtful, in 0-1.
        novelty: How unlike all reviewed tiles and those chosen before it is, in 0-1.
        stands_for: Number of other tiles that look like it more than like any of those.
    """

    index: int
    doubt_rank: float
    novelty: float
    stands_for: int


def select_tiles(
    features: npt.NDArray[np.floating],
    doubt: npt.NDArray[np.floating],
    positions: npt.NDArray[np.floating] | None = None,
    labelled: npt.NDArray[np.bool_] | None = None,
    *,
    count: int,
    seed: int,
    blank: npt.NDArray[np.bool_] | None = None,
    open_ones: npt.NDArray[np.bool_] | None = None,
    same_ground: Mapping[int, Sequence[int]] | None = None,
) -> list[Chosen]:
    """The tiles to review next, the most useful first; fewer where there are not as many.

    Args:
        features: (N, F) what the tiles look like, in any units.
        doubt: (N,) how doubtful each is, from 0.
        positions: (N, 2) where they lie, in any unit; None where they lie nowhere.
        labelled: (N,) which are known already: they are not chosen, and what looks like them needs
            no other.
        count: How many, at least 1.
        seed: Decides between tiles that are equally good.
        blank: (N,) those in which nothing was found, of which :data:`BLANK_SHARE` is chosen.
        open_ones: (N,) those that may be chosen; all that are not labelled if None.
        same_ground: Tiles that show much of the ground of another, by the row of that other: once
            it is chosen, they are not. Tiles that are not named lie apart.

    Raises:
        SettingsError: The count is less than 1.

    Memory grows with the square of N: 4000 tiles take 64 MB.
    """
    if count < 1:
        raise SettingsError(f"{count} tiles are asked for; it must be at least 1")
    total = len(features)
    known = np.zeros(total, dtype=bool) if labelled is None else np.asarray(labelled, dtype=bool)
    may_be = ~known if open_ones is None else np.asarray(open_ones, dtype=bool) & ~known
    if not may_be.any():
        return []
    empty = np.zeros(total, dtype=bool) if blank is None else np.asarray(blank, dtype=bool)
    weights = weights_of(np.asarray(doubt, dtype=np.float64)).astype(np.float32)
    ranks = _ranks(np.asarray(doubt, dtype=np.float64))
    likeness = _likeness(features, positions, count)
    covered = likeness[:, known].max(axis=1, initial=0.0)
    blank_left = min(round(BLANK_SHARE * count), int((empty & may_be).sum()))
    shuffled = np.random.default_rng(seed).permutation(total)
    beside = same_ground or {}
    chosen: list[Chosen] = []
    for left in range(min(count, int(may_be.sum())), 0, -1):
        allowed = may_be & empty if left <= blank_left else may_be
        allowed = allowed if allowed.any() else may_be  # blank ones may lie on chosen ground
        if not allowed.any():
            break
        candidates = shuffled[allowed[shuffled]]
        gain = weights @ np.maximum(likeness[:, candidates] - covered[:, None], 0.0)
        best = int(candidates[int(np.argmax(gain))])
        closer = (likeness[:, best] > covered) & (likeness[:, best] >= ALIKE)
        chosen.append(
            Chosen(best, float(ranks[best]), float(1.0 - covered[best]), int(closer.sum()) - 1)
        )
        covered = np.maximum(covered, likeness[:, best])
        may_be[[best, *beside.get(best, ())]] = False
        blank_left -= int(empty[best])
    return chosen


def weights_of(doubt: Array) -> Array:  # (N,) -> (N,)
    """How much each tile counts, in :data:`LEAST_WEIGHT` to 1."""
    full = float(np.quantile(doubt, FULL_DOUBT))
    share = np.minimum(doubt / full, 1.0) if full > 0 else np.zeros_like(doubt)
    return LEAST_WEIGHT + (1.0 - LEAST_WEIGHT) * share


def strengths_of(doubt: Array, disagreement: Array) -> Array:  # (N,) twice -> (N,)
    """How much the doubt of each tile counts, in 0.5 to 2: by how much more or less its flips
    disagree than is usual for such doubt.

    Args:
        doubt: From 0.
        disagreement: Of the flips, in any unit; NaN where they were not compared, which gives 1.
    """
    strengths: Array = np.ones(len(doubt))
    measured = ~np.isnan(disagreement) & (doubt > 0)
    total = disagreement[measured].sum()
    if total > 0:
        usual = total / doubt[measured].sum()
        ratio = disagreement[measured] / (usual * doubt[measured])
        strengths[measured] = np.clip(ratio, 0.5, 2.0)
    return strengths


def _ranks(doubt: Array) -> Array:
    """Share of the tiles that are less doubtful."""
    return np.searchsorted(np.sort(doubt), doubt, side="left") / max(1, len(doubt) - 1)


def _likeness(
    features: npt.NDArray[np.floating], positions: npt.NDArray[np.floating] | None, count: int
) -> npt.NDArray[np.float32]:  # (N, N)
    """How alike tiles are, in 0-1: 1 for the same, and 0.6 at the distance within which the share
    of the tiles lies that one chosen tile has to stand for."""
    squared = _squared_distances(_standard(np.asarray(features, dtype=np.float64)))
    if positions is not None:
        squared += PLACE_SHARE * _squared_distances(np.asarray(positions, dtype=np.float64))
    total = len(squared)
    neighbour = min(total - 1, max(1, round(total / count)))
    reach = float(np.median(np.partition(squared, neighbour, axis=1)[:, neighbour]))
    if reach <= 0:  # most tiles are the same
        reach = float(squared[squared > 0].min()) if (squared > 0).any() else 1.0
    likeness: npt.NDArray[np.float32] = np.exp(-squared / np.float32(2.0 * reach))
    return likeness


def _standard(features: Array) -> Array:
    """Columns of mean 0 and deviation 1, cut off at :data:`FARTHEST`; constant ones are 0."""
    spread = features.std(axis=0)
    centred = (features - features.mean(axis=0)) / np.where(spread > 1e-9, spread, np.inf)
    standard: Array = np.clip(centred, -FARTHEST, FARTHEST)
    return standard


def _squared_distances(points: Array) -> npt.NDArray[np.float32]:
    """(N, N) squared distances, of mean 1."""
    lengths = (points**2).sum(axis=1)
    squared = np.maximum(lengths[:, None] + lengths[None] - 2.0 * (points @ points.T), 0.0)
    np.fill_diagonal(squared, 0.0)
    mean = float(squared.mean())
    of_mean_1: npt.NDArray[np.float32] = (squared / (mean or 1.0)).astype(np.float32)
    return of_mean_1
