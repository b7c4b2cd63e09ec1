"""SNUNet-CD: a densely connected Siamese U-Net.

Fang, Li, Shao, Li: SNUNet-CD, IEEE Geoscience and Remote Sensing Letters 19, 2022. One encoder for
both dates hands its features of every level to nested decoders (UNet++): each node sees all nodes
of its level before it and the one below, so that places are not lost on the way down. The four full
resolution outputs meet in the ensemble channel attention module (ECAM): attention over all of their
channels together, and over the channels of their sum.

As in the authors' code: a node adds the result of its first convolution, before normalisation, to
that of its second; upsampling is by 2x2 transposed convolutions. What differs: an image whose size
16 does not divide is padded; the coarsest level is computed of the second date alone there as well
as here, since no skip connection reads that of the first.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hanet.errors import SettingsError
from hanet.models.contract import ChangeModel

LEVELS = 5
"""Levels of the encoder, at strides 1, 2, 4, 8 and 16; each has twice the channels of the one
before."""

REDUCTION = 16
"""Factor by which the attention over all outputs narrows its hidden layer; that over their sum by a
quarter of it."""


class Node(nn.Module):
    """Two 3x3 convolutions with batch normalisation; the first one's result is added to the
    second's.

    Args:
        inputs: Channels in.
        outputs: Channels out.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.second_norm = nn.BatchNorm2d(outputs)

    def forward(self, features: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C', H, W)
        """The node's features."""
        first = self.first(features)
        second = self.second_norm(self.second(F.relu(self.first_norm(first))))
        return F.relu(first + second)


class ChannelAttention(nn.Module):
    """How much each channel counts, from its mean and its maximum over the image (CBAM).

    Args:
        channels: Channels in and out.
        reduction: Factor by which the hidden layer is narrower.
    """

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        hidden = channels // reduction
        self.squeeze = nn.Conv2d(channels, hidden, 1, bias=False)
        self.excite = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C, 1, 1)
        """Weights in 0-1."""
        means, peaks = features.mean(dim=(2, 3), keepdim=True), features.amax((2, 3), keepdim=True)
        scored = [self.excite(F.relu(self.squeeze(part))) for part in (means, peaks)]
        return torch.sigmoid(scored[0] + scored[1])


class SNUNet(ChangeModel):
    """Densely connected Siamese U-Net with ECAM; 12.03 M parameters at width 32, 3.01 M at 16.

    Args:
        bands: Bands of each image.
        width: Channels of the finest level; four must divide it.
    """

    divisor: ClassVar[int] = 16
    min_size_px: ClassVar[int] = 16
    gmac_per_megapixel: float = 711.1
    paper: ClassVar[str] = (
        "Fang et al., SNUNet-CD, IEEE Geoscience and Remote Sensing Letters 19, 2022, "
        "doi 10.1109/LGRS.2021.3056416"
    )
    head_modules: ClassVar[tuple[str, ...]] = ("head",)
    top_down_modules: ClassVar[tuple[str, ...]] = (
        "nested",
        "ups",
        "attention_within",
        "attention_across",
    )
    name: ClassVar[str] = "snunet"

    def __init__(self, *, bands: int = 3, width: int = 32) -> None:
        super().__init__(bands=bands)
        if width < 4 or width % 4:
            raise SettingsError(f"width is {width}; snunet needs a multiple of 4")
        self.width = width
        channels = [width << level for level in range(LEVELS)]
        self.encoder = nn.ModuleList(
            Node(inputs, outputs)
            for inputs, outputs in zip([bands, *channels], channels, strict=False)
        )
        # nested[level][step - 1] sees both dates' features, the nodes before it and one from below
        self.nested = nn.ModuleList(
            nn.ModuleList(
                Node((1 + step) * channels[level] + channels[level + 1], channels[level])
                for step in range(1, LEVELS - level)
            )
            for level in range(LEVELS - 1)
        )
        # ups[level][step] brings node `step` of the level below up to this one
        self.ups = nn.ModuleList(
            nn.ModuleList(
                nn.ConvTranspose2d(channels[level + 1], channels[level + 1], 2, stride=2)
                for _ in range(LEVELS - 1 - level)
            )
            for level in range(LEVELS - 1)
        )
        outputs = (LEVELS - 1) * width
        self.attention_within = ChannelAttention(width, min(width, REDUCTION // 4))
        self.attention_across = ChannelAttention(outputs, min(width, REDUCTION))
        self.head = nn.Conv2d(outputs, 2, 1)
        self._initialise()

    def _initialise(self) -> None:
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def logits_of_padded(
        self, before: Tensor, after: Tensor
    ) -> Tensor:  # (B, C, H, W) twice -> (B, 2, H, W)
        """Logits of images whose height and width 16 divides."""
        olds, news = self._features(before, LEVELS - 1), self._features(after, LEVELS)
        # of each level: what the next node of it sees beside the node from below
        rows = [[old, new] for old, new in zip(olds, news, strict=False)]
        below = news
        for step in range(1, LEVELS):
            nodes = []
            for level in range(LEVELS - step):
                raised = self.ups[level][step - 1](below[level + 1])  # type: ignore[index]
                node = self.nested[level][step - 1](torch.cat([*rows[level], raised], dim=1))  # type: ignore[index]
                rows[level].append(node)
                nodes.append(node)
            below = nodes
        outputs = rows[0][2:]
        within = self.attention_within(torch.stack(outputs).sum(dim=0))
        joined = torch.cat(outputs, dim=1)
        across = self.attention_across(joined)
        logits: Tensor = self.head(across * (joined + within.repeat(1, len(outputs), 1, 1)))
        return logits

    def _features(self, image: Tensor, levels: int) -> list[Tensor]:
        """Features of the finest levels, finest first."""
        found: list[Tensor] = []
        for level in range(levels):
            image = self.encoder[level](F.max_pool2d(image, 2) if level else image)
            found.append(image)
        return found
