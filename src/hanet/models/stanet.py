"""STANet: the distance of two dates' features, after attention over space and time in a pyramid.

Chen, Shi: A Spatial-Temporal Attention-Based Method and a New Dataset for Remote Sensing Image
Change Detection, Remote Sensing 12(10), 2020; the variant with the pyramid attention module (PAM).
A ResNet-18 and a decoder that brings its four levels together give each date features at stride 4.
In the PAM every position looks at all positions of both dates, four times: in the whole image, and
within the cells of grids of 2x2, 4x4 and 8x8. What changed is far apart: the Euclidean distance of
the two features of a pixel, above 1, is change.

As in the authors' code: the last level of the ResNet has three blocks, with dilations 1, 2 and 4;
the PAM's result takes the features' place (the paper adds it to them); upsampling with corners
aligned; dropout of 0.5 in the decoder. What differs: an image whose size 32 does not divide is
padded; channels are 64 at the finest level by default, and may be fewer.

**A distance as logits.** The network learns a metric, no probability. Its logits are the constant 1
for "unchanged" and the distance d for "changed": the margin is d - 1, positive where the authors
say change, and a threshold of 0.5 on the probability is theirs of 1 on the distance. Since d is
never negative, no probability is below 0.27, and a network that has learned the authors' loss
(``batch_balanced_contrastive`` of ``hanet.training.losses``: unchanged to 0, changed to 2 or more)
answers about 0.27 and 0.73: the order of pixels is right, the values are not calibrated until
``hanet evaluate --calibrate`` stores a temperature below 1 with the weights.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hanet.errors import SettingsError
from hanet.models.contract import ChangeModel
from hanet.models.layers.resnet import WIDTH, ResNet18

GRIDS = (1, 2, 4, 8)
"""Cells along each axis of the pyramid's levels; within a cell every position sees all."""

LAST_DILATIONS = (1, 2, 4)
"""Of the blocks of the ResNet's last level."""

KEY_REDUCTION = 8
"""Factor by which keys and queries are narrower than values."""

DISTANCE_EPS = 1e-6
"""Added to each difference of features, as torch's pairwise distance does; where two features are
equal, the distance has a gradient then."""

THRESHOLD = 1.0
"""Distance above which a pixel has changed."""


class Narrow(nn.Sequential):
    """A 1x1 convolution, batch normalisation, ReLU.

    Args:
        inputs: Channels in.
        outputs: Channels out.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
        )


class Decoder(nn.Module):
    """Features of all levels at the size of the finest, then as one.

    Args:
        width: Channels of the finest level, and of the output.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        narrowed, merged = width * 3 // 2, width * 4
        # of each level, finest first
        self.narrow = nn.ModuleList(Narrow(width << level, narrowed) for level in range(4))
        self.merge = nn.Sequential(
            nn.Conv2d(4 * narrowed, merged, 3, padding=1, bias=False),
            nn.BatchNorm2d(merged),
            nn.ReLU(),
            nn.Dropout(0.5),
            *Narrow(merged, width),
        )
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)

    def forward(self, pyramid: list[Tensor]) -> Tensor:  # (B, C_l, H_l, W_l) each -> (B, C, H, W)
        """Features at the size of the finest level."""
        fine, *others = (narrow(level) for narrow, level in zip(self.narrow, pyramid, strict=True))
        raised = [
            F.interpolate(level, scale_factor=2.0**number, mode="bilinear", align_corners=True)
            for number, level in enumerate(others, 1)
        ]
        # the coarsest, then from fine to coarse
        merged: Tensor = self.merge(torch.cat([raised[-1], fine, *raised[:-1]], dim=1))
        return merged


