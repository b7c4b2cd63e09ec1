"""ChangeFormer: a hierarchical transformer for each date, and differences learned at four scales.

Bandara, Patel: A Transformer-Based Siamese Network for Change Detection, IGARSS 2022. An encoder of
four stages (strides 4, 8, 16 and 32) embeds overlapping patches and lets each position look at the
whole image, whose keys and values are reduced in size where it is fine. At each scale both dates'
features go through one small convolutional network that learns their difference; differences of all
scales, at the finest, are fused, brought to full resolution by two transposed convolutions and
classified.

This is the network that the authors released as V6, the one with 41.0 M parameters; the 20.75 M of
the paper's comparison tables are another configuration. As in their code: patches of 7x7 at every
stage; depths 3, 3, 4, 3; heads 1, 2, 4, 8; a depthwise convolution inside each perceptron (its
place for the position of a pixel); the difference of a scale has that of the coarser one added;
dropout and stochastic depth of 0.1 in training. What differs: the four small heads that predict
change from each scale are left out, since nothing but the loss of the authors' training reads them
(18,608 parameters; in ours the loss is that of the final logits alone); an image whose size 32 does
not divide is padded. The authors start from weights of a segmentation of ADE20K, which are not
part of this package.
"""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hanet.errors import SettingsError
from hanet.models.contract import ChangeModel

CHANNEL_FACTORS = (1, 2, 5, 8)
"""Channels of the stages, in widths."""

DECODER_FACTOR = 4
"""Channels of the decoder, in widths."""

DEPTHS = (3, 3, 4, 3)
"""Blocks of the stages."""

HEADS = (1, 2, 4, 8)
"""Heads of attention of the stages."""

REDUCTIONS = (8, 4, 2, 1)
"""Factor by which a stage reduces keys and values along each axis: at any stage what is looked at
has the resolution of stride 32."""

PATCH_PX, FIRST_STRIDE, STRIDE = 7, 4, 2
"""Side of a patch, and distance of patches, of the first stage and of the others."""

EXPANSION = 4
"""Of the hidden layer of a perceptron."""

DROP = 0.1
"""Share of what dropout leaves out; stochastic depth rises to it from 0 along the blocks."""

BLOCK_NORM_EPS = 1e-6
"""Of the normalisation in and after the blocks; that of patches and of keys has torch's 1e-5."""

RESIDUAL_FACTOR = 0.1
"""What a residual block's convolutions count beside its input."""

UNUSED_PARAMETERS = 18_608
"""At width 64: in the heads of the scales, which are in the authors' network and not in ours."""


class PatchEmbedding(nn.Module):
    """Overlapping patches as vectors.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        stride: Distance of patches.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(inputs, outputs, PATCH_PX, stride=stride, padding=PATCH_PX // 2)
        self.norm = nn.LayerNorm(outputs)

    def forward(self, features: Tensor) -> Tensor:  # (B, C, H, W) -> (B, H / s, W / s, C')
        """One vector a patch."""
        embedded: Tensor = self.norm(channels_back(self.project(features)))
        return embedded


class ReducedAttention(nn.Module):
    """Multi-head attention of every position to all, at a lower resolution.

    Args:
        channels: Channels in and out.
        heads: Heads; the channels are shared out to them.
        reduction: Factor by which keys and values are reduced along each axis.
    """

    def __init__(self, channels: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(channels, 2 * channels)
        self.out = nn.Linear(channels, channels)
        self.reduce = (
            nn.Conv2d(channels, channels, reduction, stride=reduction) if reduction > 1 else None
        )
        self.reduce_norm = nn.LayerNorm(channels) if reduction > 1 else None
        self.weights_drop, self.drop = nn.Dropout(DROP), nn.Dropout(DROP)

    def forward(self, features: Tensor) -> Tensor:  # (B, H, W, C) -> (B, H, W, C)
        """What each position gathers."""
        looked_at = features
        if self.reduce is not None and self.reduce_norm is not None:
            looked_at = self.reduce_norm(channels_back(self.reduce(channels_front(features))))
        query, key, value = (
            part.flatten(1, 2).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for part in (self.query(features), *self.key_value(looked_at).chunk(2, dim=3))
        )  # (B, heads, positions, channels of a head)
        weights = torch.softmax(query @ key.transpose(2, 3) * query.shape[3] ** -0.5, dim=3)
        gathered = (self.weights_drop(weights) @ value).transpose(1, 2).reshape(features.shape)
        result: Tensor = self.drop(self.out(gathered))
        return result


class MixPerceptron(nn.Module):
    """A perceptron for each position, with a depthwise 3x3 convolution in its hidden layer.

    Args:
        channels: Channels in and out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = EXPANSION * channels
        self.expand = nn.Linear(channels, hidden)
        self.mix = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.project = nn.Linear(hidden, channels)
        self.drop = nn.Dropout(DROP)

    def forward(self, features: Tensor) -> Tensor:  # (B, H, W, C) -> (B, H, W, C)
        """The refined features."""
        hidden = channels_back(self.mix(channels_front(self.expand(features))))
        result: Tensor = self.drop(self.project(self.drop(F.gelu(hidden))))
        return result


