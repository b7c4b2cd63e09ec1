"""JSON and TOML of unknown origin: bounded, and refused in one short line."""

from __future__ import annotations

import os
import time
import tracemalloc
from pathlib import Path

import pytest

from hanet.documents import (
    MAX_DEPTH,
    BoundError,
    DocumentError,
    check_bounds,
    moment_of,
    parse_json,
    parse_toml,
    read_json,
    read_toml,
    shown,
)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        '{"a":' * 200_000,
        "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1),
        "9" * 5000,
        "-" + "9" * 20,
        "1e999",
        '{"a": 1, "a": 2}',
        r'"\ud800"',
        r'{"\udfff": 1}',
    ],
)
def test_json_beyond_a_bound_is_refused_in_one_short_line(text: str) -> None:
    with pytest.raises(BoundError) as caught:
        parse_json(text)
    assert len(str(caught.value)) < 100
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("text", ["", "{", "NaN", "[Infinity]", b"\xff\xfe", b"\x00", "nul"])
def test_what_is_not_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(DocumentError) as caught:
        parse_json(text)
    assert not isinstance(caught.value, BoundError)
    assert str(caught.value).isprintable()


def test_json_that_others_write_is_read() -> None:
    assert parse_json(b'\xef\xbb\xbf{"\xc3\xa4": [1, 2.5, null, true]}') == {
        "ä": [1, 2.5, None, True]
    }
    assert parse_json(str(2**64 - 1)) == 2**64 - 1
    nested = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert str(parse_json(nested)) == nested


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 100_000,
        "a = " + "{a=" * 50_000,
        "a = " + "9" * 5000,
        "a = 0x" + "f" * 5000,
        ".".join(["a"] * 20_000) + " = 1",
        "# " + "a" * 2**20,
    ],
)
def test_toml_beyond_a_bound_is_refused_in_one_short_line(text: str) -> None:
    with pytest.raises(BoundError) as caught:
        parse_toml(text)
    assert len(str(caught.value)) < 100


@pytest.mark.parametrize(
    "text",
    [
        ".".join(["a"] * 500_000) + " = 1",
        ". ".join(['"a"'] * 100_000) + " = 1",
        f"[{'.'.join(['a'] * 300_000)}]",
        "x = {" + ".".join(["'a'"] * 100_000) + " = 1}",
    ],
    ids=["plain", "quoted", "table", "inline"],
)
def test_a_key_of_many_parts_takes_no_memory(text: str) -> None:
    """tomllib keeps every beginning of a key: 20,000 parts took 2 GB, a file of 1 MB more than any
    machine has."""
    tracemalloc.start()
    try:
        with pytest.raises(BoundError, match="levels deep"):
            parse_toml(text)
        assert tracemalloc.get_traced_memory()[1] < 2**26
    finally:
        tracemalloc.stop()


DOTS = ".".join("a" * 40)


@pytest.mark.parametrize(
    "text",
    [f"x = '{DOTS}'", f'x = "{DOTS}"', f"x = '''\n{DOTS}'''", f'x = """\n{DOTS}"""'],
    ids=["literal", "basic", "long literal", "long basic"],
)
def test_dots_in_a_text_are_no_key(text: str) -> None:
    assert parse_toml(f"{text} # {DOTS}") == {"x": DOTS}
    assert parse_toml(r'a."b\".c" = 1.5') == {"a": {'b".c': 1.5}}


@pytest.mark.parametrize(
    "text", ['"' + r"\"" * 200_000, "a" * 500_000, "'" * 300_001, '"""' * 99_999]
)
def test_what_never_ends_is_gone_through_once(text: str) -> None:
    begun = time.process_time()
    with pytest.raises(DocumentError):
        parse_toml(text)
    assert time.process_time() - begun < 10


@pytest.mark.parametrize("text", ["a", "a = ", 'a = "\x1b"', "a = 1\na = 2", b"a = '\xff'"])
def test_what_is_not_toml_is_refused_without_control_characters(text: str | bytes) -> None:
    with pytest.raises(DocumentError) as caught:
        parse_toml(text)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200


def test_files_are_read_up_to_the_bound(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": 1}')
    assert read_json(path) == {"a": 1}
    with pytest.raises(BoundError, match="longer than 7 bytes"):
        read_json(path, max_bytes=7)
    path.write_text("a = 1")
    assert read_toml(path) == {"a": 1}
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "none")


def test_a_value_is_counted_through_all_levels() -> None:
    check_bounds({"a": [1, 2]}, max_values=5)
    with pytest.raises(BoundError, match="more than 4 values"):
        check_bounds({"a": [1, 2]}, max_values=4)


def test_shown_values_are_short_and_printable() -> None:
    assert shown("a\x1b[31m") == r'"a\u001b[31m"'
    assert len(shown("a" * 1000)) == 60
    assert shown(16**5000) == "int"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="it has no pipes with names")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.json")
    with pytest.raises(OSError, match="pipe or a device"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize("text", ['"\\udce9"', "NaN", "1e999"])
def test_names_that_are_not_utf8_are_taken_where_a_caller_says_so(text: str) -> None:
    with pytest.raises(DocumentError):
        parse_json(text)
    if "udce9" in text:
        assert parse_json(text, unicode=False) == "\udce9"
    else:
        with pytest.raises(DocumentError):
            parse_json(text, unicode=False)


@pytest.mark.parametrize("value", [None, True, 0.1, "", "yesterday", "2026-13-01T00:00:00"])
def test_a_time_that_is_none_is_refused(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        moment_of(value)


def test_a_time_is_spelled_as_in_run_json() -> None:
    assert moment_of("2026-11-29T13:49:27+00:00") == "2026-11-29T13:49:27+00:00"
    assert moment_of("2026-11-29") == "2026-11-29T00:00:00"
