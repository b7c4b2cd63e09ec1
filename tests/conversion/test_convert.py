"""Old checkpoints: every layout gives the network that it holds, and says what it left out."""

from __future__ import annotations

import collections
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from hanet.conversion.checkpoint_file import open_checkpoint
from hanet.conversion.convert import Conversion, convert
from hanet.errors import HanetError, SettingsError, WeightsError
from hanet.models import create
from hanet.weights.weights_file import load_weights
from old_checkpoints import HAN, network, open_cd_state, save_module, save_open_cd

DEAD = ("c1_conv", "c2_conv", "c3_conv", "c4_conv")


def _converted(path: Path, *, dataset: str | None = "levir-cd") -> Conversion:
    return convert(path, path.with_suffix(".safetensors"), dataset=dataset)


def _same_logits(plain: nn.Module, weights: Path) -> None:
    ours, _ = load_weights(weights)
    generator = torch.Generator().manual_seed(5)
    before, after = (torch.randn(2, 3, 64, 48, generator=generator) for _ in range(2))
    with torch.inference_mode():
        expected, found = plain.eval()(before, after), ours(before, after)
    assert expected.std() > 0
    assert torch.allclose(found, expected, rtol=0, atol=2e-5 * float(expected.abs().max()))


@pytest.mark.parametrize(
    "module_name", ["models.HANet", "models.MSPSNetHCX", "nobody.knows.this_one"]
)
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_whole_modules_of_any_module_name(module_name: str, zipped: bool, tmp_path: Path) -> None:
    plain = network()
    save_module(
        tmp_path / "best.pt",
        plain,
        module_name=module_name,
        zipped=zipped,
        source=module_name.startswith("models"),
    )
    assert module_name not in sys.modules
    quoted = b"class PlainBlock" in (tmp_path / "best.pt").read_bytes()
    assert quoted == (
        module_name.startswith("models") and not zipped
    )  # the old container quotes the source
    result = _converted(tmp_path / "best.pt")
    _same_logits(plain, result.path)
    assert f"class {module_name}.HAN" in result.source
    assert result.arguments == {"width": 8, "head": "official"}
    assert {name.split(".")[0] for name in result.dead} == set(DEAD)
    assert result.dead_parameters == sum(
        p.numel() for n, p in plain.named_parameters() if n.split(".")[0] in DEAD
    )
    assert result.parameters == sum(p.numel() for p in plain.parameters()) - result.dead_parameters
    assert f"{module_name}.HAN" in result.strangers


def test_keys_and_metadata_are_those_of_the_package(tmp_path: Path) -> None:
    save_module(tmp_path / "best.pt", network(width=40), zipped=False)
    result = convert(tmp_path / "best.pt", tmp_path / "whu.safetensors", dataset="whu-cd")
    model, metadata = load_weights(result.path)
    assert list(model.state_dict()) == list(create("hanet").state_dict())
    assert result.parameters == 2_611_564
    assert metadata.mean_before == (0.4907, 0.4491, 0.3930)
    assert metadata.std_after == (0.2150, 0.2045, 0.2196)
    assert (metadata.name, metadata.gsd_m, metadata.divisor, metadata.tile_px) == (
        "whu",
        0.2,
        8,
        256,
    )
    assert result.sha256 in " ".join(metadata.notes)
    assert "c4_conv.weight" in " ".join(metadata.notes)
    assert int(model.state_dict()["encoder.blocks.0.norm1.num_batches_tracked"]) == 7


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize(
    "wrap", ["bare", "state_dict", "model_G_state_dict", "module.", "pickled DataParallel"]
)
def test_state_dicts_and_wrappers(wrap: str, zipped: bool, tmp_path: Path) -> None:
    plain = network()
    path, state = tmp_path / "best.pth", plain.state_dict()
    if wrap == "pickled DataParallel":
        save_module(path, nn.DataParallel(plain), zipped=zipped)
    else:
        if wrap == "module.":
            state = collections.OrderedDict(
                (f"module.{name}", tensor) for name, tensor in state.items()
            )
        content = {"epoch": 3, wrap: state} if wrap.endswith("state_dict") else state
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
    _same_logits(plain, _converted(path).path)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_checkpoints_of_open_cd(prefix: str, tmp_path: Path) -> None:
    plain = network(head="open-cd")
    save_open_cd(tmp_path / "iter_40000.pth", plain, state_prefix=prefix)
    result = _converted(tmp_path / "iter_40000.pth", dataset=None)
    _same_logits(plain, result.path)
    assert result.arguments == {"width": 8, "head": "open-cd"}
    assert "mmengine.logging.history_buffer.HistoryBuffer" in result.strangers
    assert "mmengine.logging.history_buffer.HistoryBuffer.mean" not in sys.modules
    _, metadata = load_weights(result.path)
    assert (
        metadata.mean_before == metadata.mean_after == (0.485, 0.456, 0.406)
    )  # ImageNet's, as Open-CD's page says


