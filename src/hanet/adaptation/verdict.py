"""Whether adapted weights are better on the hold-out: the difference of pooled scores with a paired
interval over its blocks.

Pixels of one building, and buildings of one street, are right or wrong together; an interval over
pixels would be far too narrow. Blocks are drawn with replacement instead, the same draw for before
and after, as both saw the same ground.

Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 8 and 13 (paired
resampling of whole units, percentile interval).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from hanet.errors import ShapeError
from hanet.evaluation.metrics import Counts, Scores
from hanet.types import Json

DRAWS = 10_000
"""Resampled hold-outs: the ends of the interval move by less than a hundredth of its length from
one seed to another."""

LEVEL = 0.95
"""Share of them within an interval."""

FEWEST_BLOCKS = 5
"""With fewer blocks a bootstrap interval says little: with four, one draw in 32 is made of two
blocks alone."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A score after minus the same before, in -1 to 1.

    Args:
        value: On the hold-out as it is.
        low: Lower end of the 95 % interval.
        high: Upper end.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the hold-out says.

    Args:
        before: Scores before, counts summed over the hold-out. ``after`` are those after.
        after: See before.
        f1: Difference of F1. ``precision`` and ``recall`` are theirs.
        precision: See f1.
        recall: See f1.
        blocks: Blocks that the interval is made of.
        changed_blocks: Those of them that hold changed pixels.
    """

    before: Scores
    after: Scores
    f1: Difference
    precision: Difference
    recall: Difference
    blocks: int
    changed_blocks: int

    @property
    def can_be_told(self) -> bool:
        """Whether there are blocks enough for an interval."""
        return self.blocks >= FEWEST_BLOCKS and self.changed_blocks >= 2

    @property
    def is_better(self) -> bool:
        """Whether the interval of the difference of F1 lies above 0."""
        return self.can_be_told and self.f1.low > 0

    def to_json(self) -> Json:
        """For the result file."""
        return {**asdict(self), "can_be_told": self.can_be_told, "is_better": self.is_better}


def judged(before: Mapping[str, Counts], after: Mapping[str, Counts], *, seed: int = 0) -> Verdict:
    """The verdict on two sets of counts of the same hold-out.

    Args:
        before: Pixel counts of each block, at least one.
        after: The same blocks.
        seed: Of the draws.

    Raises:
        ShapeError: The blocks differ, or there is none.
    """
    if before.keys() != after.keys() or not before:
        raise ShapeError("a verdict needs the same blocks before and after, at least one")
    blocks = sorted(before)
    tables = [_table([counts[block] for block in blocks]) for counts in (before, after)]
    generator = np.random.default_rng(seed)
    draws = generator.multinomial(len(blocks), np.full(len(blocks), 1 / len(blocks)), size=DRAWS)
    whole = np.ones((1, len(blocks)), dtype=np.int64)
    differences = {}
    for name in ("f1", "precision", "recall"):
        drawn, as_is = (
            _score(name, times @ tables[1]) - _score(name, times @ tables[0])
            for times in (draws, whole)
        )
        low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        differences[name] = Difference(float(as_is[0]), float(low), float(high))
    sums = [sum(counts.values(), Counts()) for counts in (before, after)]
    changed = sum(counts.tp + counts.fn > 0 for counts in before.values())
    return Verdict(
        sums[0].scores(),
        sums[1].scores(),
        **differences,
        blocks=len(blocks),
        changed_blocks=changed,
    )


def _table(counts: list[Counts]) -> npt.NDArray[np.int64]:  # (blocks, 3)
    return np.array([(one.tp, one.fp, one.fn) for one in counts], dtype=np.int64)


def _score(name: str, sums: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:  # (N, 3) -> (N,)
    """A score of summed counts, 0 where its denominator is."""
    tp, fp, fn = sums.T
    below = {"f1": 2 * tp + fp + fn, "precision": tp + fp, "recall": tp + fn}[name]
    above = 2 * tp if name == "f1" else tp
    score: npt.NDArray[np.float64] = np.divide(
        above, below, out=np.zeros(len(sums)), where=below > 0
    )
    return score
