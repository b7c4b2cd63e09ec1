"""The tensors of a released network: each found in its file, compared with ours, and read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from hanet.conversion.layouts.layout import Names, shapes_of
from hanet.conversion.network_in_file import NetworkInFile
from hanet.conversion.stored_tensor import StoredTensor
from hanet.errors import SettingsError, WeightsError

MAX_WIDTH = 256
"""Widest network that is converted (107 million parameters of HANet, whose published width is
40)."""

COUNTER = "num_batches_tracked"
"""How the names of batch normalisation's counters end."""

BUFFERS = ("running_mean", "running_var", COUNTER)
"""How the names of tensors end that do not learn."""


@dataclass(frozen=True, slots=True)
class ReleasedTensors:
    """The tensors of a network in one file, sorted by what they are good for.

    Args:
        network: Where they are.
        names: The names in ours for each name of its layout.
        kept: Tensors that ours has, under their names.
        dead: Those that the logits do not depend on, under their names with prefix.
        beside: Names of those outside the network.
    """

    network: NetworkInFile
    names: Names
    kept: dict[str, StoredTensor]
    dead: dict[str, StoredTensor]
    beside: tuple[str, ...]

    def arguments(self) -> dict[str, Any]:
        """Arguments of the model that these are the tensors of.

        Raises:
            WeightsError: The first convolution is none that the model has.
        """
        layout, path = self.network.layout, self.network.checkpoint.path
        shapes = {name: tensor.shape for name, tensor in self.kept.items()}
        if layout.first:
            first = shapes[layout.first]
            problem = f"the first convolution of {path} is {first}"
            if len(first) != 4 or first[1] != 3 or not 2 <= first[0] <= MAX_WIDTH:
                raise WeightsError(
                    f"{problem}; one of 3 bands and 2 to {MAX_WIDTH} channels is needed",
                    hint="networks for other bands have no statistics here",
                )
        arguments = {**layout.arguments(shapes), **layout.given}
        try:
            shapes_of(layout.model, arguments)
        except SettingsError as error:
            raise WeightsError(
                f"the tensors of {path} have sizes that no {layout.title} has: {error.message}",
                hint="the network was changed; it cannot be converted",
            ) from error
        return arguments

    def compare_shapes(self, arguments: dict[str, Any]) -> None:
        """Does nothing where each tensor has the shape that the model has. This comes before
        a number is read, so that what is read is never more than such a network has.

        Raises:
            WeightsError: One has not.
        """
        layout, path = self.network.layout, self.network.checkpoint.path
        shapes = shapes_of(layout.model, arguments)
        for name, tensor in self.kept.items():
            parts = [shapes[ours] for ours in self.names[name]]
            wanted = parts[0]
            if len(parts) > 1:
                wanted = (sum(part[0] for part in parts), *wanted[1:])
            if tensor.shape != wanted:
                raise WeightsError(
                    f"{name} of {path} has the shape {tensor.shape}, a {layout.title}"
                    f"{_of(arguments)} has {wanted}",
                    hint="the network was changed; it cannot be converted",
                )

    def read(self) -> dict[str, torch.Tensor]:
        """The values under our names; float32, counters int64.

        Raises:
            WeightsError: Some are no numbers, or none that weights can be.
        """
        tensors: dict[str, torch.Tensor] = {}
        for name, stored in self.kept.items():
            values = self._values(name, stored)
            ours = self.names[name]
            parts = np.split(values, len(ours)) if len(ours) > 1 else [values]
            tensors.update(
                (part_name, torch.from_numpy(np.ascontiguousarray(part).reshape(part.shape)))
                for part_name, part in zip(ours, parts, strict=True)
            )
        return tensors

    def other_types(self) -> set[str]:
        """Types of the weights that are not float32."""
        types = {t.type for name, t in self.kept.items() if not name.endswith(COUNTER)}
        return types - {"float32"}

    def _values(self, name: str, stored: StoredTensor) -> npt.NDArray[Any]:
        values: npt.NDArray[Any] = self.network.checkpoint.read(stored, name=name)
        if name.endswith(COUNTER):
            return values.astype(np.int64)
        if stored.type not in ("float32", "float64", "float16", "bfloat16"):
            raise WeightsError(
                f"{name} is of type {stored.type}", hint="weights are floating-point numbers"
            )
        values = values.astype(np.float32)
        if not np.isfinite(values).all():
            raise WeightsError(
                f"{name} holds values that are not finite",
                hint="the training of this checkpoint had diverged",
            )
        return values


def sort(network: NetworkInFile) -> ReleasedTensors:
    """Each tensor to its name in ours, or to those that are dead or beside the network.

    Raises:
        WeightsError: There are tensors that the layout does not know, or some are missing.
    """
    layout, checkpoint, prefix = network.layout, network.checkpoint, network.prefix
    names = layout.names()
    kept: dict[str, StoredTensor] = {}
    dead: dict[str, StoredTensor] = {}
    beside, unknown = [], []
    for name, value in network.values.items():
        inner = name.removeprefix(prefix) if name.startswith(prefix) else None
        if inner in names:
            kept[inner] = checkpoint.tensor(value, name=name)
        elif inner is not None and layout.is_dead(inner):
            dead[name] = checkpoint.tensor(value, name=name)
        elif name.startswith(prefix + layout.scope):
            unknown.append(name)
        else:
            beside.append(name)
    if unknown:
        raise WeightsError(
            f"{checkpoint.path} is another network than {layout.title}: {len(unknown)} tensors are "
            f"unknown, the first: {plain(unknown[0])}",
            hint="other networks of this package are trained by hanet train",
        )
    missing = [name for name in names if name not in kept and not name.endswith(COUNTER)]
    if missing:
        raise WeightsError(
            f"{checkpoint.path} lacks {len(missing)} tensors of {layout.title}, the first: "
            f"{missing[0]}",
            hint="the file is not whole, or another network",
        )
    return ReleasedTensors(network, names, kept, dead, tuple(beside))


def read_all(halves: Sequence[ReleasedTensors]) -> tuple[dict[str, torch.Tensor], list[str]]:
    """The values of all files of a network under our names, and notes about them."""
    tensors = {name: tensor for half in halves for name, tensor in half.read().items()}
    types = sorted({kind for half in halves for kind in half.other_types()})
    return tensors, [f"converted to float32 from {', '.join(types)}"] if types else []


def plain(name: str) -> str:
    """A foreign name for messages: in ASCII, cut where it is long."""
    return ascii(name[:100])[1:-1]


def _of(arguments: dict[str, Any]) -> str:
    words = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in arguments.items())
    return f" of {words}" if words else ""
