"""A hook of MkDocs: README is the site's first page, what pages link to outside ``docs/`` becomes
part of the site, and notebooks become pages.

So pages carry the links that work in a checkout and on a forge, and the site needs no copies that
could grow old.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]

PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "SECURITY.md": "SECURITY.md",
    "CODE_OF_CONDUCT.md": "CODE_OF_CONDUCT.md",
    "benchmarks/joplin_labels/README.md": "joplin-labels.md",
}
"""Pages that stand outside ``docs/``: path in the repository to path in the site."""

FOLDERS = {"results": "reference/results.md", "experiments": "reference/experiments.md"}
"""Folders that pages link to, they or folders in them, and the page of the site that lists what
they hold."""

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
"""Each becomes a page, and the notebook lies beside it."""

LINK = re.compile(r"(?<=\]\()(?!#|[a-z]+:)([^)#\s]+)")
"""The target of a Markdown link or image that is neither an anchor nor has a scheme."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Puts the pages that ``nav`` does not name where a star stands for their folder."""
    named = set(re.findall(r"[\w/-]+\.md", str(config.nav)))
    config.nav = _filled(config.nav or [], named)
    return config


def _filled(entries: list[Any], named: set[str]) -> list[Any]:
    filled: list[Any] = []
    for entry in entries:
        if isinstance(entry, dict):
            filled.append(
                {
                    title: _filled(part, named) if isinstance(part, list) else part
                    for title, part in entry.items()
                }
            )
        elif entry.endswith("/*"):
            pages = sorted(
                path.relative_to(ROOT / "docs").as_posix()
                for path in (ROOT / "docs").glob(f"{entry[:-2]}/*.md")
            )
            filled += [page for page in pages if page not in named]
        else:
            filled.append(entry)
    return filled


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages of :data:`PAGES`, every file outside ``docs/`` that a page links to, and a page
    of each notebook."""
    for outside, inside in PAGES.items():
        files.append(File.generated(config, inside, abs_src_path=str(ROOT / outside)))
    known = {file.src_uri for file in files}
    for page in list(files.documentation_pages()):
        for link in LINK.findall(Path(str(page.abs_src_path)).read_text(encoding="utf-8")):
            target = _site_path(link, page.src_uri)
            if target not in known and (ROOT / target).is_file():
                files.append(File.generated(config, target, abs_src_path=str(ROOT / target)))
                known.add(target)
    for path in NOTEBOOKS:
        files.append(
            File.generated(config, f"notebooks/{path.stem}.md", content=notebook_page(path))
        )
    return files


def notebook_page(path: Path) -> str:
    """A notebook with its outputs as Markdown."""
    title, *parts = [
        part
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        for part in _parts_of_cell(cell)
    ]
    heading, _, rest = title.partition("\n")
    copy = f'<a href="{path.name}" download>This page as a notebook</a>'
    return "\n\n".join([heading, copy, rest, *parts]) + "\n"


def _parts_of_cell(cell: dict[str, Any]) -> Iterator[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield source
        return
    yield f"```python\n{source}\n```"
    for output in cell["outputs"]:
        kinds = {kind: "".join(content) for kind, content in output.get("data", {}).items()}
        if "text/html" in kinds:
            yield f'<div class="output">\n{kinds["text/html"]}\n</div>'
        elif "image/jpeg" in kinds:
            picture = kinds["image/jpeg"].strip()
            yield f'<img alt="what the cell draws" src="data:image/jpeg;base64,{picture}">'
        else:
            text = kinds.get("text/plain", "".join(output.get("text", "")))
            yield f"```text\n{text.rstrip()}\n```"


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """The page with its links as they are in the site; blocks of code stay as they are."""
    start = posixpath.dirname(page.file.src_uri)

    def moved(match: re.Match[str]) -> str:
        return posixpath.relpath(_site_path(match[1], page.file.src_uri), start or ".")

    return "".join(part if is_code else LINK.sub(moved, part) for is_code, part in _parts(markdown))


CODE = re.compile(r"<pre.*?</pre>|<(code|a)\b[^>]*>([^<]+)</\1>", re.DOTALL)
"""Blocks of code, which stay as they are, and code or links within sentences."""

FILE = re.compile(r"[\w./-]+\.\w{2,11}")
"""A file name, alone."""

LONGEST = 36
"""Characters of code in a line of a phone."""


def on_page_content(html: str, **_: Any) -> str:
    """The page with names of files, options and code in one piece: a line ends between them, not
    within."""

    def whole(match: re.Match[str]) -> str:
        tag, text = match[1], match[2]
        if tag is None or (tag == "a" and not FILE.fullmatch(text)):
            return match[0]
        pieces = " ".join(_in_one_piece(word) for word in text.split(" "))
        return match[0].replace(f">{text}<", f">{pieces}<")

    return CODE.sub(whole, html)


def _in_one_piece(word: str) -> str:
    """A word that no line breaks; one too long for a phone, in parts that end with a slash or a
    dot."""
    parts = [word]
    if len(word) > LONGEST:
        parts = re.findall(r"[^/]+/?|/" if "/" in word else r"[^.]+\.?|\.", word)
    return "<wbr>".join(f'<span class="whole">{part}</span>' for part in parts)


def _parts(markdown: str) -> Iterator[tuple[bool, str]]:
    for index, part in enumerate(
        re.split(r"(^```.*?^```$)", markdown, flags=re.MULTILINE | re.DOTALL)
    ):
        yield index % 2 == 1, part


def _site_path(link: str, page: str) -> str:
    """Path in the site of what a page links to."""
    outside = {inside: path for path, inside in PAGES.items()}
    home = outside.get(page, f"docs/{page}")
    path = posixpath.normpath(posixpath.join(posixpath.dirname(home), link))
    if (ROOT / path).is_dir():
        path = FOLDERS.get(path.partition("/")[0], path)
    if path.startswith("docs/notebooks/"):
        path = path.replace(".ipynb", ".md")
    path = PAGES.get(path, path)
    return path.removeprefix("docs/")
