"""What a raster is: another one is noticed, the same one is known again."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from hanet.imagery.fingerprint import raster_fingerprint
from hanet.imagery.raster_source import RasterSource
from hanet.types import Json
from small_rasters import write


def _fingerprint(name: str | Path) -> Json:
    with RasterSource(name) as source:
        return raster_fingerprint(source)


def _vrt(path: Path, source: str) -> Path:
    path.write_text(
        '<VRTDataset rasterXSize="8" rasterYSize="8"><VRTRasterBand dataType="Byte" '
        'band="1"><SimpleSource>'
        f'<SourceFilename relativeToVRT="1">{source}</SourceFilename><SourceBand>1</SourceBand>'
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )
    return path


@pytest.fixture
def tile(tmp_path: Path) -> Path:
    (tmp_path / "tiles").mkdir()
    return write(tmp_path / "tiles" / "a.tif", np.zeros((1, 8, 8), np.uint8))


@pytest.mark.parametrize("kind", ["vrt", "vrt in a vrt", "part", "archive"])
def test_a_changed_source_is_noticed(kind: str, tile: Path, tmp_path: Path) -> None:
    """Of a VRT the XML alone counted, of a part of a file its name: --resume gave the old result,
    or mixed old and new."""
    inner = _vrt(tmp_path / "inner.vrt", "tiles/a.tif")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tile, "a.tif")
    name, changed = {
        "vrt": (inner, tile),
        "vrt in a vrt": (_vrt(tmp_path / "outer.vrt", "inner.vrt"), tile),
        "part": (f"GTIFF_DIR:1:{tile}", tile),
        "archive": (f"/vsizip/{tmp_path}/a.zip/a.tif", tmp_path / "a.zip"),
    }[kind]
    first = _fingerprint(name)
    assert _fingerprint(name) == first
    assert first["parts"]["files"] == (2 if kind == "vrt in a vrt" else 1)
    stat = changed.stat()
    os.utime(changed, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000_000))
    assert _fingerprint(name) != first
    json.dumps(first)


def test_a_file_by_itself_is_its_bytes(tile: Path, tmp_path: Path) -> None:
    first = _fingerprint(tile)
    assert sorted(first) == ["bytes", "sha256"]
    copy = shutil.copy(tile, tmp_path / "copy.tif")
    (tmp_path / "copy.tif.aux.xml").write_text(
        "<PAMDataset></PAMDataset>"
    )  # as gdalinfo -stats or QGIS leave it
    assert _fingerprint(copy) == first


def test_remote_sources_are_not_asked(tmp_path: Path) -> None:
    path = _vrt(tmp_path / "far.vrt", "a.tif")
    path.write_text(
        path.read_text().replace(
            'relativeToVRT="1">a', 'relativeToVRT="0">/vsicurl/http://127.0.0.1:9/a'
        )
    )
    assert sorted(_fingerprint(path)) == ["bytes", "sha256"]
