"""Small pictures of images that have no overviews, or none that show what their pixels do: made
once, so that a whole view takes milliseconds and not seconds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TypeAlias

from hanet.files import is_there, writing
from hanet.imagery.pictures import write_picture
from hanet.review.dates import OPENING, Rules, ShownDate, SmallPicture
from hanet.review.display import Display
from hanet.review.inputs import DATES, DateName, Input
from hanet.types import ByteArray, Mask, Progress, Window
from hanet.version import __version__
from hanet.work_folder import WorkFolder, move_into_place

SMALL_PX = 1024
"""Images up to this side are read as they are: a view of so many pixels takes 60-120 ms (2026-11, a
tiled GeoTIFF on two busy cores)."""

FACTOR, WARPED_FACTOR = 4, 2
"""Image pixels a pixel of the picture along each axis. Below it tiles come from the image itself:
at half resolution in some 30 ms, but in 100-180 ms where it must be warped (2026-11)."""

MAKING = ".making"
"""Folder beside the pictures in which they are made."""

_Share: TypeAlias = Callable[[float], None]
"""Called with the share done, in 0-1."""


def make_pictures(
    display: Display,
    inputs: tuple[Input, Input],
    rules: Rules,
    *,
    folder: Path,
    progress: Progress,
) -> dict[DateName, SmallPicture | None]:
    """The small pictures of both dates, made where they are missing; None for one that needs none.

    Both are made at the same time. Pictures of other files or other rules are removed.

    Args:
        display: What they show.
        inputs: The images of both dates.
        rules: How their values become a picture.
        folder: Where they are kept.
        progress: Called with what is being made and the share done.

    Raises:
        RasterError: An image cannot be read.
        OutputError: The disk does not take a picture, or another process makes them.
    """
    found: dict[DateName, SmallPicture | None] = {}
    missing: list[tuple[Input, SmallPicture]] = []
    for image in inputs:
        factor = _factor(display, image, rules)
        if factor is None:
            found[image.date] = None
            continue
        picture = SmallPicture(folder / _name(display, image, rules, factor), factor)
        found[image.date] = picture
        if not picture.path.exists():
            missing.append((image, picture))
    # a process killed after its last picture leaves the folder in which it made them
    if missing or is_there(folder / MAKING):
        _make(display, missing, rules, folder, progress)
    _remove_others(folder, {picture.path for picture in found.values() if picture is not None})
    return found


def _factor(display: Display, image: Input, rules: Rules) -> int | None:
    """How coarse the picture of an image must be; None where its overviews serve."""
    longest = max(display.size)
    if longest <= SMALL_PX:
        return None
    with closing(ShownDate(display, image, rules, picture=None)) as date:
        factors = () if date.is_stale else date.source.overview_factors
        if factors and factors[0] <= FACTOR and longest / factors[-1] <= SMALL_PX:
            return None
        return WARPED_FACTOR if date.is_warped else FACTOR


def _name(display: Display, image: Input, rules: Rules, factor: int) -> str:
    """Changes with everything that decides the pixels."""
    facts = {
        "hanet": __version__,
        "image": image.fingerprint,
        "grid": display.shown.to_json(),
        "rules": rules.to_json(),
        "factor": factor,
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return f"{image.date}-{digest[:16]}.tif"


def _make(
    display: Display,
    missing: list[tuple[Input, SmallPicture]],
    rules: Rules,
    folder: Path,
    progress: Progress,
) -> None:
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    busy = f"another hanet review makes pictures in {folder}"
    with WorkFolder(folder / MAKING, busy=busy) as work:
        shares, lock = dict.fromkeys((image.date for image, _ in missing), 0.0), Lock()

        def tell(date: DateName, share: float) -> None:
            with lock:
                shares[date] = share
                progress("making pictures to zoom out", sum(shares.values()) / len(shares))

        def one(image: Input, picture: SmallPicture) -> None:
            path = work.building / picture.path.name
            _write(path, display, image, rules, picture.factor, partial(tell, image.date))
            move_into_place(path, picture.path)

        with ThreadPoolExecutor(len(DATES)) as threads:
            for made in [threads.submit(one, *pair) for pair in missing]:
                made.result()


def _write(
    path: Path,
    display: Display,
    image: Input,
    rules: Rules,
    factor: int,
    tell: _Share,
) -> None:
    height, width = display.size
    size = (-(-height // factor), -(-width // factor))
    whole = Window(0, 0, height, width)
    with OPENING:
        opened = ShownDate(display, image, rules, picture=None)
    with closing(opened) as date:

        def read(part: Window) -> tuple[ByteArray, Mask]:
            place = Window(*(factor * value for value in (part.row, part.column, *part.shape)))
            return date.read(place.intersection(whole), factor)

        bands = rules.of_date(image.date).shown_bands
        write_picture(path, size, bands=bands, read=read, progress=tell)


def _remove_others(folder: Path, kept: set[Path]) -> None:
    for date in ("before", "after"):
        for path in folder.glob(f"{date}-{'[0-9a-f]' * 16}.tif"):
            if path not in kept:
                with suppress(OSError):
                    path.unlink()
