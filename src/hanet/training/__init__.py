"""Training: an experiment file and a data set give weights.

The only user of pytorch-lightning.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hanet.training.fitting import TrainingResult, fit
    from hanet.training.processes import process_layout

__all__ = ["TrainingResult", "fit", "process_layout"]

_HOMES = {"TrainingResult": "fitting", "fit": "fitting", "process_layout": "processes"}


def __getattr__(name: str) -> Any:
    """Public names, loaded on first use: an experiment is read without pytorch-lightning."""
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(_HOMES)
