"""The one door for JSON and TOML: what a file of unknown origin may hold is bounded in length,
depth, number of values and size of numbers before anything else looks at it."""

from __future__ import annotations

import errno
import json
import math
import re
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Any

MAX_BYTES = 64 * 2**20
"""Longest document unless the caller says otherwise; the manifest of 100,000 tiles has 40 MB."""

MAX_DEPTH = 16
"""Lists and objects within each other; our own documents have below 10."""

MAX_VALUES = 5_000_000
"""Values in all unless the caller says otherwise."""

MAX_INTEGER = 2**64
"""Integers must be smaller than this in magnitude; larger ones cannot even be printed when they
have more than 4,300 digits."""


class DocumentError(ValueError):
    """A text is not JSON or TOML; the message is one short line without control characters."""


class BoundError(DocumentError):
    """A text is JSON or TOML, but exceeds a bound."""


def parse_json(
    text: object,
    *,
    max_bytes: int = MAX_BYTES,
    max_values: int = MAX_VALUES,
    strict: bool = True,
    unicode: bool = True,
) -> Any:
    """The value that a JSON text describes: a dict, list, str, int, float, bool or None.

    Args:
        text: A string, or bytes in UTF-8; anything else is refused. A byte order mark is skipped.
        max_bytes: Longest text; of a ``str`` the characters count.
        max_values: Most values, counted through all lists and objects.
        strict: Refuse NaN, infinity and lone surrogates, which are not JSON or not Unicode; False
            is for callers that check each value and can name its field.
        unicode: False takes lone surrogates, as Python writes names of files that are not UTF-8.

    Raises:
        DocumentError: The text is not JSON.
        BoundError: It exceeds a bound, or has a key twice in one object.

    Example:
        >>> parse_json('{"tiles": [1, 2]}')
        {'tiles': [1, 2]}
    """
    decoded = _decoded(text, max_bytes)
    try:
        value = json.loads(
            decoded,
            object_pairs_hook=_each_key_once,
            parse_constant=_no_number if strict else float,
            parse_float=_finite if strict else float,
        )
    except RecursionError as error:
        raise BoundError(_TOO_DEEP) from error
    except DocumentError:
        raise
    except ValueError as error:
        raise _in_one_line(error) from error
    check_bounds(value, max_values=max_values, unicode=strict and unicode)
    return value


def parse_toml(text: str | bytes, *, max_bytes: int = 2**20) -> dict[str, Any]:
    """The table that a TOML text describes.

    Args:
        text: As for :func:`parse_json`.
        max_bytes: As for :func:`parse_json`.

    Raises:
        DocumentError: The text is not TOML.
        BoundError: It exceeds a bound.
    """
    decoded = _decoded(text, max_bytes)
    if _LONG_KEY.search(_TOML_TEXTS.sub("q", decoded)):
        raise BoundError(_TOO_DEEP)
    try:
        values = tomllib.loads(decoded)
    except RecursionError as error:
        raise BoundError(_TOO_DEEP) from error
    except ValueError as error:
        raise _in_one_line(error) from error
    check_bounds(values)
    return values


def read_json(
    path: Path, *, max_bytes: int = MAX_BYTES, strict: bool = True, unicode: bool = True
) -> Any:
    """The value of a JSON file; see :func:`parse_json`.

    Raises:
        OSError: The file cannot be read.
        DocumentError: As :func:`parse_json`.
    """
    content = _content(path, max_bytes)
    return parse_json(content, max_bytes=max_bytes, strict=strict, unicode=unicode)


def read_toml(path: Path) -> dict[str, Any]:
    """The table of a TOML file; see :func:`parse_toml`.

    Raises:
        OSError: The file cannot be read.
        DocumentError: As :func:`parse_toml`.
    """
    return parse_toml(_content(path, 2**20))


def moment_of(value: object) -> str:
    """A time that a file states, as ``run.json`` spells it.

    Raises:
        TypeError: It is no text.
        ValueError: It is no time.
    """
    if not isinstance(value, str):
        raise TypeError(f"a time is {type(value).__name__}")
    return datetime.fromisoformat(value).isoformat(timespec="seconds")


