"""What a training run begins with, looked for before anything heavy is loaded or read."""

from __future__ import annotations

from hanet.training.experiment import NO_FILE, Experiment
from hanet.weights import catalogue


def check_beginnings(experiment: Experiment) -> None:
    """Does nothing where the weights that an experiment names are there.

    Raises:
        WeightsError: ``start_from`` or ``teacher`` names weights that are not.
    """
    started = experiment.start_from if experiment.start_from not in NO_FILE else ""
    for name in filter(None, (started, experiment.teacher)):
        catalogue.resolve(name, suffixes=(".safetensors",))
