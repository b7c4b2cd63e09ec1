"""A released layout: by which tensor it is recognised, and where each tensor belongs in ours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch

from hanet.datasets.published import PER_DATE_STATISTICS, Statistics
from hanet.models import create

Shapes: TypeAlias = Mapping[str, tuple[int, ...]]
"""Name of a tensor -> its shape."""

Names: TypeAlias = dict[str, tuple[str, ...]]
"""Name in a released file -> the name in ours, or the names of the equal parts that it is cut into
along its first axis."""

_HALVES, _ZEROS, _ONES_OF_255 = (0.5,) * 3, (0.0,) * 3, (1 / 255,) * 3

STATISTICS: dict[str, Statistics] = {
    **PER_DATE_STATISTICS,
    "half": Statistics(_HALVES, _HALVES, _HALVES, _HALVES),
    "none": Statistics(_ZEROS, _ONES_OF_255, _ZEROS, _ONES_OF_255),
}
"""Mean and std of each date, in 0-1, by the name that ``--statistics`` gives: ``half`` brings
values to -1 to 1, ``none`` leaves 0-255 as they are."""


def no_arguments(shapes: Shapes) -> dict[str, Any]:  # noqa: ARG001 - the signature is the field's
    """Of a network that is released in one size."""
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a network is stored in files that others released.

    Args:
        model: Key in ``hanet.models.MODELS``.
        title: What messages call it.
        stem: A tensor that every file of this layout has, and no other layout.
        first: The first convolution, (width, bands, h, w).
        names: Gives the name in ours for each of its tensors, dead ones left out.
        statistics: Key of :data:`STATISTICS`; None where it depends on what the network was trained
            on.
        why: What the statistics are taken from, for the user; empty where the code states them.
        arguments: Arguments of the model from the shapes of its tensors under their names.
        given: Arguments of the model that the layout itself decides.
        dead: Modules that the logits do not depend on.
        unless: A tensor that, where it is there too, says that it is another layout.
        scope: What stands before the network's own names; other names are beside the network.
        halves: Where the network is released in two files: what the name of this one holds, and
            what the other's has in that place.
    """

    model: str
    title: str
    stem: str
    first: str
    names: Callable[[], Names]
    statistics: str | None
    why: str = ""
    arguments: Callable[[Shapes], dict[str, Any]] = no_arguments
    given: Mapping[str, Any] = field(default_factory=dict)
    dead: tuple[str, ...] = ()
    unless: str = ""
    scope: str = ""
    halves: tuple[str, str] | None = None

    def is_dead(self, name: str) -> bool:
        """Whether a name of the layout belongs to a module that the logits do not depend on."""
        return any(name.startswith(f"{module}.") for module in self.dead)

    def prefixes(self, names: Iterable[str]) -> Iterator[str]:
        """What stands before the layout's names, each time that its stem is found."""
        found = set(names)
        for name in found:
            if name == self.stem or name.endswith(f".{self.stem}"):
                prefix = name.removesuffix(self.stem)
                if not self.unless or f"{prefix}{self.unless}" not in found:
                    yield prefix


def shapes_of(model: str, arguments: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Name and shape of each tensor of a network of ours, without making it."""
    with torch.device("meta"):
        state = create(model, **arguments).state_dict()
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def renamed(
    model: str, modules: Iterable[tuple[str, str]], *, parts: tuple[str, ...] = ("",)
) -> Names:
    """The names of a layout from pairs of modules: what a module of ours holds has the same names
    in theirs.

    Args:
        model: Key in ``hanet.models.MODELS``.
        modules: Theirs and ours, dotted; a parameter may stand for a module. Of pairs that hold
            a tensor of ours the one with the longest name counts. Where several of ours have one of
            theirs, it is cut into them in the order of our state dict.
        parts: Only tensors of ours whose names start with one of these are looked at.

    Raises:
        KeyError: No pair holds a tensor of ours.
    """
    pairs = sorted(modules, key=lambda pair: -len(pair[1]))
    names: dict[str, list[str]] = {}
    for name in shapes_of(model, {}):
        if not name.startswith(parts):
            continue
        theirs = next(
            (
                theirs + name.removeprefix(ours)
                for theirs, ours in pairs
                if name == ours or name.startswith(f"{ours}.")
            ),
            None,
        )
        if theirs is None:
            raise KeyError(name)
        names.setdefault(theirs, []).append(name)
    return {theirs: tuple(ours) for theirs, ours in names.items()}
