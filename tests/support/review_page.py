"""The review page in Chromium, as a person uses it: keys, clicks, drags, and what is to be seen."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from hanet.types import Json

SCREEN = """([column, row, side]) => {
  const { maps } = hanetReview, map = maps[side];
  const [x, y] = map.getPixelFromCoordinate(maps.toMap([column, row]));
  const box = map.getViewport().getBoundingClientRect();
  return [x + box.left, y + box.top];
}"""
"""Where a pixel of the result's grid is on the screen."""

OUTLINE = """(id) => {
  const feature = hanetReview.outlines.feature(id);
  let ring = feature && hanetReview.outlines.json(feature.getGeometry()).coordinates;
  while (ring && Array.isArray(ring[0][0])) ring = ring[0];
  return ring;
}"""
"""Outer ring of an item in pixel coordinates; null while it is not loaded."""

RENDERED = """() => Promise.all(hanetReview.maps.both.filter((map) => map.getTarget()).map(
  (map) => new Promise((done) => { map.once("rendercomplete", done); map.render(); })))"""
"""Waits until all tiles in view are drawn."""

CLICK_MS = 300
"""Two clicks that are closer in time are a double click."""

Pixel = tuple[float, float]


def chromium() -> str:
    """Path of Chromium; skips the test where there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    pytest.skip("no Chromium is installed (Debian: apt-get install chromium)")


@contextmanager
def browsing() -> Iterator[Browser]:
    """Chromium, as installed."""
    path = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


class ReviewPage:
    """One tab with a review.

    Args:
        context: The browser's context; several tabs may share one.
        address: What ``hanet review`` printed.
    """

    def __init__(self, context: BrowserContext, address: str) -> None:
        self.context, self.address = context, address
        self.page: Page = context.new_page()
        self.console: list[str] = []
        """Errors and warnings of the page."""
        self.page.on(
            "console",
            lambda message: (
                self.console.append(message.text) if message.type in ("error", "warning") else None
            ),
        )
        self.page.on("pageerror", lambda error: self.console.append(str(error)))
        self.asked: list[str] = []
        """Addresses of everything that the page asked for."""
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.open()

    def open(self) -> None:
        """Loads the page, or loads it again."""
        self.page.goto(self.address)
        self.page.wait_for_selector("body[data-ready]")

    # -- what is to be seen

    @property
    def current(self) -> str:
        """Id of the current item."""
        return str(self.page.evaluate("document.body.dataset.current"))

    def item(self, identity: str) -> Json:
        """An item as the page knows it."""
        return dict(self.page.evaluate("(id) => hanetReview.review.item(id)", identity))

    @property
    def visible(self) -> list[str]:
        """Ids of the list, in order."""
        return list(self.page.evaluate("hanetReview.review.visible"))

    def text(self, selector: str) -> str:
        """What an element says."""
        return self.page.inner_text(selector)

    def count(self, queue: str) -> str:
        """What stands below the name of a queue's tab."""
        return self.text(f'#queues [data-queue="{queue}"] span')

    def outline(self, identity: str) -> list[Pixel]:
        """Outer ring of an item in pixel coordinates, once it is loaded."""
        self.page.wait_for_function(OUTLINE, arg=identity)  # as text it would need eval
        return [(x, y) for x, y in self.page.evaluate(OUTLINE, identity)]

    def where(self, place: Pixel, side: str = "left") -> Pixel:
        """Where a pixel of the grid is on the screen."""
        x, y = self.page.evaluate(SCREEN, [*place, side])
        return x, y

    def style(self, selector: str, name: str) -> str:
        """The computed value of a CSS property."""
        return str(self.page.eval_on_selector(selector, f"(e) => getComputedStyle(e)['{name}']"))

    # -- what a person does

    def keys(self, *keys: str) -> None:
        """Presses keys, one after the other."""
        for key in keys:
            self.page.keyboard.press(key)

    def click(self, place: Pixel, side: str = "left") -> None:
        """Clicks on a pixel of the grid; not so fast that two become a double click."""
        x, y = self.where(place, side)
        self.page.mouse.move(x, y)
        self.page.mouse.click(x, y)
        self.page.wait_for_timeout(CLICK_MS)

    def drag(self, start: Pixel, end: Pixel, side: str = "left") -> None:
        """Drags from one pixel of the grid to another."""
        self.page.mouse.move(*self.where(start, side))
        self.page.mouse.down()
        self.page.mouse.move(*self.where(end, side), steps=5)
        self.page.mouse.up()

    # -- waiting

    def saved(self) -> None:
        """Waits until the server has answered everything."""
        self.page.wait_for_selector('body[data-unsaved="0"]')
        expect(self.page.locator("#saved")).to_contain_text("aved")

    def until(self, condition: str, *arguments: Any) -> None:
        """Waits for a condition in the page's language."""
        self.page.wait_for_function(condition, arg=list(arguments))

    def rendered(self) -> None:
        """Waits until every tile in view is drawn."""
        self.page.evaluate(RENDERED)
