"""``hanet merge``: the shards of a plan become one result."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PARTS = {
    "merging shards": 0.25,
    "writing rasters": 0.35,
    "outlining footprints": 0.30,
    "writing the report": 0.10,
}
"""Stages of a merge with their parts of the time, about."""


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("merge")(merge)


def merge(
    run: Annotated[Path, typer.Argument(help="Folder of the plan.")],
    before: Annotated[
        str | None,
        typer.Argument(help="Raster of the first date on this machine (default: as in the plan)."),
    ] = None,
    after: Annotated[str | None, typer.Argument(help="Raster of the second date.")] = None,
) -> None:
    """Combine the shards of a plan into one result.

    Writes the files that hanet detect on one machine would have written, and removes the shards.
    If shards are missing, it lists them with the command that runs them.
    """
    from hanet.cli.console import print_warning
    from hanet.cli.progress import stage_progress
    from hanet.cli.results import say_result
    from hanet.detection.merging import merge as make
    from hanet.errors import SettingsError

    if (before is None) != (after is None):
        raise SettingsError("BEFORE and AFTER belong together", hint="give both, or none")
    with stage_progress(PARTS) as progress:
        result = make(run, before=before, after=after, progress=progress, warn=print_warning)
    say_result(result)
