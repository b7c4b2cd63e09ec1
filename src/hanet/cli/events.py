"""``--progress json``: what a command says, as lines that a program reads.

One JSON object a line on stderr, in ASCII. The contract, which other programs rely on, is
``docs/reference/progress.md``; whoever changes what is written here changes that page, and raises
:data:`CONTRACT` where a reader of the old lines would be misled.
"""

from __future__ import annotations

import json
import math
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from hanet.errors import SettingsError
from hanet.version import __version__

CONTRACT = 1
"""Version of the lines: the first line of every command states it."""

OPTION = "--progress"
"""Stands anywhere on a command line, before the verb or after it."""

FORMATS = ("text", "json")
"""For people, and for programs."""


class Events:
    """Writes the lines, where they were asked for.

    Attributes:
        are_on: Whether the command was asked for lines instead of text.
    """

    def __init__(self) -> None:
        self.are_on = False
        # stages are reported by the threads that work on them
        self._lock = threading.Lock()

    def start(self, verb: str | None) -> None:
        """The first line: what is speaking."""
        self.are_on = True
        self.say("start", contract=CONTRACT, version=__version__, verb=verb)

    def say(self, event: str, **fields: Any) -> None:
        """One line; nothing where text was asked for. Numbers that are none become null."""
        if not self.are_on:
            return
        line = json.dumps({"event": event, **{key: _plain(value) for key, value in fields.items()}})
        with self._lock:
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    def end(self, exit_code: int) -> None:
        """The last line. Whoever listened may be gone: then there is nobody to tell."""
        with suppress(OSError, ValueError):
            self.say("end", exit_code=exit_code)
        self.are_on = False


events = Events()
"""Of this process: a command line speaks in one form from its first line to its last."""


def without_option(arguments: Sequence[str]) -> tuple[list[str], str]:
    """A command line without ``--progress FORMAT``, and the format.

    It is looked for before anything is understood of the line, so that an error in the line itself
    is told in the form that was asked for.

    Raises:
        SettingsError: There is no such format.
    """
    left: list[str] = []
    chosen = FORMATS[0]
    words = iter(arguments)
    for word in words:
        if word == "--":  # what follows is names, whatever they look like
            left += [word, *words]
        elif word == OPTION:
            chosen = next(words, "")
        elif word.startswith(f"{OPTION}="):
            chosen = word.partition("=")[2]
        else:
            left.append(word)
    if chosen not in FORMATS:
        raise SettingsError(f"{OPTION} is {chosen!r}", hint=" or ".join(FORMATS))
    return left, chosen


def _plain(value: Any) -> Any:
    """The value as JSON has it: JSON knows no NaN, and other types become their text."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return str(value)
