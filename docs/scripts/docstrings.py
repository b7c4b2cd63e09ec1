"""Google-style docstrings as Markdown."""

from __future__ import annotations

import inspect
import re

SECTIONS = ("Args", "Attributes", "Returns", "Yields", "Raises", "Example", "Note")
"""Headings that a docstring may have."""

ROLE = re.compile(r":(?:class|func|meth|data|attr|mod):`~?([^`]+)`")


def plain(text: str) -> str:
    """The text with reStructuredText's names and literals as Markdown's."""
    return re.sub(r"``([^`]+)``", r"`\1`", ROLE.sub(r"`\1`", text))


def summary(documented: object) -> str:
    """The first paragraph of a docstring, on one line."""
    return plain(" ".join((inspect.getdoc(documented) or "").split("\n\n")[0].split()))


def as_markdown(documented: object) -> str:
    """The whole docstring: prose, arguments as lists, examples as code."""
    parts, heading, lines = [], "", []  # type: list[str], str, list[str]
    for line in [*(inspect.getdoc(documented) or "").splitlines(), "End:"]:
        if line.endswith(":") and (line[:-1] in SECTIONS or line == "End:"):
            parts.append(_section(heading, lines))
            heading, lines = line[:-1], []
        else:
            lines.append(line)
    return "\n\n".join(part for part in parts if part)


def _section(heading: str, lines: list[str]) -> str:
    text = inspect.cleandoc("\n".join(["", *lines]))
    if not heading:
        return plain(text)
    if heading == "Example":
        return f"```pycon\n{text}\n```"
    if heading in ("Returns", "Yields", "Note"):
        return f"**{heading}.** {plain(' '.join(text.split()))}"
    return f"**{heading}**\n\n" + "\n".join(_items(text))


def _items(text: str) -> list[str]:
    items: list[str] = []
    for line in text.splitlines():
        if line.startswith(" ") and items:
            items[-1] += f" {line.strip()}"
        elif line.strip():
            name, colon, meaning = line.partition(": ")
            items.append(f"- `{name}`: {meaning}" if colon else f"- {line}")
    return [plain(item) for item in items]