def check_bounds(value: Any, *, max_values: int = MAX_VALUES, unicode: bool = True) -> None:
    """Does nothing for a parsed value that every later step can walk, print and write.

    Raises:
        BoundError: It is nested too deeply, has too many values, an integer of more than 64 bits,
            or text that is not Unicode.
    """
    level, count = [value], 0
    # level by level: a recursion would end where the parser's own ended
    for _ in range(MAX_DEPTH + 1):
        count += len(level)
        if count > max_values:
            raise BoundError(f"it holds more than {max_values} values")
        for item in level:
            _check_scalar(item, unicode=unicode)
        if not any(isinstance(item, dict | list) for item in level):
            return
        level = [part for item in level for part in _parts(item)]
    raise BoundError(_TOO_DEEP)


def shown(value: Any, *, length: int = 60) -> str:
    """A value for a message: JSON on one line in ASCII, shortened where it is long.

    Example:
        >>> shown("a" * 100, length=10)
        '"aaaaaa...'
    """
    try:
        text = json.dumps(value, default=str)
    except (ValueError, RecursionError):  # more digits or levels than Python prints
        text = type(value).__name__
    return text if len(text) <= length else f"{text[: length - 3]}..."


_TOML_TEXTS = re.compile(
    r'''"""(?:\\.|[^\\"]|"(?!""))*+(?:""")?|'''
    r"""'''(?:[^']|'(?!''))*+(?:''')?|"""
    r"""\"(?:\\.|[^"\\\n])*+"?|'[^'\n]*+'?|#[^\n]*+""",
    re.DOTALL,
)
"""Strings, quoted parts of keys and comments of TOML; one that does not end reaches to the end, so
that a text is gone through once."""

_LONG_KEY = re.compile(rf"(?<![\w-])[\w-]++(?:[ \t]*+\.[ \t]*+[\w-]++){{{MAX_DEPTH},}}")
"""A key of too many parts. tomllib keeps every beginning of it: 20,000 parts take 2 GB."""

_TOO_DEEP = f"it is nested more than {MAX_DEPTH} levels deep"


def _content(path: Path, max_bytes: int) -> bytes:
    if not (path.is_file() or path.is_dir() or not path.exists()):
        raise OSError(errno.EINVAL, "it is no file but a pipe or a device")  # which may never end
    with path.open("rb") as file:  # never more than one byte beyond the bound, whatever the file
        return file.read(max_bytes + 1)


def _decoded(text: object, max_bytes: int) -> str:
    if not isinstance(text, str | bytes):
        raise DocumentError("it is not text")
    if len(text) > max_bytes:
        raise BoundError(f"it is longer than {max_bytes} bytes")
    if isinstance(text, str):
        return text
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DocumentError(f"it is not UTF-8 (byte {error.start})") from error


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:  # Python would take the last, other readers the first
            raise BoundError(f"it has the key {shown(key)} twice")
        values[key] = value
    return values


def _no_number(name: str) -> Any:
    raise DocumentError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):  # 1e999: valid JSON that no double can hold
        raise BoundError(f"it holds a number that is too large: {text[:20]}")
    return value


def _in_one_line(error: ValueError) -> DocumentError:
    """A parser's message without what it quotes raw, and short: it may quote the whole text."""
    if "integer string conversion" in str(error):
        return BoundError(_TOO_LARGE)
    text = " ".join(str(error).split())
    plain = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return DocumentError(plain if len(plain) <= 160 else f"{plain[:70]} ... {plain[-70:]}")


_TOO_LARGE = "it holds an integer of more than 64 bits"


def _check_scalar(item: Any, *, unicode: bool) -> None:
    if isinstance(item, int) and abs(item) >= MAX_INTEGER:
        raise BoundError(_TOO_LARGE)
    if unicode and isinstance(item, str) and not item.isascii():
        try:
            item.encode("utf-8")
        except UnicodeEncodeError as error:
            raise BoundError("it holds text that is not Unicode (a lone surrogate)") from error


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    return value if isinstance(value, list) else []
