"""``hanet check``: checks a pair before detection."""

from __future__ import annotations

from typing import Annotated, Any

import typer

FITS = "the pair fits the weights"
"""What is said where there is nothing to warn of."""

FITS_IF = "the pair fits the weights, if its pixels are of about {gsd_m:g} m"
"""What is said then of a pair whose resolution nobody has stated."""


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("check")(check)


def check(
    before: Annotated[str, typer.Argument(help="Raster of the first date.")],
    after: Annotated[str, typer.Argument(help="Raster of the second date.")],
    weights: Annotated[
        str | None,
        typer.Option(
            help="Weights to check against: a name from hanet models, or a file "
            "(default hanet_lite)."
        ),
    ] = None,
    bands: Annotated[
        str | None, typer.Option(help="Band numbers from 1, for example 3,2,1.")
    ] = None,
    grid: Annotated[
        str | None,
        typer.Option(
            help="Grid of the pair: finer (default; of two equally fine grids the one in metres), "
            "before or after."
        ),
    ] = None,
    gsd: Annotated[
        float | None, typer.Option(help="Metres per pixel of a pair without CRS.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")] = False,
) -> None:
    """Check a pair before detection; list problems and their fixes.

    Checks CRS, grid, overlap, bands, type, nodata, brightness, shift, and the resolution against
    that of the weights.
    """
    import json
    from dataclasses import replace

    from hanet.cli.console import stdout, tell_finding, tell_result
    from hanet.cli.options import numbers
    from hanet.command_line import counted
    from hanet.imagery.findings import Finding
    from hanet.imagery.preflight import examine
    from hanet.weights import catalogue

    metadata = catalogue.read_metadata(catalogue.resolve(weights or catalogue.DEFAULT))
    given: dict[str, Any] = {"bands": numbers(bands, "--bands"), "grid": grid, "gsd_m": gsd}
    result = examine(
        before,
        after,
        target_gsd_m=metadata.gsd_m,
        band_count=len(metadata.bands),
        **{key: value for key, value in given.items() if value is not None},
    )
    if gsd is not None and result.pair["grid"]["crs"] is not None:
        ignored = Finding("note", "--gsd says nothing here: the files state the size of a pixel")
        result = replace(result, findings=(*result.findings, ignored))
    for finding in result.findings:
        tell_finding(finding.level, finding.message, finding.fix)
    warnings = sum(finding.level == "warning" for finding in result.findings)
    fits = FITS
    if result.coarseness is None and result.target_gsd_m is not None:
        fits = FITS_IF.format(gsd_m=result.target_gsd_m)
    verdict = counted(warnings, "warning") if warnings else fits
    tell_result(verdict, warnings=warnings, check=result.to_json())
    if as_json:
        print(json.dumps(result.to_json(), indent=2))
        return
    stdout.print(_table(result.to_json(), metadata.name))
    for finding in result.findings:
        fix = f"  ->  {finding.fix}" if finding.fix else ""
        stdout.print(f"{finding.level}: {finding.message}{fix}", markup=False, soft_wrap=True)
    if not warnings:
        stdout.print(fits)


def _table(facts: dict[str, Any], weights: str) -> Any:
    from rich.table import Table

    table = Table(show_edge=False)
    for name in ("", "before", "after"):
        table.add_column(name, overflow="fold")
    dates = (facts["before"], facts["after"])
    for name, key in (("file", "path"), ("date", "date"), ("CRS", "crs")):
        table.add_row(name, *(_cell(date.get(key)) for date in dates))
    table.add_row(
        "pixels (height x width)", *(f"{date['height']} x {date['width']}" for date in dates)
    )
    for name, key in (
        ("metres a pixel", "gsd_m"),
        ("bands", "bands"),
        ("type", "type"),
        ("nodata", "validity"),
    ):
        table.add_row(name, *(_cell(date.get(key)) for date in dates))
    table.add_section()
    grid, shift = facts["grid"], facts["shift"]
    table.add_row(
        "common grid",
        f"{grid['height']} x {grid['width']} pixels",
        "-" if facts["native_gsd_m"] is None else f"{_cell(facts['native_gsd_m'])} m a pixel",
    )
    table.add_row(
        f"{weights} was trained at", f"{_cell(facts['target_gsd_m'])} m a pixel", _distance(facts)
    )
    about = "about " if facts["valid_share_is_estimate"] else ""
    table.add_row("valid", f"{about}{facts['valid_share']:.1%}", "of the common grid at both dates")
    table.add_row("shift", *_shift(shift))
    for row in facts["radiometry"]:
        shown = (
            f"mean {row[f'mean_{date}']:.0f}, spread {row[f'std_{date}']:.0f}"
            for date in ("before", "after")
        )
        table.add_row(f"band {row['band']} (0-255)", *shown)
    return table


def _shift(shift: dict[str, Any]) -> tuple[str, str]:
    """Length of the shift and how sure it is, in words; or why none was measured."""
    from hanet.imagery.registration import MIN_WINDOWS

    windows = shift["windows"]
    if not shift["confidence"]:
        few = f"{windows} of the {MIN_WINDOWS} windows that it takes"
        return "-", f"not measured: {few if windows < MIN_WINDOWS else 'the dates differ too much'}"
    length = f"{(shift['rows_px'] ** 2 + shift['columns_px'] ** 2) ** 0.5:.2f} pixels"
    if shift["length_m"] is not None:
        length += f", {shift['length_m']:.2f} m"
    return length, f"confidence {shift['confidence']:.2f} from {windows} windows"


def _distance(facts: dict[str, Any]) -> str:
    """How far the pair's resolution is from the weights', in words."""
    times = facts["times_as_coarse_as_weights"]
    if times is None:
        return "the pair has no metres"
    if abs(times - 1) < 0.005:
        return "the same"
    return f"{times:.3g} times as coarse" if times > 1 else f"{1 / times:.3g} times as fine"


def _cell(value: Any) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
