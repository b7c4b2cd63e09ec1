"""The counted work of the networks is their work."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from hanet.bench import inference
from hanet.metadata import SMALLEST_PX_OF_OLD_FILES, Metadata
from hanet.models import MODELS, create
from hanet.models.fusion import fuse
from hanet.weights.export import export_onnx
from hanet.weights.runtime import read_onnx_metadata
from hanet.weights.weights_file import read_safetensors_metadata, save_weights
from hanet.weights.workload import (
    OF_OLD_FILES,
    WIDTH_OF_OLD_FILES,
    gmac_per_megapixel,
    of_network,
    speed_class,
)

SIDE = 256


def test_old_files_have_what_the_networks_say() -> None:
    """Networks that came later stand in neither table: their files store both."""
    assert {name: MODELS[name].gmac_per_megapixel for name in OF_OLD_FILES} == OF_OLD_FILES
    assert {
        name: MODELS[name].min_size_px for name in SMALLEST_PX_OF_OLD_FILES
    } == SMALLEST_PX_OF_OLD_FILES


def test_a_saved_and_an_exported_file_say_what_the_network_is(tmp_path: Path) -> None:
    """The smallest size and the work stood in tables far from the network."""
    network = create("fc_ef").eval()
    lying = Metadata("a", "hanet", divisor=8, smallest_px=512, gmac_per_megapixel=1.0)
    save_weights(tmp_path / "a.safetensors", network, lying)
    export_onnx(network, lying, tmp_path / "a.onnx")
    for read in (
        read_safetensors_metadata(tmp_path / "a.safetensors"),
        read_onnx_metadata(tmp_path / "a.onnx"),
    ):
        assert (read.model, read.divisor, read.smallest_px) == ("fc_ef", 16, 16)
        assert read.gmac_per_megapixel == gmac_per_megapixel(read) == 47.2
        assert read.min_size_px == 16


def test_the_work_of_another_width_is_not_stored() -> None:
    arguments = {"width": 16}
    stored = of_network(Metadata("a", "hanet_lite", arguments), create("hanet_lite", **arguments))
    assert (stored.smallest_px, stored.gmac_per_megapixel) == (32, None)
    assert gmac_per_megapixel(stored) is None


@pytest.mark.parametrize("name", sorted(set(MODELS) - {"hanet", "mspsnet"}))
def test_counts_are_those_of_the_networks(name: str) -> None:
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), torch.device("meta"), counter:  # shapes are all that is counted
        fuse(create(name).eval())(*torch.zeros(2, 1, 3, SIDE, SIDE))
    counted = counter.get_total_flops() / 2e9 / (SIDE**2 / 1e6)
    assert MODELS[name].gmac_per_megapixel == pytest.approx(counted, rel=0.05)


def test_detail_at_full_resolution_is_counted() -> None:
    counter = FlopCounterMode(display=False)
    network = create("hanet_lite", detail=16).eval()
    with torch.no_grad(), counter:
        network(*torch.zeros(2, 1, 3, SIDE, SIDE))
    with torch.no_grad(), FlopCounterMode(display=False) as without:
        create("hanet_lite").eval()(*torch.zeros(2, 1, 3, SIDE, SIDE))
    added = (counter.get_total_flops() - without.get_total_flops()) / 2e9 / (SIDE**2 / 1e6)
    own = network.gmac_per_megapixel - type(network).gmac_per_megapixel
    assert own == pytest.approx(added, rel=0.01)


@pytest.mark.parametrize("encoder", ["lite1", "lite2"])
def test_a_larger_encoder_is_counted(encoder: str) -> None:
    counts = []
    for arguments in ({}, {"encoder": encoder}):
        network = create("hanet_lite", **arguments).eval()
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            fuse(network)(*torch.zeros(2, 1, 3, SIDE, SIDE))
        counts.append(counter.get_total_flops() / 2e9 / (SIDE**2 / 1e6))
    own = network.gmac_per_megapixel - type(network).gmac_per_megapixel
    assert own == pytest.approx(counts[1] - counts[0], rel=0.01)


@pytest.mark.parametrize("name", ["hanet", "mspsnet"])
def test_counts_leave_out_products_with_zeros(name: Literal["hanet", "mspsnet"]) -> None:
    counted = inference.gflop_without_zeros(name, SIDE) / 2 / (SIDE**2 / 1e6)
    assert MODELS[name].gmac_per_megapixel == pytest.approx(counted, rel=0.05)


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
        name: width.default
        for name, width in with_width.items()
        if width is not None and name in OF_OLD_FILES
    } == WIDTH_OF_OLD_FILES
    assert (
        gmac_per_megapixel(Metadata("a", "hanet", {"width": 40, "head": "open-cd"}))
        == OF_OLD_FILES["hanet"]
    )
    assert gmac_per_megapixel(Metadata("a", "hanet", {"width": 20})) is None
