"""The three attentions of HANet (Han et al. 2023): over the positions of a column, of a row, and
over channels.

Each adds to its input what it attended to, times a learned scalar ``gamma`` that starts at 0: a new
network begins as if they were not there. As in the paper, no attention divides its scores by
the square root of the channels.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from hanet.models.layers.precision import multiplies_in_bfloat16


class AxialAttention(nn.Module):
    """Attention of every pixel to the pixels of its own line; the subclass says which lines.

    ``softmax(q k)`` over the line, times the values, times ``gamma``, plus the input; query, key
    and value are 1x1 convolutions with bias. It is computed with half of the projections, and gives
    the same function and gradients:

    - ``q_i k_j`` is ``(K^T (Q x_i + q)) x_j`` plus ``(Q x_i + q) k``, which is the same for every
      j, so the softmax drops it. One product with ``K^T Q`` is left, and the input itself serves as
      key;
    - the weights of a softmax sum to 1, so the value projection can come after the weighted sum,
      with ``gamma`` in it.

    The fused kernel never holds the scores of a whole image: memory grows with the pixels, work
    with the pixels times the length of a line.

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
        pixels = channels_last(features)
        queries = F.linear(pixels, query, query_bias)
        attended = attend(
            queries.transpose(1, self.lines_axis), pixels.transpose(1, self.lines_axis)
        )
        attended = attended.transpose(1, self.lines_axis)
        return features + F.linear(attended, value, value_bias).permute(0, 3, 1, 2)

    def projections(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Weight (C, C) and bias (C) of the query whose key is the input, then of the value behind
        the sum, ``gamma`` in them."""
        query, key, value = (
            layer.weight.flatten(1) for layer in (self.query, self.key, self.value)
        )
        query_bias, value_bias = self.query.bias, self.value.bias
        assert query_bias is not None
        assert value_bias is not None
        assert self.key.bias is not None
        # the softmax drops the key's bias: its gradient is 0, not absent, so that weight decay
        # reaches it as it does in the plain form
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

    The energy of two channels is their product summed over all positions; the softmax runs over
    (row maximum - energy). The energies grow with the number of pixels, so the result depends on
    the size of the image.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, features: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C, H, W)
        """The features plus ``gamma`` times what each channel took from the others."""
        channels = features.flatten(2)  # (B, C, H * W)
        energy = channels @ channels.transpose(1, 2)  # (B, C, C)
        # softmax(row maximum - energy) is softmax(-energy); and gamma * (attention x) + x is one
        # product
        own = torch.eye(energy.shape[-1], dtype=energy.dtype, device=energy.device)
        mixing = self.gamma * F.softmax(-energy, dim=-1) + own
        if features.is_contiguous(memory_format=torch.channels_last):  # and stays so
            mixed = (channels.transpose(1, 2) @ mixing.transpose(1, 2)).transpose(1, 2)
        else:
            mixed = mixing @ channels
        return mixed.view_as(features)


LARGEST_FALL = 80.0
"""How far below the largest score of its line a score counts, in ONNX files.

A weight of e^-80 is 1e-35, nothing; below 1e-38 numbers are subnormal, and processors multiply
those up to seventeen times slower.
"""


def channels_last(features: Tensor) -> Tensor:  # (B, C, H, W) -> (B, H, W, C)
    """The features pixel by pixel; no copy where they lie so in memory already."""
    if torch.onnx.is_in_onnx_export():
        # ONNX Runtime would merge a permutation with the columns' transposition, and takes ten
        # times as long for both in one
        batch, channels, height, width = features.shape
        return features.flatten(2).transpose(1, 2).reshape(batch, height, width, channels)
    return features.permute(0, 2, 3, 1).contiguous()


def attend(query: Tensor, lines: Tensor) -> Tensor:  # (B, lines, positions, C) twice -> the same
    """Weighted sums of the positions of each line, the softmax of their products with the query
    being the weights."""
    if torch.onnx.is_in_onnx_export():  # the exporter would scale query and key for nothing
        scores = query @ lines.transpose(-1, -2)
        least = scores.amax(dim=-1, keepdim=True) - LARGEST_FALL
        return F.softmax(torch.maximum(scores, least), dim=-1) @ lines
    if multiplies_in_bfloat16(query.device):
        result: Tensor = _AttendInBfloat16.apply(query.bfloat16(), lines.bfloat16())  # type: ignore[no-untyped-call]
        return result
    return _fused(query, lines)


def _fused(query: Tensor, lines: Tensor) -> Tensor:
    """torch's kernel; its result lies in memory as (B, positions, lines, C), so lines that lie one
    after the other count as images."""
    if query.is_contiguous():
        shape, query, lines = (
            query.shape,
            query.flatten(0, 1)[:, None],
            lines.flatten(0, 1)[:, None],
        )
        return F.scaled_dot_product_attention(query, lines, lines, scale=1.0).view(shape)
    return F.scaled_dot_product_attention(query, lines, lines, scale=1.0)


SCORES_AT_ONCE = 2**19
"""Scores for which the gradients are computed in one go: 2 MB in float32, a core's second cache."""


class _AttendInBfloat16(torch.autograd.Function):
    """The fused kernel with gradients by matrix products, a quarter of the time of its own (lines
    of 128 positions, AMX, 2026-11).

    The weights are recomputed for a part of the lines at a time: nothing of the size of the
    scores is kept.
    """

    @staticmethod
    def forward(context: Any, query: Tensor, lines: Tensor) -> Tensor:
        context.save_for_backward(query, lines)
        return _fused(query, lines)

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        query, lines = context.saved_tensors
        of_query, of_lines = torch.empty_like(query), torch.empty_like(lines)
        count = max(1, SCORES_AT_ONCE // query.shape[2] ** 2)
        for image in zip(gradient, query, lines, of_query, of_lines, strict=True):
            for part in zip(*(tensor.split(count) for tensor in image), strict=True):
                _gradients_of_lines(*part)
        return of_query, of_lines


def _gradients_of_lines(
    gradient: Tensor, query: Tensor, lines: Tensor, of_query: Tensor, of_lines: Tensor
) -> None:
    """Writes the gradients of some lines, (lines, positions, C) each, into the last two."""
    gradient, query, lines = gradient.contiguous(), query.contiguous(), lines.contiguous()
    across = lines.transpose(1, 2)
    # in float32: the scores are not divided by the root of the channels and reach 100, where
    # bfloat16 counts in halves; the softmax would make a rounding of a quarter a factor of 1.3
    weights = F.softmax(query.float() @ across.float(), dim=-1).bfloat16()
    of_scores = torch.ops.aten._softmax_backward_data(
        gradient @ across, weights, -1, torch.bfloat16
    )
    of_query.copy_(of_scores @ lines)
    of_lines.copy_((weights.transpose(1, 2) @ gradient).baddbmm_(of_scores.transpose(1, 2), query))
