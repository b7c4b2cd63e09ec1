"""``hanet bench``: speed and memory on this machine, as ratios and as shares of its limits."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from hanet.types import Json

SMALLEST_TILE_PX = 32
"""What every network takes, and a multiple of every network's divisor."""


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("bench")(bench)


def bench(
    what: Annotated[str, typer.Argument(help="inference, training or detect.")],
    sizes: Annotated[
        str | None,
        typer.Option(
            help="Sides in pixels, for example 256,512: of tiles; for detect, of rasters."
        ),
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="Interleaved runs of each subject; the median counts.")
    ] = None,
    plain: Annotated[
        Path | None,
        typer.Option(
            help="File of the plain network to compare with: tests/support/plain_hanet.py in a "
            "checkout."
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="Number of threads (default: as many as this process may use)."),
    ] = None,
    json: Annotated[
        Path | None, typer.Option("--json", help="Write all figures to this file.")
    ] = None,
) -> None:
    """Measure speed and memory on this machine.

    Reports medians of interleaved runs beside the limits of the machine itself.
    """
    import json as json_format

    from hanet.cli.console import stdout, tell_result
    from hanet.cli.options import numbers
    from hanet.destination import check_file
    from hanet.errors import SettingsError, importing
    from hanet.files import replace_file

    with importing("torch", extra="train", purpose="hanet bench"):
        from hanet.bench.inference import inference
        from hanet.bench.training_step import training
        from hanet.bench.whole_detection import detection

    benchmarks = {"inference": inference, "training": training, "detect": detection}
    if what not in benchmarks:
        raise SettingsError(
            f"there is no benchmark {what!r}", hint=f"the benchmarks are: {', '.join(benchmarks)}"
        )
    if what == "detect" and plain is not None:
        raise SettingsError(
            "--plain applies to inference and training; detect is compared with inference alone"
        )
    sides = numbers(sizes, "--sizes")
    if what != "detect" and any(
        side < SMALLEST_TILE_PX or side % SMALLEST_TILE_PX for side in sides or ()
    ):
        raise SettingsError(
            f"--sizes {sizes} does not fit",
            hint=f"sides are multiples of {SMALLEST_TILE_PX} pixels",
        )
    if json is not None:
        check_file(json, "--json")
    given: dict[str, Any] = {
        "sizes": sides,
        "rounds": rounds,
        "plain": plain,
        "threads": threads,
    }
    result = benchmarks[what](**{key: value for key, value in given.items() if value is not None})  # type: ignore[operator]
    stdout.print(_table(result["rows"]))
    stdout.print(
        ", ".join(f"{name} {value:.0f}" for name, value in result["limits"].items()), soft_wrap=True
    )
    if json is not None:
        replace_file(json, f"{json_format.dumps(result, indent=2)}\n".encode())
    tell_result(f"{what} measured", {} if json is None else {json: "scores"}, figures=result)


def _table(rows: Iterable[Json]) -> Table:
    from rich.table import Table

    heads = ("subject", "side", "seconds", "Mpx/s", "km2/min", "times as fast", "peak MB")
    table = Table(*heads, box=None)
    for row in rows:
        optional = (
            f"{row[key]:{form}}" if key in row else "-"
            for key, form in (("times_as_fast", ".2f"), ("peak_memory_mb", ".0f"))
        )
        figures = (
            f"{row['seconds']:.3f}",
            f"{row['megapixels_per_s']:.3f}",
            f"{row['km2_per_minute']:.2f}",
        )
        table.add_row(row["subject"], str(row["size_px"]), *figures, *optional)
    return table
