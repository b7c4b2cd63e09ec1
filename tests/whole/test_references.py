"""No reference leads nowhere: what source, tests, documents and experiments name is there.

Checked in Markdown, in docstrings and comments of Python, and in comments of experiments: documents
that are not in the repository, paths and links, dotted names of the package, and the roles of
docstrings. In commands of Markdown pages, paths below folders that the reader fills are not checked.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from checkout import ROOT
from hanet.errors import MissingExtraError

FOLDERS = ("src", "tests", "docs", "experiments", "scripts", "benchmarks", "results", "weights")
"""Folders at the top whose files are named by path."""

MADE_BY_READERS = ("results", "weights")
"""Of these, folders into which commands of the documentation write."""

MADE_BY_TRAINING = {"weights/best.safetensors", "weights/last.safetensors"}
"""Files of a run's folder."""

UNSEEN = re.compile(
    r"HANET\.md|\bDESIGN\b|\bCONVENTIONS\b|\bHOUSE(?:\.md)?\b|\b[Ii]ssues? \d|\b[Pp]oint \d+ of\b|,"
    r" point \d"
)
"""Documents and trackers that a reader of the repository does not see; threads of other projects
are cited as ``owner/name#number``."""

PATH = re.compile(
    r"(?<![\w/.~<$\[-])(?<!--out )(?<!--json )"
    rf"((?:{'|'.join(FOLDERS)})/[\w./*-]*\w\.[a-z]+)(?![\w/*])"
)
"""A file of the repository, by its path from the top; not the text of a link, not what a command
writes."""

QUOTED_FILE = re.compile(r"(?<!`)`{1,2}((?:\w[\w-]*/)*\w[\w-]*\.py)`{1,2}(?!`)")
"""A Python file in code style, by its name or the end of its path."""

LINK = re.compile(r"(?<=\]\()(?!#|[a-z]+:)([^)#\s]+)")
"""The target of a Markdown link that is neither an anchor nor has a scheme."""

DOTTED = re.compile(r"(?<![\w/.@-])hanet(?:\.[A-Za-z_]\w*)+(?![\w/]*\.(?:py|md|json))")
"""A dotted name of the package."""

FILE_ENDINGS = {"onnx", "safetensors", "py", "toml", "json", "md", "svg", "pt"}
"""What a name of a file ends in: ``hanet.onnx`` is no module."""

ROLE = re.compile(r":(?:func|class|data|meth|attr|mod|exc|obj):`~?\.?([\w.]+)`")
"""A cross-reference in a docstring."""


class Passage(NamedTuple):
    """A stretch of text that people read.

    Args:
        path: Its file.
        line: Number of its first line.
        text: The text.
        is_command: It is a block of code in Markdown.
    """

    path: Path
    line: int
    text: str
    is_command: bool = False

    def place(self, position: int) -> str:
        """``path:line`` of a position in the text."""
        line = self.line + self.text.count("\n", 0, position)
        return f"{self.path.relative_to(ROOT).as_posix()}:{line}"


def _files() -> Iterator[Path]:
    yield from (path for path in ROOT.glob("*.md"))
    for folder in ("src", "tests", "docs", "experiments", "scripts", "benchmarks"):
        for ending in ("py", "md", "toml"):
            yield from (ROOT / folder).rglob(f"*.{ending}")


@cache
def _passages() -> tuple[Passage, ...]:
    """All of the repository but this file, whose subject are such references."""
    here = Path(__file__).resolve()
    return tuple(part for path in sorted(_files()) if path != here for part in _parts(path))


def _parts(path: Path) -> Iterator[Passage]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        yield from _markdown(path, text)
    elif path.suffix == ".py":
        yield from _docstrings(path, text)
        yield from _comments(path, text)
    else:
        for number, line in enumerate(text.splitlines(), 1):
            if "#" in line:
                yield Passage(path, number, line.partition("#")[2])


def _markdown(path: Path, text: str) -> Iterator[Passage]:
    line = 1
    for index, part in enumerate(re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)):
        yield Passage(path, line, part, is_command=index % 2 == 1)
        line += part.count("\n")


def _docstrings(path: Path, text: str) -> Iterator[Passage]:
    for node in ast.walk(ast.parse(text)):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            yield Passage(path, node.lineno, node.value.value)


def _comments(path: Path, text: str) -> Iterator[Passage]:
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield Passage(path, token.start[0], token.string)


def _unseen(passage: Passage) -> list[str]:
    return [
        f"{passage.place(found.start())}: {found[0]}" for found in UNSEEN.finditer(passage.text)
    ]


@cache
def _names_of_python_files() -> frozenset[str]:
    """Every Python file by its name and by every end of its path."""
    parts = [
        path.relative_to(ROOT).parts for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")
    ]
    return frozenset("/".join(part[-count:]) for part in parts for count in range(1, len(part) + 1))


def _missing_files(passage: Passage) -> list[str]:
    wrong = []
    for found in PATH.finditer(passage.text):
        path = found[1]
        may_be_made = path in MADE_BY_TRAINING or (
            passage.is_command and path.startswith(MADE_BY_READERS)
        )
        is_pattern = "*" in path or any(
            word.isupper() for word in re.findall(r"[A-Za-z]{3,}", path.rpartition(".")[0])
        )
        if not may_be_made and not is_pattern and not (ROOT / path).exists():
            wrong.append(f"{passage.place(found.start())}: {path}")
    if not passage.is_command:
        wrong += [
            f"{passage.place(found.start())}: {found[1]}"
            for found in QUOTED_FILE.finditer(passage.text)
            if found[1] not in _names_of_python_files()
        ]
    if passage.path.suffix == ".md" and not passage.is_command:
        wrong += [
            f"{passage.place(found.start())}: {found[1]}"
            for found in LINK.finditer(passage.text)
            if not (passage.path.parent / found[1]).exists()
        ]
    return wrong


