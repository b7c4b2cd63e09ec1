"""Exported files: what stands in them, that other tools run them, and that a mismatch is
refused."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from hanet.cli import main
from hanet.datasets.calibration_tiles import read_calibration_tiles
from hanet.errors import ParityError, SettingsError, WeightsError
from hanet.imagery.images import write_png
from hanet.metadata import METADATA_KEY, Metadata
from hanet.models import ChangeModel, create
from hanet.models.fusion import Margin
from hanet.models.layers.attention import attend
from hanet.synthetic.scene import render_pair
from hanet.types import FloatArray
from hanet.weights import export as export_module
from hanet.weights.engine import Engine
from hanet.weights.export import deepness_properties, export_onnx
from hanet.weights.probability import ProbabilityNetwork
from hanet.weights.quantisation import CalibrationTiles
from hanet.weights.runtime import open_runtime, read_onnx_metadata
from hanet.weights.weights_file import load_weights, save_weights

OPENVINO_TOLERANCE = 1e-3
"""Of probability, OpenVINO in fp32 against torch."""


@pytest.fixture(scope="module")
def network() -> ChangeModel:
    """Small and untrained, with its probabilities spread out."""
    torch.manual_seed(0)
    return create("hanet_lite", width=16).eval()


@pytest.fixture(scope="module")
def metadata() -> Metadata:
    return Metadata(
        name="small", model="hanet_lite", model_arguments={"width": 16}, tile_px=64, overlap_px=16, gsd_m=0.3,
        threshold=0.4, std_after=(0.2, 0.21, 0.22), temperature=0.5,
    )  # fmt: skip


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set to calibrate on: six rendered pairs of 64x64."""
    root = tmp_path_factory.mktemp("tiles") / "data"
    for number in range(6):
        before, after, change = render_pair(64, 64, number, change_share=0.6)
        for folder, image in (("A", before), ("B", after), ("label", change)):
            (root / "train" / folder).mkdir(parents=True, exist_ok=True)
            write_png(root / "train" / folder / f"{number}.png", image)
    return root


def _reader(tiles: Path) -> Callable[[int | None], CalibrationTiles]:
    return lambda side_px: read_calibration_tiles(tiles, divisor=16, scale=255.0, side_px=side_px)


def _images(*shape: int) -> tuple[FloatArray, FloatArray]:
    random = np.random.default_rng(3)
    before, after = (random.uniform(0, 255, shape).astype(np.float32) for _ in range(2))
    return before, after


def _by_torch(
    network: ChangeModel, metadata: Metadata, images: tuple[FloatArray, FloatArray]
) -> FloatArray:
    with torch.inference_mode():
        found = ProbabilityNetwork(Margin(network), metadata)(
            *(torch.from_numpy(image) for image in images)
        )
    return np.asarray(found.numpy())


def test_probability_is_in_range_to_the_last_bit(
    network: ChangeModel, metadata: Metadata, tmp_path: Path
) -> None:
    """ONNX Runtime's sigmoid gives 1.0000001 here and there, and evaluation refused whatever a
    network was so sure of."""
    export_onnx(network, metadata, tmp_path / "sure.onnx")
    runtime = open_runtime(tmp_path / "sure.onnx", Engine(threads=1))
    above = np.nextafter(np.float32(1), np.float32(2), dtype=np.float32)
    runtime._session = SimpleNamespace(run=lambda *_: [np.full((1, 1, 64, 64), above)])  # type: ignore[attr-defined]
    images = np.zeros((1, 3, 64, 64), dtype=np.float32)
    assert runtime.predict(images, images).max() == 1.0


def test_weights_that_contradict_themselves_or_cannot_be_calibrated_are_refused(
    tiles: Path, tmp_path: Path
) -> None:
    four = create("hanet_lite", width=8, bands=4)
    arguments = {"width": 8, "bands": 4}
    save_weights(tmp_path / "lie.safetensors", four, Metadata("lie", "hanet_lite", arguments))
    with pytest.raises(WeightsError, match="takes 4 bands, its metadata name red, green, blue"):
        load_weights(tmp_path / "lie.safetensors")
    means: dict[str, Any] = {
        f"{kind}_{date}": (0.4,) * 4 for kind in ("mean", "std") for date in ("before", "after")
    }
    true = Metadata(
        "four", "hanet_lite", arguments, bands=("red", "green", "blue", "infrared"), **means
    )
    with pytest.raises(SettingsError, match="this network takes 4"):
        export_onnx(
            four, true, tmp_path / "four.onnx", precision="int8", calibration=_reader(tiles)
        )


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_any_batch_and_size_by_any_engine(
    engine: str, network: ChangeModel, metadata: Metadata, tmp_path: Path
) -> None:
    if engine == "openvino":
        pytest.importorskip("openvino")
    export_onnx(network, metadata, tmp_path / "a.onnx")
    runtime = open_runtime(tmp_path / "a.onnx", Engine(engine, 1))  # type: ignore[arg-type]
    for shape in ((1, 3, 64, 96), (2, 3, 32, 32), (3, 3, 80, 48)):
        images = _images(*shape)
        expected = _by_torch(network, metadata, images)[:, 0]
        assert expected.std() > 1e-4
        np.testing.assert_allclose(runtime.predict(*images), expected, atol=OPENVINO_TOLERANCE)


