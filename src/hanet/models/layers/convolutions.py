"""Convolutions in the forms that a CPU does fast, in training too; each is the same function as the
plain form it stands for.

Two things are slow in torch on a CPU (torch 2.13 with oneDNN 3.12, EPYC with AVX2, 2026-11): a 1x1
convolution, which takes a path without oneDNN, and the gradient of the weights of a dilated grouped
convolution, for which oneDNN has no kernel of its own and falls back to unfolding. The functions
here go around both; parameters keep their names and shapes.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from hanet.models.layers.precision import multiplies_in_bfloat16

GROUPS_AS_ONE = 4
"""Neighbouring groups of a grouped convolution computed as one: 16 channels in and 8 out, the width
of an AVX2 register.

Measured over the four scales of HANet: 1 takes x1.4-1.8 the time forward, 2 x1.2, 5 x1.4 (2026-11).
"""

GROUPS_AS_ONE_IN_BFLOAT16 = 8
"""The same in bfloat16, where it is the most: what divides both it and the groups is taken.

At 40 groups, 64 px and batch 8 the gradient of the weights takes 105 ms with 1, 10 with 4, 6 with 8
(AMX, 2026-11).
"""


def pointwise(features: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A 1x1 convolution: a matrix product over the channels of every pixel.

    Args:
        features: (B, C, H, W), best in channels-last memory, of which no copy is made then.
        weight: (C', C) or (C', C, 1, 1).
        bias: (C').

    Returns:
        (B, C', H, W), in channels-last memory.
    """
    if torch.onnx.is_in_onnx_export():  # ONNX Runtime is fast at it as it stands
        return F.conv2d(features, weight.flatten(1)[:, :, None, None], bias)
    return F.linear(features.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)


