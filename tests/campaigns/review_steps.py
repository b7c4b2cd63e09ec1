"""What is sent to a review that will be killed, one question after another, and what its page shows
afterwards."""

from __future__ import annotations

import http.client
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hanet.review.view import QUEUES
from review_pages import Client

SIZE_PX = 1040
"""Side of the images: of so large ones the server makes pictures for the whole view."""

STEPS = 40
"""Sent to each server."""

_LOST = (OSError, http.client.HTTPException)


class FaultError(Exception):
    """What a killed server must not leave."""


@dataclass(frozen=True)
class Step:
    """A question that changes something."""

    path: str
    body: dict[str, Any]


def send_all(client: Client, steps: list[Step]) -> tuple[int, bool]:
    """Sends until the server is gone: how many steps were acknowledged, and whether one more was
    sent."""
    for number, step in enumerate(steps):
        try:
            status, content = answered(client, step)
        except _LOST:
            return number, True
        if status not in (200, 202):
            raise FaultError(f"{step.path} is refused: {status} {content[:300]!r}")
    return len(steps), False


def answered(client: Client, step: Step) -> tuple[int, bytes]:
    """Code and content of the answer; of a remake when it is done."""
    status, content, _ = client.ask("POST", f"/api/{step.path}", step.body)
    if status == 202:
        while not (work := client.get("/api/work"))["done"]:
            time.sleep(0.005)
        if work["error"]:
            return 503, json.dumps({"error": work["error"], "hint": work["hint"]}).encode()
    return status, content


def page(client: Client) -> Any:
    """All that the page shows, whatever order the items come in."""
    facts = client.get("/api/review")
    queues = {
        name: sorted(
            client.get(f"/api/items?queue={name}")["items"], key=lambda item: str(item["id"])
        )
        for name in QUEUES
    }
    shapes = client.get(f"/api/shapes?box=0,0,{SIZE_PX},{SIZE_PX}")["features"]
    del facts["title"]  # the name of the folder
    return [facts, queues, sorted(shapes, key=lambda shape: str(shape["id"]))]


def next_step(client: Client, chosen: random.Random, *, number: int) -> Step:
    """What is tried next; where it cannot be done, the server refuses it."""
    if number == STEPS // 2:
        threshold = chosen.choice((0.3, 0.4, 0.6, 0.7))
        return Step("remake", {"threshold": threshold, "min_area_m2": 2.0})
    if number == STEPS // 3:
        return Step("sample", {"count": 6, "seed": chosen.randrange(100)})
    queues = {name: client.get(f"/api/items?queue={name}")["items"] for name in QUEUES}
    items = [item for listed in queues.values() for item in listed]
    outlines = [item["id"] for item in queues["found"] + queues["drawn"]]
    x, y = (chosen.randrange(SIZE_PX - 60) for _ in "xy")
    corners = [[x, y], [x + 20, y], [x + 20, y + 12], [x, y + 12], [x, y]]
    outline = {"type": "Polygon", "coordinates": [corners]}
    one = chosen.choice(items)
    x0, y0, x1, y1 = one["box"]
    line = [[x0 - 1, (y0 + y1) / 2], [x1 + 1, (y0 + y1) / 2]]
    status = chosen.choice(("accepted", "rejected", "unsure"))
    several = [item["id"] for item in chosen.sample(items, min(3, len(items)))]
    makes: dict[str, Callable[[], Step]] = {
        "decide": lambda: Step("decide", {"ids": [one["id"]], "set": {"status": status}}),
        "decide several": lambda: Step("decide", {"ids": several, "set": {"status": status}}),
        "comment": lambda: Step("decide", {"ids": [one["id"]], "set": {"comment": "Dächer\nneu"}}),
        "draw": lambda: Step("draw", {"geometry": outline}),
        "reshape": lambda: Step("reshape", {"id": chosen.choice(outlines), "geometry": outline}),
        "split": lambda: Step(
            "split", {"id": one["id"], "line": {"type": "LineString", "coordinates": line}}
        ),
        "merge": lambda: Step("merge", {"ids": chosen.sample(outlines, min(2, len(outlines)))}),
        "undo": lambda: Step("undo", {}),
        "redo": lambda: Step("redo", {}),
    }
    weights = (12, 4, 3, 5, 3, 2, 2, 6, 3)
    return makes[chosen.choices(list(makes), weights)[0]]()
