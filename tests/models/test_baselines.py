"""The baselines have as many parameters as their papers say; what is ours about each is what its
module says."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from hanet.errors import SettingsError
from hanet.models import changeformer, create, mspsnet, stanet
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
        ("stanet", {}, 16.93e6, 0.001),
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


def test_changeformer_is_v6_without_the_heads_that_only_the_loss_reads() -> None:
    with torch.device("meta"):
        network = create("changeformer")
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count + changeformer.UNUSED_PARAMETERS == 41_026_674  # 41.03 M as released


def test_the_sign_of_a_distance_less_one_is_the_authors_decision() -> None:
    torch.manual_seed(0)
    network = create("stanet", width=8).eval()
    for layer in network.get_submodule(
        "attention"
    ).modules():  # at its small start all of it is next to 0
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight)
    before, after = torch.randn(2, 1, 3, 64, 64)
    with torch.inference_mode():
        unchanged, distance = network(before, after)[0]
        same = network(before, before)[0, 1]
    assert torch.equal(unchanged, torch.ones(64, 64))
    assert (distance >= 0).all()
    assert same.max() < 1e-4 < distance.mean()


def test_a_cell_of_the_pyramid_sees_both_dates_and_no_other_cell() -> None:
    torch.manual_seed(0)
    attention = stanet.CellAttention(8, grid=2).eval()
    both = torch.randn(2, 1, 8, 8, 8)
    nudged = both.clone()
    nudged[1, 0, :, 5, 2] += 1.0  # the lower left cell of the second date
    with torch.inference_mode():
        moved = (attention(nudged) - attention(both)).abs().amax(dim=(1, 2)) > 0  # dates, H, W
    expected = torch.zeros(2, 8, 8, dtype=torch.bool)
    expected[:, 4:, :4] = True
    assert torch.equal(moved, expected)


def test_a_cell_gathers_what_plain_attention_does() -> None:
    torch.manual_seed(0)
    attention = stanet.CellAttention(16, grid=2).eval()
    both = torch.randn(2, 2, 16, 4, 8)
    with torch.inference_mode():
        found = attention(both)
        cell = both[:, 1, :, 2:, :4]  # of the second pair, the lower left
        row = cell.permute(1, 0, 2, 3).flatten(1)[None, :, :, None]
        query, key, value = (
            layer(row)[0, :, :, 0] for layer in (attention.query, attention.key, attention.value)
        )
        expected = value @ torch.softmax(query.T @ key / 2**0.5, dim=1).T
    torch.testing.assert_close(
        found[:, 1, :, 2:, :4], expected.unflatten(1, (2, 2, 4)).transpose(0, 1)
    )


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
        ("changeformer", {"width": 6}),
        ("stanet", {"width": 12}),
    ],
)
def test_arguments_that_no_network_has_are_refused(name: str, arguments: dict[str, int]) -> None:
    with pytest.raises(SettingsError):
        create(name, **arguments)
