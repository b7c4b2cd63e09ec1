"""Convolutions in their fast forms agree with torch's own, gradients too."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from hanet.models.convolutions import DilatedConv2d, groups_as_one, phases, pointwise
from hanet.models.precision import convolve_in_full_precision


def _gradients(output: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    weight = torch.randn(output.shape, generator=torch.Generator().manual_seed(5), dtype=output.dtype)
    return torch.autograd.grad((output * weight).sum(), inputs)


def _plain(layer: DilatedConv2d, features: Tensor) -> Tensor:
    return nn.functional.conv2d(features, layer.weight, layer.bias, 1, layer.padding, layer.dilation, layer.groups)


@pytest.mark.parametrize("dilation", [1, 2, 3, 4])
@pytest.mark.parametrize(("height", "width"), [(12, 8), (7, 13), (3, 4)])
def test_dilated_groups_agree_with_torch(dilation: int, height: int, width: int) -> None:
    torch.manual_seed(0)
    layer = DilatedConv2d(24, 12, dilation=dilation, groups=6).double()
    features = torch.randn(2, 24, height, width, dtype=torch.float64, requires_grad=True)
    expected, found = _plain(layer, features), layer(features)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    parameters = (features, *layer.parameters())
    torch.testing.assert_close(_gradients(found, *parameters), _gradients(expected, *parameters), rtol=0, atol=1e-11)


def test_dilated_goes_without_gradients_where_none_is_needed() -> None:
    layer = DilatedConv2d(8, 4, dilation=2, groups=2).requires_grad_(False)
    features = torch.randn(1, 8, 6, 6, requires_grad=True)
    torch.testing.assert_close(_gradients(layer(features), features), _gradients(_plain(layer, features), features))


def test_phases_of_a_row_are_every_third_pixel_with_zeros_at_the_end() -> None:
    image = torch.tensor([[1.0, 2.0, 3.0, 4.0]])[None, None]
    assert phases(image, 3)[:3, 0, 0].tolist() == [[1.0, 4.0], [2.0, 0.0], [3.0, 0.0]]
    assert not phases(image, 3)[3:].any()


def test_groups_as_one_puts_zeros_where_a_channel_sees_no_other() -> None:
    weight = torch.arange(1.0, 9.0).view(4, 2, 1, 1)  # two groups of two channels in, two out
    expected = [[1, 2, 0, 0], [3, 4, 0, 0], [0, 0, 5, 6], [0, 0, 7, 8]]
    assert groups_as_one(weight, groups=2, count=2)[:, :, 0, 0].tolist() == expected


def test_pointwise_is_a_1x1_convolution() -> None:
    torch.manual_seed(0)
    layer, features = nn.Conv2d(3, 5, 1), torch.randn(2, 3, 4, 6)
    torch.testing.assert_close(pointwise(features, layer.weight, layer.bias), layer(features))


def test_dilated_stays_in_float32_under_autocast() -> None:
    torch.manual_seed(0)
    layer = DilatedConv2d(16, 8, dilation=4, groups=4)
    features = torch.randn(1, 16, 24, 24, dtype=torch.bfloat16, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        found = convolve_in_full_precision(layer, features)
    assert found.dtype == torch.float32
    gradients = _gradients(found, features, *layer.parameters())
    assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients)
    expected = _gradients(_plain(layer, features.float()), features, *layer.parameters())
    torch.testing.assert_close(gradients[1:], expected[1:], rtol=1e-4, atol=1e-4)
