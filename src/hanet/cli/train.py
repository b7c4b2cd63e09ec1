"""``hanet train``: an experiment file and a folder of data give weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

STOPPED = 143
"""Exit code of a run that a signal stopped after it had saved, so that ``hanet train ... && next``
does not continue."""


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("train")(train)


def train(
    experiment: Annotated[
        Path,
        typer.Argument(help="Experiment file (TOML); those of the project are in experiments/."),
    ],
    data: Annotated[
        Path,
        typer.Option(
            help="Root of the data: the experiment's folders lie under it as SPLIT/{A,B,label}, "
            "those without labels as SPLIT/{A,B}."
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder of the run; it gets logs, checkpoints and weights.")
    ],
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Replace a setting of the file, as KEY=VALUE; KEY= takes its default. May be "
            "repeated.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in --out from its last checkpoint.")
    ] = False,
    processes: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Processes (GPUs) on each machine; they share the batch. Under torchrun and "
            "srun: leave it out.",
        ),
    ] = None,
    nodes: Annotated[
        int | None, typer.Option(min=1, help="Machines. Under torchrun and srun: leave it out.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, max=256, help="Processes that load data.")
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Threads of torch in each process; default: its share of those that may be used.",
        ),
    ] = None,
    accelerator: Annotated[str | None, typer.Option(help="auto, cpu or gpu.")] = None,
    keep_memory: Annotated[
        bool,
        typer.Option(
            "--keep-memory",
            help="Do not return freed memory to the system: faster on a CPU; memory stays at its "
            "peak.",
        ),
    ] = False,
) -> None:
    """Train a network from an experiment file.

    An interrupted run continues with --resume and gives the same result. SIGTERM and Ctrl-C save
    after the current step and exit with code 143.
    """
    import sys

    from hanet.cli.console import print_note, print_result
    from hanet.cli.progress import training_progress
    from hanet.command_line import typed
    from hanet.errors import HanetError, SettingsError, importing

    with importing("torch", extra="train", purpose="hanet train"):
        from hanet.training.beginnings import check_beginnings
        from hanet.training.experiment import read_experiment

    if accelerator not in (None, "auto", "cpu", "gpu"):
        raise SettingsError(f"--accelerator is {accelerator!r}", hint="auto, cpu or gpu")
    settings = read_experiment(experiment, _overrides(setting or []))
    check_beginnings(settings)
    with importing("pytorch_lightning", extra="train", purpose="hanet train"):
        from hanet.training import fit, process_layout

    given: dict[str, Any] = {
        "processes": processes,
        "nodes": nodes,
        "workers": workers,
        "threads": threads,
        "accelerator": accelerator,
    }
    given = {key: value for key, value in given.items() if value is not None}
    rank = process_layout(processes, nodes).rank
    try:
        with training_progress(settings.name, visible=rank == 0) as watch:
            result = fit(
                settings,
                data=data,
                out=out,
                resume=resume,
                watch=watch,
                keep_memory=keep_memory,
                **given,
            )
    except HanetError as error:
        if rank:  # several processes write into one terminal
            error.message = f"process {rank}: {error.message}"
        raise
    if rank == 0:
        length = (
            f"{result.iterations} iterations, {result.minutes:.1f} minutes, "
            f"{result.peak_memory_mb:.0f} MB"
        )
        weights = result.best_weights
        print_result(
            f"{settings.name}: no validation yet after {length}"
            if weights is None
            else f"{settings.name}: best validation F1 {result.best_f1:.4f} after {length}; "
            f"weights: {weights}",
            {} if weights is None else {weights: "weights"},
            unlisted=True,
            iterations=result.iterations,
            best_f1=result.best_f1,
            is_finished=result.finished,
        )
        if weights is not None and result.best_f1 == 0:
            folder = typed(data / settings.validation_folder)
            print_note(
                "no changed pixel of the validation split was found at threshold 0.5: train "
                "longer, begin with foreground only (pfbs = 'fixed-X'), or choose another "
                f"threshold with `hanet evaluate {typed(weights)} --data {folder} --split "
                f"{settings.validation_split} --sweep`"
            )
    if not result.finished:
        if rank == 0:
            print_note(
                f"stopped after {result.iterations} iterations, all saved; continue with --resume"
            )
        sys.exit(STOPPED)


def _overrides(settings: Sequence[str]) -> dict[str, str]:
    """What was given as ``--set KEY=VALUE``."""
    from hanet.errors import SettingsError

    overrides: dict[str, str] = {}
    for text in settings:
        key, equals, value = text.partition("=")
        if not equals:
            raise SettingsError(
                f"--set {text!r} is not KEY=VALUE", hint="for example --set batch=4"
            )
        overrides[key.strip()] = value.strip()
    return overrides
