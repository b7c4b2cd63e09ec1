"""Old checkpoints of HANet -> a weights file of ours: what a file is, whose network it holds, and
each tensor under its new name.

Read are the authors' modules pickled whole (of class ``HAN``, whatever module it came from), state
dicts, and Open-CD's checkpoints; each may stand under the prefix of a wrapper (``module.`` of data
parallel training). Width and classifier are seen from the tensors.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from hanet.conversion.checkpoint_file import Checkpoint, entries, open_checkpoint
from hanet.conversion.hanet_names import OPEN_CD_PREFIX, is_dead, official_names
from hanet.conversion.inert_pickle import Record
from hanet.conversion.pickle_names import Global
from hanet.conversion.stored_tensor import StoredTensor
from hanet.datasets.published import KNOWN_DATASETS, PER_DATE_STATISTICS
from hanet.errors import SettingsError, WeightsError
from hanet.files import check_name, file_hash
from hanet.metadata import Metadata
from hanet.models import create
from hanet.models.hanet import HANet, HeadName
from hanet.weights.weights_file import load_state, save_weights

DATASETS = tuple(name for name in PER_DATE_STATISTICS if name in KNOWN_DATASETS)
"""Data sets whose statistics the authors' code normalises by."""

MAX_WIDTH = 256
"""Widest network that is converted (107 million parameters); the published one has 40."""

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

_STEMS = ("conv0_0.weight", "encoder.stem.weight")
_STEM_OURS = _STEMS[1]
_COUNTER = "num_batches_tracked"


@dataclass(frozen=True, slots=True)
class Conversion:
    """What was found and written; see :func:`convert`.

    Args:
        path: The weights file.
        source: What the checkpoint is, in words.
        sha256: Hash of the checkpoint.
        width: Channels of the finest scale.
        head: Whose classifier.
        parameters: Learned numbers that were kept.
        dead: Tensors that no forward pass uses, dropped.
        dead_parameters: How many numbers they have.
        beside: Tensors outside the network, left out.
        strangers: Classes of unknown packages that the file mentions; they stayed inert.
        notes: What else a reader should know.
        metadata: What travels with the weights.
    """

    path: Path
    source: str
    sha256: str
    width: int
    head: HeadName
    parameters: int
    dead: tuple[str, ...]
    dead_parameters: int
    beside: tuple[str, ...]
    strangers: tuple[str, ...]
    notes: tuple[str, ...]
    metadata: Metadata


@dataclass(frozen=True, slots=True)
class _Found:
    """The tensors of a network, sorted by what they are good for."""

    head: HeadName
    width: int
    kept: dict[str, StoredTensor]  # under our names
    dead: dict[str, StoredTensor]  # under theirs
    beside: tuple[str, ...]


