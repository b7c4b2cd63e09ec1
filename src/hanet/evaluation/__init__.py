"""Scores by the published protocols, and thresholds chosen on validation.

Scores come from counts over a whole split; thresholds are stored with the weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hanet.lazy_names import lazy_names

if TYPE_CHECKING:
    from hanet.evaluation.scoring import evaluate

__all__ = ["evaluate"]

__getattr__, __dir__ = lazy_names(__name__, {"evaluate": "scoring"})
