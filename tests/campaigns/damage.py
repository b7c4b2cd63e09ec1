"""Ways to damage bytes and texts, shared by the families."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from random import Random


def flip(content: bytes, random: Random, *, first: int = 0, end: int | None = None) -> bytes:
    """One to twelve bytes replaced, between two places."""
    damaged = bytearray(content)
    end = min(len(damaged), end or len(damaged))
    for _ in range(random.randint(1, 12)):
        damaged[random.randrange(first, end)] = random.choice(
            (0, 1, 127, 255, random.randrange(256))
        )
    return bytes(damaged)


def cut(content: bytes, random: Random) -> bytes:
    """Only the beginning."""
    return content[: random.choice((1, 4, 8, random.randrange(1, len(content)), len(content) - 1))]


def blank(content: bytes, random: Random) -> bytes:
    """A part set to zero."""
    first = random.randrange(len(content))
    length = min(random.choice((16, 256, 4096)), len(content) - first)
    return content[:first] + bytes(length) + content[first + length :]


def insert(content: bytes, random: Random) -> bytes:
    """A few bytes too many."""
    place = random.randrange(len(content))
    return content[:place] + random.randbytes(random.randint(1, 9)) + content[place:]


def drop(content: bytes, random: Random) -> bytes:
    """A few bytes missing."""
    place = random.randrange(len(content))
    return content[:place] + content[place + random.randint(1, 9) :]


def append(content: bytes, random: Random) -> bytes:
    """Something behind the end."""
    return content + random.randbytes(random.choice((1, 100, 5000)))


DAMAGES: tuple[Callable[..., bytes], ...] = (flip, flip, flip, cut, blank, insert, drop, append)


def damaged(content: bytes, random: Random, *, head: int | None = None) -> tuple[bytes, str]:
    """Bytes damaged in one way, and its name; half of all flips hit the first ``head`` bytes."""
    way = random.choice(DAMAGES)
    if way is flip and head is not None and random.random() < 0.5:
        return flip(content, random, end=head), f"flips in the first {head} bytes"
    return way(content, random), way.__name__


CONTROL = ("\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "a\rb", "\x9b31m", "bell\x07", "back\x08")
"""Texts that a terminal would obey."""

FORMULAS = ("=1+1", "@SUM(1)", "+1", "-1+2", "=cmd|' /C calc'!A0", "\t=1")
"""Texts that a spreadsheet would run."""


def hostile_text(random: Random) -> str:
    """A text where a name, a date or a note is expected."""
    return random.choice(
        (
            "",
            " ",
            "x" * random.choice((300, 5000, 100_000)),
            "9" * random.choice((20, 400, 5000)),
            "a\nb\nc",
            "null\x00byte",
            "caf\udce9",  # a byte that is no UTF-8, as the command line hands it over
            "<script>alert(1)</script>",
            "%s%s%n {0} ${x}",
            "../../outside",
            "[bold red]markup[/]",
            "\u202eright to left",
            "nan",
            "inf",
            *CONTROL,
            *FORMULAS,
        )
    )


def hostile_json(random: Random) -> str:
    """A value of JSON as text: of a wrong type, too deep, too long, out of range."""
    depth = random.choice((3, 100, 1100, 100_000))
    digits = random.choice((20, 400, 5000))
    return random.choice(
        (
            "null",
            "true",
            "0",
            "-1",
            "1e999",
            "-1e999",
            "NaN",
            "Infinity",
            "1e-320",
            "0.1",
            "[]",
            "{}",
            '""',
            '"text"',
            "[null]",
            '[{"a": 1}]',
            '{"a": 1}',
            "[1, 2, 3, 4]",
            '["a", "b", "c"]',
            "[[0.5, 0.5, 0.5]]",
            "9" * digits,
            "[" * depth + "]" * depth,
            '{"a":' * depth + "1" + "}" * depth,
            '"' + "x" * 100_000 + '"',
            '"\\u001b[31mred"',
            '"\\ud800"',
            '"\\u0000"',
            '{"__class__": "os.system"}',
        )
    )


def spoiled(
    text: str, keys: tuple[str, ...], random: Random, inner: tuple[str, ...] = ()
) -> tuple[bytes, str]:
    """A JSON object with one value replaced or removed, or all of it, or its bytes damaged."""
    way = random.choice(
        ("value", "value", "value", "whole", "bytes", "inner" if inner else "value", *["node"] * 3)
    )
    if way == "bytes":
        return damaged(text.encode(), random)
    value = hostile_json(random)
    if way == "whole":
        return value.encode("utf-8", "replace"), f"it is {value[:30]}"
    if way == "node":
        return _at_a_node(text, value, random)
    if way == "inner":
        key = random.choice(inner)
        pattern = rf'("{key}": ?)("[^"]*"|-?[\d.]+|null)'
        changed = re.sub(pattern, lambda found: found[1] + value, text, count=1)
        return changed.encode("utf-8", "replace"), f"{key} = {value[:30]}"
    key = random.choice(keys)
    changed = f'{text.rstrip()[:-1]}, "{key}": {value}}}'
    return changed.encode("utf-8", "replace"), f"{key} = {value[:30]}"


MARK = "the value that is replaced"


def _at_a_node(text: str, value: str, random: Random) -> tuple[bytes, str]:
    """Any value within the object removed, or another in its place."""
    try:
        whole = json.loads(text)
    except ValueError:  # no JSON to begin with
        return damaged(text.encode(), random)
    parent, path = whole, []
    while True:
        places = list(parent) if isinstance(parent, dict) else list(range(len(parent)))
        if not places:
            return text.encode(), "as it was"
        place = random.choice(places)
        path.append(str(place))
        inside = parent[place]
        if not isinstance(inside, dict | list) or not inside or random.random() < 0.3:
            break
        parent = inside
    said = ".".join(path)
    if random.random() < 0.3:
        del parent[place]
        return json.dumps(whole).encode(), f"without {said}"
    parent[place] = MARK
    changed = json.dumps(whole).replace(json.dumps(MARK), value)
    return changed.encode("utf-8", "replace"), f"{said} = {value[:30]}"
