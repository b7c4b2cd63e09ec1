"""Layers of a trained network as constants: batch normalisation into the convolution before it, or
into a gain and an offset."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ConstantConv2d(nn.Conv2d):
    """A convolution of stride 1 with given weights that do not learn.

    Args:
        weight: (C', C / groups, h, w).
        bias: (C'), or None.
        padding: Zeros at each side, one number or (rows, columns).
        dilation: Distance of the kernel's positions.
        groups: Groups of channels.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        *,
        padding: int | tuple[int, int] = 0,
        dilation: int = 1,
        groups: int = 1,
    ) -> None:
        outputs, inputs, height, width = weight.shape
        super().__init__(
            inputs * groups,
            outputs,
            (height, width),
            padding=padding,
            dilation=dilation,
            groups=groups,
            bias=bias is not None,
            device="meta",
        )
        self.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
        if bias is not None:
            self.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)


def with_norm(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> ConstantConv2d:
    """A convolution of stride 1 and the normalisation behind it, in evaluation mode, as one
    convolution."""
    gain, offset = gain_and_offset(norm)
    bias = offset if convolution.bias is None else offset + gain * convolution.bias
    weight = convolution.weight * gain.view(-1, 1, 1, 1)
    assert not isinstance(convolution.padding, str)
    rows, columns = convolution.padding
    return ConstantConv2d(
        weight,
        bias,
        padding=(rows, columns),
        dilation=convolution.dilation[0],
        groups=convolution.groups,
    )


@torch.no_grad()
def gain_and_offset(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """``norm(x)`` in evaluation mode is ``gain * x + offset``, each (C)."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return gain, norm.bias - norm.running_mean * gain
