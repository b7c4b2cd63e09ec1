"""A tiny data set of rendered pairs."""

from __future__ import annotations

from pathlib import Path

from hanet.imagery.images import write_png
from hanet.synthetic.scene import render_pair


def render_tiles(root: Path, *, count: int, change_share: float = 0.7) -> Path:
    """Writes pairs of 64x64 under ``root`` as train and, the same, as val; returns ``root``."""
    for number in range(count):
        before, after, change = render_pair(64, 64, 40 + number, change_share=change_share)
        for split in ("train", "val"):
            for folder, image in (("A", before), ("B", after), ("label", change)):
                (root / split / folder).mkdir(parents=True, exist_ok=True)
                write_png(root / split / folder / f"{number}.png", image)
    return root
