"""Released checkpoints -> a weights file of ours: the authors' of HANet, Open-CD's, and those of
the networks to compare with.

Read are modules pickled whole (of whatever class, from whatever module), state dicts, and the
checkpoints of training programs, whose optimisers are left out; each may stand under the prefix of
a wrapper (``module.`` of data parallel training). Whose network it is and its sizes are seen from
the tensors. STANet is released in two files, of which either is given.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hanet.conversion.checkpoint_file import open_checkpoint
from hanet.conversion.layouts.layout import STATISTICS, Layout
from hanet.conversion.network_in_file import recognise
from hanet.conversion.pickle_names import Global
from hanet.conversion.released_tensors import (
    BUFFERS,
    COUNTER,
    ReleasedTensors,
    plain,
    read_all,
    sort,
)
from hanet.datasets.published import KNOWN_DATASETS, PER_DATE_STATISTICS
from hanet.destination import check_file
from hanet.errors import SettingsError, WeightsError
from hanet.files import file_hash
from hanet.metadata import Metadata
from hanet.models import MODELS, create
from hanet.weights.weights_file import load_state, save_weights

DATASETS = tuple(name for name in PER_DATE_STATISTICS if name in KNOWN_DATASETS)
"""Data sets whose statistics the authors' code normalises by."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """What was found and written; see :func:`convert`.

    Args:
        path: The weights file.
        source: What the checkpoint is, in words.
        sha256: Hash of the checkpoint.
        model: Key in ``hanet.models.MODELS``.
        arguments: The model's arguments.
        parameters: Learned numbers that were kept.
        dead: Tensors that the logits do not depend on, dropped.
        dead_parameters: How many numbers they have.
        beside: Tensors outside the network, left out.
        strangers: Classes of unknown packages that the file mentions; they stayed inert.
        notes: What else a reader should know.
        metadata: What travels with the weights.
    """

    path: Path
    source: str
    sha256: str
    model: str
    arguments: dict[str, Any]
    parameters: int
    dead: tuple[str, ...]
    dead_parameters: int
    beside: tuple[str, ...]
    strangers: tuple[str, ...]
    notes: tuple[str, ...]
    metadata: Metadata


def convert(
    path: Path,
    out: Path,
    *,
    dataset: str | None = None,
    statistics: str | None = None,
    name: str | None = None,
) -> Conversion:
    """Writes a weights file with the keys of ``create(model).state_dict()`` from a released
    checkpoint; runs nothing from it.

    Args:
        path: A file that ``torch.save`` wrote.
        out: A ``.safetensors`` file.
        dataset: ``"levir-cd"``, ``"whu-cd"`` ...: what the network was trained on. The HANet
            authors' networks are normalised by its per-date statistics, so it cannot be left out
            for them; of others it only goes into the metadata.
        statistics: Key of :data:`hanet.conversion.layouts.layout.STATISTICS`: what the images were
            normalised by; as the authors' code does if None.
        name: Name of the weights; the stem of ``out`` if None.

    Raises:
        UnsafeWeightsError: The file asks for something that no checkpoint needs.
        WeightsError: It is damaged, no checkpoint, or one of another network; or the other of two
            files is not beside it.
        SettingsError: ``dataset`` or ``statistics`` is unknown or missing, or ``out`` is no
            safetensors file or has a name that no file can have.
    """
    _check_settings(out, dataset, statistics)
    halves = _halves(path)
    first = halves[0].network
    statistics = statistics or _statistics(first.layout, dataset, path)
    arguments = halves[0].arguments()
    for half in halves:
        half.compare_shapes(arguments)
    tensors, notes = read_all(halves)
    model = create(first.layout.model, **arguments)
    _fill_missing_counters(model, tensors, notes)
    load_state(model, tensors, source=str(path))
    if first.layout.why and statistics == first.layout.statistics:
        notes.append(f"images are normalised by the statistics {statistics!r}: {first.layout.why}")
    dead = {name: tensor for half in halves for name, tensor in half.dead.items()}
    dead_parameters = sum(t.count for name, t in dead.items() if not name.endswith(BUFFERS))
    told = [_origin(half) for half in halves] + notes
    if dead:
        told.append(
            f"dropped, since the logits do not depend on them: {', '.join(map(plain, dead))} "
            f"({dead_parameters:,} parameters)"
        )
    metadata = _metadata(name or out.stem, first.layout.model, arguments, dataset, statistics, told)
    save_weights(out, model, metadata)
    return Conversion(
        path=out,
        source=first.source,
        sha256=file_hash(path),
        model=first.layout.model,
        arguments=arguments,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        dead=tuple(dead),
        dead_parameters=dead_parameters,
        beside=tuple(name for half in halves for name in half.beside),
        strangers=_strangers(halves),
        notes=tuple(notes),
        metadata=metadata,
    )


def _check_settings(out: Path, dataset: str | None, statistics: str | None) -> None:
    check_file(out, "the file to write")
    if out.suffix != ".safetensors":
        raise SettingsError(
            f"{out.name} is no .safetensors file", hint="hanet export makes .onnx of it afterwards"
        )
    if dataset is not None and dataset not in KNOWN_DATASETS:
        raise SettingsError(
            f"there is no data set {dataset!r}",
            hint=f"--dataset is one of: {', '.join(KNOWN_DATASETS)}",
        )
    if statistics is not None and statistics not in STATISTICS:
        raise SettingsError(
            f"there are no statistics {statistics!r}",
            hint=f"--statistics is one of: {', '.join(STATISTICS)}",
        )


def _halves(path: Path) -> list[ReleasedTensors]:
    """The tensors of a network, from the file and, where it is one of two, the other beside it; the
    one with the first convolution comes first."""
    given = sort(recognise(open_checkpoint(path)))
    layout = given.network.layout
    if layout.halves is None:
        return [given]
    this, other = layout.halves
    if this not in path.name:
        raise WeightsError(
            f"{path} is {layout.title}, one of two files, and it is unclear which the other is",
            hint=f"name them as they were released: NAME_{this}.pth and NAME_{other}.pth, in one "
            "folder",
        )
    beside = path.with_name(path.name.replace(this, other))
    if not beside.is_file():
        raise WeightsError(
            f"{path} is {layout.title}, one of two files; {beside.name} is not beside it",
            hint="put both into one folder",
        )
    rest = sort(recognise(open_checkpoint(beside)))
    if rest.network.layout.halves != (other, this):
        raise WeightsError(
            f"{beside} is not the other half of {path.name}",
            hint="both come from one training",
        )
    return [given, rest] if layout.first else [rest, given]


def _statistics(layout: Layout, dataset: str | None, path: Path) -> str:
    """What images are normalised by, as the authors' code does.

    Raises:
        SettingsError: That depends on the data set, which is not said or has none.
    """
    if layout.statistics is not None:
        return layout.statistics
    if dataset in PER_DATE_STATISTICS:
        return dataset
    raise SettingsError(
        f"{path.name} does not say which statistics its images are normalised by",
        hint=f"say what it was trained on, for example --dataset {DATASETS[0]}; known are "
        f"{', '.join(DATASETS)}",
    )


def _fill_missing_counters(
    model: torch.nn.Module, tensors: dict[str, torch.Tensor], notes: list[str]
) -> None:
    """torch before 0.4.1 did not count the batches of batch normalisation; evaluation does not use
    the count."""
    missing = [
        name for name in model.state_dict() if name.endswith(COUNTER) and name not in tensors
    ]
    tensors.update((name, torch.zeros((), dtype=torch.int64)) for name in missing)
    if missing:
        notes.append("batch normalisation has no counters in the file; they start at 0")


def _origin(half: ReleasedTensors) -> str:
    path = half.network.checkpoint.path
    return f"converted from {path.name} (sha256 {file_hash(path)}): {half.network.source}"


def _strangers(halves: list[ReleasedTensors]) -> tuple[str, ...]:
    """Names of unknown packages, none of which was looked up."""
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
    mentioned: list[Global] = [
        name for half in halves for name in half.network.checkpoint.mentioned
    ]
    return tuple(
        sorted({plain(str(name)) for name in mentioned if name.module.split(".")[0] not in known})
    )


def _metadata(
    name: str,
    model: str,
    arguments: dict[str, Any],
    dataset: str | None,
    statistics: str,
    notes: list[str],
) -> Metadata:
    trained_on = KNOWN_DATASETS.get(dataset or "")
    terms = trained_on.weights_terms if trained_on else ""
    return Metadata(
        name=name,
        model=model,
        model_arguments=arguments,
        **STATISTICS[statistics]._asdict(),
        gsd_m=trained_on.gsd_m[0] if trained_on and trained_on.gsd_m else 0.5,
        divisor=MODELS[model].divisor,
        # attention and instance normalisation depend on the size of the image: 256 is what all of
        # these were trained at
        tile_px=256,
        overlap_px=64,
        training_data=f"{trained_on.title} (as the user said)" if trained_on else "",
        licence="; ".join(filter(None, ("those of whoever made the checkpoint", terms))),
        citation=MODELS[model].paper,
        notes=tuple(notes),
    )
