"""Windows of tiles: cut, shifted, and parts of them around change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hanet.datasets.layout import list_splits
from hanet.datasets.torch_datasets import CropDataset, TileDataset, list_pairs, random_crop
from hanet.errors import DataSetError, SettingsError
from hanet.types import IGNORED, Window

SIDE = 16


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One scene of 32x32 whose red value tells the row and whose green tells the column; one
    changed pixel at (20, 5)."""
    row, column = np.mgrid[: 2 * SIDE, : 2 * SIDE].astype(np.uint8)
    image = np.stack([row, column, np.zeros_like(row)], axis=-1)
    label = np.zeros(row.shape, dtype=np.uint8)
    label[20, 5] = 255
    for name, array in (("A", image), ("B", image), ("label", label)):
        (tmp_path / "train" / name).mkdir(parents=True)
        Image.fromarray(array).save(tmp_path / "train" / name / "scene.png")
    return tmp_path


def test_parts_of_a_tile_lie_in_it_and_hold_its_change(folder: Path) -> None:
    tiles = TileDataset(list_pairs(folder, "train"), tile_px=SIDE, crop_px=4, foreground_bias=1.0)
    assert tiles.foreground_pixels.tolist() == [0, 0, 1, 0]
    corners = set()
    for seed in range(50):
        part = tiles[2, seed]
        assert part["before"].shape == (3, 4, 4)
        assert int(part["change"].sum()) == 1
        row, column = int(part["before"][0, 0, 0]), int(part["before"][1, 0, 0])
        assert 17 <= row <= 20
        assert 2 <= column <= 5
        corners.add((row, column))
    assert len(corners) > 5
    again = tiles[2, 7]
    assert (again["before"] == tiles[2, 7]["before"]).all()


def test_parts_of_a_tile_without_change_lie_anywhere_in_it(folder: Path) -> None:
    tiles = TileDataset(list_pairs(folder, "train"), tile_px=SIDE, crop_px=4, foreground_bias=1.0)
    rows = {int(tiles[1, seed]["before"][0, 0, 0]) for seed in range(200)}
    columns = {int(tiles[1, seed]["before"][1, 0, 0]) for seed in range(200)}
    assert rows == set(range(13))
    assert columns == set(range(16, 29))


def test_jitter_moves_a_tile_inside_its_scene_only(folder: Path) -> None:
    tiles = TileDataset(list_pairs(folder, "train"), tile_px=SIDE, jitter_px=8)
    rows = {int(tiles[0, seed]["before"][0, 0, 0]) for seed in range(200)}
    assert rows == set(range(9))


def test_a_random_crop_around_a_corner_stays_inside() -> None:
    change = np.zeros((8, 8), dtype=np.bool_)
    change[7, 7] = True
    window = random_crop(change, 4, foreground_bias=1.0, random=np.random.default_rng(0))
    assert window == Window(4, 4, 4, 4)


def test_a_share_of_one_takes_the_first_crop_whatever_it_holds(folder: Path) -> None:
    """Crops without change were drawn again, so that change was seen more often than it is
    there."""
    pairs = list_pairs(folder, "train")
    first = CropDataset(pairs, crop_px=4, max_class_share=1.0, tries=0)
    again = CropDataset(pairs, crop_px=4, max_class_share=1.0, tries=10)
    choosing = CropDataset(pairs, crop_px=4, max_class_share=0.99, tries=1000)
    for seed in range(20):
        assert (first[0, seed]["before"] == again[0, seed]["before"]).all()
        assert int(choosing[0, seed]["change"].sum()) == 1


def test_fixed_tiles_want_a_position_and_drawn_ones_a_seed_too(folder: Path) -> None:
    pairs = list_pairs(folder, "train")
    with pytest.raises(TypeError):
        TileDataset(pairs, tile_px=SIDE)[0, 1]
    with pytest.raises(TypeError):
        TileDataset(pairs, tile_px=SIDE, crop_px=4)[0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"crop_px": 17},
        {"crop_px": 0},
        {"crop_px": 4, "foreground_bias": 1.5},
        {"foreground_bias": 0.5},  # would be left aside: whole tiles are not drawn around anything
        {"jitter_px": -1},
        {"jitter_px": 2, "edges": "pad"},
        {"crop_px": 4, "edges": "pad"},
    ],
)
def test_impossible_windows_are_refused(folder: Path, wrong: dict[str, float]) -> None:
    with pytest.raises(SettingsError):
        TileDataset(list_pairs(folder, "train"), tile_px=SIDE, **wrong)  # type: ignore[arg-type]


