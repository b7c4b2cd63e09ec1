"""Pictures of the review page for the guide: docs/images/review-*.jpg, of the rendered demo.

make demo
python scripts/review_pictures.py demo/result
"""

from __future__ import annotations

import argparse
import io
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from hanet.review.suggestion import suggest
from review_keys import RENDERED, serving

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
QUALITY = 72
WIDE = {"width": 1280, "height": 800}
AT_THE_EDGE = """() => {
  const { review, maps } = hanetReview, [, south, east] = maps.extent;
  const [left, top, right, bottom] = review.item(review.current).box;
  return left < 60 || top < 60 || right > east - 60 || bottom > -south - 60;
}"""
"""Whether the current item lies at the edge of the images."""


def save(page: Page, name: str) -> None:
    """Writes what the page shows."""
    page.evaluate(RENDERED)
    page.wait_for_timeout(400)  # outlines come after the tiles
    with Image.open(io.BytesIO(page.screenshot())) as picture:
        path = IMAGES / f"review-{name}.jpg"
        picture.convert("RGB").save(path, quality=QUALITY, optimize=True, progressive=True)
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


@contextmanager
def opened(browser: Browser, address: str, **options: object) -> Iterator[Page]:
    """A page with the review."""
    context = browser.new_context(**{"viewport": WIDE, **options})  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector("body[data-ready]")
    yield page
    page.wait_for_selector('body[data-unsaved="0"]')
    context.close()


def draw_sample(page: Page, count: int) -> None:
    """Draws a sample and decides on all of it: accepts footprints, rejects tiles."""
    page.click("#sampling summary")
    page.click("#sample-button")
    page.fill("#sample-count", str(count))
    page.click("#sample-draw")
    page.wait_for_function("() => hanetReview.review.queue === 'sample'")
    for _ in range(page.evaluate("hanetReview.review.size")):
        current = page.evaluate("document.body.dataset.current")
        page.keyboard.press("r" if current.startswith("b") else "a")
    page.wait_for_selector('body[data-unsaved="0"]', timeout=120_000)
    page.evaluate("document.querySelector('aside').scrollTop = 1e6")


def take(address: str, browser: Browser) -> None:
    """All pictures, in the order of the guide."""
    with opened(browser, address) as page:
        for key in "aar1aau":
            page.keyboard.press(key)
        page.wait_for_selector('body[data-unsaved="0"]')
        while page.evaluate(AT_THE_EDGE):
            page.keyboard.press("n")
        save(page, "side-by-side")
        page.keyboard.press("e")
        save(page, "outline")
        page.keyboard.press("Escape")
    phone = {"width": 390, "height": 780}
    with opened(browser, address, viewport=phone, has_touch=True, is_mobile=True) as page:
        while page.evaluate(AT_THE_EDGE):
            page.tap('[data-command="next"]')
        save(page, "phone")
    with opened(browser, address) as page:
        page.click('[data-queue="suggested"]')
        while not page.evaluate("document.body.dataset.current.startsWith('t')"):
            page.keyboard.press("a")
        save(page, "suggested")
    with opened(browser, address, color_scheme="dark") as page:
        draw_sample(page, 60)
        save(page, "estimates")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("result", type=Path, help="folder of the demo's detection")
    parser.add_argument("--scene", type=Path, help="folder of the pair (default: beside it)")
    parser.add_argument("--chromium", default=shutil.which("chromium") or "chromium")
    options = parser.parse_args()
    scene = options.scene or options.result.parent / "scene"
    images = {date: str((scene / f"{date}.tif").resolve()) for date in ("before", "after")}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        out = Path(shutil.copytree(options.result, Path(folder) / "result"))
        shutil.rmtree(out / "review", ignore_errors=True)
        browser = playwright.chromium.launch(
            executable_path=options.chromium, args=["--no-sandbox"]
        )
        suggest(
            out,
            count=4,
            reviewer="anna",
            flips=False,
            before=images["before"],
            after=images["after"],
            warn=print,
        )
        with serving(out, images) as address:
            take(address, browser)
            browser.close()


if __name__ == "__main__":
    main()
