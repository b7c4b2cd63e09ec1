"""report.html in Chromium, driven by real mouse, wheel, fingers and keys: both dates zoom, move and
swipe under one view; footprints, cards and table are tied together; nothing is asked of a
network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chromium_page import WHY_NOT, Page, chromium, chromium_page
from difference_weights import write_difference_weights
from hanet.detection.job import detect
from hanet.synthetic.scene import render_scene

pytestmark = pytest.mark.skipif(chromium() is None, reason=WHY_NOT)

SIZE = 320


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    files = render_scene(folder / "scene", size=SIZE, seed=1, change_share=0.4)
    weights = write_difference_weights(folder / "difference.onnx", tile_px=128, overlap_px=16)
    detect(files.before, files.after, out=folder / "out", weights=weights, threads=1)
    return folder / "out" / "report.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium_page(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def page(browser: Page, report: Path) -> Iterator[Page]:
    """The report at rest; at the end the console is silent and nothing was asked for."""
    browser.console.clear()
    browser.asked.clear()
    browser.open("about:blank")
    browser.open(report.as_uri())
    yield browser
    assert browser.console == []
    assert browser.asked == [report.as_uri()]


def view(page: Page) -> tuple[float, float, float]:
    """x and y of the upper left corner in the picture's pixels, and screen pixels to one of
    them."""
    x, y, k = map(float, page.run("document.getElementById('stage').dataset.view").split())
    return x, y, k


def swipe(page: Page) -> float:
    return float(page.run("parseFloat(document.getElementById('handle').ariaValueNow)"))


def stage(page: Page) -> tuple[float, float, float, float]:
    """Left, top, width and height of the picture on the screen, after scrolling to it."""
    page.centre("#stage")
    box = page.run(
        "(() => { const b = document.getElementById('stage').getBoundingClientRect();"
        "return [b.x, b.y, b.width, b.height]; })()"
    )
    left, top, width, height = map(float, box)
    return left, top, width, height


def screen_place(page: Page, number: str) -> tuple[float, float]:
    """Where the middle of a footprint's box is on the screen."""
    x, y, k = view(page)
    left, top, _, _ = stage(page)
    box = page.run(
        "(() => { const n = document.getElementById('f" + number + "').getAttribute('d')"
        ".match(/[\\d.]+/g).map(Number), x = n.filter((_, i) => i % 2 === 0),"
        " y = n.filter((_, i) => i % 2); return [(Math.min(...x) + Math.max(...x)) / 2,"
        " (Math.min(...y) + Math.max(...y)) / 2]; })()"
    )
    return left + (box[0] - x) * k, top + (box[1] - y) * k


def numbers(page: Page) -> list[str]:
    """Numbers in the table from top to bottom."""
    found: list[str] = page.run(
        "[...document.querySelectorAll('#footprints tbody tr')].map((row) => row.dataset.id)"
    )
    return found


def is_at(page: Page, number: str) -> bool:
    """Whether a footprint is in view (one at the edge of the pair not in the middle of it), zoomed
    in, and said to be chosen."""
    left, top, width, height = stage(page)
    x, y = screen_place(page, number)
    is_near = left < x < left + width and top < y < top + height
    said = page.run("document.getElementById('chosen').textContent")
    chosen = page.run(
        f"document.querySelector('#footprints tr.is-chosen').dataset.id === '{number}'"
    )
    return is_near and view(page)[2] > 3 and said.startswith(f"#{number} ") and chosen


def shown(page: Page, folder: Path) -> np.ndarray:
    """The picture on the screen, (H, W, 3)."""
    left, top, width, height = (round(value) for value in stage(page))
    page.screenshot(folder / "shown.png")
    with Image.open(folder / "shown.png") as image:
        pixels = np.asarray(image.convert("RGB")).astype(float)
    return pixels[top : top + height, left : left + width]


def test_at_first_everything_is_in_view_and_half_of_each_date(page: Page, tmp_path: Path) -> None:
    _, _, width, height = stage(page)
    x, y, k = view(page)
    assert k == pytest.approx(min(width, height) / SIZE, rel=0.01)
    assert x == pytest.approx((SIZE - width / k) / 2, abs=0.5)
    assert y == pytest.approx((SIZE - height / k) / 2, abs=0.5)
    assert swipe(page) == 50


def test_the_handle_swipes_and_is_held_beyond_the_picture(page: Page) -> None:
    """The swipe stopped where the pointer left the picture."""
    left, top, width, height = stage(page)
    middle = top + height / 2
    page.drag((left + width / 2, middle), (left + width / 4, middle))
    assert swipe(page) == 25
    page.drag((left + width / 4, middle), (left + width * 0.6, top - 40))
    assert swipe(page) == 60
    page.mouse("mousePressed", left + width * 0.6, middle, button="left", clickCount=1)
    page.mouse("mouseMoved", left - 15, middle, button="left", buttons=1)
    page.mouse("mouseMoved", left + width * 0.8, top + height + 30, button="left", buttons=1)
    assert swipe(page) == 80
    page.mouse("mouseReleased", left - 15, middle, button="left", clickCount=1)
    page.mouse("mouseMoved", left + width * 0.3, middle)
    page.painted()
    assert swipe(page) == 80  # let go


