"""Training: an experiment file and a data set give weights.

The only user of pytorch-lightning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hanet.lazy_names import lazy_names

if TYPE_CHECKING:
    from hanet.training.fitting import TrainingResult, fit
    from hanet.training.processes import process_layout

__all__ = ["TrainingResult", "fit", "process_layout"]

__getattr__, __dir__ = lazy_names(
    __name__, {"TrainingResult": "fitting", "fit": "fitting", "process_layout": "processes"}
)
