"""``hanet scene``: a rendered pair with true changes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("scene")(scene)


def scene(
    out: Annotated[Path, typer.Argument(help="Folder; gets before.tif, after.tif, mask.tif, footprints.gpkg.")],
    size: Annotated[int | None, typer.Option(help="Side in pixels.")] = None,
    seed: Annotated[int | None, typer.Option(help="Decides everything.")] = None,
    gsd: Annotated[float | None, typer.Option(help="Metres a pixel.")] = None,
    change_share: Annotated[
        float | None, typer.Option(help="Share of the lots whose house appears or vanishes.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
) -> None:
    """Render a pair of scenes with changed buildings, for demos, tests and benchmarks."""
    from hanet.cli.console import stdout
    from hanet.cli.progress import stage_progress
    from hanet.synthetic import render_scene

    given: dict[str, Any] = {"size": size, "seed": seed, "gsd_m": gsd, "change_share": change_share}
    with stage_progress() as progress:
        files = render_scene(
            out,
            overwrite=overwrite,
            report=lambda share: progress("rendering", share),
            **{key: value for key, value in given.items() if value is not None},
        )
    stdout.print(
        f"{files.before} and {files.after}: {files.buildings_changed} buildings changed", soft_wrap=True, markup=False
    )
