"""Every verb, option, network, data set and public name is documented; made pages are what the code
says; the site builds."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from typer.testing import CliRunner

import hanet
from checkout import ROOT
from chromium_page import WHY_NOT, chromium, chromium_page
from command_blocks import blocks_of
from hanet import errors
from hanet.cli import VERBS, app
from hanet.datasets.published import KNOWN_DATASETS
from hanet.models import MODELS
from hanet.models.contract import ChangeModel
from hanet.training.experiment import Experiment

REFERENCE = ROOT / "docs" / "reference"
SEARCH = "search/search_index.json"
ON_A_PHONE = (
    "index.html",
    "guides/detect.html",
    "reference/verbs.html",
    "models/hanet.html",
    "notebooks/analysts.html",
)
"""Pages with long names, wide tables and outputs of cells."""


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("script", ["reference", "tables", "drawings", "benchmarks", "compare"])
def test_made_pages_are_up_to_date(script: str) -> None:
    command = [sys.executable, str(ROOT / "docs" / "scripts" / f"{script}.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    assert result.returncode == 0, result.stdout + result.stderr


def _documented_options(verb: str) -> dict[str, str]:
    """Every row of the verb's tables in the reference: what is typed, and its meaning."""
    section = re.search(
        rf"^## hanet {verb}\n(.*?)(?=^## |\Z)",
        _read(REFERENCE / "verbs.md"),
        re.DOTALL | re.MULTILINE,
    )
    assert section is not None, f"hanet {verb} is not in the reference"
    return dict(re.findall(r"^\| `(.*?)` \| (.*) \|$", section[1], re.MULTILINE))


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_and_option_is_documented(verb: str) -> None:
    shown = (
        CliRunner()
        .invoke(app, [verb, "--help"], env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"})
        .output
    )
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", shown)) - {"--help"}
    documented = _documented_options(verb)
    names = {name for shown in documented for name in re.findall(r"--[a-z0-9-]+", shown)}
    # help texts also name options of other verbs, so the two sets need not be equal
    assert {name for name in options if re.search(rf"^\W*{name}\b", shown, re.MULTILINE)} <= names
    assert all(meaning.strip() for meaning in documented.values())
    assert f"| `hanet {verb}` |" in _read(ROOT / "README.md"), "README's table of verbs lacks it"


WRITTEN = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "experiments").rglob("*.toml")),
]


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_no_page_names_a_verb_or_an_option_that_is_not_there(page: Path) -> None:
    """In blocks of commands that run and that do not, in the comments of experiments, and in code
    within sentences."""
    blocks = [block.text for block in blocks_of(page) if block.language == "sh"]
    comments = (
        re.findall(r"^# Command: (.*)", _read(page), re.MULTILINE) if page.suffix == ".toml" else []
    )
    typed = "\n".join(blocks + comments).replace("\\\n", " ")
    commands = re.findall(r"^hanet ([a-z]+)(?= |$)([^#\n]*)", typed, re.MULTILINE)
    commands += re.findall(r"`hanet ([a-z]+)([^`\n]*)`", _read(page))
    for verb, rest in commands:
        known = {
            name
            for shown in _documented_options(verb)
            for name in re.findall(r"--[a-z0-9-]+", shown)
        } | {"--help", "--progress"}
        assert set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", rest)) <= known, f"hanet {verb}{rest}"


BY_HAND = [
    *sorted(ROOT.glob("*.md")),
    *sorted(
        path
        for path in (ROOT / "docs").rglob("*.md")
        if path.parent != REFERENCE and path.name != "benchmarks.md"
    ),
]
"""Pages that people write; the others are made."""


@pytest.mark.parametrize("page", BY_HAND, ids=lambda page: page.name)
def test_sentences_keep_the_line_width(page: Path) -> None:
    """Rows of tables, pictures, comments and blocks of code may be wider."""
    prose = re.sub(r"^```.*?^```$", "", _read(page), flags=re.DOTALL | re.MULTILINE)
    wide = [line for line in prose.splitlines() if len(line) > 100 and " " in line.strip("-* ")]
    assert [line for line in wide if not line.startswith(("|", "![", "<!--", "#"))] == []


def test_rows_of_ours_name_the_experiments_that_were_run_and_no_other() -> None:
    """hanet's rows once named the experiment for a GPU, which nobody had run."""
    rows = re.findall(r"^\| ours, .*$", _read(ROOT / "docs" / "models" / "hanet.md"), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"\[([\w-]+)\.toml\]", row)}
    assert named
    logs = {path.stem for path in (ROOT / "results" / "training").glob("*.csv")}
    assert named <= logs


