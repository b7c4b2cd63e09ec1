"""``hanet plan``: a detection cut into shards for many machines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hanet.cli.options import (
    AfterDate,
    Aoi,
    AssetName,
    Bands,
    Batch,
    Bbox,
    BeforeDate,
    Connectivity,
    Coregister,
    FilterFootprints,
    Flips,
    FootprintOutline,
    Formats,
    Gsd,
    KindsOption,
    MatchRadiometry,
    MinAreaM2,
    MinHoleM2,
    Overlap,
    Precision,
    Qgis,
    RawRange,
    Report,
    RuntimeOption,
    Scout,
    Separate,
    Split,
    Stac,
    ThreadCount,
    Threshold,
    Tile,
    Weights,
    WhoseGrid,
)
from hanet.command_line import counted, typed


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("plan")(plan)


def plan(
    before: Annotated[
        str,
        typer.Argument(
            help="Raster of the first date: a path, anything that GDAL opens, or a STAC item."
        ),
    ],
    after: Annotated[str, typer.Argument(help="Raster of the second date.")],
    out: Annotated[
        Path,
        typer.Option(
            help="Folder of the run; all machines must be able to reach it.", show_default=False
        ),
    ],
    shards: Annotated[
        int | None, typer.Option(help="Pieces to cut the work into (default 64).")
    ] = None,
    stac: Stac = False,
    asset: AssetName = None,
    weights: Weights = None,
    scout: Scout = None,
    threshold: Threshold = None,
    grid: WhoseGrid = None,
    gsd: Gsd = None,
    bbox: Bbox = None,
    aoi: Aoi = None,
    bands: Bands = None,
    scaling: RawRange = None,
    coregister: Coregister = None,
    match_radiometry: MatchRadiometry = None,
    min_area_m2: MinAreaM2 = None,
    min_hole_m2: MinHoleM2 = None,
    outline: FootprintOutline = None,
    separate: Separate = None,
    split: Split = None,
    connectivity: Connectivity = None,
    footprint_filter: FilterFootprints = None,
    before_date: BeforeDate = None,
    after_date: AfterDate = None,
    formats: Formats = None,
    kinds: KindsOption = None,
    report: Report = None,
    qgis: Qgis = None,
    runtime: RuntimeOption = None,
    precision: Precision = None,
    flips: Flips = None,
    threads: ThreadCount = None,
    tile: Tile = None,
    overlap: Overlap = None,
    batch: Batch = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Remove the plan, shards and result that --out holds."),
    ] = False,
) -> None:
    """Cut a detection into shards for many machines.

    Looks at the pair, decides what must be the same everywhere (grid, scaling, shift, threshold)
    and writes it to OUT/plan.json. Then hanet detect --plan runs the shards in any order on any
    machines, and hanet merge combines them into the same result as on one machine.
    """
    options = locals()
    from hanet.cli.console import print_note, print_result, print_warning, stdout
    from hanet.cli.options import detection_settings, image_names
    from hanet.detection.planning import plan as make

    given = detection_settings(options)
    if shards is not None:
        given["shards"] = shards
    before, after = image_names(before, after, stac=stac, asset=asset)
    made = make(
        before, after, out=out, overwrite=overwrite, note=print_note, warn=print_warning, **given
    )
    count = len(made.shards)
    idle = sum(shard.is_empty for shard in made.shards)
    text = f"{counted(made.tiles.tiles, 'tile')} in {counted(count, 'shard')}"
    text += f", {idle} of them outside the area of interest" if idle else ""
    print_result(
        text,
        {made.path: "plan"},
        shards=count,
        empty=[shard.index for shard in made.shards if shard.is_empty],
        tiles=made.tiles.tiles,
    )
    for line in (
        f"run each, with N from 0 to {count - 1}: hanet detect --plan {typed(made.path)} --shard N"
        if count > 1
        else f"run it: hanet detect --plan {typed(made.path)} --shard 0",
        f"then: hanet merge {typed(out)}",
    ):
        stdout.print(line, soft_wrap=True, markup=False)
