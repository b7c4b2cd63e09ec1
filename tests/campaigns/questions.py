"""What a page asks its server while a case runs, and the Ctrl-C at its end.

A server that fails at a question prints a traceback, which the promise forbids; what it answers in
words is as it should be.
"""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from random import Random
from urllib.error import HTTPError
from urllib.request import Request, urlopen

SECONDS_TO_START = 50.0
"""After these nobody waits for the address any more."""

QUEUES = ("found", "missed", "blank", "suggested", "sample", "drawn")

GETS = (
    "", "page/index.html", "api/review", *(f"api/items?queue={name}" for name in QUEUES),
    "api/shapes?box=0,0,40,40", "api/where?x=5&y=5", "api/since?n=1", "api/estimates", "api/work",
    *(f"tiles/{layer}/0/0/0" for layer in ("before", "after", "probability")),
)  # fmt: skip
"""What a page asks for when it is opened."""

RING = [[3, 3], [9, 3], [9, 9], [3, 9], [3, 3]]

POSTS: tuple[tuple[str, object], ...] = (
    ("decide", {"ids": ["f1"], "set": {"status": "unsure", "comment": "=1+1"}}),
    ("draw", {"geometry": {"type": "Polygon", "coordinates": [RING]}}),
    ("reshape", {"id": "f1", "geometry": {"type": "Polygon", "coordinates": [RING]}}),
    ("merge", {"ids": ["f1", "f2"]}),
    ("undo", {}),
    ("redo", {}),
    ("sample", {"count": 3, "seed": 2}),
    ("remake", {"threshold": 0.6, "min_area_m2": 5}),
)
"""What a person does there."""


def ask_page(output: Path, random: Random) -> None:
    """Waits in a thread of this process for the address of its page, asks, and stops the process
    as Ctrl-C does.

    Args:
        output: The file to which standard output goes.
        random: Chooses what is done.
    """
    threading.Thread(target=_ask, args=(output, random), daemon=True).start()


def _ask(output: Path, random: Random) -> None:
    address = _address(output)
    if address is None:
        return
    place, token = address.split("?token=")
    for path in GETS:
        _asked(Request(f"{place}{path}", headers={"X-Hanet-Token": token}))
    headers = {"X-Hanet-Token": token, "Content-Type": "application/json"}
    for name, body in random.sample(POSTS, 3):
        _asked(Request(f"{place}api/{name}", json.dumps(body).encode(), headers))
    os.kill(os.getpid(), signal.SIGINT)


def _address(output: Path) -> str | None:
    ends = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < ends:
        text = output.read_bytes().decode("utf-8", "replace")
        if found := re.search(r"^open (http://\S+)\n", text, re.MULTILINE):
            return found[1]
        time.sleep(0.02)
    return None


def _asked(request: Request) -> None:
    with suppress(HTTPError, OSError), urlopen(request, timeout=20) as answer:
        answer.read()
