"""Gives the train folders of our part of LEVIR-CD their natural colours and sharpness back:
FOLDER/{tiles-256,scenes-1024,scenes-512-1m}-restored/train/{A,B,label}.

Run: python scripts/restored_tiles.py LEVIR FOLDER

LEVIR is the folder of `tiles-256`, `scenes-1024` and `scenes-512-1m`; FOLDER must lie outside the
repository, as imagery does.

Whoever published these tiles had augmented them first: hues are turned by up to some 100 degrees,
each date by itself (but for the names in ``NATURAL``), and resampling and JPEG left 40 % of the
amplitude of the finest detail. Validation, the test split and what users bring are neither. Two
things are undone, from train images alone:

- **Hue.** The scenes at 1 m have natural colours. How often they show a hue, given its saturation
  and value, makes a likelihood; an image is turned to the hues that are likeliest. On natural tiles
  turned by a known angle half of the answers are within six degrees.
- **Sharpness.** The detail beside a Gaussian of 0.55 pixels is strengthened, at most fourfold,
  until neighbouring pixels differ as much as a target says that is drawn for each image; what is
  sharper already stays.

Nothing is moved: labels are copied as they are. The same files come out each time.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

Pixels = npt.NDArray[np.uint8]  # (H, W, 3)
Counts = npt.NDArray[np.float64]  # (saturation and value, hue)

SETS = ("tiles-256", "scenes-1024", "scenes-512-1m")
"""Folders that are restored."""

NATURAL_SET = "scenes-512-1m"
"""The one whose colours nobody has changed."""

NATURAL = ("mengdan1031_", "changeformer_", "train_")
"""Beginnings of the names, in tiles-256, of images with natural colours."""

HUES, SATURATIONS, VALUES = 64, 10, 8
"""Bins of a histogram; those of saturation are finer where it is low, as it mostly is."""

RAREST = 1e-4
"""Probability that a hue has at least, so that a few odd pixels do not decide."""

LEAST_TURN_DEGREES = 8.0
"""Smaller turns are within the error of the estimate."""

DETAIL_SIGMA_PX = 0.55
MOST_STRENGTH = 3.0

SHARPNESS = {"A": (0.38, 0.54), "B": (0.42, 0.58)}
"""Of the two dates, least and most: the range of most natural images that are sharp; after images
are somewhat sharper."""


def counts_of_hues(image: Pixels) -> Counts:
    """How many pixels have each hue, by saturation and value."""
    hue, saturation, value = np.moveaxis(
        np.asarray(Image.fromarray(image).convert("HSV"), dtype=np.int64), -1, 0
    )
    fine = (np.sqrt(saturation / 256.0) * SATURATIONS).astype(np.int64)
    joint = (fine * VALUES + value * VALUES // 256) * HUES + hue * HUES // 256
    counts = np.bincount(joint.ravel(), minlength=SATURATIONS * VALUES * HUES)
    return counts.reshape(-1, HUES).astype(np.float64)


def likelihood_of_hues(images: Iterable[Pixels]) -> Counts:
    """Logarithm of the probability of a hue, given saturation and value, in natural images."""
    counts = np.sum([counts_of_hues(image) for image in images], axis=0)
    smooth = ndimage.gaussian_filter1d(counts, 1.0, axis=1, mode="wrap")
    prior = 1e-4 * smooth.sum() / smooth.size  # for what they never show
    probability = (smooth + prior) / (smooth + prior).sum(axis=1, keepdims=True)
    return np.asarray(np.log(np.maximum(probability, RAREST)))


def turn_to_natural(image: Pixels, likelihood: Counts) -> float:
    """By how many degrees the hues have to be turned to be likeliest, in -180 to 180."""
    ours, theirs = np.fft.fft(counts_of_hues(image), axis=1), np.fft.fft(likelihood, axis=1)
    by_turn = np.fft.ifft((theirs * ours.conj()).sum(axis=0)).real
    turn = int(by_turn.argmax())
    return 360.0 / HUES * (turn - HUES if turn >= HUES // 2 else turn)


def turned(image: Pixels, degrees: float) -> Pixels:
    """The image with its hues turned; saturation and value stay."""
    values = np.array(Image.fromarray(image).convert("HSV"))
    values[..., 0] = (values[..., 0].astype(np.int64) + round(degrees * 256 / 360)) % 256
    return np.asarray(Image.fromarray(values, "HSV").convert("RGB"))


def sharpness(image: npt.NDArray[np.floating]) -> float:
    """Mean square difference of pixels next to each other, over that of pixels two apart: 1 for
    noise, a quarter for a smooth slope, whatever the contrast."""
    grey = image.mean(axis=-1)
    near = np.square(np.diff(grey, axis=1)).mean()
    far = np.square(grey[:, 2:] - grey[:, :-2]).mean()
    return float(near / far) if far else 1.0


def sharpened(image: Pixels, target: float) -> Pixels:
    """The image with as much more detail as brings its sharpness to the target, at most
    ``MOST_STRENGTH``."""
    values = image.astype(np.float32)
    if sharpness(values) >= target:
        return image
    detail = values - ndimage.gaussian_filter(values, (DETAIL_SIGMA_PX, DETAIL_SIGMA_PX, 0.0))

    def with_detail(strength: float) -> npt.NDArray[np.float32]:
        strengthened: npt.NDArray[np.float32] = np.clip(values + strength * detail, 0, 255)
        return strengthened

    least, most = 0.0, MOST_STRENGTH
    for _ in range(9):
        middle = (least + most) / 2
        if sharpness(with_detail(middle)) < target:
            least = middle
        else:
            most = middle
    return np.rint(with_detail(most)).astype(np.uint8)


def read(path: Path) -> Pixels:
    """An image as red, green, blue."""
    return np.asarray(Image.open(path).convert("RGB"))


def has_natural_colours(set_name: str, stem: str) -> bool:
    """Whether nobody has turned the hues of this image."""
    return set_name == NATURAL_SET or (set_name == "tiles-256" and stem.startswith(NATURAL))


def restore(levir: Path, folder: Path, set_name: str, likelihoods: dict[str, Counts]) -> None:
    """Writes one set's train folder and says what was done to it."""
    source, target = levir / set_name / "train", folder / f"{set_name}-restored" / "train"
    turns, images = 0, 0
    for date, (least, most) in SHARPNESS.items():
        (target / date).mkdir(parents=True, exist_ok=True)
        for path in sorted((source / date).iterdir()):
            image = read(path)
            if not has_natural_colours(set_name, path.stem):
                degrees = turn_to_natural(image, likelihoods[date])
                if abs(degrees) >= LEAST_TURN_DEGREES:
                    image, turns = turned(image, degrees), turns + 1
            drawn = np.random.default_rng([*path.stem.encode(), *date.encode()])
            Image.fromarray(sharpened(image, drawn.uniform(least, most))).save(
                target / date / f"{path.stem}.png", compress_level=1
            )
            images += 1
    shutil.copytree(source / "label", target / "label", dirs_exist_ok=True)
    print(f"{target.parent}: {images // 2} pairs, hues of {turns} of {images} images turned")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("levir", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    natural = arguments.levir / NATURAL_SET / "train"
    likelihoods = {
        date: likelihood_of_hues(read(path) for path in sorted((natural / date).iterdir()))
        for date in SHARPNESS
    }
    for set_name in SETS:
        restore(arguments.levir, arguments.folder, set_name, likelihoods)


if __name__ == "__main__":
    main()
