"""The encoder of hanet_lite: its sizes are the published ones, and folding changes no output."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from hanet.errors import SettingsError
from hanet.models import create
from hanet.models.efficientnet_lite import (
    BATCH_NORM_EPS,
    VARIANTS,
    EfficientNetLite,
    fold_imagenet_weights,
)
from hanet.models.layers.stages import blocks_of
from hanet.training.build import build_network
from hanet.training.experiment import Experiment


def _classifier(variant: str) -> dict[str, Tensor]:
    package = importlib.import_module(VARIANTS[variant].package)
    path = getattr(package, VARIANTS[variant].model_file).get_model_file_path()
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def _plain(state: Mapping[str, Tensor], variant: str, image: Tensor) -> list[Tensor]:
    """The classifier's own layers one after the other, batch normalisation and all."""

    def layer(values: Tensor, convolution: str, norm: str, **arguments: int) -> Tensor:
        values = F.conv2d(values, state[f"{convolution}.weight"], **arguments)
        mean, variance, weight, bias = (
            state[f"{norm}.{key}"] for key in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(values, mean, variance, weight, bias, eps=BATCH_NORM_EPS)

    features = F.relu6(layer(image, "_conv_stem", "_bn0", stride=2, padding=1))
    pyramid, number = [], 0
    for stage in blocks_of(VARIANTS[variant].stages, inputs=32):
        for block in stage:
            name, before = f"_blocks.{number}", features
            if block.expansion > 1:
                features = F.relu6(layer(features, f"{name}._expand_conv", f"{name}._bn0"))
            features = F.relu6(
                layer(
                    features,
                    f"{name}._depthwise_conv",
                    f"{name}._bn1",
                    stride=block.stride,
                    padding=block.kernel // 2,
                    groups=block.hidden,
                )
            )
            features = layer(features, f"{name}._project_conv", f"{name}._bn2")
            features = before + features if block.is_residual else features
            number += 1
        pyramid.append(features)
    return [pyramid[0], pyramid[1], pyramid[2], pyramid[4]]


@pytest.mark.parametrize("variant", VARIANTS)
def test_folded_weights_give_what_the_classifier_gives(variant: str) -> None:
    state = _classifier(variant)
    encoder = EfficientNetLite(variant).eval()
    encoder.load_state_dict(fold_imagenet_weights(state, variant))
    image = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        folded, plain = encoder(image), _plain(state, variant, image)
    assert tuple(features.shape[1] for features in folded) == encoder.feature_channels
    for ours, theirs in zip(folded, plain, strict=True):
        assert ours.shape == theirs.shape
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_experiment_starts_from_the_weights_of_its_encoder(variant: str) -> None:
    experiment = Experiment(
        name="x",
        model="hanet_lite",
        width=8,
        encoder=variant,
        start_from="imagenet",
        learning_rate=1e-3,
        iterations=1,
    )
    network = build_network(experiment)
    expected = fold_imagenet_weights(_classifier(variant), variant)
    for name, tensor in network.encoder.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=0)


def test_another_encoder_is_refused() -> None:
    with pytest.raises(SettingsError, match="there is no encoder 'lite7'"):
        create("hanet_lite", encoder="lite7")
