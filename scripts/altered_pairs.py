"""Scores weights on validation tiles whose images were altered: what a panchromatic image costs,
and what low contrast does, before and after it is stretched again.

    python scripts/altered_pairs.py grey WEIGHTS --out results/reliability/grey-WEIGHTS.json
    python scripts/altered_pairs.py flat WEIGHTS --out results/reliability/flat-WEIGHTS.json

Grey is the luma of Pillow (ITU-R 601) in all three bands. Flat images have a share of their
contrast about a value of 100, in whole numbers, at both dates; stretched, as ``--scaling LOW,HIGH``
stretches them.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image

from hanet.cli.evaluation_tables import as_text
from hanet.datasets.layout import AFTER, BEFORE, LABEL
from hanet.evaluation.scoring import evaluate
from hanet.files import replace_file
from hanet.types import Json

ROOT = Path(__file__).resolve().parents[1]

Look: TypeAlias = Callable[[Image.Image], Image.Image]

MIDDLE = 100
"""The value that low contrast keeps."""


def grey(image: Image.Image) -> Image.Image:
    """Without colour."""
    return image.convert("L").convert("RGB")


def flat(image: Image.Image, *, share: float, stretched: bool = False) -> Image.Image:
    """With this share of its contrast; or what a stretch of that gives back."""
    values = np.rint((np.asarray(image, dtype=np.float64) - MIDDLE) * share + MIDDLE)
    if stretched:
        low, high = (MIDDLE + share * (value - MIDDLE) for value in (0, 255))
        values = np.rint((values - low) * 255 / (high - low))
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def _both(look: Look) -> dict[str, Look]:
    return {BEFORE: look, AFTER: look}


CASES: dict[str, dict[str, dict[str, Look]]] = {
    "grey": {
        "both in colour": {},
        "both grey": _both(grey),
        "before grey": {BEFORE: grey},
        "after grey": {AFTER: grey},
    },
    "flat": {
        "as they are": {},
        **{
            f"{share:.0%} of the contrast{', stretched again' if stretched else ''}": _both(
                partial(flat, share=share, stretched=stretched)
            )
            for share in (0.5, 0.3, 0.2, 0.1)
            for stretched in (False, True)
        },
    },
}
"""Which images are altered, by case."""

OF_WEIGHTS = ("weights", "weights_sha256", "threshold", "runtime", "versions", "machine")
"""What stands once, above the cases."""


def write_altered(source: Path, target: Path, looks: dict[str, Look]) -> None:
    """A copy of a split, its images of some dates altered."""
    for kind in (BEFORE, AFTER, LABEL):
        (target / kind).mkdir(parents=True)
        for path in sorted((source / kind).iterdir()):
            if kind in looks:
                image = looks[kind](Image.open(path).convert("RGB"))
                image.save(target / kind / f"{path.stem}.png")
            else:
                (target / kind / path.name).symlink_to(path.resolve())


def score(cases: dict[str, dict[str, Look]], weights: str, split: Path, *, threads: int) -> Json:
    """Scores of all cases at the stored threshold."""
    result: Json = {}
    for name, looks in cases.items():
        with tempfile.TemporaryDirectory() as folder:
            write_altered(split, Path(folder) / split.name, looks)
            values = evaluate(weights, Path(folder), split=split.name, threads=threads).to_json()
        if not result:
            result = {key: values[key] for key in OF_WEIGHTS}
            result |= {"data": split.parent.name, "split": split.name, "images": values["images"]}
            result["cases"] = {}
        keys = ("counts", "scores", "f1_interval_95", "average_precision")
        result["cases"][name] = {key: values[key] for key in keys}
        scores = values["scores"]
        print(
            f"{name}: precision {scores['precision']:.4f}, recall {scores['recall']:.4f}, "
            f"F1 {scores['f1']:.4f}",
            flush=True,
        )
    return result


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", choices=sorted(CASES))
    parser.add_argument("weights")
    parser.add_argument("--out", type=Path, help="JSON file")
    parser.add_argument("--threads", type=int, default=1)
    shared = ROOT.parent / "shared" / "data" / "levir-cd" / "tiles-256"
    parser.add_argument("--data", type=Path, default=shared)
    parser.add_argument("--split", default="val")
    arguments = parser.parse_args()
    cases, split = CASES[arguments.cases], arguments.data / arguments.split
    result = score(cases, arguments.weights, split, threads=arguments.threads)
    if arguments.out is not None:
        replace_file(arguments.out, as_text(result).encode())


if __name__ == "__main__":
    main()
