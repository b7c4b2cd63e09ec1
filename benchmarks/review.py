"""How quick a review is on a large result: opening, tiles, decisions, lists.

    python benchmarks/review.py FOLDER

FOLDER gets a rendered pair of 16384 x 16384 pixels (a scene of 2048 pixels laid side by side, tiled
GeoTIFFs without overviews) and a result with 20,000 footprints, unless it holds them; about 1.3 GB.
`hanet review` runs in a process of its own and is asked over the loopback as the page asks. The
result goes to results/review/speed.json.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import rasterio
from rasterio.windows import Window as RasterioWindow

from hanet.footprints.settings import FootprintSettings
from hanet.imagery.fingerprint import raster_fingerprint
from hanet.imagery.radiometry import Scaling
from hanet.imagery.raster_output import PROBABILITY_STEPS, FlatRaster, write_probability
from hanet.imagery.raster_source import RasterSource
from hanet.provenance import machine, versions
from hanet.synthetic.scene import render_scene
from hanet.types import Window

ROOT = Path(__file__).resolve().parents[1]
SIZE, PART = 16384, 2048
FOOTPRINTS, FAINT = 20_000, 3_000
THRESHOLD = 0.5
TILES, DECISIONS, AT_ONCE = 240, 400, 6


def make_pair(folder: Path) -> None:
    """``before.tif`` and ``after.tif``: one scene, moved a little from place to place."""
    scene = render_scene(folder / "scene", size=PART, overwrite=True)
    for date, path in (("before", scene.before), ("after", scene.after)):
        with rasterio.open(path) as source:
            part, profile = source.read(), source.profile
        profile |= {
            "height": SIZE,
            "width": SIZE,
            "tiled": True,
            "blockxsize": 256,
            "blockysize": 256,
            "compress": "lzw",
            "predictor": 2,
            "interleave": "pixel",
        }
        partial = folder / f"{date}.partial.tif"
        with rasterio.open(partial, "w", **profile) as target:
            for row in range(0, SIZE, PART):
                for column in range(0, SIZE, PART):
                    moved = np.roll(part, (row * 37 + column * 91) // PART, axis=2)
                    target.write(moved, window=RasterioWindow(column, row, PART, PART))
        partial.rename(folder / f"{date}.tif")


def make_result(folder: Path) -> None:
    """A finished run with :data:`FOOTPRINTS` rectangles of 8 to 40 pixels, and :data:`FAINT` whose
    probability stays under the threshold."""
    out = folder / "out"
    out.mkdir()
    with RasterSource(folder / "before.tif") as before, RasterSource(folder / "after.tif") as after:
        grid = before.grid
        identity = {"before": raster_fingerprint(before), "after": raster_fingerprint(after)}
        pair = {"before": before.manifest(), "after": after.manifest()}
    rng = np.random.default_rng(1)
    cells = 160  # along each side; a rectangle lies in each of those that are drawn
    side = SIZE // cells
    drawn = rng.permutation(cells * cells)[: FOOTPRINTS + FAINT]
    certain = rng.beta(2.0, 1.0, FOOTPRINTS) * (0.99 - THRESHOLD) + THRESHOLD + 0.01
    faint = rng.uniform(0.25, THRESHOLD - 0.05, FAINT)
    heights, widths = rng.integers(8, 41, (2, len(drawn)))
    stored = np.rint(np.concatenate([certain, faint]) * PROBABILITY_STEPS).astype(np.uint8)
    with FlatRaster(out / "probability.raw", grid) as flat:
        for band in range(cells):
            strip = np.full((side if band < cells - 1 else SIZE - side * band, SIZE), 2, np.uint8)
            for place in np.flatnonzero(drawn // cells == band).tolist():
                column = int(drawn[place] % cells) * side + 20
                strip[20 : 20 + heights[place], column : column + widths[place]] = stored[place]
            flat.write(Window(side * band, 0, *strip.shape), strip)
    write_probability(
        out / "probability.raw", grid, out / "probability.tif", tags={"THRESHOLD": str(THRESHOLD)}
    )
    (out / "probability.raw").unlink()
    manifest = {
        "identity": identity,
        "inputs": {"before": "../before.tif", "after": "../after.tif"},
        "weights": {"name": "none", "licence": ""},
        "pair": {
            **pair,
            "grid": grid.to_json(),
            "bands": [1, 2, 3],
            "scaling": Scaling.eight_bit(3).to_json(),
            "shift_applied": None,
            "histogram_matched": False,
        },
        "footprints": FootprintSettings(threshold=THRESHOLD).to_json(),
    }
    (out / "run.json").write_text(json.dumps(manifest), encoding="utf-8")


class Page:
    """A connection to a server, as a browser keeps one.

    Args:
        port: Of the server.
        token: Of its address.
    """

    def __init__(self, port: int, token: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._headers = {"X-Hanet-Token": token, "Accept-Encoding": "gzip"}

    def ask(self, path: str, body: Any = None) -> tuple[float, bytes]:
        """Milliseconds until the whole answer is here, and the answer."""
        begun = perf_counter()
        if body is None:
            self._connection.request("GET", path, headers=self._headers)
        else:
            headers = {**self._headers, "Content-Type": "application/json"}
            self._connection.request("POST", path, json.dumps(body), headers)
        response = self._connection.getresponse()
        content = response.read()
        took = 1000 * (perf_counter() - begun)
        if response.status not in (200, 204):
            raise SystemExit(f"{path}: {response.status} {content[:200]!r}")
        if response.headers.get("Content-Encoding") == "gzip":
            import gzip

            content = gzip.decompress(content)
        return took, content


@contextmanager
def reviewing(out: Path) -> Iterator[tuple[Callable[[], Page], float, int]]:
    """``hanet review``: what opens a connection, seconds until it served, and its process id."""
    command = [sys.executable, "-m", "hanet", "review", str(out), "--no-browser"]
    begun = perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        found = None
        while found is None:
            line = process.stdout.readline()
            if not line:
                raise SystemExit("hanet review has failed")
            found = re.search(r"127\.0\.0\.1:(\d+)/\?token=(\S+)", line)
        port, token = int(found[1]), found[2]
        yield lambda: Page(port, token), perf_counter() - begun, process.pid
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def spread(milliseconds: list[float]) -> dict[str, Any]:
    """Number, median, 95th percentile and largest."""
    return {
        "count": len(milliseconds),
        "p50_ms": round(float(np.percentile(milliseconds, 50)), 1),
        "p95_ms": round(float(np.percentile(milliseconds, 95)), 1),
        "max_ms": round(max(milliseconds), 1),
    }


def tile_places(levels: int, rng: np.random.Generator) -> list[tuple[int, int, int]]:
    """Tiles (z, x, y), each once, as many of each level where it has so many."""
    places = []
    for z in range(levels):
        count = 1 << z
        chosen = rng.permutation(count * count)[: TILES // levels]
        places += [(z, int(one) % count, int(one) // count) for one in chosen]
    return places


def measure(out: Path) -> dict[str, Any]:
    """Everything that is measured."""
    shutil.rmtree(out / "review", ignore_errors=True)
    result: dict[str, Any] = {}
    with reviewing(out) as (_, seconds, _):
        result["opening_first_s"] = round(seconds, 1)
    with reviewing(out) as (connect, seconds, pid):
        result["opening_again_s"] = round(seconds, 1)
        page = connect()
        facts = json.loads(page.ask("/api/review")[1])
        result["footprints"] = facts["progress"]["found"]["total"]
        result["missed"] = facts["progress"]["missed"]["total"]
        took, content = page.ask("/api/items?queue=found&order=doubt")
        ids = [item["id"] for item in json.loads(content)["items"]]
        result["whole_queue_ms"] = round(took, 1)
        box = "6000,6000,7400,6900"
        result["outlines_of_a_screen"] = spread(
            [page.ask(f"/api/shapes?box={box}&limit=5000")[0] for _ in range(20)]
        )
        levels, rng = facts["display"]["levels"], np.random.default_rng(2)
        for layer in ("before", "after", "probability"):
            times = [
                page.ask(f"/tiles/{layer}/{z}/{x}/{y}")[0] for z, x, y in tile_places(levels, rng)
            ]
            result[f"tile_{layer}"] = spread(times)
        result["tile_of_a_screen_at_once"] = spread(at_once(connect, levels, rng))
        page.ask("/api/decide", {"ids": ids[-1:], "set": {"status": "accepted"}})
        result["decision"] = spread(
            [
                page.ask("/api/decide", {"ids": [one], "set": {"status": "accepted"}})[0]
                for one in ids[:DECISIONS]
            ]
        )
        result["undo"] = spread([page.ask("/api/undo", {})[0] for _ in range(100)])
        many = {"ids": ids[:1000], "set": {"status": "rejected"}}
        result["decision_on_1000_ms"] = round(page.ask("/api/decide", many)[0], 1)
        result["resident_mb"] = resident_mb(pid)
    return result


def at_once(connect: Callable[[], Page], levels: int, rng: np.random.Generator) -> list[float]:
    """Milliseconds of tiles of both dates at full resolution, asked for by as many connections as a
    browser opens."""
    places = rng.permutation((1 << levels - 1) ** 2)[:60]
    names = [
        f"/tiles/{date}/{levels - 1}/{one % (1 << levels - 1)}/{one // (1 << levels - 1)}"
        for one in places.tolist()
        for date in ("before", "after")
    ]

    def some(number: int) -> list[float]:
        page = connect()
        return [page.ask(name)[0] for name in names[number::AT_ONCE]]

    with ThreadPoolExecutor(AT_ONCE) as threads:
        return [took for part in threads.map(some, range(AT_ONCE)) for took in part]


def resident_mb(pid: int) -> float | None:
    """Resident memory of a process at its peak; None where the system does not tell."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(r"VmHWM:\s+(\d+) kB", text)
    return round(int(found[1]) / 1024, 1) if found else None


def main() -> None:
    """Makes what is missing, measures, and writes the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="for the pair and its result")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    if not all((folder / f"{date}.tif").exists() for date in ("before", "after")):
        make_pair(folder)
    if not (folder / "out" / "run.json").exists():
        shutil.rmtree(folder / "out", ignore_errors=True)
        make_result(folder)
    result = {
        "what": f"hanet review of a {SIZE} x {SIZE} pair without overviews, over the loopback",
        "command": "python benchmarks/review.py FOLDER",
        **measure(folder / "out"),
        "load_average": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "machine": machine(),
        "versions": versions(["numpy", "rasterio", "pillow", "shapely"]),
    }
    path = ROOT / "results" / "review" / "speed.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
