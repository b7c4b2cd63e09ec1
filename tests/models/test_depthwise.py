"""Depthwise convolutions: one function in float32, and gradients under autocast that bfloat16's own
error explains."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hanet.models.layers.depthwise import DepthwiseConv2d

CASES = [(3, 1, 1), (3, 2, 1), (5, 1, 1), (5, 2, 1), (3, 1, 2), (3, 1, 3), (3, 1, 4)]
"""Kernel, stride, dilation: what the encoder and the parallel convolutions use."""


def plain(layer: DepthwiseConv2d) -> nn.Conv2d:
    twin = nn.Conv2d(
        layer.in_channels, layer.out_channels, layer.kernel_size[0], layer.stride[0], layer.padding[0], layer.dilation[0],
        groups=layer.groups, bias=layer.bias is not None,
    )  # fmt: skip
    twin.load_state_dict(layer.state_dict())
    return twin


def gradients(layer: nn.Module, image: torch.Tensor, upstream: torch.Tensor) -> list[torch.Tensor]:
    features = image.clone().requires_grad_()
    (layer(features).float() * upstream).sum().backward()
    assert features.grad is not None
    found = [features.grad, *(p.grad for p in layer.parameters())]
    return [g for g in found if g is not None]


@pytest.mark.parametrize(("kernel", "stride", "dilation"), CASES)
@pytest.mark.parametrize("bias", [True, False])
def test_without_autocast_it_is_the_convolution_of_torch(
    kernel: int, stride: int, dilation: int, bias: bool
) -> None:
    layer = DepthwiseConv2d(12, kernel, stride=stride, dilation=dilation, bias=bias)
    image = torch.randn(2, 12, 17, 20)
    assert torch.equal(layer(image), plain(layer)(image))


@pytest.mark.parametrize(("kernel", "stride", "dilation"), CASES)
@pytest.mark.parametrize("bias", [True, False])
def test_gradients_under_autocast(kernel: int, stride: int, dilation: int, bias: bool) -> None:
    torch.manual_seed(kernel)
    layer = DepthwiseConv2d(12, kernel, stride=stride, dilation=dilation, bias=bias)
    image = torch.randn(2, 12, 17, 20).to(memory_format=torch.channels_last)
    upstream = torch.randn_like(layer(image))
    exact = gradients(plain(layer), image, upstream)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(image).dtype == torch.bfloat16
        mixed = gradients(layer, image, upstream)
    assert len(mixed) == len(exact) == (3 if bias else 2)
    for rough, true in zip(mixed, exact, strict=True):
        assert rough.shape == true.shape
        assert rough.dtype == torch.float32
        assert (rough - true).abs().max() < 0.02 * true.abs().max()


def test_what_is_frozen_gets_no_gradient() -> None:
    layer = DepthwiseConv2d(4, 3)
    layer.weight.requires_grad_(False)
    with torch.autocast("cpu", torch.bfloat16):
        layer(torch.randn(1, 4, 8, 8, requires_grad=True)).float().sum().backward()
    assert layer.weight.grad is None
    assert layer.bias is not None
    assert layer.bias.grad is not None
