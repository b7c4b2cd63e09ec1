"""Whether adapted weights are better on the hold-out: the difference of pooled scores with a paired
interval over its blocks (:mod:`hanet.evaluation.paired`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from hanet.errors import ShapeError
from hanet.evaluation.metrics import Counts, Scores
from hanet.evaluation.paired import Difference, paired_differences
from hanet.types import Json

FEWEST_BLOCKS = 5
"""With fewer blocks a bootstrap interval says little: with four, one draw in 32 is made of two
blocks alone."""


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
    differences = paired_differences(
        *([counts[block] for block in blocks] for counts in (before, after)), seed=seed
    )
    sums = [sum(counts.values(), Counts()) for counts in (before, after)]
    changed = sum(counts.tp + counts.fn > 0 for counts in before.values())
    return Verdict(
        sums[0].scores(),
        sums[1].scores(),
        **{name: differences[name] for name in ("f1", "precision", "recall")},
        blocks=len(blocks),
        changed_blocks=changed,
    )
