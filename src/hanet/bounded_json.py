"""JSON that a file of unknown origin holds: bounded in length, depth and number of values, no key
twice."""

from __future__ import annotations

import json
from typing import Any

MAX_LENGTH = 1_000_000
"""Longest text that is parsed, in characters, unless the caller says otherwise."""

MAX_DEPTH = 16
"""Lists and objects within each other."""

MAX_VALUES = 100_000
"""Values in all, unless the caller says otherwise."""


def parse(text: object, *, max_length: int = MAX_LENGTH, max_values: int = MAX_VALUES) -> Any:
    """The value that a JSON text describes.

    Args:
        text: What the file holds; anything but a string is refused.
        max_length: Longest text, in characters.
        max_values: Most values, counted through all lists and objects.

    Raises:
        ValueError: The text is not JSON or exceeds a bound; the message is one short line without
            control characters.
    """
    if not isinstance(text, str):
        raise ValueError("it is not text")
    if len(text) > max_length:
        raise ValueError(f"it has {len(text)} characters; at most {max_length} are read")
    try:
        value = json.loads(text, object_pairs_hook=_each_key_once)
    except RecursionError as error:
        raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep") from error
    _check_bounds(value, max_values)
    return value


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise ValueError(f"it has the key {key[:40]!a} twice")
        values[key] = value
    return values


def _check_bounds(value: Any, max_values: int) -> None:
    level, count = [value], 0
    for _ in range(MAX_DEPTH + 1):
        count += len(level)
        if count > max_values:
            raise ValueError(f"it holds more than {max_values} values")
        level = [part for item in level for part in _parts(item)]
        if not level:
            return
    raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
