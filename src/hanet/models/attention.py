"""The three attentions of HANet (Han et al. 2023): over the positions of a column, of a row, and over channels.

Each adds to its input what it attended to, times a learned scalar ``gamma`` that starts at 0: a new network begins as if
they were not there. None divides its scores by the square root of the channels, as the paper's do not either.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class AxialAttention(nn.Module):
    """Attention of every pixel to the pixels of its own line; the subclass says which lines.

    ``softmax(q k)`` over the line, times the values, times ``gamma``, plus the input. The three projections are 1x1
    convolutions with bias. The fused kernel never holds the scores of a whole image: memory grows with the pixels, work
    with the pixels times the length of a line.

    Args:
        channels: Channels in and out.
    """

    to_lines: ClassVar[tuple[int, int, int, int]]
    """The permutation from (B, C, H, W) to (B, lines, positions, C)."""
    to_image: ClassVar[tuple[int, int, int, int]]
    """The permutation back."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, channels, 1)
        self.key = nn.Conv2d(channels, channels, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, features: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C, H, W)
        """The features plus ``gamma`` times what each pixel took from its line."""
        query, key, value = (
            projection(features).permute(self.to_lines) for projection in (self.query, self.key, self.value)
        )
        attended = F.scaled_dot_product_attention(query, key, value, scale=1.0)
        return self.gamma * attended.permute(self.to_image) + features


class ColumnAttention(AxialAttention):
    """Attention over the positions of the same column."""

    to_lines = (0, 3, 2, 1)
    to_image = (0, 3, 2, 1)


class RowAttention(AxialAttention):
    """Attention over the positions of the same row."""

    to_lines = (0, 2, 3, 1)
    to_image = (0, 3, 1, 2)


class ChannelAttention(nn.Module):
    """Attention of every channel to the channels that resemble it least.

    The energy of two channels is their product summed over all positions; the softmax runs over (row maximum - energy).
    The energies grow with the number of pixels, so the result depends on the size of the image.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, features: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C, H, W)
        """The features plus ``gamma`` times what each channel took from the others."""
        channels = features.flatten(2)  # (B, C, H * W)
        energy = channels @ channels.transpose(1, 2)  # (B, C, C)
        attention = F.softmax(energy.amax(dim=-1, keepdim=True) - energy, dim=-1)
        return self.gamma * (attention @ channels).view_as(features) + features
