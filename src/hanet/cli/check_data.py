"""``hanet check-data``: what is wrong with a data set, and what it would do to training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hanet.datasets.doctor import DataSetFinding, Diagnosis


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("check-data")(check_data)


def check_data(
    data: Annotated[
        Path,
        typer.Argument(
            help="Data set: a folder with SPLIT/{A,B,label}, or A, B, label and list/SPLIT.txt."
        ),
    ],
    names: Annotated[
        int | None, typer.Option(help="Names to list for each finding (default 5).")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON to stdout, with all names.")
    ] = False,
) -> None:
    """Check a data set before training; list problems and their fixes.

    Checks names, sizes, labels, polarity, and ground that is in two splits. Exit code 1 on errors,
    which would make training or its scores wrong.
    """
    import json

    from hanet.cli.console import stdout, tell_finding, tell_result
    from hanet.cli.progress import stage_progress
    from hanet.datasets.doctor import SHOWN_NAMES, diagnose

    with stage_progress() as progress:
        diagnosis = diagnose(data, progress=progress)
    for finding in diagnosis.findings:
        tell_finding(
            "note" if finding.level == "note" else "warning",
            f"{finding.message}; effect on training: {finding.effect}",
            finding.fix,
        )
    if as_json:
        print(json.dumps(diagnosis.to_json(), indent=2, ensure_ascii=False))
    else:
        _print_splits(diagnosis)
        for finding in diagnosis.findings:
            _print_finding(finding, SHOWN_NAMES if names is None else names)
        stdout.print(_summary(data, diagnosis), soft_wrap=True, markup=False)
    tell_result(_summary(data, diagnosis), is_fit=diagnosis.is_fit, diagnosis=diagnosis.to_json())
    if not diagnosis.is_fit:
        raise typer.Exit(1)


def _summary(data: Path, diagnosis: Diagnosis) -> str:
    """The verdict, and how many findings there are of each level."""
    counts = {
        level: sum(f.level == level for f in diagnosis.findings)
        for level in ("error", "warning", "note")
    }
    summary = (
        ", ".join(f"{n} {level}{'s' if n != 1 else ''}" for level, n in counts.items() if n)
        or "no finding"
    )
    fit = "fit for training" if diagnosis.is_fit else "training would be wrong"
    return f"{data}: {fit} ({summary})"


def _print_splits(diagnosis: Diagnosis) -> None:
    from rich.table import Table

    from hanet.cli.console import stdout
    from hanet.datasets.doctor import nearest_statistics

    table = Table(show_edge=False)
    for column in ("split", "pairs", "with change", "changed pixels"):
        table.add_column(column, justify="left" if column == "split" else "right", no_wrap=True)
    values = Table(show_edge=False)
    for column in ("split", "date", "mean R G B", "std R G B"):
        values.add_column(column, no_wrap=True)
    for split in diagnosis.splits:
        share = f"{split.changed / split.pixels:.2%}" if split.pixels else "-"
        table.add_row(split.name, str(len(split.pairs)), str(split.foreground), share)
        statistics = split.statistics()
        if statistics is not None:
            values.add_row(split.name, "before", *(_values(part) for part in statistics[:2]))
            values.add_row("", "after", *(_values(part) for part in statistics[2:]))
    stdout.print(table)
    if values.row_count:
        stdout.print(values)
    train = next((s.statistics() for s in diagnosis.splits if s.name == "train"), None)
    if train is not None:
        name, distance = nearest_statistics(train)
        stdout.print(
            f"mean and std of values in 0-1; nearest named statistics to train: {name} (means "
                f"within {distance:.3f})",
            soft_wrap=True, markup=False,
        )  # fmt: skip


def _print_finding(finding: DataSetFinding, shown: int) -> None:
    from hanet.cli.console import stdout

    colour = {"error": "bold red", "warning": "yellow", "note": "cyan"}[finding.level]
    where = f"{finding.split}: " if finding.split else ""
    stdout.print(f"[{colour}]{finding.level}:[/] ", end="")
    stdout.print(f"{where}{finding.message}", soft_wrap=True, markup=False)
    stdout.print(f"  effect on training: {finding.effect}", soft_wrap=True, markup=False)
    if finding.fix:
        stdout.print(f"  fix: {finding.fix}", soft_wrap=True, markup=False)
    if finding.names and shown > 0:
        rest = len(finding.names) - shown
        more = f" ... and {rest} more" if rest > 0 else ""
        stdout.print(f"  {'; '.join(finding.names[:shown])}{more}", soft_wrap=True, markup=False)


def _values(numbers: tuple[float, ...]) -> str:
    return " ".join(f"{number:.4f}" for number in numbers)
