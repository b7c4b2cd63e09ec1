"""``fuse``: from a trained network to the one that is run."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hanet.models.contract import ChangeModel
from hanet.models.hanet import ScalesNetwork
from hanet.models.hanet_fused import FusedScales


class Margin(nn.Module):
    """The margin of a network that has no rewritten form: the changed class's logit minus the
    other's.

    Args:
        model: The network.
    """

    def __init__(self, model: ChangeModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, before: Tensor, after: Tensor
    ) -> Tensor:  # (B, C, H, W) twice -> (B, 1, H, W)
        """The margin of images whose height and width the model's divisor divides."""
        logits = self.model.logits_of_padded(before, after)
        return logits[:, 1:] - logits[:, :1]


class MarginAndBuilt(nn.Module):
    """The margin of a network, and its logit of "built" beside it.

    Args:
        model: A network that tells built from demolished.
    """

    def __init__(self, model: ChangeModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, before: Tensor, after: Tensor
    ) -> tuple[Tensor, Tensor]:  # (B, C, H, W) twice -> (B, 1, H, W) twice
        """Both for images whose height and width the model's divisor divides."""
        logits, built = self.model.logits_and_built_of_padded(before, after)
        return logits[:, 1:] - logits[:, :1], built


def unfused(model: ChangeModel) -> Margin | MarginAndBuilt:
    """What :func:`fuse` gives, by the network as it was trained."""
    return MarginAndBuilt(model) if model.tells_direction else Margin(model)


@torch.no_grad()
def fuse(model: ChangeModel) -> nn.Module:
    """The network that gives the margin (B, 1, H, W) of two normalised images, and the logit of
    "built" where the model has it, rewritten for speed where a rewriting exists.

    It is the same function in evaluation mode; they differ by rounding. It cannot be trained, and
    of a rewritten one no tensor is the model's.

    Args:
        model: A trained network. Its tensors are left as they are; one without a rewriting is
            wrapped, and put into evaluation mode.

    Example:
        >>> from hanet.models import create
        >>> image = torch.zeros(1, 3, 64, 48)
        >>> tuple(fuse(create("hanet", width=8))(image, image).shape)
        (1, 1, 64, 48)
    """
    if isinstance(model, ScalesNetwork):
        return FusedScales(model).eval().requires_grad_(False)
    return unfused(model).eval()
