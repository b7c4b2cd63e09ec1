"""Names that files can have, and files written as wholes."""

from __future__ import annotations

from pathlib import Path

import pytest

from hanet.errors import SettingsError
from hanet.files import check_name, replace_file, table_cell


@pytest.mark.parametrize(
    "name", ["out", "!projects/Häuser 2024", "a;b", "../x", "日本/地図", "n" * 240, "vsi", "http"]
)
def test_names_that_are_taken(name: str) -> None:
    check_name(name, "--out")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("n" * 241, "too long"),
        ("ü" * 130, "too long"),
        ("a/" * 2100, "too long"),
        ("nul\0", "control characters"),
        ("line\nbreak", "control characters"),
        ("\x1b[31mred", "control characters"),
        ("latin\udce4", "not UTF-8"),
        ("s3://bucket/out", "an address"),
        ("https://me:pw@host/out", "an address"),
        ("/vsimem/out", "an address"),
    ],
)
def test_names_that_are_refused(name: str, why: str) -> None:
    """Each ended in a traceback, after the work, or in folders called ``s3:``."""
    with pytest.raises(SettingsError, match=why) as caught:
        check_name(Path(name), "--out")
    assert caught.value.hint
    assert len(caught.value.message) < 120
    assert caught.value.message.isprintable()


def test_a_dangling_link_beside_a_file_leads_nowhere(tmp_path: Path) -> None:
    import os

    (tmp_path / f".a.json.{os.getpid()}.partial").symlink_to(tmp_path / "outside")
    (tmp_path / "a.json").symlink_to(tmp_path / "outside")
    replace_file(tmp_path / "a.json", b"{}")
    assert (tmp_path / "a.json").read_bytes() == b"{}"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1"])
def test_a_spreadsheet_runs_no_name_as_a_formula(text: str) -> None:
    assert table_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "scene_1", "a=1", "ä", "'=1"])
def test_other_names_stay_as_they_are(text: str) -> None:
    assert table_cell(text) == text
