"""Reviews the demo by keys alone in Chromium: key presses, and the seconds that the page takes.

    make demo
    python benchmarks/review_keys.py demo/result --truth demo/scene/mask.tif

Works on a copy of the folder. The reviewer is a program that knows the truth: it accepts a
footprint of which at least half changed and rejects others, presses one wrong key now and then and
takes it back, and decides as soon as both dates are drawn. So the seconds are those of the page and
the server; what a person takes to look comes on top. `load` is what else the machine did meanwhile
(processes at work on average; compare it with the cores). The result goes to
results/review/keys.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import rasterio
from playwright.sync_api import Page, sync_playwright

from hanet.files import replace_file
from hanet.provenance import machine, versions
from hanet.review.journal import read_journal
from hanet.review.server import opened
from hanet.types import Json

ROOT = Path(__file__).resolve().parents[1]
SLIP_EVERY = 25
"""Footprints between two wrong keys that are taken back."""

RENDERED = """() => Promise.all(hanetReview.maps.both.filter((map) => map.getTarget()).map(
  (map) => new Promise((done) => { map.once("rendercomplete", done); map.render(); })))"""
"""Waits until both dates are drawn."""


@contextmanager
def serving(out: Path, images: dict[Any, str | None]) -> Iterator[str]:
    """Serves the review of a folder; gives the address of its page."""
    stop = threading.Event()
    opening = opened(
        out,
        reviewer="benchmark",
        given=images,
        port=0,
        progress=lambda _stage, _share: None,
        warn=print,
    )
    with opening as server:
        thread = threading.Thread(target=server.serve, args=(stop,))
        thread.start()
        try:
            yield server.address
        finally:
            stop.set()
            thread.join()


class Reviewer:
    """Presses keys, and counts them."""

    def __init__(self, page: Page, truth: Path) -> None:
        self._page, self.keys = page, 0
        with rasterio.open(truth) as raster:
            self._truth = raster.read(1) > 0

    def press(self, key: str) -> None:
        """Presses a key."""
        self._page.keyboard.press(key)
        self.keys += 1

    @property
    def current(self) -> str:
        """Id of the current footprint."""
        return str(self._page.evaluate("document.body.dataset.current"))

    def key_for(self, identity: str) -> str:
        """Accept where at least half of the footprint's box changed, else reject."""
        box = self._page.evaluate("(id) => hanetReview.review.item(id).box", identity)
        left, top, right, bottom = (round(value) for value in box)
        return "a" if np.mean(self._truth[top:bottom, left:right]) >= 0.5 else "r"

    def review(self) -> list[float]:
        """Decides on the whole queue; gives the seconds from each key until both dates of the next
        footprint are drawn."""
        total = int(self._page.evaluate("hanetReview.review.size"))
        seconds = []
        for number in range(total):
            key = self.key_for(self.current)
            if number % SLIP_EVERY == SLIP_EVERY - 1:
                self.press("a" if key == "r" else "r")
                self.press("z")
                self._page.wait_for_selector('body[data-unsaved="0"]')
            begun = perf_counter()
            self.press(key)
            self._page.evaluate(RENDERED)
            seconds.append(perf_counter() - begun)
        self._page.wait_for_selector('body[data-unsaved="0"]')
        return seconds


def measure(result: Path, truth: Path, chromium: str) -> Json:
    """Reviews a copy of a result folder."""
    scene = truth.parent
    images: dict[Any, str | None] = {
        date: str((scene / f"{date}.tif").resolve()) for date in ("before", "after")
    }
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        out = Path(shutil.copytree(result, Path(folder) / "result"))
        shutil.rmtree(out / "review", ignore_errors=True)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        with serving(out, images) as address:
            page = browser.new_page(viewport={"width": 1400, "height": 900})
            page.goto(address)
            page.wait_for_selector("body[data-ready]")
            page.evaluate(RENDERED)
            reviewer = Reviewer(page, truth)
            begun = perf_counter()
            seconds = reviewer.review()
            whole = perf_counter() - begun
            told = page.inner_text("#reviewed"), page.inner_text("#counts")
            browser.close()
        items = read_journal(out).items.values()
    statuses = [item.status for item in items]
    return {
        "footprints": len(statuses),
        "statuses": {status: statuses.count(status) for status in sorted(set(statuses))},
        "page_says": " ".join(told),
        "keys": reviewer.keys,
        "seconds": round(whole, 2),
        "seconds_until_the_next_is_drawn": {
            "median": round(statistics.median(seconds), 3),
            "95th": round(float(np.quantile(seconds, 0.95)), 3),
            "largest": round(max(seconds), 3),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("result", type=Path, help="folder of the demo's detection")
    parser.add_argument("--truth", type=Path, required=True, help="mask.tif of the demo's scene")
    parser.add_argument("--chromium", default=shutil.which("chromium") or "chromium")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "review" / "keys.json")
    options = parser.parse_args()
    measured = measure(options.result, options.truth, options.chromium)
    told = {
        "machine": machine(),
        "load": round(os.getloadavg()[0], 1),
        "versions": versions(["playwright", "numpy"]),
        **measured,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    replace_file(options.out, (json.dumps(told, indent=2) + "\n").encode())
    print(json.dumps(measured, indent=2))


if __name__ == "__main__":
    main()
