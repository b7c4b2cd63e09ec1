"""What the engines say, in our words: each has error types and messages of its own."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hanet.errors import HanetError, WeightsError, one_line

OUT_OF_MEMORY = ("allocate memory", "bad_alloc", "bad allocation", "not enough memory")
"""What the engines say when memory runs out, in lower case."""

TRIAL_SECONDS = 20.0
"""Longest trial of a file on its smallest window, which takes milliseconds: a graph may hold a loop
without end."""

OTHER_WEIGHTS = "take other weights, or more memory; --tile and --batch have no part in it"
"""What helps with a file that asks for too much by itself."""

_ORT_PREFIX = re.compile(r"^\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ")
_FAILED_NODE = re.compile(r"^Non-zero status code returned while running (\w+) node\..*?Message: ")
_FAILED_FILE = re.compile(r"^Load model from .*? failed: ?")
_SOURCE = re.compile(r"^/\S+\.(?:cc|cpp|h|hpp):\d+ \S.*?\)(?= [A-Za-z]\S* )\s+")
"""Where in its own source an engine met the error, and in which function."""


def reason_of(error: BaseException) -> str:
    """The engine's message on one line, without its codes and the places in its source.

    Example:
        >>> reason_of(ValueError("[ONNXRuntimeError] : 7 : INVALID_PROTOBUF : Protobuf parsing"))
        'Protobuf parsing'
    """
    text = _ORT_PREFIX.sub("", " ".join(str(error).split()))
    node = _FAILED_NODE.match(text)
    text = _FAILED_FILE.sub("", _FAILED_NODE.sub("", text))
    text = _SOURCE.sub("", text).rpartition(" was false. ")[2]
    return one_line(f"{node[1]}: {text}" if node else text or type(error).__name__)


def translated(weights: Path, what: str, run: Callable[[], Any]) -> Any:
    """What an engine gives; what it raises in our words.

    Args:
        weights: The file, for messages.
        what: What is done with it, as a participle.
        run: Does it.

    Raises:
        MemoryError: The engine ran out of memory.
        WeightsError: Anything else.
    """
    try:
        return run()
    except (HanetError, MemoryError):
        raise
    except Exception as error:  # the engines raise types of their own, all of Exception
        reason = reason_of(error)
        if any(word in str(error).lower() for word in OUT_OF_MEMORY):
            raise MemoryError(reason) from error
        if "terminate flag" in str(error):
            raise WeightsError(
                f"{weights} needs more than {TRIAL_SECONDS:g} s for the smallest images that it "
                "takes",
                hint="its graph may hold a loop without end; take other weights",
            ) from error
        raise WeightsError(
            f"{weights} cannot be {what}: {reason}",
            hint="the file may be damaged, or its graph be wrong; copy it again, or export it "
            "again with hanet export",
        ) from error


@contextmanager
def own_memory(weights: Path, what: str) -> Iterator[None]:
    """Turns a lack of memory into an error of the weights, where nothing but they decides how much
    is needed.

    Args:
        weights: The file, for messages.
        what: What they need it for.
    """
    try:
        yield
    except MemoryError as error:
        raise WeightsError(
            f"{weights} needs more memory than there is {what} ({one_line(error)})",
            hint=OTHER_WEIGHTS,
        ) from error


@contextmanager
def time_limit(options: Any) -> Iterator[Any]:
    """ONNX Runtime's run options, which end a run after :data:`TRIAL_SECONDS`."""
    options.log_severity_level = 4
    timer = threading.Timer(TRIAL_SECONDS, setattr, (options, "terminate", True))
    timer.daemon = True
    timer.start()
    try:
        yield options
    finally:
        timer.cancel()
