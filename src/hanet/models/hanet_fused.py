"""HANet as it is run, and MSPSNet, which shares all but its modules: the network of ``hanet.py`` in
evaluation mode, the same function at 70 % of the multiplications.

What is rewritten (docs/concepts/sources.md, section 6):

- batch normalisation is folded into the convolution before it; not the first one of an encoder
  block, before which the skip branches off;
- the stem and the first 3x3 are one 7x7, the border made good (``stem.py``); both dates go through
  the encoder as one batch;
- the parallel convolutions have four groups merged to one, zeros between them
  (``convolutions.py``);
- PReLU with its one learned slope is a leaky ReLU;
- of the attention's three projections one is left inside (``attention.py``); the row attention's
  value projection is part of the head;
- the head and the difference of the two classes are one linear map, 9 values a pixel, applied to
  each scale at its own resolution.

It gives the margin, the changed class's logit minus the other's, which is all that a probability
needs.
"""

from __future__ import annotations

import copy
import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hanet.models.hanet import (
    ChannelBranch,
    Encoder,
    EncoderBlock,
    HANModule,
    Head,
    ParallelConvolutions,
    ScalesNetwork,
    upsample,
)
from hanet.models.layers.attention import AxialAttention, attend, channels_last
from hanet.models.layers.convolutions import (
    GROUPS_AS_ONE,
    groups_as_one,
    largest_divisor,
    pointwise,
)
from hanet.models.layers.folding import ConstantConv2d, with_norm
from hanet.models.layers.stem import merged_kernel, surplus
from hanet.models.mspsnet import ParallelChannelModule


class FusedScales(nn.Module):
    """The margin of a trained :class:`~hanet.models.hanet.HANet` or
    :class:`~hanet.models.mspsnet.MSPSNet`.

    Args:
        model: The network; it is left as it is.
    """

    def __init__(self, model: ScalesNetwork) -> None:
        super().__init__()
        self.encoder = FusedEncoder(model.encoder)
        self.head = FusedHead(model.head)
        self.modules_of_scales = nn.ModuleList(
            FusedHAN(module, share)
            if isinstance(module, HANModule)
            else FusedParallelChannelModule(cast("ParallelChannelModule", module), share)
            for module, share in zip(
                model.modules_of_scales, shares_of_head(model.head), strict=True
            )
        )

    def forward(
        self, before: Tensor, after: Tensor
    ) -> Tensor:  # (B, C, H, W) twice -> (B, 1, H, W)
        """The margin of images whose height and width 8 divides."""
        scales = zip(self.modules_of_scales, self.encoder(torch.cat([before, after])), strict=True)
        margin: Tensor = self.head([module(*both.chunk(2)) for module, both in scales])
        return margin


class FusedHead(nn.Module):
    """What is left of the head where each scale has its share of the map: top-down sum, taps.

    Args:
        head: The head.
    """

    taps_bias: Tensor

    def __init__(self, head: Head) -> None:
        super().__init__()
        _, bias = head.taps()  # of both classes in turn
        self.register_buffer("taps_bias", (bias[1::2] - bias[::2]).view(1, -1, 1, 1))
        classifier = head.classify.bias
        self.constant = 0.0 if classifier is None else float(classifier[1] - classifier[0])

    def forward(self, shares: list[Tensor]) -> Tensor:  # four of (B, k k, H_m, W_m) -> (B, 1, H, W)
        """The margin from the shares of the scales, the finest first."""
        merged = shares[-1] + self.taps_bias
        for share in reversed(shares[:-1]):
            merged = upsample(merged) + share
        return margin_of_taps(merged) + self.constant


def shares_of_head(head: Head) -> tuple[Tensor, ...]:
    """The head's map to the margin's taps, (k k, C) of each scale, the finest first."""
    weight, _ = head.taps()  # of both classes in turn
    return torch.split(weight[1::2] - weight[::2], list(head.channels), dim=1)


class FusedEncoder(nn.Module):
    """The encoder, its two first convolutions being one."""

    stem: Tensor
    stem_bias: Tensor
    second: Tensor

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        blocks = cast("list[EncoderBlock]", list(encoder.blocks))
        self.first = ConstantConv2d(*merged_kernel(encoder.stem, blocks[0].conv1), padding=3)
        for name, constant in (
            ("stem", encoder.stem.weight),
            ("stem_bias", encoder.stem.bias),
            ("second", blocks[0].conv1.weight),
        ):
            assert constant is not None
            self.register_buffer(name, constant.detach().clone())
        self.convolutions = nn.ModuleList(
            ConstantConv2d(block.conv1.weight, block.conv1.bias, padding=1) for block in blocks[1:]
        )
        self.residuals = nn.ModuleList(FusedResidual(block) for block in blocks)

    def forward(
        self, image: Tensor
    ) -> list[Tensor]:  # (B, C, H, W) -> four of (B, width * 2**m, H / 2**m, W / 2**m)
        """Features at the four scales, the finest first."""
        residual, *residuals = self.residuals
        scales = [residual(self._first_convolutions(image))]
        for convolution, residual in zip(self.convolutions, residuals, strict=True):
            scales.append(residual(convolution(F.avg_pool2d(scales[-1], 2))))
        return scales

    def _first_convolutions(self, image: Tensor) -> Tensor:
        whole = self.first(image)
        top, bottom, left, right = surplus(image, self.stem, self.stem_bias, self.second)
        whole = torch.cat(
            [whole[:, :, :1] - top, whole[:, :, 1:-1], whole[:, :, -1:] - bottom], dim=2
        )
        return torch.cat([whole[..., :1] - left, whole[..., 1:-1], whole[..., -1:] - right], dim=3)


