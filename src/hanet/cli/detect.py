"""``hanet detect``: two rasters in, changed buildings out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hanet.cli.options import (
    AfterDate,
    AfterImage,
    Aoi,
    AssetName,
    Bands,
    Batch,
    Bbox,
    BeforeDate,
    BeforeImage,
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

if TYPE_CHECKING:
    from hanet.detection.pair_list import PairsResult
    from hanet.detection.result import DetectionResult

PARTS = {
    "detecting": 0.90,
    "writing rasters": 0.04,
    "outlining footprints": 0.04,
    "writing the report": 0.02,
}
"""Stages of a detection with their parts of the time, about."""


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("detect")(detect)


def detect(
    before: BeforeImage = None,
    after: AfterImage = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the results (required).")] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(help="CSV with the columns before, after, name: each pair into OUT/name."),
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
    plan: Annotated[
        Path | None,
        typer.Option(
            help="plan.json of hanet plan: run shards of this plan. The plan sets the options; "
            "BEFORE, AFTER, --weights and --threads may be given for this machine."
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(help="Shards to run, by their numbers from 0: 7, or 3,17,40-44."),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            help="Run one task's share of the shards, as TASK/TASKS with tasks counted from 0: "
            "7/64; auto takes both numbers from a job array of SLURM or AWS Batch."
        ),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Run on the workers of a Dask scheduler: its address, or local:4 for four "
            "processes on this machine.",
        ),
    ] = None,
    shards: Annotated[
        int | None,
        typer.Option(
            min=1, help="With --cluster: shards of each pair (default: one per 16 megapixels)."
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the unfinished run in --out.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Remove the result that --out holds.")
    ] = False,
) -> None:
    """Find the buildings that changed between two rasters.

    Writes probability, mask, footprints, a report and a manifest into a folder. With --plan it runs
    one or more shards of a plan instead; hanet merge then combines them into one result.
    """
    options = locals()
    from hanet.cli.options import detection_settings, image_names
    from hanet.errors import SettingsError

    given = detection_settings(options)
    if plan is not None:
        _shards(plan, options, given)
        return
    if shard is not None or task is not None:
        raise SettingsError(
            "--shard and --task run parts of a plan, and none is given",
            hint="hanet detect --plan RUN/plan.json --shard 7",
        )
    if shards is not None and cluster is None:
        raise SettingsError("--shards has no effect without --cluster", hint="give --cluster too")
    if out is None:
        raise SettingsError("no --out is given", hint="hanet detect BEFORE AFTER --out FOLDER")
    if pairs is not None:
        if before is not None:
            raise SettingsError("either BEFORE and AFTER or --pairs, not both")
        if stac or asset is not None:
            raise SettingsError(
                "--stac and --asset go with BEFORE and AFTER, not with --pairs",
                hint="a list names items as STAC:ITEM.json|asset=NAME; hanet pairs writes such",
            )
        chosen = _on(cluster, shards, many=True)
        _many(pairs, out, given, chosen, resume=resume, overwrite=overwrite)
        return
    if before is None or after is None:
        raise SettingsError(
            "BEFORE and AFTER are required",
            hint="hanet detect BEFORE AFTER --out FOLDER, or --pairs pairs.csv",
        )
    before, after = image_names(before, after, stac=stac, asset=asset)
    chosen = _on(cluster, shards, many=False)
    _one(before, after, out, given, chosen, resume=resume, overwrite=overwrite)


def _on(cluster: str | None, shards: int | None, *, many: bool) -> Callable[..., Any]:
    """What detects a pair, or a list of pairs: this process, or a cluster."""
    from hanet.detection.job import detect as run
    from hanet.detection.pair_list import detect_pairs

    if cluster is None:
        return detect_pairs if many else run
    from hanet.cluster.detection import detect_on_cluster, detect_pairs_on_cluster

    there: Callable[..., Any] = detect_pairs_on_cluster if many else detect_on_cluster
    return partial(there, cluster=cluster, shards=shards)


def _one(
    before: str,
    after: str,
    out: Path,
    given: dict[str, Any],
    run: Callable[..., DetectionResult],
    *,
    resume: bool,
    overwrite: bool,
) -> None:
    from hanet.cli.console import print_note, print_warning
    from hanet.cli.progress import stage_progress
    from hanet.cli.results import say_result

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
    say_result(result)


def _shards(plan: Path, options: dict[str, Any], given: dict[str, Any]) -> None:
    """Runs the shards that were asked for."""
    from hanet.cli.console import print_note, print_result
    from hanet.cli.progress import stage_progress
    from hanet.detection.plan import read_plan
    from hanet.detection.shard import ShardResult, count_done, run_shards
    from hanet.detection.tasks import compact, shards_of, shards_of_task
    from hanet.errors import SettingsError

    _check_plan_options(options)
    made = read_plan(plan)
    count, shard, task = len(made.shards), options["shard"], options["task"]
    if (shard is None) == (task is None):
        raise SettingsError(
            f"--shard or --task is needed: the plan has {counted(count, 'shard')}",
            hint=f"hanet detect --plan {typed(plan)} --shard 0-{count - 1} runs all of them here",
        )
    indices = shards_of(shard, count) if shard is not None else shards_of_task(task, count)

    def say(result: ShardResult) -> None:
        speed = f" in {result.seconds:.1f} s, {counted(result.tiles, 'tile')}"
        done = {
            "done": f"done{speed}",
            "was done": "was done before",
            "empty": "outside the area of interest",
        }
        print_note(f"shard {result.index}: {done[result.status]}")

    if not indices:
        print_note(f"there is nothing to do for this task: the plan has {counted(count, 'shard')}")
        return
    print_note(f"shards {compact(indices)} of {count}")
    with stage_progress() as progress:
        results = run_shards(
            made,
            indices,
            before=options["before"],
            after=options["after"],
            progress=progress,
            done=say,
            **given,
        )
    done = count_done(made)
    print_result(
        f"{done} of {count} shards of the plan are done"
        + (f": hanet merge {typed(made.folder)}" if done == count else ""),
        {made.file_of(one.index): "shard" for one in results if one.status != "empty"},
        unlisted=True,
        shards=[one.index for one in results],
        computed=[one.index for one in results if one.status == "done"],
        tiles=sum(one.tiles for one in results),
        seconds=sum(one.seconds for one in results),
    )


def _check_plan_options(options: dict[str, Any]) -> None:
    """Does nothing unless an option is given that has no meaning beside a plan."""
    from hanet.errors import SettingsError

    allowed = {"plan", "shard", "task", "before", "after", "weights", "threads"}
    flags = {"resume", "overwrite", "stac"}
    if options["resume"]:
        raise SettingsError(
            "--resume is not needed with --plan", hint="leave it out: shards that are done stay so"
        )
    if options["overwrite"]:
        raise SettingsError(
            "--overwrite is not for --plan: shards that are done stay so",
            hint="to compute one anew, remove its file in the plan's folder shards",
        )
    other = [
        "--format" if name == "formats" else f"--{name.replace('_', '-')}"
        for name, value in options.items()
        if name not in allowed and value is not None and not (name in flags and value is False)
    ]
    if other:
        raise SettingsError(
            f"the plan already sets {', '.join(other)}",
            hint="leave it out, or make another plan with hanet plan",
        )
    if (options["before"] is None) != (options["after"] is None):
        raise SettingsError("BEFORE and AFTER belong together", hint="give both, or none")


def _many(
    pairs: Path,
    out: Path,
    given: dict[str, Any],
    run: Callable[..., PairsResult],
    *,
    resume: bool,
    overwrite: bool,
) -> None:
    from hanet.cli.console import print_note, print_warning
    from hanet.cli.progress import stage_progress
    from hanet.detection.merged_layer import MERGING
    from hanet.detection.pair_list import PAIRS, TABLE, read_pairs
    from hanet.errors import SettingsError

    if pairs.resolve() == (out / TABLE).resolve():
        raise SettingsError(
            f"the table of results would be written over the list {pairs}",
            hint="choose another --out, or rename the list",
        )
    jobs = read_pairs(pairs, warn=print_warning)
    with stage_progress({PAIRS: 0.98, MERGING: 0.02}) as progress:
        result = run(
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
