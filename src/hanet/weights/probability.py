"""A network as it is run: raw values in, probability of change out; beside it, where the network
tells, the probability that a change is a new building."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hanet.metadata import Metadata
from hanet.models.normalisation import FoldedNormalisation


class ProbabilityNetwork(nn.Module):
    """A network with its normalisation before it and the sigmoid of the margin behind it (the
    softmax of two classes): raw values in, probability of change out.

    Args:
        margin: Gives the changed class's logit minus the other's, (B, 1, H, W), of two normalised
            images, and perhaps the logit of "built"; :func:`hanet.models.fusion.fuse` makes it of a
            network.
        metadata: Scale, per-date statistics, temperature.
    """

    def __init__(self, margin: nn.Module, metadata: Metadata) -> None:
        super().__init__()
        self.margin = margin
        self.normalisation = FoldedNormalisation(metadata)
        self.temperature = metadata.temperature

    def forward(
        self, before: Tensor, after: Tensor
    ) -> Tensor | tuple[Tensor, Tensor]:  # (B, C, H, W) twice, raw -> (B, 1, H, W), once or twice
        """Probability of change in 0-1, and that of "built" where the network tells. Height and
        width must be multiples of the model's divisor."""
        found = self.margin(*self.normalisation(before, after))
        if isinstance(found, tuple):
            margin, built = found
            return torch.sigmoid(margin / self.temperature), torch.sigmoid(built)
        return torch.sigmoid(found / self.temperature)
