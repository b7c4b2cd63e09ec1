"""The benchmark of few labels: its cases, one tiny training of both modes, and the tables that are
made of results."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

import few_labels
from checkout import ROOT
from few_labels import EXPERIMENT, Case, cases
from hanet.training.experiment import read_experiment
from rendered_tiles import render_tiles

SHORT = {
    "width": "8",
    "tile_px": "64",
    "crop_px": "32",
    "iterations": "2",
    "batch": "2",
    "warmup_iterations": "1",
    "validate_every": "1",
    "start_from": "nothing",
    "frozen_encoder_blocks": "0",
}


def test_both_modes_of_a_tenth_come_first_and_all_labels_are_supervised() -> None:
    planned = cases([10, 5, 20, 50, 100], ["supervised", "semi-supervised"], [0, 1, 2])
    assert [case.name for case in planned[:4]] == [
        "10-supervised-0",
        "10-semi-supervised-0",
        "5-supervised-0",
        "5-semi-supervised-0",
    ]
    assert len(planned) == len({case.name for case in planned}) == 3 * 9
    assert [case.mode for case in planned if case.percent == 100] == ["supervised"] * 3


def test_modes_differ_in_the_weight_of_pairs_without_labels_alone() -> None:
    base = read_experiment(EXPERIMENT)
    supervised, semi = (
        Case(5, mode, 2).experiment(base).model_dump() for mode in ("supervised", "semi-supervised")
    )
    differs = {key for key in supervised if supervised[key] != semi[key]}
    assert differs == {"name", "unlabelled_weight"}
    assert (semi["labels_kept"], semi["labels_seed"], semi["seed"]) == (0.05, 2, 2)
    assert (base.validation_folder, base.validation_split) != ("tiles-256", "val"), (
        "the split that is scored is not read while training"
    )


def test_cases_run_once_and_both_modes_have_the_same_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    render_tiles(data / "tiles-256", count=4)
    shutil.copytree(data / "tiles-256" / "train", data / "tiles-256-lossless" / "train")
    short = tmp_path / "short.toml"
    values = read_experiment(EXPERIMENT, SHORT).model_dump(exclude_unset=True)
    short.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items()))
    results = tmp_path / "results"
    arguments = [str(data), "--out", str(tmp_path / "runs"), "--results", str(results)]
    arguments += ["--experiment", str(short), "--shares", "50", "--seeds", "3"]

    def inside(command: list[str], *, check: bool) -> None:
        """What the process of a case does, in this one."""
        assert check
        with monkeypatch.context() as context:
            context.setattr(sys, "argv", command[1:])
            few_labels.main()

    monkeypatch.setattr(few_labels.subprocess, "run", inside)
    monkeypatch.setattr(sys, "argv", ["few_labels.py", *arguments])
    few_labels.main()
    supervised, semi = (
        json.loads((results / f"50-{mode}-3.json").read_text())
        for mode in ("supervised", "semi-supervised")
    )
    assert supervised["lists_sha256"] == semi["lists_sha256"]
    assert (supervised["labels_used"], supervised["labels_there"]) == (2, 4)
    assert (supervised["unlabelled_draws"], semi["unlabelled_draws"]) == (0, 4)
    assert (supervised["pairs_without_label"], semi["pairs_without_label"]) == (0, 2)
    assert supervised["labelled_draws"] == semi["labelled_draws"] == 4
    assert "confident_share" in semi["log"][-1]
    assert "confident_share" not in supervised["log"][-1]
    assert semi["scored"] == "tiles-256/val"
    monkeypatch.setattr(few_labels, "fit", lambda *_, **__: pytest.fail("trained again"))
    few_labels.main()


def _result(percent: int, mode: str, seed: int, f1: float) -> dict[str, Any]:
    semi = mode != "supervised"
    return {
        "percent": percent, "mode": mode, "seed": seed, "labels_used": 10 * percent, "labels_there": 1000,
        "f1": f1, "average_precision": f1, "iterations": 240, "labelled_draws": 960,
        "unlabelled_draws": 960 * semi, "minutes": 5.0, "scored": "tiles-256/val", "how": "tiles-256",
        "experiment": {"crop_px": 128, "batch": 4},
        "machine": {"processor": "some"}, "log": [{"iteration": 240, **({"confident_share": 0.9} if semi else {})}],
    }  # fmt: skip


def test_the_table_compares_seed_with_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "scripts"))
    import few_labels_tables

    monkeypatch.setattr(few_labels_tables, "RESULTS", tmp_path)
    assert few_labels_tables.few_labels(tmp_path, "") == ""
    rows = [
        (10, "supervised", 0, 0.50),
        (10, "supervised", 1, 0.60),
        (10, "semi-supervised", 0, 0.56),
        (10, "semi-supervised", 1, 0.58),
        (10, "semi-supervised", 2, 0.90),
        (100, "supervised", 0, 0.80),
    ]
    for row in rows:
        name = "-".join(map(str, row[:3]))
        (tmp_path / f"{name}.json").write_text(json.dumps(_result(*row)))
    lines = few_labels_tables.few_labels(tmp_path, "").splitlines()
    tenth, whole = (
        [cell.strip() for cell in next(x for x in lines if x.startswith(start)).split("|")[1:-1]]
        for start in ("| 10 %", "| 100 %")
    )
    assert tenth[1:5] == ["100", "55.0 (50.0-60.0, 2)", "68.0 (56.0-90.0, 3)", "+2.0 (1 of 2)"]
    assert whole[2:8] == ["80.0 (1)", "-", "-", "80.0 (1)", "-", "-"]
    assert any("240 steps" in line for line in lines)
