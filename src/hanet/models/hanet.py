"""HANet: the network of the paper, to read from top to bottom.

Han, Wu, Guo, Hu, Chen: HANet: A Hierarchical Attention Network for Change Detection With Bitemporal
Very-High-Resolution Remote Sensing Images, IEEE JSTARS 16, 2023. One encoder looks at both dates;
at each of four scales a HAN module turns the two features into change features; the four are
brought to full resolution, concatenated and classified.

What differs from the released code, none of it the function that the network computes:

- features are pooled by a factor of 2 between blocks instead of to fixed sizes, so any height and
  width works;
- the four convolutions ``c1_conv`` to ``c4_conv`` that no forward pass uses are left out (417,880
  parameters at width 40);
- the head's 1x1 convolution is applied to each scale before its upsampling. Both are linear and act
  on different axes, so they can change places, and the 600-channel map at full resolution is never
  made.

``conversion/layouts/hanet.py`` translates the official state dict; ``hanet_fused.py`` rewrites the
network for inference.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Literal, TypeAlias, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hanet.errors import SettingsError
from hanet.models.contract import ChangeModel
from hanet.models.layers.attention import ChannelAttention, ColumnAttention, RowAttention
from hanet.models.layers.convolutions import DilatedConv2d, PReLU, pointwise
from hanet.models.layers.stem import first_convolutions

SCALES = 4
"""Scales of the encoder; scale m has ``width * 2 ** m`` channels at stride ``2 ** m``, from m = 0,
the finest."""

DILATIONS = (1, 2, 3, 4)
"""Dilations of the parallel convolution structure, in the order in which its outputs are
concatenated."""

CAM_CHANNELS = 32
"""Channels that the channel attention works on, at every scale and width."""

HeadName: TypeAlias = Literal["official", "open-cd"]
"""Whose classifier ends the network."""


class EncoderBlock(nn.Module):
    """A convolution and a residual on its output (paper, equations 1 and 2).

    The skip is the output of the first convolution, before its normalisation.

    Args:
        inputs: Channels in.
        outputs: Channels out.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)

    def forward(self, features: Tensor) -> Tensor:  # (B, C_in, H, W) -> (B, C_out, H, W)
        """Features of the same size."""
        return self.residual(self.conv1(features))

    def residual(self, skip: Tensor) -> Tensor:  # (B, C_out, H, W) -> (B, C_out, H, W)
        """The block behind its first convolution."""
        residual = self.norm2(pointwise(F.relu(self.norm1(skip)), self.conv2.weight))
        return F.relu(residual + skip)


class Encoder(nn.Module):
    """A stem and four blocks with average pooling between them; both dates go through the same
    weights.

    Args:
        bands: Bands of the image.
        width: Channels of the finest scale.
    """

    def __init__(self, bands: int, width: int) -> None:
        super().__init__()
        channels = channels_of(width)
        self.stem = nn.Conv2d(bands, width, 5, padding=2)
        self.blocks = nn.ModuleList(
            EncoderBlock(inputs, outputs)
            for inputs, outputs in zip((width, *channels), channels, strict=False)
        )

    def forward(
        self, image: Tensor
    ) -> list[Tensor]:  # (B, C, H, W) -> four of (B, width * 2**m, H / 2**m, W / 2**m)
        """Features of one date at the four scales, the finest first."""
        first, *others = self.blocks
        assert isinstance(first, EncoderBlock)
        scales = [first.residual(first_convolutions(self.stem, first.conv1, image))]
        for block in others:
            scales.append(block(F.avg_pool2d(scales[-1], 2)))
        return scales


