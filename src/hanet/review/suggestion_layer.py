"""The layer of suggested tiles, for maps: ``suggestions.gpkg`` beside the footprints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hanet.documents import DocumentError, read_json
from hanet.files import check_not_open, file_hash, keep_aside, replace_file
from hanet.footprints.measures import on_the_map
from hanet.imagery.grid import Grid
from hanet.imagery.vectors import FeatureWriter
from hanet.review.journal import FOLDER
from hanet.review.label_tiles import SuggestedTile

STEM = "suggestions"
"""Name of the layer and of its file."""

KNOWN = "suggestions.json"
"""File of the review folder that keeps the hash of the layer as it was written."""


@dataclass(frozen=True, slots=True)
class Suggested:
    """A tile that was suggested.

    Args:
        pair: Name of its pair; ``""`` where there is only one.
        tile: It, with the reason.
        footprints: Number of footprints that reach into it.
        near: Share of its pixels that are near the threshold, in 0-1.
    """

    pair: str
    tile: SuggestedTile
    footprints: int
    near: float


def write_layer(out: Path, tiles: Sequence[Suggested], grid: Grid) -> tuple[Path, str]:
    """Writes the tiles as a layer, whole or not at all. A file of that name that is not as it was
    written is kept as ``suggestions-kept-N.gpkg``.

    Args:
        out: The result folder.
        tiles: The most useful first; none give an empty layer.
        grid: Of the result.

    Returns:
        The file, and a remark about one that was kept.

    Raises:
        OutputError: The file is open in another program, or the disk does not take it.
    """
    path = out / f"{STEM}.gpkg"
    check_not_open(path)
    note = ""
    shapes = np.empty(len(tiles), dtype=object)
    shapes[:] = [one.tile.item.geometry for one in tiles]
    writer = FeatureWriter(
        out,
        STEM,
        ("gpkg",),
        crs=grid.crs,
        layer=STEM,
        fields={"rank": int, "id": str, "reason": str, "footprints": int, "near_threshold": float},
    )
    with writer:
        if tiles:
            writer.write(
                list(on_the_map(shapes, grid)),
                {
                    "rank": list(range(1, len(tiles) + 1)),
                    "id": [one.tile.item.id for one in tiles],
                    "reason": [one.tile.reason for one in tiles],
                    "footprints": [one.footprints for one in tiles],
                    "near_threshold": [round(one.near, 4) for one in tiles],
                },
            )
        # moved into place when the writer closes
        if path.is_file() and not path.is_symlink() and file_hash(path) != _written(out):
            kept = keep_aside([path])[0]
            note = f"{path.name} was not as it had been written, and is kept as {kept.name}"
    text = json.dumps({"sha256": file_hash(path)})
    replace_file(out / FOLDER / KNOWN, text.encode())
    return path, note


def _written(out: Path) -> str:
    """SHA-256 of the layer as it was written; ``""`` where that is not known."""
    try:
        values = read_json(out / FOLDER / KNOWN)
    except (OSError, DocumentError):
        return ""
    return str(values.get("sha256", "")) if isinstance(values, dict) else ""
