"""What the command says and does not say: names with spaces, warnings of libraries."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest
import rasterio
import rasterio.errors

from hanet.__main__ import main as command
from hanet.cli import main
from hanet.command_line import typed


def test_a_name_with_spaces_that_falls_apart_is_told_how_to_be_written(
    refused: Callable[..., tuple[str, str]],
) -> None:
    error, hint = refused("check", "my", "before.tif", "my", "after.tif")
    assert error.startswith("got unexpected extra argument")
    assert hint == "names with spaces go between quotation marks; see hanet check --help"


@pytest.mark.parametrize("verb", ["export", "convert"])
@pytest.mark.parametrize(
    ("files", "message", "advice"),
    [
        ([], "the file to write is missing", "hanet "),
        (["a.x", "--out", "b.x"], "the file to write is given twice: a.x and --out b.x", "give it"),
        (["--out", "b.x"], "b.x", ""),  # refused for its name: it is taken as OUT is
    ],
)
def test_the_file_to_write_is_given_once_by_its_place_or_by_out(
    verb: str,
    files: list[str],
    message: str,
    advice: str,
    refused: Callable[..., tuple[str, str]],
) -> None:
    error, hint = refused(verb, "hanet_lite", *files)
    assert message in error
    assert hint.startswith(advice)


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


def test_the_command_says_nothing_of_rasters_without_a_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Threads that open rasters undo each other's filters of warnings; that of the command
    stays."""
    path = tmp_path / "plain.tif"
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        rasterio.open(path, "w", driver="GTiff", width=8, height=8, count=1, dtype="uint8").close()
    monkeypatch.setattr("sys.argv", ["hanet", "--version"])
    main()
    rasterio.open(path).close()  # a warning would be an error here


class _Interrupted(ModuleType):
    """A module during whose import Ctrl-C is pressed."""

    def __getattr__(self, name: str) -> object:
        raise KeyboardInterrupt


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def test_ctrl_c_before_the_verb_begins_ends_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hanet.cli.without_option", _interrupt)
    with pytest.raises(SystemExit, match="130"):
        main()
    monkeypatch.setitem(sys.modules, "hanet.cli", _Interrupted("hanet.cli"))
    with pytest.raises(SystemExit, match="130"):
        command()


def test_ctrl_c_while_a_class_is_made_ends_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("hanet.cli._command_line", lambda _: _interrupted_class)
    monkeypatch.setattr(sys, "argv", ["hanet", "models"])
    with pytest.raises(SystemExit, match="130"):
        main()
    assert "stopped" in capsys.readouterr().err


def _interrupted_class(*_: object, **__: object) -> NoReturn:
    """As Python 3.11 does it, which wraps what ``__set_name__`` raises."""
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt as error:
        raise RuntimeError("Error calling __set_name__ on 'Field' instance") from error


def test_a_program_is_told_the_same_exit_code_after_ctrl_c(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("hanet.cli._exit_code", _interrupt)
    monkeypatch.setattr(sys, "argv", ["hanet", "models", "--progress", "json"])
    with pytest.raises(SystemExit, match="130"):
        main()
    last = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert (last["event"], last["exit_code"]) == ("end", 130)
