"""Where the command line writes: messages to stderr, data to stdout."""

from __future__ import annotations

from rich.console import Console

from hanet.imagery.addresses import without_credentials

stderr = Console(stderr=True, highlight=False)
"""Progress, notes, warnings, errors."""

stdout = Console(highlight=False)
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
    return " ".join(without_credentials(message).split()).replace("[", "\\[")