def test_parts_larger_than_a_whole_image_are_refused_by_name(folder: Path) -> None:
    with pytest.raises(DataSetError, match=r"scene\.png is 32x32 pixels, smaller than the 33x33"):
        TileDataset(list_pairs(folder, "train"), tile_px=None, crop_px=33)


def _with_lists(root: Path) -> Path:
    """The layout of BIT and ChangeFormer: three pairs in A, B, label, and a list a split."""
    for name in ("A", "B", "label"):
        (root / name).mkdir(parents=True)
        for stem in ("one", "two", "three.b"):
            Image.new("L", (4, 4)).save(root / name / f"{stem}.png")
    (root / "list").mkdir()
    (root / "list" / "train.txt").write_text("one.png\nthree.b\n\n")
    (root / "list" / "val.txt").write_text("two.png\r\n")
    return root


def test_splits_may_be_lists_of_names_beside_the_images(tmp_path: Path) -> None:
    """All three splits were offered as one, and a threshold was chosen on the test images."""
    root = _with_lists(tmp_path / "set")
    assert list_splits(root) == ["train", "val"]
    assert [pair.name for pair in list_pairs(root, "train")] == ["one", "three.b"]
    (pair,) = list_pairs(root, "val")
    assert pair.label == root / "label" / "two.png"
    assert list_splits(tmp_path) == []
    with pytest.raises(DataSetError, match="holds all splits together") as caught:
        list_pairs(tmp_path, "set")
    assert "train, val" in str(caught.value.hint)
    with pytest.raises(DataSetError, match="does not hold the folders") as caught:
        list_pairs(root, "dev")
    assert "train, val" in str(caught.value.hint)


def test_a_list_may_name_only_what_is_there(tmp_path: Path) -> None:
    root = _with_lists(tmp_path / "set")
    (root / "list" / "val.txt").write_text("two.png\nfour.png\n")
    with pytest.raises(DataSetError, match="lacks 1 of 2 names: four"):
        list_pairs(root, "val")
    (root / "list" / "val.txt").write_text(" \n")
    with pytest.raises(DataSetError, match="is empty"):
        list_pairs(root, "val")


@pytest.mark.parametrize("name", ["a" * 5000, "a\0b"], ids=["long", "nul"])
def test_names_that_no_file_system_takes_are_not_folders(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataSetError, match="does not hold the folders"):
        list_pairs(tmp_path, name)
    with pytest.raises(DataSetError, match="is not a folder"):
        list_splits(tmp_path / name)


def test_ignored_pixels_are_neither_changed_nor_counted(folder: Path) -> None:
    path = folder / "train" / "label" / "scene.png"
    label = np.array(Image.open(path))
    label[20, 6] = 128
    Image.fromarray(label).save(path)
    tiles = TileDataset(list_pairs(folder, "train"), tile_px=SIDE)
    assert tiles.foreground_pixels.tolist() == [0, 0, 1, 0]
    change = tiles[2]["change"]
    assert (int(change[4, 5]), int(change[4, 6]), int(change[4, 7])) == (1, IGNORED, 0)
    crops = CropDataset(list_pairs(folder, "train"), crop_px=4, foreground_bias=1.0)
    assert crops.foreground_pixels.tolist() == [1]
    assert all((crops[0, seed]["change"] == 1).sum() == 1 for seed in range(20))


def test_pairs_without_labels_are_ignored_everywhere(folder: Path) -> None:
    """Whether there is no label, or one that nobody shall look at."""
    (label,) = (folder / "train" / "label").iterdir()
    label.write_bytes(b"no image at all")
    named = list_pairs(folder, "train")
    label.rename(folder / "train" / "label" / "other.png")
    with pytest.raises(DataSetError, match="lacks 1 of"):
        list_pairs(folder, "train")
    pairs = list_pairs(folder, "train", with_labels=False)
    assert [pair.label for pair in pairs] == [None]
    with pytest.raises(DataSetError, match="has no label"):
        TileDataset(pairs, tile_px=SIDE)
    for chosen in (named, pairs):
        tiles = TileDataset(chosen, tile_px=SIDE, crop_px=8, kinds="unlabelled", cache="memory")
        crops = CropDataset(chosen, crop_px=SIDE, max_class_share=1.0, kinds="unlabelled")
        for sample in (tiles[3, 1], crops[0, 5]):
            assert (sample["change"] == IGNORED).all()
            assert sample["before"].float().std() > 0
        assert tiles.foreground_pixels.tolist() == [0, 0, 0, 0]
        assert crops.foreground_pixels.tolist() == [0]
