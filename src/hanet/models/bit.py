"""BIT: few tokens stand for an image, a transformer relates those of both dates.

Chen, Qi, Shi: Remote Sensing Image Change Detection With Transformers, IEEE TGRS 60, 2022. A
ResNet-18 gives features at stride 4; four learned maps of attention gather them into four tokens a
date; a transformer encoder lets all eight look at each other; a decoder takes each pixel's features
and lets them look at the tokens of their date. The absolute difference of both dates, brought to
full resolution, is classified by two convolutions.

As in the authors' code (``base_transformer_pos_s4``): the third level keeps its size (stride 8),
features are upsampled before they are narrowed to 32 channels, attention is scaled by the width of
the tokens and not of a head, the position of tokens is learned, that of pixels is not given. What
differs: the parts of ResNet-18 that are not used are not there; the decoder's heads are 8 wide by
default, as in the weights that the authors released (``dedim8``), 64 on request, as in the paper's
table.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hanet.errors import SettingsError
from hanet.models.contract import ChangeModel
from hanet.models.layers.resnet import CHANNELS, ResNet18

WIDTH = 32
"""Channels of features and tokens."""

TOKENS = 4
"""Tokens a date."""

HEADS = 8
"""Heads of each attention."""

HIDDEN = 64
"""Of the perceptron after an attention."""

ENCODER_HEAD_WIDTH = 64

DECODER_DEPTH = 8


class Attention(nn.Module):
    """Multi-head attention of one sequence to another, or to itself.

    Args:
        head_width: Width of a head.
    """

    def __init__(self, head_width: int) -> None:
        super().__init__()
        inner = HEADS * head_width
        self.query = nn.Linear(WIDTH, inner, bias=False)
        self.key = nn.Linear(WIDTH, inner, bias=False)
        self.value = nn.Linear(WIDTH, inner, bias=False)
        self.out = nn.Linear(inner, WIDTH)

    def forward(self, asking: Tensor, asked: Tensor) -> Tensor:  # (B, N, D), (B, M, D) -> (B, N, D)
        """What each of the asking gathers from the asked."""
        query, key, value = (
            layer(sequence).unflatten(2, (HEADS, -1)).transpose(1, 2)
            for layer, sequence in (
                (self.query, asking),
                (self.key, asked),
                (self.value, asked),
            )
        )  # (B, heads, N or M, head width)
        weights = torch.softmax(query @ key.transpose(2, 3) * WIDTH**-0.5, dim=3)
        gathered: Tensor = self.out((weights @ value).transpose(1, 2).flatten(2))
        return gathered


class TransformerLayer(nn.Module):
    """Attention and a perceptron, each with layer normalisation before and its input added.

    Args:
        head_width: Width of a head.
    """

    def __init__(self, head_width: int) -> None:
        super().__init__()
        self.attention_norm, self.attention = nn.LayerNorm(WIDTH), Attention(head_width)
        self.perceptron_norm = nn.LayerNorm(WIDTH)
        self.perceptron = nn.Sequential(
            nn.Linear(WIDTH, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, WIDTH)
        )

    # (B, N, D), (B, M, D) or None -> (B, N, D)
    def forward(self, sequence: Tensor, memory: Tensor | None = None) -> Tensor:
        """The sequence after looking at ``memory``, or at itself."""
        asking = self.attention_norm(sequence)
        asked = asking if memory is None else self.attention_norm(memory)
        sequence = sequence + self.attention(asking, asked)
        refined: Tensor = sequence + self.perceptron(self.perceptron_norm(sequence))
        return refined


class BIT(ChangeModel):
    """Tokens and transformers on ResNet-18; 3.04 M parameters, 3.50 M with decoder heads of 64 (the
    paper's table: 3.55 M).

    Args:
        bands: Bands of each image.
        decoder_head_width: Width of the decoder's heads.
    """

    divisor: ClassVar[int] = 8
    min_size_px: ClassVar[int] = 16
    gmac_per_megapixel: float = 132.8
    paper: ClassVar[str] = (
        "Chen, Qi and Shi, Remote Sensing Image Change Detection With Transformers, IEEE TGRS 60, "
        "2022, doi 10.1109/TGRS.2021.3095166"
    )
    head_modules: ClassVar[tuple[str, ...]] = ("head",)
    top_down_modules: ClassVar[tuple[str, ...]] = ("decoder", "transformer")
    name: ClassVar[str] = "bit"

    def __init__(self, *, bands: int = 3, decoder_head_width: int = 8) -> None:
        super().__init__(bands=bands)
        if decoder_head_width < 1:
            raise SettingsError(f"decoder_head_width is {decoder_head_width}; bit needs at least 1")
        self.encoder = ResNet18(bands=bands, strides=(1, 2, 1))
        self.narrow = nn.Conv2d(CHANNELS[2], WIDTH, 3, padding=1)
        self.tokens = nn.Conv2d(WIDTH, TOKENS, 1, bias=False)
        self.position = nn.Parameter(torch.randn(1, 2 * TOKENS, WIDTH))
        self.transformer = TransformerLayer(ENCODER_HEAD_WIDTH)
        self.decoder = nn.ModuleList(
            TransformerLayer(decoder_head_width) for _ in range(DECODER_DEPTH)
        )
        self.head = nn.Sequential(
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False),
            nn.BatchNorm2d(WIDTH),
            nn.ReLU(inplace=True),
            nn.Conv2d(WIDTH, 2, 3, padding=1),
        )
        for part in (self.narrow, self.tokens, *self.head):
            if isinstance(part, nn.Conv2d):
                nn.init.normal_(part.weight, std=0.02)

    def logits_of_padded(
        self, before: Tensor, after: Tensor
    ) -> Tensor:  # (B, C, H, W) twice -> (B, 2, H, W)
        """Logits of images whose height and width 8 divides."""
        coarse = self.encoder(torch.cat([before, after]))[-1]
        features = self.narrow(F.interpolate(coarse, scale_factor=2.0, mode="nearest"))
        tokens = self._tokens(features)
        # both dates' tokens in one sequence, so that they look at each other
        related = self.transformer(torch.cat(tokens.chunk(2), dim=1) + self.position)
        memory = torch.cat(related.chunk(2, dim=1))
        pixels = features.flatten(2).transpose(1, 2)
        for layer in self.decoder:
            pixels = layer(pixels, memory)
        old, new = pixels.transpose(1, 2).reshape(features.shape).chunk(2)
        raised = F.interpolate(
            (old - new).abs(), scale_factor=4.0, mode="bilinear", align_corners=False
        )
        logits: Tensor = self.head(raised)
        return logits

    def _tokens(self, features: Tensor) -> Tensor:  # (B, D, H, W) -> (B, tokens, D)
        """Sums of features over the image, weighted by the attention of each token."""
        weights = torch.softmax(self.tokens(features).flatten(2), dim=2)
        return weights @ features.flatten(2).transpose(1, 2)
