"""An estimate of what an ONNX graph allocates by itself, read from its bytes before it is loaded.

An engine folds constants while it loads a file: a few bytes that ask for a tensor of a hundred
gigabytes take the memory of the machine before anything can be refused. Only what the file states
outright is counted: shapes that are constants. It works without the package onnx, which a light
installation does not have.

Source: the wire format of Protocol Buffers and the field numbers of onnx.proto3 (onnx 1.17).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from math import prod
from pathlib import Path

MAX_ELEMENTS = 2**28
"""Most elements that a graph may ask for by a constant shape: a gigabyte of float32."""

SHAPE_INPUT = {"ConstantOfShape": 0, "Expand": 1, "Tile": 1}
"""Operators that make a tensor of a shape that one of their inputs states, and which input."""

GRAPH, NODE, INITIALIZER = 7, 1, 5
INPUT, OUTPUT, OPERATOR, ATTRIBUTE = 1, 2, 4, 5
ATTRIBUTE_TENSOR, ATTRIBUTE_INTS = 5, 8
DIMS, INT64_DATA, NAME, RAW_DATA = 1, 7, 8, 9
"""Field numbers of ModelProto, GraphProto, NodeProto, AttributeProto and TensorProto."""

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


def _largest(graph: bytes) -> int:
    shapes: dict[bytes, list[int]] = {}
    asked: list[bytes] = []
    for field, value in _fields(graph):
        if field == INITIALIZER and isinstance(value, bytes):
            name, numbers = _tensor(value)
            shapes[name] = numbers
        elif field == NODE and isinstance(value, bytes):
            operator, inputs, outputs, numbers = _node(value)
            if operator == b"Constant" and outputs:
                shapes[outputs[0]] = numbers
            position = SHAPE_INPUT.get(operator.decode("latin-1"))
            if position is not None and len(inputs) > position:
                asked.append(inputs[position])
    return max((prod(shapes[name]) for name in asked if shapes.get(name)), default=0)


def _node(content: bytes) -> tuple[bytes, list[bytes], list[bytes], list[int]]:
    """Operator, inputs, outputs, and the whole numbers of a Constant."""
    operator = b""
    numbers: list[int] = []
    ends: dict[int, list[bytes]] = {INPUT: [], OUTPUT: []}
    for field, value in _fields(content):
        if not isinstance(value, bytes):
            continue
        if field == OPERATOR:
            operator = value
        elif field in ends:
            ends[field].append(value)
        elif field == ATTRIBUTE:
            for part, inner in _fields(value):
                if part == ATTRIBUTE_TENSOR and isinstance(inner, bytes):
                    numbers = _tensor(inner)[1]
                elif part == ATTRIBUTE_INTS:
                    numbers += _packed(inner)
    return operator, ends[INPUT], ends[OUTPUT], [abs(number) for number in numbers]


def _tensor(content: bytes) -> tuple[bytes, list[int]]:
    """Name of a tensor, and its numbers if it may be a shape: a short row of 64 bits."""
    name, raw = b"", b""
    dims: list[int] = []
    numbers: list[int] = []
    for field, value in _fields(content):
        if field == DIMS:
            dims += _packed(value)
        elif field == INT64_DATA:
            numbers += _packed(value)
        elif field == NAME and isinstance(value, bytes):
            name = value
        elif field == RAW_DATA and isinstance(value, bytes):
            raw = value
    count = dims[0] if len(dims) == 1 else 0
    if not 0 < count <= MAX_RANK:
        return name, []
    if len(raw) == 8 * count:
        numbers = list(struct.unpack(f"<{count}q", raw))
    return name, [abs(number) for number in numbers] if len(numbers) == count else []


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
