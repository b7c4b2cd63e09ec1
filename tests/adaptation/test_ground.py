"""Reviewed ground in the working folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hanet.adaptation.ground import Gatherer, Ground, read_ground
from hanet.datasets.layout import list_pairs
from hanet.errors import DataSetError, HanetError, SettingsError
from hanet.imagery.images import read_change
from hanet.review.label_tiles import TILE_PX
from hanet.types import IGNORED, ByteArray


def label(changed_rows: int, *, known_rows: int = TILE_PX) -> ByteArray:
    pixels = np.full((TILE_PX, TILE_PX), 128, dtype=np.uint8)
    pixels[:known_rows] = 0
    pixels[:changed_rows] = 255
    return pixels


def gathered(folder: Path, labels: list[ByteArray], *, seed: int = 0) -> Ground:
    gatherer = Gatherer(folder / "ground")
    for number, pixels in enumerate(labels):
        images = np.full((3, TILE_PX, TILE_PX), number, dtype=np.uint8)
        gatherer.add("my town/é", 0, number, before=images, after=images, label=pixels)
    return gatherer.finish(hold_out=0.4, seed=seed)


def test_what_is_gathered_is_read_as_a_data_set(tmp_path: Path) -> None:
    ground = gathered(tmp_path, [label(20 + n) for n in range(10)])
    counts = {name: len(list_pairs(ground.folder, name)) for name in ("learn", "watch", "holdout")}
    assert counts == {"learn": 5, "watch": 1, "holdout": 4}
    pair = list_pairs(ground.folder, "holdout")[0]
    assert pair.label is not None
    assert set(np.unique(read_change(pair.label)).tolist()) == {0, 1}
    assert read_ground(ground.folder) == ground
    assert not ground.folder.with_name("ground.partial").exists()


def test_unknown_pixels_are_ignored_and_tiles_of_them_left_out(tmp_path: Path) -> None:
    ground = gathered(
        tmp_path, [label(20, known_rows=100) for _ in range(6)] + [label(0, known_rows=0)]
    )
    assert len(ground.tiles) == 6
    assert ground.tiles[0].tile.known == 100 * TILE_PX
    file = ground.files(ground.tiles[0])[2]
    assert int((read_change(file) == IGNORED).sum()) == 156 * TILE_PX


def test_with_two_blocks_that_learn_they_watch_too(tmp_path: Path) -> None:
    ground = gathered(tmp_path, [label(20) for _ in range(3)])
    names = [{pair.name for pair in list_pairs(ground.folder, name)} for name in ("learn", "watch")]
    assert names[0] == names[1]
    assert ground.of("watch") == ground.of("learn")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], "no reviewed ground"),
        ([label(0), label(0)], "no changed pixel"),
        ([label(TILE_PX), label(TILE_PX)], "no unchanged pixel"),
        ([label(20)], "no tile is left for|hold-out"),
        ([label(20), label(0), label(0)], "the hold-out holds no changed"),
    ],
)
def test_ground_that_cannot_be_split_is_refused(
    tmp_path: Path, labels: list[ByteArray], message: str
) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        gathered(tmp_path, labels)
    assert caught.value.hint
    assert not (tmp_path / "ground").exists()


def test_a_damaged_list_of_tiles_is_said(tmp_path: Path) -> None:
    ground = gathered(tmp_path, [label(20) for _ in range(5)])
    (ground.folder / "tiles.json").write_text('{"tiles": [{"name": 3}], "unlabelled": 0}')
    with pytest.raises(HanetError, match="damaged") as caught:
        read_ground(ground.folder)
    assert isinstance(caught.value, DataSetError)