def test_parity_and_precision_stand_in_the_file(
    network: ChangeModel, metadata: Metadata, tmp_path: Path
) -> None:
    report = export_onnx(network, metadata, tmp_path / "a.onnx")
    read = read_onnx_metadata(tmp_path / "a.onnx")
    parity = read.extra["parity"]
    assert parity["largest_difference"] == report.largest_difference <= parity["tolerance"] == 1e-3
    assert parity["against"] == f"torch {torch.__version__}"
    assert (read.extra["precision"], read.extra["inputs"]) == ("fp32", "two")
    assert (read.threshold, read.gsd_m, read.std_after) == (0.4, 0.3, (0.2, 0.21, 0.22))


def test_a_static_size_is_fixed(network: ChangeModel, metadata: Metadata, tmp_path: Path) -> None:
    export_onnx(network, metadata, tmp_path / "a.onnx", static_size=64)
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx", providers=["CPUExecutionProvider"])
    assert [entry.shape for entry in session.get_inputs()] == [["batch", 3, 64, 64]] * 2
    with pytest.raises(SettingsError, match="size 40 does not fit"):
        export_onnx(network, metadata, tmp_path / "b.onnx", static_size=40)


def test_a_graph_that_differs_is_not_written(
    network: ChangeModel, metadata: Metadata, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = export_module._graph_of
    far_too_sure = ProbabilityNetwork(Margin(network), replace(metadata, temperature=1e-4)).eval()

    def wrong(_: ProbabilityNetwork, *rest: Any, **more: Any) -> bytes:
        return right(far_too_sure, *rest, **more)

    monkeypatch.setattr(export_module, "_graph_of", wrong)
    with pytest.raises(ParityError, match="differs from torch"):
        export_onnx(network, metadata, tmp_path / "a.onnx")
    assert not (tmp_path / "a.onnx").exists()
    content = wrong(far_too_sure, network, None, inputs="two", scale=255.0)
    asked = ProbabilityNetwork(Margin(network), metadata).eval()
    with pytest.raises(ParityError, match=r"in integers differs from torch by 0\.[1-9]"):
        export_module._int8_parity(asked, content, network, [_images(1, 3, 64, 64)], 0.4)


def test_a_file_is_not_blamed_for_what_torch_rounds_too() -> None:
    """Export refused a trained hanet, which on noise rounds to 0.001 in torch as in ONNX
    Runtime."""
    exact = np.array([0.5, 0.2])
    off = np.array([0.001, 0.0])
    assert export_module.is_rounding(exact + 2 * off, exact - off, exact)
    assert not export_module.is_rounding(exact + 4 * off, exact - off, exact), "farther than torch"
    assert not export_module.is_rounding(exact + 30 * off, exact + 30 * off, exact), (
        "too far for anything"
    )
    assert not export_module.is_rounding(exact * np.nan, exact - off, exact)


def test_a_trained_network_whose_rounding_shows_is_exported(
    network: ChangeModel, metadata: Metadata, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_module, "PARITY_TOLERANCE", 0.0)
    monkeypatch.setattr(export_module, "ROUNDING_FACTOR", 100.0)
    report = export_onnx(network, metadata, tmp_path / "a.onnx")
    assert 0.0 < report.largest_difference < 1e-4


def test_one_input_for_tools_that_take_one_raster(
    network: ChangeModel, metadata: Metadata, tmp_path: Path
) -> None:
    """As QGIS Deepness runs it: one square input of eight-bit values divided by 255, one output,
    form filled from the file."""
    export_onnx(network, metadata, tmp_path / "a.onnx", inputs="one")
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx", providers=["CPUExecutionProvider"])
    (given,), (output,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.shape) == ("image", ["batch", 6, 64, 64])
    assert output.shape[-3:] == [1, 64, 64]
    images = _images(2, 3, 64, 64)
    (found,) = session.run(None, {"image": np.concatenate(images, axis=1) / np.float32(255)})
    np.testing.assert_allclose(found, _by_torch(network, metadata, images), atol=1e-3)
    properties = session.get_modelmeta().custom_metadata_map
    values = {key: json.loads(text) for key, text in properties.items() if key != METADATA_KEY}
    assert values == {
        "model_type": "Segmentor",
        "class_names": {"0": "unchanged", "1": "changed"},
        "resolution": 30.0,
        "tile_size": 64,
        "tiles_size": 64,
        "tiles_overlap": 25,
        "seg_thresh": 0.4,
        "seg_small_segment": 0,
    }
    assert properties.keys() - {METADATA_KEY} == deepness_properties(metadata, size_px=64).keys()
    with pytest.raises(WeightsError, match="before, after and probability are needed") as error:
        open_runtime(tmp_path / "a.onnx")
    assert "--inputs one" in str(error.value.hint)


def test_int8_is_smaller_near_and_says_how_near(
    network: ChangeModel, metadata: Metadata, tiles: Path, tmp_path: Path
) -> None:
    export_onnx(network, metadata, tmp_path / "fp32.onnx")
    report = export_onnx(
        network, metadata, tmp_path / "int8.onnx", precision="int8", calibration=_reader(tiles)
    )
    kinds = {node.op_type for node in onnx.load(tmp_path / "int8.onnx").graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
    assert report.bytes < (tmp_path / "fp32.onnx").stat().st_size
    parity = read_onnx_metadata(tmp_path / "int8.onnx").extra["parity"]
    assert (
        0
        < parity["mean_difference"]
        == report.mean_difference
        <= parity["tolerance"]["mean_difference"]
    )
    assert parity["changed_mask_share"] == report.changed_mask_share
    assert (parity["tiles"], parity["precision"]) == (2, "int8")  # every third of six
    images = _images(1, 3, 64, 96)
    by_engine = [open_runtime(tmp_path / "int8.onnx", Engine(threads=1)).predict(*images)]
    assert np.abs(by_engine[0] - _by_torch(network, metadata, images)[:, 0]).mean() < 0.1


def test_calibration_says_what_it_needs(
    network: ChangeModel, metadata: Metadata, tiles: Path, tmp_path: Path
) -> None:
    for arguments, message in (
        ({"precision": "int8"}, "belong together"),
        ({"calibration": _reader(tiles)}, "belong together"),
        ({"precision": "bf16"}, "bf16 is not written"),
        ({"precision": "int4"}, "no export in 'int4'"),
        ({"inputs": "three"}, "no export in 'fp32' with 'three' inputs"),
        ({"inputs": "one", "precision": "int8", "calibration": _reader(tiles)}, "two inputs only"),
    ):
        with pytest.raises(SettingsError, match=message):
            export_onnx(network, metadata, tmp_path / "a.onnx", **arguments)  # type: ignore[arg-type]


def test_as_it_is_typed(
    network: ChangeModel, metadata: Metadata, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    save_weights(tmp_path / "a.safetensors", network, metadata)
    arguments = [
        "hanet",
        "export",
        str(tmp_path / "a.safetensors"),
        str(tmp_path / "a.onnx"),
        "--name",
        "renamed",
    ]
    monkeypatch.setattr(sys, "argv", arguments)
    main()
    assert "largest difference from torch" in capsys.readouterr().out
    assert read_onnx_metadata(tmp_path / "a.onnx").name == "renamed"
    monkeypatch.setattr(sys, "argv", [*arguments, "--precision", "bf16"])
    with pytest.raises(SystemExit):
        main()
    assert "hint:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("a.safetensors", "b.txt", "b.txt is no .onnx file"),
        ("a.onnx", "b.onnx", "is an .onnx file already"),
    ],
)
def test_kinds_of_files_are_not_confused(
    source: str, target: str, message: str, network: ChangeModel, metadata: Metadata, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    save_weights(tmp_path / "a.safetensors", network, metadata)
    (tmp_path / "a.onnx").write_bytes(b"")
    monkeypatch.setattr(
        sys, "argv", ["hanet", "export", str(tmp_path / source), str(tmp_path / target)]
    )
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / target).exists()


class _Attention(torch.nn.Module):
    def forward(self, query: torch.Tensor, lines: torch.Tensor) -> torch.Tensor:
        return attend(query, lines)


def test_attention_never_multiplies_by_subnormal_numbers() -> None:
    torch.manual_seed(0)
    query, lines = 5.0 * torch.randn(1, 4, 64, 16), 3.0 * torch.randn(1, 4, 64, 16)
    sure = torch.softmax(query @ lines.transpose(-1, -2), dim=-1)
    smallest = torch.finfo(torch.float32).tiny
    assert ((sure > 0) & (sure < smallest)).any()
    content = io.BytesIO()
    with export_module._quiet_exporter():
        torch.onnx.export(
            _Attention(), (query, lines), content, input_names=["query", "lines"], dynamo=False
        )  # type: ignore[arg-type]
    graph = onnx.load_from_string(content.getvalue())
    (weights,) = (node.output[0] for node in graph.graph.node if node.op_type == "Softmax")
    graph.graph.output.append(onnx.helper.make_empty_tensor_value_info(weights))
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    attended, used = session.run(None, {"query": query.numpy(), "lines": lines.numpy()})
    assert used.min() >= smallest
    np.testing.assert_allclose(used, sure.numpy(), rtol=1e-4, atol=1e-30)
    np.testing.assert_allclose(attended, attend(query, lines).numpy(), atol=1e-4)
