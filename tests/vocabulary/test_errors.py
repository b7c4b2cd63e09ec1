"""Packages that are optional: what is said where one is not there, and where it is broken."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hanet.errors import MissingExtraError, importing


def said(error: BaseException) -> tuple[str, str | None]:
    with (
        pytest.raises(MissingExtraError) as caught,
        importing("pystac-client", extra="stac", purpose="reading STAC from a server"),
    ):
        raise error
    return caught.value.message, caught.value.hint


@pytest.mark.parametrize(
    ("module", "package"),
    [("pystac_client", "pystac-client"), ("requests.sessions", "requests")],
)
def test_a_package_that_is_not_there(module: str, package: str) -> None:
    message, hint = said(ModuleNotFoundError("no module", name=module))
    assert message == (
        f"reading STAC from a server needs the package '{package}', which is not installed"
    )
    assert hint == "pip install 'hanet[stac]'"


@pytest.mark.parametrize(
    "error",
    [
        ImportError("libx.so.1: cannot open shared object file\nmore", name="torch._C"),
        OSError("libx.so.1: cannot open shared object file"),
        ValueError("libx.so.1: cannot open shared object file"),
    ],
)
def test_a_package_that_is_there_and_broken(error: BaseException) -> None:
    message, hint = said(error)
    assert message.endswith(
        "is installed but cannot be loaded: libx.so.1: cannot open shared object file"
    )
    assert hint == "install it again; `hanet doctor` tells what works"


def test_a_fault_of_ours_is_no_package() -> None:
    with (
        pytest.raises(ImportError),
        importing("torch", extra="train", purpose="training"),
    ):
        raise ImportError("cannot import name", name="hanet.x")


@pytest.mark.parametrize(
    ("raised", "command"),
    [
        (
            "ImportError('libx.so: no such file', name='torch._C')",
            "train a.toml --data . --out run",
        ),
        ("OSError('libx.so: no such file')", "train a.toml --data . --out run"),
        ("OSError('libx.so: no such file')", "export hanet_lite a.onnx"),
        ("OSError('libx.so: no such file')", "convert a.pth a.safetensors"),
        # torch, of a library of CUDA that is not there
        ("ValueError('libx.so: no such file')", "bench inference"),
    ],
)
def test_a_broken_torch_is_one_line_on_the_command_line(
    tmp_path: Path, raised: str, command: str
) -> None:
    """It was a traceback, of every verb that imports it."""
    (tmp_path / "torch.py").write_text(f"raise {raised}")
    (tmp_path / "a.toml").write_text('name = "a"')
    paths = [str(tmp_path), *sys.path]
    verb, *rest = command.split()
    ended = subprocess.run(
        [sys.executable, "-c", "from hanet.cli import main; main()", verb, *rest],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith(
        f"error: hanet {verb} needs the package 'torch', which is installed but cannot be loaded: "
        "libx.so: no such file\nhint: "
    )
