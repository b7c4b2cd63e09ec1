"""Who hears what a piece of work has to say: the caller's functions, or Python's warnings."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from types import FrameType
from typing import TypeAlias

from hanet.errors import HanetWarning

Listener: TypeAlias = Callable[[str], None]
"""Called with one sentence."""


def listeners(note: Listener | None, warn: Listener | None) -> tuple[Listener, Listener]:
    """Whom to tell notes and warnings.

    Args:
        note: The caller's for notes; if None nobody hears them.
        warn: The caller's for warnings; if None ``note``, and without that Python's warnings.

    Returns:
        One for notes, one for warnings.
    """
    return note or _nobody, warn or note or warn_in_python


def warn_in_python(message: str) -> None:
    """Gives it as a :class:`hanet.errors.HanetWarning` about the line that called this package."""
    level = outermost = 1
    frame: FrameType | None = sys._getframe()
    while frame is not None:  # other modules may stand between ours, as contextlib does
        if str(frame.f_globals.get("__name__")).partition(".")[0] == "hanet":
            outermost = level
        level, frame = level + 1, frame.f_back
    warnings.warn(message, HanetWarning, stacklevel=outermost + 1)


def _nobody(message: str) -> None:
    del message
