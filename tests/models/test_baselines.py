"""The baselines have as many parameters as their papers say; what is ours about each is what its
module says."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from hanet.errors import SettingsError
from hanet.models import create, mspsnet
from hanet.models.layers.resnet import ResNet18


@pytest.mark.parametrize(
    ("name", "arguments", "published", "within"),
    [
        ("fc_ef", {}, 1.35e6, 0.005),
        ("fc_siam_conc", {}, 1.54e6, 0.005),
        ("fc_siam_diff", {}, 1.35e6, 0.005),
        ("snunet", {}, 12.03e6, 0.001),
        ("snunet", {"width": 16}, 3.01e6, 0.001),
        ("bit", {"decoder_head_width": 64}, 3.55e6, 0.02),
        ("tinycd", {}, 285_128, 0.0),
    ],
)
def test_there_are_as_many_parameters_as_published(
    name: str, arguments: dict[str, Any], published: float, within: float
) -> None:
    count = sum(parameter.numel() for parameter in create(name, **arguments).parameters())
    assert abs(count - published) <= within * published


def test_mspsnet_lacks_only_what_no_forward_pass_uses() -> None:
    count = sum(parameter.numel() for parameter in create("mspsnet").parameters())
    assert count + mspsnet.UNUSED_PARAMETERS == 2_209_836  # 2.21 M in the paper


def test_resnet_has_the_tensors_of_common_imagenet_weights() -> None:
    network = ResNet18()
    assert sum(parameter.numel() for parameter in network.parameters()) == 11_176_512
    names = set(network.state_dict())
    assert {"conv1.weight", "layer1.0.bn1.running_mean", "layer4.1.conv2.weight"} <= names
    assert "layer2.0.downsample.0.weight" in names
    sizes = [tuple(level.shape[1:]) for level in network.eval()(torch.zeros(1, 3, 64, 64))]
    assert sizes == [(64, 16, 16), (128, 8, 8), (256, 4, 4), (512, 2, 2)]


@pytest.mark.parametrize("name", ["mspsnet", "snunet", "bit"])
def test_two_equal_dates_and_two_different_ones_are_told_apart(name: str) -> None:
    torch.manual_seed(0)
    network = create(name).eval()
    image = torch.randn(1, 3, 64, 64)
    other = image.clone()
    other[..., 20:40, 20:40] += 3.0
    with torch.inference_mode():
        same, changed = network(image, image), network(image, other)
    moved = (same - changed).abs().amax(dim=1)[0]
    assert moved[20:40, 20:40].mean() > 2 * moved[:8, -8:].mean()


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("mspsnet", {"width": 7}),
        ("snunet", {"width": 6}),
        ("snunet", {"width": 0}),
        ("bit", {"decoder_head_width": 0}),
    ],
)
def test_arguments_that_no_network_has_are_refused(name: str, arguments: dict[str, int]) -> None:
    with pytest.raises(SettingsError):
        create(name, **arguments)
