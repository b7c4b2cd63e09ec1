"""Damaged and hostile weights: metadata, ONNX graphs, safetensors headers, bytes of both."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from campaigns import commands
from campaigns.damage import damaged, hostile_json, hostile_text
from campaigns.kinds import Bench, Command, Kind, Kinds
from campaigns.seeds import METADATA, onnx_bytes, onnx_model, safetensors_bytes, split_safetensors

FIELDS = (
    "name", "model", "model_arguments", "bands", "scale", "mean_before", "std_before",
    "mean_after", "std_after", "gsd_m", "threshold", "temperature", "divisor", "tile_px",
    "overlap_px", "training_data", "training_split", "experiment", "scores", "licence",
    "citation", "code_version", "notes", "extra", "format", "min_size_px", "unheard_of",
)  # fmt: skip
"""Keys of the metadata, and some that an older or newer version may have."""


def metadata(bench: Bench, verb: str) -> Command:
    """One to three fields of the metadata replaced by hostile values."""
    random = bench.random
    text = json.dumps(METADATA if verb != "export" else _small_metadata(bench))
    said = []
    for name in random.sample(FIELDS, random.randint(1, 3)):
        value = hostile_json(random)
        text = text[:-1] + f', "{name}": {value}}}'  # the last of two keys counts
        said.append(f"{name}={value[:30]}")
    return _with_metadata(bench, verb, text, ", ".join(said))


def metadata_text(bench: Bench, verb: str) -> Command:
    """Texts of the metadata, and of the scores, that are hostile; metadata that are no object."""
    random = bench.random
    values = json.loads(json.dumps(METADATA if verb != "export" else _small_metadata(bench)))
    if random.random() < 0.3:
        text = random.choice((hostile_json(random), hostile_text(random), "{", '{"format": 1}'))
        return _with_metadata(bench, verb, text, f"metadata {text[:30]!r}")
    texts = ("name", "model", "training_data", "licence", "citation", "notes", "code_version")
    name = random.choice(texts)
    text = hostile_text(random)
    values[name] = [text] if name == "notes" else text
    said = f"{name}={text[:30]!r}"
    if random.random() < 0.5:
        score = dict(METADATA["scores"][0])
        key = random.choice(list(score))
        score[key] = random.choice((text, None, [], float("nan"), 10**30, -1))
        values["scores"] = [score] * random.choice((1, 1, 50))
        said += f", scores {key}={score[key]!r}"[:60]
    return _with_metadata(bench, verb, json.dumps(values), said)


def _small_metadata(bench: Bench) -> dict[str, Any]:
    header, _ = split_safetensors((bench.seeds / "small.safetensors").read_bytes())
    found: dict[str, Any] = json.loads(header["__metadata__"]["hanet"])
    return found


def _with_metadata(bench: Bench, verb: str, text: str, what: str) -> Command:
    """Weights with this metadata: safetensors for export and now and then for the others."""
    text = text.encode("utf-8", "replace").decode()
    is_torch = verb == "export" or (verb in ("models", "evaluate") and bench.random.random() < 0.4)
    if is_torch:
        header, body = split_safetensors((bench.seeds / "small.safetensors").read_bytes())
        header["__metadata__"]["hanet"] = text
        content = safetensors_bytes(header, body)
    else:
        content = onnx_bytes(text)
    return _with_weights(bench, verb, content, ".safetensors" if is_torch else ".onnx", what)


def _with_weights(bench: Bench, verb: str, content: bytes, suffix: str, what: str) -> Command:
    """A verb that reads weights, on this file."""
    path = bench.folder / f"weights{suffix}"
    path.write_bytes(content)
    if verb == "models":
        return commands.models(bench, what)
    if verb == "export":
        return commands.export(bench, path.name, what)
    if verb == "evaluate":
        return commands.evaluate(bench, path.name, what)
    if verb == "check":
        pair = [bench.sound(f"{date}.tif").name for date in ("before", "after")]
        return Command(["check", *pair, "--weights", path.name], what)
    if verb == "train":
        return commands.train(bench, what, "--set", f"start_from='{path.name}'")
    if suffix == ".safetensors":
        pair = [bench.sound(f"{date}.tif").name for date in ("before", "after")]
        words = ["detect", *pair, "--out", "out", "--weights", path.name, "--runtime", "torch"]
        return Command([*words, "--threads", "1"], what, writes=(bench.folder / "out",))
    return commands.sound_detect(bench, what)


def onnx_broken(bench: Bench, verb: str) -> Command:
    """Bytes of an ONNX file damaged."""
    content, what = damaged(onnx_bytes(METADATA), bench.random)
    return _with_weights(bench, verb, content, ".onnx", f"ONNX: {what}")


OUTPUTS = (
    "half size", "twice the size", "twice the batch", "flat", "scalar", "no channels",
    "three channels", "sequence", "int64 out", "text out", "divides by zero", "reshape", "loop",
    "huge constant",
)  # fmt: skip
"""Networks that compute another shape, type or amount than one probability a pixel."""

SIGNATURES = (
    "float64 in", "fixed batch", "fixed size", "two bands", "other names", "third input",
    "no inputs", "one output more", "long name",
)  # fmt: skip
"""Networks that take or name other things."""

OPERATORS = (
    "not numbers", "group", "dilation", "external data", "newer opset", "unknown operator",
    "own domain",
)  # fmt: skip
"""Networks whose operators or constants cannot be had."""


def onnx_graph(bench: Bench, verb: str) -> Command:
    """A sound ONNX file whose network is none that we can use."""
    way = bench.random.choice(OUTPUTS + SIGNATURES + OPERATORS)
    model = onnx_model()
    if way in OUTPUTS:
        _spoil_output(model.graph, way)
    elif way in SIGNATURES:
        _spoil_signature(model.graph, way)
    else:
        _spoil_operator(model, way, bench)
    return _with_weights(bench, verb, onnx_bytes(METADATA, model), ".onnx", f"ONNX: {way}")


def _spoil_output(graph: Any, way: str) -> None:
    """Puts another node behind the last one, whose result is called the probability."""
    from onnx import TensorProto, helper

    output = graph.output[0]
    rank = {"flat": 2, "scalar": 0}.get(way, 4)
    del output.type.tensor_type.shape.dim[:]
    for number in range(rank):
        output.type.tensor_type.shape.dim.add().dim_param = f"d{number}"
    graph.node[-1].output[0] = "inner"

    def then(operator: str, *inputs: str, **attributes: Any) -> None:
        graph.node.append(helper.make_node(operator, inputs, ["probability"], **attributes))

    if way in ("half size", "twice the size"):
        factor = 0.5 if way == "half size" else 2.0
        then("Resize", "inner", "", _stored(graph, "factors", np.float32, [1, 1, factor, factor]))
    elif way == "twice the batch":
        then("Concat", "inner", "inner", axis=0)
    elif way == "three channels":
        then("Concat", "inner", "inner", "inner", axis=1)
    elif way == "flat":
        then("Flatten", "inner", axis=1)
    elif way == "scalar":
        then("ReduceMean", "inner", keepdims=0)
    elif way == "no channels":
        places = (("first", 0), ("end", 0), ("axis", 1))
        then("Slice", "inner", *(_stored(graph, name, np.int64, [n]) for name, n in places))
    elif way == "sequence":
        numbers = TensorProto.FLOAT
        output.CopyFrom(helper.make_tensor_sequence_value_info("probability", numbers, None))
        then("SplitToSequence", "inner", axis=0)
    elif way in ("int64 out", "text out"):
        kind = TensorProto.INT64 if way == "int64 out" else TensorProto.STRING
        output.type.tensor_type.elem_type = kind
        then("Cast", "inner", to=kind)
    elif way == "divides by zero":
        then("Div", "inner", _stored(graph, "nothing", np.float32, 0))
    elif way == "reshape":
        then("Reshape", "inner", _stored(graph, "shape", np.int64, [1, 1, 5, -1]))
    elif way == "loop":
        then("Add", "inner", "probability")
    else:
        size = _stored(graph, "size", np.int64, [2**20, 2**15])
        graph.node.append(helper.make_node("ConstantOfShape", [size], ["huge"]))
        graph.node.append(helper.make_node("ReduceMax", ["huge"], ["top"], keepdims=0))
        then("Add", "inner", "top")


def _spoil_signature(graph: Any, way: str) -> None:
    """Changes what the network takes and gives, by name, number, type or size."""
    from onnx import TensorProto, helper

    last, output = graph.node[-1], graph.output[0]
    if way == "float64 in":
        for each in graph.input:
            each.type.tensor_type.elem_type = TensorProto.DOUBLE
    elif way in ("fixed batch", "fixed size", "two bands"):
        place, size = {"fixed batch": (0, 3), "fixed size": (2, 7), "two bands": (1, 2)}[way]
        for each in graph.input:
            each.type.tensor_type.shape.dim[place].dim_value = size
    elif way == "other names":
        last.output[0] = output.name = "result"
    elif way == "third input":
        graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1]))
    elif way == "no inputs":
        del graph.input[:]
    elif way == "one output more":
        graph.output.append(helper.make_tensor_value_info("mean", TensorProto.FLOAT, None))
    else:
        last.output[0] = output.name = "p" * 100_000


def _spoil_operator(model: Any, way: str, bench: Bench) -> None:
    """Changes an operator or a constant into one that cannot be computed or found."""
    from onnx import TensorProto, helper, numpy_helper

    random, graph = bench.random, model.graph
    convolution, last = graph.node[2], graph.node[-1]
    if way == "not numbers":
        middle = numpy_helper.from_array(np.array(np.nan, np.float32), "middle")
        graph.initializer[1].CopyFrom(middle)
    elif way == "group":
        convolution.attribute.append(helper.make_attribute("group", random.choice((0, 2, -1))))
    elif way == "dilation":
        convolution.attribute.append(helper.make_attribute("dilations", [2**31, 1]))
    elif way == "external data":
        tensor = graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        entry = tensor.external_data.add()
        entry.key = "location"
        entry.value = random.choice(("../../seeds/before.tif", "/etc/hostname", "missing"))
    elif way == "newer opset":
        model.opset_import[0].version = random.choice((0, 99, 2**31 - 1))
    elif way == "unknown operator":
        last.op_type = random.choice(("Nothing", "", "\x1b[31mred"))
    else:
        last.domain = "com.example"


def _stored(graph: Any, name: str, kind: type[Any], values: Any) -> str:
    """A constant of the network; gives its name."""
    from onnx import numpy_helper

    graph.initializer.append(numpy_helper.from_array(np.array(values, kind), name))
    return name


def safetensors_broken(bench: Bench, verb: str) -> Command:
    """Bytes of a safetensors file damaged, most of them in its header."""
    content = (bench.seeds / "small.safetensors").read_bytes()
    content, what = damaged(content, bench.random, head=3000)
    return _with_weights(bench, verb, content, ".safetensors", f"safetensors: {what}")


def safetensors_header(bench: Bench, verb: str) -> Command:
    """Headers that lie: places, shapes, types, names, length, depth."""
    random = bench.random
    header, body = split_safetensors((bench.seeds / "small.safetensors").read_bytes())
    names = [name for name in header if name != "__metadata__"]
    name = random.choice(names)
    way = random.choice(
        (
            "offsets",
            "shape",
            "dtype",
            "missing",
            "stranger",
            "entry",
            "length",
            "deep",
            "metadata",
            "values",
        )
    )
    entry = header[name]
    if way == "offsets":
        wrong: tuple[list[Any], ...] = (
            [0, 2**63],
            [-4, 4],
            [8, 0],
            [],
            ["a"],
            [0, len(body)],
            [0.5, 4],
        )
        entry["data_offsets"] = random.choice(wrong)
    elif way == "shape":
        entry["shape"] = random.choice(
            ([], [2**40], [-1], [0], entry["shape"][::-1], ["a"], None, [1] * 300)
        )
    elif way == "dtype":
        entry["dtype"] = random.choice(("F16", "F64", "BF16", "C64", "X", "", None, 7, "I8"))
    elif way == "missing":
        del header[name]
    elif way == "stranger":
        header[random.choice(("x" * 5000, "\x1b[31m", "", "a.b.c"))] = dict(entry)
    elif way == "entry":
        header[name] = random.choice((None, [], "text", 1, {}))
    elif way == "metadata":
        header["__metadata__"] = random.choice(
            (None, [], "text", {}, {"hanet": 1}, {"hanet": None})
        )
    elif way == "values":
        place = random.randrange(0, len(body) - 4000, 4)
        pattern = random.choice((b"\0\0\xc0\x7f", b"\0\0\x80\x7f", b"\xff\xff\x7f\x7f"))
        body = body[:place] + pattern * 1000 + body[place + 4000 :]
    content = safetensors_bytes(header, body)
    if way == "length":
        wrong_length = random.choice((0, 1, 2**63, 2**40, len(content), 100))
        content = wrong_length.to_bytes(8, "little") + content[8:]
    elif way == "deep":
        content = safetensors_bytes(hostile_json(random).encode("utf-8", "replace"), body)
    return _with_weights(bench, verb, content, ".safetensors", f"safetensors header: {way}")


_READERS = ("detect", "check", "evaluate", "models", "export")

KINDS: Kinds = {
    "metadata-values": Kind(metadata, _READERS),
    "metadata-texts": Kind(metadata_text, _READERS),
    "onnx-bytes": Kind(onnx_broken, ("detect", "evaluate", "models")),
    "onnx-graph": Kind(onnx_graph, ("detect", "evaluate", "check")),
    "safetensors-bytes": Kind(safetensors_broken, ("export", "evaluate", "models")),
    "safetensors-header": Kind(safetensors_header, ("export", "evaluate", "train", "models")),
}
