"""Reading image files in several threads."""

from __future__ import annotations

import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hanet.images import image_size, write_png


def test_threads_leave_the_filters_of_warnings_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads that opened images at once left warnings switched off for the rest of the process."""
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
