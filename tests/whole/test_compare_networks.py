"""The comparison of networks: its cases, one tiny training, and the page that is made of results."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import compare_networks
from checkout import ROOT
from compare_networks import EXPERIMENT, NETWORKS, SCHEDULES, Case, cases, linked_data, run
from hanet.models import MODELS
from hanet.training.experiment import read_experiment
from rendered_tiles import render_tiles

SHORT = {
    "iterations": "4",
    "batch": "2",
    "tile_px": "64",
    "epoch_length": "8",
    "warmup_iterations": "1",
    "validate_every": "2",
}


def test_every_network_comes_by_every_schedule_and_mspsnet_first() -> None:
    planned = list(cases(NETWORKS, SCHEDULES, [1, 2]))
    assert planned[0] == Case("mspsnet", "nothing", "normal", 1)
    assert len(planned) == len({case.name for case in planned})
    # hanet_lite from ImageNet too
    assert len(planned) == 2 * len(SCHEDULES) * (len(MODELS) + 1)
    assert {case.network for case in planned[: len(planned) // 2]} == set(MODELS)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_case_differs_from_the_common_recipe_only_where_it_is_said(network: str) -> None:
    base = read_experiment(EXPERIMENT)
    made = Case(network, "nothing", "fixed-100", 7).experiment(base).model_dump()
    differs = {key for key, value in base.model_dump().items() if made[key] != value}
    said = set(compare_networks.CHANGES.get(network, {}))
    assert differs - {"model"} == {"name", "pfbs", "seed"} | said


def test_a_case_is_trained_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    render_tiles(tmp_path / "data" / "tiles-256", count=4)
    data = linked_data(tmp_path / "data", tmp_path / "runs")
    base = read_experiment(EXPERIMENT, SHORT)
    case = Case("tinycd", "nothing", "fixed-2", 3)

    def once() -> None:
        run(
            case,
            base,
            data=data,
            runs=tmp_path / "runs",
            threads=1,
            results=tmp_path / "results",
        )

    once()
    kept = json.loads((tmp_path / "results" / f"{case.name}.json").read_text())
    assert (kept["network"], kept["schedule"], kept["seed"], kept["pairs"]) == (
        "tinycd",
        "fixed-2",
        3,
        8,
    )
    assert [point["pairs"] for point in kept["curve"]] == [4, 8]
    assert kept["best_f1"] >= kept["f1"]
    monkeypatch.setattr(compare_networks, "fit", lambda *_, **__: pytest.fail("trained again"))
    once()
    (tmp_path / "results" / f"{case.name}.json").unlink()
    stopped = SimpleNamespace(finished=False)
    monkeypatch.setattr(
        compare_networks,
        "fit",
        lambda *_, **settings: stopped if settings["resume"] else pytest.fail("begun anew"),
    )
    with pytest.raises(SystemExit, match="goes on"):
        once()
    assert not list((tmp_path / "results").iterdir())


def _result(schedule: str, seed: int, f1: float) -> dict[str, Any]:
    return {
        "network": "mspsnet", "start": "nothing", "schedule": schedule, "seed": seed,
        "parameters": 1_791_956, "gmac_a_pair": 2.5, "pairs": 4000, "minutes": 10.0 + seed,
        "data": "tiles-256/val", "protocol": "tiles-64", "best_f1": f1,
        "curve": [{"pairs": 2000, "minutes": 5.0, "f1": f1 - 0.1}, {"pairs": 4000, "minutes": 9.0, "f1": f1}],
    }  # fmt: skip


def test_the_page_compares_seed_with_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "scripts"))
    sys.modules.pop("compare", None)
    import compare

    assert "No case has been run yet" in compare.page([])
    results = [
        _result("normal", 1, 0.40),
        _result("normal", 2, 0.50),
        _result("fixed-100", 1, 0.46),
        _result("fixed-100", 2, 0.49),
        _result("fixed-100", 3, 0.99),
    ]
    row = next(line for line in compare.page(results).splitlines() if line.startswith("| mspsnet"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[4:6] == ["45.0 (40.0-50.0, 2)", "64.7 (46.0-99.0, 3)"]
    # +6 and -1; seed 3 has no partner
    assert cells[6:9] == ["-", "+2.5 (1 of 2)", "-"]
    answer = compare.answer(results)
    assert "`fixed` is ahead of `normal` in 1 of 1 rows, by +2.5 points in the median" in answer
    assert "linear" not in answer
    ((path, drawing),) = compare.drawings(results).items()
    assert path.name == "compare-mspsnet-nothing.svg"
    assert drawing.count("<circle") == 2 * len(results)
    assert "30" in drawing  # 4000 pairs, 2.5 GMAC, three passes
