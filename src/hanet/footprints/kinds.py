"""What kind of change a footprint is: a new building, a demolished one, or not clear which."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["built", "demolished", "unclear"]

KINDS: tuple[Kind, ...] = ("built", "demolished", "unclear")
"""In the order of legends."""

CLEAR_FROM = 0.7
"""Mean probability of one kind over a footprint from which on it is called that. Of 0.5, 0.6, 0.7,
0.8 and 0.9 it halves the wrong kinds of 0.5 and leaves 7 % unclear: of 4,161 footprints of six sets
in both orders of the dates 91.3 % are right and 1.6 % wrong, at 0.5 96.6 % and 3.4 %
(results/kinds/hanet_lite.json, 2026-11)."""


def kind_of(built_probability: float | None) -> Kind:
    """The kind of a footprint by the mean probability of "built" over its pixels; None where
    nothing is known of any of them.

    Example:
        >>> [kind_of(value) for value in (0.98, 0.5, 0.04, None)]
        ['built', 'unclear', 'demolished', 'unclear']
    """
    if built_probability is None:
        return "unclear"
    # rounded as it is written, so that the two attributes never contradict each other
    if built_probability >= CLEAR_FROM:
        return "built"
    return "demolished" if round(1.0 - built_probability, 4) >= CLEAR_FROM else "unclear"


def built_beside(probability: str | Path) -> Path | None:
    """The raster of kinds that lies beside the ``probability.tif`` of a run; None beside others."""
    path = Path(probability)
    beside = path.with_name("built.tif")
    return beside if path.name == "probability.tif" and beside.exists() else None
