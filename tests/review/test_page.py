"""The review page in Chromium: every function, by keys and by pointer, against the real server."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Route, expect

from hanet.detection.job import detect
from hanet.review.journal import read_journal
from hanet.synthetic.scene import render_pair, render_scene
from review_page import CLICK_MS, Pixel, ReviewPage, browsing
from review_server import serving

SIZE = 512
"""Side of the rendered pair in pixels."""

WIDE, NARROW = {"width": 1400, "height": 900}, {"width": 390, "height": 844}

OUTLINE_X = (
    "(id) => Math.min(...hanetReview.outlines.json(hanetReview.outlines.feature(id).getGeometry())"
    ".coordinates[0].map(([x]) => x))"
)
"""The least column of an outline's corners."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as browser:
        yield browser


@pytest.fixture(scope="module")
def detected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rendered pair and what the shipped weights find in it."""
    folder = tmp_path_factory.mktemp("review")
    files = render_scene(folder / "scene", size=SIZE, seed=1, change_share=0.5)
    detect(files.before, files.after, out=folder / "out", threads=1)
    return folder / "out"


@pytest.fixture
def out(detected: Path, tmp_path: Path) -> Path:
    """The result folder, of this test alone; the images lie where the run noted them."""
    return Path(shutil.copytree(detected, detected.parent / tmp_path.name))


@pytest.fixture
def address(out: Path) -> Iterator[str]:
    with serving(out) as address:
        yield address


@pytest.fixture
def opened(browser: Browser, address: str) -> Iterator[Callable[..., ReviewPage]]:
    """Opens a tab: a context of its own, closed at the end."""
    contexts = []

    def open_tab(**options: object) -> ReviewPage:
        context = browser.new_context(**{"viewport": WIDE, **options})  # type: ignore[arg-type]
        context.set_default_timeout(60_000)
        contexts.append(context)
        return ReviewPage(context, address)

    yield open_tab
    for context in contexts:
        context.close()


@pytest.fixture
def tab(opened: Callable[..., ReviewPage]) -> Iterator[ReviewPage]:
    """A wide tab; nothing may be wrong on its console at the end."""
    tab = opened()
    yield tab
    assert tab.console == []


def middle(ring: list[Pixel]) -> Pixel:
    """A point inside a convex ring."""
    corners = ring[:-1]
    return sum(x for x, _ in corners) / len(corners), sum(y for _, y in corners) / len(corners)


def far(one: Pixel, other: Pixel) -> float:
    return math.dist(one, other)


# -- what is shown


def test_the_page_shows_the_review_and_asks_nothing_of_the_network(tab: ReviewPage) -> None:
    tab.rendered()
    assert "before.tif" in tab.text("#left-date")
    assert "after.tif" in tab.text("#right-date")
    total = len(tab.visible)
    assert total > 5
    assert tab.text("#reviewed") == f"0 of {total}"
    assert tab.current == tab.visible[0]
    assert tab.text("#saved") == "All saved"
    origin = tab.address.partition("/?")[0]
    assert [address for address in tab.asked if not address.startswith(origin)] == []
    assert any("/tiles/before/" in address for address in tab.asked)
    assert any("/tiles/after/" in address for address in tab.asked)


def test_doubt_comes_first_and_other_orders_are_offered(tab: ReviewPage) -> None:
    doubt = [tab.item(identity)["doubt"] for identity in tab.visible]
    assert doubt == sorted(doubt, reverse=True)
    tab.page.select_option("#order", "size")
    tab.until("() => hanetReview.review.order === 'size'")
    ends = time.monotonic() + 20
    while (areas := [tab.item(one)["area_m2"] for one in tab.visible]) != sorted(areas)[::-1]:
        assert time.monotonic() < ends, areas  # the list comes from the server
        tab.page.wait_for_timeout(100)
    before = sorted(tab.visible)
    tab.page.select_option("#order", "random")
    tab.page.wait_for_load_state("networkidle")
    assert sorted(tab.visible) == before


def test_filters_leave_what_they_say(tab: ReviewPage) -> None:
    tab.keys("a", "r")
    tab.saved()
    decided = {tab.item(identity)["status"] for identity in tab.visible}
    assert {"accepted", "rejected"} <= decided
    tab.page.select_option("#filter-status", "rejected")
    listed = {tab.item(identity)["status"] for identity in tab.visible if identity != tab.current}
    assert listed == {"rejected"}
    tab.page.select_option("#filter-status", "")
    areas = sorted(tab.item(identity)["area_m2"] for identity in tab.visible)
    tab.page.fill("#filter-smallest", str(areas[len(areas) // 2]))
    kept = [i for i in tab.visible if i != tab.current]
    assert 0 < len(kept) < len(areas)
    assert all(tab.item(i)["area_m2"] >= areas[len(areas) // 2] for i in kept)
    tab.page.fill("#filter-smallest", "")
    tab.page.fill("#filter-most", "0")
    assert tab.visible == [tab.current]
    assert "shown" in tab.text("#shown")


def test_scale_north_and_coordinates(tab: ReviewPage) -> None:
    place = middle(tab.outline(tab.current))
    tab.page.mouse.move(*tab.where(place))
    expect(tab.page.locator("#coordinates")).to_contain_text(f"column {int(place[0])}")
    expect(tab.page.locator("#coordinates")).to_contain_text("°")
    number, unit = tab.text("#scale").split()
    assert unit == "m"
    width = tab.page.locator("#scale").bounding_box()
    assert width is not None
    left, right = tab.where((0, 0)), tab.where((100, 0))
    metres_per_screen_px = 100 * 0.5 / (right[0] - left[0])
    assert width["width"] * metres_per_screen_px == pytest.approx(float(number), rel=0.02)
    assert tab.page.get_attribute("#north", "aria-label") == "north is 0 degrees clockwise of up"


def test_pictures_without_a_place_are_measured_in_pixels(browser: Browser, tmp_path: Path) -> None:
    dates = dict(zip(("before", "after"), render_pair(256, 256, 1, change_share=0.6), strict=False))
    for date, image in dates.items():
        Image.fromarray(np.moveaxis(image, 0, -1)).save(tmp_path / f"{date}.png")
    images = (tmp_path / "before.png", tmp_path / "after.png")
    detect(*images, out=tmp_path / "out", threads=1)
    with serving(tmp_path / "out") as address:
        context = browser.new_context(viewport=WIDE)
        tab = ReviewPage(context, address)
        expect(tab.page.locator("#north")).to_be_hidden()
        assert tab.text("#scale").endswith(" px")
        assert " px" in tab.text("#facts")
        assert tab.text("#filter-unit") == ", px"
        tab.page.mouse.move(*tab.where(middle(tab.outline(tab.current))))
        expect(tab.page.locator("#coordinates")).to_contain_text("column")
        assert "°" not in tab.text("#coordinates")
        assert tab.console == []
        context.close()


# -- the queue by keys


def test_decisions_by_keys_go_on_by_themselves_and_reach_the_journal(
    tab: ReviewPage, out: Path
) -> None:
    first, second, third, fourth = tab.visible[:4]
    for key, following in zip("aru", (second, third, fourth), strict=True):
        tab.keys(key)
        assert tab.current == following
    tab.saved()
    expect(tab.page.locator("#counts")).to_have_text("found: 1 accepted, 1 rejected, 1 unsure")
    kept = read_journal(out).items
    assert [kept[i].status for i in (first, second, third)] == ["accepted", "rejected", "unsure"]
    box = tab.item(fourth)["box"]
    for corner in ((box[0], box[1]), (box[2], box[3])):
        x, y = tab.where(corner)
        pane = tab.page.locator("#left").bounding_box()
        assert pane is not None
        assert pane["x"] < x < pane["x"] + pane["width"]
        assert pane["y"] < y < pane["y"] + pane["height"]


def test_undo_goes_back_to_what_it_undoes_and_redo_too(tab: ReviewPage, out: Path) -> None:
    first = tab.current
    tab.keys("r")
    tab.saved()
    tab.keys("z")
    tab.saved()
    assert tab.current == first
    assert tab.item(first)["status"] == "unreviewed"
    tab.keys("Shift+Z")
    tab.saved()
    assert tab.item(first)["status"] == "rejected"
    assert read_journal(out).items[first].status == "rejected"


def test_the_end_of_the_queue_is_told(tab: ReviewPage) -> None:
    for _ in tab.visible:
        tab.keys("a")
    tab.saved()
    total = len(tab.visible)
    expect(tab.page.locator("#reviewed")).to_have_text(f"{total} of {total}")
    expect(tab.page.locator("#mode-hint")).to_contain_text("All of this queue is reviewed")


def test_moving_through_the_queue(tab: ReviewPage) -> None:
    ids = tab.visible
    tab.keys("n", "j")
    assert tab.current == ids[2]
    tab.keys("p")
    assert tab.current == ids[1]
    tab.keys("k", "k")
    assert tab.current == ids[-1]
    tab.keys("a", "p", "Enter")
    assert tab.current == ids[0], "behind the last unreviewed one comes the first"


def test_queues_by_keys_and_by_click(tab: ReviewPage) -> None:
    tab.keys("m")
    assert tab.page.get_attribute('[data-queue="missed"]', "aria-selected") == "true"
    tab.keys("m")
    tab.keys("q", "q")
    assert tab.page.get_attribute('[data-queue="blank"]', "aria-selected") == "true"
    assert "missed" in tab.text("#question")
    tab.keys("r")
    tab.saved()
    assert tab.count("blank").startswith("1/")
    tab.page.click('[data-queue="found"]')
    assert tab.page.get_attribute('[data-queue="found"]', "aria-selected") == "true"


def test_the_kind_of_the_weights_is_shown_before_it_is_taken(tab: ReviewPage) -> None:
    tab.page.evaluate("hanetReview.review.go('f1')")
    expect(tab.page.locator("#facts")).to_contain_text(", say the weights", timeout=30_000)
    said = tab.text("#facts").split(" · ")[-1].removesuffix(", say the weights")
    tab.keys("a")
    tab.saved()
    assert tab.item("f1")["kind"] == said


def test_kind_and_comment(tab: ReviewPage, out: Path) -> None:
    identity = tab.current
    tab.keys("2", "c")
    tab.page.keyboard.type("a shed, r and a are only letters here")
    tab.keys("Enter")
    tab.saved()
    item = read_journal(out).items[identity]
    assert (item.kind, item.comment) == ("demolished", "a shed, r and a are only letters here")
    assert item.status == "unreviewed"
    assert tab.current == identity
    tab.keys("2")
    tab.saved()
    assert read_journal(out).items[identity].kind == ""


def test_a_comment_is_saved_however_its_field_is_left(tab: ReviewPage, out: Path) -> None:
    """A click on Accept moved on, and what had been typed was gone."""
    identity = tab.current
    tab.keys("c")
    tab.page.keyboard.type("behind the barn")
    tab.page.click('.decisions [data-command="accept"]')
    tab.saved()
    item = read_journal(out).items[identity]
    assert (item.status, item.comment) == ("accepted", "behind the barn")
    assert tab.current != identity
    assert tab.page.input_value("#comment") == ""


def test_escape_leaves_a_comment_as_it_was(tab: ReviewPage, out: Path) -> None:
    tab.keys("c")
    tab.page.keyboard.type("nothing")
    tab.keys("Escape")
    assert tab.page.input_value("#comment") == ""
    tab.keys("a")
    tab.saved()
    assert {item.comment for item in read_journal(out).items.values()} == {""}


def test_a_clicked_button_does_not_keep_the_keys(tab: ReviewPage, out: Path) -> None:
    """Enter after a click on Accept accepted the next one unseen."""
    tab.page.click('.decisions [data-command="accept"]')
    tab.saved()
    tab.keys("Enter", "Space")
    tab.saved()
    statuses = [item.status for item in read_journal(out).items.values()]
    assert statuses.count("accepted") == 1


def test_a_slider_that_was_not_moved_keeps_its_value(tab: ReviewPage, out: Path) -> None:
    """The threshold of the run was rounded when only the area was changed."""
    threshold = tab.page.evaluate("hanetReview.review.facts.threshold")
    tab.page.click("#remaking summary")
    tab.page.fill("#smallest", "12")
    tab.page.click("#remake")
    expect(tab.page.locator("#remake-told")).to_contain_text(" fit ", timeout=30_000)
    state = read_journal(out)
    assert state.settings.min_area_m2 == 12
    assert state.settings.threshold == pytest.approx(threshold, abs=1e-12)


def test_arrow_keys_move_in_the_list_and_on_sliders(tab: ReviewPage) -> None:
    ids = tab.visible
    tab.page.locator("#list").focus()
    tab.keys("ArrowDown", "ArrowDown", "ArrowUp")
    assert tab.current == ids[1]
    assert tab.page.get_attribute("#list", "aria-activedescendant") == f"row-{ids[1]}"
    tab.keys("i")
    tab.page.locator("#before-brightness").focus()
    center = tab.page.evaluate("hanetReview.maps.view.getCenter()")
    tab.keys("ArrowRight")
    assert tab.page.input_value("#before-brightness") == "1.05"
    assert tab.page.evaluate("hanetReview.maps.view.getCenter()") == center


def test_help_lists_every_key_of_the_buttons(tab: ReviewPage) -> None:
    tab.keys("?")
    dialog = tab.page.locator("#help")
    expect(dialog).to_be_visible()
    told = dialog.inner_text()
    assert "blink: the other date" in told
    tab.keys("a")
    assert tab.text("#reviewed").startswith("0 of"), "keys decide nothing while the help is open"
    tab.keys("Escape")
    expect(dialog).to_be_hidden()


# -- two dates


def test_side_by_side_has_a_linked_crosshair(tab: ReviewPage) -> None:
    place = middle(tab.outline(tab.current))
    tab.page.mouse.move(*tab.where(place, "left"))
    mark = tab.page.locator("#right-pane .crosshair")
    expect(mark).to_be_visible()
    box = mark.bounding_box()
    assert box is not None
    assert far((box["x"], box["y"]), tab.where(place, "right")) < 1.5
    before = tab.where(place, "right")
    tab.drag(place, (place[0] + 10, place[1] + 5), "left")
    after = tab.where(place, "right")
    assert far(before, after) > 20, "both maps move together"


def test_swipe_follows_the_captured_pointer_and_arrow_keys(tab: ReviewPage) -> None:
    tab.keys("s")
    expect(tab.page.locator("#right-pane")).to_be_hidden()
    tab.rendered()
    handle = tab.page.locator("#swipe")
    box = tab.page.locator("#left-pane").bounding_box()
    assert box is not None
    line = box["x"] + box["width"] / 2
    tab.page.mouse.move(line, box["y"] + 200)
    tab.page.mouse.down()
    tab.page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] - 30, steps=4)
    tab.page.mouse.up()
    assert handle.get_attribute("aria-valuenow") == "25"
    assert tab.style("#left .layer-after", "clipPath") == "inset(0px 0px 0px 25%)"
    handle.focus()
    tab.keys("ArrowRight")
    assert handle.get_attribute("aria-valuenow") == "27"


def test_blink_toggles_the_date_by_one_key(tab: ReviewPage) -> None:
    def seen() -> str:
        return tab.style("#left .layer-after", "visibility")

    tab.keys("b")
    tab.rendered()
    assert seen() == "visible"
    assert tab.text("#left-date").startswith("After")
    tab.keys("b")
    assert seen() == "hidden"
    assert tab.text("#left-date").startswith("Before")
    tab.page.keyboard.down(" ")
    assert seen() == "visible", "space shows the other date while it is held"
    tab.page.keyboard.up(" ")
    assert seen() == "hidden"
    tab.keys("Shift+B")
    tab.until("() => document.getElementById('maps').dataset.date === 'after'")
    tab.until("() => document.getElementById('maps').dataset.date === 'before'")
    tab.keys("d")
    assert tab.page.get_attribute('[data-command="autoblink"]', "aria-pressed") == "false"


def test_outlines_hide_and_probability_shows(tab: ReviewPage) -> None:
    layer = (
        "hanetReview.maps.left.getAllLayers().find((l) => l.getClassName() === '{}').getVisible()"
    )
    assert tab.page.evaluate(layer.format("layer-outlines"))
    tab.keys("h")
    assert not tab.page.evaluate(layer.format("layer-outlines"))
    tab.keys("h", "o")
    assert tab.page.evaluate(layer.format("layer-outlines"))
    tab.rendered()
    assert any("/tiles/probability/" in address for address in tab.asked)
    tab.keys("i")
    tab.page.fill("#opacity", "0.3")
    layers = "hanetReview.maps.both.map((m) => m.getAllLayers().find((l) => l.get('name') === 'probability'))"
    assert tab.page.evaluate(f"{layers}.map((layer) => layer.getOpacity())") == [0.3, 0.3]


def test_brightness_and_contrast_of_one_date(tab: ReviewPage) -> None:
    tab.keys("i")
    tab.page.fill("#before-brightness", "1.5")
    tab.page.fill("#before-contrast", "0.8")
    assert tab.style("#left .layer-before", "filter") == "brightness(1.5) contrast(0.8)"
    assert tab.style("#right .layer-after", "filter") == "none"
    tab.page.click("#picture button[type=reset]")
    tab.until("() => getComputedStyle(document.querySelector('.layer-before')).filter === 'none'")


def test_zoom_and_moving_by_keys(tab: ReviewPage) -> None:
    def resolution() -> float:
        return float(tab.page.evaluate("hanetReview.maps.view.getResolution()"))

    near = resolution()
    tab.keys("-")
    tab.until("([near]) => hanetReview.maps.view.getResolution() > 1.5 * near", near)
    tab.keys("0")
    whole = resolution()
    assert whole > 3 * near
    tab.keys("f")
    assert resolution() == pytest.approx(near)
    middle_of_view = "hanetReview.maps.view.getCenter()"
    west, north = tab.page.evaluate(middle_of_view)
    tab.keys("ArrowRight", "ArrowDown")
    east, south = tab.page.evaluate(middle_of_view)
    assert east > west
    assert south < north


# -- corrections


def test_a_vertex_is_moved_and_another_deleted(tab: ReviewPage, out: Path) -> None:
    identity = tab.current
    ring = tab.outline(identity)
    corner = ring[0]
    goal = (corner[0] - 6.0, corner[1] - 5.0)
    tab.keys("e")
    tab.drag(corner, goal, "right")
    tab.saved()
    tab.until(f"([id, x]) => Math.abs(({OUTLINE_X})(id) - x) < 0.2", identity, goal[0])
    kept = read_journal(out).items[identity].geometry
    assert min(far(goal, point) for point in kept.exterior.coords) < 0.2
    many = len(tab.outline(identity))
    tab.page.mouse.move(*tab.where(goal))
    tab.page.keyboard.down("Alt")
    tab.page.mouse.click(*tab.where(goal))
    tab.page.keyboard.up("Alt")
    tab.until("([id, n]) => hanetReview.outlines.json(hanetReview.outlines.feature(id).getGeometry())"
              ".coordinates.flat(Infinity).length / 2 === n", identity, many - 1)  # fmt: skip
    tab.saved()
    assert len(read_journal(out).items[identity].geometry.exterior.coords) == many - 1
    tab.keys("Escape", "z")
    tab.saved()
    assert len(tab.outline(identity)) == many


def test_delete_removes_the_vertex_under_the_pointer(tab: ReviewPage, out: Path) -> None:
    place = clear_place(tab)
    draw(tab, hexagon(place))
    identity = newest_drawn(tab)
    tab.click(place)
    assert tab.current == identity
    tab.keys("e")
    tab.page.mouse.move(*tab.where(tab.outline(identity)[2]))
    tab.keys("Delete")
    tab.saved()
    tab.until("([id]) => hanetReview.outlines.json(hanetReview.outlines.feature(id).getGeometry())"
              ".coordinates[0].length === 6", identity)  # fmt: skip
    assert len(read_journal(out).items[identity].geometry.exterior.coords) == 6


def hexagon(place: Pixel, radius: float = 9.0) -> list[Pixel]:
    corners = [math.radians(60 * n) for n in range(6)]
    return [(place[0] + radius * math.cos(a), place[1] + radius * math.sin(a)) for a in corners]


def clear_place(tab: ReviewPage) -> Pixel:
    """Ground in view, beside an item that lies far enough within the picture; it is current then."""
    for identity in tab.visible:
        x0, y0, x1, y1 = tab.item(identity)["box"]
        if min(x0, y0) > 30 and max(x1, y1) < SIZE - 40:
            tab.page.evaluate("(id) => hanetReview.review.go(id)", identity)
            return x1 + 14, (y0 + y1) / 2
    raise AssertionError("every item lies at the edge")


def draw(tab: ReviewPage, corners: list[Pixel]) -> None:
    """Draws a building, corner by corner."""
    tab.keys("w")
    for corner in corners:
        tab.click(corner)
    tab.keys("Enter")
    tab.saved()
    tab.page.wait_for_selector('[data-command="draw"][aria-pressed="false"]')


def newest_drawn(tab: ReviewPage) -> str:
    tab.until("() => [...hanetReview.review.items.keys()].some((id) => id.startsWith('d'))")
    ids = tab.page.evaluate("[...hanetReview.review.items.keys()].filter((i) => i.startsWith('d'))")
    return max(ids, key=lambda identity: int(identity[1:]))


def test_a_missing_building_is_drawn(tab: ReviewPage, out: Path) -> None:
    place = clear_place(tab)
    identity = tab.current
    corners = [
        (place[0] + x, place[1] + y)
        for x, y in ((-8.0, -8.0), (8.0, -8.0), (8.0, 8.0), (-8.0, 8.0))
    ]
    tab.keys("w")
    for corner in [*corners[:2], (place[0], place[1] - 2)]:
        tab.click(corner)
    tab.keys("Backspace")
    for corner in corners[2:]:
        tab.click(corner)
    tab.keys("Enter")
    tab.saved()
    drawn = newest_drawn(tab)
    kept = read_journal(out).items[drawn]
    assert (kept.source, kept.status) == ("drawn", "accepted")
    assert kept.geometry.area == pytest.approx(256, rel=0.05)
    assert tab.current == identity, "the queue stays where it was"
    assert tab.count("drawn") == "1"
    tab.keys("w")
    tab.click(corners[0])
    tab.keys("Escape")
    assert tab.count("drawn") == "1"


def test_a_footprint_is_split_and_its_parts_are_merged_again(tab: ReviewPage, out: Path) -> None:
    identity = tab.current
    x0, y0, x1, y1 = tab.item(identity)["box"]
    across = (x0 + x1) / 2
    tab.outline(identity)
    tab.keys("x")
    tab.click((across, y0 - 5))
    tab.page.mouse.dblclick(*tab.where((across, y1 + 5)))
    tab.saved()
    tab.until("([id]) => !hanetReview.review.items.has(id)", identity)
    items = read_journal(out).items
    parts = [item for item in items.values() if item.source == "drawn"]
    assert identity not in items
    assert len(parts) == 2
    assert tab.current in {part.id for part in parts}
    tab.page.keyboard.down("Shift")
    for part in parts:
        point = part.geometry.representative_point()
        tab.click((point.x, point.y))
    tab.page.keyboard.up("Shift")
    assert "2 selected" in tab.text("#facts")
    tab.keys("g")
    tab.saved()
    tab.until("([id]) => !hanetReview.review.items.has(id)", parts[0].id)
    left = [item for item in read_journal(out).items.values() if item.source == "drawn"]
    assert [item.id for item in left] == [tab.current]
    assert left[0].geometry.area == pytest.approx(sum(p.geometry.area for p in parts), rel=0.01)


def test_a_line_that_cuts_nothing_is_refused_in_words(opened: Callable[..., ReviewPage]) -> None:
    tab = opened()
    identity = tab.current
    x0, y0, *_ = tab.item(identity)["box"]
    tab.outline(identity)
    tab.keys("x")
    tab.click((x0 - 8, y0 - 8))
    tab.page.mouse.dblclick(*tab.where((x0 - 3, y0 - 8)))
    expect(tab.page.locator("#banner")).to_contain_text("Not done")
    assert tab.current == identity


def test_a_click_on_an_outline_makes_it_current(tab: ReviewPage) -> None:
    tab.keys("0")
    other = tab.visible[-1]
    tab.click(middle(tab.outline(other)), "right")
    assert tab.current == other


def test_selected_ones_are_decided_together(tab: ReviewPage, out: Path) -> None:
    first, second = tab.visible[:2]
    tab.page.click(f'#rows [data-id="{second}"]', modifiers=["Shift"])
    tab.keys("r")
    tab.saved()
    kept = read_journal(out).items
    assert {kept[first].status, kept[second].status} == {"rejected"}
    assert len(read_journal(out).records) == 2, "one record for both, behind the first one"


# -- other footprints, and the sample


def test_other_footprints_keep_what_was_decided(tab: ReviewPage, out: Path) -> None:
    decided = tab.current
    tab.keys("a")
    tab.saved()
    tab.page.click("#remaking summary")
    tab.page.fill("#threshold", "0.9")
    assert tab.text("#threshold-value") == "0.90"
    tab.page.click("#remake")
    expect(tab.page.locator("#remake-told")).to_contain_text(" fit ", timeout=30_000)
    assert tab.page.evaluate("hanetReview.review.facts.threshold") == 0.9
    assert tab.item(decided)["status"] == "accepted"
    state = read_journal(out)
    assert state.items[decided].status == "accepted"
    assert state.settings.threshold == 0.9
    told = tab.text("#remaking")
    assert len(state.conflicts) == tab.page.locator("#conflicts li").count(), told


def test_a_sample_is_drawn_and_estimates_have_intervals(tab: ReviewPage) -> None:
    tab.page.click("#sampling summary")
    tab.page.click("#sample-button")
    tab.page.fill("#sample-count", "12")
    tab.page.click("#sample-draw")
    tab.saved()
    tab.until("() => hanetReview.review.queue === 'sample' && hanetReview.review.size > 0")
    many = len(tab.visible)
    for _ in range(many):
        tab.keys("a")
    tab.saved()
    expect(tab.page.locator('[data-queue="sample"] span')).to_have_text(f"{many}/{many}")
    estimates = tab.page.locator("#estimates")
    expect(estimates).to_contain_text("recision")
    expect(estimates).to_contain_text("ecall")


# -- nothing is lost


def test_what_cannot_be_saved_is_told_kept_and_saved_later(
    opened: Callable[..., ReviewPage], out: Path
) -> None:
    tab = opened()
    first, second = tab.visible[:2]
    tab.context.set_offline(True)
    tab.keys("a", "r")
    expect(tab.page.locator("#banner")).to_contain_text("2 changes are not saved")
    expect(tab.page.locator("#saved")).to_have_text("2 not saved")
    assert "unsaved" in tab.text(f'#rows [data-id="{first}"]')
    assert first not in {i for i, item in read_journal(out).items.items() if item.is_reviewed}
    tab.context.set_offline(False)
    tab.saved()
    kept = read_journal(out).items
    assert (kept[first].status, kept[second].status) == ("accepted", "rejected")
    expect(tab.page.locator("#banner")).to_be_hidden()


def test_a_full_disk_is_told_in_the_servers_words_and_the_decision_kept(
    opened: Callable[..., ReviewPage], out: Path
) -> None:
    tab = opened()
    identity = tab.current

    def refuse(route: Route) -> None:
        route.fulfill(status=507, json={"error": "the disk is full", "hint": "free some space"})

    tab.page.route("**/api/decide", refuse)
    tab.keys("a")
    expect(tab.page.locator("#banner")).to_contain_text("the disk is full. free some space")
    assert tab.page.get_attribute("#saved", "data-state") == "trouble"
    tab.page.unroute("**/api/decide")
    tab.saved()
    assert read_journal(out).items[identity].status == "accepted"


def test_unsaved_decisions_outlive_a_reload(opened: Callable[..., ReviewPage], out: Path) -> None:
    tab = opened()
    identity = tab.current
    tab.page.route("**/api/decide", lambda route: route.abort())
    tab.keys("u")
    expect(tab.page.locator("#saved")).to_have_text("1 not saved")
    tab.page.unroute("**/api/decide")
    tab.page.on("dialog", lambda dialog: dialog.accept())
    tab.page.reload()
    tab.page.wait_for_selector("body[data-ready]")
    tab.saved()
    assert read_journal(out).items[identity].status == "unsure"


def test_a_reload_shows_what_was_decided(tab: ReviewPage) -> None:
    first = tab.current
    tab.keys("a")
    tab.saved()
    tab.open()
    assert tab.item(first)["status"] == "accepted"
    assert tab.text("#reviewed").startswith("1 of")
    assert tab.current != first


def test_decisions_of_another_tab_appear(opened: Callable[..., ReviewPage]) -> None:
    one, other = opened(), opened()
    identity = one.current
    one.keys("r")
    one.saved()
    other.until("([id]) => hanetReview.review.item(id).status === 'rejected'", identity)
    expect(other.page.locator("#reviewed")).to_contain_text("1 of")


def test_a_wrong_token_opens_nothing(browser: Browser, address: str) -> None:
    context = browser.new_context()
    response = context.new_page().goto(address.partition("token=")[0] + "token=wrong")
    assert response is not None
    assert response.status == 401
    assert "token" in response.text()
    context.close()


def test_another_server_at_the_same_address_is_told(opened: Callable[..., ReviewPage]) -> None:
    tab = opened()
    refusal = {"error": "the token is wrong", "hint": ""}
    tab.page.route("**/api/**", lambda route: route.fulfill(status=401, json=refusal))
    tab.keys("a")
    banner = tab.page.locator("#banner")
    expect(banner).to_contain_text("Another server runs here now: open the address that it printed")
    expect(banner).to_contain_text("One change is not saved")
    tab.page.unroute("**/api/**")
    tab.saved()


# -- for everybody


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_it_fits_and_every_control_has_a_name(
    opened: Callable[..., ReviewPage], size: dict[str, int], scheme: str
) -> None:
    tab = opened(viewport=size, color_scheme=scheme)
    assert tab.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    nameless = tab.page.eval_on_selector_all(
        "button, input, select, [role=slider], [role=listbox], [role=progressbar]",
        "(all) => all.filter((e) => !(e.ariaLabel || e.textContent?.trim() || e.labels?.length))"
        ".map((e) => e.outerHTML)",
    )
    assert nameless == []
    dark = tab.style("body", "backgroundColor") == "rgb(18, 21, 23)"
    assert dark == (scheme == "dark")
    assert tab.page.get_attribute("#live", "aria-live") == "polite"
    tab.page.keyboard.press("Tab")
    focused = "document.activeElement.matches(':focus-visible') && "
    focused += "getComputedStyle(document.activeElement).outlineStyle"
    assert tab.page.evaluate(focused) == "solid"
    assert tab.console == []


def test_it_is_worked_by_touch(opened: Callable[..., ReviewPage], out: Path) -> None:
    tab = opened(viewport=NARROW, has_touch=True, is_mobile=True)
    assert tab.page.get_attribute("#maps", "data-mode") == "swipe"
    identity = tab.current
    for name in ("accept", "reject", "unsure"):
        box = tab.page.locator(f'.decisions [data-command="{name}"]').bounding_box()
        assert box is not None
        assert box["height"] >= 44
        assert box["y"] + box["height"] <= NARROW["height"], "in view without scrolling"
    place = clear_place(tab)
    tab.page.tap('[data-command="draw"]')
    tab.page.wait_for_timeout(CLICK_MS)  # the view scrolls to the image
    for corner in hexagon(place, 5.0):
        tab.page.touchscreen.tap(*tab.where(corner))
        tab.page.wait_for_timeout(CLICK_MS)
    tab.page.tap('[data-command="finish"]')
    tab.saved()
    assert read_journal(out).items[newest_drawn(tab)].status == "accepted"
    identity = tab.current
    tab.page.tap('.decisions [data-command="reject"]')
    tab.saved()
    assert read_journal(out).items[identity].status == "rejected"
    assert tab.current != identity
