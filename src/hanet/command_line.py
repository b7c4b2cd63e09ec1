"""Names as they are typed in a terminal, and numbers as they are told there."""

import os
import shlex
from pathlib import Path


def typed(path: str | Path) -> str:
    """A path as it can be copied into a command: between quotation marks where it needs them.

    Example:
        >>> typed("changes")
        'changes'
        >>> typed("my changes") in ("'my changes'", '"my changes"')
        True
    """
    text = str(path)
    if os.name == "nt":  # neither cmd nor PowerShell reads a backslash as more than itself
        return f'"{text}"' if any(sign in text for sign in " &'(),;") else text
    return shlex.quote(text)


def counted(number: int, noun: str) -> str:
    """A number of things.

    Example:
        >>> counted(1, "shard"), counted(1200, "tile")
        ('1 shard', '1,200 tiles')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