def test_our_own_state_dict(tmp_path: Path) -> None:
    ours = create("hanet", width=6).eval()
    torch.save(ours.state_dict(), tmp_path / "ours.pth")
    result = _converted(tmp_path / "ours.pth")
    _same_logits(ours, result.path)
    assert result.dead == ()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_become_float32_and_it_is_said(dtype: torch.dtype, tmp_path: Path) -> None:
    plain = network().to(dtype)
    torch.save(plain.state_dict(), tmp_path / "half.pth")
    result = _converted(tmp_path / "half.pth")
    _same_logits(plain.float(), result.path)
    assert str(dtype).removeprefix("torch.") in " ".join(result.notes)


def test_tensors_that_share_or_permute_a_storage_are_read_as_they_are(tmp_path: Path) -> None:
    plain = network().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    state = dict(plain.state_dict())
    big = torch.cat([torch.zeros(3), state["conv0_0.bias"]])
    state["conv0_0.bias"] = big[3:]
    for zipped in (True, False):
        torch.save(state, tmp_path / "views.pth", _use_new_zipfile_serialization=zipped)
        _same_logits(plain, _converted(tmp_path / "views.pth").path)


def test_files_of_torch_before_counters(tmp_path: Path) -> None:
    plain = network()
    torch.save(
        {n: t for n, t in plain.state_dict().items() if not n.endswith("num_batches_tracked")},
        tmp_path / "a.pth",
    )
    result = _converted(tmp_path / "a.pth")
    _same_logits(plain, result.path)
    assert "no counters" in " ".join(result.notes)


def test_what_stands_beside_the_network_is_left_out_and_said(tmp_path: Path) -> None:
    state = open_cd_state(network(head="open-cd")) | {"data_preprocessor.mean": torch.zeros(3)}
    torch.save({"state_dict": state}, tmp_path / "a.pth")
    assert _converted(tmp_path / "a.pth", dataset=None).beside == ("data_preprocessor.mean",)


def _without(state: dict[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    return {key: value for key, value in state.items() if key != name}


def _changed(network_: HAN) -> dict[str, dict[str, object]]:
    state = dict(network_.state_dict())
    diverged = state["conv6.bias"].clone()
    diverged[0] = float("nan")
    return {
        "lacks 1 tensors of HANet, the first: conv2.bn1.weight": _without(
            state, "conv2.bn1.weight"
        ),
        "lacks 1 tensors of HANet, the first: conv7.weight": _without(state, "conv7.weight"),
        "1 tensors are unknown, the first: conv8.weight": state | {"conv8.weight": torch.zeros(1)},
        "has the shape": state | {"conv4.bn1.weight": torch.zeros(3)},
        "values that are not finite": state | {"conv6.bias": diverged},
        "is of type int64": state | {"conv6.bias": torch.zeros(16, dtype=torch.int64)},
        "the first convolution": state | {"conv0_0.weight": torch.zeros(8, 6, 5, 5)},
        "holds no network that is known; it is a dictionary of 'weight'": {
            "weight": torch.zeros(3)
        },
        "holds 2 networks": {f"{part}.{n}": t for part in "ab" for n, t in state.items()},
        "conv6.bias is no tensor": state | {"conv6.bias": "hello"},
    }


@pytest.mark.parametrize("message", list(_changed(network())))
def test_other_networks_are_refused_in_words(message: str, tmp_path: Path) -> None:
    torch.save(_changed(network())[message], tmp_path / "a.pth")
    with pytest.raises(WeightsError) as error:
        _converted(tmp_path / "a.pth")
    assert message in error.value.message
    assert error.value.hint
    assert not (tmp_path / "a.safetensors").exists()


def test_statistics_are_never_guessed(tmp_path: Path) -> None:
    torch.save(network().state_dict(), tmp_path / "a.pth")
    with pytest.raises(SettingsError, match="which statistics") as error:
        _converted(tmp_path / "a.pth", dataset=None)
    assert "--dataset levir-cd; known are levir-cd, whu-cd" in str(error.value.hint)
    for dataset, out in (("imagenet", "a.safetensors"), ("levir-cd", "a.onnx")):
        with pytest.raises(HanetError):
            convert(tmp_path / "a.pth", tmp_path / out, dataset=dataset)


def test_a_bit_that_flipped_is_found(tmp_path: Path) -> None:
    torch.save(network().state_dict(), tmp_path / "a.pth")
    content = bytearray((tmp_path / "a.pth").read_bytes())
    place = open_checkpoint(tmp_path / "a.pth").places["0"]
    content[place.position] ^= 1
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(WeightsError, match="checksum"):
        _converted(tmp_path / "a.pth")