class FusedResidual(nn.Module):
    """An encoder block behind its first convolution."""

    def __init__(self, block: EncoderBlock) -> None:
        super().__init__()
        self.norm = copy.deepcopy(block.norm1)
        self.mix = with_norm(block.conv2, block.norm2)

    def forward(self, skip: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C, H, W)
        """The block's output."""
        return F.relu(pointwise(F.relu(self.norm(skip)), self.mix.weight, self.mix.bias) + skip)


class FusedHAN(nn.Module):
    """A HAN module and its share of the head.

    Args:
        han: The module.
        share: The head's map of this scale, (k k, C).
    """

    share: Tensor
    share_of_attended: Tensor
    share_bias: Tensor

    def __init__(self, han: HANModule, share: Tensor) -> None:
        super().__init__()
        self.parallel = FusedParallelConvolutions(han.parallel)
        self.channel_branch = FusedChannelBranch(han.channel_branch)
        self.column, self.row = FusedAttention(han.column), FusedAttention(han.row)
        with torch.no_grad():
            self.register_buffer("share", share.clone())
            self.register_buffer("share_of_attended", share @ self.row.value)
            self.register_buffer("share_bias", share @ self.row.value_bias)

    def forward(
        self, before: Tensor, after: Tensor
    ) -> Tensor:  # (B, C, H, W) twice -> (B, k k, H, W)
        """What the scale adds to each of the head's taps."""
        features = self.parallel(torch.cat([before, after], dim=1))
        of_channels = pointwise(self.channel_branch(features), self.share)
        columns = channels_last(features).transpose(1, 2)  # (B, W, H, C)
        attended = self.column(columns)
        rows = (columns + F.linear(attended, self.column.value, self.column.value_bias)).transpose(
            1, 2
        )
        of_rows = F.linear(rows, self.share, self.share_bias) + F.linear(
            self.row(rows), self.share_of_attended
        )
        return of_channels + of_rows.permute(0, 3, 1, 2)


class FusedParallelChannelModule(nn.Module):
    """MSPSNet's module of one scale and its share of the head.

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


class FusedParallelConvolutions(nn.Module):
    """The parallel convolution structure with neighbouring groups merged."""

    def __init__(self, parallel: ParallelConvolutions) -> None:
        super().__init__()
        branches = cast("list[nn.Conv2d]", list(parallel.branches))
        self.branches = nn.ModuleList()
        for branch in branches:
            count = largest_divisor(branch.groups, GROUPS_AS_ONE)
            self.branches.append(
                ConstantConv2d(
                    groups_as_one(branch.weight, branch.groups, count),
                    branch.bias,
                    padding=branch.dilation[0],
                    dilation=branch.dilation[0],
                    groups=branch.groups // count,
                )
            )
        self.mix = ConstantConv2d(parallel.mix.weight, parallel.mix.bias)

    def forward(self, features: Tensor) -> Tensor:  # (B, 2 C, H, W) -> (B, C, H, W)
        """Features of both dates, mixed."""
        weights = self.mix.weight.flatten(1).chunk(len(self.branches), dim=1)
        mixed, *others = (
            pointwise(branch(features), weight, self.mix.bias if number == 0 else None)
            for number, (branch, weight) in enumerate(zip(self.branches, weights, strict=True))
        )
        for other in others:
            mixed = mixed + other
        return mixed


class FusedChannelBranch(nn.Module):
    """The channel attention branch with its normalisation folded."""

    def __init__(self, branch: ChannelBranch) -> None:
        super().__init__()
        self.reduce = with_norm(branch.reduce, branch.reduce_norm)
        self.restore = with_norm(branch.restore, branch.restore_norm)
        self.reduce_slope, self.restore_slope = (
            float(branch.reduce_slope.weight),
            float(branch.restore_slope.weight),
        )
        self.attention = copy.deepcopy(branch.attention)

    def forward(self, features: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C, H, W)
        """The branch's share of the change features."""
        reduced = F.leaky_relu(self.reduce(features), self.reduce_slope)
        return F.leaky_relu(self.restore(self.attention(reduced)), self.restore_slope)


class FusedAttention(nn.Module):
    """Attention over lines, without the value projection behind it."""

    query: Tensor
    query_bias: Tensor
    value: Tensor
    value_bias: Tensor

    def __init__(self, attention: AxialAttention) -> None:
        super().__init__()
        names = ("query", "query_bias", "value", "value_bias")
        for name, constant in zip(names, attention.projections(), strict=True):
            self.register_buffer(name, constant.detach().clone())

    def forward(self, lines: Tensor) -> Tensor:  # (B, lines, positions, C) -> the same
        """What each position takes from its line, before the value projection."""
        return attend(F.linear(lines, self.query, self.query_bias), lines)


def margin_of_taps(taps: Tensor) -> Tensor:  # (B, k k, H, W) -> (B, 1, H, W)
    """The taps shifted to where they belong and added, zeros from outside."""
    side = math.isqrt(taps.shape[1])
    if side == 1:
        return taps
    reach = side // 2
    padded = F.pad(taps, (reach, reach, reach, reach))

    def shifted(row: int, column: int) -> Tensor:
        tap = row * side + column
        rows, columns = (slice(start, start + 1 - side or None) for start in (row, column))
        return padded[:, tap : tap + 1, rows, columns]

    first, *others = (shifted(row, column) for row in range(side) for column in range(side))
    for other in others:
        first = first + other
    return first
