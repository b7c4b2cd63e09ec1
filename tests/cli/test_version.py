"""``hanet --version``: what a report of a fault begins with."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from platform import python_version

import rasterio

import hanet

TELL = """
import sys
from hanet.cli import main
sys.argv = ["hanet", "--version"]
main()
print("torch" in sys.modules)
"""


def test_it_tells_what_decides_a_result_and_imports_no_torch() -> None:
    told = subprocess.run([sys.executable, "-c", TELL], capture_output=True, text=True, check=True)
    *lines, imported = told.stdout.splitlines()
    assert lines[0] == f"hanet {hanet.__version__}"
    assert lines[1:4] == [
        f"python {python_version()}",
        f"numpy {version('numpy')}",
        f"onnxruntime {version('onnxruntime')}",
    ]
    assert lines[4] == f"GDAL of rasterio {rasterio.__gdal_version__}"
    assert lines[5].startswith("GDAL of pyogrio 3.")
    assert lines[6:] == [f"torch {version('torch')}"]
    assert imported == "False"


def test_without_torch_and_with_a_broken_gdal_it_tells_the_rest() -> None:
    broken = "import sys; sys.modules['rasterio'] = None\n" + TELL.replace(
        "sys.argv", "import hanet.provenance\n"
        "hanet.provenance.version = lambda name: (_ for _ in ()).throw("
        "hanet.provenance.PackageNotFoundError)\nsys.argv", 1,
    )  # fmt: skip
    told = subprocess.run([sys.executable, "-c", broken], capture_output=True, text=True)
    lines = told.stdout.splitlines()
    assert lines[0] == f"hanet {hanet.__version__}", told.stderr
    assert lines[2:4] == ["numpy not installed", "onnxruntime not installed"]
    assert lines[4].startswith("GDAL cannot be loaded: ")
    assert lines[5] == "torch not installed"
