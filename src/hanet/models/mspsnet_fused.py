"""MSPSNet as it is run: ``mspsnet.py`` in evaluation mode, made of the parts of
``hanet_fused.py``."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from hanet.models.hanet_fused import (
    FusedChannelBranch,
    FusedEncoder,
    FusedHead,
    FusedParallelConvolutions,
    shares_of_head,
)
from hanet.models.layers.convolutions import pointwise
from hanet.models.mspsnet import MSPSNet, ParallelChannelModule


class FusedMSPSNet(nn.Module):
    """The margin of a trained :class:`~hanet.models.mspsnet.MSPSNet`.

    Args:
        model: The network; it is left as it is.
    """

    def __init__(self, model: MSPSNet) -> None:
        super().__init__()
        self.encoder = FusedEncoder(model.encoder)
        self.head = FusedHead(model.head)
        modules = cast("list[ParallelChannelModule]", list(model.modules_of_scales))
        self.modules_of_scales = nn.ModuleList(
            FusedModule(module, share)
            for module, share in zip(modules, shares_of_head(model.head), strict=True)
        )

    def forward(
        self, before: Tensor, after: Tensor
    ) -> Tensor:  # (B, C, H, W) twice -> (B, 1, H, W)
        """The margin of images whose height and width 8 divides."""
        scales = zip(self.modules_of_scales, self.encoder(torch.cat([before, after])), strict=True)
        margin: Tensor = self.head([module(*both.chunk(2)) for module, both in scales])
        return margin


class FusedModule(nn.Module):
    """The module of one scale and its share of the head.

    Args:
        module: The module.
        share: The head's map of this scale, (k k, C).
    """

    share: Tensor

    def __init__(self, module: ParallelChannelModule, share: Tensor) -> None:
        super().__init__()
        self.parallel = FusedParallelConvolutions(module.parallel)
        self.channel_branch = FusedChannelBranch(module.channel_branch)
        self.register_buffer("share", share.clone())

    def forward(
        self, before: Tensor, after: Tensor
    ) -> Tensor:  # (B, C, H, W) twice -> (B, k k, H, W)
        """What the scale adds to each of the head's taps."""
        features = self.parallel(torch.cat([before, after], dim=1))
        return pointwise(self.channel_branch(features), self.share)
