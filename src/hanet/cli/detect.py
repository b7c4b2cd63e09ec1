"""``hanet detect``: two rasters in, changed buildings out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hanet.cli.options import (
    AfterDate,
    BeforeDate,
    Connectivity,
    FootprintOutline,
    Formats,
    MinAreaM2,
    MinHoleM2,
    Separate,
    Split,
    Threshold,
)

if TYPE_CHECKING:
    from hanet.detection.pair_list import PairsResult

PARTS = {
    "detecting": 0.90,
    "writing rasters": 0.04,
    "outlining footprints": 0.04,
    "writing the report": 0.02,
}
"""Stages of a detection with their parts of the time, about."""

KINDS = {
    "probability.tif": "probability",
    "mask.tif": "mask",
    "run.json": "manifest",
    "report.html": "report",
    "changes.qgz": "project",
}
"""What a run writes beside its footprints: each file with its kind."""


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("detect")(detect)


def detect(
    before: Annotated[
        str | None,
        typer.Argument(help="Raster of the first date: a path, or anything that GDAL opens."),
    ] = None,
    after: Annotated[str | None, typer.Argument(help="Raster of the second date.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the results (required).")] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(help="CSV with the columns before, after, name: each pair into OUT/name."),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(help="A name from hanet models, or a file (default hanet_lite)."),
    ] = None,
    scout: Annotated[
        str | None,
        typer.Option(
            help="Fast weights that screen every tile at half resolution; only tiles where they "
            "find something go to --weights."
        ),
    ] = None,
    threshold: Threshold = None,
    grid: Annotated[
        str | None,
        typer.Option(
            help="Grid (CRS and pixels) of the result: finer (default; of two as fine the one in "
            "metres), before or after."
        ),
    ] = None,
    gsd: Annotated[
        str | None,
        typer.Option(
            help="Metres per pixel to work at, or native (default: the pair's own, or the weights' "
            "where they differ by more than a quarter). Of a pair without CRS: what one of its "
            "pixels measures."
        ),
    ] = None,
    bbox: Annotated[
        str | None, typer.Option(help="LEFT,BOTTOM,RIGHT,TOP in the CRS of the grid.")
    ] = None,
    aoi: Annotated[
        Path | None, typer.Option(help="Vector file with polygons; detect only inside them.")
    ] = None,
    bands: Annotated[
        str | None,
        typer.Option(help="Band numbers from 1 for red, green, blue, for example 3,2,1."),
    ] = None,
    scaling: Annotated[
        str | None,
        typer.Option(help="LOW,HIGH raw values that become 0 and 255, for 16 bit and float."),
    ] = None,
    coregister: Annotated[
        str | None,
        typer.Option(
            help="off (default), or shift: correct a global shift of the after image if it is "
            "measured with confidence."
        ),
    ] = None,
    match_radiometry: Annotated[
        bool | None,
        typer.Option(
            "--match-radiometry", help="Match the after image's histogram to the before image's."
        ),
    ] = None,
    min_area_m2: MinAreaM2 = None,
    min_hole_m2: MinHoleM2 = None,
    outline: FootprintOutline = None,
    separate: Separate = None,
    split: Split = None,
    connectivity: Connectivity = None,
    before_date: BeforeDate = None,
    after_date: AfterDate = None,
    formats: Formats = None,
    report: Annotated[
        bool | None, typer.Option("--report/--no-report", help="Write report.html (default: yes).")
    ] = None,
    qgis: Annotated[
        bool | None,
        typer.Option(
            "--qgis/--no-qgis", help="Write changes.qgz, a project for QGIS (default: yes)."
        ),
    ] = None,
    runtime: Annotated[
        str | None, typer.Option(help="onnxruntime (default), openvino or torch.")
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help="fp32 (default), or bf16 with openvino or torch on processors that support it: "
            "about twice as fast."
        ),
    ] = None,
    flips: Annotated[
        bool | None,
        typer.Option(
            "--flips", help="Average over test-time flips: better results for four times the work."
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            help="Threads of the runtime (default: as many as cgroup, affinity, "
            "SLURM_CPUS_PER_TASK and OMP_NUM_THREADS allow)."
        ),
    ] = None,
    tile: Annotated[
        int | None, typer.Option(help="Side of a tile in pixels (default: that of the weights).")
    ] = None,
    overlap: Annotated[
        int | None,
        typer.Option(help="Overlap of tiles in pixels (default: that of the weights)."),
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Tiles inferred at once (default 2).")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the unfinished run in --out.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Remove the result that --out holds.")
    ] = False,
) -> None:
    """Find the buildings that changed between two rasters.

    Writes probability, mask, footprints, a report and a manifest into a folder.
    """
    from hanet.cli.options import gsd as read_gsd
    from hanet.cli.options import names, numbers, reals
    from hanet.errors import SettingsError

    given: dict[str, Any] = {
        "weights": weights,
        "scout": scout,
        "threshold": threshold,
        "grid": grid,
        "gsd_m": read_gsd(gsd),
        "bbox": reals(bbox, "--bbox", count=4, example="620000,3349000,621000,3350000"),
        "aoi": aoi,
        "bands": numbers(bands, "--bands"),
        "scaling": reals(scaling, "--scaling", count=2, example="0,3000"),
        "coregister": coregister,
        "match_radiometry": match_radiometry,
        "min_area_m2": min_area_m2,
        "min_hole_m2": min_hole_m2,
        "outline": outline,
        "separate": separate if separate is not None else split,
        "connectivity": connectivity,
        "before_date": before_date,
        "after_date": after_date,
        "formats": names(formats),
        "report": report,
        "qgis": qgis,
        "runtime": runtime,
        "precision": precision,
        "flips": flips,
        "threads": threads,
        "tile_px": tile,
        "overlap_px": overlap,
        "batch": batch,
    }
    given = {key: value for key, value in given.items() if value is not None}
    if out is None:
        raise SettingsError("no --out is given", hint="hanet detect BEFORE AFTER --out FOLDER")
    if pairs is not None:
        if before is not None:
            raise SettingsError("either BEFORE and AFTER or --pairs, not both")
        _many(pairs, out, given, resume=resume, overwrite=overwrite)
        return
    if before is None or after is None:
        raise SettingsError(
            "BEFORE and AFTER are required",
            hint="hanet detect BEFORE AFTER --out FOLDER, or --pairs pairs.csv",
        )
    _one(before, after, out, given, resume=resume, overwrite=overwrite)


def _one(
    before: str, after: str, out: Path, given: dict[str, Any], *, resume: bool, overwrite: bool
) -> None:
    from hanet.cli.console import print_note, print_result, print_warning, stdout
    from hanet.cli.progress import stage_progress
    from hanet.detection.job import detect as run

    with stage_progress(PARTS) as progress:
        result = run(
            before,
            after,
            out=out,
            resume=resume,
            overwrite=overwrite,
            progress=progress,
            note=print_note,
            warn=print_warning,
            **given,
        )
    unit = "m²" if result.footprints.has_metres else "square pixels"
    if result.was_finished:
        print_note(f"{out} already holds the result of this run; nothing was computed")
    speed = f" in {result.seconds:.1f} s ({result.megapixels / result.seconds:.2f} megapixels/s)"
    buildings = "changed building" if result.footprints.count == 1 else "changed buildings"
    sentence = (
        f"{result.footprints.count} {buildings}, {result.footprints.area_m2:,.0f} {unit}, "
        f"{result.megapixels:.1f} megapixels{'' if result.was_finished else speed}"
    )
    if result.share_looked_at is not None:
        sentence += f"\nthe scout left {result.share_looked_at:.0%} of the tiles to the weights"
    names = [path.name for path in result.footprints.files]
    made = {out / name: kind for name, kind in (dict.fromkeys(names, "footprints") | KINDS).items()}
    print_result(
        sentence,
        {path: kind for path, kind in made.items() if path.exists()},
        footprints=result.footprints.count,
        area=result.footprints.area_m2,
        has_metres=result.footprints.has_metres,
        threshold=result.footprints.threshold,
        megapixels=result.megapixels,
        seconds=result.seconds,
        was_finished=result.was_finished,
    )
    if (out / "report.html").exists():
        in_qgis = "changes.qgz" if (out / "changes.qgz").exists() else names[0]
        stdout.print(
            f"look at {out / 'report.html'} in a browser, or open {out / in_qgis} in QGIS",
            soft_wrap=True,
            markup=False,
        )


def _many(pairs: Path, out: Path, given: dict[str, Any], *, resume: bool, overwrite: bool) -> None:
    from hanet.cli.console import print_note, print_warning
    from hanet.cli.progress import stage_progress
    from hanet.detection.merged_layer import MERGING
    from hanet.detection.pair_list import PAIRS, TABLE, detect_pairs, read_pairs
    from hanet.errors import SettingsError

    if pairs.resolve() == (out / TABLE).resolve():
        raise SettingsError(
            f"the table of results would be written over the list {pairs}",
            hint="choose another --out, or rename the list",
        )
    jobs = read_pairs(pairs, warn=print_warning)
    with stage_progress({PAIRS: 0.98, MERGING: 0.02}) as progress:
        result = detect_pairs(
            jobs,
            out=out,
            resume=resume,
            overwrite=overwrite,
            progress=progress,
            note=print_note,
            warn=print_warning,
            **given,
        )
    _say_pairs(result, out)


def _say_pairs(result: PairsResult, out: Path) -> None:
    """What a list of pairs gave.

    Raises:
        InputError: A pair has failed.
    """
    from hanet.cli.console import print_result, print_warning
    from hanet.detection.pair_list import TABLE
    from hanet.errors import InputError

    for note in result.notes:
        print_warning(note)
    rows, merged = result.rows, result.merged
    failed = [row for row in rows if row["status"] == "failed"]
    sentence = f"{len(rows) - len(failed)} of {len(rows)} pairs done; the table is {out / TABLE}"
    made = {out / TABLE: "table"}
    if merged is not None:
        unit = "m²" if merged.has_metres else "square pixels"
        sentence += f"\n{merged.count} footprints of all pairs, {merged.area:,.0f} {unit}"
        made |= dict.fromkeys(merged.files, "footprints")
    if result.report is not None:
        made[result.report] = "report"
    sentence += "".join(f"\n  {path}" for path in made if path != out / TABLE)
    print_result(
        sentence,
        made | {out / row["name"]: "run" for row in rows if row["status"] == "done"},
        unlisted=True,
        pairs=len(rows),
        failed=len(failed),
        footprints=merged.count if merged is not None else 0,
    )
    if failed:
        raise InputError(
            f"{len(failed)} of {len(rows)} pairs failed, the first: {failed[0]['name']}: "
            f"{failed[0]['message']}",
            hint=f"see {out / TABLE}",
        )
