"""The counted work of the networks is their work."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from hanet.bench import inference
from hanet.metadata import Metadata
from hanet.models import MODELS, create
from hanet.models.fusion import fuse
from hanet.weights.workload import (
    DEFAULT_WIDTH,
    GMAC_PER_MEGAPIXEL,
    gmac_per_megapixel,
    speed_class,
)

SIDE = 256


def test_every_network_is_counted() -> None:
    assert set(GMAC_PER_MEGAPIXEL) == set(MODELS)


@pytest.mark.parametrize("name", sorted(set(MODELS) - {"hanet"}))
def test_counts_are_those_of_the_networks(name: str) -> None:
    network = fuse(create(name).eval())
    attention = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    counter = FlopCounterMode(display=False, custom_mapping={attention: inference._attention_flop})
    with torch.no_grad(), counter:
        network(*torch.zeros(2, 1, 3, SIDE, SIDE))
    counted = counter.get_total_flops() / 2e9 / (SIDE**2 / 1e6)
    assert GMAC_PER_MEGAPIXEL[name] == pytest.approx(counted, rel=0.05)


def test_the_count_of_hanet_leaves_out_products_with_zeros() -> None:
    counted = inference._gflop_of_hanet(SIDE) / 2 / (SIDE**2 / 1e6)
    assert GMAC_PER_MEGAPIXEL["hanet"] == pytest.approx(counted, rel=0.05)


def test_classes() -> None:
    assert speed_class(Metadata("a", "hanet_lite")) == "fast"
    assert speed_class(Metadata("a", "fc_ef", {"bands": 4})) == "medium"
    assert speed_class(Metadata("a", "hanet")) == "slow"
    for unknown in (Metadata("a", "hanet", {"width": 20}), Metadata("a", "unet")):
        assert gmac_per_megapixel(unknown) is None
        assert speed_class(unknown) is None


def test_the_default_width_may_be_named_and_another_is_not_guessed() -> None:
    """Weights of an experiment that says ``width = 40`` were of unknown work."""
    with_width = {
        name: inspect.signature(model).parameters.get("width") for name, model in MODELS.items()
    }
    assert {
        name: width.default for name, width in with_width.items() if width is not None
    } == DEFAULT_WIDTH
    assert (
        gmac_per_megapixel(Metadata("a", "hanet", {"width": 40, "head": "open-cd"}))
        == GMAC_PER_MEGAPIXEL["hanet"]
    )
    assert gmac_per_megapixel(Metadata("a", "hanet", {"width": 20})) is None
