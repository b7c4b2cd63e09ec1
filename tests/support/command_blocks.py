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
    r"(?:<!-- not run:(?P<reason>.*?)-->\s*\n)?^```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)

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
    """

    page: Path
    line: int
    language: str
    text: str
    reason: str | None

    def run(self, names: dict[str, Any], monkeypatch: pytest.MonkeyPatch, shims: Path) -> None:
        """Runs it in the current folder; a failure fails the test and names the line of the
        page."""
        try:
            if self.language == "python":
                exec(compile(self.text, f"{self.page.name}:{self.line}", "exec"), names)
            elif (commands := list(self._own_commands())) and all(commands):
                for command in commands:
                    monkeypatch.setattr(sys, "argv", command)
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
