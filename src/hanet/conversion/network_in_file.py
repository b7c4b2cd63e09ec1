"""Where in a checkpoint a network stands, and whose it is.

The network may be a pickled module, or a state dict, under the keys that training programs wrap it
in, and under the prefix of a wrapper (``module.`` of data parallel training).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hanet.conversion.checkpoint_file import Checkpoint, entries
from hanet.conversion.inert_pickle import Record
from hanet.conversion.layouts import LAYOUTS
from hanet.conversion.layouts.layout import Layout
from hanet.errors import WeightsError

MAX_MODULE_PARTS = 50_000
"""Most modules and tensors that are looked at in a pickled network; HANet has about 500."""

MAX_NAME = 500
"""Longest name of a tensor; it grows with the nesting of modules."""

_WRAPPERS = (
    "state_dict",
    "model_state_dict",
    "model_G_state_dict",  # BIT, ChangeFormer and others train a "generator"
    "model",
    "network",
    "net",
    "module",
)
"""Keys under which training programs keep the network, the likeliest first."""

_STEMS = tuple(layout.stem for layout in LAYOUTS)
_TITLES = tuple(dict.fromkeys(layout.title for layout in LAYOUTS))


@dataclass(frozen=True, slots=True)
class NetworkInFile:
    """A network that a checkpoint holds.

    Args:
        checkpoint: The file.
        source: What it is, in words.
        values: Its tensors, as the pickle describes them, and whatever has a name beside them.
        layout: Whose names they have.
        prefix: What stands before these.
    """

    checkpoint: Checkpoint
    source: str
    values: dict[str, Any]
    layout: Layout
    prefix: str


def recognise(checkpoint: Checkpoint) -> NetworkInFile:
    """The network in a checkpoint.

    Raises:
        WeightsError: There is none that is known, or more than one.
    """
    source, values = find_network(checkpoint)
    # of stems that end alike the longest is meant
    found: dict[str, tuple[Layout, str]] = {}
    for layout in sorted(LAYOUTS, key=lambda layout: len(layout.stem)):
        for prefix in layout.prefixes(values):
            found[prefix + layout.stem] = layout, prefix
    if len(found) != 1:
        titles = dict.fromkeys(layout.title for layout, _ in found.values())
        raise WeightsError(
            f"{checkpoint.path} holds {len(found) or 'no'} networks of the kind "
            f"{' and '.join(titles or _TITLES)}",
            hint="a checkpoint of one network is needed",
        )
    ((layout, prefix),) = found.values()
    return NetworkInFile(checkpoint, source, values, layout, prefix)


def find_network(checkpoint: Checkpoint) -> tuple[str, dict[str, Any]]:
    """What the checkpoint holds, in words, and its tensors (still as the pickle describes them) by
    name.

    Raises:
        WeightsError: There is no network in it.
    """
    container = "old container" if checkpoint.container == "legacy" else "zip container"
    value: Any = checkpoint.content
    keys: list[str] = []
    for _ in range(len(_WRAPPERS)):
        if isinstance(value, Record) and _attributes(value):
            where = f" under {'/'.join(keys)}" if keys else ""
            return f"a whole module of class {value.made_by}{where}, {container}", _module_tensors(
                value
            )
        mapping = entries(value) or {}
        if any(isinstance(name, str) and name.endswith(_STEMS) for name in mapping):
            where = f" under {'/'.join(keys)}" if keys else ""
            return f"a state dict{where}, {container}", {
                n: v for n, v in mapping.items() if isinstance(n, str)
            }
        key = next((key for key in _WRAPPERS if key in mapping), None)
        if key is None:
            break
        keys.append(key)
        value = mapping[key]
    names = [key for key in entries(checkpoint.content) or {} if isinstance(key, str)]
    shown = ", ".join(ascii(name[:30]) for name in names[:5])
    raise WeightsError(
        f"{checkpoint.path} holds no network that is known"
        + (f"; it is a dictionary of {shown} ..." if shown else ""),
        hint=f"known are the released layouts of {', '.join(_TITLES)}",
    )


def _attributes(module: Record) -> dict[str, Any]:
    """Attributes of a pickled torch module; empty if it is not one."""
    state = module.state[0] if isinstance(module.state, tuple) and module.state else module.state
    return (
        state if isinstance(state, dict) and "_modules" in state and "_parameters" in state else {}
    )


def _module_tensors(root: Record) -> dict[str, Any]:
    tensors: dict[str, Any] = {}
    waiting: list[tuple[str, Any]] = [("", root)]
    seen = 0
    while waiting:
        prefix, module = waiting.pop()
        attributes = _attributes(module) if isinstance(module, Record) else {}
        parts = {
            kind: entries(attributes.get(kind)) or {}
            for kind in ("_parameters", "_buffers", "_modules")
        }
        hidden = attributes.get("_non_persistent_buffers_set")
        hidden = hidden if isinstance(hidden, list | tuple) else ()
        seen += 1 + sum(map(len, parts.values())) + len(hidden)
        longest = max(
            (len(name) for part in parts.values() for name in part if isinstance(name, str)),
            default=0,
        )
        if seen > MAX_MODULE_PARTS or len(prefix) + longest > MAX_NAME:
            raise WeightsError(
                f"the pickled module has more than {MAX_MODULE_PARTS:,} parts, or parts within "
                "parts without end",
                hint="it is another network, or was made to mislead",
            )
        left_out = {name for name in hidden if isinstance(name, str)}
        for name, value in (*parts["_parameters"].items(), *parts["_buffers"].items()):
            if value is not None and isinstance(name, str) and name not in left_out:
                tensors[f"{prefix}{name}"] = value
        waiting += [
            (f"{prefix}{name}.", child) for name, child in reversed(list(parts["_modules"].items()))
        ]
    return tensors
