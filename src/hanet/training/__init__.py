"""Training: an experiment file and a data set give weights.

The only user of pytorch-lightning.
"""

from __future__ import annotations

from hanet.training.fit import TrainingResult, fit
from hanet.training.processes import process_layout

__all__ = ["TrainingResult", "fit", "process_layout"]
