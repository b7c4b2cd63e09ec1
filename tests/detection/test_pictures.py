"""The pictures of a report: how sharp they are where, within which budget, and read back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hanet.detection.pictures import CELL_PX, Picture, Pictures, read_pictures, take_pictures
from hanet.errors import OutputError
from hanet.imagery.grid import Grid
from hanet.imagery.images import decode_jpeg, encode_jpeg
from hanet.imagery.pair import PairBlock
from hanet.types import ByteArray, Window

SIDE = 1024
GRID = Grid(None, (1.0, 0.0, 0.0, 0.0, -1.0, 0.0), SIDE, SIDE)


class PlainPair:
    """A pair of grey noise over a slope: red grows with the row, green with the column."""

    def __init__(self) -> None:
        self.grid = GRID
        self.asked: list[Window] = []
        rows, columns = np.mgrid[0:SIDE, 0:SIDE]
        noise = np.random.default_rng(1).uniform(0, 90, (SIDE, SIDE))
        slope = np.stack([rows / 8, columns / 8, np.zeros((SIDE, SIDE))])
        self.image = (slope + noise).astype(np.float32)

    def read(self, window: Window) -> PairBlock:
        self.asked.append(window)
        part = self.image[:, window.slices[0], window.slices[1]]
        return PairBlock(part, 255 - part, np.ones(window.shape, dtype=np.bool_))


def overview_of(pair: PlainPair, step: int) -> tuple[ByteArray, ByteArray]:
    coarse = pair.image[:, ::step, ::step].astype(np.uint8)
    return coarse, 255 - coarse


def taken(
    first: list[Window], others: list[Window], *, step: int = 4, budget: int = 10_000_000
) -> tuple[Pictures, PlainPair]:
    pair = PlainPair()
    pictures = take_pictures(
        pair,  # type: ignore[arg-type]
        overview_of(pair, step),
        first=first,
        others=others,
        budget_bytes=budget,
    )
    return pictures, pair


CARD = Window(300, 300, 20, 20)
PLACES = [Window(row, column, 4, 4) for row in range(10, SIDE, 250) for column in (10, 600)]


def test_a_pair_no_larger_than_its_overview_is_not_read_again() -> None:
    pictures, pair = taken([CARD], PLACES, step=1)
    assert pair.asked == []
    assert pictures.cells == ()
    assert pictures.step_at(1000, 1000) == 1


def test_footprints_are_sharp_and_the_rest_is_the_overview() -> None:
    pictures, pair = taken([CARD], PLACES)
    assert {cell.window.shape for cell in pictures.cells} == {(CELL_PX, CELL_PX)}
    assert len(pair.asked) == len(set(pair.asked)) == len(pictures.cells)
    assert pictures.step_at(310, 310) == 1
    assert pictures.step_at(10, 600) == 1
    assert pictures.step_at(1000, 1000) == 4
    fine, _ = pictures.read(CARD, height=20, width=20)
    exact = pair.image[:, CARD.slices[0], CARD.slices[1]]
    grey = fine.mean(axis=0).ravel(), exact.mean(axis=0).ravel()
    assert np.corrcoef(*grey)[0, 1] > 0.95
    there = Window(990, 990, 20, 20)
    blurred, _ = pictures.read(there, height=20, width=20)
    exact = pair.image[:, there.slices[0], there.slices[1]]
    grey = blurred.mean(axis=0).ravel(), exact.mean(axis=0).ravel()
    assert np.corrcoef(*grey)[0, 1] < 0.6  # every fourth pixel is all that it has
    assert abs(blurred.mean(axis=(1, 2)) - exact.mean(axis=(1, 2))).max() < 15


def test_a_window_over_the_edge_of_a_cell_is_put_together() -> None:
    pictures, pair = taken([Window(250, 250, 4, 4)], [])
    window = Window(200, 100, 120, 300)  # sharp and not sharp
    before, after = pictures.read(window, height=60, width=150)
    exact = pair.image[:, 200:320, 100:400].reshape(3, 60, 2, 150, 2).mean(axis=(2, 4))
    assert before.shape == (3, 60, 150)
    sharp = (slice(None), slice(0, 28), slice(0, 78))  # rows below 256, columns below 256
    assert abs(before[sharp].astype(float) - exact[sharp]).mean() < 8
    assert np.corrcoef(before[sharp].ravel(), exact[sharp].ravel())[0, 1] > 0.9
    assert abs(before.astype(int) + after - 255).mean() < 8


def test_where_not_all_can_be_sharp_half_the_resolution_comes_first_and_cards_stay_sharp() -> None:
    everywhere, _ = taken([CARD], [Window(0, 0, SIDE, SIDE)])
    whole = everywhere.whole.size
    budget = whole + (sum(cell.size for cell in everywhere.cells)) // 2
    pictures, _ = taken([CARD], [Window(0, 0, SIDE, SIDE)], budget=budget)
    assert pictures.whole.size + sum(cell.size for cell in pictures.cells) <= budget
    sides = [cell.window.height for cell in pictures.cells]
    assert sides == sorted(sides, reverse=True)  # those of lower resolution are drawn first
    assert {CELL_PX, 2 * CELL_PX} == set(sides)
    assert pictures.step_at(310, 310) == 1
    assert {pictures.step_at(row, 700) for row in range(0, SIDE, 64)} <= {1, 2, 4}
    soft = next(cell for cell in pictures.cells if cell.window.height == 2 * CELL_PX)
    assert decode_jpeg(soft.before).shape == (3, CELL_PX, CELL_PX)


def test_a_budget_that_is_used_up_by_the_overview_leaves_it() -> None:
    pictures, _ = taken([CARD], PLACES, budget=10)
    assert pictures.cells == ()


def page_with(pictures: Pictures, folder: Path, cells: str | None = None) -> Path:
    """A page that holds these pictures as a report does."""
    import base64

    images = "".join(
        f'<img id="picture-{date}" alt="" src="data:image/jpeg;base64,'
        f'{base64.b64encode(getattr(pictures.whole, date)).decode()}">'
        for date in ("before", "after")
    )
    text = pictures.cells_json() if cells is None else cells
    path = folder / "report.html"
    path.write_text(f'{images}<script type="application/json" id="cells">{text}</script>')
    return path


def small(
    height: int = 40, width: int = 30, cells: tuple[Picture, ...] = ()
) -> tuple[Pictures, Grid]:
    grid = Grid(None, (1.0, 0.0, 0.0, 0.0, -1.0, 0.0), height, width)
    jpeg = encode_jpeg(np.full((3, height, width), 90, np.uint8))
    return Pictures(Picture(Window(0, 0, height, width), jpeg, jpeg), cells, scale=1.0), grid


def test_pictures_come_back_byte_for_byte(tmp_path: Path) -> None:
    jpeg = encode_jpeg(np.full((3, 10, 20), 30, np.uint8))
    pictures, grid = small(cells=(Picture(Window(5, 6, 10, 20), jpeg, jpeg),))
    again = read_pictures(page_with(pictures, tmp_path), grid)
    assert again.whole == pictures.whole
    assert again.cells == pictures.cells
    assert again.scale == 1


CELL = {"window": [0, 0, 10, 20], "step": 1, "before": "", "after": ""}


@pytest.mark.parametrize(
    "cells",
    [
        "[1]",
        "[{}]",
        "nonsense",
        json.dumps([{**CELL, "window": [0, 0, 10]}]),
        json.dumps([{**CELL, "window": [0, 0, 10, True]}]),
        json.dumps([{**CELL, "window": [0, 0, 10, 31]}]),
        json.dumps([{**CELL, "window": [-1, 0, 10, 20]}]),
        json.dumps([{**CELL, "before": "!"}]),
        json.dumps([{**CELL, "step": 0}]),
        json.dumps([{**CELL, "step": "1"}]),
        json.dumps([{**CELL, "before": "AAAA", "after": "AAAA"}]),
    ],
)
def test_a_report_that_somebody_changed_is_refused(tmp_path: Path, cells: str) -> None:
    pictures, grid = small()
    with pytest.raises(OutputError, match="no pictures of this run"):
        read_pictures(page_with(pictures, tmp_path, cells), grid)


def test_a_report_of_another_run_is_refused(tmp_path: Path) -> None:
    pictures, _ = small()
    _, other = small(height=41)
    with pytest.raises(OutputError, match="no pictures of this run"):
        read_pictures(page_with(pictures, tmp_path), other)


def test_a_page_without_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("<html>mine</html>")
    with pytest.raises(OutputError, match="no pictures of this run"):
        read_pictures(tmp_path / "report.html", small()[1])
