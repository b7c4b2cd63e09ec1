"""Convolutions in their fast forms agree with torch's own, gradients too."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from hanet.models.layers.attention import ColumnAttention, RowAttention
from hanet.models.layers.convolutions import DilatedConv2d, PReLU, groups_as_one, phases, pointwise
from hanet.models.layers.precision import multiplies_in_bfloat16


def _gradients(output: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    weight = torch.randn(
        output.shape, generator=torch.Generator().manual_seed(5), dtype=output.dtype
    )
    return torch.autograd.grad((output * weight).sum(), inputs)


def _plain(layer: DilatedConv2d, features: Tensor) -> Tensor:
    return nn.functional.conv2d(
        features, layer.weight, layer.bias, 1, layer.padding, layer.dilation, layer.groups
    )


@pytest.mark.parametrize("dilation", [1, 2, 3, 4])
@pytest.mark.parametrize(("height", "width"), [(12, 8), (7, 13), (3, 4)])
def test_dilated_groups_agree_with_torch(dilation: int, height: int, width: int) -> None:
    torch.manual_seed(0)
    layer = DilatedConv2d(24, 12, dilation=dilation, groups=6).double()
    features = torch.randn(2, 24, height, width, dtype=torch.float64, requires_grad=True)
    expected, found = _plain(layer, features), layer(features)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    parameters = (features, *layer.parameters())
    torch.testing.assert_close(
        _gradients(found, *parameters), _gradients(expected, *parameters), rtol=0, atol=1e-11
    )


def test_dilated_goes_without_gradients_where_none_is_needed() -> None:
    layer = DilatedConv2d(8, 4, dilation=2, groups=2).requires_grad_(False)
    features = torch.randn(1, 8, 6, 6, requires_grad=True)
    torch.testing.assert_close(
        _gradients(layer(features), features), _gradients(_plain(layer, features), features)
    )


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


def _relative_error(found: Tensor, expected: Tensor) -> float:
    return float((found.float() - expected).norm() / expected.norm())


@pytest.mark.parametrize("dilation", [1, 2, 3, 4])
@pytest.mark.parametrize("groups", [4, 20])
def test_dilated_under_autocast_is_as_exact_as_its_precision(dilation: int, groups: int) -> None:
    torch.manual_seed(0)
    layer = DilatedConv2d(4 * groups, 2 * groups, dilation=dilation, groups=groups)
    features = torch.randn(2, 4 * groups, 24, 19).contiguous(memory_format=torch.channels_last)
    features = features.bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(features)
        exact = 0.01 if multiplies_in_bfloat16(features.device) else 1e-5
    assert found.dtype == (torch.bfloat16 if exact == 0.01 else torch.float32)
    gradients = _gradients(found, features, *layer.parameters())
    expected = _gradients(_plain(layer, features.float()), features, *layer.parameters())
    assert max(map(_relative_error, gradients[1:], expected[1:])) < exact
    assert _relative_error(gradients[0], expected[0].float()) < 0.01


@pytest.mark.parametrize("attention", [ColumnAttention, RowAttention])
def test_axial_attention_under_autocast_has_the_gradients_of_float32(
    attention: type[ColumnAttention],
) -> None:
    torch.manual_seed(0)
    layer = attention(16)
    torch.nn.init.ones_(layer.gamma)
    features = (
        torch.randn(2, 16, 24, 19).contiguous(memory_format=torch.channels_last).requires_grad_()
    )
    with torch.autocast("cpu", torch.bfloat16):
        gradients = _gradients(layer(features).float(), features, *layer.parameters())
    expected = _gradients(layer(features), features, *layer.parameters())
    errors = [
        _relative_error(*pair) for pair in zip(gradients, expected, strict=True) if pair[1].any()
    ]
    assert len(errors) == 7  # all but the key's bias, which the softmax drops
    assert max(errors) < 0.02


def test_prelu_has_the_values_and_gradients_of_torchs() -> None:
    torch.manual_seed(0)
    layer, plain, features = PReLU(), nn.PReLU(1), torch.randn(2, 3, 5, 4, requires_grad=True)
    found, expected = layer(features), plain(features)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        _gradients(found, features, layer.weight), _gradients(expected, features, plain.weight)
    )
