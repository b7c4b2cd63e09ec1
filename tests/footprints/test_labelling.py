"""Labelling by runs against a plain flood fill; the bounded choice of footprints for a report."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hanet.detection.highlights import CHIPS, DRAWN, Footprint, Highlights
from hanet.footprints.labelling import label
from hanet.types import Mask


def _flood(mask: Mask, connectivity: int) -> list[list[tuple[int, int]]]:
    """Components by first pixel, each with its pixels, one pixel after the other."""
    steps = [(0, 1), (1, 0), (0, -1), (-1, 0)]
    steps += [(1, 1), (1, -1), (-1, 1), (-1, -1)] if connectivity == 8 else []
    left, found = {(int(r), int(c)) for r, c in zip(*np.nonzero(mask), strict=True)}, []
    while left:
        waiting, component = [min(left)], []
        left.remove(waiting[0])
        while waiting:
            row, column = waiting.pop()
            component.append((row, column))
            near = {(row + dr, column + dc) for dr, dc in steps} & left
            left -= near
            waiting += near
        found.append(sorted(component))
    return found


@settings(max_examples=150)
@given(
    arrays.arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))),
    st.sampled_from([4, 8]),
)
def test_runs_label_what_a_flood_fill_labels(mask: Mask, connectivity: int) -> None:
    values = np.arange(mask.size, dtype=np.float32).reshape(mask.shape)
    found = label(mask, values, connectivity=connectivity)
    expected = _flood(mask, connectivity)
    labels = np.zeros(mask.shape, dtype=np.int32)
    for number, pixels in enumerate(expected, start=1):
        rows, columns = zip(*pixels, strict=True)
        labels[rows, columns] = number
    assert np.array_equal(found.labels, labels)
    under = [[float(values[pixel]) for pixel in pixels] for pixels in expected]
    assert found.sums.tolist() == [sum(v) for v in under]
    assert found.maxima.tolist() == [max(v) for v in under]
    assert found.pixels.tolist() == [len(v) for v in under]
    assert found.last_pixels.tolist() == [int(v[-1]) for v in under]


def test_a_spiral_is_one_component() -> None:
    mask = np.zeros((9, 9), dtype=np.bool_)
    mask[0, :] = mask[:, 8] = mask[8, :] = mask[2:, 0] = mask[2, :7] = mask[2:7, 6] = mask[
        6, 2:7
    ] = mask[4:7, 2] = True
    assert label(mask, mask.astype(np.float32), connectivity=4).pixels.tolist() == [mask.sum()]


def _footprint(number: int, area: float, probability: float) -> Footprint:
    square = shapely.box(0, 0, 1, 1)
    return Footprint(
        square, square, {"id": number, "area_m2": area, "probability_mean": probability}
    )


def test_highlights_keep_the_largest_and_the_most_doubtful_of_any_number() -> None:
    random = np.random.default_rng(0)
    footprints = [_footprint(n, *random.random(2).round(2).tolist()) for n in range(DRAWN + 500)]
    seen = Highlights()
    for footprint in footprints:
        seen.see(footprint)
    by_area = sorted(
        footprints, key=lambda f: -f.attributes["area_m2"]
    )  # stable: of equal ones the first stays
    largest = [f.attributes["id"] for f in by_area[:CHIPS]]
    others = [f for f in footprints if f.attributes["id"] not in largest]
    by_doubt = sorted(others, key=lambda f: f.attributes["probability_mean"])
    assert seen.count == len(footprints)
    assert seen.area == pytest.approx(sum(f.attributes["area_m2"] for f in footprints))
    assert seen.drawn == by_area[:DRAWN]
    assert seen.largest == by_area[:CHIPS]
    assert seen.doubtful == by_doubt[:CHIPS]


@pytest.mark.parametrize("count", [0, 3, CHIPS, CHIPS + 3, 3 * CHIPS])
def test_no_footprint_is_shown_twice_and_no_place_stays_empty(count: int) -> None:
    seen = Highlights()
    for number in range(count):  # the largest are the most doubtful
        seen.see(_footprint(number, 100.0 + number, 1.0 - number / 100))
    shown = [f.attributes["id"] for f in seen.largest + seen.doubtful]
    assert len(shown) == len(set(shown)) == min(count, 2 * CHIPS)


def test_the_histogram_counts_valid_pixels() -> None:
    seen = Highlights()
    seen.see_strip(np.array([[0.0, 0.049, 0.051, 1.0, np.nan]], dtype=np.float32))
    assert seen.histogram[[0, 1, 19]].tolist() == [2, 1, 1]
    assert seen.histogram.sum() == 4
