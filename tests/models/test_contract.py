"""One suite over every network: the contract in `hanet.models.contract`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hanet.errors import SettingsError, ShapeError, WeightsError
from hanet.metadata import Metadata
from hanet.models import MODELS, ChangeModel, create
from hanet.models.contract import Part
from hanet.weights.engine import Engine
from hanet.weights.export import export_onnx
from hanet.weights.runtime import open_runtime
from hanet.weights.weights_file import load_fitting, load_weights, save_weights
from hanet.weights.workload import of_network

ARGUMENTS = {
    "hanet": {"width": 8},
    "hanet_lite": {"width": 16},
    "hanet_lite with detail": {"width": 16, "detail": 8},
    "hanet_lite on lite2": {"width": 16, "encoder": "lite2"},
    "mspsnet": {"width": 8},
    "snunet": {"width": 4},
    "changeformer": {"width": 8},
    "stanet": {"width": 8},
}
"""Narrow where the network can be, so that the suite is quick."""

NETWORKS = [*MODELS, "hanet_lite with detail", "hanet_lite on lite2"]
"""Every network, and the parts that one may have or not."""


def _model(name: str) -> str:
    return name.partition(" ")[0]


def _network(name: str) -> ChangeModel:
    torch.manual_seed(0)
    return create(_model(name), **ARGUMENTS.get(name, {}))


def _images(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(shape, generator=generator), torch.randn(shape, generator=generator)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("height", "width"), [(64, 64), (65, 95), (33, 48)])
def test_logits_have_the_size_of_the_input(name: str, height: int, width: int) -> None:
    network = _network(name).eval()
    with torch.inference_mode():
        assert network(*_images(1, 3, height, width)).shape == (1, 2, height, width)


@pytest.mark.parametrize("name", NETWORKS)
def test_too_small_an_image_is_refused_with_the_size_to_pad_to(name: str) -> None:
    network = _network(name)
    side = network.min_size_px - 1
    with pytest.raises(ShapeError) as error:
        network(*_images(1, 3, side, 64))
    assert f"{network.min_size_px}x64" in str(error.value.hint)
    # for those who run it without torch
    assert of_network(Metadata("a", _model(name)), network).min_size_px == network.min_size_px


@pytest.mark.parametrize("name", NETWORKS)
def test_dates_of_different_shape_or_bands_are_refused(name: str) -> None:
    network = _network(name)
    with pytest.raises(ShapeError):
        network(torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 80))
    with pytest.raises(ShapeError):
        network(*_images(1, 4, 64, 64))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_gets_a_finite_gradient(name: str) -> None:
    network = _network(name).train()
    for parameter_name, parameter in network.named_parameters():
        if parameter_name.endswith("gamma"):
            torch.nn.init.constant_(
                parameter, 0.5
            )  # at its start, 0, nothing behind it could learn
    network(*_images(2, 3, 64, 64)).square().mean().backward()
    for parameter_name, parameter in network.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name


@pytest.mark.parametrize("name", NETWORKS)
def test_the_head_lies_in_the_top_down_path_and_that_in_the_network(name: str) -> None:
    """Where only a part learns, the logits of what goes in still hang on each tensor of it."""
    network = _network(name)
    parts: list[Part] = ["head", "top-down", "all"]
    held = [
        {id(tensor) for module in network.modules_of(part) for tensor in module.parameters()}
        for part in parts
    ]
    assert held[0]
    assert held[0] < held[1] < held[2] == {id(tensor) for tensor in network.parameters()}
    logits = network.eval()(*_images(1, 3, 64, 64))
    head = [tensor for module in network.modules_of("head") for tensor in module.parameters()]
    assert all(gradient.abs().max() > 0 for gradient in torch.autograd.grad(logits.sum(), head))


@pytest.mark.parametrize("name", NETWORKS)
def test_evaluation_is_deterministic_and_does_not_mix_a_batch(name: str) -> None:
    network = _network(name).eval()
    before, after = _images(3, 3, 64, 64)
    with torch.inference_mode():
        all_at_once, again = network(before, after), network(before, after)
        alone = network(before[1:2], after[1:2])
    assert torch.equal(all_at_once, again)
    assert torch.allclose(all_at_once[1:2], alone, atol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_and_onnx_give_what_the_network_gives(name: str, tmp_path: Path) -> None:
    network = _network(name).eval()
    arguments = ARGUMENTS.get(name, {})
    metadata = Metadata(
        name="tiny", model=_model(name), model_arguments=arguments, divisor=network.divisor
    )
    save_weights(tmp_path / "tiny.safetensors", network, metadata)
    loaded, read = load_weights(tmp_path / "tiny.safetensors")
    before, after = _images(1, 3, 64, 96)
    with torch.inference_mode():
        assert torch.equal(network(before, after), loaded(before, after))
    export_onnx(network, read, tmp_path / "tiny.onnx")
    images = [
        np.random.default_rng(n).uniform(0, 255, (2, 3, 64, 96)).astype(np.float32) for n in (0, 1)
    ]
    results = [
        open_runtime(tmp_path / f"tiny.{s}", Engine(r, 1)).predict(*images)
        for s, r in (("onnx", "onnxruntime"), ("safetensors", "torch"))
    ]  # type: ignore[arg-type]
    assert results[0].shape == (2, 64, 96)
    # instance normalisation divides what random weights make by its small spread
    np.testing.assert_allclose(*results, atol=1e-3 if name == "tinycd" else 1e-4)


def test_weights_of_another_width_are_refused_by_name_and_shape(tmp_path: Path) -> None:
    save_weights(
        tmp_path / "a.safetensors",
        create("hanet_lite", width=16),
        Metadata(name="a", model="hanet_lite"),
    )
    with pytest.raises(WeightsError, match="do not fit hanet_lite"):
        load_weights(tmp_path / "a.safetensors")  # its metadata names no width, so that 64 is built


def test_unknown_models_and_arguments_are_refused() -> None:
    with pytest.raises(SettingsError, match="no model"):
        create("hanet2")
    with pytest.raises(SettingsError, match="does not take"):
        create("hanet_lite", depth=3)
    with pytest.raises(SettingsError, match="does not take"):
        create("hanet", detail=8)
    with pytest.raises(SettingsError, match="detail is -1"):
        create("hanet_lite", detail=-1)


def test_a_start_from_other_weights_takes_what_fits_and_names_the_rest() -> None:
    wide, narrow = create("hanet_lite", width=32), create("hanet_lite", width=16)
    left = load_fitting(wide, narrow.state_dict())
    assert "head.weight" in left
    assert "encoder.stem.weight" not in left
    assert torch.equal(wide.encoder.stem.weight, narrow.encoder.stem.weight)  # type: ignore[union-attr]
    assert load_fitting(wide, wide.state_dict()) == []


def test_weights_without_detail_go_on_from_where_they_are() -> None:
    plain, detailed = _network("hanet_lite").eval(), _network("hanet_lite with detail").eval()
    left = load_fitting(detailed, plain.state_dict())
    assert left
    assert all(name.startswith("detail.") for name in left)
    images = _images(1, 3, 64, 64)
    with torch.inference_mode():
        expected, found = plain(*images), detailed(*images)
    assert not torch.equal(found, expected)
    assert (found - expected).abs().max() < 0.1


def test_detail_sees_single_pixels() -> None:
    """At stride 2 two neighbours are one position; the branch tells them apart."""
    network = _network("hanet_lite with detail").eval()
    assert network.detail is not None
    images = torch.zeros(2, 1, 3, 64, 64)
    images[1, :, :, 32, 33] = 5.0
    with torch.inference_mode():
        decoded = torch.zeros(1, 12, 32, 32)
        moved, still = (
            network.detail(images[0], after, decoded) for after in (images[1], images[0])
        )
    rows, columns = (moved - still).abs().amax(dim=(0, 1)).nonzero(as_tuple=True)
    # four 3x3 convolutions about the pixel, no more
    assert (int(rows.min()), int(rows.max())) == (28, 36)
    assert (int(columns.min()), int(columns.max())) == (29, 37)
