"""What an engine says, in our words."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from difference_weights import write_difference_weights
from hanet.errors import WeightsError
from hanet.weights.engine import Engine
from hanet.weights.engine_errors import reason_of
from hanet.weights.runtime import (
    Runtime,
    Runtimes,
    imported_onnxruntime,
    on_scale,
    open_runtime,
    reusing_runtimes,
)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("std::bad_alloc", r"needs more memory than there is to be loaded \(std::bad_alloc\)"),
        ("Protobuf parsing failed.", "cannot be loaded: Protobuf parsing failed."),
    ],
    ids=["memory", "file"],
)
def test_what_fails_while_weights_are_loaded_is_told_apart(
    said: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where memory did not suffice the file was said to be damaged, or a smaller --tile was
    advised."""

    def fails(*arguments: Any, **options: Any) -> None:
        raise RuntimeError(said)

    weights = write_difference_weights(tmp_path / "difference.onnx")
    monkeypatch.setattr(onnxruntime, "InferenceSession", fails)
    with pytest.raises(WeightsError, match=told):
        open_runtime(weights)


def test_a_runtime_takes_0_to_255_whatever_the_scale(tmp_path: Path) -> None:
    """The rule stood in detection, in evaluation and nowhere in the runtime."""

    def opened(scale: float) -> Runtime:
        file = tmp_path / f"{scale:g}.onnx"
        return open_runtime(write_difference_weights(file, scale=scale), Engine(threads=1))

    before, after = (
        np.random.default_rng(n).uniform(0, 255, (2, 3, 16, 24)).astype(np.float32) for n in (1, 2)
    )
    half = np.float32(0.5)
    expected = opened(255.0).predict(before * half, after * half)
    np.testing.assert_array_equal(opened(127.5).predict(before, after), expected)


def test_weights_that_stay_are_opened_once_by_what_they_hold(tmp_path: Path) -> None:
    """Ten thousand pairs loaded the same weights ten thousand times."""
    one = write_difference_weights(tmp_path / "one.onnx")
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(one.read_bytes())
    other = write_difference_weights(tmp_path / "other.onnx", scale=1.0)
    kept: Runtimes = {}
    with reusing_runtimes(kept):
        first = open_runtime(one)
        assert open_runtime(copy) is first
        assert open_runtime(one, Engine(threads=3)) is not first
        assert open_runtime(other) is not first
    assert len(kept) == 3
    assert open_runtime(one) is not first


def test_scale_255_is_no_multiplication() -> None:
    image = np.ones((1, 3, 4, 4), dtype=np.float32)
    assert on_scale(image, 255.0) is image
    np.testing.assert_array_equal(on_scale(image, 510.0), 2 * image)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to one process")
def test_an_interrupt_while_the_engine_is_imported_comes_after(tmp_path: Path) -> None:
    """Its compiled part printed a traceback of its own."""
    # stands for the compiled part: what interrupts it is printed by itself, and lost
    (tmp_path / "onnxruntime.py").write_text(
        "import os, signal, time\n"
        "try:\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    time.sleep(0.05)\n"
        "except KeyboardInterrupt:\n"
        "    print('Traceback')\n"
    )
    script = (
        "from hanet.weights.runtime import imported_onnxruntime\n"
        "try:\n"
        "    imported_onnxruntime()\n"
        "except KeyboardInterrupt:\n"
        "    print('stopped')\n"
    )
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    ended = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
        check=True,
    )
    assert ended.stdout == "stopped\n"


def test_an_interrupt_outside_the_main_thread_is_left_alone() -> None:
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(imported_onnxruntime).result() is onnxruntime


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            "[ONNXRuntimeError] : 1 : FAIL : Non-zero status code returned while running Reshape "
            "node. Name:'' Status Message: /onnxruntime_src/core/reshape_helper.h:91 "
            "onnxruntime::ReshapeHelper(const onnxruntime::TensorShape&, bool) "
            "input_shape_size == size was false. The input tensor cannot be reshaped.\n",
            "Reshape: The input tensor cannot be reshaped.",
        ),
        (
            "[ONNXRuntimeError] : 1 : FAIL : Load model from a b.onnx failed:/onnxruntime_src/core/"
            "graph/model.cc:256 onnxruntime::Model::Model(onnx::ModelProto&&, const int&) "
            "Unsupported model IR version: 99, max supported IR version: 14\n",
            "Unsupported model IR version: 99, max supported IR version: 14",
        ),
        (
            "[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Load model from a.onnx failed:Invalid "
            "model. Node input 'x' is not a graph input.",
            "Invalid model. Node input 'x' is not a graph input.",
        ),
        ("", "ValueError"),
    ],
)
def test_the_words_of_an_engine_are_said_without_its_source(said: str, reason: str) -> None:
    assert reason_of(ValueError(said)) == reason
