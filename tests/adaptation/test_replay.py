"""Rendered pairs are made once, whole, and the same each time; the check at home sees a loss."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from checkout import ROOT
from hanet.adaptation import replay
from hanet.adaptation.replay import hazy, home_check, replay_tiles
from hanet.imagery.images import read_change, read_image
from hanet.weights.weights_file import read_safetensors_metadata, update_safetensors_metadata

WEIGHTS = ROOT / "weights" / "hanet_lite.safetensors"


def _content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_same_pairs_each_time_and_those_that_are_there_stay(tmp_path: Path) -> None:
    first = replay_tiles(tmp_path / "a", gsd_m=0.5, count=2)
    half = tmp_path / "b" / "replay.partial" / "A"  # what a kill left
    half.mkdir(parents=True)
    (half / "old.png").write_bytes(b"half")
    second = replay_tiles(tmp_path / "b", gsd_m=0.5, count=2)
    assert _content(first) == _content(second)
    assert len(_content(first)) == 6
    assert not half.exists()
    (second / "label" / "20000.png").unlink()
    assert len(_content(replay_tiles(tmp_path / "b", gsd_m=0.5, count=2))) == 5
    images = [read_image(path) for path in sorted((first / "A").iterdir())]
    assert all(image.shape == (3, 256, 256) for image in images)
    assert (images[0] != images[1]).mean() > 0.9
    assert set(np.unique(read_change(first / "label" / "20001.png"))) <= {0, 1}


def test_no_pair_is_seen_again_that_checks() -> None:
    """Nor any that the weights were trained or scored on."""
    seen = [
        set(range(first, first + count))
        for first, count in (
            (replay.FIRST_REPLAY_SEED, replay.REPLAY_TILES),
            (replay.FIRST_HOME_SEED, replay.HOME_TILES),
            (1, 1100),
        )
    ]
    assert len(set.union(*seen)) == sum(len(one) for one in seen)


def test_haze_lightens_an_image_and_moves_it() -> None:
    image = np.zeros((3, 8, 8), dtype=np.uint8)
    image[:, 3, 4] = 200
    seen = hazy(image)
    assert seen.dtype == np.uint8
    assert set(np.unique(seen)) == {130, 200}
    assert seen[0, 5, 6] == 200


def test_the_check_sees_what_is_lost(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    metadata = read_safetensors_metadata(WEIGHTS)
    blunt = tmp_path / "blunt.safetensors"
    blunt.write_bytes(WEIGHTS.read_bytes())
    update_safetensors_metadata(blunt, replace(metadata, threshold=0.999))
    settings = {"folder": tmp_path, "gsd_m": 0.5, "count": 4, "threads": 1}
    same = home_check(WEIGHTS, WEIGHTS, **settings)  # type: ignore[arg-type]
    assert same.before["plain"].f1 > 0.7
    assert same.before["plain"].f1 > same.before["hazy"].f1 + 0.05
    assert (same.lost, same.has_lost) == (0.0, False)
    worse = home_check(WEIGHTS, blunt, **settings)  # type: ignore[arg-type]
    assert worse.has_lost
    falls = [worse.before[look].f1 - worse.after[look].f1 for look in ("plain", "hazy")]
    assert worse.lost == pytest.approx(max(falls))
    assert worse.to_json()["has_lost"] is True
    better = home_check(blunt, WEIGHTS, **settings)  # type: ignore[arg-type]
    assert better.lost < 0
    assert not better.has_lost