class DilatedConv2d(nn.Conv2d):
    """A grouped, dilated 3x3 convolution that keeps the size, in the form whose gradients are cheap
    too.

    Neighbouring groups are computed as one, with zeros where a channel does not see another; the
    gradient of the weights is taken on the ``dilation ** 2`` interleaved images in which the
    convolution is an ordinary one. On other devices it is ``nn.Conv2d``.

    Autocast is obeyed only where :func:`hanet.models.layers.precision.multiplies_in_bfloat16`:
    there oneDNN has kernels for all gradients of the merged groups. Elsewhere grouped convolutions
    of dilation 3 and 4 in bfloat16 and channels-last memory gave NaN gradients, and once a crash
    (torch 2.13, 2026-11; docs/concepts/sources.md, section 6); there it stays in float32.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        dilation: Distance of the kernel's positions, and the padding.
        groups: Groups of channels that do not see each other.
    """

    def __init__(self, inputs: int, outputs: int, *, dilation: int, groups: int) -> None:
        super().__init__(inputs, outputs, 3, padding=dilation, dilation=dilation, groups=groups)

    def forward(self, features: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C', H, W)
        """The convolution."""
        if multiplies_in_bfloat16(features.device):
            weight, groups = self._merged(math.gcd(self.groups, GROUPS_AS_ONE_IN_BFLOAT16))
            return F.conv2d(features, weight, self.bias, 1, self.padding, self.dilation, groups)
        with torch.autocast(features.device.type, enabled=False):
            features = features.to(self.weight.dtype)
            if features.device.type != "cpu":
                return super().forward(features)
            weight, _ = self._merged(largest_divisor(self.groups, GROUPS_AS_ONE))
            result: Tensor = _Dilated.apply(features, weight, self.bias, self.dilation[0])  # type: ignore[no-untyped-call]
            return result

    def _merged(self, count: int) -> tuple[Tensor, int]:
        return groups_as_one(self.weight, self.groups, count), self.groups // count


class PReLU(nn.PReLU):
    """A PReLU of one slope whose gradients take a third of the time of torch's own on a CPU in
    bfloat16, half in float32 (2026-11)."""

    def __init__(self) -> None:
        super().__init__(1)

    def forward(self, features: Tensor) -> Tensor:
        """The features, those below zero times the slope."""
        result: Tensor = _OneSlope.apply(features, self.weight)  # type: ignore[no-untyped-call]
        return result


class _OneSlope(torch.autograd.Function):
    """A leaky ReLU, with a gradient for its slope."""

    @staticmethod
    def forward(context: Any, features: Tensor, slope: Tensor) -> Tensor:
        context.save_for_backward(features, slope)
        return F.leaky_relu(features, slope.item())

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        features, slope = context.saved_tensors
        of_features = torch.ops.aten.leaky_relu_backward(gradient, features, slope.item(), False)
        of_slope = (gradient * features.clamp(max=0)).sum(dtype=slope.dtype)
        return of_features, of_slope.view_as(slope)


def groups_as_one(
    weight: Tensor, groups: int, count: int
) -> Tensor:  # (C', C / groups, k, k) -> (C', C count / groups, k, k)
    """The kernel of a grouped convolution with ``count`` neighbouring groups put into one, zeros
    between them.

    Example:
        >>> groups_as_one(torch.ones(2, 1, 1, 1), groups=2, count=2)[:, :, 0, 0]
        tensor([[1., 0.],
                [0., 1.]])
    """
    if count == 1:
        return weight
    outputs, inputs, *kernel = weight.shape
    blocks = weight.reshape(groups // count, count, outputs // groups, 1, inputs, *kernel)
    own = torch.eye(count, dtype=weight.dtype, device=weight.device).view(
        1, count, 1, count, 1, 1, 1
    )
    return (blocks * own).reshape(outputs, count * inputs, *kernel)


def largest_divisor(number: int, limit: int) -> int:
    """The largest divisor of a number that is not above the limit.

    Example:
        >>> largest_divisor(10, 4)
        2
    """
    return next(divisor for divisor in range(limit, 0, -1) if number % divisor == 0)


def phases(
    features: Tensor, dilation: int
) -> Tensor:  # (B, C, H, W) -> (B d d, C, ceil(H / d), ceil(W / d))
    """The ``d * d`` images that a dilated convolution sees apart from each other: every d-th row
    and column, zeros at the end.

    Example:
        >>> phases(torch.arange(4.0).view(1, 1, 2, 2), 2).flatten()
        tensor([0., 1., 2., 3.])
    """
    if dilation == 1:
        return features
    batch, channels, height, width = features.shape
    rows, columns = -(-height // dilation), -(-width // dilation)
    pixels = features.permute(0, 2, 3, 1)
    if (rows * dilation, columns * dilation) != (height, width):
        pixels = F.pad(pixels, (0, 0, 0, columns * dilation - width, 0, rows * dilation - height))
    pixels = pixels.reshape(batch, rows, dilation, columns, dilation, channels).permute(
        0, 2, 4, 1, 3, 5
    )
    return pixels.reshape(-1, rows, columns, channels).permute(0, 3, 1, 2)


class _Dilated(torch.autograd.Function):
    """A dilated convolution; the number of groups follows from the shapes."""

    @staticmethod
    def forward(
        context: Any, features: Tensor, weight: Tensor, bias: Tensor | None, dilation: int
    ) -> Tensor:
        context.save_for_backward(features, weight)
        context.dilation = dilation
        return F.conv2d(
            features, weight, bias, 1, dilation, dilation, features.shape[1] // weight.shape[1]
        )

    @staticmethod
    @once_differentiable
    def backward(
        context: Any, gradient: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        features, weight = context.saved_tensors
        dilation: int = context.dilation
        of_features, of_weight = None, None
        if context.needs_input_grad[0]:
            of_features = _gradient("features", gradient, features, weight, dilation)
        if context.needs_input_grad[1]:
            of_weight = _gradient(
                "weight", phases(gradient, dilation), phases(features, dilation), weight, 1
            )
        of_bias = gradient.sum((0, 2, 3)) if context.needs_input_grad[2] else None
        return of_features, of_weight, of_bias, None


def _gradient(
    of: Literal["features", "weight"],
    gradient: Tensor,
    features: Tensor,
    weight: Tensor,
    dilation: int,
) -> Tensor:
    """torch's own gradient of a 3x3 convolution that keeps the size."""
    around, groups = [dilation, dilation], features.shape[1] // weight.shape[1]
    wanted = [of == "features", of == "weight", False]
    results: tuple[Tensor, ...] = torch.ops.aten.convolution_backward(
        gradient, features, weight, None, [1, 1], around, around, False, [0, 0], groups, wanted
    )
    return results[wanted.index(True)]
