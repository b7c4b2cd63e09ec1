"""The head that tells built from demolished: odd in the dates, and without a say in the change."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hanet.errors import SettingsError
from hanet.models import create
from hanet.models.hanet_lite import HANetLite, _enlarged, _enlarged_fourfold


@pytest.fixture
def network() -> HANetLite:
    torch.manual_seed(0)
    model = create("hanet_lite", width=16, direction=8).eval()
    assert isinstance(model, HANetLite)
    assert model.direction is not None
    torch.nn.init.normal_(model.direction.head.weight)  # else its answers are near 0
    return model


@pytest.fixture
def images() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    before, after = (torch.randn(2, 3, 50, 70, generator=generator) for _ in range(2))
    return before, after


def test_exchanged_dates_give_the_negative_in_every_bit(
    network: HANetLite, images: tuple[Tensor, Tensor]
) -> None:
    before, after = images
    built, back = network.built_logit(before, after), network.built_logit(after, before)
    assert built.shape == (2, 1, 50, 70)
    assert float(built.detach().abs().max()) > 0.01
    assert torch.equal(built, -back)
    assert not network.built_logit(before, before).any()


def test_the_change_is_the_same_with_and_without_the_head(
    network: HANetLite, images: tuple[Tensor, Tensor]
) -> None:
    plain = create("hanet_lite", width=16).eval()
    state = {k: v for k, v in network.state_dict().items() if not k.startswith("direction.")}
    plain.load_state_dict(state)
    assert torch.equal(plain(*images), network(*images))
    padded = [image[..., :48, :64] for image in images]
    logits, built = network.logits_and_built_of_padded(*padded)
    assert torch.equal(logits, plain(*padded))
    assert torch.equal(built, network.built_logit(*padded))


def test_every_parameter_of_the_head_learns(
    network: HANetLite, images: tuple[Tensor, Tensor]
) -> None:
    network.train()
    network.built_logit(*images).square().mean().backward()  # type: ignore[no-untyped-call]
    assert network.direction is not None
    for name, parameter in network.direction.named_parameters():
        # all three scales are added before a normalisation, which takes their biases away
        is_bias = name.startswith("narrow.") and name.endswith(".bias")
        assert is_bias or (parameter.grad is not None and bool(parameter.grad.any())), name


@pytest.mark.parametrize("name", ["hanet_lite", "hanet"])
def test_a_network_without_the_head_says_so(name: str) -> None:
    network = create(name, width=16)
    assert not network.tells_direction
    image = torch.zeros(1, 3, 64, 64)
    with pytest.raises(SettingsError, match="does not tell built from demolished"):
        network.built_logit(image, image)


def test_a_negative_number_of_channels_is_refused() -> None:
    with pytest.raises(SettingsError, match="direction is -1"):
        create("hanet_lite", direction=-1)


def test_the_fourfold_enlargement_is_the_bilinear_one() -> None:
    values = torch.randn(2, 1, 5, 7, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(_enlarged_fourfold(values), _enlarged(values, 4))
