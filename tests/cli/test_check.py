"""``hanet check`` as it is typed: what it says of a pair, and no more than that."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from hanet.cli import main
from hanet.cli.check import FITS
from small_rasters import write


def _said(
    before: Path,
    after: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *options: str,
) -> list[str]:
    """The lines under the table."""
    monkeypatch.setattr(sys, "argv", ["hanet", "check", str(before), str(after), *options])
    main()
    lines = capsys.readouterr().out.splitlines()
    return lines[1 + max(at for at, line in enumerate(lines) if "│" in line) :]


@pytest.fixture
def before(tmp_path: Path) -> Path:
    random = np.random.default_rng(1)
    return write(tmp_path / "before.tif", random.integers(60, 200, (3, 128, 128), dtype=np.uint8))


def test_a_pair_that_fits_gets_one_line(
    before: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """That no shift can be told of so small a pair is no matter here."""
    pixels = np.random.default_rng(1).integers(60, 200, (3, 128, 128), dtype=np.uint8)
    pixels[:, 40:60, 40:60] = 220
    assert _said(before, write(tmp_path / "after.tif", pixels), monkeypatch, capsys) == [FITS]


def test_a_pair_of_pictures_fits_on_a_condition(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was said to fit, and nobody had stated what a pixel measures."""
    random = np.random.default_rng(1)
    pair = [
        write(
            tmp_path / f"{date}.tif",
            random.integers(60, 200, (3, 128, 128), dtype=np.uint8),
            crs=None,
        )
        for date in "ab"
    ]
    *_, verdict = _said(*pair, monkeypatch, capsys)
    assert verdict == f"{FITS}, if its pixels are of about 0.5 m"


def test_a_gsd_that_says_nothing_is_named(
    before: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pixels = np.random.default_rng(2).integers(60, 200, (3, 128, 128), dtype=np.uint8)
    after = write(tmp_path / "after.tif", pixels)
    said = _said(before, after, monkeypatch, capsys, "--gsd", "0.2")
    assert said == ["note: --gsd says nothing here: the files state the size of a pixel", FITS]


def test_notes_are_followed_by_the_verdict_and_warnings_are_one(
    before: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pixels = np.random.default_rng(1).integers(60, 200, (3, 192, 192), dtype=np.uint8)
    finer = write(tmp_path / "finer.tif", pixels, gsd=0.38)
    *notes, verdict = _said(before, finer, monkeypatch, capsys)
    assert [line.partition(":")[0] for line in notes] == ["note"] * len(notes)
    assert notes
    assert verdict == FITS
    coarse = write(tmp_path / "coarse.tif", pixels[:, :64, :64], gsd=2.0)
    said = _said(coarse, coarse, monkeypatch, capsys)
    assert said
    assert FITS not in said
