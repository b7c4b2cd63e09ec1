"""Checkpoints of the networks to compare with: a file in each released layout gives weights that
compute what a literal evaluation of its tensors does, with nothing left over."""

from __future__ import annotations

import collections
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

import released_networks as theirs
from hanet.cli import app
from hanet.conversion.convert import Conversion, convert
from hanet.conversion.layouts import LAYOUTS
from hanet.conversion.layouts.layout import STATISTICS, shapes_of
from hanet.errors import SettingsError, WeightsError
from hanet.weights.weights_file import load_weights
from old_checkpoints import classes_in
from released_networks import Released

IMAGES = torch.randn(2, 2, 3, 64, 96, generator=torch.Generator().manual_seed(3))
"""Two pairs."""


CASES: dict[str, tuple[theirs.Forward, Callable[[Released], None] | None]] = {
    "tinycd": (theirs.tinycd, None),
    "snunet": (theirs.snunet, None),
    "mspsnet": (theirs.mspsnet, theirs.mspsnet_unused),
    "bit": (theirs.bit, theirs.bit_unused),
    "changeformer": (theirs.changeformer, theirs.changeformer_unused),
}
"""Model -> the literal network, and what its file holds beside what that uses."""


class SNUNetECAM(nn.Module):
    """A module of a released network, of whatever kind."""


def _released(model: str) -> tuple[Released, Tensor]:
    """A released state dict, and the logits or probability that it gives."""
    forward, unused = CASES[model]
    released = Released()
    with torch.no_grad():
        expected = forward(released, *IMAGES)
        if unused is not None:
            unused(released)
    return released, expected


def _plain(model: str, state: dict[str, Tensor], path: Path) -> None:
    torch.save(collections.OrderedDict(state), path)


def _of_data_parallel(model: str, state: dict[str, Tensor], path: Path) -> None:
    torch.save({f"module.{name}": tensor for name, tensor in state.items()}, path)


def _of_a_trainer(model: str, state: dict[str, Tensor], path: Path) -> None:
    """As BIT and ChangeFormer keep it: the generator, its optimiser, the schedule, scores."""
    parameter = nn.Parameter(torch.ones(3, 3))
    optimiser = torch.optim.AdamW([parameter], lr=1e-4)
    parameter.sum().backward()
    optimiser.step()
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda epoch: 1 - epoch / 201)
    torch.save(
        {
            "epoch_id": 199,
            "best_val_acc": np.float64(0.95),
            "best_epoch_id": 190,
            "model_G_state_dict": collections.OrderedDict(state),
            "optimizer_G_state_dict": optimiser.state_dict(),
            "exp_lr_scheduler_G_state_dict": schedule.state_dict(),
        },
        path,
    )


def _whole_module(model: str, state: dict[str, Tensor], path: Path) -> None:
    """As SNUNet-CD and MSPSNet keep it: ``torch.save(model, path)``."""

    root = SNUNetECAM()
    for name, tensor in state.items():
        module: nn.Module = root
        *parts, last = name.split(".")
        for part in parts:
            if part not in dict(module.named_children()):
                module.add_module(part, SNUNetECAM())
            module = module.get_submodule(part)
        if last.startswith(("running", "num_batches")):
            module.register_buffer(last, tensor)
        else:
            module.register_parameter(last, nn.Parameter(tensor))
    with classes_in("models.Models", SNUNetECAM), warnings.catch_warnings():
        torch.save(root, path)


def _converted(path: Path, **settings: Any) -> Conversion:
    return convert(path, path.with_suffix(".safetensors"), **settings)


def _logits(weights: Path) -> Tensor:
    network, _ = load_weights(weights)
    with torch.no_grad():
        return network(*IMAGES)


def _same(found: Tensor, expected: Tensor) -> None:
    largest = float(expected.abs().max())
    assert expected.std() > 0.05 * largest
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * largest)


@pytest.mark.parametrize(
    ("model", "save"),
    [
        ("tinycd", _plain),
        ("tinycd", _of_data_parallel),
        ("snunet", _whole_module),
        ("mspsnet", _whole_module),
        ("mspsnet", _of_data_parallel),
        ("bit", _of_a_trainer),
        ("changeformer", _of_a_trainer),
    ],
)
def test_released_files_give_what_their_authors_describe(
    model: str, save: Callable[[str, dict[str, Tensor], Path], None], tmp_path: Path
) -> None:
    released, expected = _released(model)
    save(model, released.state, tmp_path / "best.pth")
    result = _converted(tmp_path / "best.pth")
    assert result.model == model
    logits = _logits(result.path)
    _same(torch.sigmoid(logits[:, 1:] - logits[:, :1]) if model == "tinycd" else logits, expected)
    assert result.beside == ()
    layout = next(layout for layout in LAYOUTS if layout.model == model)
    unused = {name for name in released.state if layout.is_dead(name)}
    assert {name.removeprefix("module.") for name in result.dead} == unused
    kept = [t for n, t in released.state.items() if n not in unused and "running" not in n]
    kept = [tensor for tensor in kept if tensor.is_floating_point()]
    assert result.parameters == sum(tensor.numel() for tensor in kept)


def test_tinycd_as_released_has_its_published_size_and_statistics(tmp_path: Path) -> None:
    released, _ = _released("tinycd")
    assert len(released.state) == 279
    torch.save(released.state, tmp_path / "levir_best.pth")
    result = _converted(tmp_path / "levir_best.pth", dataset="levir-cd")
    assert result.parameters == 285_128
    assert result.metadata.mean_before == result.metadata.mean_after == (0.485, 0.456, 0.406)
    assert (result.metadata.tile_px, result.metadata.threshold) == (256, 0.5)
    assert "LEVIR-CD" in result.metadata.training_data


