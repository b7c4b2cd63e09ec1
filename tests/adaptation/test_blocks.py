"""Tiles into blocks, blocks into sets."""

from __future__ import annotations

import pytest

from hanet.adaptation.blocks import KnownTile, blocks_of, split_of
from hanet.errors import SettingsError


def tile(place: str, row: int, column: int, changed: int = 100) -> KnownTile:
    return KnownTile(f"{place}_{row}_{column}", place, row, column, 65536, changed)


def field(rows: int, columns: int, place: str = "town") -> list[KnownTile]:
    return [tile(place, row, column) for row in range(rows) for column in range(columns)]


def test_few_tiles_are_a_block_each() -> None:
    tiles = field(2, 3)
    assert len(set(blocks_of(tiles).values())) == 6


def test_much_contiguous_ground_makes_large_blocks() -> None:
    blocks = blocks_of(field(20, 20))
    assert len(set(blocks.values())) == 25
    assert blocks["town_0_0"] == blocks["town_3_3"] != blocks["town_0_4"]


def test_tiles_of_two_places_that_overlap_on_the_map_are_one_block() -> None:
    here, there = (10.0, 50.0, 10.1, 50.1), (10.05, 50.05, 10.2, 50.2)
    far = (11.0, 50.0, 11.1, 50.1)
    tiles = [
        KnownTile("a", "first", 0, 0, 9, 1, here),
        KnownTile("b", "second", 5, 5, 9, 1, there),
        KnownTile("c", "second", 9, 9, 9, 1, far),
    ]
    blocks = blocks_of(tiles)
    assert blocks["a"] == blocks["b"] != blocks["c"]


@pytest.mark.parametrize("seed", range(5))
def test_each_set_gets_both_kinds_and_whole_blocks(seed: int) -> None:
    tiles = [
        tile("town", row, column, 50 * (column % 2)) for row in range(12) for column in range(12)
    ]
    blocks = blocks_of(tiles)
    sets = split_of(tiles, blocks, hold_out=0.4, seed=seed)
    by_block = {blocks[name]: chosen for name, chosen in sets.items()}
    assert all(by_block[blocks[name]] == chosen for name, chosen in sets.items())
    share = sum(chosen == "holdout" for chosen in by_block.values()) / len(by_block)
    assert share == pytest.approx(0.4, abs=0.05)
    for name in ("learn", "watch", "holdout"):
        assert any(one.changed for one in tiles if sets[one.name] == name)


def test_the_split_is_that_of_its_seed() -> None:
    tiles = field(5, 5)
    blocks = blocks_of(tiles)
    first, again, other = (split_of(tiles, blocks, hold_out=0.4, seed=seed) for seed in (1, 1, 2))
    assert first == again != other


def test_learn_and_hold_out_both_get_change_where_only_two_blocks_hold_any() -> None:
    tiles = [tile("town", 0, column, 10 * (column < 2)) for column in range(10)]
    sets = split_of(tiles, blocks_of(tiles), hold_out=0.4, seed=0)
    assert {sets["town_0_0"], sets["town_0_1"]} == {"learn", "holdout"}


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, float("nan")])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    tiles = field(2, 2)
    with pytest.raises(SettingsError, match="hold-out"):
        split_of(tiles, blocks_of(tiles), hold_out=share, seed=0)
