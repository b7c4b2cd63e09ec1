"""Scores weights on validation tiles whose colour is taken away, at both dates or at one: what a
panchromatic or a historic image costs.

    python scripts/grey_pairs.py WEIGHTS --out results/reliability/grey-WEIGHTS.json

Grey is the luma of Pillow (ITU-R 601) in all three bands.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from PIL import Image

from hanet.cli.evaluation_tables import as_text
from hanet.datasets.layout import AFTER, BEFORE, LABEL
from hanet.evaluation.scoring import evaluate
from hanet.files import replace_file
from hanet.types import Json

ROOT = Path(__file__).resolve().parents[1]

CASES: dict[str, tuple[str, ...]] = {
    "both in colour": (),
    "both grey": (BEFORE, AFTER),
    "before grey": (BEFORE,),
    "after grey": (AFTER,),
}
"""Which images are made grey."""

OF_WEIGHTS = ("weights", "weights_sha256", "threshold", "runtime", "versions", "machine")
"""What stands once, above the cases."""


def write_grey(source: Path, target: Path, grey: tuple[str, ...]) -> None:
    """A copy of a split, its images of some dates without their colour."""
    for kind in (BEFORE, AFTER, LABEL):
        (target / kind).mkdir(parents=True)
        for path in sorted((source / kind).iterdir()):
            if kind in grey:
                image = Image.open(path).convert("L").convert("RGB")
                image.save(target / kind / f"{path.stem}.png")
            else:
                (target / kind / path.name).symlink_to(path.resolve())


def score(weights: str, data: Path, split: str, *, threads: int) -> Json:
    """Scores of all cases at the stored threshold."""
    result: Json = {}
    for name, grey in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            write_grey(data / split, Path(folder) / split, grey)
            values = evaluate(weights, Path(folder), split=split, threads=threads).to_json()
        if not result:
            result = {key: values[key] for key in OF_WEIGHTS}
            result |= {"data": data.name, "split": split, "images": values["images"], "cases": {}}
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
    parser.add_argument("weights")
    parser.add_argument("--out", type=Path, help="JSON file")
    parser.add_argument("--threads", type=int, default=1)
    shared = ROOT.parent / "shared" / "data" / "levir-cd" / "tiles-256"
    parser.add_argument("--data", type=Path, default=shared)
    parser.add_argument("--split", default="val")
    arguments = parser.parse_args()
    result = score(arguments.weights, arguments.data, arguments.split, threads=arguments.threads)
    if arguments.out is not None:
        replace_file(arguments.out, as_text(result).encode())


if __name__ == "__main__":
    main()
