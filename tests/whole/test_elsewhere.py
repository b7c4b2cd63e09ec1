"""The elsewhere sets: masks from drawn outlines, the hold-out rule, planting, and the rule that
chooses.

Everything is made up here; the real imagery is not needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from elsewhere import HOME, THRESHOLDS, _names, at_thresholds, curve_table, decide, means, score
from elsewhere_masks import (
    change_inside,
    exclusive_or,
    is_held_out,
    outlines,
    resample_mask,
    without_thin_parts,
)
from elsewhere_planting import Tile, plant, remove_building
from elsewhere_sets import (
    LOOKS,
    NYC_TILES,
    SETS,
    STYLES,
    SUBURBS_LEFT_OUT,
    LabelledPair,
    StyledScene,
    generator_of,
    suburb_pairs,
    write_set,
)
from hanet.synthetic.scene import Scene
from hanet.types import ByteArray, Window

GREEN, RED, YELLOW = (0, 255, 128), (255, 0, 0), (255, 215, 0)


def _drawn(
    folder: Path, boxes: list[tuple[tuple[int, int, int], tuple[int, int, int, int]]]
) -> ByteArray:
    """A grey-green picture of 120 px with boxes outlined by lines of 5 px about their outermost
    pixels, as a JPEG."""
    pixels = np.random.default_rng(1).integers(70, 130, (120, 120, 3)).astype(np.uint8)
    pixels[..., 1] += 20
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    for colour, (left, top, right, bottom) in boxes:
        for x0, y0, x1, y1 in (
            (left, top, right, top), (left, bottom, right, bottom), (left, top, left, bottom), (right, top, right, bottom),
        ):  # fmt: skip
            draw.rectangle((x0 - 2, y0 - 2, x1 + 2, y1 + 2), fill=colour)
    image.save(folder / "drawn.jpg", quality=95, subsampling=0)
    return np.asarray(Image.open(folder / "drawn.jpg").convert("RGB"))


def _box(left: int, top: int, right: int, bottom: int) -> np.ndarray[Any, Any]:
    mask = np.zeros((120, 120), dtype=bool)
    mask[max(0, top) : bottom + 1, max(0, left) : right + 1] = True
    return mask


def _iou(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    return float((one & other).sum() / (one | other).sum())


def test_new_and_demolished_are_change_and_unchanged_is_not(tmp_path: Path) -> None:
    boxes = [(GREEN, (10, 10, 40, 50)), (RED, (60, 15, 100, 45)), (YELLOW, (20, 70, 60, 100))]
    change = change_inside(outlines(_drawn(tmp_path, boxes)))
    assert _iou(change, _box(10, 10, 40, 50) | _box(60, 15, 100, 45)) > 0.97


def test_outlines_that_cross_are_filled_together(tmp_path: Path) -> None:
    """Red is drawn last and hides a part of the green line."""
    boxes = [(GREEN, (20, 20, 70, 60)), (RED, (50, 40, 100, 90))]
    change = change_inside(outlines(_drawn(tmp_path, boxes)))
    assert _iou(change, _box(20, 20, 70, 60) | _box(50, 40, 100, 90)) > 0.97


def test_a_building_at_the_edge_reaches_the_edge(tmp_path: Path) -> None:
    change = change_inside(outlines(_drawn(tmp_path, [(GREEN, (80, 30, 119, 70))])))
    assert change[40:60, 119].all()
    assert _iou(change, _box(80, 30, 119, 70)) > 0.97


def test_a_picture_without_outlines_has_no_change(tmp_path: Path) -> None:
    assert not change_inside(outlines(_drawn(tmp_path, []))).any()


def test_an_open_outline_is_an_error() -> None:
    lines = {kind: np.zeros((120, 120), dtype=bool) for kind in ("new", "demolished", "unchanged")}
    lines["new"][30:34, 20:90] = True
    with pytest.raises(ValueError, match="encloses nothing: 7"):
        change_inside(lines)


def test_the_hold_out_rule_is_the_one_that_training_uses() -> None:
    """These stems were computed once; a tile is on one side only, and about a quarter is held
    out."""
    assert [is_held_out(stem) for stem in ("airplane06", "airplane07", "nyc_val_113")] == [
        True,
        False,
        True,
    ]
    stems = [f"tile{number}" for number in range(2000)]
    held_out = {stem for stem in stems if is_held_out(stem)}
    assert 0.22 < len(held_out) / len(stems) < 0.28
    assert all(is_held_out(name) for name in (*NYC_TILES, *SUBURBS_LEFT_OUT))


def test_exclusive_or_is_what_stands_at_one_date() -> None:
    before = np.array([[1, 1], [0, 0]], dtype=bool)
    after = np.array([[1, 0], [1, 0]], dtype=bool)
    assert exclusive_or(before, after).tolist() == [[False, True], [True, False]]


def test_thin_parts_go_and_houses_keep_their_outline() -> None:
    mask = np.zeros((30, 30), dtype=bool)
    mask[5:15, 5:15] = True
    house = mask.copy()
    mask[20:22, :] = True
    assert (without_thin_parts(mask) == house).all()


def test_a_mask_is_resampled_by_majority() -> None:
    mask = np.zeros((10, 10), dtype=bool)
    mask[:, :6] = True  # 2.4 pixels of 4
    assert resample_mask(mask, 4).tolist() == [[True, True, False, False]] * 4


def test_each_suburb_tile_is_paired_once_with_another_of_its_class() -> None:
    names = [
        "denseresidential01",
        "denseresidential02",
        "denseresidential30",
        "intersection01",
        "intersection02",
    ]
    pairs = suburb_pairs(names)
    assert sorted(before for before, _ in pairs) == names == sorted(after for _, after in pairs)
    assert all(before != after and before[:5] == after[:5] for before, after in pairs)
    assert pairs == suburb_pairs(list(reversed(names)))


@pytest.fixture
def tile() -> Tile:
    """A lawn with two houses, one of them red."""
    generator = np.random.default_rng(3)
    image = np.array([96, 120, 70]) + generator.normal(0, 6, (128, 128, 3))
    mask = np.zeros((128, 128), dtype=bool)
    for rows, columns, colour in (
        (slice(20, 42), slice(20, 50), 170),
        (slice(80, 105), slice(70, 95), 60),
    ):
        image[rows, columns] = [colour + 20, colour, colour]
        mask[rows, columns] = True
    return Tile(np.clip(image, 0, 255).astype(np.uint8), mask)


def test_a_removed_building_leaves_ground(tile: Tile) -> None:
    removed = remove_building(tile.image, tile.mask, np.random.default_rng(0))
    assert removed is not None
    image, building = removed
    ground = tile.image[~tile.mask].mean(axis=0)
    assert np.abs(image[building].mean(axis=0) - ground).max() < 8
    far = np.zeros_like(building)
    rows, columns = np.nonzero(building)
    far[
        max(0, rows.min() - 20) : rows.max() + 20, max(0, columns.min() - 20) : columns.max() + 20
    ] = True
    assert (image[~far] == tile.image[~far]).all()


def test_planted_pairs_are_a_function_of_their_words(tile: Tile) -> None:
    donor = Tile(tile.image[::-1].copy(), tile.mask[::-1].copy())
    pairs = [
        plant(tile, donor, generator_of("set", name))
        for name in ("one", "one", "two", "three", "four")
    ]
    assert all((a == b).all() for a, b in zip(pairs[0], pairs[1], strict=True))
    assert any((pair.change != pairs[0].change).any() for pair in pairs[2:])
    assert any(pair.change.any() for pair in pairs)


def test_looks_keep_shape_and_change_the_picture(tile: Tile) -> None:
    for name, look in LOOKS.items():
        seen = look(tile.image)
        assert (seen.shape, seen.dtype) == (tile.image.shape, np.uint8), name
        assert np.abs(seen.astype(int) - tile.image).mean() > 2, name


def test_styles_change_the_picture_and_not_the_truth() -> None:
    window = Window(256, 256, 96, 96)
    plain = Scene(501, gsd_m=0.5, change_share=0.12)
    gsd_m, roofs, dates = STYLES["snow"]
    styled = StyledScene(501, gsd_m=gsd_m, roofs=roofs, dates=dates)
    assert (styled.change(window) == plain.change(window)).all()
    assert np.abs(styled.render(window)[1].astype(int) - plain.render(window)[1]).mean() > 20


def _black(count: int) -> Iterator[LabelledPair]:
    black = np.zeros((64, 64, 3), dtype=np.uint8)
    for number in range(count):
        change = _box(4, 4, 9, 9)[:64, :64]
        yield LabelledPair(f"pair{number}", black, black, change, change)


def test_a_set_is_written_anew_and_scored(tmp_path: Path) -> None:
    """Real weights, two black pairs: nothing is found, and every number has its place."""
    assert write_set("france", _black(3), tmp_path) == 3
    assert write_set("france", _black(2), tmp_path) == 2
    write_set("tiles-256", _black(2), tmp_path / "levir-cd")
    result = score("hanet_lite", tmp_path, tmp_path, ["france"], threads=1, flips=False)
    entry = result["sets"]["france"]
    assert (entry["images"], entry["protocol"], entry["counts"]["tp"] + entry["counts"]["fn"]) == (
        2,
        "whole",
        72,
    )
    assert "means" not in result, "a mean over some of the sets is no mean"
    assert result["weights"] == "hanet_lite"
    assert str(tmp_path) not in str(result)


def test_other_thresholds_are_scored_in_one_pass(tmp_path: Path) -> None:
    for name in SETS:
        write_set(name, _black(1), tmp_path)
    write_set("tiles-256", _black(1), tmp_path / "levir-cd")
    result = at_thresholds("hanet_lite", tmp_path, tmp_path, threads=1)
    assert result["curves"].keys() == {HOME, *SETS, "mean"}
    for points in result["curves"].values():
        assert [point["threshold"] for point in points] == list(THRESHOLDS)
        recalls = [point["recall"] for point in points]
        assert recalls == sorted(recalls, reverse=True)
    assert len(curve_table(result).splitlines()) == 1 + len(THRESHOLDS)


def test_unknown_sets_are_refused() -> None:
    assert _names(None) == list(SETS)
    with pytest.raises(SystemExit, match="no set is called mars"):
        _names(["mars"])


def _result(home: float, recall: float = 0.5, **f1: float) -> dict[str, Any]:
    def entry(value: float) -> dict[str, Any]:
        scores = {"f1": value, "precision": 0.5, "recall": recall}
        return {"scores": scores, "objects": {"recall": 0.5}, "data_sha256": "the same"}

    sets = {name: entry(f1.get(name.replace("-", "_"), 0.5)) for name in SETS}
    return {"home": entry(home), "sets": sets, "means": means(sets)}


OLD = _result(0.88)
BETTER = {"val_shifted": 0.6}


XOR = ["suburbs-xor", "nyc-xor"]


@pytest.mark.parametrize(
    ("new", "drew", "unmet"),
    [
        (_result(0.89, **BETTER), XOR, []),
        (_result(0.88, **BETTER), [], ["tiles-256/val"]),
        (_result(0.89), [], ["mean F1 is higher"]),
        (_result(0.89, recall=0.49, **BETTER), [], ["mean recall"]),
        (_result(0.89, nyc_xor=0.47, **BETTER), [], ["nyc-xor"]),
        (_result(0.89, france=0.1, **BETTER), [], []),
        (_result(0.89, france=0.9), [], ["mean F1 is higher"]),
        (_result(0.89, suburbs_xor=0.9), [], []),
        (_result(0.89, suburbs_xor=0.9), XOR, ["did not draw"]),
    ],
)
def test_the_rule(new: dict[str, Any], drew: list[str], unmet: list[str]) -> None:
    found = [text for text, is_met in decide(OLD, new, drew=drew) if not is_met]
    assert len(found) == len(unmet)
    assert all(part in text for part, text in zip(unmet, found, strict=True))


def test_the_rule_compares_the_same_files_only() -> None:
    other = _result(0.9)
    other["sets"]["nyc-xor"]["data_sha256"] = "another"
    with pytest.raises(ValueError, match="different files"):
        decide(OLD, other, drew=[])
