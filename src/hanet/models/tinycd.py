"""TinyCD: the first blocks of EfficientNet-B4, channels of both dates mixed in pairs, and masks.

Codegoni, Lombardi, Ferrari: TINYCD, Neural Computing and Applications 35, 2023. A mixing block
looks at the same channel of both dates together (grouped convolution); from the finer scales one
number a pixel is made of it, a mask, by which the features coming up from the coarsest scale are
multiplied on their way to full resolution.

As in the authors' code: mixing by groups of two, PReLU before instance normalisation, a classifier
of three 1x1 convolutions, no learned upsampling. What differs: the probability's logit z is given
as the logits (0, z), whose softmax is its sigmoid; stochastic depth of the encoder is left out; an
image whose size 8 does not divide is padded. The authors train all of it from ImageNet weights,
which are not part of this package.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hanet.models.contract import ChangeModel
from hanet.models.layers.stages import Block, Stage, blocks_of

STEM_CHANNELS = 48
STAGES = (
    Stage(blocks=2, channels=24, expansion=1, kernel=3, stride=1),
    Stage(blocks=4, channels=32, expansion=6, kernel=3, stride=2),
    Stage(blocks=4, channels=56, expansion=6, kernel=5, stride=2),
)
"""EfficientNet-B4 up to stride 8 (Tan and Le, ICML 2019: B0 at depth 1.8 and width 1.4)."""


class SqueezeExcitation(nn.Module):
    """Each channel times a weight in 0-1 from the means of all.

    Args:
        channels: Channels in and out.
        hidden: Of the layer between.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, hidden, 1)
        self.excite = nn.Conv2d(hidden, channels, 1)

    def forward(self, features: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C, H, W)
        """The features, weighted."""
        means = features.mean(dim=(2, 3), keepdim=True)
        weighted: Tensor = features * torch.sigmoid(self.excite(F.silu(self.squeeze(means))))
        return weighted


