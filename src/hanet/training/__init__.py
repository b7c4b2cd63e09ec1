"""Training of any network of the package by an experiment file; the only user of
pytorch-lightning."""

from __future__ import annotations

from hanet.training.fit import TrainingResult, fit
from hanet.training.processes import process_layout

__all__ = ["TrainingResult", "fit", "process_layout"]