class CellAttention(nn.Module):
    """Attention of every position to all positions of both dates in its cell of a grid.

    Args:
        channels: Channels of a date's features, and of the output.
        grid: Cells along each axis; both sides must be multiples of it.
    """

    def __init__(self, channels: int, grid: int) -> None:
        super().__init__()
        self.grid = grid
        keys = channels // KEY_REDUCTION
        self.query, self.key = (
            nn.Sequential(nn.Conv2d(channels, keys, 1), nn.BatchNorm2d(keys)) for _ in range(2)
        )
        self.value = nn.Conv2d(channels, channels, 1)

    def forward(self, both: Tensor) -> Tensor:  # (2, B, C, H, W) -> (2, B, C, H, W)
        """What each position gathers."""
        dates = both.flatten(0, 1)
        query, key, value = (
            self._cells(layer(dates)) for layer in (self.query, self.key, self.value)
        )
        weights = torch.softmax(query @ key.transpose(1, 2) * query.shape[2] ** -0.5, dim=2)
        _, batch, channels, height, width = both.shape
        rows, columns = height // self.grid, width // self.grid
        gathered = (weights @ value).reshape(
            batch, self.grid, self.grid, 2, rows, columns, channels
        )
        return gathered.permute(3, 0, 6, 1, 4, 2, 5).reshape(both.shape)

    def _cells(self, dates: Tensor) -> Tensor:  # (2B, C, H, W) -> (B grid², 2 H W / grid², C)
        """The positions of both dates in each cell, in one row."""
        double, channels, height, width = dates.shape
        rows, columns = height // self.grid, width // self.grid
        parted = dates.reshape(2, double // 2, channels, self.grid, rows, self.grid, columns)
        return parted.permute(1, 3, 5, 0, 4, 6, 2).reshape(-1, 2 * rows * columns, channels)


class PyramidAttention(nn.Module):
    """Attention within the cells of several grids, brought together by a 1x1 convolution.

    Args:
        channels: Channels of a date's features, and of the output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList(CellAttention(channels, grid) for grid in GRIDS)
        self.merge = nn.Conv2d(len(GRIDS) * channels, channels, 1, bias=False)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=0.02)

    def forward(
        self, before: Tensor, after: Tensor
    ) -> tuple[Tensor, Tensor]:  # (B, C, H, W) twice -> the same
        """Features of both dates that know of each other."""
        both = torch.stack([before, after])
        gathered = torch.cat([level(both) for level in self.levels], dim=2)
        merged = self.merge(gathered.flatten(0, 1)).chunk(2)
        return merged[0], merged[1]


class STANet(ChangeModel):
    """Distance after pyramid attention on ResNet-18; 16.93 M parameters.

    The attention over the whole image takes memory that grows with the fourth power of its side:
    268 MB at 256 pixels, 4.3 GB at 512.

    Args:
        bands: Bands of each image.
        width: Channels at stride 4; eight must divide it. The ResNet's other levels have 2, 4 and 8
            times as many.
    """

    divisor: ClassVar[int] = 32
    min_size_px: ClassVar[int] = 32
    gmac_per_megapixel: float = 298.0
    paper: ClassVar[str] = (
        "Chen and Shi, A Spatial-Temporal Attention-Based Method and a New Dataset for Remote "
        "Sensing Image Change Detection, Remote Sensing 12(10), 1662, 2020, doi 10.3390/rs12101662"
    )
    head_modules: ClassVar[tuple[str, ...]] = ("attention.merge",)
    top_down_modules: ClassVar[tuple[str, ...]] = ("decoder", "attention.levels")
    name: ClassVar[str] = "stanet"

    def __init__(self, *, bands: int = 3, width: int = WIDTH) -> None:
        super().__init__(bands=bands)
        if width < KEY_REDUCTION or width % KEY_REDUCTION:
            raise SettingsError(f"width is {width}; stanet needs a multiple of {KEY_REDUCTION}")
        self.width = width
        self.encoder = ResNet18(bands=bands, last_dilations=LAST_DILATIONS, width=width)
        self.decoder = Decoder(width)
        self.attention = PyramidAttention(width)

    def logits_of_padded(
        self, before: Tensor, after: Tensor
    ) -> Tensor:  # (B, C, H, W) twice -> (B, 2, H, W)
        """Logits of images whose height and width 32 divides: 1, and the distance."""
        features = self.decoder(self.encoder(torch.cat([before, after])))
        old, new = self.attention(*features.chunk(2))
        squares = (old - new + DISTANCE_EPS).square().sum(dim=1, keepdim=True)
        distance = F.interpolate(
            squares.sqrt(), scale_factor=4.0, mode="bilinear", align_corners=True
        )
        return torch.cat([torch.full_like(distance, THRESHOLD), distance], dim=1)