def test_where_everything_is_in_view_a_drag_swipes_too(page: Page) -> None:
    left, top, width, height = stage(page)
    before = view(page)
    page.drag(
        (left + 30, top + height / 2), (left + 60, top + height / 2), (left + width * 0.75, top)
    )
    assert swipe(page) == 75
    assert view(page) == before


def test_both_sides_of_the_swipe_show_their_date(page: Page, report: Path, tmp_path: Path) -> None:
    """The pictures on the screen are those of the files, at the right place."""
    page.run("document.getElementById('show').click()")
    folder = report.parents[1] / "scene"
    with Image.open(folder / "before.tif") as image:
        before = np.asarray(image.convert("RGB")).astype(float)
    with Image.open(folder / "after.tif") as image:
        after = np.asarray(image.convert("RGB")).astype(float)
    x, y, k = view(page)
    found = shown(page, tmp_path)
    errors = {}
    for name, columns in (("before", range(20, 140, 3)), ("after", range(180, 300, 3))):
        for date, image in (("before", before), ("after", after)):
            of_date = [
                abs(
                    found[round((row - y + 0.5) * k), round((column - x + 0.5) * k)]
                    - image[row, column]
                )
                for row in range(60, 260, 3)
                for column in columns
            ]
            errors[name, date] = float(np.mean(of_date))
    assert errors["before", "before"] < 0.6 * errors["before", "after"]
    assert errors["after", "after"] < 0.6 * errors["after", "before"]


def test_the_wheel_zooms_where_the_pointer_is_and_lets_the_page_scroll_at_last(page: Page) -> None:
    left, top, width, height = stage(page)
    px, py = left + width * 0.5, top + height * 0.6  # in the middle: beside it is no picture yet
    x, y, k = view(page)
    place = x + (px - left) / k, y + (py - top) / k
    scrolled = page.run("scrollY")
    page.wheel(px, py, -300)
    x, y, nearer = view(page)
    assert nearer > 1.3 * k
    assert (x + (px - left) / nearer, y + (py - top) / nearer) == pytest.approx(place, abs=0.6)
    assert page.run("scrollY") == scrolled
    for _ in range(6):
        page.wheel(px, py, 300)
    assert view(page)[2] == pytest.approx(k)
    page.wheel(px, py, 200)
    page.wait_for(f"scrollY > {scrolled}")


def test_a_zoomed_picture_is_dragged_and_never_out_of_view(page: Page) -> None:
    left, top, width, height = stage(page)
    for _ in range(4):
        page.wheel(left + width * 0.3, top + height * 0.5, -240)
    x, y, k = view(page)
    page.drag((left + 100, top + 200), (left + 60, top + 150))
    assert view(page) == pytest.approx((x + 40 / k, y + 50 / k, k), abs=0.01)
    for _ in range(30):
        page.drag((left + 30, top + height / 4), (left + width - 10, top + height - 10))
    assert view(page)[:2] == pytest.approx((0, 0), abs=0.01)
    assert swipe(page) == 50


def test_two_fingers_zoom(page: Page) -> None:
    left, top, width, height = stage(page)
    x, y = left + width * 0.3, top + height / 2
    k = view(page)[2]
    page.touch("touchStart", (x - 20, y), (x + 20, y))
    for half in (30, 45, 60):
        page.touch("touchMove", (x - half, y), (x + half, y))
    page.touch("touchEnd")
    page.painted()
    assert view(page)[2] == pytest.approx(3 * k, rel=0.05)
    assert page.run("document.querySelector('.is-chosen')") is None  # it was no click


def test_buttons_zoom_and_show_everything(page: Page) -> None:
    k = view(page)[2]
    page.click(*page.centre("#in"))
    assert view(page)[2] == pytest.approx(1.8 * k, rel=0.01)
    page.click(*page.centre("#out"))
    assert view(page)[2] == pytest.approx(k, rel=0.01)
    page.click(*page.centre("#in"))
    page.click(*page.centre("#fit"))
    assert view(page)[2] == pytest.approx(k, rel=0.01)
    for button, at in (("before", 100), ("after", 0), ("both", 50)):
        page.click(*page.centre(f"#show-{button}"))
        assert swipe(page) == at
        assert page.run(f"document.getElementById('show-{button}').ariaPressed") == "true"


def test_keys_do_all_that_the_mouse_does(page: Page) -> None:
    page.run("document.getElementById('stage').focus()")
    start = view(page)
    page.press("+", "+")
    assert view(page)[2] == pytest.approx(1.6 * start[2], rel=0.01)
    y = view(page)[1]
    page.press("ArrowDown")
    page.press("ArrowRight")
    assert view(page)[1] > y
    page.press("0", "0")
    assert view(page) == pytest.approx(start, abs=0.01)
    page.press(",", ",")
    assert swipe(page) == 46
    for key, at in (("b", 100), ("a", 0), ("s", 50)):
        page.press(key, key)
        assert swipe(page) == at
    order = numbers(page)
    page.press("n", "n")
    assert is_at(page, order[0])
    page.press("n", "n")
    assert is_at(page, order[1])
    page.press("p", "p")
    assert is_at(page, order[0])
    page.press("Escape")
    assert page.run("document.querySelector('.is-chosen')") is None
    page.press("s", "s")
    page.run("document.getElementById('handle').focus()")
    page.press("ArrowLeft")
    assert swipe(page) == 48
    page.press("End")
    assert swipe(page) == 100


