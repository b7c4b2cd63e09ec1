"""What keeps adapted weights from forgetting what they knew: rendered pairs that they see again
beside the user's ground, and others that say afterwards whether something was lost.

The imagery that weights were trained on cannot travel. Scenes of :mod:`hanet.synthetic` can: they
are made on the spot from seeds, each in a style of its own. They are no imagery: the check on them
tells most losses, not each (docs/concepts/adaptation.md, "What was tried").
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from hanet.datasets.layout import AFTER, BEFORE, LABEL
from hanet.evaluation.metrics import Scores
from hanet.evaluation.scoring import evaluate
from hanet.files import make_folder, writing
from hanet.imagery.images import write_png
from hanet.synthetic.styles import drawn_style
from hanet.types import ByteArray, Json, Window

TILE_PX = 256
"""Side of a rendered tile."""

REPLAY, HOME = "replay", "home"
"""Folders of the pairs in the working folder."""

REPLAY_TILES, HOME_TILES = 48, 24
"""Tiles that are seen again, and tiles of the check; each is a scene of its own. One takes a fifth
of a second."""

FIRST_REPLAY_SEED, FIRST_HOME_SEED = 20_000, 30_000
"""Seeds from which each counts. The demo, tests and cards use 1 to 99, the elsewhere sets 501 and
502, training those from 1,000."""

SPREAD_PX = 512
"""A tile lies up to so far from the scene's corner, so that streets do not always cross in its
middle."""

MOST_LOST = 0.01
"""F1 that may be lost without a word: one point."""


LOOKS = ("plain", "hazy")
"""How the check shows its pairs: as they are rendered; and with the after image under haze and
moved by two pixels, where weights are unsure. A lowered threshold costs nothing on the first."""

HAZE, HAZY_LIGHT = 0.65, 200.0
"""Share of haze, and its grey."""

MOVED_PX = 2
"""How far the hazy image is moved, to the right and down."""


@dataclass(frozen=True, slots=True)
class HomeCheck:
    """Scores on rendered pairs that no rung learned from, each weights at its stored threshold.

    Args:
        before: Of the weights that the adaptation began with, by look.
        after: Of the adapted ones.
        tiles: Pairs that were counted in each look.
    """

    before: dict[str, Scores]
    after: dict[str, Scores]
    tiles: int

    @property
    def lost(self) -> float:
        """The most that F1 falls in any look, in -1 to 1; negative where it falls in none."""
        return max(self.before[look].f1 - self.after[look].f1 for look in self.before)

    @property
    def has_lost(self) -> bool:
        """Whether more than a point of F1 was lost."""
        return self.lost > MOST_LOST

    def said(self) -> str:
        """What is lost, or not, in words."""
        looks = "; ".join(
            f"{look} F1 {self.before[look].f1:.4f} before, {self.after[look].f1:.4f} after"
            for look in self.before
        )
        found = (
            "the adapted weights are worse elsewhere"
            if self.has_lost
            else "no loss of more than a point was measured"
        )
        return f"{found} ({self.tiles} rendered pairs; {looks})"

    def to_json(self) -> Json:
        """For the result file."""
        return {**asdict(self), "lost": self.lost, "has_lost": self.has_lost}


def replay_tiles(folder: Path, *, gsd_m: float, count: int = REPLAY_TILES) -> Path:
    """The folder ``FOLDER/replay`` with rendered pairs to be seen again, made if it is not there.

    Args:
        folder: Working folder of the adaptation.
        gsd_m: Metres a pixel of the weights.
        count: Pairs.

    Raises:
        OutputError: The disk does not take it.
    """
    seeds = range(FIRST_REPLAY_SEED, FIRST_REPLAY_SEED + count)
    return _rendered(folder / REPLAY, seeds, looks=("",), gsd_m=gsd_m)


def home_check(
    before: Path,
    after: Path,
    *,
    folder: Path,
    gsd_m: float,
    count: int | None = None,
    threads: int | None = None,
) -> HomeCheck:
    """Scores two weights files on rendered pairs that :func:`replay_tiles` does not hold; needs no
    torch for ``.onnx``.

    Args:
        before: Weights that the adaptation began with.
        after: Adapted weights.
        folder: Working folder; the pairs are made in ``FOLDER/home`` if they are not there.
        gsd_m: Metres a pixel of the weights.
        count: Pairs; :data:`HOME_TILES` if None.
        threads: Of the engine.

    Raises:
        OutputError: The disk does not take the pairs.
        WeightsError: A file is missing, or takes other bands than three.
    """
    count = HOME_TILES if count is None else count
    seeds = range(FIRST_HOME_SEED, FIRST_HOME_SEED + count)
    home = _rendered(folder / HOME, seeds, looks=LOOKS, gsd_m=gsd_m)
    before_by_look, after_by_look = (
        {
            look: evaluate(weights, home, split=look, data_name="rendered", threads=threads).scores
            for look in LOOKS
        }
        for weights in (before, after)
    )
    return HomeCheck(before_by_look, after_by_look, count)


def _rendered(folder: Path, seeds: range, *, looks: tuple[str, ...], gsd_m: float) -> Path:
    """The folder with ``LOOK/{A,B,label}`` of the scenes; it appears when it is whole."""
    if folder.is_dir():
        return folder
    building = folder.with_name(f"{folder.name}.partial")
    with writing(building):
        shutil.rmtree(building, ignore_errors=True)
    for look in looks:
        for kind in (BEFORE, AFTER, LABEL):
            make_folder(building / look / kind)
    for seed in seeds:
        row, column = (int(at) for at in np.random.default_rng(seed).integers(0, SPREAD_PX, 2))
        scene = drawn_style(seed, gsd_m=gsd_m)
        before, after, change = scene.render(Window(row, column, TILE_PX, TILE_PX))
        for look in looks:
            seen = hazy(after) if look == "hazy" else after
            write_png(building / look / BEFORE / f"{seed}.png", before)
            write_png(building / look / AFTER / f"{seed}.png", seen)
            write_png(building / look / LABEL / f"{seed}.png", change)
    with writing(folder):
        building.rename(folder)
    return folder


def hazy(image: ByteArray) -> ByteArray:  # (C, H, W) -> (C, H, W)
    """The image under haze, moved by :data:`MOVED_PX`; what comes in is the edge repeated."""
    height, width = image.shape[-2:]
    padding = ((0, 0), (MOVED_PX, 0), (MOVED_PX, 0))
    moved = np.pad(image, padding, mode="edge")[:, :height, :width].astype(np.float32)
    seen: ByteArray = np.rint(moved + HAZE * (HAZY_LIGHT - moved)).astype(np.uint8)
    return seen
