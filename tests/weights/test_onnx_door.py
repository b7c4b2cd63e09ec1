"""Damaged and hostile ONNX files are refused in one line, before any work."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from difference_weights import write_difference_weights
from hanet.errors import SettingsError, WeightsError
from hanet.metadata import METADATA_KEY
from hanet.weights import engine_errors
from hanet.weights import runtime as runtime_module
from hanet.weights.engine import Engine
from hanet.weights.onnx_size import largest_constant_shape
from hanet.weights.runtime import open_runtime

Change = Callable[[ModelProto], None]
ONE = Engine(threads=1)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A file that every test damages in one way."""
    return write_difference_weights(tmp_path / "good.onnx")


def damaged(path: Path, change: Change) -> Path:
    """The file after a change of its protobuf."""
    model = onnx.load(str(path))
    change(model)
    path.write_bytes(model.SerializeToString())
    return path


def refused(path: Path, engine: Engine = ONE) -> str:
    """The one line that opening the file ends in."""
    with pytest.raises(WeightsError) as caught:
        open_runtime(path, engine)
    message = caught.value.message
    assert message.isprintable()
    assert len(message) < 500
    assert "onnxruntime_src" not in message
    assert caught.value.hint
    return message


def behind(nodes: Sequence[NodeProto], shape: Sequence[Any] = ("b", 1, "h", "w")) -> Change:
    """The network with these nodes between its probability and its output."""

    def change(model: ModelProto) -> None:
        graph = model.graph
        graph.node[-1].output[0] = "inner"
        graph.node.extend(nodes)
        del graph.output[:]
        graph.output.append(helper.make_tensor_value_info("probability", TensorProto.FLOAT, shape))

    return change


def constant(name: str, value: Any) -> NodeProto:
    """A constant node."""
    return helper.make_node(
        "Constant", [], [name], value=numpy_helper.from_array(np.asarray(value))
    )


def inputs_of(shape: Sequence[Any], kind: int = TensorProto.FLOAT) -> Change:
    """Both inputs declared anew."""

    def change(model: ModelProto) -> None:
        del model.graph.input[:]
        model.graph.input.extend(
            helper.make_tensor_value_info(name, kind, shape) for name in ("before", "after")
        )

    return change


def renamed(model: ModelProto) -> None:
    model.graph.input[0].name = "earlier"
    model.graph.node[0].input[1] = "earlier"


def no_such_group(model: ModelProto) -> None:
    next(n for n in model.graph.node if n.op_type == "Conv").attribute.append(
        helper.make_attribute("group", 2)
    )


def too_dilated(model: ModelProto) -> None:
    conv = next(n for n in model.graph.node if n.op_type == "Conv")
    conv.attribute.append(helper.make_attribute("dilations", [4000, 4000]))


def no_such_operator(model: ModelProto) -> None:
    model.graph.node[1].op_type = "Abs\x1b[31m"


def without_metadata(model: ModelProto) -> None:
    del model.metadata_props[:]


