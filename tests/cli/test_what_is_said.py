"""Names with spaces in what the command says."""

from __future__ import annotations

from pathlib import Path

import pytest

from hanet.cli import main
from hanet.command_line import typed


def test_a_name_with_spaces_that_falls_apart_is_told_how_to_be_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["hanet", "check", "my", "before.tif", "my", "after.tif"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "got unexpected extra argument" in said
    assert "names with spaces go between quotation marks; see hanet check --help" in said


@pytest.mark.parametrize(
    ("system", "path", "shown"),
    [
        ("posix", "changes", "changes"),
        ("posix", "my changes", "'my changes'"),
        ("nt", "C:\\images\\changes", "C:\\images\\changes"),
        ("nt", "C:\\my images", '"C:\\my images"'),
    ],
)
def test_a_path_in_a_command_has_quotation_marks_where_it_needs_them(
    monkeypatch: pytest.MonkeyPatch, system: str, path: str, shown: str
) -> None:
    monkeypatch.setattr("hanet.command_line.os", type("os", (), {"name": system}))
    assert typed(path) == shown


def test_a_run_that_is_not_reviewed_names_a_command_that_can_be_copied(tmp_path: Path) -> None:
    from hanet.errors import OutputError
    from hanet.review.journal import read_journal

    with pytest.raises(OutputError) as refused:
        read_journal(tmp_path / "my changes")
    assert refused.value.hint == f"begin with `hanet review {typed(tmp_path / 'my changes')}`"
    assert refused.value.hint.endswith(("'`", '"`'))
