"""Imports go one way (CONVENTIONS, layers), and importing the package stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "hanet"

LAYERS: dict[str, int] = {
    "errors": 0,
    "types": 0,
    "metadata": 0,
    "addresses": 1,
    "dates": 0,
    "workload": 0,
    "known_datasets": 1,
    "pickle_names": 0,
    "files": 0,
    "version": 0,
    "footprint": 0,
    "reflection": 1,
    "perceptual_hash": 1,
    "models": 1,
    "losses": 1,
    "sampling": 1,
    "metrics": 1,
    "histogram": 1,
    "calibration": 1,
    "tiling": 1,
    "registration": 1,
    "blending": 1,
    "outlines": 1,
    "runs": 1,
    "highlights": 1,
    "radiometry": 1,
    "images": 2,
    "splits": 2,
    "manifest": 2,
    "scene_readers": 2,
    "releases": 2,
    "preparation": 2,
    "dataset_survey": 2,
    "dataset_doctor": 2,
    "datasets": 2,
    "augmentation": 2,
    "grid": 2,
    "raster_source": 2,
    "fingerprint": 2,
    "pair_grid": 2,
    "rasters": 2,
    "raster_output": 2,
    "overview": 2,
    "components": 2,
    "splitting": 2,
    "geodesy": 2,
    "vectors": 2,
    "footprints": 2,
    "qgis": 2,
    "deepness": 2,
    "quantisation": 2,
    "objects": 2,
    "predicted_masks": 2,
    "process_memory": 2,
    "provenance": 2,
    "weights": 2,
    "inert_pickle": 2,
    "stored_tensor": 2,
    "checkpoint_file": 2,
    "catalogue": 2,
    "runtime": 2,
    "cascade": 2,
    "painting": 2,
    "scene_format": 2,
    "synthetic": 2,
    "preflight": 3,
    "streaming": 3,
    "loading": 3,
    "run_state": 3,
    "detection": 3,
    "detection_settings": 3,
    "pairs": 3,
    "report": 3,
    "predictors": 3,
    "protocols": 3,
    "evaluation": 3,
    "evaluation_result": 3,
    "choices": 3,
    "experiment": 3,
    "export": 3,
    "benchmark": 3,
    "conversion": 3,
    "training": 3,
    "cli": 4,
    "__init__": 4,
    "__main__": 4,
}
"""Layer of each top-level module."""

ONE_HOME = {
    "pytorch_lightning": {"training"},
    "safetensors": {"weights"},
    "kornia": {"augmentation"},
    "pyogrio": {"vectors"},
    "PIL": {"images"},
    "scipy": {"objects"},
}
"""Heavy libraries, each with the one module (or package) that may import it."""


def _module_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
            if node.module == "hanet":
                found.update(f"hanet.{alias.name}" for alias in node.names)
    return found


SOURCES = sorted(PACKAGE.rglob("*.py"))


def test_every_module_has_a_layer() -> None:
    assert {_module_of(path) for path in SOURCES} == set(LAYERS)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_never_go_up(path: Path) -> None:
    module = _module_of(path)
    for name in _imports(path):
        if not name.startswith("hanet."):
            continue
        target = name.split(".")[1]
        if target.startswith("__") or target not in LAYERS or target == module:
            continue
        assert LAYERS[target] <= LAYERS[module], (
            f"{module} (layer {LAYERS[module]}) imports {target} (layer {LAYERS[target]})"
        )


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_each_heavy_library_has_one_home(path: Path) -> None:
    for name in _imports(path):
        homes = ONE_HOME.get(name.split(".")[0])
        assert homes is None or _module_of(path) in homes, f"{path.name} imports {name}; it belongs into {homes}"


def test_importing_the_package_is_light() -> None:
    heavy = "torch pytorch_lightning rasterio pyogrio osgeo onnxruntime openvino kornia flask fastapi"
    code = f"import sys, hanet, hanet.cli\nprint([name for name in {heavy.split()!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
