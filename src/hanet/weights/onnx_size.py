"""An estimate of what an ONNX graph allocates by itself, read from its bytes before it is loaded.

An engine folds constants while it loads a file: a few bytes that ask for a tensor of a hundred
gigabytes take the memory of the machine before anything can be refused. Only what the file states
outright is counted: shapes and ends of counts that are constants. It works without the package
onnx, which a light installation does not have.

Source: the wire format of Protocol Buffers and the field numbers of onnx.proto3 (onnx 1.17).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from math import isfinite, isnan, prod
from pathlib import Path
from typing import NamedTuple

MAX_ELEMENTS = 2**28
"""Most elements that a graph may ask for by a constant shape: a gigabyte of float32."""

SHAPE_INPUT = {"ConstantOfShape": 0, "Expand": 1, "Tile": 1}
"""Operators that make a tensor of a shape that one of their inputs states, and which input."""

SHAPE_ATTRIBUTE = ("RandomUniform", "RandomNormal")
"""Operators that make one of the shape that an attribute of theirs states."""

RANGE = "Range"
"""The operator that counts from its first input to its second in steps of its third."""

GRAPH, NODE, INITIALIZER = 7, 1, 5
INPUT, OUTPUT, OPERATOR, ATTRIBUTE = 1, 2, 4, 5
ATTRIBUTE_FLOAT, ATTRIBUTE_INT, ATTRIBUTE_TENSOR, ATTRIBUTE_INTS = 2, 3, 5, 8
DIMS, FLOATS, INT32S, INT64S, NAME, RAW_DATA, DOUBLES = 1, 4, 5, 7, 8, 9, 10
ELEMENT_TYPE, CODES = 2, {1: "f", 6: "i", 7: "q", 11: "d"}
"""Field numbers of ModelProto, GraphProto, NodeProto, AttributeProto and TensorProto; codes of
struct for element types that state shapes and counts."""

MAX_RANK = 32
"""Longest shape that is looked at."""


def largest_constant_shape(path: Path) -> int:
    """Elements of the largest tensor whose shape the graph states as a constant; 0 where it states
    none, or the file is not ONNX (the engine says so better)."""
    try:
        graphs = [value for field, value in _fields(path.read_bytes()) if field == GRAPH]
        return max((_largest(graph) for graph in graphs if isinstance(graph, bytes)), default=0)
    except (ValueError, OSError):
        return 0


class _Node(NamedTuple):
    operator: str
    inputs: list[bytes]
    outputs: list[bytes]
    constant: list[float]
    """Numbers of a Constant."""
    shape: list[int]
    """Whole numbers that it states as a list."""


def _largest(graph: bytes) -> int:
    constants: dict[bytes, list[float]] = {}
    nodes: list[_Node] = []
    for field, value in _fields(graph):
        if field == INITIALIZER and isinstance(value, bytes):
            name, numbers = _tensor(value)
            constants[name] = numbers
        elif field == NODE and isinstance(value, bytes):
            node = _node(value)
            if node.operator == "Constant" and node.outputs:
                constants[node.outputs[0]] = node.constant
            else:
                nodes.append(node)
    return max((_elements(node, constants) for node in nodes), default=0)


def _elements(node: _Node, constants: Mapping[bytes, list[float]]) -> int:
    """Elements of the tensor that a node makes, as far as constants say it; 0 where they do not."""
    if node.operator in SHAPE_ATTRIBUTE:
        return prod(abs(number) for number in node.shape)
    if node.operator == RANGE:
        ends = [constants.get(name, []) for name in node.inputs]
        if [len(end) for end in ends] != [1, 1, 1] or not ends[2][0]:
            return 0
        count = (ends[1][0] - ends[0][0]) / ends[2][0]
        return 0 if isnan(count) else int(min(max(count, 0.0), 2.0**63))
    position = SHAPE_INPUT.get(node.operator)
    if position is None or len(node.inputs) <= position:
        return 0
    shape = constants.get(node.inputs[position])
    if not shape or not all(map(isfinite, shape)):
        return 0
    return prod(abs(int(number)) for number in shape)


def _node(content: bytes) -> _Node:
    operator = ""
    constant: list[float] = []
    shape: list[int] = []
    ends: dict[int, list[bytes]] = {INPUT: [], OUTPUT: []}
    for field, value in _fields(content):
        if not isinstance(value, bytes):
            continue
        if field == OPERATOR:
            operator = value.decode("latin-1")
        elif field in ends:
            ends[field].append(value)
        elif field == ATTRIBUTE:
            for part, inner in _fields(value):
                if part == ATTRIBUTE_TENSOR and isinstance(inner, bytes):
                    constant = _tensor(inner)[1]
                elif part == ATTRIBUTE_INTS:
                    shape += _packed(inner)
                elif part == ATTRIBUTE_INT and isinstance(inner, int):
                    constant = [_signed(inner)]
                elif part == ATTRIBUTE_FLOAT and isinstance(inner, bytes):
                    constant = _unpacked(inner, "f")
    return _Node(operator, ends[INPUT], ends[OUTPUT], constant or [*map(float, shape)], shape)


def _tensor(content: bytes) -> tuple[bytes, list[float]]:
    """Name of a tensor, and its numbers if it may be a shape or a count: a single one or a short
    row."""
    name, raw, code = b"", b"", ""
    dims: list[int] = []
    numbers: list[float] = []
    for field, value in _fields(content):
        if field == DIMS:
            dims += _packed(value)
        elif field == ELEMENT_TYPE and isinstance(value, int):
            code = CODES.get(value, "")
        elif field in (INT32S, INT64S):
            numbers += _packed(value)
        elif field in (FLOATS, DOUBLES) and isinstance(value, bytes):
            numbers += _unpacked(value, "f" if field == FLOATS else "d")
        elif field == NAME and isinstance(value, bytes):
            name = value
        elif field == RAW_DATA and isinstance(value, bytes):
            raw = value
    count = prod(dims) if len(dims) < 2 else 0
    if not 0 < count <= MAX_RANK:
        return name, []
    if raw:
        numbers = _unpacked(raw, code)
    return name, numbers if len(numbers) == count else []


def _unpacked(content: bytes, code: str) -> list[float]:
    """The numbers of a short row of one type; none where it is no such row."""
    size = struct.calcsize(f"<{code}") if code else 0
    if not size or len(content) % size or len(content) > MAX_RANK * size:
        return []
    return list(struct.unpack(f"<{len(content) // size}{code}", content))


def _packed(value: int | bytes) -> list[int]:
    """The whole numbers of a repeated field, one a tag or many in one."""
    if isinstance(value, int):
        return [_signed(value)]
    at = 0
    numbers: list[int] = []
    while at < len(value) and len(numbers) <= MAX_RANK:
        number, at = _varint(value, at)
        numbers.append(_signed(number))
    return numbers


def _signed(number: int) -> int:
    return number - 2**64 if number >= 2**63 else number


def _fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field of a message; ValueError where it is not one."""
    at = 0
    while at < len(content):
        tag, at = _varint(content, at)
        kind = tag & 7
        if kind == 0:
            number, at = _varint(content, at)
            yield tag >> 3, number
            continue
        length = {1: 8, 5: 4}.get(kind)
        if kind == 2:
            length, at = _varint(content, at)
        if length is None or at + length > len(content):
            raise ValueError("not a message")
        yield tag >> 3, content[at : at + length]
        at += length


def _varint(content: bytes, at: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(content):
            raise ValueError("cut short")
        byte = content[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
    raise ValueError("not a number")
