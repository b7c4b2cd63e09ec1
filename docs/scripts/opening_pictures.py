"""Makes the pictures that README and the guide to detection open with, of the rendered demo:
``docs/images/demo.jpg`` (both dates with what was found), ``report.jpg`` (the report) and
``report-and-review.webp`` (report, review and delivery, animated).

    make demo
    PYTHONPATH=benchmarks:tests/support python docs/scripts/opening_pictures.py demo

Needs Chromium. Not part of ``make pages``: a browser's pixels differ from version to version.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rasterio
from PIL import Image, ImageDraw, ImageFont
from playwright.sync_api import Page, sync_playwright
from rasterio.windows import Window

import hanet
from chromium_page import chromium
from review_keys import RENDERED, serving

IMAGES = Path(__file__).resolve().parents[1] / "images"

PART = Window(1400, 1120, 520, 400)
"""Part of the demo that is shown: buildings of both kinds, a crossing, parked cars."""

ENLARGED = 2
"""Screen pixels for a pixel of the images: the outlines stay thin."""

COLOURS = {"built": "#19e68c", "demolished": "#ff5a4d"}
"""Colours of kinds, as the report has them over both dates."""

GAP = 12
"""Pixels between the two dates."""

SCREEN = {"width": 960, "height": 580}
CAPTION = 36
"""Height of the line under each picture of the animation."""


class Frame(NamedTuple):
    """A picture of the animation, and how long it stays."""

    picture: Image.Image
    milliseconds: int


def both_dates(scene: Path, result: hanet.detection.result.DetectionResult) -> Image.Image:
    """Both dates beside each other, with the footprints of one part."""
    width, height = (ENLARGED * int(side) for side in (PART.width, PART.height))
    picture = Image.new("RGB", (2 * width + GAP, height), "white")
    for column, date in enumerate(("before", "after")):
        with rasterio.open(scene / f"{date}.tif") as raster:
            bands = raster.read(window=PART)
            to_pixels = ~raster.window_transform(PART)
        image = Image.fromarray(np.moveaxis(bands, 0, -1)).resize((width, height), Image.LANCZOS)
        draw = ImageDraw.Draw(image)
        for footprint in result.footprints().explode().itertuples():
            ring = [to_pixels * point for point in footprint.geometry.exterior.coords]
            corners = [(ENLARGED * x, ENLARGED * y) for x, y in ring]
            draw.line(corners, fill="black", width=6, joint="curve")
            draw.line(corners, fill=COLOURS[footprint.kind], width=3, joint="curve")
        _label(draw, date)
        picture.paste(image, (column * (width + GAP), 0))
    return picture


def _label(draw: ImageDraw.ImageDraw, words: str) -> None:
    font = ImageFont.load_default(28)
    left, top, right, bottom = draw.textbbox((24, 16), words, font=font)
    draw.rounded_rectangle((left - 12, top - 8, right + 12, bottom + 10), 8, fill="#202020")
    draw.text((24, 16), words, fill="white", font=font)


def seen(page: Page, caption: str, milliseconds: int) -> Frame:
    """What the page shows, with a line under it."""
    page.wait_for_timeout(150)
    with Image.open(io.BytesIO(page.screenshot())) as screen:
        size = (screen.width, screen.height + CAPTION)
        picture = Image.new("RGB", size, "#17202a")
        picture.paste(screen.convert("RGB"))
    font, middle = ImageFont.load_default(18), (size[0] // 2, size[1] - CAPTION // 2)
    ImageDraw.Draw(picture).text(middle, caption, fill="white", font=font, anchor="mm")
    return Frame(picture, milliseconds)


def report(page: Page, address: str) -> Iterator[Frame]:
    """The head of the report, one place with the swipe, the cards."""
    said = "hanet detect  >  report.html: "
    page.goto(address)
    yield seen(page, said + "what was found, and how far to trust it", 2200)
    page.click(".card button")
    page.click("#out")
    page.evaluate("document.activeElement.blur()")
    page.evaluate("document.querySelector('#viewer').scrollIntoView()")
    page.focus("#handle")
    page.keyboard.press("End")
    yield seen(page, said + "every footprint on both dates", 1200)
    for step in range(1, 41):
        page.keyboard.press("ArrowLeft")
        if step % 5 == 0:
            yield seen(page, said + "every footprint on both dates", 1500 if step == 40 else 160)
        if step == 20:
            page.screenshot(path=IMAGES / "report.jpg", type="jpeg", quality=82)
    page.evaluate("document.querySelector('.cards').parentElement.scrollIntoView()")
    yield seen(page, said + "the largest changes, and the most doubtful", 1800)


def review(page: Page, address: str) -> Iterator[Frame]:
    """A few decisions by keys, and an outline that is corrected."""
    said = "hanet review: "
    page.goto(address)
    page.wait_for_selector("body[data-ready]")
    captions = {
        "": "both dates of a footprint, side by side",
        "a": "A accepts, and the next one comes",
        "a ": "A accepts, and the next one comes",
        "r": "R rejects, Z takes it back",
        "e": "E corrects the outline",
    }
    for key, caption in captions.items():
        if key:
            page.keyboard.press(key.strip())
        page.evaluate(RENDERED)
        page.wait_for_timeout(400)  # outlines come after the tiles
        yield seen(page, said + caption, 1500 if key in ("", "e") else 1100)
    page.keyboard.press("Escape")
    page.keyboard.press("z")
    for _ in range(page.evaluate("hanetReview.review.size")):
        page.keyboard.press("a")
    page.wait_for_selector('body[data-unsaved="0"]')


def delivery(page: Page, result: Path) -> Iterator[Frame]:
    """The page that goes with the reviewed layer."""
    command = [sys.executable, "-m", "hanet", "deliver", str(result)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    page.goto((result / "delivery" / "delivery.html").as_uri())
    yield seen(page, "hanet deliver: the reviewed layer, and a page about it", 2500)


def animation(scene: Path, result: Path) -> list[Frame]:
    """Report, review and delivery of a copy of the result."""
    images: dict[Any, str | None] = {
        date: str((scene / f"{date}.tif").resolve()) for date in ("before", "after")
    }
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        copy = Path(shutil.copytree(result, Path(folder) / "result"))
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = browser.new_page(viewport=SCREEN)  # type: ignore[arg-type]
        frames = list(report(page, (copy / "report.html").as_uri()))
        with serving(copy, images) as address:
            frames += list(review(page, address))
            page.goto("about:blank")
        frames += list(delivery(page, copy))
        browser.close()
    return frames


def main(demo: Path) -> None:
    """Makes all three."""
    scene, result = demo / "scene", demo / "result"
    stills = both_dates(scene, hanet.open_result(result))
    stills.resize((1400, 1400 * stills.height // stills.width), Image.LANCZOS).save(
        IMAGES / "demo.jpg", quality=80, optimize=True, progressive=True
    )
    frames = animation(scene, result)
    first, *others = [frame.picture for frame in frames]
    first.save(
        IMAGES / "report-and-review.webp",
        save_all=True,
        append_images=others,
        duration=[frame.milliseconds for frame in frames],
        loop=0,
        quality=70,
        method=6,
    )
    for path in ("demo.jpg", "report.jpg", "report-and-review.webp"):
        print(f"{path}: {(IMAGES / path).stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
