"""Options that several verbs share, and texts of options as values."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hanet.errors import SettingsError

Threshold = Annotated[
    float | None,
    typer.Option(
        help="A pixel with at least this probability is change (default: that of the weights; for "
        "a raster, that of its run)."
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
        help="Close smaller holes in footprints (default 10, but never more than --min-area-m2); 0 "
        "keeps them.",
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
FilterFootprints = Annotated[
    bool | None,
    typer.Option(
        "--footprint-filter/--no-footprint-filter",
        help="Leave out footprints that look like false alarms on the reviewed ground, if the "
        "weights were adapted to do so (the default).",
    ),
]
BeforeDate = Annotated[
    str | None,
    typer.Option(
        help="Date of the before image, for the attributes: YYYY-MM-DD, YYYY-MM or YYYY (default: "
        "the date in the raster)."
    ),
]
AfterDate = Annotated[str | None, typer.Option(help="Date of the after image, in the same format.")]
Formats = Annotated[
    str | None,
    typer.Option(
        "--format", help="gpkg (the default), geojson, fgb, parquet; separate several by commas."
    ),
]

BeforeImage = Annotated[
    str | None,
    typer.Argument(
        help="Raster of the first date: a path, anything that GDAL opens, or a STAC item (.json)."
    ),
]
AfterImage = Annotated[str | None, typer.Argument(help="Raster of the second date.")]
Stac = Annotated[
    bool,
    typer.Option(
        "--stac",
        help="BEFORE and AFTER are STAC items: files, or addresses. Those that end in .json are "
        "known without it.",
    ),
]
AssetName = Annotated[
    str | None,
    typer.Option(
        "--asset",
        help="Asset of both STAC items that is the image (default: the GeoTIFF with the role "
        "visual or data).",
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(help="A name from hanet models, or a file (default hanet_lite)."),
]
Scout = Annotated[
    str | None,
    typer.Option(
        help="Fast weights that screen every tile at half resolution; only tiles where they "
        "find something go to --weights."
    ),
]
WhoseGrid = Annotated[
    str | None,
    typer.Option(
        help="Grid (CRS and pixels) of the result: finer (default; of two equally fine grids the "
        "one in metres), before or after."
    ),
]
Gsd = Annotated[
    str | None,
    typer.Option(
        help="Metres per pixel to work at, or native (default: the pair's own, or the weights' "
        "where they differ by more than a quarter). For a pair without CRS: the size of one of its "
        "pixels."
    ),
]
Bbox = Annotated[str | None, typer.Option(help="LEFT,BOTTOM,RIGHT,TOP in the CRS of the grid.")]
Aoi = Annotated[
    Path | None,
    typer.Option(
        help="Vector file with polygons; detect only inside them. Rasters cover their bounds."
    ),
]
Bands = Annotated[
    str | None,
    typer.Option(help="Band numbers from 1 for red, green, blue, for example 3,2,1."),
]
RawRange = Annotated[
    str | None,
    typer.Option(
        help="LOW,HIGH raw values that become 0 and 255: for 16 bit, float, little contrast."
    ),
]
Coregister = Annotated[
    str | None,
    typer.Option(
        help="off (default), or shift: correct a global shift of the after image if it is "
        "measured with confidence."
    ),
]
MatchRadiometry = Annotated[
    bool | None,
    typer.Option(
        "--match-radiometry", help="Match the after image's histogram to the before image's."
    ),
]
KindsOption = Annotated[
    bool | None,
    typer.Option(
        "--kinds/--no-kinds",
        help="State for each footprint whether it was built or demolished, and write built.tif "
        "(default: yes, if the weights tell).",
    ),
]
Report = Annotated[
    bool | None, typer.Option("--report/--no-report", help="Write report.html (default: yes).")
]
Qgis = Annotated[
    bool | None,
    typer.Option("--qgis/--no-qgis", help="Write changes.qgz, a project for QGIS (default: yes)."),
]
RuntimeOption = Annotated[
    str | None, typer.Option(help="onnxruntime (default), openvino or torch.")
]
Precision = Annotated[
    str | None,
    typer.Option(
        help="fp32 (default), or bf16 with openvino or torch on processors that support it: "
        "about twice as fast."
    ),
]
Flips = Annotated[
    bool | None,
    typer.Option(
        "--flips", help="Average over test-time flips: better results for four times the work."
    ),
]
ThreadCount = Annotated[
    int | None,
    typer.Option(
        help="Threads of the runtime (default: as many as cgroup, affinity, "
        "SLURM_CPUS_PER_TASK and OMP_NUM_THREADS allow)."
    ),
]
Tile = Annotated[
    int | None,
    typer.Option(
        help="Side of a tile in pixels (default: fitted to the pair, at most that of the weights)."
    ),
]
Overlap = Annotated[
    int | None,
    typer.Option(help="Overlap of tiles in pixels (default: that of the weights)."),
]
Batch = Annotated[int | None, typer.Option(help="Tiles inferred at once (default 2).")]


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


SETTINGS = {
    "weights": "weights",
    "scout": "scout",
    "threshold": "threshold",
    "grid": "grid",
    "gsd": "gsd_m",
    "bbox": "bbox",
    "aoi": "aoi",
    "bands": "bands",
    "scaling": "scaling",
    "coregister": "coregister",
    "match_radiometry": "match_radiometry",
    "min_area_m2": "min_area_m2",
    "min_hole_m2": "min_hole_m2",
    "outline": "outline",
    "separate": "separate",
    "connectivity": "connectivity",
    "footprint_filter": "filter_footprints",
    "before_date": "before_date",
    "after_date": "after_date",
    "formats": "formats",
    "kinds": "kinds",
    "report": "report",
    "qgis": "qgis",
    "runtime": "runtime",
    "precision": "precision",
    "flips": "flips",
    "threads": "threads",
    "tile": "tile_px",
    "overlap": "overlap_px",
    "batch": "batch",
}
"""Options of a detection, and which argument of :func:`hanet.detect` each one is."""


def image_names(
    before: str, after: str, *, stac: bool = False, asset: str | None = None
) -> tuple[str, str]:
    """Names of both images as the other wings take them.

    Args:
        before: As the user gave it.
        after: As the user gave it.
        stac: Both are items of STAC, however they are spelled.
        asset: Name of the asset to be read of both.

    Raises:
        SettingsError: An asset is named of what is no item.
    """
    from hanet.imagery.item_names import is_item_name, item_name

    if asset is not None and not stac:
        for name in (before, after):
            if not is_item_name(name):
                raise SettingsError(
                    f"--asset is for STAC items, and the name {name} does not look like one",
                    hint="if it is one, give --stac too",
                )
    if not stac and asset is None:
        return before, after
    return item_name(before, asset), item_name(after, asset)


def detection_settings(options: dict[str, Any]) -> dict[str, Any]:
    """Of the options of a verb those that :func:`hanet.detect` takes and the user gave, under its
    names and as values."""
    read: dict[str, Any] = {
        **options,
        "gsd": gsd(options["gsd"]),
        "bbox": reals(options["bbox"], "--bbox", count=4, example="620000,3349000,621000,3350000"),
        "bands": numbers(options["bands"], "--bands"),
        "scaling": reals(options["scaling"], "--scaling", count=2, example="0,3000"),
        "separate": options["separate"] if options["separate"] is not None else options["split"],
        "formats": names(options["formats"]),
    }
    return {SETTINGS[name]: read[name] for name in SETTINGS if read[name] is not None}


OutAsOption = Annotated[
    Path | None, typer.Option("--out", help="The file to write, in place of OUT.")
]


def file_to_write(argument: Path | None, option: Path | None, *, usage: str) -> Path:
    """The one file that a verb writes, given as an argument or, as other verbs take it, by
    ``--out``.

    Raises:
        SettingsError: Neither is given, or both.
    """
    if argument is not None and option is not None:
        raise SettingsError(
            f"the file to write is given twice: {argument} and --out {option}",
            hint="give it once",
        )
    found = argument if argument is not None else option
    if found is None:
        raise SettingsError("the file to write is missing", hint=usage)
    return found
