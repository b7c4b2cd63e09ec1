"""The rungs that need torch: the head learns, then the head with the path from coarse to fine, then
everything.

Each is an ordinary :class:`~hanet.training.experiment.Experiment` run by
:func:`hanet.training.fit`: averaged weights, the best by F1 on the watch set, an end when that does
not rise any more, and ``--resume`` with the same bytes after a kill. Beside the user's tiles a step
sees rendered ones (:mod:`hanet.adaptation.replay`), and the weights from before teach where nobody
has looked: on unlabelled tiles, and on the unreviewed part of reviewed ones. What was tried, and
how much each part brings: docs/concepts/adaptation.md.

Nothing here is imported with torch before a rung begins.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from hanet.adaptation.replay import replay_tiles
from hanet.datasets.layout import AFTER, BEFORE, LABEL, files_by_stem
from hanet.errors import DataSetError, MissingExtraError, WeightsError
from hanet.files import make_folder, replacing, writing
from hanet.imagery.images import IGNORED_GREY, image_size, write_png
from hanet.metadata import Metadata
from hanet.weights.weights_file import read_safetensors_metadata, update_safetensors_metadata

Rung: TypeAlias = Literal["head", "top-down", "all"]
"""What learns, from cheap to dear; see :data:`hanet.models.contract.Part`."""

RUNGS: tuple[Rung, ...] = ("head", "top-down", "all")

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


RECIPES: dict[Rung, Recipe] = {
    "head": Recipe(iterations=120, learning_rate=2e-3),
    "top-down": Recipe(iterations=160, learning_rate=1e-3),
    "all": Recipe(iterations=200, learning_rate=3e-4),
}
"""Measured on places held out from training (docs/concepts/adaptation.md, "What was tried")."""

BATCH = 4
"""Tiles a step."""

VALIDATIONS = 8
"""Times that the watch set is asked within a rung."""

PATIENCE = 3
"""Of them without a better F1, after which the rung ends."""

SHARES = {"learn": 2, "replay": 1, "unlabelled": 1}
"""How often a step sees tiles of each kind, where there are any."""

TEACHER_SHARE = 0.5
"""Share of the loss that the weights from before have."""

SETTINGS: dict[str, Any] = {
    "training_split": ".",
    "validation_folder": "ground/watch",
    "validation_split": ".",
    "statistics": "start",
    "augmentation": "half with photometry",
    "frozen_statistics": True,
    "teacher_share": TEACHER_SHARE,
    "teacher_pixels": "unknown",
    "batch": BATCH,
    "encoder_learning_rate_factor": 0.4,
    "weight_decay": 0.01,
    "schedule": "cosine",
    "warmup_iterations": 10,
    "loss": "lovasz_hybrid",
    "clip_norm": 5.0,
    "ema_decay": 0.97,
    "patience": PATIENCE,
    "checkpoint_every": 20,
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
        watch_f1: Best F1 on the watch set, at threshold 0.5.
        peak_memory_mb: Of this process.
        finished: False after a stop by a signal, which saved everything that ``resume`` needs.
    """

    weights: Path
    steps: int
    minutes: float
    watch_f1: float
    peak_memory_mb: float
    finished: bool


def fine_tune(
    rung: Rung,
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
        ground: ``ground`` of the working folder: ``learn`` and ``watch`` with ``{A,B,label}``, and,
            where there is any, ``unlabelled`` with ``{A,B}`` (it gets labels that know nothing).
        folder: For this rung; made. The working folder above ``ground`` gets ``replay``.
        minutes: Time after which the rung ends, wherever it is; None for no limit. It is not
            reached in the budget that docs/concepts/adaptation.md states; where it is, the result
            depends on the machine.
        threads: Of torch; see :func:`hanet.training.fit`.
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
        TrainingError: See :func:`hanet.training.fit`.
    """
    _check_training_is_installed()
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
    _label_unlabelled(ground / "unlabelled")
    beginning = _beginning(start, metadata, folder)
    values = SETTINGS | {
        "name": rung,
        "model": metadata.model,
        **metadata.model_arguments,
        "trainable": rung,
        "start_from": str(beginning),
        "teacher": str(beginning),
        "data_folders": _folders(work, ground.name),
        "validation_folder": f"{ground.name}/watch",
        "gsd_m": metadata.gsd_m,
        "iterations": RECIPES[rung].iterations,
        "learning_rate": RECIPES[rung].learning_rate,
        "validate_every": max(1, RECIPES[rung].iterations // VALIDATIONS),
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
        _finish(result.best_weights, weights, metadata, rung=rung, steps=result.iterations)
    return FineTuned(
        weights=weights,
        steps=result.iterations,
        minutes=result.minutes,
        watch_f1=result.best_f1,
        peak_memory_mb=result.peak_memory_mb,
        finished=result.finished,
    )


def _check_training_is_installed() -> None:
    try:
        import kornia  # noqa: F401
        import pytorch_lightning  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            error.name or "torch", extra="train", purpose="training on reviewed ground"
        ) from error


def _precision() -> Literal["fp32", "bf16"]:
    """bf16 where the processor multiplies matrices in it, which halves the time of a step."""
    import torch

    from hanet.models.layers.precision import multiplies_in_bfloat16

    with torch.autocast("cpu", torch.bfloat16):
        return "bf16" if multiplies_in_bfloat16(torch.device("cpu")) else "fp32"


def _beginning(start: Path, metadata: Metadata, folder: Path) -> Path:
    """A copy of the first weights that belongs to the run: at temperature 1, as logits are trained,
    so that the student is its teacher's equal before the first step."""
    path = folder / "start.safetensors"
    make_folder(folder)
    with writing(path), replacing(path) as partial:
        shutil.copyfile(start, partial)
        update_safetensors_metadata(partial, replace(metadata, temperature=1.0, threshold=0.5))
    return path


def _finish(best: Path, path: Path, start: Metadata, *, rung: Rung, steps: int) -> None:
    """The best weights with what the first ones say of themselves, and what became of them."""
    note = f"{rung} trained for {steps} steps on reviewed ground, from {start.name}"
    metadata = replace(start, threshold=0.5, temperature=1.0, scores=(), notes=(*start.notes, note))
    with writing(path), replacing(path) as partial:
        shutil.copyfile(best, partial)
        update_safetensors_metadata(partial, metadata)


def _label_unlabelled(folder: Path) -> None:
    """Labels that know nothing beside tiles that nobody reviewed."""
    for stem, (image, *_) in files_by_stem(folder / BEFORE).items():
        label = folder / LABEL / f"{stem}.png"
        if not label.exists():
            make_folder(label.parent)
            with replacing(label) as partial:
                write_png(partial, np.full(image_size(image), IGNORED_GREY, dtype=np.uint8))


def _folders(work: Path, ground: str) -> list[str]:
    """The folders under the working folder that a step draws from, each as often as its share
    needs."""
    places = {"learn": f"{ground}/learn", "replay": "replay", "unlabelled": f"{ground}/unlabelled"}
    counts = {kind: len(files_by_stem(work / place / AFTER)) for kind, place in places.items()}
    if not counts["learn"]:
        raise DataSetError(f"{work / places['learn']} holds no tile to learn from")
    present = {kind: share for kind, share in SHARES.items() if counts[kind]}
    # as many draws of a kind, for one of its share, as the kind needs whose tiles come once
    unit = max(counts[kind] / share for kind, share in present.items())
    return [
        places[kind]
        for kind, share in present.items()
        for _ in range(max(1, round(unit * share / counts[kind])))
    ]
