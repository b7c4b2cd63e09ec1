"""``hanet footprints``: footprints from an existing probability raster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

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


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("footprints")(footprints)


def footprints(
    probability: Annotated[
        str, typer.Argument(help="probability.tif of a run, or one band of probability.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the files.")],
    threshold: Threshold = None,
    min_area_m2: MinAreaM2 = None,
    min_hole_m2: MinHoleM2 = None,
    outline: FootprintOutline = None,
    separate: Separate = None,
    split: Split = None,
    connectivity: Connectivity = None,
    before_date: BeforeDate = None,
    after_date: AfterDate = None,
    formats: Formats = None,
    stem: Annotated[
        str | None, typer.Option(help="Name of the files without suffix (default footprints).")
    ] = None,
) -> None:
    """Make footprints from an existing probability raster.

    Changes threshold, smallest area or outline without detecting again.
    """
    from hanet.cli.console import stdout
    from hanet.cli.options import names
    from hanet.cli.progress import stage_progress
    from hanet.errors import SettingsError
    from hanet.files import check_name
    from hanet.footprints.extraction import extract_footprints
    from hanet.footprints.settings import FootprintSettings
    from hanet.imagery.dates import check_order
    from hanet.imagery.raster_output import ProbabilityRaster

    check_name(out, "--out")
    check_name(stem or "", "--stem")
    if stem is not None and (not stem or Path(stem).name != stem):
        raise SettingsError(
            f"the stem {stem!r} is not a plain name", hint="for example --stem strict"
        )
    if (out / "run.json").exists() and stem in (None, "footprints"):
        raise SettingsError(
            f"{out} holds a run, whose report and run.json describe its own footprints",
            hint="choose another --out, or another name by --stem",
        )
    given: dict[str, Any] = {
        "threshold": threshold,
        "min_area_m2": min_area_m2,
        "min_hole_m2": min_hole_m2,
        "outline": outline,
        "separate": separate if separate is not None else split,
        "connectivity": connectivity,
        "before_date": before_date,
        "after_date": after_date,
    }
    settings = FootprintSettings(
        **{key: value for key, value in given.items() if value is not None}
    )
    if before_date is not None or after_date is not None:
        # the order of a run's own dates is its matter, and it has warned about them
        with ProbabilityRaster(probability) as raster:
            check_order(before_date or raster.date("before"), after_date or raster.date("after"))
    where: dict[str, Any] = {"stem": stem, "formats": names(formats)}
    with stage_progress() as progress:
        summary = extract_footprints(
            probability,
            out,
            settings=settings,
            progress=progress,
            **{key: value for key, value in where.items() if value is not None},
        )
    unit = "m²" if summary.has_metres else "square pixels"
    stdout.print(
        f"{summary.count} footprint{'' if summary.count == 1 else 's'}, {summary.area_m2:,.0f} "
        f"{unit}, threshold {summary.threshold:g}"
    )
    for path in summary.files:
        stdout.print(f"  {path}", soft_wrap=True, markup=False)
