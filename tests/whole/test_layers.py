"""Imports go down only, from wing to wing, and importing the package stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from checkout import ROOT

PACKAGE = ROOT / "src" / "hanet"

WINGS: dict[str, int] = {
    "cli": 7,  # one file a verb
    "bench": 6,  # speed and memory on this machine
    "adaptation": 6,  # weights learn a place from reviewed ground
    "training": 5,  # an experiment and data give weights
    "review": 5,  # a person decides, corrects, delivers
    "cluster": 5,  # detections shared out to many machines
    "detection": 4,  # a pair gives a result folder
    "evaluation": 4,  # scores by published protocols
    "conversion": 4,  # old checkpoints into weights
    "footprints": 3,  # from probability to polygons
    "datasets": 3,  # published sets, prepared and checked
    "synthetic": 3,  # rendered pairs with true changes
    "stac": 3,  # pairs chosen from catalogues
    "imagery": 2,  # pixels and shapes from files
    "weights": 2,  # a weights file by name, read, run, exported
    "models": 1,  # networks
}
"""Floor of each wing. A wing imports from floors below its own and from itself, never from another
of the same floor."""

VOCABULARY = {
    "version",
    "errors",
    "types",
    "files",
    "documents",
    "command_line",
    "metadata",
    "provenance",
    "work_folder",
    "threads",
    "destination",
    "lazy_names",
    "listeners",
    "page_template",
}
"""Modules that every wing may import; they import no wing."""

FACES = {"__init__", "__main__"}
"""Import anything, lazily."""

ONE_HOME = {
    "pytorch_lightning": {"training"},
    "safetensors": {"weights/weights_file.py"},
    "kornia": {"training/augmentation.py", "training/strong_views.py"},
    "pyogrio": {"imagery/vectors.py", "imagery/vector_formats.py", "imagery/libraries.py"},
    "PIL": {"imagery/images.py", "imagery/gdal_images.py"},
    "filelock": {"work_folder.py"},
    "distributed": {"cluster/workers.py"},
    "geopandas": {"footprints/frame.py"},
    "pystac": {"imagery/stac_client.py"},
    "pystac_client": {"imagery/stac_client.py"},
    "requests": {"imagery/stac_client.py"},
    "urllib3": {"imagery/stac_client.py"},
    "xarray": {"imagery/xarrays.py"},
    "rioxarray": {"imagery/xarrays.py"},
    "matplotlib": {"detection/plotting.py"},
    "scipy": {"evaluation/footprint_matching.py"},
}
"""Heavy libraries, each with the one wing or file that may import it."""

SOURCES = sorted(PACKAGE.rglob("*.py"))


def _module(path: Path) -> str:
    """Dotted name below ``hanet``; of a package the package's own."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


def _imports(path: Path) -> set[str]:
    """Everything that a file imports, wherever in it: at its top, in a function, for type checking,
    or by name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.update({node.module, *(f"{node.module}.{alias.name}" for alias in node.names)})
        elif (
            isinstance(node, ast.Call)
            and getattr(node.func, "id", getattr(node.func, "attr", "")) == "import_module"
        ):
            found.update(part.value for part in node.args if isinstance(part, ast.Constant))
    return found


def _own(path: Path) -> set[str]:
    """The modules of the package that a file imports, dotted below ``hanet``."""
    modules = {_module(source) for source in SOURCES}
    return {
        name[6:] for name in _imports(path) if name.startswith("hanet.") and name[6:] in modules
    }


def _upward(importer: str, imported: str) -> bool:
    """Whether one module of the package may not import another."""
    mine, theirs = importer.partition(".")[0], imported.partition(".")[0]
    if mine in FACES or mine == theirs or theirs in VOCABULARY:
        return False
    return mine in VOCABULARY or theirs in FACES or WINGS[theirs] >= WINGS[mine]


def test_every_folder_is_a_wing_and_every_file_beside_them_is_vocabulary() -> None:
    folders = {
        path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"
    }
    assert folders == set(WINGS)
    assert {path.stem for path in PACKAGE.glob("*.py")} == VOCABULARY | FACES


@pytest.mark.parametrize("wing", sorted(WINGS))
def test_a_wing_begins_with_what_it_is_for(wing: str) -> None:
    docstring = ast.get_docstring(
        ast.parse((PACKAGE / wing / "__init__.py").read_text(encoding="utf-8"))
    )
    assert docstring
    assert docstring.splitlines()[0].endswith(".")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_never_go_up(path: Path) -> None:
    wrong = sorted(name for name in _own(path) if _upward(_module(path), name))
    assert not wrong, f"{_module(path)} imports {', '.join(wrong)}"


def test_an_upward_import_is_seen_wherever_it_stands(tmp_path: Path) -> None:
    source = tmp_path / "grid.py"
    source.write_text(
        "def lazily():\n    from hanet.detection import job\n    import hanet.cli.detect\n"
    )
    found = {name for name in _own(source) if _upward("imagery.grid", name)}
    assert found == {"detection", "detection.job", "cli.detect"}
    assert _upward("files", "imagery.grid")
    assert _upward("weights.export", "imagery.pair")
    assert not _upward("imagery.pair", "imagery.grid")
    assert not _upward("detection.job", "imagery.pair")


def test_no_imports_run_in_a_circle() -> None:
    graph = {
        _module(path): _own(path) - {_module(path)}
        for path in SOURCES
        if _module(path) not in FACES
    }
    parents = {
        name: {other for other in others if not name.startswith(f"{other}.")}
        for name, others in graph.items()
    }
    TopologicalSorter(parents).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_each_heavy_library_has_one_home(path: Path) -> None:
    place = path.relative_to(PACKAGE)
    for name in _imports(path):
        homes = ONE_HOME.get(name.split(".")[0])
        assert homes is None or {str(place), place.parts[0]} & homes, (
            f"{place} imports {name}; it belongs into {homes}"
        )


def test_importing_the_package_is_light() -> None:
    heavy = (
        "torch pytorch_lightning rasterio pyogrio osgeo onnxruntime openvino kornia flask fastapi "
        "pystac pystac_client requests geopandas pandas xarray rioxarray matplotlib"
    )
    code = (
        f"import sys, hanet, hanet.cli\nprint([name for name in {heavy.split()!r} if name in "
        "sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
