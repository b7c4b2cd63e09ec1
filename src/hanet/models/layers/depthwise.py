"""Depthwise convolutions whose gradients stay cheap in mixed precision.

In bfloat16 torch has no fast gradient of a depthwise convolution on the CPU: with 5x5 kernels that
of the weights, with stride 2 that of the features takes 5 to 50 times as long as in float32 (torch
2.13, a Xeon with AMX, 2026-11), more than all the rest of a training step of ``hanet_lite``. So the
convolution itself is computed in bfloat16 and its gradients in float32.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class DepthwiseConv2d(nn.Conv2d):
    """``nn.Conv2d`` that filters each channel by itself; under autocast on the CPU with gradients
    in float32.

    Args:
        channels: Channels in and out.
        kernel: Side of the kernel, odd.
        stride: Step in rows and columns.
        dilation: Distance of the kernel's positions.
        bias: Whether a bias is added.
    """

    def __init__(
        self, channels: int, kernel: int, *, stride: int = 1, dilation: int = 1, bias: bool = True
    ) -> None:
        padding = dilation * (kernel // 2)
        super().__init__(
            channels, channels, kernel, stride, padding, dilation, groups=channels, bias=bias
        )

    def forward(self, features: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C, H / stride, W / stride)
        """The convolution."""
        if features.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return super().forward(features)
        kind = torch.get_autocast_dtype("cpu")
        bias = None if self.bias is None else self.bias.to(kind)
        with torch.autocast("cpu", enabled=False):
            result: Tensor = _Depthwise.apply(  # type: ignore[no-untyped-call]
                features.to(kind), self.weight.to(kind), bias, self.stride[0], self.dilation[0]
            )
        return result


class _Depthwise(torch.autograd.Function):
    """A depthwise convolution in the precision of its arguments, its gradients computed in
    float32."""

    @staticmethod
    def forward(
        context: Any,
        features: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: int,
        dilation: int,
    ) -> Tensor:
        context.save_for_backward(features, weight)
        context.stride, context.dilation = stride, dilation
        padding = dilation * (weight.shape[-1] // 2)
        return F.conv2d(features, weight, bias, stride, padding, dilation, features.shape[1])

    @staticmethod
    @once_differentiable
    def backward(
        context: Any, gradient: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None]:
        features, weight = context.saved_tensors
        stride, dilation = context.stride, context.dilation
        padding = dilation * (weight.shape[-1] // 2)
        results: tuple[Tensor | None, ...] = torch.ops.aten.convolution_backward(
            gradient.float(),
            features.float(),
            weight.float(),
            [weight.shape[0]],
            [stride, stride],
            [padding, padding],
            [dilation, dilation],
            False,
            [0, 0],
            features.shape[1],
            list(context.needs_input_grad[:3]),
        )
        of_features, of_weight, of_bias = (
            None if g is None else g.to(features.dtype) for g in results
        )
        return of_features, of_weight, of_bias, None, None
