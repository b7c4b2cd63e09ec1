"""What a bug report needs: versions, formats, processor, threads, memory, weights; and whether what
every detection does works here.

Nothing private is told: no path, no name of a user or a machine, and of the environment's variables
only names, and values that are a number.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from re import match
from time import perf_counter

import numpy as np
import shapely

from hanet.errors import HanetError, WeightsError
from hanet.files import file_hash
from hanet.imagery.grid import Grid, to_wgs84
from hanet.imagery.libraries import drivers, library_versions
from hanet.imagery.raster_output import FlatRaster, ProbabilityRaster, write_probability
from hanet.imagery.vectors import FeatureWriter, read_polygons
from hanet.provenance import machine
from hanet.threads import threads_for
from hanet.types import Json, Window
from hanet.version import __version__
from hanet.weights import catalogue
from hanet.weights.runtime import open_runtime

TRIED_PX = 256
"""Side of the tile that the default weights are tried on."""

INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "asimd", "sve")
"""Instructions that speed depends on, as Linux names them."""

PREFIXES = ("GDAL_", "PROJ_", "OGR_", "CPL_", "HANET_", "OMP_", "MKL_", "SLURM_CPUS", "CUDA_V")
"""How the variables begin that can change a result or a speed."""

EXTRAS = ("train", "openvino", "parquet", "dask", "stac")
"""Extras of the package that a user installs."""

TRIAL_GRID = Grid("EPSG:32615", (0.5, 0.0, 500_000.0, 0.0, -0.5, 4_000_000.0), 64, 64)
"""In metres, on the central meridian of its zone: 93 degrees west."""


@dataclass(frozen=True, slots=True)
class Trial:
    """Something that every detection does, tried.

    Args:
        name: What was tried.
        worked: Whether it did.
        said: How long it took, or why it failed.
    """

    name: str
    worked: bool
    said: str


def describe() -> Json:
    """The installation and the machine, for a bug report; takes less than a second."""
    return {
        "hanet": __version__,
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "machine": {**machine(), "instructions": _instructions(), "memory_gb": _memory_gb()},
        "threads": threads_for().to_json(),
        "packages": {name: _version(name) for name in _requirements("")},
        "extras": {
            extra: {name: _version(name) for name in _requirements(extra)} for extra in EXTRAS
        },
        "libraries": library_versions(),
        "formats": drivers(),
        "weights": [_weights(entry) for entry in catalogue.installed()],
        "environment": _environment(),
    }


def trials() -> list[Trial]:
    """What every detection does, tried once on something small."""
    with tempfile.TemporaryDirectory(prefix="hanet-doctor-") as folder:
        found = [
            _tried("places on the map (PROJ)", _places),
            _tried("a raster written and read (GDAL)", lambda: _raster(Path(folder))),
            _tried("a layer written and read (OGR)", lambda: _layer(Path(folder))),
            _tried(f"a tile of {TRIED_PX} px through {catalogue.DEFAULT}", _tile),
        ]
    if find_spec("torch") is not None:
        found.append(_tried("torch, and a convolution by it", _convolution))
    return found


def _tried(name: str, run: Callable[[], None]) -> Trial:
    begun = perf_counter()
    try:
        run()
    except HanetError as error:
        return Trial(name, False, error.message)
    except Exception as error:  # whatever is broken here is what the report is for
        return Trial(name, False, f"{type(error).__name__}: {error}")
    return Trial(name, True, f"{perf_counter() - begun:.2f} s")


def _places() -> None:
    """A mismatched PROJ database, the commonest fault of GIS installations, fails here."""
    assert TRIAL_GRID.crs is not None
    longitudes, latitudes = to_wgs84(TRIAL_GRID.crs, [500_000.0], [4_000_000.0])
    if abs(longitudes[0] + 93.0) > 1e-6 or abs(latitudes[0] - 36.1443) > 1e-3:
        raise HanetError(
            f"EPSG:32615 is put at {longitudes[0]:.6f}, {latitudes[0]:.6f} instead of -93, 36.1443"
        )


def _raster(folder: Path) -> None:
    stored = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64) % 251
    window = Window(0, 0, 64, 64)
    with FlatRaster(folder / "flat", TRIAL_GRID) as flat:
        flat.write(window, stored)
    write_probability(folder / "flat", TRIAL_GRID, folder / "probability.tif", tags={})
    with ProbabilityRaster(folder / "probability.tif") as raster:
        read = raster.read(window)
    if not np.allclose(read, stored / 250, atol=1e-6):
        raise HanetError("the values read differ from those written")


def _layer(folder: Path) -> None:
    square = shapely.box(500_000.0, 3_999_990.0, 500_010.0, 4_000_000.0)
    with FeatureWriter(
        folder, "layer", ["gpkg"], crs=TRIAL_GRID.crs, layer="layer", fields={"id": int}
    ) as writer:
        writer.write([square], {"id": [1]})
    found = read_polygons(folder / "layer.gpkg", crs=TRIAL_GRID.crs)
    if len(found.shapes) != 1:
        raise HanetError(f"{len(found.shapes)} polygons are read, 1 was written")


def _tile() -> None:
    runtime = open_runtime(catalogue.resolve(catalogue.DEFAULT, suffixes=(".onnx",)))
    images = np.random.default_rng(0).uniform(0, 255, (2, 1, 3, TRIED_PX, TRIED_PX))
    before, after = images.astype(np.float32)
    probability = runtime.predict(before, after)
    if not (np.isfinite(probability).all() and 0 <= probability.min() <= probability.max() <= 1):
        raise HanetError("the probabilities are not all in 0 to 1")


def _convolution() -> None:
    import torch

    torch.nn.Conv2d(3, 8, 3)(torch.zeros(1, 3, 32, 32)).sum().backward()


def _requirements(extra: str) -> list[str]:
    """Names of the packages that an extra asks for; those of every installation for ``""``."""
    found = []
    try:
        stated = requires("hanet") or []
    except PackageNotFoundError:  # run from a checkout that is not installed
        stated = []
    for line in stated:
        name = match(r"[A-Za-z0-9._-]+", line)
        marker = line.partition(";")[2]
        of_extra = f"extra == '{extra}'" in marker.replace('"', "'")
        if name and (of_extra if extra else "extra" not in marker):
            found.append(name.group())
    return found


def _version(package: str) -> str | None:
    """None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _weights(entry: catalogue.Entry) -> Json:
    try:
        trouble = ""
        entry.metadata()
    except WeightsError as error:
        trouble = error.message.replace(str(entry.path), entry.path.name)
    return {
        "file": entry.path.name,
        "megabytes": round(entry.path.stat().st_size / 1e6, 1),
        "sha256": file_hash(entry.path),
        "trouble": trouble,
    }


def _instructions() -> list[str] | None:
    """Those of :data:`INSTRUCTIONS` that the processor has; None where the system does not tell."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return None
    lines = [line for line in text.splitlines() if line.startswith(("flags", "Features"))]
    has = set(lines[0].partition(":")[2].split()) if lines else set()
    return [name for name in INSTRUCTIONS if name in has]


def _memory_gb() -> float | None:
    """Memory of the machine; None where the system does not tell."""
    if sys.platform == "win32" or "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1)


def _environment() -> dict[str, str]:
    """Variables that can change a result; a value only where it is a number."""
    return {
        name: value if value.isdecimal() else "(set)"
        for name, value in sorted(os.environ.items())
        if name.startswith(PREFIXES)
    }
