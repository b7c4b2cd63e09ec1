"""``hanet footprints``: footprints from an existing probability raster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hanet.cli.options import (
    AfterDate,
    BeforeDate,
    Connectivity,
    FilterFootprints,
    FootprintOutline,
    Formats,
    MinAreaM2,
    MinHoleM2,
    Separate,
    Split,
    Threshold,
)
from hanet.command_line import typed

if TYPE_CHECKING:
    from hanet.footprints.extraction import FootprintSummary


PARTS = {"outlining footprints": 0.85, "writing the mask": 0.05, "writing the report": 0.10}
"""Stages of a renewal with their parts of the time, about."""


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("footprints")(footprints)


def footprints(
    probability: Annotated[
        str,
        typer.Argument(
            help="Folder of a run, its probability.tif, or one band of probability.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the files. In the run's own folder (the default where a folder is "
            "given), mask, report, STAC item and run.json are renewed too."
        ),
    ] = None,
    threshold: Threshold = None,
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
    stem: Annotated[
        str | None, typer.Option(help="Name of the files without suffix (default footprints).")
    ] = None,
) -> None:
    """Make footprints from an existing probability raster.

    Changes threshold, smallest area or outline without detecting again. In the folder of the run
    itself, footprints, mask.tif, report.html, stac-item.json and run.json are renewed together;
    options that are not given stay as they are there.
    """
    from hanet.cli.options import names

    given: dict[str, Any] = {
        "threshold": threshold,
        "min_area_m2": min_area_m2,
        "min_hole_m2": min_hole_m2,
        "outline": outline,
        "separate": separate if separate is not None else split,
        "connectivity": connectivity,
        "filter_footprints": footprint_filter,
        "before_date": before_date,
        "after_date": after_date,
    }
    given = {key: value for key, value in given.items() if value is not None}
    source, folder, is_own = _places(probability, out, stem)
    if is_own:
        _renew(folder, given, names(formats))
    else:
        _make(source, folder, given, {"stem": stem, "formats": names(formats)})


def _places(probability: str, out: Path | None, stem: str | None) -> tuple[str, Path, bool]:
    """The raster, the folder for the files, and whether that is the raster's own run."""
    from hanet.detection.plan import PLAN
    from hanet.detection.renewal import holds_run
    from hanet.errors import SettingsError
    from hanet.files import check_name, is_folder
    from hanet.imagery.addresses import lies_here

    check_name(out or "", "--out")
    check_name(stem or "", "--stem")
    if stem is not None and (not stem or Path(stem).name != stem or stem.startswith(".")):
        raise SettingsError(
            f"the stem {stem!r} is not a plain name", hint="for example --stem strict"
        )
    raster = Path(probability)
    if is_folder(raster):
        if not holds_run(raster):
            raise SettingsError(
                f"{probability} holds no finished run",
                hint=f"hanet merge {typed(probability)} makes one of the shards of its plan"
                if (raster / PLAN).exists()
                else "give the folder of a run, or a probability raster",
            )
        out, raster = out or raster, raster / "probability.tif"
        probability = str(raster)
    if out is None:
        if not (lies_here(raster) or "://" in probability or probability.startswith("/vsi")):
            raise SettingsError(
                f"there is no file or folder {probability}",
                hint="give the folder of a run, or a probability raster and --out",
            )
        raise SettingsError(
            "a folder for the files is needed",
            hint=f"give --out, or the folder of the run: `hanet footprints {typed(raster.parent)}`",
        )
    if not holds_run(out) or stem not in (None, "footprints"):
        return probability, out, False
    if raster.name == "probability.tif" and raster.parent.resolve() == out.resolve():
        return probability, out, True
    raise SettingsError(
        f"{out} holds a run, whose report and run.json describe its own footprints",
        hint="choose another --out or another name by --stem; "
        f"`hanet footprints {typed(out)}` renews its own",
    )


def _renew(folder: Path, given: dict[str, Any], formats: tuple[str, ...] | None) -> None:
    """Everything in the folder of a run that depends on how footprints are made."""
    from hanet.cli.console import print_note
    from hanet.cli.progress import stage_progress
    from hanet.detection.renewal import renew_footprints

    with stage_progress(PARTS) as progress:
        renewal = renew_footprints(folder, formats=formats or (), progress=progress, **given)
    of_run = {
        "mask.tif": "mask",
        "report.html": "report",
        "stac-item.json": "item",
        "run.json": "manifest",
    }
    _say(
        renewal.footprints,
        {path: of_run.get(path.name, "footprints") for path in renewal.files},
    )
    for path in renewal.kept:
        print_note(f"a footprint file was changed since hanet wrote it; it is kept as {path}")
    if note := _apart_from_review(folder):
        print_note(note)
    if not renewal.has_report:
        print_note("no report is made: the run has no report.html to take the pictures from")


def _apart_from_review(folder: Path) -> str:
    """What is to be said of a review that goes on with the footprints that it has."""
    from hanet.errors import HanetError
    from hanet.review.journal import journal_path, read_journal
    from hanet.review.reviewed_run import apart_from_run, read_run

    if not journal_path(folder).exists():
        return ""
    try:
        note = apart_from_run(folder, read_run(folder), read_journal(folder))
    except HanetError:  # a damaged journal is told to who opens the review
        return ""
    return f"{note}; on the page of the review, *Threshold* makes its own again" if note else ""


def _make(source: str, folder: Path, given: dict[str, Any], where: dict[str, Any]) -> None:
    """Footprints alone."""
    from hanet.cli.progress import stage_progress
    from hanet.destination import check_folder
    from hanet.errors import SettingsError
    from hanet.footprints.extraction import STAGE, extract_footprints
    from hanet.footprints.kinds import built_beside
    from hanet.footprints.settings import FootprintSettings
    from hanet.imagery.dates import check_order
    from hanet.imagery.raster_output import ProbabilityRaster

    if given.pop("filter_footprints", False):
        raise SettingsError(
            "a raster by itself has no footprint filter",
            hint="give the folder of its run, where the weights had one",
        )
    settings = FootprintSettings(**given)
    check_folder(folder, "--out")
    if given.keys() & {"before_date", "after_date"}:
        # the order of a run's own dates is its matter, and it has warned about them
        with ProbabilityRaster(source) as raster:
            check_order(
                settings.before_date or raster.date("before"),
                settings.after_date or raster.date("after"),
            )
    with stage_progress({STAGE: 1.0}) as progress:
        summary = extract_footprints(
            source,
            folder,
            settings=settings,
            progress=progress,
            built=built_beside(source),
            **{key: value for key, value in where.items() if value is not None},
        )
    _say(summary, dict.fromkeys(summary.files, "footprints"))


def _say(summary: FootprintSummary, files: dict[Path, str]) -> None:
    from hanet.cli.console import print_note, print_result

    if summary.why_nothing:
        print_note(summary.why_nothing)
    unit = "m²" if summary.has_metres else "square pixels"
    print_result(
        f"{summary.count} footprint{'' if summary.count == 1 else 's'}, {summary.area_m2:,.0f} "
        f"{unit}, threshold {summary.threshold:g}",
        files,
        footprints=summary.count,
        area=summary.area_m2,
        has_metres=summary.has_metres,
        threshold=summary.threshold,
    )
