"""Renders the training pairs that the default weights see beside LEVIR-CD:
FOLDER/train/{A,B,label,built}, as `hanet train` reads them; `built` marks the
new buildings of `label`, the others were demolished.

Run: python scripts/rendered_pairs.py FOLDER [--count 12] [--size 1024]

Seeds count from 1000, so that the scenes of the demo, the tests and the cards (seeds 1 to 99) stay
unseen.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from hanet.synthetic.scene import Scene
from hanet.types import Window

FIRST_SEED = 1000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--size", type=int, default=1024)
    arguments = parser.parse_args()
    for name in ("A", "B", "label", "built"):
        (arguments.folder / "train" / name).mkdir(parents=True, exist_ok=True)
    for number in range(arguments.count):
        seed = FIRST_SEED + number
        scene = Scene(seed, change_share=0.25)
        window = Window(0, 0, arguments.size, arguments.size)
        before, after, change = scene.render(window)
        for name, image in (("A", before), ("B", after)):
            pixels = np.ascontiguousarray(np.moveaxis(image, 0, -1))
            Image.fromarray(pixels).save(arguments.folder / "train" / name / f"{seed}.png")
        for name, mask in (("label", change), ("built", scene.built(window))):
            pixels = mask.astype(np.uint8) * np.uint8(255)
            Image.fromarray(pixels).save(arguments.folder / "train" / name / f"{seed}.png")


if __name__ == "__main__":
    main()
