"""Shards of images on a server: each reads the ranges that its tiles need, and no others."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil

from hanet.detection.plan import Plan, read_plan
from hanet.detection.planning import plan
from hanet.types import Window
from range_server import RangeHandler, running
from small_rasters import write

SIDE, BLOCK = 2048, 256

CHUNK = 16_384
"""GDAL asks a server for no less."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = files
        self.asked: list[tuple[str, int, int]] = []


class Handler(RangeHandler, BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        first, end = self.answer(content)
        if self.command == "GET":
            self.server.asked.append((self.path, first, end))


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[Server]:
    with running(Server(files)) as server:
        yield server


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two cloud-optimised GeoTIFFs of noise, which no compression makes small."""
    folder, paths = tmp_path_factory.mktemp("images"), {}
    for seed, date in enumerate(("before", "after")):
        pixels = np.random.default_rng(seed).integers(1, 255, (3, SIDE, SIDE), dtype=np.uint8)
        plain = write(folder / f"plain-{date}.tif", pixels)
        paths[f"/{date}.tif"] = folder / f"{date}.tif"
        rasterio.shutil.copy(
            plain, paths[f"/{date}.tif"], driver="COG", compress="deflate", blocksize=BLOCK
        )
    return paths


def allowed(path: Path, window: Window) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which bytes of a file hold its header or a block that a window touches; in whole chunks, as
    GDAL asks for them."""
    may = np.zeros(path.stat().st_size + CHUNK, dtype=np.bool_)
    may[: 4 * CHUNK] = True
    with rasterio.open(path) as dataset:
        for row in range(window.row // BLOCK, -(-window.row_end // BLOCK)):
            for column in range(window.column // BLOCK, -(-window.column_end // BLOCK)):
                offset, size = (
                    int(dataset.get_tag_item(f"BLOCK_{what}_{column}_{row}", "TIFF", bidx=1))
                    for what in ("OFFSET", "SIZE")
                )
                may[offset // CHUNK * CHUNK : -(-(offset + size) // CHUNK) * CHUNK] = True
    return may


def needed_window(made: Plan, index: int) -> Window:
    """The pixels of all tiles that a shard infers."""
    needed = made.tiles.needed(made.shards[index].part)
    first = made.tiles.chunk(needed.rows[0], needed.chunks[0]).window
    last = made.tiles.chunk(needed.rows[-1], needed.chunks[-1]).window
    return Window(first.row, first.column, last.row_end - first.row, last.column_end - first.column)


def run(*arguments: str) -> None:
    """In a process of its own: GDAL keeps what it has read for the whole process."""
    program = "from hanet.cli import main; main()"
    subprocess.run([sys.executable, "-c", program, *arguments], check=True, capture_output=True)


def test_a_shard_reads_only_the_ranges_that_it_needs(
    images: dict[str, Path], tmp_path: Path
) -> None:
    with serving({name: path.read_bytes() for name, path in images.items()}) as server:
        address = f"http://127.0.0.1:{server.server_address[1]}"
        made = plan(
            f"{address}/before.tif",
            f"{address}/after.tif",
            out=tmp_path / "run",
            shards=16,
            tile_px=256,
            overlap_px=32,
            batch=1,
        )
        assert read_plan(made.path).places["before"] == f"{address}/before.tif"
        middle = next(
            shard.index
            for shard in made.shards
            if shard.window.row > BLOCK and shard.window.column > BLOCK
        )
        server.asked.clear()
        run("detect", "--plan", str(made.path), "--shard", str(middle), "--threads", "1")
        asked = list(server.asked)
    window = needed_window(made, middle)
    assert window.height * window.width < SIDE * SIDE / 6
    for name, path in images.items():
        may, got = allowed(path, window), np.zeros(path.stat().st_size + CHUNK, dtype=np.int64)
        for asked_of, first, end in asked:
            if asked_of == name:
                got[first:end] += 1
        needless = int((got[~may] > 0).sum())
        # GDAL reads ahead where one range follows another, by less than a row of blocks
        assert needless < 0.15 * may.sum(), f"{needless} bytes of {name} that no tile needs"
        assert got.sum() < 1.3 * may.sum()
        assert 0.1 < (got > 0).mean() < 0.3