RESIZED = [constant("a", np.array([1, 1, 2, 2], np.float32))]
DAMAGES: dict[str, tuple[Change, str]] = {
    "renamed": (renamed, "inputs earlier, after"),
    "five bands": (inputs_of(["b", 5, "h", "w"]), "takes 5 bands"),
    "flat": (inputs_of(["b", 3]), "cannot be"),
    "whole numbers": (inputs_of(["b", 3, "h", "w"], TensorProto.INT64), "cannot be loaded"),
    "half numbers": (inputs_of(["b", 3, "h", "w"], TensorProto.FLOAT16), "cannot be loaded"),
    "batch of four": (inputs_of([4, 3, "h", "w"]), "4 images at once"),
    "not square": (inputs_of(["b", 3, 32, 64]), "32x64 pixels"),
    "height alone": (inputs_of(["b", 3, 32, "w"]), "32xany pixels"),
    "group": (no_such_group, "cannot be"),
    "dilation": (too_dilated, "cannot be run"),
    "operator": (no_such_operator, "cannot be loaded"),
    "twice size out": (
        behind(
            [*RESIZED, helper.make_node("Resize", ["inner", "", "a"], ["probability"])],
            ["b", 1, "y", "x"],
        ),
        "a probability for each pixel",
    ),
    "half size out": (
        behind(
            [
                constant("a", np.array([1, 1, 0.5, 0.5], np.float32)),
                helper.make_node("Resize", ["inner", "", "a"], ["probability"]),
            ],
            ["b", 1, "y", "x"],
        ),
        "a probability for each pixel",
    ),
    "twice batch": (
        behind(
            [helper.make_node("Concat", ["inner", "inner"], ["probability"], axis=0)],
            ["c", 1, "h", "w"],
        ),
        "a probability for each pixel",
    ),
    "two channels": (
        behind(
            [helper.make_node("Concat", ["inner", "inner"], ["probability"], axis=1)],
            ["b", 2, "h", "w"],
        ),
        "a probability for each pixel",
    ),
    "turned": (
        behind(
            [helper.make_node("Transpose", ["inner"], ["probability"], perm=[0, 1, 3, 2])],
            ["b", 1, "w", "h"],
        ),
        "a probability for each pixel",
    ),
    "no channels": (
        behind(
            [
                constant("start", np.array([0], np.int64)),
                constant("axis", np.array([1], np.int64)),
                helper.make_node("Slice", ["inner", "start", "start", "axis"], ["probability"]),
            ],
            ["b", "c", "h", "w"],
        ),
        "a probability for each pixel",
    ),
    "flat out": (
        behind([helper.make_node("Flatten", ["inner"], ["probability"])], ["b", "n"]),
        "a probability for each pixel",
    ),
    "logits": (
        behind(
            [
                constant("a", np.float32(-9)),
                helper.make_node("Add", ["inner", "a"], ["probability"]),
            ]
        ),
        "gives values from -8.95",
    ),
    "NaN": (
        behind(
            [
                constant("a", np.float32("nan")),
                helper.make_node("Add", ["inner", "a"], ["probability"]),
            ]
        ),
        "not finite",
    ),
    "infinite": (
        behind(
            [
                constant("a", np.float32("inf")),
                helper.make_node("Add", ["inner", "a"], ["probability"]),
            ]
        ),
        "not finite",
    ),
    "huge constant": (
        behind(
            [
                constant("a", np.array([1, 1, 200_000, 200_000], np.int64)),
                helper.make_node("ConstantOfShape", ["a"], ["big"]),
                helper.make_node("ReduceMax", ["big"], ["most"], keepdims=0),
                helper.make_node("Add", ["inner", "most"], ["probability"]),
            ]
        ),
        "a constant of 4.0e",
    ),
    "huge expansion": (
        behind(
            [
                constant("a", np.array([1, 1, 200_000, 200_000], np.int64)),
                constant("one", np.ones((1, 1, 1, 1), np.float32)),
                helper.make_node("Expand", ["one", "a"], ["big"]),
                helper.make_node("ReduceMax", ["big"], ["most"], keepdims=0),
                helper.make_node("Add", ["inner", "most"], ["probability"]),
            ]
        ),
        "a constant of 4.0e",
    ),
    "huge range": (
        behind(
            [
                *(constant(name, np.int64(v)) for name, v in (("a", 0), ("z", 2**40), ("s", 1))),
                helper.make_node("Range", ["a", "z", "s"], ["whole"]),
                helper.make_node("Cast", ["whole"], ["big"], to=TensorProto.FLOAT),
                helper.make_node("ReduceMin", ["big"], ["least"], keepdims=0),
                helper.make_node("Add", ["inner", "least"], ["probability"]),
            ]
        ),
        "a constant of 1.1e+12",
    ),
    "fine range": (
        behind(
            [
                helper.make_node("Constant", [], ["a"], value_float=1.0),
                helper.make_node("Constant", [], ["z"], value_float=0.0),
                constant("s", np.float32(-1e-9)),
                helper.make_node("Range", ["a", "z", "s"], ["big"]),
                helper.make_node("ReduceMin", ["big"], ["least"], keepdims=0),
                helper.make_node("Add", ["inner", "least"], ["probability"]),
            ]
        ),
        "a constant of 1.0e+09",
    ),
    "huge noise": (
        behind(
            [
                helper.make_node("RandomNormal", [], ["big"], shape=[2**17, 2**17]),
                helper.make_node("ReduceMin", ["big"], ["least"], keepdims=0),
                helper.make_node("Add", ["inner", "least"], ["probability"]),
            ]
        ),
        "a constant of 1.7e+10",
    ),
    "huge margin": (
        behind(
            [
                constant("a", np.array([0, 0, 0, 0, 0, 0, 2**20, 2**20], np.int64)),
                helper.make_node("Pad", ["inner", "a"], ["big"]),
                helper.make_node("ReduceMin", ["big"], ["least"], keepdims=0),
                helper.make_node("Add", ["inner", "least"], ["probability"]),
            ]
        ),
        "needs more memory than there is for images of",
    ),
    "one number": (
        behind([helper.make_node("ReduceMax", ["inner"], ["probability"], keepdims=0)], []),
        "float32 of 0 dimensions () where four dimensions (2, 1,",
    ),
    "no metadata": (without_metadata, "holds no hanet metadata"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_file_is_refused_before_the_work(name: str, good: Path) -> None:
    """Each of these ended in a traceback, some of them in the middle of a detection."""
    change, said = DAMAGES[name]
    message = refused(damaged(good, change))
    assert said in message


@pytest.mark.parametrize("name", ["twice size out", "twice batch", "logits", "dilation", "NaN"])
def test_openvino_refuses_them_too(name: str, good: Path) -> None:
    pytest.importorskip("openvino")
    refused(damaged(good, DAMAGES[name][0]), Engine("openvino", 1))


@pytest.mark.parametrize(
    ("kind", "name"), [(TensorProto.DOUBLE, "double"), (TensorProto.FLOAT16, "float16")]
)
def test_inputs_of_other_numbers_are_refused(kind: int, name: str, good: Path) -> None:
    def change(model: ModelProto) -> None:
        inputs_of(["b", 3, "h", "w"], kind)(model)
        for node in model.graph.node:
            node.input[:] = [f"{n} as float" if n in ("before", "after") else n for n in node.input]
        for n in ("before", "after"):
            cast = helper.make_node("Cast", [n], [f"{n} as float"], to=TensorProto.FLOAT)
            model.graph.node.insert(0, cast)

    assert f"tensor({name})" in refused(damaged(good, change))


def test_a_sequence_is_refused(good: Path) -> None:
    def change(model: ModelProto) -> None:
        graph = model.graph
        graph.node[-1].output[0] = "inner"
        graph.node.append(helper.make_node("SequenceConstruct", ["inner"], ["probability"]))
        del graph.output[:]
        graph.output.append(
            helper.make_tensor_sequence_value_info("probability", TensorProto.FLOAT, None)
        )

    assert "tensor(float) is needed" in refused(damaged(good, change))


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b"not ONNX", b"\xff" * 50], ids=repr)
def test_a_file_that_is_not_onnx_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(content)
    refused(path)


