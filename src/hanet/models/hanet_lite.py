"""HANet-lite: the hierarchical attention of HANet on a small pretrained encoder.

The paper ends by proposing to carry the HAN module to other networks; this is that, built for a
laptop's CPU. What differs from HANet (Han et al. 2023, see ``hanet.py``):

- the encoder is EfficientNet-Lite0 (on request Lite1 or Lite2, deeper and wider) at strides 2, 4,
  8, 16 instead of a full-resolution encoder from nothing;
- a scale's input is both dates' features and their absolute difference, brought to one width by a
  1x1 convolution;
- the parallel convolution structure is depthwise: a quarter of the channels at each of the
  dilations 1 to 4, mixed by a 1x1;
- column and row attention (as in the paper) at strides 4, 8 and 16; at stride 2 it would be half of
  all the work. The channel attention branch is left out: its energies grow with the size of the
  image, which ties results to the tile size;
- the top-down path adds instead of concatenating, with a 3x3 convolution at each step;
- the head works at stride 2 and shuffles four sub-pixels into each of its outputs;
- on request (``detail``), a few channels at full resolution see both images, their absolute
  difference and the decoder's features, and add a correction to the logits: outlines are drawn
  where the pixels are, not half a stride beside them;
- on request (``direction``), a second head says of a pixel which of the two dates shows a building
  there, from the encoder's features alone. Whatever it learns, the logits of change stay the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hanet.errors import SettingsError
from hanet.models.contract import ChangeModel
from hanet.models.efficientnet_lite import VARIANTS, EfficientNetLite
from hanet.models.layers.attention import ColumnAttention, RowAttention
from hanet.models.layers.depthwise import DepthwiseConv2d

DILATIONS = (1, 2, 3, 4)
"""Dilations of the parallel convolution structure, as in HANet."""


class ConvNormReLU(nn.Sequential):
    """Convolution without bias, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class DepthwiseParallelConvolutions(nn.Module):
    """HANet's parallel convolution structure, one quarter of the channels a dilation, with a
    residual connection.

    Args:
        channels: Channels in and out; four must divide it.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.quarter = channels // len(DILATIONS)
        self.branches = nn.ModuleList(
            DepthwiseConv2d(self.quarter, 3, dilation=dilation, bias=False)
            for dilation in DILATIONS
        )
        self.norm = nn.BatchNorm2d(channels)
        self.mix = nn.Conv2d(channels, channels, 1, bias=False)
        self.mix_norm = nn.BatchNorm2d(channels)

    def forward(self, features: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C, H, W)
        """The features with their surroundings mixed in."""
        parts = torch.split(features, self.quarter, dim=1)
        branches = zip(self.branches, parts, strict=True)
        spread = torch.cat([branch(part) for branch, part in branches], dim=1)
        mixed = self.mix_norm(self.mix(F.relu(self.norm(spread))))
        return F.relu(features + mixed)


class LiteHAN(nn.Module):
    """The HAN module of one scale: both dates and their difference, parallel convolutions,
    column-row attention.

    Args:
        inputs: Channels of one date's features.
        channels: Channels out.
        attention: ``"column-row"``, or ``"none"`` for the finest scale.
    """

    def __init__(self, inputs: int, channels: int, *, attention: str) -> None:
        super().__init__()
        self.fuse = ConvNormReLU(3 * inputs, channels, 1)
        self.parallel = DepthwiseParallelConvolutions(channels)
        self.attention = (
            nn.Sequential(ColumnAttention(channels), RowAttention(channels))
            if attention == "column-row"
            else nn.Identity()
        )

    def forward(
        self, before: Tensor, after: Tensor
    ) -> Tensor:  # (B, C_in, H, W) twice -> (B, C, H, W)
        """Change features of the scale."""
        fused = self.fuse(torch.cat([before, after, (before - after).abs()], dim=1))
        attended: Tensor = self.attention(self.parallel(fused))
        return attended


class Refinement(nn.Module):
    """A 3x3 depthwise and a 1x1 convolution, each normalised, beside a residual connection.

    Args:
        channels: Channels in and out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.spread = DepthwiseConv2d(channels, 3, bias=False)
        self.spread_norm = nn.BatchNorm2d(channels)
        self.mix = nn.Conv2d(channels, channels, 1, bias=False)
        self.mix_norm = nn.BatchNorm2d(channels)

    def forward(self, features: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C, H, W)
        """The features, refined."""
        return F.relu(
            features + self.mix_norm(self.mix(F.relu(self.spread_norm(self.spread(features)))))
        )


