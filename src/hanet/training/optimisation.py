"""The optimiser and the learning rate of an iteration, as an experiment states them."""

from __future__ import annotations

import math

import torch
from torch import nn

from hanet.training.experiment import Experiment


def build_optimiser(experiment: Experiment, network: nn.Module) -> torch.optim.Optimizer:
    """Adam or AdamW over what can learn; parameters named ``encoder.*`` take the encoder's
    factor."""
    groups: dict[str, list[nn.Parameter]] = {"encoder": [], "rest": []}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            groups["encoder" if name.startswith("encoder.") else "rest"].append(parameter)
    rates = {
        "encoder": experiment.learning_rate * experiment.encoder_learning_rate_factor,
        "rest": experiment.learning_rate,
    }
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[experiment.optimiser]
    optimiser: torch.optim.Optimizer = kind(
        [
            {"params": parameters, "lr": rates[name], "name": name}
            for name, parameters in groups.items()
            if parameters
        ],
        weight_decay=experiment.weight_decay,
        fused=True,
    )
    return optimiser


def rate_factor(experiment: Experiment, *, iteration: int, iterations: int, epoch: int) -> float:
    """Factor on every group's learning rate at an iteration.

    Args:
        experiment: Names the schedule and its settings.
        iteration: From 0.
        iterations: Length of the run.
        epoch: From 1; the step schedule counts epochs.

    Returns:
        A factor, 1.0 at the full rate. The warm-up rises linearly from ``warmup_start`` times the
        rate; "polynomial" and "cosine" fall to 0 over what is left.
    """
    warmup = experiment.warmup_iterations
    if iteration < warmup:
        return experiment.warmup_start + (1.0 - experiment.warmup_start) * iteration / warmup
    progress = (iteration - warmup) / max(1, iterations - warmup)
    match experiment.schedule:
        case "constant":
            return 1.0
        case "step":
            return experiment.step_factor ** ((epoch - 1) // experiment.step_epochs)
        case "polynomial":
            return float((1.0 - progress) ** experiment.power)
        case "cosine":
            return 0.5 * (1.0 + math.cos(math.pi * progress))