class MBConv(nn.Module):
    """Expand by 1x1, filter each channel, weigh them, project by 1x1; the input is added where
    shapes allow.

    Args:
        block: What it is made of.
    """

    def __init__(self, block: Block) -> None:
        super().__init__()
        hidden, kernel = block.hidden, block.kernel
        layers: list[nn.Module] = []
        if block.expansion > 1:
            layers += [
                nn.Conv2d(block.inputs, hidden, 1, bias=False),
                nn.BatchNorm2d(hidden),
                nn.SiLU(),
            ]
        layers += [
            nn.Conv2d(hidden, hidden, kernel, block.stride, kernel // 2, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.SiLU(),
            SqueezeExcitation(hidden, block.inputs // 4),
            nn.Conv2d(hidden, block.outputs, 1, bias=False),
            nn.BatchNorm2d(block.outputs),
        ]
        self.layers = nn.Sequential(*layers)
        self.is_residual = block.is_residual

    def forward(self, features: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C', H', W')
        """The block's output."""
        result: Tensor = self.layers(features)
        return features + result if self.is_residual else result


class Mixing(nn.Module):
    """The same channel of both dates, side by side, through one 3x3 convolution of its own.

    Args:
        channels: Channels of a date.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(2 * channels, channels, 3, padding=1, groups=channels)
        self.activation = nn.PReLU()
        self.norm = nn.InstanceNorm2d(channels)

    def forward(
        self, before: Tensor, after: Tensor
    ) -> Tensor:  # (B, C, H, W) twice -> (B, C, H, W)
        """Mixed features."""
        pairs = torch.stack([before, after], dim=2).flatten(1, 2)
        mixed: Tensor = self.norm(self.activation(self.mix(pairs)))
        return mixed


class Pixelwise(nn.Sequential):
    """A perceptron for each pixel: 1x1 convolutions with PReLU between them.

    Args:
        channels: Of the input, and of the output of each convolution.
        ends_active: Whether the last is followed by PReLU too.
    """

    def __init__(self, channels: Sequence[int], *, ends_active: bool) -> None:
        layers: list[nn.Module] = []
        for number, (inputs, outputs) in enumerate(pairwise(channels), 2):
            layers.append(nn.Conv2d(inputs, outputs, 1))
            if ends_active or number < len(channels):
                layers.append(nn.PReLU())
        super().__init__(*layers)


class MixingMask(nn.Module):
    """One number a pixel from both dates.

    Args:
        channels: Channels of a date, then of each layer of the perceptron.
    """

    def __init__(self, *channels: int) -> None:
        super().__init__()
        self.mixing = Mixing(channels[0])
        self.perceptron = Pixelwise(channels, ends_active=True)

    def forward(
        self, before: Tensor, after: Tensor
    ) -> Tensor:  # (B, C, H, W) twice -> (B, 1, H, W)
        """The mask; it is not bounded."""
        mask: Tensor = self.perceptron(self.mixing(before, after))
        return mask


class MaskedUp(nn.Module):
    """Twice the size, times a mask, refined by a depthwise and a 1x1 convolution.

    Args:
        inputs: Channels in.
        outputs: Channels out.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.refine = nn.Sequential(
            nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs),
            nn.PReLU(),
            nn.InstanceNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 1),
            nn.PReLU(),
            nn.InstanceNorm2d(outputs),
        )

    # (B, C, H, W), (B, 1, 2H, 2W) -> (B, C', 2H, 2W)
    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """The features at the mask's size."""
        raised = F.interpolate(features, scale_factor=2.0, mode="bilinear", align_corners=True)
        refined: Tensor = self.refine(raised * mask)
        return refined


class TinyCD(ChangeModel):
    """Mixing and masks on EfficientNet-B4's first blocks; 285,128 parameters.

    Args:
        bands: Bands of each image.
    """

    divisor: ClassVar[int] = 8
    min_size_px: ClassVar[int] = 16
    gmac_per_megapixel: float = 20.3
    paper: ClassVar[str] = (
        "Codegoni et al., TINYCD: a (not so) deep learning model for change detection, Neural "
        "Computing and Applications 35, 2023, doi 10.1007/s00521-022-08122-3"
    )
    head_modules: ClassVar[tuple[str, ...]] = ("head",)
    top_down_modules: ClassVar[tuple[str, ...]] = ("masks", "mixing", "ups")
    name: ClassVar[str] = "tinycd"

    def __init__(self, *, bands: int = 3) -> None:
        super().__init__(bands=bands)
        self.stem = nn.Sequential(
            nn.Conv2d(bands, STEM_CHANNELS, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(STEM_CHANNELS),
            nn.SiLU(),
        )
        self.stages = nn.ModuleList(
            nn.Sequential(*map(MBConv, blocks))
            for blocks in blocks_of(STAGES, inputs=STEM_CHANNELS)
        )
        fine, middle, coarse = (stage.channels for stage in STAGES)
        # from the images themselves, and from strides 2 and 4
        self.masks = nn.ModuleList(
            [
                MixingMask(bands, 10, 5, 1),
                MixingMask(fine, fine // 2, fine // 4, 1),
                MixingMask(middle, middle // 2, middle // 4, 1),
            ]
        )
        self.mixing = Mixing(coarse)
        self.ups = nn.ModuleList([MaskedUp(coarse, 64), MaskedUp(64, 64), MaskedUp(64, 32)])
        self.head = Pixelwise([32, 16, 8, 1], ends_active=False)

    def logits_of_padded(
        self, before: Tensor, after: Tensor
    ) -> Tensor:  # (B, C, H, W) twice -> (B, 2, H, W)
        """Logits of images whose height and width 8 divides."""
        masks = [self.masks[0](before, after)]
        both = self.stem(torch.cat([before, after]))
        for number, stage in enumerate(self.stages):
            both = stage(both)
            if number < 2:
                masks.append(self.masks[number + 1](*both.chunk(2)))
        features = self.mixing(*both.chunk(2))
        for up, mask in zip(self.ups, reversed(masks), strict=True):
            features = up(features, mask)
        changed = self.head(features)
        return torch.cat([torch.zeros_like(changed), changed], dim=1)
