"""``hanet adapt``: weights learn a place from reviewed ground."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hanet.command_line import typed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hanet.adaptation.adapt import Adaptation
    from hanet.adaptation.sources import Source

KINDS = {".onnx": "weights", ".safetensors": "weights", ".md": "card", ".json": "adaptation"}
"""Of the files, for programs, by their suffixes."""

NO_BETTER = 1
"""Exit code where the hold-out does not say that the weights became better: none are written."""


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("adapt")(adapt)


def adapt(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            help="Folders of reviewed results; with --polygons BEFORE and AFTER of a pair.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="NAME of the new weights: NAME.onnx and so on (required)."),
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="Weights to adapt: a name or a file (default hanet_lite).")
    ] = None,
    labels: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            help="Labelled images as DIR/SPLIT/{A,B,label}; may be repeated.",
        ),
    ] = None,
    polygons: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Polygons of the changes between BEFORE and AFTER."),
    ] = None,
    aoi: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="With --polygons: the area that was checked; ground outside it counts as unknown.",
        ),
    ] = None,
    bands: Annotated[
        str | None, typer.Option(help="With --polygons: as for hanet detect, for example 3,2,1.")
    ] = None,
    scaling: Annotated[
        str | None, typer.Option(help="With --polygons: LOW,HIGH, as for hanet detect.")
    ] = None,
    coregister: Annotated[
        str | None, typer.Option(help="With --polygons: off or shift, as for hanet detect.")
    ] = None,
    match_radiometry: Annotated[
        bool | None,
        typer.Option("--match-radiometry", help="With --polygons: as for hanet detect."),
    ] = None,
    place: Annotated[str | None, typer.Option(help="Name of the place on the model card.")] = None,
    rungs: Annotated[
        str | None,
        typer.Option(
            help="threshold, footprints, head, top-down, all, crossed; light: those that do not "
            "train; separate several by commas (default: all that can be run)."
        ),
    ] = None,
    hold_out: Annotated[
        float | None,
        typer.Option(help="Share of the reviewed blocks that judges (default 0.4)."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Random seed: chooses the blocks that judge, and seeds all training (default 0).",
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            help="Minutes of training, for all rungs that train in total; writing and scoring "
            "their files takes extra time (default 10)."
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="Threads (default: as many as this process may use)."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the adaptation in NAME.adapt.")
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Write the best candidate even if it is not shown to be better than the old "
            "weights.",
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace weights of that name.")
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the working folder NAME.adapt.")
    ] = False,
) -> None:
    """Adapt weights to a place by reviewed ground.

    Reports whether it helped. Tries cheap steps first and keeps a step only if reviewed ground that
    was held out shows that it is better. If nothing is better, no weights are written and the exit
    code is 1.
    """
    import sys

    from hanet.adaptation.adapt import adapt as run
    from hanet.cli.console import print_note, print_warning
    from hanet.cli.options import names, numbers, reals
    from hanet.cli.progress import stage_progress
    from hanet.errors import SettingsError

    if out is None:
        raise SettingsError("no --out is given", hint="hanet adapt OUT --out NAME")
    of_pair: dict[str, Any] = {
        "bands": numbers(bands, "--bands"),
        "scaling": reals(scaling, "--scaling", count=2, example="0,3000"),
        "coregister": coregister,
        "match_radiometry": match_radiometry,
    }
    of_pair = {key: value for key, value in of_pair.items() if value is not None}
    sources = _sources(inputs or [], labels or [], polygons, aoi, of_pair)
    given: dict[str, Any] = {
        "weights": weights,
        "place": place,
        "rungs": names(rungs),
        "hold_out": hold_out,
        "seed": seed,
        "minutes": minutes,
        "threads": threads,
    }
    given = {key: value for key, value in given.items() if value is not None}
    with stage_progress() as progress:
        result = run(
            sources,
            out=out,
            resume=resume,
            force=force,
            overwrite=overwrite,
            keep=keep,
            note=print_note,
            warn=print_warning,
            progress=progress,
            **given,
        )
    _say(result, out, inputs or [])
    if not result.has_weights:
        sys.exit(NO_BETTER)


def _sources(
    inputs: Sequence[str],
    labels: Sequence[Path],
    polygons: str | None,
    aoi: str | None,
    of_pair: dict[str, Any],
) -> list[Source]:
    """Where reviewed ground comes from, as the arguments say."""
    from hanet.adaptation.polygons import DrawnGround
    from hanet.adaptation.sources import LabelFolder, reviewed_results
    from hanet.errors import SettingsError
    from hanet.files import is_folder

    folders = [path for path in inputs if is_folder(Path(path))]
    rasters = [path for path in inputs if path not in folders]
    if polygons is None:
        alone = {"--aoi": aoi, **{f"--{key.replace('_', '-')}": 1 for key in of_pair}}
        for name, value in alone.items():
            if value is not None:
                raise SettingsError(f"{name} has no effect without --polygons")
        if rasters:
            raise SettingsError(
                f"{rasters[0]} is no folder of a reviewed result",
                hint="hanet adapt OUT --out NAME; or a pair with --polygons and --aoi",
            )
    else:
        if aoi is None:
            raise SettingsError(
                "--polygons needs --aoi: ground without a polygon may be unchanged, or never "
                "checked",
                hint="give the area that was checked, as polygons too",
            )
        if len(rasters) != 2:
            raise SettingsError(
                f"--polygons needs the two rasters of its pair; {len(rasters)} are given",
                hint="hanet adapt BEFORE AFTER --polygons FILE --aoi FILE --out NAME",
            )
    sources: list[Source] = list(reviewed_results([Path(path) for path in folders]))
    sources += [LabelFolder(path) for path in labels]
    if polygons is not None and aoi is not None:
        sources.append(DrawnGround(rasters[0], rasters[1], polygons, aoi, of_pair))
    return sources


def _say(result: Adaptation, out: Path, inputs: Sequence[str]) -> None:
    """Before, after, difference; what was kept; what was written, or what to do."""
    from hanet.adaptation.verdict import FEWEST_BLOCKS
    from hanet.adaptation.written import said
    from hanet.cli.console import print_note, print_warning, stdout, tell_result

    climb = result.climb
    verdict = climb.best_verdict if result.is_forced else climb.verdict
    ground = result.ground.to_json()
    stdout.print(
        f"{ground['learn']['tiles'] + ground['watch']['tiles']} tiles to learn from, "
        f"{ground['holdout']['tiles']} to judge by, in {ground['holdout']['blocks']} blocks"
    )
    crossed = climb.is_crossed(forced=result.is_forced)
    where = f"all {verdict.blocks} blocks, crossed" if crossed else "the hold-out"
    for one in climb.results:
        what = said(one.verdict.f1) if one.verdict is not None else one.why
        line = f"  {one.rung:<11} {one.outcome:<10} {what}"
        stdout.print(line, soft_wrap=True, markup=False)
    if result.has_weights:
        stdout.print(
            f"F1 on {where}: before {verdict.before.f1:.4f}, after {verdict.after.f1:.4f}, "
            f"difference {said(verdict.f1)}",
            soft_wrap=True,
            markup=False,
        )
    else:
        stdout.print(f"F1 on {where}: {verdict.before.f1:.4f}, as before", markup=False)
        why = (
            "no rung is shown to be better than the old weights"
            if verdict.can_be_told
            else f"{verdict.blocks} blocks, {verdict.changed_blocks} of them with change, cannot "
            f"tell: {FEWEST_BLOCKS} are needed, 2 of them with change"
        )
        more = f"hanet suggest {typed(_reviewed(inputs))}"
        print_warning(f"{why}; the old weights stay as they are, and none are written")
        print_note(f"what to review next: {more}; --force writes the best candidate all the same")
    if result.is_forced:
        print_warning("these weights are not shown to be better; they were written with --force")
    for path in result.files:
        stdout.print(f"  {path}", soft_wrap=True, markup=False)
    difference = verdict.f1
    tell_result(
        f"F1 on {where}: before {verdict.before.f1:.4f}, after {verdict.after.f1:.4f}",
        {path: KINDS[path.suffix] for path in result.files},
        has_weights=result.has_weights,
        is_forced=result.is_forced,
        can_be_told=verdict.can_be_told,
        f1_before=verdict.before.f1,
        f1_after=verdict.after.f1,
        f1_difference=difference.value,
        f1_difference_interval_95=[difference.low, difference.high],
    )
    if result.has_weights:
        shown = typed(f"{out}.onnx")
        if crossed:
            print_note(
                "only the threshold was adapted; with more reviewed tiles, training may help too "
                f"(hanet suggest {typed(_reviewed(inputs))} chooses the tiles)"
            )
        print_note(f"use them: hanet detect BEFORE AFTER --weights {shown} --out FOLDER")


def _reviewed(inputs: Sequence[str]) -> str:
    """The first result among the inputs; the rasters of a pair are none."""
    from hanet.files import is_folder

    return next((path for path in inputs if is_folder(Path(path))), "OUT")
