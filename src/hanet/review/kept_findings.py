"""Findings kept in the review folder, so that a review of a large result begins at once.

They can always be made again from ``probability.tif``; a file that cannot be used is as good as
none.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt
import shapely

from hanet.errors import HanetError, InputError
from hanet.files import replacing
from hanet.footprints.settings import FootprintSettings
from hanet.review.finding import BlankTiles, Findings
from hanet.review.items import Item, Source
from hanet.types import Json

FORMAT = 1
"""Of the files; to be raised when what they hold, or how it is found, changes."""

_Arrays = dict[str, npt.NDArray[np.generic]]


def findings_path(folder: Path, probability_sha256: str, settings: FootprintSettings) -> Path:
    """Where the findings of a probability raster and these settings are kept."""
    key = json.dumps([FORMAT, probability_sha256, settings.to_json()], sort_keys=True)
    return folder / f"findings-{hashlib.sha256(key.encode()).hexdigest()[:16]}.npz"


def keep_findings(path: Path, findings: Findings) -> None:
    """Writes findings whole or not at all, and removes those of other settings beside them.

    Raises:
        OutputError: The disk does not take them.
    """
    tiles = findings.blank
    arrays: _Arrays = {
        **_columns("found", findings.found),
        **_columns("missed", findings.missed),
        "tile_px": np.array(tiles.tile_px),
        "columns": np.array(tiles.columns),
        "numbers": tiles.numbers,
    }
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    remove_other_findings(path)


def remove_other_findings(path: Path) -> None:
    """Removes findings of other settings that are kept beside these: after new ones were kept, and
    where a process was killed between the two."""
    for other in path.parent.glob("findings-*.npz"):
        if other != path:
            with suppress(OSError):
                other.unlink()


_LEFT = re.compile(r"\.(findings-[0-9a-f]{16}\.npz|inputs\.json)\.\d+\.partial")


def clear_left(folder: Path) -> None:
    """Removes what a killed process was writing into a review folder and what can be made again.
    For who holds its lock."""
    for path in folder.glob(".*.partial"):
        if _LEFT.fullmatch(path.name):
            with suppress(OSError):
                path.unlink()


def kept_findings(path: Path) -> Findings | None:
    """What :func:`keep_findings` wrote, as a first generation; None where there is nothing that can
    be used."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            height, width = arrays["tile_px"].tolist()
            numbers = arrays["numbers"].astype(np.int64)
            tiles = BlankTiles((int(height), int(width)), int(arrays["columns"]), numbers)
            found = _items(arrays, "found")
            missed = _items(arrays, "missed")
    except _CANNOT_BE_USED:
        return None
    return Findings(found, missed, tiles).of_generation(0)


_CANNOT_BE_USED = (
    OSError,
    EOFError,
    KeyError,
    ValueError,
    TypeError,
    IndexError,
    zipfile.BadZipFile,
    shapely.errors.ShapelyError,
    HanetError,
)


def _columns(name: str, items: Sequence[Item]) -> _Arrays:
    shapes = np.empty(len(items), dtype=object)
    shapes[:] = [item.geometry for item in items]
    pieces = shapely.to_wkb(shapes).tolist() if len(items) else []
    areas = [np.nan if item.area_m2 is None else item.area_m2 for item in items]
    return {
        f"{name}_wkb": np.frombuffer(b"".join(pieces), dtype=np.uint8),
        f"{name}_ends": np.cumsum([len(piece) for piece in pieces], dtype=np.int64),
        f"{name}_probability": np.array([item.probability for item in items], dtype=np.float64),
        f"{name}_area_m2": np.array(areas, dtype=np.float64),
    }


def _items(arrays: Json, source: Source) -> tuple[Item, ...]:
    content = arrays[f"{source}_wkb"].tobytes()
    ends = arrays[f"{source}_ends"].tolist()
    shapes = shapely.from_wkb(
        [content[start:end] for start, end in zip([0, *ends][:-1], ends, strict=True)]
    )
    if any(shape.geom_type not in ("Polygon", "MultiPolygon") for shape in shapes):
        raise InputError("an outline is no polygon")
    columns = (arrays[f"{source}_{name}"].tolist() for name in ("probability", "area_m2"))
    return tuple(
        Item(f"{source[0]}0", source, shape, probability, None if math.isnan(area) else area)
        for shape, probability, area in zip(shapes, *columns, strict=True)
    )
