"""The table of networks side by side: what is measured, and how it is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

import networks
from checkout import ROOT
from hanet.models import MODELS


def test_a_row_says_what_a_pair_costs_by_both_runtimes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(networks, "SIZE_PX", 64)
    monkeypatch.setattr(networks, "in_child", lambda *_: 123.4)
    (row,) = networks.measured(["fc_ef"], tmp_path, threads=1, rounds=2)
    assert (row["network"], row["parameters"]) == ("fc_ef", 1_350_578)
    assert row["gmac"] == round(MODELS["fc_ef"].gmac_per_megapixel * 64**2 / 1e6, 2)
    for runtime in ("onnxruntime", "torch"):
        measured = row[runtime]
        assert len(measured["all_seconds"]) == 2
        assert min(measured["all_seconds"]) <= measured["seconds"] <= max(measured["all_seconds"])
        assert measured["processor_seconds"] > 0
        assert measured["peak_memory_mb"] == 123.4


def test_the_table_says_when_the_machine_was_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "scripts"))
    import benchmarks

    one = {"seconds": 0.5, "processor_seconds": 0.9, "peak_memory_mb": 200.0}
    result = {
        "command": "python benchmarks/networks.py",
        "size_px": 256,
        "threads": 2,
        "rounds": 5,
        "machine": {"processor": "some processor"},
        "versions": {"torch": "2", "onnxruntime": "1"},
        "load_before_and_after": [0.1, 2.0],
        "rows": [
            {
                "network": "tinycd",
                "parameters": 285_128,
                "gmac": 1.33,
                "onnxruntime": one,
                "torch": one,
            }
        ],
    }
    quiet = benchmarks.networks(result)
    assert "| tinycd | 285,128 | 1.3 | 0.500 | 0.900 | 200 | 0.500 | 0.900 | 200 |" in quiet
    assert "busy" not in quiet
    busy = benchmarks.networks({**result, "load_before_and_after": [3.0, 2.0]})
    assert "busy with other work" in busy
