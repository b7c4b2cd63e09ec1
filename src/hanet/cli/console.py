"""Where the command line writes: messages to stderr, data to stdout."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from hanet.imagery.addresses import without_credentials

LONGEST = 900
"""Characters of a message; a longer one is cut in its middle, where names stand."""

LONGEST_READ = 4000
"""Characters of it that are looked at: what says where an address begins stands before its keys, so
that a head holds no key without its address, and a tail could."""


class PlainConsole(Console):
    """Writes no character of a name, a title or a value that could steer the terminal or turn the
    direction of its text; of rich's own it keeps colours."""

    def render_str(self, text: str, **options: Any) -> Text:
        """The text as rich renders it, in cells of tables too, without such characters."""
        return super().render_str(_printable(text), **options)


stderr = PlainConsole(stderr=True, highlight=False, emoji=False)
"""Progress, notes, warnings, errors."""

stdout = PlainConsole(highlight=False, emoji=False)
"""Tables and data that a caller may pipe."""


def print_error(message: str, hint: str | None) -> None:
    """One line ``error: MESSAGE`` and, where there is one, ``hint: HINT`` under it, on stderr."""
    stderr.print(f"[bold red]error:[/] {_one_line(message)}", soft_wrap=True)
    if hint:
        stderr.print(f"[bold]hint:[/] {_one_line(hint)}", soft_wrap=True)


def print_note(message: str) -> None:
    """One line ``note: MESSAGE`` on stderr."""
    stderr.print(f"[cyan]note:[/] {_one_line(message)}", soft_wrap=True)


def print_warning(message: str) -> None:
    """One line ``warning: MESSAGE`` on stderr."""
    stderr.print(f"[yellow]warning:[/] {_one_line(message)}", soft_wrap=True)


def _one_line(message: str) -> str:
    head = message[:LONGEST_READ]
    line = " ".join(_printable(without_credentials(head)).split())
    if len(line) > LONGEST:
        line = f"{line[: LONGEST // 2]} ... {line[-LONGEST // 2 :]}"
    return line.replace("[", "\\[")


def _printable(text: str) -> str:
    return "".join(sign if sign.isprintable() or sign in "\n\t" else " " for sign in text)
