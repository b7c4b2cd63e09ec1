"""What is built: a small wheel with all it needs and no more, which detects in a fresh environment
with its declared dependencies only."""

from __future__ import annotations

import email
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from importlib.metadata import distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import hanet
from checkout import ROOT

CLEAN = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
"""The environment without what could lead another Python to this checkout."""

PAGES = ROOT / "src" / "hanet" / "review" / "page"
"""What `hanet review` serves."""

GUARD = '''"""Only the declared dependencies can be imported from the environment that lends them."""
import sys

ALLOWED = {allowed!r}
LENT = {lent!r}


class Guard:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in LENT and top not in ALLOWED:
            raise ModuleNotFoundError(f"{{top}} is no dependency of the wheel", name=top)
        return None


sys.meta_path.insert(0, Guard())
'''


def _run(*command: object, cwd: Path = ROOT) -> str:
    words = [str(word) for word in command]
    result = subprocess.run(
        words, cwd=cwd, env=CLEAN, capture_output=True, text=True, encoding="utf-8"
    )
    assert result.returncode == 0, f"{' '.join(words)}\n{result.stdout}{result.stderr}"
    return result.stdout


def _requirements(wheel: Path) -> list[str]:
    """Names of what the wheel itself requires, without extras."""
    text = zipfile.ZipFile(wheel).read(f"hanet-{hanet.__version__}.dist-info/METADATA").decode()
    lines = email.message_from_string(text).get_all("Requires-Dist") or []
    return [Requirement(line).name for line in lines if "extra ==" not in line]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source distribution, as ``python -m build`` does."""
    folder = tmp_path_factory.mktemp("dist")
    _run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder)
    assert [path.name for path in folder.glob("*.tar.gz")] == [f"hanet-{hanet.__version__}.tar.gz"]
    (built,) = folder.glob("*.whl")
    with tarfile.open(next(folder.glob("*.tar.gz"))) as source:
        tops = {name.split("/")[1] for name in source.getnames()}
    assert "qgis" not in tops, "the plugin is under another licence"
    return built


def test_the_wheel_is_small_and_holds_what_detection_needs(wheel: Path) -> None:
    assert wheel.stat().st_size < 15_000_000
    names = set(zipfile.ZipFile(wheel).namelist())
    page = {f"hanet/detection/report.{kind}" for kind in ("html", "css", "js")}
    assert {"hanet/py.typed", *page} <= names
    page = {
        path.relative_to(ROOT / "src").as_posix() for path in PAGES.rglob("*") if path.is_file()
    }
    assert "hanet/review/page/index.html" in page
    assert page <= names
    assert {f"hanet/weights/shipped/{name}" for name in ("hanet_lite.onnx", "TERMS.md")} <= names
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"hanet", f"hanet-{hanet.__version__}.dist-info"}
    assert [
        name for name in names if "test" in name or name.endswith((".safetensors", ".pyc"))
    ] == []


def test_the_wheel_holds_the_page_of_the_review_and_the_licences_of_what_it_draws_with(
    wheel: Path,
) -> None:
    package = ROOT / "src"
    page = {
        path.relative_to(package).as_posix()
        for path in (package / "hanet" / "review" / "page").rglob("*")
        if path.is_file()
    }
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"hanet/review/page/index.html", "hanet/review/page/vendor/ol.js"} <= page <= names
    licences = zipfile.ZipFile(wheel).read("hanet/review/page/vendor/LICENSES.txt").decode()
    assert "OpenLayers Contributors" in licences
    assert sum(name.endswith("vendor/LICENSES.txt") for name in names) == 2, (
        "beside the code, and with the licence of the package"
    )


def test_the_metadata_says_what_it_is(wheel: Path) -> None:
    text = zipfile.ZipFile(wheel).read(f"hanet-{hanet.__version__}.dist-info/METADATA").decode()
    metadata = email.message_from_string(text)
    assert (metadata["Name"], metadata["Version"]) == ("hanet", hanet.__version__)
    assert metadata["License-Expression"] == "Apache-2.0"
    assert {"Typing :: Typed", "Topic :: Scientific/Engineering :: GIS"} <= set(
        metadata.get_all("Classifier")
    )
    assert "torch" not in _requirements(wheel)
    assert {"train", "openvino", "docs", "dev"} <= set(metadata.get_all("Provides-Extra"))


@pytest.mark.slow
def test_a_fresh_environment_detects_without_torch(wheel: Path, tmp_path: Path) -> None:
    """No index is asked: this environment lends the declared dependencies, and a guard refuses
    every other package of it."""
    fresh = tmp_path / "fresh"
    venv.EnvBuilder(with_pip=False).create(fresh)
    scripts = fresh / ("Scripts" if sys.platform == "win32" else "bin")
    python = scripts / "python"
    _run(
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        wheel,
    )
    site = Path(
        _run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    )
    allowed, lent = _modules_of_dependencies(_requirements(wheel))
    (site / "guard_of_dependencies.py").write_text(
        GUARD.format(allowed=sorted(allowed), lent=sorted(lent)), encoding="utf-8"
    )
    lender = Path(yaml.__file__).parents[1]
    (site / "lent.pth").write_text(f"import guard_of_dependencies\n{lender}\n", encoding="utf-8")

    where = _run(python, "-c", "import hanet; print(hanet.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(fresh), "the wheel is what runs"
    refused = subprocess.run(
        [python, "-c", "import torch"], env=CLEAN, capture_output=True, text=True, cwd=tmp_path
    )
    assert "torch is no dependency of the wheel" in refused.stderr
    _run(scripts / "hanet", "scene", "scene", "--size", 256, "--seed", 3, cwd=tmp_path)
    _run(
        scripts / "hanet",
        "detect",
        "scene/before.tif",
        "scene/after.tif",
        "--out",
        "found",
        cwd=tmp_path,
    )
    for name in ("footprints.gpkg", "probability.tif", "mask.tif", "report.html", "run.json"):
        assert (tmp_path / "found" / name).is_file()
    assert "torch" not in (tmp_path / "found" / "run.json").read_text(encoding="utf-8")


INSTALLS = {
    "pipx": ("pipx", "install", "--python", sys.executable),
    "uv": ("uv", "tool", "install", "--quiet", "--python", sys.executable),
}
"""How each tool makes a command of a wheel."""

UNREACHED = re.compile(
    r"dns error|error sending request|connection|timed out|network|no matching distribution",
    re.IGNORECASE,
)
"""What a tool says that reaches no package index."""


@pytest.mark.slow
@pytest.mark.parametrize("tool", INSTALLS)
def test_a_tool_makes_a_command_of_the_wheel(tool: str, wheel: Path, tmp_path: Path) -> None:
    """The light command; what needs training says how to get it."""
    folders = {name: str(tmp_path / name) for name in ("PIPX_HOME", "PIPX_BIN_DIR")}
    folders |= {name: str(tmp_path / name) for name in ("UV_TOOL_DIR", "UV_TOOL_BIN_DIR")}
    _by_tool(tool, *INSTALLS[tool][1:], wheel, env={**CLEAN, **folders})
    bins = tmp_path / ("PIPX_BIN_DIR" if tool == "pipx" else "UV_TOOL_BIN_DIR")
    command = bins / ("hanet.exe" if sys.platform == "win32" else "hanet")
    told = _run(command, "--version", cwd=tmp_path).splitlines()
    assert told[0] == f"hanet {hanet.__version__}"
    assert told[-1] == "torch not installed"
    assert "FAILED" not in _run(command, "doctor", cwd=tmp_path)
    words = [str(command), "export", "hanet_lite", "out.onnx"]
    refused = subprocess.run(words, env=CLEAN, capture_output=True, text=True, cwd=tmp_path)
    assert refused.returncode == 2
    assert "hint: pip install 'hanet[train]'" in refused.stderr


@pytest.mark.slow
def test_the_extra_for_training_can_be_resolved(wheel: Path, tmp_path: Path) -> None:
    """Resolved only: torch alone is some gigabytes with what it brings for GPUs."""
    wanted = tmp_path / "wanted.txt"
    wanted.write_text(f"hanet[train] @ {wheel.as_uri()}\n", encoding="utf-8")
    command = ("pip", "compile", wanted, "--quiet", "--python-version", "3.11")
    lines = _by_tool("uv", *command, env=CLEAN).splitlines()
    found = {line.partition("==")[0] for line in lines if "==" in line}
    needed = tomllib.loads(_text("pyproject.toml"))["project"]["optional-dependencies"]["train"]
    assert {canonicalize_name(Requirement(text).name) for text in needed} <= found


def _by_tool(tool: str, *arguments: object, env: dict[str, str]) -> str:
    """What a tool said; skips the test where the tool or a package index is not at hand."""
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed (pip install {tool})")
    words = [tool, *map(str, arguments)]
    result = subprocess.run(words, env=env, capture_output=True, text=True, encoding="utf-8")
    if result.returncode and UNREACHED.search(result.stderr):
        pytest.skip(f"{tool} reaches no package index: {result.stderr.strip().splitlines()[-1]}")
    assert result.returncode == 0, f"{' '.join(words)}\n{result.stdout}{result.stderr}"
    return result.stdout


def _modules_of_dependencies(required: list[str]) -> tuple[set[str], set[str]]:
    """Top-level modules of what the wheel requires, with all that those require; and of everything
    installed here."""
    installed = {canonicalize_name(found.metadata["Name"]): found for found in distributions()}
    modules: dict[str, set[str]] = {}
    for name, found in installed.items():
        tops = {
            path.parts[0]
            for path in found.files or ()
            if path.suffix in (".py", ".so", ".pyd") and path.parts[0] != ".."
        }
        modules[name] = {top.partition(".")[0] for top in tops}
    needed, waiting = set(), list(required)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in needed or name not in installed:
            continue
        needed.add(name)
        requirements = [Requirement(text) for text in installed[name].requires or ()]
        waiting += [
            one.name
            for one in requirements
            if one.marker is None or one.marker.evaluate({"extra": ""})
        ]
    allowed = {module for name in needed for module in modules[name]}
    return allowed, {module for tops in modules.values() for module in tops}


def test_the_citation_file_is_valid() -> None:
    """Against what the Citation File Format 1.2.0 requires of the keys that we use."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["cff-version"] == "1.2.0"
    assert citation["type"] == "software"
    assert citation["version"] == hanet.__version__
    assert citation["license"] == "Apache-2.0"
    people = [
        *citation["authors"],
        *(author for reference in citation["references"] for author in reference["authors"]),
    ]
    assert all(
        person.keys() == {"name"} or {"family-names", "given-names"} <= person.keys()
        for person in people
    )
    (paper,) = citation["references"]
    assert {"type", "title", "authors"} <= paper.keys()
    assert paper["type"] == "article"
    assert re.fullmatch(r"10\.\d{4,9}/\S+", paper["doi"])
    assert all(isinstance(paper[key], int) for key in ("year", "volume", "start", "end"))


def test_every_place_that_names_the_version_names_the_same() -> None:
    recipe = yaml.safe_load(_text("packaging/conda-forge/recipe.yaml"))
    assert tomllib.loads(_text("pyproject.toml"))["project"]["version"] == hanet.__version__
    assert yaml.safe_load(_text("CITATION.cff"))["version"] == hanet.__version__
    assert recipe["context"]["version"] == hanet.__version__


def test_the_recipe_asks_for_what_the_package_asks_for() -> None:
    recipe = yaml.safe_load(_text("packaging/conda-forge/recipe.yaml"))
    asked = {line.replace(" ", "") for line in recipe["requirements"]["run"]}
    stated = set(tomllib.loads(_text("pyproject.toml"))["project"]["dependencies"])
    assert asked == stated | {"python>=${{python_min}}"}
    licences = tomllib.loads(_text("pyproject.toml"))["project"]["license-files"]
    assert recipe["about"]["license_file"] == licences


def _text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")
