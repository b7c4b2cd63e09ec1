"""bfloat16 by OpenVINO and torch: near float32 on a rendered pair, and refused where it would not
be computed or would be slower."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from hanet import load
from hanet.detection.job import detect
from hanet.errors import OutputError, SettingsError
from hanet.synthetic.scene import render_scene
from hanet.types import FloatArray
from hanet.weights import catalogue
from hanet.weights.engine import Engine, RuntimeName, RuntimePrecision
from hanet.weights.runtime import open_runtime

SUFFIXES = {"openvino": ".onnx", "torch": ".safetensors"}

MEAN_TOLERANCE = 0.003
"""Largest mean difference of probability; 0.0003 on LEVIR-CD's tiles-256/val, where F1 falls by
0.0001 (2026-11, AMX)."""

MASK_TOLERANCE = 0.003
"""Largest share of pixels on another side of the threshold; 0.0002 there."""


def _shipped(engine: RuntimeName) -> Path:
    return catalogue.resolve("hanet_lite", suffixes=(SUFFIXES[engine],))


@pytest.fixture
def needs_bf16(engine: RuntimeName) -> None:
    """Skips where the engine is missing, or refuses and the processor's own flags agree with it."""
    pytest.importorskip(engine)
    try:
        open_runtime(_shipped(engine), Engine(engine, 1, "bf16"))
    except SettingsError as error:
        facts = Path("/proc/cpuinfo")
        flags = facts.read_text().split() if facts.exists() else []
        assert "amx_bf16" not in flags
        pytest.skip(error.message)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> tuple[FloatArray, FloatArray]:
    """Two rendered dates, (1, 3, 256, 256)."""
    files = render_scene(tmp_path_factory.mktemp("scene"), size=256, seed=1, change_share=0.4)
    read = []
    for path in (files.before, files.after):
        with rasterio.open(path) as dataset:
            read.append(dataset.read()[None].astype(np.float32))
    return read[0], read[1]


@pytest.mark.parametrize("engine", ["openvino", "torch"])
@pytest.mark.usefixtures("needs_bf16")
def test_bf16_is_near_fp32(engine: RuntimeName, images: tuple[FloatArray, FloatArray]) -> None:
    def probability(precision: RuntimePrecision) -> FloatArray:
        runtime = open_runtime(_shipped(engine), Engine(engine, 1, precision))
        return runtime.predict(*images)

    full, half = probability("fp32"), probability("bf16")
    assert half.dtype == np.float32
    difference = np.abs(half - full)
    assert difference.max() > 1e-4  # it was computed otherwise, not only asked for
    assert difference.mean() < MEAN_TOLERANCE
    threshold = catalogue.read_metadata(_shipped(engine)).threshold
    assert (full >= threshold).mean() > 0.01
    assert ((half >= threshold) != (full >= threshold)).mean() < MASK_TOLERANCE
    loaded = load("hanet_lite", runtime=engine, threads=1, precision="bf16")
    by_arrays = loaded.predict(images[0][0], images[1][0], tile_px=256, overlap_px=0)
    assert by_arrays == pytest.approx(half[0], abs=1e-6)


@pytest.mark.parametrize("engine", ["openvino"])
@pytest.mark.usefixtures("needs_bf16")
def test_a_detection_in_bf16_says_so_and_is_another_run(
    engine: RuntimeName, tmp_path: Path
) -> None:
    files = render_scene(tmp_path / "scene", size=256, seed=1)
    settings: dict[str, Any] = {
        "out": tmp_path / "out",
        "runtime": engine,
        "threads": 1,
        "report": False,
    }
    detect(files.before, files.after, precision="bf16", **settings)
    manifest = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    assert (
        manifest["identity"]["settings"]["runtime"],
        manifest["identity"]["settings"]["precision"],
    ) == (
        engine,
        "bf16",
    )
    with pytest.raises(OutputError, match=r"in: settings \(precision\)"):
        detect(files.before, files.after, resume=True, **settings)


@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_a_processor_without_bf16_is_told(
    engine: RuntimeName, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = pytest.importorskip(engine)
    if engine == "torch":
        monkeypatch.setattr(
            module.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_f": True}
        )
    else:
        monkeypatch.setattr(module.Core, "get_property", lambda *_: ["FP32", "INT8", "BIN"])
    with pytest.raises(SettingsError, match="no instructions for bf16") as caught:
        open_runtime(_shipped(engine), Engine(engine, 1, "bf16"))
    assert caught.value.hint == "leave --precision out"


def test_what_no_runtime_computes_in_is_refused() -> None:
    lite = catalogue.resolve("hanet_lite", suffixes=(".onnx",))
    with pytest.raises(SettingsError, match="onnxruntime does not compute in bf16"):
        open_runtime(lite, Engine(precision="bf16"))
    with pytest.raises(SettingsError, match="no precision 'fp16'"):
        Engine(precision="fp16")  # type: ignore[arg-type]
