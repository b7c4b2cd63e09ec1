"""What a run learns: the change itself, or only which kind of change it is."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from hanet.models import ChangeModel
from hanet.models.hanet_lite import HANetLite

Learned = Literal["change", "direction"]


def logits_of(
    network: ChangeModel, before: Tensor, after: Tensor, *, learns: Learned
) -> Tensor:  # (B, C, H, W) twice -> (B, 2, H, W)
    """Logits of two classes: unchanged and changed, or demolished and built."""
    if learns == "change":
        logits: Tensor = network(before, after)
        return logits
    built = network.built_logit(before, after)
    return torch.cat([-built / 2, built / 2], dim=1)


def only_direction_learns(network: ChangeModel) -> None:
    """Keeps the batch statistics of everything but the head for direction, which a step would
    move."""
    assert isinstance(network, HANetLite)
    assert network.direction is not None
    network.eval()
    network.direction.train()
