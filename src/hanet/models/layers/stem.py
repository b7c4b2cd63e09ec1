"""The two first convolutions of HANet's encoder as one: nothing stands between the 5x5 stem and the
first 3x3, so they are a 7x7.

They differ in one place. The plain form pads the map between them with zeros, where the 7x7 takes
what the stem would have given outside the image. Only the outermost pixels see that; what they
see too much is computed for the ring of one pixel around the image, and subtracted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def first_convolutions(
    stem: nn.Conv2d, second: nn.Conv2d, image: Tensor
) -> Tensor:  # (B, C, H, W) -> (B, C', H, W)
    """``second(stem(image))``, computed as one convolution."""
    weight, bias = merged_kernel(stem, second)
    whole = F.conv2d(image, weight, bias, padding=3)
    borders = surplus(image, stem.weight, stem.bias, second.weight)
    result: Tensor = _SubtractBorders.apply(whole, *borders)  # type: ignore[no-untyped-call]
    return result


def merged_kernel(stem: nn.Conv2d, second: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Weight (C', C, 7, 7) and bias (C') of the 5x5 ``stem`` followed by the 3x3 ``second``."""
    assert stem.bias is not None
    assert second.bias is not None
    weight = F.conv2d(stem.weight.transpose(0, 1), second.weight.flip(2, 3), padding=2).transpose(
        0, 1
    )
    return weight, second.bias + second.weight.sum((2, 3)) @ stem.bias


def surplus(
    image: Tensor, stem: Tensor, stem_bias: Tensor | None, second: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What the 7x7 gives too much in the first row, the last row (B, C', 1, W), the first column
    and the last column (B, C', H, 1).

    The corners of the ring count with the rows.

    Args:
        image: (B, C, H, W).
        stem: Weight of the 5x5, (M, C, 5, 5).
        stem_bias: Its bias, (M).
        second: Weight of the 3x3, (C', M, 3, 3).
    """

    def ring(strip: Tensor, padding: Sequence[int]) -> Tensor:
        return F.conv2d(F.pad(strip, padding), stem, stem_bias)

    return (
        F.conv2d(ring(image[:, :, :2], (3, 3, 3, 0)), second[:, :, :1]),
        F.conv2d(ring(image[:, :, -2:], (3, 3, 0, 3)), second[:, :, 2:]),
        F.conv2d(ring(image[..., :2], (3, 0, 2, 2)), second[..., :1], padding=(1, 0)),
        F.conv2d(ring(image[..., -2:], (0, 3, 2, 2)), second[..., 2:], padding=(1, 0)),
    )


class _SubtractBorders(torch.autograd.Function):
    """Subtracts rows and columns in place: autograd's own way would copy the whole gradient once
    for each."""

    @staticmethod
    def forward(
        context: Any,
        features: Tensor,
        first_row: Tensor,
        last_row: Tensor,
        first_column: Tensor,
        last_column: Tensor,
    ) -> Tensor:
        context.mark_dirty(features)
        features[:, :, :1] -= first_row
        features[:, :, -1:] -= last_row
        features[..., :1] -= first_column
        features[..., -1:] -= last_column
        return features

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, ...]:  # noqa: ARG004
        rows = -gradient[:, :, :1], -gradient[:, :, -1:]
        return gradient, *rows, -gradient[..., :1], -gradient[..., -1:]