def test_every_network_is_documented() -> None:
    reference, readme = _read(REFERENCE / "models.md"), _read(ROOT / "README.md")
    for name in MODELS:
        assert f"### {name}\n" in reference
        assert f"`{name}`" in readme


def test_every_data_set_is_documented() -> None:
    reference = _read(REFERENCE / "datasets.md")
    assert [
        key
        for key, known in KNOWN_DATASETS.items()
        if f"`{key}`" not in reference or known.title not in reference
    ] == []


def test_every_experiment_key_is_documented() -> None:
    rows = dict(
        re.findall(
            r"^\| `(\w+)` \|.*\| ([^|]*) \|$", _read(REFERENCE / "experiments.md"), re.MULTILINE
        )
    )
    assert [key for key in Experiment.model_fields if not rows.get(key, "").strip()] == []


def test_every_dependency_has_its_half_page() -> None:
    project = tomllib.loads(_read(ROOT / "pyproject.toml"))["project"]
    extras = [text for extra in project["optional-dependencies"].values() for text in extra]
    names = {Requirement(text).name for text in [*project["dependencies"], *extras]} - {"hanet"}
    decisions = ROOT / "docs" / "decisions"
    titles = [
        re.split(r"[:(]", _read(page).partition("\n")[0])[0]
        for page in decisions.glob("dependencies/*.md")
    ]
    told = set(re.findall(r"[\w-]+", " ".join(titles)))
    site = _read(decisions / "documentation-site.md").lower()
    assert {name for name in names - told if name not in site} == set()
    assert told - names == set(), "pages of what is no dependency any more"


def test_every_public_name_is_documented() -> None:
    reference = _read(REFERENCE / "python.md")
    assert [name for name in hanet.__all__ if f"## `hanet.{name}`\n" not in reference] == []
    family = [
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and value.__module__ == errors.__name__
    ]
    assert [name for name in family if name not in reference] == []


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it; a warning fails."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    result = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, encoding="utf-8"
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "WARNING" not in result.stdout + result.stderr
    return folder


def test_the_site_is_whole_and_fetches_nothing(site: Path) -> None:
    start = _read(site / "index.html")
    for picture in ("images/demo.jpg", "images/report-and-review.webp"):
        assert f'src="{picture}"' in start
        assert (site / picture).is_file()
    found = {entry["location"] for entry in json.loads(_read(site / SEARCH))["docs"]}
    pages = [page.relative_to(site).as_posix() for page in site.rglob("*.html")]
    written = {page for page in pages if page != "404.html" and not page.startswith("src/")}
    assert written <= found, "the search lacks a page"
    fetched = re.compile(r'<(?:script|link|img)[^>]+(?:src|href)="https?://')
    assert [page for page in pages if fetched.search(_read(site / page))] == [], (
        "the site fetches from elsewhere"
    )


@pytest.mark.skipif(chromium() is None, reason=WHY_NOT)
def test_pages_fit_a_phone(site: Path, tmp_path: Path) -> None:
    """Tables and blocks of code scroll within the page, and no name of a file or an option is
    broken over two lines."""
    with chromium_page(tmp_path) as phone:
        for name in ON_A_PHONE:
            phone.open((site / name).as_uri(), width=390, height=800)
            assert phone.run("document.documentElement.scrollWidth") == 390, name
            assert phone.run("document.querySelectorAll('article .whole').length") > 0, name
            broken = "[...document.querySelectorAll('article .whole')].filter((part) =>"
            broken += " part.getClientRects().length > 1).map((part) => part.textContent)"
            assert phone.run(broken) == [], name


def test_pictures_stay_small() -> None:
    sizes = {path.name: path.stat().st_size for path in (ROOT / "docs" / "images").iterdir()}
    assert sum(sizes.values()) < 1.5e6, sizes


def test_the_row_of_a_new_network_names_what_it_must_state() -> None:
    """It named none: a network that stated less ended in an AttributeError, one at a time."""
    row = next(
        line
        for line in _read(ROOT / "docs" / "concepts" / "code.md").splitlines()
        if line.startswith("| a new network |")
    )
    stated = {name for name in ChangeModel.__annotations__ if not name.startswith("_")}
    assert stated
    assert {name for name in stated if f"`{name}`" not in row} == set()
