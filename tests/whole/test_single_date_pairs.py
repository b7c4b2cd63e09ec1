"""Pairs made of tiles of one date: what changes is labelled, what does not is not, and what is held
out is never drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from single_date_pairs import (
    SIDE_PX,
    Tile,
    another_look,
    exclusive_or,
    is_held_out,
    mosaic,
    part_of,
    pasted,
    piece,
    read_tiles,
    same,
    without_thin_parts,
    write_pair,
)


def _tile(side: int, *, ground: float, roof: float, at: tuple[int, int, int, int]) -> Tile:
    """One building at (row, column, height, width)."""
    row, column, height, width = at
    buildings = np.zeros((side, side), dtype=bool)
    buildings[row : row + height, column : column + width] = True
    image = np.where(buildings, roof, ground).astype(np.float32)[..., None].repeat(3, axis=2)
    return Tile(image, buildings)


GROUND = _tile(64, ground=50, roof=50, at=(0, 0, 0, 0))
DONOR = _tile(64, ground=100, roof=200, at=(20, 20, 10, 12))


def test_one_tile_in_four_is_held_out_by_the_hash_of_its_name() -> None:
    held = [name for name in map(str, range(4000)) if is_held_out(name)]
    assert 900 < len(held) < 1100
    assert [is_held_out(name) for name in ("dense01", "airplane05", "nyc_train_1017")] == [
        True,
        True,
        False,
    ]


def test_a_held_out_tile_is_never_read(tmp_path: Path) -> None:
    names = [f"t{number}" for number in range(12)]
    for part in ("image", "label"):
        (tmp_path / part).mkdir()
    for name in names:
        Image.new("RGB", (32, 32)).save(tmp_path / "image" / f"{name}.jpg")
        Image.new("1", (32, 32)).save(tmp_path / "label" / f"{name}.png")
    kept = [name for name in names if not is_held_out(name)]
    assert 0 < len(kept) < len(names)
    tiles = read_tiles(tmp_path, scale=0.5)
    assert len(tiles) == len(kept)
    assert tiles[0].image.shape == (16, 16, 3)


def test_what_is_a_building_at_one_date_only_is_change() -> None:
    other = _tile(64, ground=0, roof=9, at=(20, 26, 10, 12))
    pair = exclusive_or(DONOR, other)
    assert np.array_equal(np.flatnonzero(pair.change[25]), [*range(20, 26), *range(32, 38)])
    assert np.array_equal(np.flatnonzero(pair.built[25]), range(32, 38))  # stands afterwards only
    assert not same(DONOR).change.any()


@pytest.mark.parametrize("seed", range(6))
def test_a_pasted_building_stands_at_one_date_and_just_there_is_change(seed: int) -> None:
    pair = pasted(GROUND, [DONOR], np.random.default_rng(seed))
    roofs = [(date[..., 0] == 200) for date in (pair.before, pair.after)]
    assert sorted(int(roof.sum()) for roof in roofs) == [0, 120]
    assert np.array_equal(roofs[0] | roofs[1], pair.change)
    assert np.array_equal(roofs[1], pair.built)
    assert (GROUND.image == 50).all()  # the tile stays as it was


def test_nothing_is_pasted_onto_a_building() -> None:
    full = _tile(64, ground=50, roof=60, at=(0, 0, 64, 64))
    assert not pasted(full, [DONOR] * 5, np.random.default_rng(0)).change.any()


def test_buildings_that_the_edge_cuts_or_that_are_sheds_are_not_pasted() -> None:
    cut, shed = (_tile(64, ground=100, roof=200, at=at) for at in ((20, 0, 10, 12), (20, 20, 5, 5)))
    assert not pasted(GROUND, [cut, shed], np.random.default_rng(0)).change.any()


def test_thin_parts_go_and_houses_stay() -> None:
    house = _tile(64, ground=0, roof=1, at=(20, 20, 10, 12)).buildings
    path = _tile(64, ground=0, roof=1, at=(40, 0, 3, 64)).buildings
    assert np.array_equal(without_thin_parts(house | path, thinnest_px=4), house)


def test_a_pair_is_a_function_of_its_seed_and_is_written_as_training_reads_it(
    tmp_path: Path,
) -> None:
    tiles = [
        _tile(160, ground=50, roof=200, at=(20, 20, 30, 40)),
        _tile(160, ground=90, roof=20, at=(70, 70, 20, 20)),
    ]

    def draw() -> list[np.ndarray]:
        random = np.random.default_rng(5)
        pair = part_of(mosaic([piece(tiles, random, shares=(0.5, 0.5)) for _ in range(4)]), random)
        return list(pair._replace(before=another_look(pair.before, random)))

    first, again = draw(), draw()
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert [part.shape for part in first] == [(SIDE_PX, SIDE_PX, 3)] * 2 + [(SIDE_PX, SIDE_PX)] * 2
    write_pair(tmp_path, "one", type(exclusive_or(DONOR, DONOR))(*first))
    for name, mask in (("label", first[2]), ("built", first[3])):
        written = np.asarray(Image.open(tmp_path / "train" / name / "one.png"))
        assert np.array_equal(written, mask * np.uint8(255)), name
    assert first[2].any()
    assert not (first[3] & ~first[2]).any()  # what is built has changed
