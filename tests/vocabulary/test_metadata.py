"""What travels with weights is refused where it cannot be."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from typing import Any

import pytest

from hanet.errors import WeightsError
from hanet.metadata import Metadata

RGB = (0.5, 0.5, 0.5)


def test_text_and_back_is_the_same() -> None:
    metadata = Metadata(
        "a", "hanet", {"width": 8}, threshold=0.4, notes=("one",), extra={"of": "a later version"}
    )
    assert Metadata.from_json(metadata.to_json()) == metadata


@pytest.mark.parametrize(
    "wrong",
    [
        {"std_before": (0.0, 0.5, 0.5)},
        {"std_after": (math.nan, 0.5, 0.5)},  # every probability would be NaN
        {"mean_after": (math.nan, 0.5, 0.5)},
        {"mean_before": (0.5, 0.5)},
        {"temperature": math.inf},
        {"gsd_m": math.nan},
        {"scale": -1.0},
        {"threshold": 1.0},
        {"overlap_px": 512},
    ],
    ids=str,
)
def test_values_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(WeightsError):
        Metadata("a", "hanet", **wrong)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"format": 9}',
        '{"format": 1}',
        '{"format": 1, "name": "a", "model": "b", "bands": 3}',
        5,
        None,
    ],
    ids=str,
)
def test_text_that_is_none_is_refused(text: Any) -> None:
    with pytest.raises(WeightsError):
        Metadata.from_json(text)


def test_nan_in_a_file_is_refused() -> None:
    values = json.loads(Metadata("a", "hanet", mean_before=RGB).to_json())
    with pytest.raises(WeightsError, match="must be positive"):
        Metadata.from_json(json.dumps({**values, "std_before": [math.nan, 1, 1]}))


def _text(**changed: Any) -> str:
    return json.dumps({**json.loads(Metadata("a", "hanet").to_json()), **changed})


SCORE = {
    "dataset": "d",
    "split": "val",
    "protocol": "whole",
    "precision": 0.5,
    "recall": 0.5,
    "f1": 0.5,
    "iou": 0.3,
}
TEXTS = ("name", "model", "training_data", "training_split", "experiment", "licence", "citation")
NUMBERS = ("scale", "gsd_m", "threshold", "temperature", "divisor", "tile_px", "overlap_px")
LISTS = ("bands", "mean_before", "std_before", "mean_after", "std_after", "notes", "scores")
NOT_TEXT: tuple[Any, ...] = (None, 3, True, ["a"], {"a": 1}, "\x1b[31mred", "\u202eback", "\ud800")
NOT_NUMBERS: tuple[Any, ...] = (
    None,
    "3",
    True,
    [3],
    {"a": 3},
    math.nan,
    math.inf,
    -math.inf,
    1e300,
)
NOT_LISTS: tuple[Any, ...] = (
    None,
    "abc",
    3,
    True,
    {"a": 1},
    [[0.5]],
    [{"a": 1}],
    [None] * 3,
    [True] * 3,
)
ARGUMENTS: tuple[Any, ...] = (
    None,
    [],
    "abc",
    3,
    [1],
    {"width": [1]},
    {"width": {"a": 1}},
    {"a": math.nan},
)

BAD = [
    *((key, value) for key in TEXTS for value in (*NOT_TEXT, "a" * 20_000)),
    *((key, value) for key in NUMBERS for value in NOT_NUMBERS),
    *((key, value) for key in LISTS for value in NOT_LISTS),
    *(("model_arguments", value) for value in ARGUMENTS),
    ("bands", []),
    ("bands", ["red", "red", "blue"]),
    ("bands", [f"band {n}" for n in range(1000)]),
    ("bands", ["red", "green", "\x1b]0;title\x07"]),
    ("divisor", 16.0),
    ("divisor", 10**9),
    ("tile_px", 10**9),
    ("smallest_px", 10**9),
    ("smallest_px", 0),
    ("gmac_per_megapixel", "many"),
    ("footprint_filter", "many"),
    ("footprint_filter", [0.5]),
    ("footprint_filter", {"bias": math.nan}),
    ("scores", [{}]),
    ("scores", [{**SCORE, "f1": "INF"}]),
    ("scores", [{**SCORE, "f1": 1.5}]),
    ("scores", [{**SCORE, "f1": math.inf}]),
    ("scores", [{**SCORE, "dataset": {"a": 1}}]),
    ("scores", [{**SCORE, "dataset": "\x1b[31m"}]),
    ("scores", [{**SCORE, "more": 1}]),
    ("scores", [SCORE] * 2000),
    ("notes", ["a"] * 2000),
]


@pytest.mark.parametrize(("key", "value"), BAD, ids=lambda value: ascii(value)[:30])
def test_a_bad_value_is_refused_in_one_line_that_names_the_field(key: str, value: Any) -> None:
    """Lists, objects and escapes in place of text ended in tracebacks or on the terminal."""
    with pytest.raises(WeightsError) as caught:
        Metadata.from_json(_text(**{key: value}))
    message = caught.value.message
    assert key in message or (key == "scores" and "score" in message)
    assert message.isprintable()
    assert message.isascii()
    assert len(message) < 300


def test_every_field_has_its_bad_values() -> None:
    tried = {key for key, _ in BAD} | {"code_version", "extra"}
    assert tried == {entry.name for entry in fields(Metadata)}


def test_good_values_of_each_kind_pass() -> None:
    """What the table above refuses is not refused for another reason."""
    read = Metadata.from_json(
        _text(
            scores=[SCORE],
            notes=["two\nlines"],
            citation="Müller\t2024\r\n",
            scale=1,
            model_arguments={"width": 8, "head": "a", "deep": True, "of": None},
            smallest_px=16,
            gmac_per_megapixel=12.5,
            unknown={"a": [1, {"b": "\x1b"}]},
        )
    )
    assert read.scores[0].f1 == 0.5
    assert (read.min_size_px, read.gmac_per_megapixel) == (16, 12.5)
    assert Metadata.from_json(read.to_json()) == read


def test_a_file_that_does_not_say_its_smallest_size_still_does_not() -> None:
    old = Metadata.from_json('{"format": 1, "name": "a", "model": "hanet_lite", "divisor": 16}')
    assert old.min_size_px == 32
    assert "smallest_px" not in old.to_json()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"format": 1, "name": "a", "name": "b", "model": "m"}', 'the key "name" twice'),
        ('{"a\\u001b": 1, "a\\u001b": 2}', "twice"),
        ('{"extra": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested"),
        ('{"extra": ' + "[" * 30 + "]" * 30 + "}", "nested more than 16 levels"),
        ('{"format": 1, "extra": [' + "0," * 200_000 + "0]}", "holds more than 100000 values"),
        ('{"format": ' + "9" * 5000 + "}", "not JSON"),
        ('{"format": 1, "name": "' + "a" * 2_000_000 + '"}', "longer than 1000000 bytes"),
        ('{"format": true, "name": "a", "model": "b"}', "format True"),
        ('{"format": [1], "name": "a", "model": "b"}', "format"),
        ('{"format": 1, "name": "a", "model": "b", "of": 1e999}', "extra"),
    ],
    ids=range(10),
)
def test_text_beyond_the_bounds_is_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(WeightsError, match=said) as caught:
        Metadata.from_json(text)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 300