def convert(
    path: Path, out: Path, *, dataset: str | None = None, name: str | None = None
) -> Conversion:
    """Writes a weights file with the keys of ``create("hanet").state_dict()`` from an old
    checkpoint; runs nothing from it.

    Args:
        path: A file that ``torch.save`` wrote.
        out: A ``.safetensors`` file.
        dataset: ``"levir-cd"``, ``"whu-cd"`` ...: what the network was trained on. The authors'
            networks are normalised by its per-date statistics, so it cannot be left out for them;
            Open-CD's are by ImageNet's, whatever they were trained on.
        name: Name of the weights; the stem of ``out`` if None.

    Raises:
        UnsafeWeightsError: The file asks for something that no checkpoint needs.
        WeightsError: It is damaged, no checkpoint, or one of another network.
        SettingsError: ``dataset`` is unknown or missing, or ``out`` is no safetensors file or has
            a name that no file can have.
    """
    check_name(out, "the file to write")
    if out.suffix != ".safetensors":
        raise SettingsError(
            f"{out.name} is no .safetensors file", hint="hanet export makes .onnx of it afterwards"
        )
    if dataset is not None and dataset not in DATASETS:
        raise SettingsError(
            f"there are no statistics of {dataset!r}",
            hint=f"--dataset is one of: {', '.join(DATASETS)}",
        )
    checkpoint = open_checkpoint(path)
    source, values = find_network(checkpoint)
    found = _sort(checkpoint, values)
    if found.head == "official" and dataset is None:
        raise SettingsError(
            f"{path.name} does not say which statistics its images are normalised by",
            hint=f"say what it was trained on, for example --dataset {DATASETS[0]}; known are "
            f"{', '.join(DATASETS)}",
        )
    arguments: dict[str, Any] = {"width": found.width, "head": found.head}
    _compare_shapes(found, arguments, path)
    tensors, notes = _read_all(checkpoint, found)
    model = create("hanet", **arguments)
    _fill_missing_counters(model, tensors, notes)
    load_state(model, tensors, source=str(path))
    digest = file_hash(path)
    dead_parameters = sum(tensor.count for tensor in found.dead.values())
    told = [f"converted from {path.name} (sha256 {digest}): {source}", *notes]
    if found.dead:
        told.append(
            f"dropped, since no forward pass uses them: {', '.join(found.dead)} "
            f"({dead_parameters:,} parameters)"
        )
    metadata = _metadata(name or out.stem, arguments, dataset, tuple(told))
    save_weights(out, model, metadata)
    return Conversion(
        path=out,
        source=source,
        sha256=digest,
        width=found.width,
        head=found.head,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        dead=tuple(found.dead),
        dead_parameters=dead_parameters,
        beside=found.beside,
        strangers=tuple(_strangers(checkpoint.mentioned)),
        notes=tuple(notes),
        metadata=metadata,
    )


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
        f"{checkpoint.path} holds no HANet"
        + (f"; it is a dictionary of {shown} ..." if shown else ""),
        hint="a module of class HAN, its state dict, or a checkpoint of Open-CD's HANet is needed",
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
                hint="it is no HANet, or was made to mislead",
            )
        left_out = {name for name in hidden if isinstance(name, str)}
        for name, value in (*parts["_parameters"].items(), *parts["_buffers"].items()):
            if value is not None and isinstance(name, str) and name not in left_out:
                tensors[f"{prefix}{name}"] = value
        waiting += [
            (f"{prefix}{name}.", child) for name, child in reversed(list(parts["_modules"].items()))
        ]
    return tensors


def _sort(checkpoint: Checkpoint, values: dict[str, Any]) -> _Found:
    """Each tensor to its name in ours, or to those that are dead or beside the network."""
    prefix, ours = _prefix(values, checkpoint.path)
    outer = prefix.removesuffix(OPEN_CD_PREFIX)
    if ours:
        head: HeadName = "open-cd" if f"{prefix}head.classify.bias" in values else "official"
        names = {name: name for name in _shapes_of({"width": 8, "head": head})}
        outer = prefix
    else:
        head = _head(values, prefix, outer, checkpoint.path)
        names = official_names(head)
        outer = outer if head == "open-cd" else prefix
    kept: dict[str, StoredTensor] = {}
    dead: dict[str, StoredTensor] = {}
    beside, unknown = [], []
    for name, value in values.items():
        inner = name.removeprefix(outer) if name.startswith(outer) else None
        if inner in names:
            kept[names[inner]] = checkpoint.tensor(value, name=name)
        elif inner is not None and is_dead(inner) and not ours:
            dead[name] = checkpoint.tensor(value, name=name)
        elif name.startswith(prefix):
            unknown.append(name)
        else:
            beside.append(name)
    if unknown:
        raise WeightsError(
            f"{checkpoint.path} is another network than HANet: {len(unknown)} tensors are "
            f"unknown, the first: {_text(unknown[0])}",
            hint="other networks of this package are trained by hanet train",
        )
    missing = [
        theirs for theirs, name in names.items() if name not in kept and not name.endswith(_COUNTER)
    ]
    if missing:
        raise WeightsError(
            f"{checkpoint.path} lacks {len(missing)} tensors of HANet, the first: {missing[0]}",
            hint="the file is not whole, or another network",
        )
    stem = kept[_STEM_OURS].shape
    if len(stem) != 4 or stem[1] != 3 or not 2 <= stem[0] <= MAX_WIDTH or stem[0] % 2:
        raise WeightsError(
            f"the first convolution of {checkpoint.path} is {stem}; (width, 3, 5, 5) with an "
            f"even width of 2 to {MAX_WIDTH} is needed",
            hint="networks for other bands have no statistics here",
        )
    return _Found(head, stem[0], kept, dead, tuple(beside))


def _prefix(values: Iterable[str], path: Path) -> tuple[str, bool]:
    """What stands before the network's own names, and whether these are ours already."""
    found = [
        (name.removesuffix(stem), stem == _STEM_OURS)
        for name in values
        for stem in _STEMS
        if name == stem or name.endswith(f".{stem}")
    ]
    if len(found) != 1:
        raise WeightsError(
            f"{path} holds {len(found) or 'no'} networks of the kind HANet",
            hint="a checkpoint of one HANet is needed",
        )
    return found[0]


