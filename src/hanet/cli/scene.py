"""``hanet scene``: a rendered pair with true changes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("scene")(scene)


def scene(
    out: Annotated[
        Path, typer.Argument(help="Folder; gets before.tif, after.tif, mask.tif, footprints.gpkg.")
    ],
    size: Annotated[int | None, typer.Option(help="Side in pixels (default 2048).")] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Random seed (default 1); the same seed gives the same scene."),
    ] = None,
    gsd: Annotated[float | None, typer.Option(help="Metres per pixel (default 0.5).")] = None,
    change_share: Annotated[
        float | None,
        typer.Option(help="Share of the houses that appear or disappear (default 0.15)."),
    ] = None,
    bits: Annotated[
        int | None, typer.Option(help="8 (default), or 16 with the values of a 12-bit sensor.")
    ] = None,
    bands: Annotated[int | None, typer.Option(help="3 (default), or 4 with near infrared.")] = None,
    nodata: Annotated[
        bool | None,
        typer.Option(
            "--nodata", help="Leave one corner without data, a different one in each image."
        ),
    ] = None,
    after_crs: Annotated[
        str | None,
        typer.Option(help="CRS of the after image, for example EPSG:4326; its rim is then nodata."),
    ] = None,
    after_gsd: Annotated[
        float | None, typer.Option(help="Metres per pixel of the after image.")
    ] = None,
    after_offset: Annotated[
        str | None,
        typer.Option(
            help="RIGHT,DOWN: offset of the after image in metres; the truth covers the overlap."
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
) -> None:
    """Render a pair of scenes with changed buildings.

    For demos, tests and benchmarks. Also writes the true mask and footprints.
    """
    from hanet.cli.console import print_result
    from hanet.cli.options import reals
    from hanet.cli.progress import stage_progress
    from hanet.synthetic.scene import render_scene

    given: dict[str, Any] = {"size": size, "seed": seed, "gsd_m": gsd, "change_share": change_share}
    given |= {
        "bits": bits,
        "bands": bands,
        "nodata": nodata,
        "after_crs": after_crs,
        "after_gsd_m": after_gsd,
    }
    given["after_offset_m"] = reals(after_offset, "--after-offset", count=2, example="40,25")
    with stage_progress({"rendering": 1.0}) as progress:
        files = render_scene(
            out,
            overwrite=overwrite,
            progress=progress,
            **{key: value for key, value in given.items() if value is not None},
        )
    print_result(
        f"{files.before} and {files.after}: {files.buildings_changed} "
        f"building{'' if files.buildings_changed == 1 else 's'} changed",
        {
            files.before: "before",
            files.after: "after",
            files.mask: "mask",
            files.footprints: "footprints",
        },
        unlisted=True,
        footprints=files.buildings_changed,
    )