class ParallelConvolutions(nn.Module):
    """The paper's parallel convolution structure (PCS): four grouped convolutions of growing
    dilation, mixed by a 1x1.

    Every group takes four channels and gives two, so both dates' features meet in the 1x1 only.

    Args:
        channels: Channels of one date's features, and of the output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            DilatedConv2d(2 * channels, channels, dilation=dilation, groups=channels // 2)
            for dilation in DILATIONS
        )
        self.mix = nn.Conv2d(len(DILATIONS) * channels, channels, 1)

    def forward(self, features: Tensor) -> Tensor:  # (B, 2 C, H, W) -> (B, C, H, W)
        """Features of both dates, mixed over neighbourhoods of 3 to 9 pixels."""
        spread = [branch(features) for branch in self.branches]
        return pointwise(torch.cat(spread, dim=1), self.mix.weight, self.mix.bias)


class ChannelBranch(nn.Module):
    """The channel attention branch (CAM): down to 32 channels, attention between them, and back.

    Args:
        channels: Channels in and out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, CAM_CHANNELS, 3, padding=1)
        self.reduce_norm = nn.BatchNorm2d(CAM_CHANNELS)
        self.reduce_slope = PReLU()
        self.attention = ChannelAttention()
        self.restore = nn.Conv2d(CAM_CHANNELS, channels, 3, padding=1)
        self.restore_norm = nn.BatchNorm2d(channels)
        self.restore_slope = PReLU()

    def forward(self, features: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C, H, W)
        """The branch's share of the change features."""
        reduced = self.reduce_slope(self.reduce_norm(self.reduce(features)))
        restored: Tensor = self.restore_slope(
            self.restore_norm(self.restore(self.attention(reduced)))
        )
        return restored


class HANModule(nn.Module):
    """The hierarchical attention module of one scale: PCS, then channel attention beside column-row
    attention, summed.

    Args:
        channels: Channels of one date's features, and of the output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.parallel = ParallelConvolutions(channels)
        self.channel_branch = ChannelBranch(channels)
        self.column = ColumnAttention(channels)
        self.row = RowAttention(channels)

    def forward(
        self, before: Tensor, after: Tensor
    ) -> Tensor:  # (B, C, H, W) twice -> (B, C, H, W)
        """Change features of the scale."""
        parallel = self.parallel(torch.cat([before, after], dim=1))
        change: Tensor = self.channel_branch(parallel) + self.row(self.column(parallel))
        return change


class Head(nn.Module):
    """Top-down concatenation and classifier.

    Coarser scales are upsampled by 2 as often as it takes, never at once by 4 or 8. The weights of
    ``merge`` are the one (2 width, 15 width) matrix of the paper; each scale meets its own columns
    of it. Where nothing stands between ``merge`` and the classifier they are one linear map: 18
    values a pixel (2 classes at 9 positions of the 3x3 kernel) are upsampled, not 80.

    Args:
        width: Channels of the finest scale.
        kind: ``"official"``: the classifier is a 3x3 convolution without bias. ``"open-cd"``:
            dropout of whole channels, then a 1x1 convolution with bias.
    """

    def __init__(self, width: int, kind: HeadName) -> None:
        super().__init__()
        self.channels = channels_of(width)
        self.merge = nn.Conv2d(sum(self.channels), 2 * width, 1)
        if kind == "official":
            self.dropout: nn.Module = nn.Identity()
            self.classify = nn.Conv2d(2 * width, 2, 3, padding=1, bias=False)
        else:
            self.dropout = nn.Dropout2d(0.1)
            self.classify = nn.Conv2d(2 * width, 2, 1)

    def forward(
        self, changes: Sequence[Tensor]
    ) -> Tensor:  # four of (B, C_m, H / 2**m, W / 2**m) -> (B, 2, H, W)
        """Logits from the change features of the four scales, the finest first."""
        if self.training and isinstance(self.dropout, nn.Dropout2d):
            merged = self._top_down(changes, self.merge.weight.flatten(1), self.merge.bias)
            logits: Tensor = self.classify(self.dropout(merged))
            return logits
        weight, bias = self.taps()
        logits = sum_of_taps(self._top_down(changes, weight, bias))
        return (
            logits if self.classify.bias is None else logits + self.classify.bias.view(1, -1, 1, 1)
        )

    def taps(self) -> tuple[Tensor, Tensor]:
        """``merge`` and the classifier as one map: weight (k k 2, 15 width) and bias (k k 2), k the
        side of the classifier's kernel."""
        assert self.merge.bias is not None
        taps = self.classify.weight.permute(2, 3, 0, 1).flatten(0, 2)  # (k k 2, 2 width)
        return taps @ self.merge.weight.flatten(1), taps @ self.merge.bias

    def _top_down(self, changes: Sequence[Tensor], weight: Tensor, bias: Tensor | None) -> Tensor:
        """A linear map of the concatenation of all scales, each scale's share taken at its own
        resolution."""
        weights = torch.split(weight, list(self.channels), dim=1)
        merged = pointwise(changes[-1], weights[-1], bias)
        for scale in reversed(range(SCALES - 1)):
            merged = upsample(merged) + pointwise(changes[scale], weights[scale])
        return merged