def test_heads_of_64_are_seen_from_the_tensors(tmp_path: Path) -> None:
    released = Released()
    with torch.no_grad():
        expected = theirs.bit(released, *IMAGES, head_width=64)
    torch.save(released.state, tmp_path / "bit.pth")
    result = _converted(tmp_path / "bit.pth")
    assert result.arguments == {"decoder_head_width": 64}
    _same(_logits(result.path), expected)


@pytest.mark.parametrize("given", ["net_F", "net_A"])
def test_stanet_is_converted_from_either_of_its_two_files(given: str, tmp_path: Path) -> None:
    extractor, attention = Released(0), Released(1)
    with torch.no_grad():
        features = [theirs.stanet_features(extractor, image) for image in IMAGES]
        expected = theirs.stanet_distance(attention, *features)
    torch.save(extractor.state, tmp_path / "pam_net_F.pth")
    torch.save(attention.state, tmp_path / "pam_net_A.pth")
    result = _converted(tmp_path / f"pam_{given}.pth")
    logits = _logits(result.path)
    assert torch.equal(logits[:, :1], torch.ones_like(expected))
    _same(logits[:, 1:], expected)
    assert (result.arguments, result.dead, result.beside) == ({"width": 8}, (), ())
    notes = " ".join(result.metadata.notes)
    assert "pam_net_F.pth" in notes
    assert "pam_net_A.pth" in notes
    (tmp_path / "pam_net_A.pth").replace(tmp_path / "attention.pth")
    with pytest.raises(WeightsError, match=r"pam_net_A\.pth is not beside it"):
        _converted(tmp_path / "pam_net_F.pth")
    with pytest.raises(WeightsError, match="unclear which the other is"):
        _converted(tmp_path / "attention.pth")
    torch.save(extractor.state, tmp_path / "pam_net_A.pth")
    with pytest.raises(WeightsError, match="not the other half"):
        _converted(tmp_path / "pam_net_F.pth")


@pytest.mark.parametrize(
    ("model", "normalised"),
    [("snunet", "none"), ("mspsnet", "none"), ("bit", "half"), ("changeformer", "half")],
)
def test_images_are_normalised_as_the_authors_code_does(
    model: str, normalised: str, tmp_path: Path
) -> None:
    released, _ = _released(model)
    torch.save(released.state, tmp_path / "a.pth")
    result = _converted(tmp_path / "a.pth")
    metadata = result.metadata
    statistics = {key: getattr(metadata, key) for key in STATISTICS[normalised]._fields}
    assert statistics == STATISTICS[normalised]._asdict()
    assert ("repository lacks" in " ".join(metadata.notes)) == (model == "mspsnet")
    other = _converted(tmp_path / "a.pth", statistics="levir-cd")
    assert other.metadata.mean_before == (0.4503, 0.4467, 0.3813)
    assert "repository lacks" not in " ".join(other.metadata.notes)
    with pytest.raises(SettingsError, match="no statistics 'mine'"):
        _converted(tmp_path / "a.pth", statistics="mine")


def test_values_that_are_not_normalised_come_as_they_are() -> None:
    none = STATISTICS["none"]
    values = np.arange(256, dtype=np.float32) / 255
    np.testing.assert_allclose(
        (values - none.mean_before[0]) / none.std_before[0], np.arange(256), rtol=1e-6
    )


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: f"{layout.title} {layout.stem}")
def test_every_tensor_of_ours_has_one_name_in_a_layout(layout: Any) -> None:
    ours = [name for parts in layout.names().values() for name in parts]
    assert len(ours) == len(set(ours))
    if layout.halves:
        (other,) = (half for half in LAYOUTS if half.halves == layout.halves[::-1])
        ours += [name for parts in other.names().values() for name in parts]
    arguments = {"width": 8, **layout.given} if layout.model in ("hanet", "mspsnet") else {}
    assert set(ours) == set(shapes_of(layout.model, arguments))
    assert not any(layout.is_dead(name) for name in layout.names())


def test_a_changed_network_is_refused_in_words(tmp_path: Path) -> None:
    released, _ = _released("tinycd")
    state = released.state
    for change, message in (
        (
            {"_classify._linears.3.0.weight": torch.zeros(1)},
            "another network than TinyCD: 1 tensor",
        ),
        ({"_up.0._convolution.0.bias": torch.zeros(3)}, "has the shape (3,), a TinyCD has (56,)"),
    ):
        torch.save({**state, **change}, tmp_path / "a.pth")
        with pytest.raises(WeightsError) as error:
            _converted(tmp_path / "a.pth")
        assert message in error.value.message
    wide, _ = _released("snunet")
    first = torch.zeros(18, 3, 3, 3)
    torch.save({**wide.state, "conv0_0.conv1.weight": first}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="sizes that no SNUNet-CD"):
        _converted(tmp_path / "a.pth")


def test_the_verb_says_what_it_found(tmp_path: Path) -> None:
    released, _ = _released("bit")
    _of_a_trainer("bit", released.state, tmp_path / "best_ckpt.pt")
    out = tmp_path / "bit.safetensors"
    result = CliRunner().invoke(
        app, ["convert", str(tmp_path / "best_ckpt.pt"), str(out), "--dataset", "levir-cd"]
    )
    assert result.exit_code == 0, result.output
    assert "a state dict under model_G_state_dict" in result.output
    assert "bit, decoder head width 8, 3,037,026 parameters" in result.output
    assert "resnet.layer4.1.conv2" in result.output
    assert out.is_file()
