"""The plugin as files: what QGIS versions need of its code, the border of the licences, and the
zip."""

from __future__ import annotations

import ast
import configparser
import subprocess
import sys
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest

import qgis_plugin
from checkout import ROOT
from hanet.cli.events import CONTRACT

PLUGIN = ROOT / "qgis" / "hanet_qgis"
SOURCES = sorted(PLUGIN.rglob("*.py"))
OLDEST_PYTHON = (3, 8)
"""That of QGIS 3.22 on Ubuntu 20.04."""


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), feature_version=OLDEST_PYTHON)


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level in (0, 1)
            found.add(node.module or "" if node.level == 0 else "hanet_qgis")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_the_plugin_imports_qgis_and_python_and_nothing_else(path: Path) -> None:
    """No package of ours (Apache-2.0, another Python), and no binding of Qt but through QGIS,
    which has PyQt5 or PyQt6."""
    known = {"qgis.core", "qgis.PyQt.QtCore", "qgis.PyQt.QtGui", "processing", "hanet_qgis"}
    for name in _imports(path):
        top = name.partition(".")[0]
        assert name in known or top in known or top in sys.stdlib_module_names, name


def test_the_package_does_not_import_the_plugin() -> None:
    for path in (ROOT / "src").rglob("*.py"):
        assert "hanet_qgis" not in path.read_text(encoding="utf-8"), path


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_values_of_qt_are_named_with_their_enum(path: Path) -> None:
    """PyQt6 knows QProcess.ProcessState.NotRunning and no QProcess.NotRunning; PyQt5 knows both."""
    enums = {"ProcessState", "ProcessChannel", "ProcessError"}
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            name, value = node.value.id, node.attr
            if name in ("Qt", "QIcon", "QProcess") and value[0].isupper():
                assert value in enums, f"{name}.{value}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_every_file_names_its_licence(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first == "# SPDX-License-Identifier: GPL-2.0-or-later"
    assert "GNU GENERAL PUBLIC LICENSE" in (PLUGIN / "LICENSE").read_text(encoding="utf-8")


def test_plugin_and_package_speak_one_contract() -> None:
    text = (PLUGIN / "command.py").read_text(encoding="utf-8")
    assert f"\nCONTRACT = {CONTRACT}\n" in text


def test_the_zip_is_what_the_qgis_repository_takes(tmp_path: Path) -> None:
    path = qgis_plugin.build(
        tmp_path / "one", repository="https://code.example/hanet/", email="us@code.example"
    )
    assert path.stat().st_size < 1_000_000
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        texts = {name: archive.read(name) for name in names}
    expected = {
        file.relative_to(PLUGIN.parent).as_posix()
        for file in PLUGIN.rglob("*")
        if file.is_file() and file.suffix != ".pyc"
    }
    assert set(names) == expected
    assert {f"hanet_qgis/{name}" for name in ("__init__.py", "metadata.txt", "LICENSE")} <= expected
    assert all(b"\0" not in data and data.decode("utf-8") for data in texts.values())
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(texts["hanet_qgis/metadata.txt"].decode())
    facts = parser["general"]
    assert all(facts[name] for name in qgis_plugin.NEEDED)
    assert facts["repository"] == "https://code.example/hanet"
    assert facts["tracker"] == "https://code.example/hanet/issues"
    assert (facts["qgisMinimumVersion"], facts["hasProcessingProvider"]) == ("3.22", "yes")
    assert f"hanet_qgis/{facts['icon']}" in expected
    ElementTree.fromstring(texts["hanet_qgis/icon.svg"])
    again = qgis_plugin.build(
        tmp_path / "two", repository="https://code.example/hanet", email="us@code.example"
    )
    assert again.read_bytes() == path.read_bytes()


def test_what_an_upload_lacks_is_said(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "qgis_plugin.py"), "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "for an upload it lacks email, repository, tracker" in done.stderr
    assert len(list(tmp_path.glob("hanet_qgis-*.zip"))) == 1


def test_a_binary_does_not_get_into_the_zip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "hanet_qgis"
    copy.mkdir()
    (copy / "metadata.txt").write_text((PLUGIN / "metadata.txt").read_text())
    (copy / "picture.png").write_bytes(b"\x89PNG\0")
    monkeypatch.setattr(qgis_plugin, "PLUGIN", copy)
    with pytest.raises(SystemExit, match="is binary"):
        qgis_plugin.build(tmp_path / "out")
