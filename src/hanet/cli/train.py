"""``hanet train``: an experiment file and a folder of data give weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("train")(train)


def train(
    experiment: Annotated[
        Path, typer.Argument(help="Experiment file (TOML); those of the project are in experiments/.")
    ],
    data: Annotated[
        Path, typer.Option(help="Root of the data: the experiment's folders lie under it as SPLIT/{A,B,label}.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the run; it gets logs, checkpoints and weights.")],
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="Replace a setting of the file, as KEY=VALUE; may be given again.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out from its last checkpoint.")
    ] = False,
    processes: Annotated[
        int | None, typer.Option(help="Processes (GPUs) on this machine; they share the batch.")
    ] = None,
    nodes: Annotated[
        int | None, typer.Option(help="Machines; start the command on each, by torchrun or SLURM.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that load data.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of torch in each process.")] = None,
    accelerator: Annotated[str | None, typer.Option(help="auto, cpu or gpu.")] = None,
) -> None:
    """Train a network by an experiment file. Killed at any moment, --resume goes on to the same result."""
    from hanet.cli.console import print_note, stdout
    from hanet.cli.progress import training_progress
    from hanet.errors import SettingsError
    from hanet.experiment import read_experiment
    from hanet.training import fit

    overrides: dict[str, str] = {}
    for text in setting or []:
        key, equals, value = text.partition("=")
        if not equals:
            raise SettingsError(f"--set {text!r} is not KEY=VALUE", hint="for example --set batch=4")
        overrides[key.strip()] = value.strip()
    if accelerator not in (None, "auto", "cpu", "gpu"):
        raise SettingsError(f"--accelerator is {accelerator!r}", hint="auto, cpu or gpu")
    settings = read_experiment(experiment, overrides)
    given: dict[str, Any] = {
        "processes": processes,
        "nodes": nodes,
        "workers": workers,
        "threads": threads,
        "accelerator": accelerator,
    }
    given = {key: value for key, value in given.items() if value is not None}
    with training_progress(settings.name) as report:
        result = fit(settings, data=data, out=out, resume=resume, report=report, **given)
    if not result.finished:
        print_note(f"stopped after {result.iterations} iterations; go on with --resume")
    stdout.print(
        f"{settings.name}: best validation F1 {result.best_f1:.4f} after {result.iterations} iterations, "
        f"{result.minutes:.1f} minutes, {result.peak_memory_mb:.0f} MB; weights: {result.best_weights}",
        soft_wrap=True,
    )
