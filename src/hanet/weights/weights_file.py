"""Weights files to train from: safetensors with :class:`~hanet.metadata.Metadata` inside. Never
pickles.

The only user of safetensors. Reading metadata needs neither torch nor safetensors: the header of
the format is a length and JSON.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hanet.documents import parse_json
from hanet.errors import WeightsError, one_line
from hanet.files import replace_file
from hanet.metadata import METADATA_KEY, Metadata
from hanet.version import __version__
from hanet.weights.workload import of_network

if TYPE_CHECKING:
    from torch import Tensor

    from hanet.models import ChangeModel

MAX_HEADER_BYTES = 10_000_000
"""Longest header that is read: room for a hundred thousand tensors. The format's own limit is ten
times as long, which would take a gigabyte to parse."""

MAX_HEADER_VALUES = 1_000_000
"""Most values in a header."""


def save_weights(path: Path, model: ChangeModel, metadata: Metadata) -> None:
    """Writes a network's weights with what travels with them; the file is whole or not there.

    Args:
        path: A ``.safetensors`` file; its folder is made.
        model: The network.
        metadata: What it says of the network and of this package's version is set here.
    """
    from safetensors.torch import save

    metadata = replace(of_network(metadata, model), code_version=__version__)
    tensors = {
        name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()
    }
    replace_file(path, save(tensors, metadata={METADATA_KEY: metadata.to_json()}))


def load_weights(path: Path) -> tuple[ChangeModel, Metadata]:
    """The network of a weights file, in evaluation mode, and its metadata.

    Raises:
        WeightsError: The file is missing, corrupt, without metadata, or its tensors or bands do not
            fit the model that it names.
    """
    import torch

    from hanet.models import create

    metadata = read_safetensors_metadata(path)
    tensors = read_tensors(path)
    _check_finite(path, tensors)
    try:
        # without memory first: a width of millions is refused, not allocated
        with torch.device("meta"):
            check_fit(create(metadata.model, **metadata.model_arguments), tensors, source=str(path))
        model = create(metadata.model, **metadata.model_arguments)
    except (WeightsError, MemoryError):
        raise
    except Exception as error:  # whatever a constructor says of a foreign file's arguments
        raise WeightsError(
            f"the network of {path} cannot be made: {one_line(error)}",
            hint=getattr(error, "hint", None)
            or "its metadata holds arguments that the network does not take",
        ) from error
    if model.bands != len(metadata.bands):
        raise WeightsError(
            f"{path} contradicts itself: its network takes {model.bands} bands, its metadata "
            f"name {', '.join(metadata.bands)}",
            hint="write it again with save_weights and a Metadata that names every band",
        )
    load_state(model, tensors, source=str(path))
    return model.eval(), metadata


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file by name.

    Raises:
        WeightsError: The file is missing or corrupt.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    _header(path)  # bounded, before the library parses it
    try:
        return load_file(path)
    except (OSError, SafetensorError, RuntimeError, ValueError, TypeError, KeyError) as error:
        raise WeightsError(
            f"{path} is not a readable safetensors file: {one_line(error)}",
            hint="the file may be damaged; copy it again",
        ) from error


def load_state(model: ChangeModel, tensors: Mapping[str, Tensor], *, source: str) -> None:
    """Loads tensors into a network; every name and shape must fit.

    Raises:
        WeightsError: Names are missing or unknown, or shapes differ; says which.
    """
    check_fit(model, tensors, source=source)
    model.load_state_dict(dict(tensors))


def check_fit(model: ChangeModel, tensors: Mapping[str, Tensor], *, source: str) -> None:
    """Does nothing where every name, shape and kind of number fits the network.

    Raises:
        WeightsError: See :func:`load_state`.
    """
    own = model.state_dict()
    missing, unknown = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    shapes = [
        f"{name} is {tuple(tensors[name].shape)}, the model has {tuple(own[name].shape)}"
        for name in own
        if name in tensors and own[name].shape != tensors[name].shape
    ]
    shapes += [
        f"{name} holds {tensors[name].dtype} numbers, the model {own[name].dtype}"
        for name in own
        if name in tensors and _kind_of_number(tensors[name]) != _kind_of_number(own[name])
    ]
    problems = [
        f"{len(names)} {what} ({', '.join(one_line(name, longest=80) for name in names[:3])} ...)"
        for names, what in ((missing, "missing"), (unknown, "unknown"))
        if names
    ]
    problems += shapes[:3]
    if problems:
        raise WeightsError(
            f"the tensors of {source} do not fit {model.name}: {'; '.join(problems)}"
        )


def _kind_of_number(tensor: Tensor) -> str:
    return "complex" if tensor.is_complex() else "real" if tensor.is_floating_point() else "whole"


def _check_finite(path: Path, tensors: Mapping[str, Tensor]) -> None:
    import torch

    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor.float()).all()):
            raise WeightsError(
                f"the tensor {one_line(name, longest=80)} of {path} holds numbers that are not "
                "finite",
                hint="the file may be damaged; copy it again",
            )


def load_fitting(model: ChangeModel, tensors: Mapping[str, Tensor]) -> list[str]:
    """Loads those tensors whose name and shape the network has, and leaves its others as they are.

    Where no name is the network's, they are taken for an encoder's alone: common ImageNet weights
    of a ResNet-18 fit the encoders of ``bit`` and ``stanet``.

    Returns:
        Names of the network's tensors that were left as they are.
    """
    own = model.state_dict()
    if not own.keys() & tensors.keys():
        tensors = {f"encoder.{name}": tensor for name, tensor in tensors.items()}
    fitting = {
        name: tensors[name]
        for name in own
        if name in tensors and tensors[name].shape == own[name].shape
    }
    model.load_state_dict({**own, **fitting})
    return [name for name in own if name not in fitting]


def read_safetensors_metadata(path: Path) -> Metadata:
    """Metadata of a safetensors file, read from its header alone.

    Raises:
        WeightsError: The file is missing or corrupt, or holds no metadata of this package.
    """
    entries = _header(path).get("__metadata__", {})
    if not isinstance(entries, dict) or METADATA_KEY not in entries:
        raise WeightsError(
            f"{path} holds tensors but no hanet metadata",
            hint="make a weights file of it with `hanet convert`",
        )
    return Metadata.from_json(entries[METADATA_KEY])


def update_safetensors_metadata(path: Path, metadata: Metadata) -> None:
    """Rewrites the file with other metadata and the same tensors."""
    header = _header(path)
    header["__metadata__"] = {**header.get("__metadata__", {}), METADATA_KEY: metadata.to_json()}
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the format aligns its data to eight bytes
    replace_file(path, struct.pack("<Q", len(text)) + text + content[8 + length :])


def _header(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            if not 2 <= length <= min(MAX_HEADER_BYTES, path.stat().st_size - 8):
                raise WeightsError(f"{path} is not a safetensors file, or is cut short")
            header = parse_json(
                file.read(length),
                max_bytes=MAX_HEADER_BYTES,
                max_values=MAX_HEADER_VALUES,
            )
    except OSError as error:
        raise WeightsError(f"the weights {path} cannot be read: {error.strerror}") from error
    except ValueError as error:  # no UTF-8, no JSON, or beyond a bound
        raise WeightsError(f"the header of {path} is corrupt: {error}") from error
    if not isinstance(header, dict):
        raise WeightsError(f"the header of {path} is corrupt: it is not an object")
    return header