class ScalesNetwork(ChangeModel):
    """One encoder for both dates, a module that compares them at each scale, and a head: what HANet
    shares with MSPSNet. A subclass makes all of them.

    Args:
        width: Channels of the finest scale, an even number.
        bands: Bands of each image.

    Raises:
        SettingsError: The width is odd or below 2.
    """

    divisor: ClassVar[int] = 8
    min_size_px: ClassVar[int] = 16
    head_modules: ClassVar[tuple[str, ...]] = ("head.classify",)
    top_down_modules: ClassVar[tuple[str, ...]] = ("head.merge",)
    encoder: Encoder
    head: Head

    def __init__(self, *, width: int, bands: int) -> None:
        super().__init__(bands=bands)
        if width < 2 or width % 2:
            raise SettingsError(f"width is {width}; {self.name} needs an even number of channels")
        self.width = width

    @property
    def modules_of_scales(self) -> nn.ModuleList:
        """One module a scale, the finest first; each takes both dates' features."""
        raise NotImplementedError

    def _initialise(self) -> None:
        # biases of convolutions keep torch's own start, as in the released code; batch norm starts
        # at weight 1, bias 0
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def logits_of_padded(
        self, before: Tensor, after: Tensor
    ) -> Tensor:  # (B, C, H, W) twice -> (B, 2, H, W)
        """Logits of images whose height and width 8 divides."""
        # one date after the other: in training, batch norm takes the statistics of each date by
        # itself
        dates = (
            self.encoder(image.contiguous(memory_format=torch.channels_last))
            for image in (before, after)
        )
        scales = zip(self.modules_of_scales, *dates, strict=True)
        logits: Tensor = self.head([module(*features) for module, *features in scales])
        return logits


class HANet(ScalesNetwork):
    """The paper's network; 2,611,564 parameters at the defaults.

    Args:
        width: Channels of the finest scale, an even number; the others have 2, 4 and 8 times as
            many.
        bands: Bands of each image.
        head: ``"official"`` or ``"open-cd"``: whose classifier ends the network, see :class:`Head`.

    Raises:
        SettingsError: An argument is out of its range.

    Example:
        >>> logits = HANet(width=8)(torch.zeros(1, 3, 64, 48), torch.zeros(1, 3, 64, 48))
        >>> tuple(logits.shape)
        (1, 2, 64, 48)
    """

    gmac_per_megapixel: float = 228.0
    paper: ClassVar[str] = (
        "Han et al., HANet, IEEE JSTARS 16, 3867-3878, 2023, doi 10.1109/JSTARS.2023.3264802"
    )
    name: ClassVar[str] = "hanet"

    def __init__(self, *, width: int = 40, bands: int = 3, head: HeadName = "official") -> None:
        super().__init__(width=width, bands=bands)
        if head not in get_args(HeadName):
            raise SettingsError(
                f"there is no head {head!r}", hint=f"the heads are: {', '.join(get_args(HeadName))}"
            )
        self.head_name: HeadName = head
        self.encoder = Encoder(bands, width)
        self.han_modules = nn.ModuleList(HANModule(channels) for channels in channels_of(width))
        self.head = Head(width, head)
        self._initialise()

    @property
    def modules_of_scales(self) -> nn.ModuleList:
        """The HAN modules."""
        return self.han_modules


def channels_of(width: int) -> tuple[int, ...]:
    """Channels of the four scales, the finest first.

    Example:
        >>> channels_of(40)
        (40, 80, 160, 320)
    """
    return tuple(width * 2**scale for scale in range(SCALES))


def upsample(features: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C, 2 H, 2 W)
    """The features at twice the resolution, bilinear, pixel centres kept (align_corners false)."""
    return F.interpolate(features, scale_factor=2.0, mode="bilinear", align_corners=False)


def sum_of_taps(taps: Tensor) -> Tensor:  # (B, k k 2, H, W) -> (B, 2, H, W)
    """What a kernel of odd side k gives, from the products with each of its positions: they are
    shifted and added, zeros from outside."""
    channels = taps.shape[1]
    side = math.isqrt(channels // 2)
    if side == 1:
        return taps
    positions = torch.eye(channels, dtype=taps.dtype, device=taps.device).view(
        side, side, 2, channels
    )
    return F.conv2d(taps, positions.permute(2, 3, 0, 1), padding=side // 2)