def test_a_click_on_a_footprint_a_card_a_row_or_a_number_goes_there(
    page: Page, report: Path
) -> None:
    order = numbers(page)
    assert len(order) >= 3
    x, y = screen_place(page, order[0])
    left = stage(page)[0]
    page.run("document.getElementById('show-after').click()")  # the handle is not in the way
    page.click(x if abs(x - left) > 30 else x + 3, y)
    assert is_at(page, order[0])
    assert page.run("location.hash") == f"#f{order[0]}"
    card = page.run("document.querySelectorAll('.card')[1].dataset.id")
    page.click(*page.centre(f'.card[data-id="{card}"] img'))
    assert is_at(page, card)
    page.click(*page.centre(f'#footprints tr[data-id="{order[2]}"] button'))
    assert is_at(page, order[2])
    page.centre("#goto")
    page.run("document.getElementById('goto').focus()")
    for digit in order[1]:
        page.press(digit, digit)
    page.press("Enter", "\r")
    assert is_at(page, order[1])
    page.open("about:blank")
    page.open(f"{report.as_uri()}#f{order[2]}")
    page.painted()
    assert is_at(page, order[2])
    page.asked[:] = page.asked[:1]


def test_the_swipe_parts_the_footprint_that_was_chosen(page: Page) -> None:
    """At the edge of the pair, where it is not in the middle of the picture, too."""
    order = numbers(page)
    for number in order[:: max(1, len(order) // 4)]:
        page.click(*page.centre(f'#footprints tr[data-id="{number}"] button'))
        x, _ = screen_place(page, number)
        left, _, width, _ = stage(page)
        assert swipe(page) == pytest.approx(100 * (x - left) / width, abs=1)


def test_a_number_that_is_not_there_is_told(page: Page) -> None:
    page.run("document.getElementById('goto').value = '99999'")
    page.run("document.getElementById('goto').focus()")
    page.press("Enter", "\r")
    assert page.run("chosen.textContent") == "There is no footprint 99999 on this page."


def test_the_table_sorts_by_each_column_both_ways(page: Page) -> None:
    heads = page.run("[...document.querySelectorAll('#footprints th')].map((h) => h.textContent)")
    assert heads[:3] == ["number", "area, m²", "perimeter, m"]
    for column in range(1, len(heads) + 1):
        values = []
        for _ in range(2):
            page.click(*page.centre(f"#footprints th:nth-child({column}) button"))
            cells = page.run(
                f"[...document.querySelectorAll('#footprints td:nth-child({column})')]"
                ".map((cell) => Number(cell.textContent.replace(/,/g, '')))"
            )
            order = page.run(
                f"document.querySelector('#footprints th:nth-child({column})').ariaSort"
            )
            assert cells == sorted(cells, reverse=order == "descending")
            values.append(order)
        assert sorted(values) == ["ascending", "descending"]
    assert page.run("document.querySelectorAll('#footprints th[aria-sort]').length") == 1


def test_outlines_and_numbers_can_be_hidden(page: Page, tmp_path: Path) -> None:
    def red(picture: np.ndarray) -> int:
        return int((abs(picture - (255, 77, 77)).max(axis=2) < 12).sum())

    assert red(shown(page, tmp_path)) > 100
    page.click(*page.centre("#numbers"))
    lines = red(shown(page, tmp_path))
    assert lines > 100
    page.click(*page.centre("#show"))
    assert red(shown(page, tmp_path)) < lines / 10


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1400, 390])
def test_nothing_is_broken_or_wider_than_the_screen(
    page: Page, report: Path, width: int, dark: bool
) -> None:
    page.open(report.as_uri(), width=width, dark=dark)
    assert page.run("document.documentElement.scrollWidth - innerWidth") == 0
    broken = "[...document.images].filter((p) => !p.complete || !p.naturalWidth).length"
    assert page.run(broken) == 0
    assert page.run("document.images.length") > 2
    unnamed = (
        "[...document.querySelectorAll('button, input, [tabindex]')].filter((e) => "
        "!(e.textContent.trim() || e.ariaLabel || e.closest('label') || "
        "e.getAttribute('aria-labelledby'))).length"
    )
    assert page.run(unnamed) == 0
    page.asked[:] = page.asked[:1]


def test_it_prints_on_two_or_three_pages(page: Page) -> None:
    pages = len(re.findall(rb"/Type\s*/Page[^s]", page.pdf()))
    assert pages in (2, 3)


def test_no_footprint_has_two_cards(report: Path) -> None:
    found = re.findall(r'<article class="card" data-id="(\d+)"', report.read_text(encoding="utf-8"))
    assert len(found) == len(set(found)) > 0
