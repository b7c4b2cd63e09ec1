"""Suggested tiles on the review page in Chromium: what lies in a tile is decided, then the tile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from hanet.review.journal import read_journal
from hanet.review.label_tiles import SuggestedTile, label_tiles, tile_item
from hanet.review.review import Review
from review_page import ReviewPage, browsing
from review_pages import shown_run
from review_server import serving


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as browser:
        yield browser


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A run with three footprints in its first tile, for which two tiles were suggested: this one,
    and one without any."""
    out = shown_run(tmp_path)
    with Review.open(out, reviewer="anna") as review:
        windows = label_tiles(review.grid)
        reasons = {0: "probability near the threshold", 1: "no other tile looks like it"}
        tiles = [SuggestedTile(tile_item(n, windows[n]), why) for n, why in reasons.items()]
        review.suggest(tiles, count=2, seed=1)
    return out


@pytest.fixture
def tab(browser: Browser, out: Path) -> Iterator[ReviewPage]:
    """The queue of suggested tiles; nothing may be wrong on its console at the end."""
    with serving(out) as address:
        context = browser.new_context(viewport={"width": 1400, "height": 900})
        context.set_default_timeout(60_000)
        tab = ReviewPage(context, address)
        tab.page.click('[data-queue="suggested"]')
        yield tab
        context.close()
    assert tab.console == []


def test_tiles_are_worked_by_keys_after_what_lies_in_them(tab: ReviewPage, out: Path) -> None:
    assert tab.visible == ["f3", "f1", "f2", "t1", "t2"]
    assert tab.count("suggested") == "0/2"
    tab.keys("r", "u", "a")
    assert tab.current == "t1"
    assert "probability near the threshold" in tab.text("#reason")
    assert "everything that changed in this tile outlined" in tab.text("#question")
    tab.keys("a")
    assert tab.current == "t2"
    tab.keys("a")
    tab.saved()
    assert tab.count("suggested") == "2/2"
    expect(tab.page.locator("#mode-hint")).to_contain_text("hanet adapt")
    kept = read_journal(out).items
    statuses = [kept[key].status for key in ("f3", "f1", "f2", "t1", "t2")]
    assert statuses == ["rejected", "unsure", "accepted", "accepted", "accepted"]


def test_a_tile_is_accepted_only_when_nothing_in_it_is_open(tab: ReviewPage, out: Path) -> None:
    tab.page.click('#rows [data-id="t1"]')
    tab.keys("a")
    assert tab.current == "f3"
    expect(tab.page.locator("#mode-hint")).to_contain_text("3 footprints in t1 must be decided")
    tab.saved()
    assert "t1" in read_journal(out).items
    assert read_journal(out).items["t1"].status == "unreviewed"
    tab.page.click('#rows [data-id="t1"]')
    tab.keys("r")
    assert tab.current == "t2"


def test_what_is_missing_is_drawn_or_clicked_without_leaving_the_queue(
    tab: ReviewPage, out: Path
) -> None:
    for key in "aaa":
        tab.keys(key)
    assert tab.current == "t1"
    tab.rendered()
    tab.outline("m1")
    tab.click((60, 57))  # the place under the threshold
    assert tab.current == "m1"
    assert "In a suggested tile" in tab.text("#question")
    tab.keys("a")
    assert tab.current == "t1"
    tab.keys("w")
    for corner in ((150, 150), (180, 150), (180, 170)):
        tab.click(corner)
    tab.keys("Enter")
    tab.saved()
    assert tab.current == "t1"
    tab.keys("a")
    tab.saved()
    assert tab.current == "t2"
    kept = read_journal(out).items
    assert [kept[key].status for key in ("m1", "d1", "t1")] == ["accepted"] * 3


def test_the_tile_is_drawn_and_a_click_on_its_ground_returns_to_it(tab: ReviewPage) -> None:
    assert tab.current == "f3"
    ring = tab.outline("t1")
    assert {tuple(corner) for corner in ring} == {(0, 0), (256, 0), (256, 256), (0, 256)}
    tab.click((28, 80))
    assert tab.current == "t1"
    tab.page.click('[data-queue="found"]')
    tab.click((28, 80))
    assert tab.current == "f3"


def test_without_suggestions_the_page_says_how_to_get_some(
    browser: Browser, tmp_path: Path
) -> None:
    with serving(shown_run(tmp_path)) as address:
        context = browser.new_context(viewport={"width": 390, "height": 844})
        tab = ReviewPage(context, address)
        tab.page.click('[data-queue="suggested"]')
        expect(tab.page.locator("#question")).to_contain_text("hanet suggest")
        assert tab.console == []
        width = tab.page.evaluate("document.documentElement.scrollWidth")
        assert width <= 390
        context.close()
