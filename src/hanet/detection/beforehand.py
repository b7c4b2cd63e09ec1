"""What would keep a detection from writing its result, found before a pixel is read: the folder,
the formats, and, once the grid is known, the room on the disk."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from hanet.destination import check_folder, check_room
from hanet.detection.run_folder import WORK, check_taken, refuse_inputs, result_files
from hanet.detection.settings import DetectionSettings
from hanet.imagery.grid import Grid
from hanet.imagery.in_memory import RasterInput, path_of
from hanet.imagery.libraries import RASTERS_OF_RESULTS, check_drivers
from hanet.imagery.vector_formats import FORMATS, check_formats

PLANES = ("probability.raw", "built.raw")
"""Of the work folder: a byte a pixel each while a run continues."""

RESULT_SHARE = 0.04
"""Room that the finished rasters take at least, as a share of the planes: 0.04 of the demo pair,
0.22 of Joplin (2026-11-28); the rest of a run does not grow with the pixels."""


def check_results(folder: Path, settings: DetectionSettings, *, what: str = "--out") -> None:
    """Does nothing where a folder can take what these settings write.

    Raises:
        HanetError: A name, the folder, a format, a driver or a package is in the way.
    """
    check_folder(folder, what)
    check_formats(settings.formats, FORMATS)
    check_drivers(rasters=RASTERS_OF_RESULTS)


def check_run(
    folder: Path,
    settings: DetectionSettings,
    inputs: Iterable[RasterInput],
    *,
    resume: bool,
    overwrite: bool,
) -> None:
    """:func:`check_results`, and the folder holds neither an input nor a result that nobody asked
    to continue or remove.

    Args:
        folder: Of the result.
        settings: As chosen.
        inputs: Both rasters.
        resume: Whether a run is to be continued.
        overwrite: Whether the result that is there is to be removed.

    Raises:
        HanetError: One of these.
    """
    check_results(folder, settings)
    files = result_files(settings.formats)
    read = [Path(path) for given in inputs if (path := path_of(given)) is not None]
    read += [] if settings.aoi is None else [settings.aoi]
    refuse_inputs(folder, read, names=files)
    check_taken(folder, files=files, resume=resume, overwrite=overwrite)


def check_disk(folder: Path, grid: Grid, *, planes: int) -> None:
    """Does nothing where the disk has room for a run.

    Args:
        folder: Of the result.
        grid: Of the result.
        planes: Rasters of probability: 2 where the weights tell built from demolished.

    Raises:
        OutputError: It has none.
    """
    size = grid.height * grid.width
    there = sum(
        size for name in PLANES[:planes] if _size(folder / WORK / name) == size
    )  # of a run that continues
    check_room(
        folder,
        round(planes * size * (1 + RESULT_SHARE)) - there,
        hint="make room, take an --out on another disk, or cut the pair by --bbox, --aoi or --gsd",
    )


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