class Detail(nn.Module):
    """A correction of the logits at full resolution, from both images, their absolute difference
    and the decoder's features.

    Args:
        bands: Bands of each image.
        decoded: Channels of the decoder's features, at stride 2.
        channels: Channels at full resolution.
    """

    def __init__(self, bands: int, decoded: int, channels: int) -> None:
        super().__init__()
        self.images = ConvNormReLU(3 * bands, channels, 3)
        self.narrow = nn.Conv2d(decoded, channels, 1)
        self.refine = nn.Sequential(Refinement(channels), Refinement(channels))
        self.head = nn.Conv2d(channels, 2, 3, padding=1)

    # (B, C, H, W) twice, (B, D, H/2, W/2)
    def forward(self, before: Tensor, after: Tensor, decoded: Tensor) -> Tensor:
        """What to add to the logits, (B, 2, H, W)."""
        images = self.images(torch.cat([before, after, (before - after).abs()], dim=1))
        # nearest: at full resolution, where memory is what costs, half the time of four sub-pixels
        # shuffled
        joined = F.relu(
            images + F.interpolate(self.narrow(decoded), scale_factor=2.0, mode="nearest")
        )
        correction: Tensor = self.head(self.refine(joined))
        return correction


class Direction(nn.Module):
    """Which date shows the building: how much each of them looks like one, and the difference.

    Both dates go through the same layers, so that exchanging them gives the negative, exactly.

    Args:
        features: Channels of one date's features at strides 4, 8 and 16.
        channels: Channels at stride 4.
    """

    def __init__(self, features: Sequence[int], channels: int) -> None:
        super().__init__()
        self.narrow = nn.ModuleList(nn.Conv2d(inputs, channels, 1) for inputs in features)
        self.norm = nn.BatchNorm2d(channels)
        self.refine = nn.Sequential(Refinement(channels), Refinement(channels))
        self.head = nn.Conv2d(channels, 1, 1, bias=False)  # a bias would be taken away again

    def forward(self, pyramid: list[Tensor]) -> Tensor:  # features of 2 B images -> (B, 1, H, W)
        """Logit of "built" against "demolished", from the encoder's features of before and after
        one behind the other in a batch."""
        fine, middle, coarse = (
            narrow(features) for narrow, features in zip(self.narrow, pyramid[1:], strict=True)
        )
        merged = middle + _enlarged(coarse, 2)
        merged = F.relu(self.norm(fine + _enlarged(merged, 2)))
        before, after = self.refine(merged).chunk(2)
        # the head is linear: the difference of features is half its work
        return _enlarged_fourfold(self.head(after - before))


def _enlarged_fourfold(values: Tensor) -> Tensor:  # (B, 1, H, W) -> (B, 1, 4 H, 4 W)
    """What :func:`_enlarged` gives of one channel, as a convolution with sixteen outputs that are
    shuffled: engines store channels in blocks of 16, and would interpolate 15 of nothing (a quarter
    of the head's time in ONNX Runtime, 2026-11)."""
    weights = values.new_tensor(
        [[0.375, 0.625, 0.0], [0.125, 0.875, 0.0], [0.0, 0.875, 0.125], [0.0, 0.625, 0.375]]
    )
    kernels = weights[:, None, :, None] * weights[None, :, None, :]  # (4, 4, 3, 3)
    around = F.pad(values, (1, 1, 1, 1), mode="replicate")
    return F.pixel_shuffle(F.conv2d(around, kernels.reshape(16, 1, 3, 3)), 4)


def _enlarged(features: Tensor, factor: int) -> Tensor:
    return F.interpolate(features, scale_factor=float(factor), mode="bilinear", align_corners=False)


