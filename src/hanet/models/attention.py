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

    ``softmax(q k)`` over the line, times the values, times ``gamma``, plus the input; query, key and value are 1x1 convolutions with bias.
    It is computed with half of the projections, and gives the same function and gradients:

    - ``q_i k_j`` is ``(K^T (Q x_i + q)) x_j`` plus ``(Q x_i + q) k``, which is the same for every j, so the softmax drops it. One product
      with ``K^T Q`` is left, and the input itself serves as key;
    - the weights of a softmax sum to 1, so the value projection can come after the weighted sum, with ``gamma`` in it.

    The fused kernel never holds the scores of a whole image: memory grows with the pixels, work with the pixels times the length of a line.

    Args:
        channels: Channels in and out.
    """

    lines_axis: ClassVar[int]
    """Axis of (B, H, W, C) that counts the lines."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, channels, 1)
        self.key = nn.Conv2d(channels, channels, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, features: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C, H, W)
        """The features plus ``gamma`` times what each pixel took from its line."""
        query, query_bias, value, value_bias = self.projections()
        lines = features.permute(0, 2, 3, 1).transpose(1, self.lines_axis)  # (B, lines, positions, C)
        attended = attend(F.linear(lines, query, query_bias), lines)
        taken = F.linear(attended, value, value_bias).transpose(1, self.lines_axis).permute(0, 3, 1, 2)
        return features + taken

    def projections(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Weight (C, C) and bias (C) of the query whose key is the input, then of the value behind the sum, ``gamma`` in them."""
        query, key, value = (layer.weight.flatten(1) for layer in (self.query, self.key, self.value))
        query_bias, value_bias = self.query.bias, self.value.bias
        assert query_bias is not None
        assert value_bias is not None
        assert self.key.bias is not None
        # the softmax drops the key's bias: its gradient is 0, not absent, so that weight decay reaches it as it does in the plain form
        value_bias = value_bias + 0.0 * self.key.bias
        return key.t() @ query, query_bias @ key, self.gamma * value, self.gamma * value_bias


class ColumnAttention(AxialAttention):
    """Attention over the positions of the same column."""

    lines_axis = 2


class RowAttention(AxialAttention):
    """Attention over the positions of the same row."""

    lines_axis = 1


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
        # softmax(row maximum - energy) is softmax(-energy); and gamma * (attention x) + x is one product
        own = torch.eye(energy.shape[-1], dtype=energy.dtype, device=energy.device)
        mixing = self.gamma * F.softmax(-energy, dim=-1) + own
        if features.is_contiguous(memory_format=torch.channels_last):  # and stays so
            mixed = (channels.transpose(1, 2) @ mixing.transpose(1, 2)).transpose(1, 2)
        else:
            mixed = mixing @ channels
        return mixed.view_as(features)


def attend(query: Tensor, lines: Tensor) -> Tensor:  # (B, lines, positions, C) twice -> the same
    """Weighted sums of the positions of each line, the softmax of their products with the query being the weights."""
    if torch.onnx.is_in_onnx_export():  # the exporter would scale query and key for nothing
        return F.softmax(query @ lines.transpose(-1, -2), dim=-1) @ lines
    return F.scaled_dot_product_attention(query, lines, lines, scale=1.0)
