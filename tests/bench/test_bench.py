"""Benchmarks: what they compute from times, and that the verb writes what it measured. No time is
judged."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from checkout import PLAIN_HANET
from hanet.bench import inference, measuring, training_step
from hanet.cli import app
from hanet.errors import InputError, SettingsError
from hanet.models.layers.precision import has_bfloat16
from hanet.training.process_memory import keep_freed_memory

GLIBC = platform.libc_ver()[0] == "glibc"


def test_runs_take_turns_after_one_that_does_not_count() -> None:
    order: list[str] = []
    seconds = measuring.interleaved(
        {"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 2
    )
    assert order == ["a", "b"] * 3
    assert {name: len(values) for name, values in seconds.items()} == {"a": 2, "b": 2}
    assert len(measuring.interleaved({"a": lambda: None}, 2, warm_ups=0)["a"]) == 2


def test_areas_follow_from_pixels_and_the_median() -> None:
    rates = measuring.rates([9.0, 2.0, 1.0], 4_000_000)
    assert (rates["seconds"], rates["megapixels_per_s"]) == (2.0, 2.0)
    assert rates["km2_per_minute"] == pytest.approx(2 * 60 * 0.25)


def test_ratios_are_taken_at_the_same_size_only() -> None:
    rows = [
        {"subject": s, "size_px": p, "seconds": t}
        for s, p, t in (("x", 1, 8.0), ("y", 1, 2.0), ("y", 2, 2.0))
    ]
    found = measuring.with_ratios({"rows": rows}, against="x")["rows"]
    assert [row.get("times_as_fast") for row in found] == [1.0, 4.0, None]


def test_attention_is_counted_as_two_products() -> None:
    assert inference._attention_flop((2, 3, 5, 7)) == 2 * 2 * (2 * 3 * 5 * 5 * 7)


def test_work_of_hanet_is_what_the_study_counted() -> None:
    # 14.94 GMAC with the row attention's value projection still apart from the head
    # (docs/concepts/sources.md, section 6)
    assert inference.gflop_without_zeros("hanet", 256) == pytest.approx(2 * 14.94, rel=0.03)


def test_a_file_without_the_plain_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no Python file"):
        measuring.plain_class(tmp_path / "missing.py")
    (tmp_path / "other.py").write_text("x = 1\n")
    with pytest.raises(InputError, match="PlainHANet"):
        measuring.plain_class(tmp_path / "other.py")


def test_the_verb_writes_what_it_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_step, "LINUX_STATUS", tmp_path / "none")  # no child processes here
    out = tmp_path / "training.json"
    command = [
        "bench",
        "training",
        "--sizes",
        "32",
        "--rounds",
        "1",
        "--threads",
        "1",
        "--plain",
        str(PLAIN_HANET),
    ]
    result = CliRunner().invoke(app, [*command, "--json", str(out)])
    assert result.exit_code == 0, result.output
    written = json.loads(out.read_text())
    half = has_bfloat16()
    ours = [
        f"{model}, torch{end}"
        for model in ("hanet", "hanet_lite")
        for end in ("", " bf16")[: 1 + half]
    ]
    assert [row["subject"] for row in written["rows"]] == ["plain, torch", *ours]
    limits = {"matrix_product_gflop_per_s", "convolution_gflop_per_s", "copy_gb_per_s"}
    assert set(written["limits"]) == limits | ({"convolution_bf16_gflop_per_s"} if half else set())
    plain, hanet, *_ = written["rows"]
    assert hanet["times_as_fast"] == pytest.approx(plain["seconds"] / hanet["seconds"])


@pytest.mark.skipif(not GLIBC, reason="only glibc can be told to keep memory")
def test_a_step_in_a_child_is_done_when_the_call_returns_and_a_dead_child_is_told_of() -> None:
    with training_step._StepInChild(f"hanet, torch{training_step.MEMORY_KEPT}", 32, 1, 1) as step:
        step()
        step()
        process = step._process
        assert process.is_alive()
        process.kill()
        process.join()
        with pytest.raises(MemoryError, match="was stopped"):
            step()
    assert not process.is_alive()


@pytest.mark.skipif(not GLIBC, reason="only glibc can be told to keep memory")
@pytest.mark.parametrize("keeps", [True, False])
def test_freed_memory_is_kept_where_it_is_asked_for(keeps: bool) -> None:
    program = f"""
import torch
from hanet.training.process_memory import keep_freed_memory, linux_memory_mb
if {keeps}:
    keep_freed_memory()
tensor = torch.ones(50_000_000)
full = linux_memory_mb("VmRSS")
del tensor
print(full - linux_memory_mb("VmRSS"))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    given_back = float(done.stdout)
    assert (given_back < 20) if keeps else (given_back > 180)


def test_where_memory_cannot_be_kept_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(SettingsError, match="glibc"):
        keep_freed_memory()


@pytest.mark.parametrize(
    "arguments",
    [
        ["speed"],
        ["detect", "--plain", str(PLAIN_HANET)],
        ["training", "--sizes", "100"],
        ["inference", "--sizes", "0"],
    ],
)
def test_what_cannot_be_measured_is_refused(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, ["bench", *arguments])
    assert isinstance(result.exception, SettingsError)
