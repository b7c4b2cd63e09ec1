"""A stop on request: SIGTERM and SIGINT are noted, and the run ends after the step that is under
way."""

from __future__ import annotations

import signal
import threading
from typing import Any

STOPPING = (signal.SIGTERM, signal.SIGINT)
"""What a scheduler sends before it kills, and Ctrl-C."""


class StopRequest:
    """Whether somebody asked this process to stop; a context manager that listens while it is open.

    The first signal sets :attr:`made`, a second one ends the process at once. Outside the main
    thread signals cannot be heard, and nothing is installed.
    """

    def __init__(self) -> None:
        self.made = False
        self._old: dict[int, Any] = {}

    def listen(self) -> None:
        """Takes the signals; again, where somebody has taken them since.

        Lightning takes SIGTERM when training starts: it would end the run by an exception, and in a
        run of several processes send a message between the gradients' messages of the other
        processes.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        for number in STOPPING:
            old = signal.signal(number, self._note)
            self._old.setdefault(number, old)

    def __enter__(self) -> StopRequest:
        self.listen()
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)
        self._old = {}

    def _note(self, number: int, frame: object) -> None:  # noqa: ARG002 - the signature of a handler
        if self.made:
            raise KeyboardInterrupt
        self.made = True
