"""Which tensors of a network learn, and what runs as in evaluation beside them."""

from __future__ import annotations

from torch import nn

from hanet.models import ChangeModel
from hanet.models.contract import Part


def learn_only(network: ChangeModel, part: Part) -> None:
    """Takes the gradient from everything outside a part; what is frozen inside it stays so.

    No step then computes gradients for what stands before the part, nor keeps what they would need.
    """
    if part == "all":
        return
    learning = {
        id(tensor)
        for module in network.modules_of(part)
        for tensor in module.parameters()
        if tensor.requires_grad
    }
    for tensor in network.parameters():
        tensor.requires_grad_(id(tensor) in learning)


def enter_training(network: ChangeModel, part: Part, *, frozen_statistics: bool) -> None:
    """Training mode for a part of a network, evaluation mode for the rest: there, statistics of
    batch normalisation stay, and nothing is dropped.

    Args:
        network: Of which only a part learns.
        part: The one that learns.
        frozen_statistics: Batch normalisation inside the part normalises by what it knows, too, and
            learns its gain and offset only.
    """
    network.eval()
    for module in network.modules_of(part):
        module.train()
    if frozen_statistics:
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
