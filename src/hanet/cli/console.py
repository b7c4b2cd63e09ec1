"""Where the command line writes: messages to stderr, data to stdout."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from hanet.cli.events import events
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


def print_error(message: str, hint: str | None, *, exit_code: int = 2) -> None:
    """One line ``error: MESSAGE`` and, where there is one, ``hint: HINT`` under it, on stderr."""
    said, advice = _one_line(message), _one_line(hint) if hint else None
    events.say("error", message=said, hint=advice, exit_code=exit_code)
    if not events.are_on:
        stderr.print(f"[bold red]error:[/] {_unmarked(said)}", soft_wrap=True)
        if advice:
            stderr.print(f"[bold]hint:[/] {_unmarked(advice)}", soft_wrap=True)


def print_note(message: str) -> None:
    """One line ``note: MESSAGE`` on stderr."""
    _say("note", "cyan", message)


def print_warning(message: str) -> None:
    """One line ``warning: MESSAGE`` on stderr."""
    _say("warning", "yellow", message)


def print_result(
    sentence: str, files: Mapping[Path, str] | None = None, *, unlisted: bool = False, **facts: Any
) -> None:
    """What came out: the sentence and, under it, the files that were written, on stdout; and
    :func:`tell_result`.

    Args:
        sentence: For people; it may have several lines.
        files: As :func:`tell_result` takes them.
        unlisted: The sentence names the files itself; they are not listed under it.
        facts: As :func:`tell_result` takes them.
    """
    stdout.print(sentence, soft_wrap=True, markup=False)
    for path in () if unlisted or files is None else files:
        stdout.print(f"  {path}", soft_wrap=True, markup=False)
    tell_result(sentence, files, **facts)


def tell_result(sentence: str, files: Mapping[Path, str] | None = None, **facts: Any) -> None:
    """What came out, for programs (``--progress json``) alone.

    Args:
        sentence: For people who use the program.
        files: Each file or folder that was written, with its kind in one word
            (docs/reference/progress.md lists them).
        facts: Figures by name.
    """
    listed = [{"path": str(path.absolute()), "kind": kind} for path, kind in (files or {}).items()]
    events.say("result", message=_one_line(sentence), files=listed, **facts)


def tell_finding(level: str, message: str, hint: str | None) -> None:
    """Something that is a note or a warning, with what to do about it, for programs alone: where
    people get it, it is part of what they asked for, on stdout."""
    events.say(level, message=_one_line(message), hint=_one_line(hint) if hint else None)


def _say(kind: str, colour: str, message: str) -> None:
    line = _one_line(message)
    events.say(kind, message=line, hint=None)
    if not events.are_on:
        stderr.print(f"[{colour}]{kind}:[/] {_unmarked(line)}", soft_wrap=True)


def _one_line(message: str) -> str:
    head = message[:LONGEST_READ]
    line = " ".join(_printable(without_credentials(head)).split())
    if len(line) > LONGEST:
        line = f"{line[: LONGEST // 2]} ... {line[-LONGEST // 2 :]}"
    return line


def _unmarked(line: str) -> str:
    """The line so that rich takes no bracket in it for a style."""
    return line.replace("[", "\\[")


def _printable(text: str) -> str:
    return "".join(sign if sign.isprintable() or sign in "\n\t" else " " for sign in text)
