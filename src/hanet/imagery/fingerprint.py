"""What an input is, so that ``--resume`` notices another one: its bytes or its address, and the
files that it is made of."""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from collections.abc import Iterable
from pathlib import Path

import rasterio
from rasterio.errors import NotGeoreferencedWarning

from hanet.imagery.addresses import address_identity, lies_here
from hanet.imagery.gdal import reading
from hanet.imagery.raster_source import RasterSource
from hanet.types import Json

HASHED_WHOLE_BYTES = 1 << 30
"""Files up to this size are hashed whole; of larger ones the size, the first and the last 16
MiB."""

MADE_ON_THE_WAY = (".aux.xml", ".ovr")
"""Endings of files that viewers lay beside a raster."""


def fingerprint(path: str) -> Json:
    """Identity of an input: size and SHA-256 of a local file (of its ends, if it is large), else
    its name without credentials."""
    holder, mark, layer = path.partition("|layername=")  # a layer of a vector file
    if mark and lies_here(holder):
        return {**fingerprint(holder), "layer": layer}
    local = Path(path)
    if not (lies_here(local) and local.is_file()):
        return address_identity(path)
    size = local.stat().st_size
    digest = hashlib.sha256()
    with local.open("rb") as file:
        if size <= HASHED_WHOLE_BYTES:
            while block := file.read(1 << 20):
                digest.update(block)
            return {"bytes": size, "sha256": digest.hexdigest()}
        end = 16 << 20
        digest.update(file.read(end))
        file.seek(-end, os.SEEK_END)
        digest.update(file.read(end))
    return {"bytes": size, "sha256_of_both_ends": digest.hexdigest()}


def raster_fingerprint(source: RasterSource, *, whole: Json | None = None) -> Json:
    """Identity of a raster: that of its name, and size and time of the other local files that GDAL
    reads with it.

    Those are the sources of a VRT, at any depth, the bands of a scene, a mask beside it, the file
    that a part is taken of. They may be many and large, so their bytes are not read.

    Args:
        source: The raster.
        whole: Identity of its name, where that is known and the file need not be read for it.
    """
    whole = fingerprint(source.path) if whole is None else whole
    parts = _parts(source)
    if not parts:
        return whole
    facts = [(part.name, part.stat()) for part in parts]
    lines = sorted(f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in facts)
    return {
        **whole,
        "parts": {
            "files": len(facts),
            "bytes": sum(stat.st_size for _, stat in facts),
            "sha256_of_sizes_and_times": hashlib.sha256("\n".join(lines).encode()).hexdigest(),
        },
    }


def local_files(source: RasterSource) -> set[Path]:
    """Local files that a raster is read from: its own, and those that GDAL reads with it."""
    own = _local_file(source.path)
    return _parts(source) | ({own} if own is not None else set())


def states(paths: Iterable[Path]) -> dict[Path, tuple[int, int] | None]:
    """Size and time of the last change of files, so that a later call shows which were changed;
    None for one that is gone."""
    found: dict[Path, tuple[int, int] | None] = {}
    for path in paths:
        try:
            stat = path.stat()
        except OSError:
            found[path] = None
        else:
            found[path] = (stat.st_size, stat.st_mtime_ns)
    return found


def _parts(source: RasterSource) -> set[Path]:
    """Local files of a raster; GDAL tells of a VRT within a VRT its name alone."""
    found: set[Path] = set()
    itself = Path(source.path).resolve() if source.is_local else None
    waiting = list(source.dataset.files)
    while waiting:
        local = _local_file(waiting.pop())
        if local is None or local in found or local.name.endswith(MADE_ON_THE_WAY):
            continue
        found.add(local)
        if local.suffix == ".vrt" and local != itself:
            with reading(source.name), warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                with rasterio.open(local) as inner:
                    waiting += inner.files
    return {part for part in found if part != itself}


def _local_file(name: str) -> Path | None:
    """The file of the disk behind one of GDAL's names: ``/vsizip//data/a.zip/x.tif`` lies in
    ``/data/a.zip``."""
    path = Path(re.sub(r"^(/vsi[a-z0-9_]+/)+\{?", "", name).replace("}", ""))
    places = (place for place in (path, *path.parents) if lies_here(place))
    return next((place.resolve() for place in places if place.is_file()), None)
