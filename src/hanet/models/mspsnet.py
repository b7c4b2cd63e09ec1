"""MSPSNet: what HANet grew out of, by one author of both.

Guo, Zhang, Zhu, Zhong, Zhang: Deep Multiscale Siamese Network With Parallel Convolutional Structure
and Self-Attention for Change Detection, IEEE TGRS 60, 2022. Encoder, parallel convolutions, channel
attention and top-down concatenation are those of ``hanet.py``, which has their code; HANet put its
column and row attention beside the channel attention. HANet's authors trained this network by
foreground-balanced sampling too (docs/concepts/sources.md).

What differs from the authors' code is what differs in ``hanet.py``: pooling by a factor of 2 for
any size, and the four convolutions that no forward pass uses are left out (417,880 of the 2.21 M
parameters that the paper counts).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from hanet.models.hanet import (
    ChannelBranch,
    Encoder,
    Head,
    ParallelConvolutions,
    ScalesNetwork,
    channels_of,
)

UNUSED_PARAMETERS = 417_880
"""At width 40: in the authors' network and in the paper's count, not in ours."""


class ParallelChannelModule(nn.Module):
    """The parallel convolution structure of one scale, then channel attention.

    Args:
        channels: Channels of one date's features, and of the output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.parallel = ParallelConvolutions(channels)
        self.channel_branch = ChannelBranch(channels)

    def forward(
        self, before: Tensor, after: Tensor
    ) -> Tensor:  # (B, C, H, W) twice -> (B, C, H, W)
        """Change features of the scale."""
        change: Tensor = self.channel_branch(self.parallel(torch.cat([before, after], dim=1)))
        return change


class MSPSNet(ScalesNetwork):
    """Parallel convolutions and channel attention at four scales.

    Args:
        width: Channels of the finest scale, an even number; the others have 2, 4 and 8 times as
            many.
        bands: Bands of each image.

    Raises:
        SettingsError: The width is odd or below 2.
    """

    gmac_per_megapixel: float = 151.0
    paper: ClassVar[str] = (
        "Guo et al., Deep Multiscale Siamese Network With Parallel Convolutional Structure and "
        "Self-Attention for Change Detection, IEEE TGRS 60, 2022, doi 10.1109/TGRS.2021.3131993"
    )
    name: ClassVar[str] = "mspsnet"

    def __init__(self, *, width: int = 40, bands: int = 3) -> None:
        super().__init__(width=width, bands=bands)
        self.encoder = Encoder(bands, width)
        self.parallel_modules = nn.ModuleList(
            ParallelChannelModule(channels) for channels in channels_of(width)
        )
        self.head = Head(width, "official")
        self._initialise()

    @property
    def modules_of_scales(self) -> nn.ModuleList:
        """The modules of parallel convolutions."""
        return self.parallel_modules
