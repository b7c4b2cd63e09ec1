"""The rungs that need torch: the head learns, then the head with the path from coarse to fine, then
everything.

Each is an ordinary :class:`~hanet.training.experiment.Experiment` run by
:func:`hanet.training.fitting.fit`: averaged weights, the best by F1 on the watch set, an end when
that does not rise any more, and ``--resume`` with the same bytes after a kill. Two things keep the
weights from forgetting what they knew: a step sees rendered tiles beside the user's
(:mod:`hanet.adaptation.replay`), and of the way that training went from the first weights only a
part is taken. What was tried, and how much each brings: docs/concepts/adaptation.md.

Source of the latter: Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022.

Nothing here is imported with torch before a rung begins.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from hanet.adaptation.ladder import TrainedName
from hanet.adaptation.replay import replay_tiles
from hanet.datasets.layout import AFTER, files_by_stem
from hanet.errors import DataSetError, WeightsError, importing
from hanet.files import make_folder, replacing, writing
from hanet.metadata import Metadata
from hanet.weights.weights_file import (
    load_weights,
    read_safetensors_metadata,
    read_tensors,
    save_weights,
    update_safetensors_metadata,
)

Watch: TypeAlias = Callable[[dict[str, Any]], None]
"""Takes iteration, iterations, loss, f1 and best_f1 of the watch set, after each step."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a rung learns.

    Args:
        iterations: Steps of :data:`BATCH` tiles.
        learning_rate: At the start of a cosine, after the warm-up.
    """

    iterations: int
    learning_rate: float


RECIPES: dict[TrainedName, Recipe] = {
    "head": Recipe(iterations=60, learning_rate=2e-3),
    "top-down": Recipe(iterations=60, learning_rate=1e-3),
    "all": Recipe(iterations=60, learning_rate=3e-4),
}
"""Measured on places held out from training (docs/concepts/adaptation.md, "What was tried")."""

BATCH = 4
"""Tiles a step."""

VALIDATE_EVERY = 10
"""Steps between two questions to the watch set."""

PATIENCE = 4
"""Of them without a better F1, after which the rung ends."""

TAKEN = 0.6
"""Share of the way from the first weights to the trained ones that is taken. New York, 20 tiles,
everything learns: F1 on the hold-out 57.5 instead of 58.9, on tiles-256/val 78.3 instead of
62.7."""

SETTINGS: dict[str, Any] = {
    "training_split": ".",
    "validation_split": ".",
    "statistics": "start",
    "augmentation": "half with photometry",
    "frozen_statistics": True,
    "batch": BATCH,
    "encoder_learning_rate_factor": 0.4,
    "weight_decay": 0.01,
    "schedule": "cosine",
    "warmup_iterations": 10,
    "loss": "lovasz_hybrid",
    "clip_norm": 5.0,
    "ema_decay": 0.97,
    "patience": PATIENCE,
    "validate_every": VALIDATE_EVERY,
    "checkpoint_every": VALIDATE_EVERY,
}
"""Keys of the experiment that all rungs have in common."""


@dataclass(frozen=True, slots=True)
class FineTuned:
    """What a rung ended with.

    Args:
        weights: ``.safetensors`` with temperature 1 and threshold 0.5: both belong to other logits
            now, and are to be chosen again.
        steps: Done, over all parts of a resumed run.
        minutes: Of training.
        watch_f1: Best F1 on the watch set, at threshold 0.5, of the trained weights before a part
            of the way was taken; None where it was stopped before its first validation.
        peak_memory_mb: Of this process.
        finished: False after a stop by a signal, which saved everything that ``resume`` needs.
    """

    weights: Path
    steps: int
    minutes: float
    watch_f1: float | None
    peak_memory_mb: float
    finished: bool


def fine_tune(
    rung: TrainedName,
    *,
    start: Path,
    ground: Path,
    folder: Path,
    minutes: float | None = None,
    threads: int | None = None,
    seed: int = 0,
    resume: bool = False,
    watch: Watch | None = None,
) -> FineTuned:
    """Trains weights on reviewed ground.

    Args:
        rung: What learns.
        start: Weights to begin with, ``.safetensors``.
        ground: ``ground`` of the working folder: ``learn`` and ``watch`` with ``{A,B,label}``.
        folder: For this rung; made. The working folder above ``ground`` gets ``replay``.
        minutes: Time after which the rung ends, wherever it is; None for no limit. It is not
            reached in the budget that docs/concepts/adaptation.md states; where it is, the result
            depends on the machine.
        threads: Of torch; see :func:`hanet.training.fitting.fit`.
        seed: Order of tiles and augmentation.
        resume: Continue what is in ``folder``, or begin where there is nothing. It ends with the
            same bytes as a run that was never stopped.
        watch: Called after every step.

    Raises:
        MissingExtraError: Training is not installed.
        DataSetError: The learn or the watch set is missing, or holds no changed pixel.
        OutputError: The disk does not take it; or ``folder`` holds a run, and ``resume`` is False,
            or the run began with other settings.
        WeightsError: ``start`` is no weights of three bands.
        TrainingError: See :func:`hanet.training.fitting.fit`.
    """
    with importing("torch", extra="train", purpose="training on reviewed ground"):
        from hanet.training import fit
        from hanet.training.experiment import experiment_of

    metadata = read_safetensors_metadata(start)
    if len(metadata.bands) != 3:
        raise WeightsError(
            f"{start} takes the bands {', '.join(metadata.bands)}; reviewed tiles have three",
            hint="only the threshold and the footprint filter of such weights can be adapted",
        )
    work = ground.parent
    replay_tiles(work, gsd_m=metadata.gsd_m)
    beginning = _beginning(start, metadata, folder)
    values = SETTINGS | {
        "name": rung,
        "model": metadata.model,
        **metadata.model_arguments,
        "trainable": rung,
        "start_from": str(beginning),
        "data_folders": _folders(work, ground.name),
        "validation_folder": f"{ground.name}/watch",
        "gsd_m": metadata.gsd_m,
        "iterations": RECIPES[rung].iterations,
        "learning_rate": RECIPES[rung].learning_rate,
        "precision": _precision(),
        "seed": seed,
    }
    run = folder / "run"
    result = fit(
        experiment_of(values, source=f"fine tuning ({rung})"),
        data=work,
        out=run,
        resume=resume and (run / "experiment.json").exists(),
        threads=threads,
        accelerator="cpu",
        minutes=minutes,
        watch=watch,
    )
    weights = folder / "tuned.safetensors"
    if result.finished:
        assert result.best_weights is not None, "the last step of a run is validated"
        _finish(beginning, result.best_weights, weights, metadata, steps=result.iterations)
    return FineTuned(
        weights=weights,
        steps=result.iterations,
        minutes=result.minutes,
        watch_f1=result.best_f1,
        peak_memory_mb=result.peak_memory_mb,
        finished=result.finished,
    )


def _precision() -> Literal["fp32", "bf16"]:
    """bf16 where the processor multiplies matrices in it, which halves the time of a step."""
    import torch

    from hanet.models.layers.precision import multiplies_in_bfloat16

    with torch.autocast("cpu", torch.bfloat16):
        return "bf16" if multiplies_in_bfloat16(torch.device("cpu")) else "fp32"


def _beginning(start: Path, metadata: Metadata, folder: Path) -> Path:
    """A copy of the first weights that belongs to the run, at temperature 1, as logits are
    trained."""
    path = folder / "start.safetensors"
    make_folder(folder)
    with writing(path), replacing(path) as partial:
        shutil.copyfile(start, partial)
        update_safetensors_metadata(partial, replace(metadata, temperature=1.0, threshold=0.5))
    return path


def _finish(start: Path, best: Path, path: Path, metadata: Metadata, *, steps: int) -> None:
    """Weights a part of the way from the first ones to the best, with what the first ones say of
    themselves, and what became of them."""
    import torch

    network, trained = load_weights(best)
    first = read_tensors(start)
    tensors = {
        # frozen tensors are equal: they stay so to the bit
        name: torch.lerp(first[name], tensor, TAKEN) if tensor.is_floating_point() else tensor
        for name, tensor in network.state_dict().items()
    }
    network.load_state_dict(tensors)
    note = (
        f"{trained.experiment} trained for {steps} steps on reviewed ground, from {metadata.name}; "
        f"moved {TAKEN:.0%} of the way to the trained weights"
    )
    told = replace(
        metadata, threshold=0.5, temperature=1.0, scores=(), notes=(*metadata.notes, note)
    )
    save_weights(path, network, told)


def _folders(work: Path, ground: str) -> list[str]:
    """The folders under the working folder that a step draws from; the smaller of the two as often
    as makes it half of the draws."""
    learn, replay = f"{ground}/learn", "replay"
    known, rendered = (len(files_by_stem(work / place / AFTER)) for place in (learn, replay))
    if not known:
        raise DataSetError(f"{work / learn} holds no tile to learn from")
    return [
        *[learn] * max(1, round(rendered / known)),
        *[replay] * max(1, round(known / rendered)),
    ]