def test_every_flipped_byte_of_the_metadata_is_read_or_refused(good: Path) -> None:
    """Metadata that are no longer UTF-8 raised UnicodeDecodeError."""
    content = good.read_bytes()
    start = content.index(b'{"bands"')
    for at in range(start - 20, start + 60, 3):
        flipped = bytearray(content)
        flipped[at] ^= 0xC1
        good.write_bytes(bytes(flipped))
        with suppress(WeightsError):
            open_runtime(good, ONE)


def test_a_free_dimension_whose_name_is_not_utf_8_is_refused(good: Path) -> None:
    """ONNX Runtime raised UnicodeDecodeError when the shape was asked for."""
    for entry in (content := onnx.load(good)).graph.input:
        entry.type.tensor_type.shape.dim[2].dim_param = "height_of_it"
    good.write_bytes(content.SerializeToString().replace(b"height_of_it", b"height_of_\xb3t"))
    assert "cannot be read" in refused(good)


def test_a_name_with_terminal_escapes_is_refused(good: Path) -> None:
    def change(model: ModelProto) -> None:
        entry = next(entry for entry in model.metadata_props if entry.key == METADATA_KEY)
        entry.value = entry.value.replace('"name": "difference"', '"name": "\\u001b[31m"')

    assert "name holds control characters" in refused(damaged(good, change))


