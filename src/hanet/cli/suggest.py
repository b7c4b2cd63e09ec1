"""``hanet suggest``: which tiles to review next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hanet.command_line import typed

if TYPE_CHECKING:
    from rich.table import Table

    from hanet.review.suggestion import Suggestions


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("suggest")(suggest)


def suggest(
    out: Annotated[Path, typer.Argument(help="Folder of a finished hanet detect, or its --pairs.")],
    count: Annotated[int, typer.Option(help="How many tiles.")] = 20,
    seed: Annotated[
        int, typer.Option(help="Random seed, which decides between equally good tiles.")
    ] = 1,
    weights: Annotated[
        str | None,
        typer.Option(help="Weights for the flips, by name or file (default: those of the run)."),
    ] = None,
    flips: Annotated[
        bool,
        typer.Option(
            "--flips/--no-flips",
            help="Infer the most doubtful tiles again in four flips (default: yes).",
        ),
    ] = True,
    threads: Annotated[
        int | None, typer.Option(help="Threads for the flips (default: all that are free to use).")
    ] = None,
    reviewer: Annotated[
        str | None,
        typer.Option(
            help="Name recorded with the suggestion in the journal (default: your user name)."
        ),
    ] = None,
    before: Annotated[
        str | None, typer.Option(help="Path of the before image, if it was moved.")
    ] = None,
    after: Annotated[
        str | None, typer.Option(help="Path of the after image, if it was moved.")
    ] = None,
) -> None:
    """Suggest which tiles to review next.

    Chooses doubtful tiles that represent many others, differ from the reviewed ones and are spread
    over the map, with and without footprints. They appear in hanet review and are written to
    OUT/suggestions.gpkg.
    """
    from hanet.cli.console import print_note, print_result, print_warning, stdout
    from hanet.cli.progress import stage_progress
    from hanet.review.server import user_name
    from hanet.review.suggestion import suggest as choose

    with stage_progress() as progress:
        found = choose(
            out,
            count=count,
            seed=seed,
            reviewer=user_name() if reviewer is None else reviewer,
            weights=weights,
            flips=flips,
            threads=threads,
            before=before,
            after=after,
            warn=print_warning,
            progress=progress,
        )
    for note in found.notes:
        print_note(note)
    stdout.print(_table(found))
    print_result(
        f"{len(found.tiles)} of {found.candidates} tiles suggested",
        dict.fromkeys(found.files, "suggested"),
        suggested=len(found.tiles),
        candidates=found.candidates,
    )
    for folder in found.folders:
        stdout.print(f"review them: hanet review {typed(folder)}", soft_wrap=True, markup=False)


def _table(found: Suggestions) -> Table:
    from rich.table import Table
    from rich.text import Text

    has_pairs = any(one.pair for one in found.tiles)
    table = Table(show_edge=False)
    table.add_column("tile")
    if has_pairs:
        table.add_column("pair")
    table.add_column("column, row", justify="right")
    table.add_column("footprints", justify="right")
    table.add_column("why")
    for one in found.tiles:
        left, top, _, _ = one.tile.item.geometry.bounds
        cells = [
            one.tile.item.id,
            *([one.pair] if has_pairs else []),
            f"{left:.0f}, {top:.0f}",
            str(one.footprints),
            one.tile.reason,
        ]
        table.add_row(*map(Text, cells))
    return table
