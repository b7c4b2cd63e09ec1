"""How images of 4x4 and 6x6 pixels are cut, predicted together and put together again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hanet.datasets.layout import Pair
from hanet.errors import DataSetError, SettingsError
from hanet.evaluation.protocols import Protocol, predict_split
from hanet.imagery.images import write_png
from hanet.types import ByteArray, FloatArray, Window


class BandAsProbability:
    """A predictor: its probability is the first band of the before image. It keeps the batches."""

    def __init__(self) -> None:
        self.batches: list[ByteArray] = []

    def __call__(self, before: ByteArray, after: ByteArray) -> FloatArray:
        assert before.shape == after.shape
        self.batches.append(before)
        return (before[:, 0] / np.float32(255)).astype(np.float32)


def counted(height: int, width: int) -> ByteArray:
    """An image (3, H, W) whose pixels count from 0."""
    pixels = np.arange(height * width, dtype=np.uint8).reshape(height, width)
    return np.stack([pixels] * 3)


def write_pair(
    folder: Path, name: str, height: int, width: int, *, is_labelled: bool = True
) -> Pair:
    """A pair whose before image counts its pixels and whose upper left pixel has changed."""
    before, after, label = (folder / f"{name}-{part}.png" for part in ("before", "after", "label"))
    change = np.zeros((height, width), dtype=np.bool_)
    change[0, 0] = True
    write_png(before, counted(height, width))
    write_png(after, np.zeros((3, height, width), np.uint8))
    write_png(label, change)
    return Pair(name, before, after, label if is_labelled else None)


@pytest.mark.parametrize(
    ("height", "width", "corners"),
    [
        (4, 4, [(0, 0)]),
        (6, 6, [(0, 0), (0, 4), (4, 0), (4, 4)]),
        (8, 4, [(0, 0), (4, 0)]),
        (3, 9, [(0, 0), (0, 4), (0, 8)]),
    ],
)
def test_tiles_cover_an_image_row_by_row(
    height: int, width: int, corners: list[tuple[int, int]]
) -> None:
    windows = Protocol(tile_px=4).windows(height, width)
    assert windows == [Window(row, column, 4, 4) for row, column in corners]


def test_a_whole_image_is_one_piece() -> None:
    assert Protocol("whole", tile_px=4).windows(6, 9) == [Window(0, 0, 6, 9)]


@pytest.mark.parametrize(
    ("protocol", "label", "at_once"),
    [
        (Protocol(), "tiles-256", 8),
        (Protocol(tile_px=64), "tiles-64", 8),
        (Protocol(tile_px=320), "tiles-320", 4),  # 8 * 256^3 / 320^3 = 4.1
        (Protocol(tile_px=512), "tiles-512", 1),
        (Protocol(tile_px=2048), "tiles-2048", 1),
        (Protocol(tile_px=512, batch=3), "tiles-512", 3),
        (Protocol("whole"), "whole", 1),
        (Protocol("whole", batch=3), "whole", 1),
    ],
)
def test_label_and_pieces_at_once(protocol: Protocol, label: str, at_once: int) -> None:
    assert (protocol.label, protocol.at_once) == (label, at_once)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "crops"}, "the protocol is 'crops'"),
        ({"tile_px": 0}, "tile is 0; it must be at least 1"),
        ({"batch": 0}, "batch is 0; it must be at least 1"),
        ({"batch": -2}, "batch is -2; it must be at least 1"),
        ({"batch": 10**20}, "batch is too large; it must be at most 65,536"),
        ({"tile_px": 10**20}, "tile is too large; it must be at most 16,384"),
    ],
)
def test_a_protocol_that_makes_no_sense_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Protocol(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "protocol", [Protocol(tile_px=4), Protocol(tile_px=4, batch=1), Protocol("whole")]
)
def test_each_image_comes_back_whole_and_in_order(tmp_path: Path, protocol: Protocol) -> None:
    sizes = {"a": (4, 4), "b": (6, 6), "c": (3, 9)}
    pairs = [write_pair(tmp_path, name, *size) for name, size in sizes.items()]
    images = list(predict_split(BandAsProbability(), pairs, protocol))
    assert [image.pair.name for image in images] == ["a", "b", "c"]
    for image, size in zip(images, sizes.values(), strict=True):
        assert np.array_equal(np.rint(image.probability * 255), counted(*size)[0])
        assert image.change.sum() == 1
        assert image.change[0, 0]


@pytest.mark.parametrize(("batch", "sizes"), [(4, [4, 2]), (1, [1] * 6), (5, [5, 1]), (9, [6])])
def test_pieces_of_several_images_go_together(tmp_path: Path, batch: int, sizes: list[int]) -> None:
    pairs = [
        write_pair(tmp_path, name, side, side) for name, side in (("a", 4), ("b", 6), ("c", 4))
    ]
    predictor = BandAsProbability()
    assert len(list(predict_split(predictor, pairs, Protocol(tile_px=4, batch=batch)))) == 3
    assert [len(pieces) for pieces in predictor.batches] == sizes
    assert {pieces.shape[1:] for pieces in predictor.batches} == {(3, 4, 4)}


def test_the_last_row_and_column_are_filled_by_reflection(tmp_path: Path) -> None:
    predictor = BandAsProbability()
    list(predict_split(predictor, [write_pair(tmp_path, "a", 6, 6)], Protocol(tile_px=4)))
    ((_, right, below, corner),) = predictor.batches
    assert right[0, 0].tolist() == [4, 5, 4, 3]
    assert below[0, :, 0].tolist() == [24, 30, 24, 18]
    assert corner[0, 1].tolist() == [34, 35, 34, 33]


def test_whole_images_keep_their_sizes(tmp_path: Path) -> None:
    predictor = BandAsProbability()
    pairs = [write_pair(tmp_path, "a", 6, 6), write_pair(tmp_path, "b", 3, 9)]
    list(predict_split(predictor, pairs, Protocol("whole")))
    assert [pieces.shape for pieces in predictor.batches] == [(1, 3, 6, 6), (1, 3, 3, 9)]


def test_an_image_comes_as_soon_as_it_is_whole(tmp_path: Path) -> None:
    good, broken = (
        write_pair(tmp_path, "a", 4, 4),
        write_pair(tmp_path, "b", 4, 4, is_labelled=False),
    )
    images = predict_split(BandAsProbability(), [good, broken], Protocol(tile_px=4, batch=1))
    assert next(images).pair.name == "a"
    with pytest.raises(DataSetError, match="'b' has no label"):
        next(images)


def test_files_of_different_sizes_are_refused(tmp_path: Path) -> None:
    pair = write_pair(tmp_path, "a", 4, 4)
    write_png(pair.after, np.zeros((3, 4, 6), np.uint8))
    with pytest.raises(DataSetError, match="'a' differ in size: A 4x4, B 4x6, label 4x4"):
        list(predict_split(BandAsProbability(), [pair], Protocol(tile_px=4)))


def test_a_predictor_that_loses_a_piece_is_noticed(tmp_path: Path) -> None:
    def loses_one(before: ByteArray, after: ByteArray) -> FloatArray:
        return np.zeros((len(before) - 1, 4, 4), np.float32)

    with pytest.raises(ValueError, match="zip"):
        list(predict_split(loses_one, [write_pair(tmp_path, "a", 6, 6)], Protocol(tile_px=4)))


def test_a_split_without_images_gives_none() -> None:
    assert list(predict_split(BandAsProbability(), [], Protocol())) == []
