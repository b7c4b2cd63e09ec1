"""What is advised about a faulty pair makes its result better, measured on rendered pairs."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from checkout import ROOT


@pytest.fixture(scope="module")
def faults() -> ModuleType:
    """The script that plants them."""
    spec = importlib.util.spec_from_file_location(
        "planted_faults", ROOT / "scripts" / "planted_faults.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["planted_faults"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("name", ["black blocks without a tag, 8 bit", "a tenth of the brightness"])
def test_advice_is_good(name: str, faults: ModuleType, tmp_path: Path) -> None:
    f1 = faults.scored(name, tmp_path, seeds=faults.SEEDS[:1])["f1"]
    assert f1["advised"] > f1["faulty"] + 0.1
    assert f1["advised"] > f1["clean"] - 0.1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["0 without a tag, uint16", "the same with --match-radiometry"])
def test_what_is_used_rightly_costs_nothing(name: str, faults: ModuleType, tmp_path: Path) -> None:
    f1 = faults.scored(name, tmp_path, seeds=faults.SEEDS[:1])["f1"]
    assert f1["faulty"] > f1["clean"] - 0.05


def test_the_table_is_that_of_the_results(faults: ModuleType) -> None:
    results = json.loads(faults.OUT.read_text(encoding="utf-8"))
    assert set(results["faults"]) == set(faults.FAULTS)
    page = (ROOT / "docs/concepts/reliability.md").read_text(encoding="utf-8")
    assert faults.table(results) in page
