"""A network as it is run: raw values in, probability of change out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hanet.metadata import Metadata


class ProbabilityNetwork(nn.Module):
    """A network with its normalisation before it and the softmax behind it: raw values in,
    probability of change out.

    Args:
        margin: Gives the changed class's logit minus the other's, (B, 1, H, W), of two normalised
            images:
            :func:`hanet.models.fusion.fuse` makes it of a network.
        metadata: Scale, per-date statistics, temperature.
    """

    def __init__(self, margin: nn.Module, metadata: Metadata) -> None:
        super().__init__()
        self.margin = margin
        for date in ("before", "after"):
            mean, std = (
                torch.tensor(getattr(metadata, f"{kind}_{date}")) for kind in ("mean", "std")
            )
            self.register_buffer(f"gain_{date}", (1.0 / (std * metadata.scale)).view(1, -1, 1, 1))
            self.register_buffer(f"offset_{date}", (-mean / std).view(1, -1, 1, 1))
        self.temperature = metadata.temperature

    gain_before: Tensor
    offset_before: Tensor
    gain_after: Tensor
    offset_after: Tensor

    def forward(
        self, before: Tensor, after: Tensor
    ) -> Tensor:  # (B, C, H, W) twice, raw -> (B, 1, H, W)
        """Probability of change in 0-1. Height and width must be multiples of the model's
        divisor."""
        margin = self.margin(
            before * self.gain_before + self.offset_before,
            after * self.gain_after + self.offset_after,
        )
        return torch.sigmoid(margin / self.temperature)
