"""FC-EF, FC-Siam-conc and FC-Siam-diff: the small fully convolutional baselines.

Daudt, Le Saux, Boulch: Fully Convolutional Siamese Networks for Change Detection, ICIP 2018. A
U-Net of 16, 32, 64 and 128 channels with max pooling. The three differ in where the dates meet
only: FC-EF stacks the two images and has one encoder; the Siamese two share an encoder's weights
and hand both dates' features (conc) or their absolute difference (diff) to the decoder.

As in the authors' code: every convolution but the last is followed by batch normalisation, ReLU and
dropout of whole channels (0.2); the Siamese decoders start from the after image's coarsest
features; the decoder upsamples by 3x3 transposed convolutions of stride 2. What differs: the
decoder's transposed convolutions of stride 1 are written as the plain convolutions that they are;
the output is logits, its softmax belongs to the loss; sizes that 16 does not divide are padded at
the input, not inside the decoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hanet.models.contract import ChangeModel

CHANNELS = (16, 32, 64, 128)
"""Channels of the encoder's four levels."""

CONVOLUTIONS = (2, 2, 3, 3)
"""Convolutions in each of them."""

DROPOUT = 0.2
"""Probability of dropping a channel after each convolution."""

HEAD = (f"decoder.levels.0.{CONVOLUTIONS[0] - 1}",)
"""The last convolution, which gives the logits."""

TOP_DOWN = ("decoder",)
"""The way from coarse to fine; the last convolution is part of it."""

_PAPER = (
    "Daudt et al., Fully Convolutional Siamese Networks for Change Detection, ICIP 2018, "
    "arXiv 1810.08462"
)


class ConvUnit(nn.Sequential):
    """Convolution 3x3, batch normalisation, ReLU, dropout of whole channels."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, padding=1),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Dropout2d(DROPOUT),
        )


class Encoder(nn.Module):
    """Four levels of convolutions, each followed by max pooling.

    Args:
        inputs: Channels of the image or of the stacked images.
    """

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList()
        for channels, convolutions in zip(CHANNELS, CONVOLUTIONS, strict=True):
            units = [
                ConvUnit(inputs if index == 0 else channels, channels)
                for index in range(convolutions)
            ]
            self.levels.append(nn.Sequential(*units))
            inputs = channels

    def forward(self, image: Tensor) -> tuple[list[Tensor], Tensor]:
        # (B, C, H, W) -> four of (B, C_m, H / 2**m, W / 2**m), and (B, 128, H / 16, W / 16)
        """The features of each level before its pooling, the finest first, and the coarsest after
        pooling."""
        features = image
        skips = []
        for level in self.levels:
            skips.append(level(features))
            features = F.max_pool2d(skips[-1], 2)
        return skips, features


class Decoder(nn.Module):
    """From coarse to fine: upsample, concatenate with the level's skip features, convolve.

    Args:
        dates: How often a level's channels come in its skip features: 2 where both dates are handed
            over, else 1.
    """

    def __init__(self, dates: int) -> None:
        super().__init__()
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(channels, channels, 3, stride=2, padding=1, output_padding=1)
            for channels in CHANNELS
        )
        self.levels = nn.ModuleList()
        for index, (channels, convolutions) in enumerate(zip(CHANNELS, CONVOLUTIONS, strict=True)):
            units: list[nn.Module] = [ConvUnit((1 + dates) * channels, channels)]
            units += [ConvUnit(channels, channels) for _ in range(convolutions - 2)]
            units += [
                ConvUnit(channels, CHANNELS[index - 1])
                if index
                else nn.Conv2d(channels, 2, 3, padding=1)
            ]
            self.levels.append(nn.Sequential(*units))

    def forward(self, skips: Sequence[Tensor], coarsest: Tensor) -> Tensor:  # -> (B, 2, H, W)
        """Logits from the skip features, the finest first, and the coarsest features."""
        features = coarsest
        for level, up, skip in zip(
            reversed(self.levels), reversed(self.ups), reversed(skips), strict=True
        ):
            features = level(torch.cat([up(features), skip], dim=1))
        return features


class FCEF(ChangeModel):
    """Early fusion: a U-Net on the two images stacked; 1.35 M parameters.

    Args:
        bands: Bands of each image.
    """

    divisor: ClassVar[int] = 16
    min_size_px: ClassVar[int] = 16
    gmac_per_megapixel: float = 47.2
    paper: ClassVar[str] = _PAPER
    head_modules: ClassVar[tuple[str, ...]] = HEAD
    top_down_modules: ClassVar[tuple[str, ...]] = TOP_DOWN
    name: ClassVar[str] = "fc_ef"

    def __init__(self, *, bands: int = 3) -> None:
        super().__init__(bands=bands)
        self.encoder = Encoder(2 * bands)
        self.decoder = Decoder(dates=1)

    def logits_of_padded(
        self, before: Tensor, after: Tensor
    ) -> Tensor:  # (B, C, H, W) twice -> (B, 2, H, W)
        """Logits of images whose height and width 16 divides."""
        logits: Tensor = self.decoder(*self.encoder(torch.cat([before, after], dim=1)))
        return logits


class FCSiamConc(ChangeModel):
    """Siamese encoder, both dates' features concatenated in the decoder; 1.55 M parameters.

    Args:
        bands: Bands of each image.
    """

    divisor: ClassVar[int] = 16
    min_size_px: ClassVar[int] = 16
    gmac_per_megapixel: float = 73.7
    paper: ClassVar[str] = _PAPER
    head_modules: ClassVar[tuple[str, ...]] = HEAD
    top_down_modules: ClassVar[tuple[str, ...]] = TOP_DOWN
    name: ClassVar[str] = "fc_siam_conc"

    def __init__(self, *, bands: int = 3) -> None:
        super().__init__(bands=bands)
        self.encoder = Encoder(bands)
        self.decoder = Decoder(dates=2)

    def logits_of_padded(
        self, before: Tensor, after: Tensor
    ) -> Tensor:  # (B, C, H, W) twice -> (B, 2, H, W)
        """Logits of images whose height and width 16 divides."""
        skips_before, _ = self.encoder(before)
        skips_after, coarsest = self.encoder(after)
        skips = [torch.cat(pair, dim=1) for pair in zip(skips_before, skips_after, strict=True)]
        logits: Tensor = self.decoder(skips, coarsest)
        return logits


class FCSiamDiff(ChangeModel):
    """Siamese encoder, the absolute difference of both dates' features in the decoder; 1.35 M
    parameters.

    Args:
        bands: Bands of each image.
    """

    divisor: ClassVar[int] = 16
    min_size_px: ClassVar[int] = 16
    gmac_per_megapixel: float = 64.5
    paper: ClassVar[str] = _PAPER
    head_modules: ClassVar[tuple[str, ...]] = HEAD
    top_down_modules: ClassVar[tuple[str, ...]] = TOP_DOWN
    name: ClassVar[str] = "fc_siam_diff"

    def __init__(self, *, bands: int = 3) -> None:
        super().__init__(bands=bands)
        self.encoder = Encoder(bands)
        self.decoder = Decoder(dates=1)

    def logits_of_padded(
        self, before: Tensor, after: Tensor
    ) -> Tensor:  # (B, C, H, W) twice -> (B, 2, H, W)
        """Logits of images whose height and width 16 divides."""
        skips_before, _ = self.encoder(before)
        skips_after, coarsest = self.encoder(after)
        skips = [(old - new).abs() for old, new in zip(skips_before, skips_after, strict=True)]
        logits: Tensor = self.decoder(skips, coarsest)
        return logits
