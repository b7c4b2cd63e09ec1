"""Options that several verbs share, and texts of options as values."""

from __future__ import annotations

from typing import Annotated

import typer

from hanet.errors import SettingsError

Threshold = Annotated[
    float | None,
    typer.Option(
        help="A pixel with at least this probability is change (default: the weights' own; of a "
        "raster that of its run)."
    ),
]
MinAreaM2 = Annotated[
    float | None,
    typer.Option(
        "--min-area-m2",
        help="Leave smaller footprints out (default 10); in square pixels without a CRS.",
    ),
]
MinHoleM2 = Annotated[
    float | None,
    typer.Option(
        "--min-hole-m2",
        help="Close smaller holes in footprints (default 10; above --min-area-m2 as that); 0 keeps "
        "them.",
    ),
]
FootprintOutline = Annotated[
    str | None,
    typer.Option(
        help="pixels (their edges), simple (fewer corners) or square (right angles where the "
        "building has them; the default)."
    ),
]
Separate = Annotated[
    bool | None,
    typer.Option(
        "--separate/--no-separate",
        help="Separate touching buildings where each has a high-probability core (the default).",
    ),
]
Split = Annotated[bool | None, typer.Option("--split", hidden=True)]
"""The name of --separate in version 0.3; goes in 0.5."""
Connectivity = Annotated[
    int | None,
    typer.Option(help="8 (the default) joins pixels that touch at a corner, 4 does not."),
]
BeforeDate = Annotated[
    str | None,
    typer.Option(
        help="Date of the before image, for the attributes: YYYY-MM-DD, YYYY-MM or YYYY (default: "
        "what the raster states)."
    ),
]
AfterDate = Annotated[str | None, typer.Option(help="Date of the after image, in the same form.")]
Formats = Annotated[
    str | None,
    typer.Option(
        "--format", help="gpkg (the default), geojson, fgb, parquet; separate several by commas."
    ),
]


def numbers(text: str | None, option: str) -> tuple[int, ...] | None:
    """Whole numbers of a comma-separated list; None stays None."""
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise SettingsError(
            f"{option} {text!r} is not a list of whole numbers", hint=f"for example {option} 1,2,3"
        ) from error


def names(text: str | None) -> tuple[str, ...] | None:
    """Words of a comma-separated list, each once; None stays None."""
    if text is None:
        return None
    return tuple(dict.fromkeys(part.strip() for part in text.split(",")))


def reals(text: str | None, option: str, *, count: int, example: str) -> tuple[float, ...] | None:
    """Exactly ``count`` real numbers of a comma-separated list; None stays None."""
    if text is None:
        return None
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != count:
        raise SettingsError(
            f"{option} {text!r} is not {count} numbers", hint=f"for example {option} {example}"
        )
    return values


def gsd(text: str | None) -> float | str | None:
    """Metres, or "native"; None stays None."""
    if text is None or text == "native":
        return text
    try:
        return float(text)
    except ValueError as error:
        raise SettingsError(
            f"--gsd {text!r} is not a number", hint="metres a pixel, or native"
        ) from error
