"""The counts of a view are those of a plain count over its queues, whatever was done."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from shapely import LineString

from hanet.errors import HanetError
from hanet.review.items import STATUSES
from hanet.review.label_tiles import SuggestedTile, label_tiles, tile_item
from hanet.review.review import Review
from hanet.review.view import QUEUES
from reviewed_runs import finished_run, village


def _counted_plainly(review: Review) -> dict[str, Any]:
    progress: dict[str, Any] = {}
    for name in QUEUES:
        items = review.items(name)
        if name == "suggested":
            items = [item for item in items if item.source == "tile"]
        statuses = [item.status for item in items]
        counts = {status: statuses.count(status) for status in STATUSES if status != "unreviewed"}
        progress[name] = {"total": len(statuses), "reviewed": sum(counts.values()), **counts}
    return {**progress, "drawn": progress["drawn"]["total"]}


def _some_tiles(review: Review, rng: np.random.Generator) -> list[SuggestedTile]:
    windows = label_tiles(review.grid)
    numbers = rng.choice(len(windows), size=2, replace=False).tolist()
    return [SuggestedTile(tile_item(one, windows[one]), "because") for one in numbers]


def _do_something(review: Review, rng: np.random.Generator) -> str:
    """One thing out of all that can be done, with items at random."""
    items = review.all_items()
    some = [str(one) for one in rng.choice(list(items), size=3, replace=False)]
    outlines = [key for key, item in items.items() if not item.is_tile]
    two = [str(one) for one in rng.choice(outlines, size=2)]
    middle = items[two[0]].geometry.centroid.y
    status = {"status": str(rng.choice(STATUSES))}
    x, y = rng.integers(5, 70, 2).tolist()
    ways = {
        "decide": lambda: review.decide(some, status),
        "draw": lambda: review.draw(shapely.box(x, y, x + 30, y + 20), status),
        "reshape": lambda: review.reshape(two[0], shapely.box(x, y, x + 9, y + 9)),
        "split": lambda: review.split(two[0], LineString([(-1, middle), (513, middle)])),
        "merge": lambda: review.merge(two),
        "undo": review.undo,
        "redo": review.redo,
        "suggest": lambda: review.suggest(_some_tiles(review, rng), count=2, seed=1),
        "sample": lambda: review.make_sample(int(rng.integers(4, 12)), seed=int(rng.integers(99))),
        "remake": lambda: review.remake(
            replace(review.settings, threshold=float(rng.choice([0.3, 0.5, 0.6, 0.8])))
        ),
    }
    often = [0.2, 0.1, 0.08, 0.1, 0.08, 0.14, 0.14, 0.04, 0.06, 0.06]
    way = str(rng.choice(list(ways), p=often))
    try:
        ways[way]()
    except HanetError:  # nothing to undo, a blank tile cut ...: then nothing has changed
        return f"{way} refused"
    return way


@pytest.mark.parametrize("seed", [1, 2])
def test_the_counts_are_those_of_a_plain_count(tmp_path: Path, seed: int) -> None:
    out = finished_run(tmp_path / "out", village(), outline="pixels")
    rng = np.random.default_rng(seed)
    done: list[str] = []
    with Review.open(out, reviewer="anna") as review:
        assert review.progress() == _counted_plainly(review)
        for _ in range(120):
            done.append(_do_something(review, rng))
            assert review.progress() == _counted_plainly(review), done[-5:]
        last = review.progress()
    assert {
        "decide",
        "draw",
        "split",
        "merge",
        "undo",
        "redo",
        "sample",
        "suggest",
        "remake",
    } <= set(done)
    with Review.open(out, reviewer="anna") as review:
        assert review.progress() == last
