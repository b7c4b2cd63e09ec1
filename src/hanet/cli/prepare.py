"""``hanet prepare``: a released data set into tiles with a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hanet.datasets.preparation import Prepared


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("prepare")(prepare)


def prepare(
    dataset: Annotated[str, typer.Argument(help="levir-cd or whu-cd.")],
    source: Annotated[Path, typer.Argument(help="Folder of the unpacked release.")],
    target: Annotated[
        Path, typer.Argument(help="Folder for the tiles: TARGET/SPLIT/{A,B,label}/NAME.png.")
    ],
    split: Annotated[
        str | None,
        typer.Option(
            help="whu-cd: paper (crops of 512 in four, a random tenth for val) or spatial (no "
            "ground twice)."
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Which tenth the split 'paper' takes for val; 0 if left out.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")] = False,
) -> None:
    """Cut a released data set into tiles of 256.

    Also writes a manifest. After an interruption, the same command completes the run.
    """
    import json

    from hanet.cli.console import print_note, print_warning, tell_result
    from hanet.cli.events import events
    from hanet.cli.progress import stage_progress
    from hanet.datasets.preparation import prepare as run

    with stage_progress() as progress:
        prepared = run(dataset, source, target, rule=split, seed=seed, progress=progress)
    if as_json:
        print(json.dumps(prepared.to_json(), indent=2, ensure_ascii=False))
    else:
        _print_table(prepared)
    if not as_json or events.are_on:
        for note in prepared.notes:
            print_note(note)
        for difference in prepared.differences:
            print_warning(difference)
    tell_result(_did(prepared), {prepared.root: "data"}, prepared=prepared.to_json())


def _print_table(prepared: Prepared) -> None:
    from rich.table import Table

    from hanet.cli.console import stdout

    table = Table(show_edge=False)
    for column in ("split", "tiles", "published", "with change", "changed pixels"):
        table.add_column(column, justify="left" if column == "split" else "right", no_wrap=True)
    for name, summary in prepared.splits.items():
        share = f"{summary.foreground_tiles / summary.tiles:.1%}" if summary.tiles else "-"
        table.add_row(
            name,
            str(summary.tiles),
            "-" if summary.published is None else str(summary.published),
            f"{summary.foreground_tiles} ({share})",
            f"{summary.changed_share:.2%}",
        )
    stdout.print(table)
    stdout.print(_did(prepared), soft_wrap=True, markup=False)


def _did(prepared: Prepared) -> str:
    """What was done, in a sentence."""
    total = sum(summary.tiles for summary in prepared.splits.values())
    did = (
        f"{prepared.written} of {total} tiles written"
        if prepared.written
        else f"all {total} tiles were there and whole"
    )
    return f"{prepared.root}, split {prepared.rule!r}: {did}"
