"""``hanet footprints``: footprints made anew from a probability raster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("footprints")(footprints)


def footprints(
    probability: Annotated[
        str, typer.Argument(help="probability.tif of a run, or one band of probability.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the files.")],
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Probability from which on a pixel is change; the run's own if left out."
        ),
    ] = None,
    min_area_m2: Annotated[
        float | None,
        typer.Option(
            "--min-area-m2",
            help="Leave smaller footprints out; 10 if left out. Of a raster without CRS: pixels.",
        ),
    ] = None,
    outline: Annotated[
        str | None, typer.Option(help="pixels, simple or square (the default).")
    ] = None,
    split: Annotated[
        bool | None,
        typer.Option(
            "--split",
            help="Take houses that touch apart where each has a core of high probability.",
        ),
    ] = None,
    connectivity: Annotated[
        int | None,
        typer.Option(help="8 (the default) joins pixels that touch at a corner, 4 does not."),
    ] = None,
    before_date: Annotated[
        str | None,
        typer.Option(
            help="Date of the before image (YYYY-MM-DD, YYYY-MM, YYYY); the run's own if left out."
        ),
    ] = None,
    after_date: Annotated[
        str | None, typer.Option(help="Date of the after image, likewise.")
    ] = None,
    formats: Annotated[
        str | None,
        typer.Option(
            "--format", help="gpkg (the default), geojson, fgb, parquet; several with commas."
        ),
    ] = None,
    stem: Annotated[
        str | None, typer.Option(help="Name of the files without suffix; footprints if left out.")
    ] = None,
) -> None:
    """Make footprints anew from a probability raster.

    With another threshold, smallest area or outline, without detecting again.
    """
    from hanet.cli.console import stdout
    from hanet.cli.options import names
    from hanet.cli.progress import stage_progress
    from hanet.errors import SettingsError
    from hanet.footprints.extraction import FootprintSettings, extract_footprints
    from hanet.imagery.dates import check_order
    from hanet.imagery.raster_output import ProbabilityRaster

    if stem is not None and (not stem or Path(stem).name != stem):
        raise SettingsError(f"the stem {stem!r} is no plain name", hint="for example --stem strict")
    if (out / "run.json").exists() and stem in (None, "footprints"):
        raise SettingsError(
            f"{out} holds a run, whose report and run.json tell of its own footprints",
            hint="choose another --out, or another name by --stem",
        )
    is_dated = before_date is not None or after_date is not None
    with ProbabilityRaster(probability) as raster:
        threshold = raster.threshold if threshold is None else threshold
        before_date, after_date = (
            before_date or raster.date("before"),
            after_date or raster.date("after"),
        )
    given: dict[str, Any] = {
        "threshold": threshold,
        "min_area_m2": min_area_m2,
        "outline": outline,
        "split": split,
        "connectivity": connectivity,
        "before_date": before_date,
        "after_date": after_date,
    }
    if is_dated:  # the order of the run's own dates was its matter; it warned
        check_order(before_date, after_date)
    settings = FootprintSettings(
        **{key: value for key, value in given.items() if value is not None}
    )
    where: dict[str, Any] = {
        "stem": stem,
        "formats": names(formats),
    }
    with stage_progress() as progress:
        summary = extract_footprints(
            probability,
            out,
            settings=settings,
            report=lambda share: progress("outlining footprints", share),
            **{key: value for key, value in where.items() if value is not None},
        )
    unit = "m²" if summary.has_metres else "square pixels"
    stdout.print(
        f"{summary.count} footprint{'' if summary.count == 1 else 's'}, {summary.area_m2:,.0f} "
        f"{unit}, threshold {settings.threshold:g}"
    )
    for path in summary.files:
        stdout.print(f"  {path}", soft_wrap=True, markup=False)
