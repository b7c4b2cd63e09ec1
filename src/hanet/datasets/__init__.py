"""Published data sets: what is known of them, preparing, checking and reading them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "CropDataset": "torch_datasets",
    "KNOWN_DATASETS": "published",
    "Sample": "torch_datasets",
    "TileDataset": "torch_datasets",
    "list_pairs": "layout",
    "prepare": "preparation",
}


def __getattr__(name: str) -> Any:
    """Public names, loaded on first use: a table of data sets needs no torch."""
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(_HOMES)
