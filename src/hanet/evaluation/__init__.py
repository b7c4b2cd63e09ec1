"""Scores by the published protocols, and thresholds chosen on validation.

Scores come from counts over a whole split; thresholds are stored with the weights.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {"evaluate": "scoring"}


def __getattr__(name: str) -> Any:
    """Public names, loaded on first use."""
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(_HOMES)
