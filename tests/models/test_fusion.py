"""The network that is run gives what the plain, literal one gives; its parts do what they say."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hanet.models import MODELS, create
from hanet.models.fusion import fuse
from hanet.models.hanet_fused import margin_of_taps
from hanet.models.layers.folding import with_norm
from plain_and_ours import plain_and_ours

LAST, FIRST = torch.channels_last, torch.contiguous_format


@pytest.mark.parametrize(
    ("width", "size", "memory_format"),
    [
        (40, (256, 256), LAST),
        (40, (72, 200), FIRST),
        (2, (16, 24), LAST),
    ],
)
def test_fused_hanet_agrees_with_the_plain_network(
    width: int, size: tuple[int, int], memory_format: torch.memory_format
) -> None:
    plain, ours, _ = plain_and_ours(width, torch.float32)
    generator = torch.Generator().manual_seed(3)
    before, after = (torch.randn(1, 3, *size, generator=generator) * 0.5 for _ in range(2))
    fused = fuse(ours.eval()).to(memory_format=memory_format)
    with torch.inference_mode():
        logits = plain.eval()(before, after)
        expected = logits[:, 1:] - logits[:, :1]
        found = fused(*(image.contiguous(memory_format=memory_format) for image in (before, after)))
    # as far from 0 as the margins of a trained network are, so that probabilities fill 0 to 1
    gain = 8.0 / expected.std()
    expected, found = gain * (expected - expected.mean()), gain * (found - expected.mean())
    assert (expected.sigmoid() - found.sigmoid()).abs().max() < 1e-4
    clear = expected.abs() > 1e-3
    assert clear.float().mean() > 0.999
    assert torch.equal((expected > 0)[clear], (found > 0)[clear])


@pytest.mark.parametrize("name", MODELS)
def test_the_margin_is_the_difference_of_the_logits(name: str) -> None:
    torch.manual_seed(0)
    narrow = {"width": 8} if name in ("hanet", "changeformer", "stanet") else {}
    network = create(name, **narrow).double().eval()
    for parameter_name, parameter in network.named_parameters():
        if parameter_name.endswith("gamma"):
            nn.init.constant_(parameter, 0.5)
    before, after = torch.rand(2, 2, 3, 64, 96, dtype=torch.float64)
    state = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    with torch.inference_mode():
        logits = network(before, after)
        torch.testing.assert_close(fuse(network)(before, after), logits[:, 1:] - logits[:, :1])
    assert all(torch.equal(state[key], tensor) for key, tensor in network.state_dict().items())


@pytest.mark.parametrize("head", ["official", "open-cd"])
def test_both_heads_fuse(head: str) -> None:
    network = create("hanet", width=4, head=head).double().eval()
    before, after = torch.rand(2, 1, 3, 24, 32, dtype=torch.float64)
    with torch.inference_mode():
        logits = network(before, after)
        torch.testing.assert_close(fuse(network)(before, after), logits[:, 1:] - logits[:, :1])


def test_a_fused_network_has_nothing_that_learns() -> None:
    assert not [
        name
        for name, parameter in fuse(create("hanet", width=4)).named_parameters()
        if parameter.requires_grad
    ]


def test_a_norm_goes_into_the_convolution_before_it() -> None:
    torch.manual_seed(0)
    convolution, norm = nn.Conv2d(4, 6, 3, padding=2, dilation=2, groups=2), nn.BatchNorm2d(6)
    for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        assert tensor is not None
        nn.init.uniform_(tensor, 0.5, 2.0)
    image = torch.randn(1, 4, 7, 5)
    with torch.inference_mode():
        torch.testing.assert_close(
            with_norm(convolution, norm)(image), norm.eval()(convolution(image))
        )


def test_taps_are_shifted_to_where_they_belong() -> None:
    kernel, image = torch.arange(9.0).view(1, 1, 3, 3), torch.arange(12.0).view(1, 1, 3, 4)
    taps = kernel.view(1, 9, 1, 1) * image
    torch.testing.assert_close(margin_of_taps(taps), nn.functional.conv2d(image, kernel, padding=1))