class Block(nn.Module):
    """Attention and perceptron, each with normalisation before and its input added.

    Args:
        channels: Channels in and out.
        heads: Of the attention.
        reduction: Of the attention.
        skipped: Share of pairs for which training leaves out one of the two (stochastic depth).
    """

    def __init__(self, channels: int, heads: int, reduction: int, skipped: float) -> None:
        super().__init__()
        self.skipped = skipped
        self.attention_norm = nn.LayerNorm(channels, eps=BLOCK_NORM_EPS)
        self.attention = ReducedAttention(channels, heads, reduction)
        self.perceptron_norm = nn.LayerNorm(channels, eps=BLOCK_NORM_EPS)
        self.perceptron = MixPerceptron(channels)

    def forward(self, features: Tensor) -> Tensor:  # (B, H, W, C) -> (B, H, W, C)
        """The refined features."""
        features = features + self._kept(self.attention(self.attention_norm(features)))
        refined: Tensor = features + self._kept(self.perceptron(self.perceptron_norm(features)))
        return refined

    def _kept(self, addition: Tensor) -> Tensor:
        """The addition, in training as 0 for some images and larger for the others."""
        return addition * F.dropout(
            torch.ones_like(addition[:, :1, :1, :1]), self.skipped, self.training
        )


class Stage(nn.Module):
    """A patch embedding and its blocks.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        stride: Distance of patches.
        heads: Of the blocks.
        reduction: Of the blocks.
        skipped: Of each block.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        stride: int,
        heads: int,
        reduction: int,
        skipped: list[float],
    ) -> None:
        super().__init__()
        self.embed = PatchEmbedding(inputs, outputs, stride)
        self.blocks = nn.Sequential(*(Block(outputs, heads, reduction, share) for share in skipped))
        self.norm = nn.LayerNorm(outputs, eps=BLOCK_NORM_EPS)

    def forward(self, features: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C', H / s, W / s)
        """Features of the stage."""
        return channels_front(self.norm(self.blocks(self.embed(features))))


class Encoder(nn.Module):
    """Feature maps of one date at strides 4, 8, 16 and 32.

    Args:
        bands: Bands of the image.
        channels: Of the stages.
    """

    def __init__(self, bands: int, channels: list[int]) -> None:
        super().__init__()
        blocks = sum(DEPTHS)
        rising = iter([DROP * number / (blocks - 1) for number in range(blocks)])
        self.stages = nn.ModuleList(
            Stage(
                inputs,
                outputs,
                stride=STRIDE if number else FIRST_STRIDE,
                heads=HEADS[number],
                reduction=REDUCTIONS[number],
                skipped=[next(rising) for _ in range(DEPTHS[number])],
            )
            for number, (inputs, outputs) in enumerate(pairwise([bands, *channels]))
        )

    def forward(self, image: Tensor) -> list[Tensor]:  # (B, C, H, W) -> (B, C_s, H_s, W_s) each
        """Features of the stages, finest first."""
        found = []
        for stage in self.stages:
            image = stage(image)
            found.append(image)
        return found


class Difference(nn.Sequential):
    """Two 3x3 convolutions over both dates' features; the first is normalised after its ReLU.

    Args:
        channels: Of one date, and of the output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(
            nn.Conv2d(2 * channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.BatchNorm2d(channels),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
        )


class RaisedResidual(nn.Module):
    """Twice the size by a transposed convolution, then a residual block without normalisation.

    Args:
        channels: Channels in and out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C, 2H, 2W)
        """The features at twice the size."""
        raised: Tensor = self.up(features)
        refined: Tensor = raised + RESIDUAL_FACTOR * self.second(F.relu(self.first(raised)))
        return refined


class ChangeFormer(ChangeModel):
    """Hierarchical transformer encoder and learned differences (V6 as released); 41.01 M
    parameters, of 41.03 M with the heads that only the authors' loss reads.

    Args:
        bands: Bands of each image.
        width: Channels of the finest stage; four must divide it. The others have 2, 5 and 8 times
            as many, the decoder 4 times.
    """

    divisor: ClassVar[int] = 32
    min_size_px: ClassVar[int] = 32
    gmac_per_megapixel: float = 2116.0
    paper: ClassVar[str] = (
        "Bandara and Patel, A Transformer-Based Siamese Network for Change Detection, IGARSS 2022, "
        "doi 10.1109/IGARSS46834.2022.9883686"
    )
    head_modules: ClassVar[tuple[str, ...]] = ("head",)
    top_down_modules: ClassVar[tuple[str, ...]] = ("narrow", "differences", "merge", "ups")
    name: ClassVar[str] = "changeformer"

    def __init__(self, *, bands: int = 3, width: int = 64) -> None:
        super().__init__(bands=bands)
        if width < 4 or width % 4:
            raise SettingsError(f"width is {width}; changeformer needs a multiple of 4")
        self.width = width
        channels = [factor * width for factor in CHANNEL_FACTORS]
        decoded = DECODER_FACTOR * width
        self.encoder = Encoder(bands, channels)
        # of each stage, finest first
        self.narrow = nn.ModuleList(nn.Linear(inputs, decoded) for inputs in channels)
        self.differences = nn.ModuleList(Difference(decoded) for _ in channels)
        self.merge = nn.Sequential(
            nn.Conv2d(len(channels) * decoded, decoded, 1), nn.BatchNorm2d(decoded)
        )
        self.ups = nn.Sequential(RaisedResidual(decoded), RaisedResidual(decoded))
        self.head = nn.Conv2d(decoded, 2, 3, padding=1)
        for layer in self.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(layer.weight, std=0.02)
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)

    def logits_of_padded(
        self, before: Tensor, after: Tensor
    ) -> Tensor:  # (B, C, H, W) twice -> (B, 2, H, W)
        """Logits of images whose height and width 32 divides."""
        pyramid = self.encoder(torch.cat([before, after]))
        scales: list[Tensor] = []  # differences, coarsest first
        for features, narrow, difference in reversed(
            list(zip(pyramid, self.narrow, self.differences, strict=True))
        ):
            old, new = channels_front(narrow(channels_back(features))).chunk(2)
            found = difference(torch.cat([old, new], dim=1))
            if scales:
                found = found + _raised(scales[-1], 2.0)
            scales.append(found)
        factors = [float(2**steps) for steps in range(len(scales) - 1, 0, -1)]
        raised = [_raised(found, factor) for found, factor in zip(scales, factors, strict=False)]
        merged = self.merge(torch.cat([*raised, scales[-1]], dim=1))
        logits: Tensor = self.head(self.ups(merged))
        return logits


def channels_back(features: Tensor) -> Tensor:  # (B, C, H, W) -> (B, H, W, C)
    """Channels as the last axis, as linear layers take them."""
    return features.permute(0, 2, 3, 1)


def channels_front(features: Tensor) -> Tensor:  # (B, H, W, C) -> (B, C, H, W)
    """Channels as the second axis, as convolutions take them."""
    return features.permute(0, 3, 1, 2)


def _raised(features: Tensor, factor: float) -> Tensor:
    return F.interpolate(features, scale_factor=factor, mode="bilinear", align_corners=False)
