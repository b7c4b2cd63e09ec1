"""Rendered pairs of scenes with true changes, as GeoTIFF of any size, for demo and tests."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {"render_scene": "scene"}


def __getattr__(name: str) -> Any:
    """Public names, loaded on first use."""
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(_HOMES)