def test_a_loop_without_end_is_ended(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_errors, "TRIAL_SECONDS", 1.0)
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["more"], ["more_out"]),
            helper.make_node("Add", ["value", "value"], ["value_out"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("n", TensorProto.INT64, []),
            helper.make_tensor_value_info("more", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("more_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value_out", TensorProto.FLOAT, None),
        ],
    )
    nodes = [
        constant("often", np.int64(2**62)),
        constant("true", np.bool_(True)),
        helper.make_node("Loop", ["often", "true", "inner"], ["probability"], body=body),
    ]
    begun = time.perf_counter()
    assert "needs more than 1 s for the smallest images" in refused(damaged(good, behind(nodes)))
    assert time.perf_counter() - begun < 15


def test_a_fixed_batch_of_one_is_fed_one_by_one(good: Path, tmp_path: Path) -> None:
    """Several tiles at once ended in InvalidArgument."""
    free = open_runtime(write_difference_weights(tmp_path / "free.onnx"), ONE)
    fixed = open_runtime(damaged(good, inputs_of([1, 3, "h", "w"])), ONE)
    before, after = (
        np.random.default_rng(n).uniform(0, 255, (3, 3, 16, 24)).astype(np.float32) for n in (1, 2)
    )
    np.testing.assert_array_equal(fixed.predict(before, after), free.predict(before, after))


def test_a_fixed_size_is_the_tile(good: Path) -> None:
    """A file of --static 256 was fed tiles of 512 and ended in InvalidArgument."""
    runtime = open_runtime(damaged(good, inputs_of(["b", 3, 256, 256])), ONE)
    assert (runtime.metadata.tile_px, runtime.metadata.overlap_px) == (256, 64)
    image = np.zeros((1, 3, 512, 512), np.float32)
    with pytest.raises(SettingsError, match="tiles of 256 pixels only"):
        runtime.predict(image, image)
    small = image[..., :256, :256]
    assert runtime.predict(small, small).shape == (1, 256, 256)


def test_what_fails_later_is_told_in_words(good: Path) -> None:
    runtime: Any = open_runtime(good, ONE)

    class Failing:
        def run(self, *_: Any) -> Any:
            raise RuntimeError("[ONNXRuntimeError] : 1 : FAIL : \x1b[31mno\nsecond line")

    runtime._session = Failing()
    image = np.zeros((1, 3, 8, 8), np.float32)
    with pytest.raises(WeightsError, match="cannot be run") as caught:
        runtime.predict(image, image)
    assert caught.value.message.isprintable()


def test_a_trial_is_of_the_smallest_window_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes: list[tuple[int, ...]] = []
    checked = runtime_module.checked_probability

    def watching(found: object, images: Any, file: str) -> Any:
        shapes.append(images.shape)
        return checked(found, images, file)

    monkeypatch.setattr(runtime_module, "checked_probability", watching)
    open_runtime(write_difference_weights(tmp_path / "a.onnx", smallest_px=32), ONE)
    assert shapes == [(2, 3, 32, 33)]
    runtime_module.read_onnx_metadata(tmp_path / "a.onnx")
    assert len(shapes) == 1


def test_probability_is_in_range_to_the_last_bit() -> None:
    images = np.zeros((1, 3, 1, 2), np.float32)
    found = np.array([[[[1.0000001, -1e-7]]]], np.float32)
    checked = runtime_module.checked_probability(found, images, "a.onnx")
    np.testing.assert_array_equal(checked, [[[1.0, 0.0]]])


def test_sizes_are_read_from_the_bytes_alone(good: Path, tmp_path: Path) -> None:
    assert largest_constant_shape(good) == 0
    change, _ = DAMAGES["huge constant"]
    assert largest_constant_shape(damaged(good, change)) == 200_000**2
    content = good.read_bytes()
    for cut in range(0, len(content), 7):
        good.write_bytes(content[:cut])
        assert largest_constant_shape(good) in (0, 200_000**2)
    assert largest_constant_shape(tmp_path / "missing.onnx") == 0


def test_shape_in_an_initializer_is_read(good: Path) -> None:
    def change(model: ModelProto) -> None:
        shape = np.array([3, 50_000, 50_000], np.int64)
        model.graph.initializer.append(numpy_helper.from_array(shape, "shape"))
        listed = helper.make_tensor("listed", TensorProto.INT64, [2], [7, 11])
        model.graph.initializer.append(listed)
        for name in ("shape", "listed"):
            model.graph.node.append(helper.make_node("ConstantOfShape", [name], [f"of {name}"]))

    assert largest_constant_shape(damaged(good, change)) == 3 * 50_000**2


@pytest.mark.parametrize("number", [np.inf, np.nan])
def test_a_shape_that_is_no_number_hides_no_other(good: Path, number: float) -> None:
    def change(model: ModelProto) -> None:
        for name, shape in (("odd", np.array([number])), ("shape", np.array([9, 9], np.int64))):
            model.graph.initializer.append(numpy_helper.from_array(shape, name))
            model.graph.node.append(helper.make_node("ConstantOfShape", [name], [f"of {name}"]))

    assert largest_constant_shape(damaged(good, change)) == 81


def test_the_metadata_of_a_wrong_graph_are_not_given(good: Path) -> None:
    damaged(good, DAMAGES["renamed"][0])
    with pytest.raises(WeightsError):
        runtime_module.read_onnx_metadata(good)