@cache
def _exists(dotted: str) -> bool:
    """Whether a dotted name can be imported, as a module or as something in one."""
    parts = dotted.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:count]))
        except (ModuleNotFoundError, MissingExtraError):
            continue
        return _has(found, parts[count:])
    return False


def _has(owner: Any, names: list[str]) -> bool:
    for name in names:
        if not hasattr(owner, name):
            kinds = inspect.getmro(owner) if inspect.isclass(owner) else ()
            fields = [vars(kind).get("__annotations__", {}) for kind in kinds]
            return any(name in field for field in fields) or name in getattr(
                owner, "model_fields", {}
            )
        owner = getattr(owner, name)
    return True


def _missing_names(passage: Passage) -> list[str]:
    return [
        f"{passage.place(found.start())}: {found[0]}"
        for found in DOTTED.finditer(passage.text)
        if found[0].rpartition(".")[2] not in FILE_ENDINGS and not _exists(found[0])
    ]


def _missing_roles(passage: Passage) -> list[str]:
    """Roles of a file of the package that name nothing: looked up in the module, then in its
    classes."""
    package = ROOT / "src"
    if not passage.path.is_relative_to(package) or passage.path.suffix != ".py":
        return []
    module = importlib.import_module(
        ".".join(passage.path.relative_to(package).with_suffix("").parts).removesuffix(".__init__")
    )
    return [
        f"{passage.place(found.start())}: {found[1]}"
        for found in ROLE.finditer(passage.text)
        if not _is_known_in(module, found[1])
    ]


def _is_known_in(module: ModuleType, name: str) -> bool:
    classes = [kind for kind in vars(module).values() if inspect.isclass(kind)]
    if _exists(name) or any(_has(owner, name.split(".")) for owner in (module, *classes)):
        return True
    return f"self.{name} = " in inspect.getsource(module)  # known only once it is initialised


CHECKS = {
    "documents": _unseen,
    "files": _missing_files,
    "names": _missing_names,
    "roles": _missing_roles,
}


@pytest.mark.parametrize("kind", CHECKS)
def test_no_reference_leads_nowhere(kind: str) -> None:
    wrong = [line for passage in _passages() for line in CHECKS[kind](passage)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("kind", "text", "found"),
    [
        ("documents", "as DESIGN says", "DESIGN"),
        ("documents", "by HANET.md, section 3", "HANET.md"),
        ("documents", "see issue 5", "issue 5"),
        ("files", "see `tests/imagery/test_nothing.py`", "tests/imagery/test_nothing.py"),
        ("files", "see ``nothing.py``", "nothing.py"),
        ("files", "from results/nothing.json", "results/nothing.json"),
        ("files", "see [this](nothing.md#anchor)", "nothing.md"),
        ("names", "see `hanet.imagery.nothing`", "hanet.imagery.nothing"),
        ("names", "see `hanet.imagery.pair.RasterPair.nothing`", "RasterPair.nothing"),
    ],
)
def test_a_reference_that_leads_nowhere_is_found(kind: str, text: str, found: str) -> None:
    (line,) = set(CHECKS[kind](Passage(ROOT / "README.md", 1, f"first\n{text}")))
    assert line.startswith("README.md:2: ")
    assert line.endswith(found)


def test_a_role_that_leads_nowhere_is_found() -> None:
    path = ROOT / "src" / "hanet" / "imagery" / "pair.py"
    text = ":func:`open_pair`, :meth:`RasterPair.read`, :func:`opens_nothing`"
    assert [line.rpartition(": ")[2] for line in _missing_roles(Passage(path, 1, text))] == [
        "opens_nothing"
    ]


def test_what_a_reader_makes_and_what_stands_for_others_is_left_alone() -> None:
    command = Passage(ROOT / "README.md", 1, "hanet bench --out results/mine.json", is_command=True)
    assert _missing_files(command) == []
    pattern = "`results/training/*.json`, `results/NAME-val-tiles.json`, weights/hanet.onnx"
    assert _missing_files(Passage(ROOT / "README.md", 1, pattern)) == []
    assert _missing_names(Passage(ROOT / "README.md", 1, "hanet.onnx, hanet.detect")) == []


def test_the_page_on_the_code_shows_every_wing() -> None:
    page = (ROOT / "docs" / "concepts" / "code.md").read_text(encoding="utf-8")
    tree = re.search(r"```text\nsrc/hanet/\n(.*?)```", page, re.DOTALL)
    assert tree is not None
    shown = set(re.findall(r"^  (\w+)/ ", tree[1], re.MULTILINE))
    package = ROOT / "src" / "hanet"
    assert shown == {path.parent.name for path in package.glob("*/__init__.py")}
    words = re.search(r"^  (version[\w,\s]*?\w)\n {4}", tree[1], re.MULTILINE)
    assert words is not None
    assert set(re.findall(r"\w+", words[1])) == {path.stem for path in package.glob("[a-z]*.py")}
