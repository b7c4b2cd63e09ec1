"""Fenced blocks of Markdown pages, and how each is run: commands of ours in this process, other
shell by bash, Python by exec."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hanet.cli import main

RUN = ("sh", "python")
"""Languages of blocks that are run."""

SHOWN = ("text", "toml", "json", "csv", "bibtex", "pycon", "xml")
"""Languages of blocks that nobody would type into a shell."""

BLOCK = re.compile(
    r"(?:<!-- (?:not run:(?P<reason>.*?)|run with (?P<more>.*?): .*?|(?P<printed>printed) )-->\s*\n)?"
    r"^```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
"""A block and the comment before it: ``not run: REASON``, ``run with OPTIONS: REASON`` (the tests
add the options to each command), ``printed`` (what the blocks before it print)."""

SHELL_SIGNS = re.compile(r"[|<>&;$`*]")
"""A line with one of these needs a shell."""


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Args:
        page: Where it stands.
        line: Number of its first line.
        language: What stands behind the fence.
        text: Its lines.
        reason: Why it is not run; None if it must run.
        more: What the tests add to each command, to make it short.
        printed: Whether it shows what the blocks before it print.
    """

    page: Path
    line: int
    language: str
    text: str
    reason: str | None
    more: tuple[str, ...] = ()
    printed: bool = False

    @property
    def runs(self) -> bool:
        """Whether the tests run it."""
        return self.language in RUN and self.reason is None

    def run(self, names: dict[str, Any], monkeypatch: pytest.MonkeyPatch, shims: Path) -> None:
        """Runs it in the current folder; a failure fails the test and names the line of the
        page."""
        try:
            if self.language == "python":
                exec(compile(self.text, f"{self.page.name}:{self.line}", "exec"), names)
            elif (commands := list(self._own_commands())) and all(commands):
                for command in commands:
                    monkeypatch.setattr(sys, "argv", [*command, *self.more])
                    main()
            else:
                self._by_bash(shims)
        except SystemExit as stop:
            if stop.code not in (0, None):
                pytest.fail(f"{self.page.name}, line {self.line}: exit code {stop.code}")

    def _own_commands(self) -> Iterator[list[str]]:
        """Arguments of each command; an empty list for one that is not ours or needs a shell."""
        for line in self.text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words:
                needs_shell = words[0] != "hanet" or SHELL_SIGNS.search(line.partition(" #")[0])
                yield [] if needs_shell else words

    def _by_bash(self, shims: Path) -> None:
        if shutil.which("bash") is None:
            pytest.skip("bash is not here")
        environment = {**os.environ, "PATH": f"{shims}{os.pathsep}{os.environ['PATH']}"}
        result = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.text],
            env=environment,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, (
            f"{self.page.name}, line {self.line}:\n{result.stdout}{result.stderr}"
        )
        print(result.stdout, result.stderr)

    def check_shown(self, printed: str) -> None:
        """Fails unless each line that the block shows was printed; numbers may differ, lines of
        three dots stand for others."""
        known = {_without_numbers(line) for line in printed.splitlines()}
        shown = [line for line in self.text.splitlines() if line.strip() not in ("", "...")]
        missing = [line for line in shown if _without_numbers(line) not in known]
        assert not missing, (
            f"{self.page.name}, line {self.line} shows what is not printed: {missing}\n{printed}"
        )


def _without_numbers(line: str) -> str:
    """A line with one sign for each number, single spaces and short rules of tables."""
    line = re.sub(r"(?<![A-Za-z])\d[\d.,]*(?:e-?\d+)?", "#", line)
    return " ".join(re.sub(r"([━─])+", r"\1", line).split())


def blocks_of(page: Path) -> list[Block]:
    """All fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page,
            text.count("\n", 0, match.start("text")) + 1,
            match["language"],
            match["text"],
            None if match["reason"] is None else match["reason"].strip(),
            tuple(shlex.split(match["more"] or "")),
            match["printed"] is not None,
        )
        for match in BLOCK.finditer(text)
    ]


def write_shims(folder: Path) -> None:
    """Puts ``hanet`` and ``python`` of this interpreter into a folder for PATH."""
    folder.mkdir()
    for name, arguments in (("hanet", ' -c "from hanet.cli import main; main()"'), ("python", "")):
        shim = folder / name
        shim.write_text(
            f'#!/bin/sh\nexec {shlex.quote(sys.executable)}{arguments} "$@"\n', encoding="utf-8"
        )
        shim.chmod(0o755)
