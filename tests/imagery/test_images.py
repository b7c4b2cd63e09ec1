"""Image files: written whole or not at all, read in several threads."""

from __future__ import annotations

import errno
import os
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hanet.errors import DataSetError, OutputError
from hanet.imagery.images import (
    examine_label,
    image_size,
    read_change,
    read_image,
    read_label,
    write_png,
)
from hanet.types import IGNORED


def test_threads_leave_the_filters_of_warnings_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two threads that opened images at once left warnings switched off for the rest of the
    process."""
    write_png(tmp_path / "image.png", np.zeros((4, 4), dtype=np.uint8))
    open_image = Image.open
    first_is_in, second_is_in, first_is_out = (threading.Event() for _ in range(3))

    def slow(path: Any) -> Image.Image:
        if threading.current_thread().name == "first":
            first_is_in.set()
            second_is_in.wait(0.3)  # with a lock in vain: the second waits for the first
        else:
            second_is_in.set()
            first_is_out.wait(5)
        return open_image(path)

    def first() -> None:
        image_size(tmp_path / "image.png")
        first_is_out.set()

    monkeypatch.setattr(Image, "open", slow)
    before = list(warnings.filters)
    threads = [
        threading.Thread(target=first, name="first"),
        threading.Thread(target=image_size, args=(tmp_path / "image.png",), name="second"),
    ]
    try:
        threads[0].start()
        first_is_in.wait(5)
        threads[1].start()
        for thread in threads:
            thread.join()
        assert list(warnings.filters) == before
    finally:
        warnings.filters[:] = before


def test_a_png_that_finds_no_room_is_an_error_of_ours_and_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``hanet evaluate --masks`` ended in a traceback on a full disk."""
    path = tmp_path / "image.png"
    write_png(path, np.full((3, 4, 4), 7, dtype=np.uint8))

    def full(image: Image.Image, target: Path, format: str) -> None:
        target.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", full)
        with pytest.raises(OutputError, match="No space left"):
            write_png(path, np.zeros((3, 4, 4), dtype=np.uint8))
    assert [found.name for found in tmp_path.iterdir()] == ["image.png"]
    assert (read_image(path) == 7).all()
    with pytest.raises(OutputError, match="cannot be written"):
        write_png(tmp_path / "nowhere" / "image.png", np.zeros((4, 4), dtype=np.uint8))


@pytest.mark.parametrize(("orientation", "size"), [(1, (2, 3)), (3, (2, 3)), (6, (3, 2))])
def test_a_picture_is_turned_as_its_exif_says(
    orientation: int, size: tuple[int, int], tmp_path: Path
) -> None:
    pixels = np.zeros((2, 3, 3), dtype=np.uint8)
    pixels[0, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path, exif=exif)
    image = read_image(path)
    assert image.shape[1:] == image_size(path) == size
    bright = {1: (0, 0), 3: (1, 2), 6: (0, 1)}[orientation]
    assert image[0][bright] == 255
    assert (image[0] == 255).sum() == 1
    Image.fromarray(pixels[..., 0]).save(path, exif=exif)
    assert examine_label(path).carrier == "PNG L"
    assert read_label(path)[bright]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_a_mask_in_the_transparency_of_a_label_is_read(mode: str, tmp_path: Path) -> None:
    """White everywhere with the change in alpha was read as changed everywhere."""
    change = np.zeros((4, 4), dtype=np.uint8)
    change[1:3, 1:3] = 255
    colours = np.full((4, 4, len(mode) - 1), 255, dtype=np.uint8)
    path = tmp_path / "label.png"
    image = Image.fromarray(np.dstack([colours, change]))
    assert image.mode == mode
    image.save(path)
    assert read_label(path).sum() == 4
    opaque = np.dstack(
        [np.repeat(change[..., None], len(mode) - 1, axis=2), np.full_like(change, 255)]
    )
    Image.fromarray(opaque, mode).save(path)
    assert read_label(path).sum() == 4


def test_half_way_between_unchanged_and_changed_nobody_knows(tmp_path: Path) -> None:
    path = tmp_path / "label.png"
    write_png(path, np.array([[0, 128, 255]], dtype=np.uint8))
    assert examine_label(path).encoding == "0/128/255"
    assert read_change(path).tolist() == [[0, IGNORED, 1]]
    with pytest.raises(DataSetError, match="marked as unknown"):
        read_label(path)
    write_png(path, np.array([[0, 127, 255]], dtype=np.uint8))
    with pytest.raises(DataSetError, match="values 0, 127, 255"):
        read_change(path)


def test_a_label_that_is_known_everywhere_reads_alike_both_ways(tmp_path: Path) -> None:
    path = tmp_path / "label.png"
    write_png(path, np.array([[0, 255], [255, 0]], dtype=np.uint8))
    assert (read_change(path) == read_label(path)).all()
    assert examine_label(path).ignored is None
