"""The server of ``hanet review`` in a thread of the tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hanet.review.server import opened


@contextmanager
def serving(out: Path) -> Iterator[str]:
    """Serves the review of a finished run; gives the address of its page."""
    stop = threading.Event()
    with opened(
        out,
        reviewer="anna",
        given={"before": None, "after": None},
        port=0,
        progress=lambda _stage, _share: None,
        warn=lambda _message: None,
    ) as server:
        thread = threading.Thread(target=server.serve, args=(stop,))
        thread.start()
        try:
            yield server.address
        finally:
            stop.set()
            thread.join()
