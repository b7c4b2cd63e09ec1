"""ResNet-18 as an encoder: the part that baselines share.

He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition, CVPR 2016. Stem of a 7x7
convolution and max pooling (stride 4), then levels of two basic blocks. The names of tensors are
those of common ImageNet weights (``layer1.0.conv1.weight``), which are not part of this package; an
experiment takes a file of them by ``start_from`` and ``start_from_partly``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

WIDTH = 64
"""Channels of the first level."""

CHANNELS = tuple(WIDTH << level for level in range(4))
"""Channels of the levels, at this width."""


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch normalisation beside a residual connection.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        stride: Of the first convolution.
        dilation: Of the first convolution.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(
            inputs, outputs, 3, stride=stride, padding=dilation, dilation=dilation, bias=False
        )
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = (
            nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )
            if stride != 1 or inputs != outputs
            else nn.Identity()
        )

    def forward(self, features: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C', H', W')
        """The block's output."""
        hidden = F.relu(self.bn1(self.conv1(features)))
        return F.relu(self.bn2(self.conv2(hidden)) + self.downsample(features))


class ResNet18(nn.Module):
    """Feature maps of one date, one of each level.

    Args:
        bands: Bands of the image.
        strides: Of each level, at most four; the image is at stride 4 before the first. Where
            a level keeps the size, a network is deeper at the same resolution.
        last_dilations: Of the last level's blocks, as many as it shall have.
        width: Channels of the first level; each further one has twice as many.
    """

    def __init__(
        self,
        *,
        bands: int = 3,
        strides: Sequence[int] = (1, 2, 2, 2),
        last_dilations: Sequence[int] = (1, 1),
        width: int = WIDTH,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(bands, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        inputs = width
        self.names = [f"layer{number}" for number in range(1, len(strides) + 1)]
        for level, (name, stride) in enumerate(zip(self.names, strides, strict=True)):
            outputs = width << level
            first, *others = last_dilations if name == self.names[-1] else (1, 1)
            self.add_module(
                name,
                nn.Sequential(
                    BasicBlock(inputs, outputs, stride, first),
                    *(BasicBlock(outputs, outputs, 1, dilation) for dilation in others),
                ),
            )
            inputs = outputs
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, image: Tensor) -> list[Tensor]:  # (B, C, H, W) -> (B, C_l, H_l, W_l) each
        """Features of the levels, the finest first."""
        features = F.max_pool2d(F.relu(self.bn1(self.conv1(image))), 3, stride=2, padding=1)
        found = []
        for name in self.names:
            features = self.get_submodule(name)(features)
            found.append(features)
        return found