class HANetLite(ChangeModel):
    """HANet's hierarchical attention on EfficientNet-Lite0; the default network of the package.

    Args:
        bands: Bands of each image.
        width: Channels of the HAN modules at strides 4, 8, 16; three quarters of it, down to a
            multiple of four, at stride 2. Eight must divide it.
        detail: Channels of the branch at full resolution; 0 leaves it out, as weights up to version
            0.3.0 do.
        direction: Channels of the head that tells built from demolished; 0 leaves it out.
        encoder: ``"lite0"``, or ``"lite1"`` or ``"lite2"`` for those who can wait
            (:data:`hanet.models.efficientnet_lite.VARIANTS`).
    """

    divisor: ClassVar[int] = 16
    min_size_px: ClassVar[int] = 32
    gmac_per_megapixel: float = 23.5
    paper: ClassVar[str] = (
        "HAN modules: Han et al., IEEE JSTARS 16, 2023, doi 10.1109/JSTARS.2023.3264802; "
        "encoder: Tan and Le, EfficientNet, ICML 2019 (Lite0)"
    )
    name: ClassVar[str] = "hanet_lite"
    head_modules: ClassVar[tuple[str, ...]] = ("head", "detail")
    top_down_modules: ClassVar[tuple[str, ...]] = ("top_down", "narrow")

    def __init__(
        self,
        *,
        bands: int = 3,
        width: int = 64,
        detail: int = 0,
        direction: int = 0,
        encoder: str = "lite0",
    ) -> None:
        super().__init__(bands=bands)
        if width < 8 or width % 8:
            raise SettingsError(f"width is {width}; hanet_lite needs a multiple of 8")
        for what, channels in (("detail", detail), ("direction", direction)):
            if channels < 0:
                raise SettingsError(
                    f"{what} is {channels}; hanet_lite needs a number of channels, or "
                    "0 for no such branch"
                )
        self.width = width
        fine = 3 * width // 16 * 4
        self.encoder = EfficientNetLite(encoder, bands=bands)
        finest, *coarser = self.encoder.feature_channels
        self.han_modules = nn.ModuleList(
            [LiteHAN(finest, fine, attention="none")]
            + [LiteHAN(channels, width, attention="column-row") for channels in coarser]
        )
        self.top_down = nn.ModuleList(
            [
                ConvNormReLU(fine, fine, 3),
                ConvNormReLU(width, width, 3),
                ConvNormReLU(width, width, 3),
            ]
        )
        self.narrow = nn.Conv2d(width, fine, 1)
        self.head = nn.Conv2d(fine, 2 * 4, 3, padding=1)
        self.detail = Detail(bands, fine, detail) if detail else None
        self.gmac_per_megapixel += VARIANTS[encoder].gmac_more
        # at every pixel: both images and their difference, the decoder, two refinements, the head
        self.gmac_per_megapixel += (129 * detail + 2 * detail**2) / 1000
        self.direction = Direction(coarser, direction) if direction else None
        # at stride 4, both dates: what comes from three scales, and two refinements
        self.gmac_per_megapixel += 2 * (54 * direction + 2 * direction**2) / 16 / 1000
        self._initialise()

    def _initialise(self) -> None:
        parts = (self.han_modules, self.top_down, self.narrow, self.detail, self.direction)
        for module in filter(None, parts):
            for layer in module.modules():
                if isinstance(layer, nn.Conv2d):
                    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                    if layer.bias is not None:
                        nn.init.zeros_(layer.bias)
        # the four sub-pixels start equal, so that the untrained head draws no checkerboard
        nn.init.normal_(self.head.weight, std=0.01)
        with torch.no_grad():
            self.head.weight.copy_(self.head.weight[::4].repeat_interleave(4, dim=0))
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)
        if self.detail is not None:
            # next to nothing at first, so that weights without the branch go on from where they are
            nn.init.normal_(self.detail.head.weight, std=0.001)
        if self.direction is not None:
            nn.init.normal_(self.direction.head.weight, std=0.01)

    def logits_of_padded(
        self, before: Tensor, after: Tensor
    ) -> Tensor:  # (B, C, H, W) twice -> (B, 2, H, W)
        """Logits of images whose height and width 16 divides."""
        return self._change_logits(before, after, self._pyramid(before, after))

    def logits_and_built_of_padded(
        self, before: Tensor, after: Tensor
    ) -> tuple[Tensor, Tensor]:  # (B, C, H, W) twice -> (B, 2, H, W), (B, 1, H, W)
        """See :meth:`hanet.models.contract.ChangeModel.logits_and_built_of_padded`."""
        pyramid = self._pyramid(before, after)
        return self._change_logits(before, after, pyramid), self._direction_head()(pyramid)

    def built_logit_of_padded(
        self, before: Tensor, after: Tensor
    ) -> Tensor:  # (B, C, H, W) twice -> (B, 1, H, W)
        """The second of :meth:`logits_and_built_of_padded` alone: the encoder and one head."""
        built: Tensor = self._direction_head()(self._pyramid(before, after))
        return built

    @property
    def tells_direction(self) -> bool:
        """Whether the network has the head for it."""
        return self.direction is not None

    def _direction_head(self) -> Direction:
        if self.direction is None:
            raise SettingsError(
                "this hanet_lite does not tell built from demolished",
                hint="it was made with direction = 0; take weights that have this head",
            )
        return self.direction

    def _pyramid(self, before: Tensor, after: Tensor) -> list[Tensor]:
        """Features of both dates, one behind the other in a batch, at strides 2, 4, 8, 16."""
        features: list[Tensor] = self.encoder(torch.cat([before, after]))
        return features

    def _change_logits(self, before: Tensor, after: Tensor, both: list[Tensor]) -> Tensor:
        changes = [
            han(*features.chunk(2)) for han, features in zip(self.han_modules, both, strict=True)
        ]  # strides 2, 4, 8, 16
        merged = changes[3]
        for scale in (2, 1, 0):
            if scale == 0:
                merged = self.narrow(merged)
            merged = F.interpolate(merged, scale_factor=2.0, mode="bilinear", align_corners=False)
            merged = self.top_down[scale](merged + changes[scale])
        logits = F.pixel_shuffle(self.head(merged), 2)
        return logits if self.detail is None else logits + self.detail(before, after, merged)
