"""Long work in the background, one at a time, and how far it is."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable

from hanet.errors import HanetError
from hanet.imagery.addresses import without_credentials
from hanet.types import Json, Progress

PATIENCE_S = 20.0
"""How long the end of the program waits for what is at work: it is told at its next step, and keeps
or removes what it was writing."""

_IDLE: Json = {"stage": "", "share": 0.0, "error": None, "hint": "", "conflicts": []}


class _ClosedError(Exception):
    """Nobody waits for it any more."""


class Work:
    """Runs one thing at a time in a thread of its own; any number of threads may ask how far it
    is."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_closed = False
        self._state: Json = {**_IDLE, "share": 1.0, "done": True}
        self._thread: threading.Thread | None = None

    def start(self, stage: str, do: Callable[[Progress], Json]) -> bool:
        """Begins, unless something else is at work.

        Args:
            stage: What is done, in words.
            do: Does it, reports its progress, and gives what :meth:`to_json` shall tell of it.

        Returns:
            Whether it has begun.
        """
        with self._lock:
            if not self._state["done"]:
                return False
            self._state = {**_IDLE, "stage": stage, "done": False}
            self._thread = threading.Thread(target=self._run, args=(do,), daemon=True)
            self._thread.start()
        return True

    def to_json(self) -> Json:
        """Stage, share (0-1), whether it is done, its error and hint, conflicts, and what else it
        gave."""
        with self._lock:
            return dict(self._state)

    def close(self) -> None:
        """Ends what is at work, which is nobody's concern any more."""
        self._is_closed = True
        if self._thread is not None:
            self._thread.join(PATIENCE_S)

    def _tell(self, stage: str, share: float) -> None:
        if self._is_closed:
            raise _ClosedError
        with self._lock:
            self._state |= {"stage": stage, "share": min(max(share, 0.0), 1.0)}

    def _run(self, do: Callable[[Progress], Json]) -> None:
        try:
            ended = do(self._tell)
        except HanetError as error:
            ended = {"error": without_credentials(error.message), "hint": error.hint or ""}
        except BaseException as error:  # who waits must not wait for ever
            if not self._is_closed:
                traceback.print_exc()
            ended = {"error": f"hanet has failed: {type(error).__name__}", "hint": ""}
        with self._lock:
            self._state |= {"share": 1.0, **ended, "done": True}