def _head(values: dict[str, Any], prefix: str, outer: str, path: Path) -> HeadName:
    official = f"{prefix}conv7.weight" in values
    open_cd = prefix != outer and f"{outer}decode_head.conv_seg.weight" in values
    if official == open_cd:
        raise WeightsError(
            f"{path} has {'both classifiers' if official else 'no classifier'}: conv7 or "
            "decode_head.conv_seg is needed",
            hint="the backbone alone cannot detect changes",
        )
    return "open-cd" if open_cd else "official"


def _shapes_of(arguments: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Name and shape of each tensor of a HANet, without making it."""
    with torch.device("meta"):
        return {
            name: tuple(tensor.shape)
            for name, tensor in create("hanet", **arguments).state_dict().items()
        }


def _compare_shapes(found: _Found, arguments: dict[str, Any], path: Path) -> None:
    """Before a number is read, so that what is read is never more than a network of this width
    has."""
    shapes = _shapes_of(arguments)
    for name, tensor in found.kept.items():
        if tensor.shape != shapes[name]:
            raise WeightsError(
                f"{name} of {path} has the shape {tensor.shape}, a HANet of width {found.width} "
                f"has {shapes[name]}",
                hint="the network was changed; it cannot be converted",
            )


def _read_all(checkpoint: Checkpoint, found: _Found) -> tuple[dict[str, torch.Tensor], list[str]]:
    tensors: dict[str, torch.Tensor] = {}
    types = sorted(
        {t.type for name, t in found.kept.items() if not name.endswith(_COUNTER)} - {"float32"}
    )
    for name, stored in found.kept.items():
        values: npt.NDArray[Any] = checkpoint.read(stored, name=name)
        if name.endswith(_COUNTER):
            tensors[name] = torch.from_numpy(values.astype(np.int64))
            continue
        if stored.type not in ("float32", "float64", "float16", "bfloat16"):
            raise WeightsError(
                f"{name} is of type {stored.type}", hint="weights are floating-point numbers"
            )
        values = values.astype(np.float32)
        if not np.isfinite(values).all():
            raise WeightsError(
                f"{name} holds values that are no finite numbers",
                hint="the training of this checkpoint had diverged",
            )
        tensors[name] = torch.from_numpy(values)
    return tensors, [f"converted to float32 from {', '.join(types)}"] if types else []


def _fill_missing_counters(
    model: torch.nn.Module, tensors: dict[str, torch.Tensor], notes: list[str]
) -> None:
    """torch before 0.4.1 did not count the batches of batch normalisation; evaluation does not use
    the count."""
    missing = [
        name for name in model.state_dict() if name.endswith(_COUNTER) and name not in tensors
    ]
    tensors.update((name, torch.zeros((), dtype=torch.int64)) for name in missing)
    if missing:
        notes.append("batch normalisation has no counters in the file; they start at 0")


def _strangers(mentioned: list[Global]) -> list[str]:
    known = (
        "torch",
        "numpy",
        "collections",
        "builtins",
        "copyreg",
        "_codecs",
        "argparse",
        "pathlib",
        "datetime",
    )
    return sorted(
        {_text(str(name)) for name in mentioned if name.module.partition(".")[0] not in known}
    )


def _text(name: str) -> str:
    return ascii(name[:100])[1:-1]


def _metadata(
    name: str, arguments: dict[str, Any], dataset: str | None, notes: tuple[str, ...]
) -> Metadata:
    official = arguments["head"] == "official"
    trained_on = KNOWN_DATASETS.get(dataset or "")
    terms = trained_on.weights_terms if trained_on else ""
    return Metadata(
        name=name,
        model="hanet",
        model_arguments=arguments,
        **PER_DATE_STATISTICS[dataset if official and dataset else "imagenet"]._asdict(),
        gsd_m=trained_on.gsd_m[0] if trained_on and trained_on.gsd_m else 0.5,
        divisor=HANet.divisor,
        # its channel attention depends on the size of the image: 256 is what it was trained at
        tile_px=256,
        overlap_px=64,
        training_data=f"{trained_on.title} (as the user said)" if trained_on else "",
        licence="; ".join(filter(None, ("those of whoever made the checkpoint", terms))),
        citation=HANet.paper,
        notes=notes,
    )
