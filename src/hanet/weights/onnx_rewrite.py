"""An ONNX file with other metadata, or another temperature, without the package onnx, which a light
installation does not have.

Nothing but the fields in question is touched: the others are copied as they stand.

Source: the wire format of Protocol Buffers and the field numbers of onnx.proto3 (onnx 1.17).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from hanet.errors import WeightsError
from hanet.metadata import METADATA_KEY, Metadata
from hanet.weights.onnx_contract import EXPORT_AGAIN

GRAPH, METADATA = 7, 14
"""Fields of ModelProto."""

NODE, INITIALIZER = 1, 5
"""Fields of GraphProto."""

NODE_INPUT, NODE_OUTPUT, NODE_NAME, OPERATOR = 1, 2, 3, 4
"""Fields of NodeProto."""

KEY, VALUE = 1, 2
"""Fields of StringStringEntryProto."""

TENSOR_TYPE, TENSOR_NAME, TENSOR_RAW = 2, 8, 9
"""Fields of TensorProto; a scalar has no dims."""

FLOAT = 1
"""float32 in TensorProto's list of types."""

SCALED, FACTOR = "hanet/scaled_margin", "hanet/inverse_temperature"
"""Names of what is put into the graph."""


def with_other_metadata(content: bytes, metadata: Metadata) -> bytes:
    """The file with this metadata in place of what it held; properties of other tools stay.

    Raises:
        WeightsError: The bytes are no ONNX file.
    """
    parts = [
        part
        for field, whole, part in _fields(content)
        if not (field == METADATA and _text(whole, KEY) == METADATA_KEY)
    ]
    entry = _written(KEY, METADATA_KEY.encode()) + _written(VALUE, metadata.to_json().encode())
    return b"".join(parts) + _written(METADATA, entry)


def with_further_temperature(content: bytes, temperature: float) -> bytes:
    """The file whose margin is divided by a further temperature before the sigmoid that gives
    ``probability``; the metadata stay as they are.

    Args:
        content: Of a file that :func:`hanet.weights.export.export_onnx` or this function wrote.
        temperature: Above 0; 1 changes nothing.

    Raises:
        WeightsError: The bytes are no such file.
    """
    if temperature == 1.0:
        return content
    return b"".join(
        _written(GRAPH, _scaled(whole, temperature)) if field == GRAPH else part
        for field, whole, part in _fields(content)
    )


def _scaled(graph: bytes, temperature: float) -> bytes:
    parts: list[bytes] = []
    names: set[str] = set()
    found = False
    number = sum(
        field == INITIALIZER and _text(whole, TENSOR_NAME).startswith(FACTOR)
        for field, whole, _ in _fields(graph)
    )
    scaled, factor = f"{SCALED}_{number}", f"{FACTOR}_{number}"
    for field, whole, part in _fields(graph):
        if field == NODE and _text(whole, NODE_OUTPUT) == "probability":
            if _text(whole, OPERATOR) != "Sigmoid":
                break
            margin = _text(whole, NODE_INPUT)
            parts += [_node("Mul", (margin, factor), scaled), _sigmoid(whole, scaled)]
            found = True
            continue
        names.add(_text(whole, NODE_NAME) if field == NODE else "")
        parts.append(part)
    if not found or scaled in names:
        raise WeightsError(
            "the file does not end in the sigmoid that a temperature belongs before",
            hint=EXPORT_AGAIN,
        )
    tensor = _number(TENSOR_TYPE, FLOAT) + _written(TENSOR_NAME, factor.encode())
    tensor += _written(TENSOR_RAW, struct.pack("<f", 1.0 / temperature))
    return b"".join(parts) + _written(INITIALIZER, tensor)


def _node(operator: str, inputs: tuple[str, str], output: str) -> bytes:
    content = b"".join(_written(NODE_INPUT, name.encode()) for name in inputs)
    content += _written(NODE_OUTPUT, output.encode()) + _written(NODE_NAME, output.encode())
    return _written(NODE, content + _written(OPERATOR, operator.encode()))


def _sigmoid(node: bytes, margin: str) -> bytes:
    """The node with another input."""
    rest = b"".join(part for field, _, part in _fields(node) if field != NODE_INPUT)
    return _written(NODE, _written(NODE_INPUT, margin.encode()) + rest)


def _text(message: bytes, wanted: int) -> str:
    """The first text of this number in a message; empty where there is none."""
    for field, whole, _ in _fields(message):
        if field == wanted:
            return whole.decode("utf-8", errors="replace")
    return ""


def _fields(content: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Number, value (empty for one that has no length) and all bytes of each field.

    Raises:
        WeightsError: It is no message.
    """
    at = 0
    while at < len(content):
        start = at
        tag, at = _varint(content, at)
        kind, length = tag & 7, 0
        if kind == 0:
            _, at = _varint(content, at)
        elif kind == 2:
            length, at = _varint(content, at)
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise _damaged()
        end = at + length
        if end > len(content):
            raise _damaged()
        yield tag >> 3, content[at:end], content[start:end]
        at = end


def _varint(content: bytes, at: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(content):
            break
        byte = content[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
    raise _damaged()


def _written(field: int, content: bytes) -> bytes:
    return _as_varint(field << 3 | 2) + _as_varint(len(content)) + content


def _number(field: int, value: int) -> bytes:
    return _as_varint(field << 3) + _as_varint(value)


def _as_varint(number: int) -> bytes:
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def _damaged() -> WeightsError:
    return WeightsError(
        "the weights are no ONNX file", hint="the file may be damaged; copy it again"
    )
