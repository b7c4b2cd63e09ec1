"""Where a published number comes from: hashes of what went in, versions of what ran, and the kind
of machine; never its name."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from hanet.files import file_hash
from hanet.types import Json
from hanet.version import __version__


def hash_of_files(files: Iterable[tuple[str, Path]]) -> str:
    """SHA-256 over the names and contents of files, whatever their order and folder.

    Args:
        files: Role and path of each, for example ``("label", Path("val/label/1.png"))``.
    """
    lines = [f"{role}/{path.name} {file_hash(path)}\n" for role, path in files]
    return hashlib.sha256("".join(sorted(lines)).encode(errors="surrogateescape")).hexdigest()


def versions(packages: Sequence[str]) -> Json:
    """Versions of hanet, Python, and those of the packages that are installed."""
    found: Json = {"hanet": __version__, "python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def machine() -> Json:
    """System, architecture, processor and the cores that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "processor": _processor(),
        "cores": cores,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
