"""What adaptation brings: the shipped weights adapted to places that they never saw, with few
reviewed tiles.

    PYTHONPATH=scripts python benchmarks/adaptation.py FOLDER [--data ../shared/data]
        [--places new-york,suburbs,...] [--tiles 5,10,20,50] [--seeds 0,1,2]
        [--labels truth,review] [--rungs all|light] [--no-reference] [--threads 2]

FOLDER, outside the repository, gets the places (benchmarks/adaptation_places.py) and is worked in.
Each case is a process of its own and one file ``results/adaptation/places/PLACE-TILES-LABELS-SEED``
(``-light`` where only the rungs without training are tried); a case whose file is there is left
out, so that the benchmark can be stopped and goes on. Minutes are those of the processor, over all
threads, and no rung is ended by the clock: other work on the machine changes no result. A case:

1. draws that many tiles of the place's pool (all of them where it has fewer);
2. labels them: ``truth`` by the masks; ``review`` by decisions about what the old weights found and
   outlines of what they missed, 5 % of the decisions wrong;
3. runs hanet.adaptation.adapt on them;
4. scores the weights before, each rung's candidate, and what was kept, on the place's test tiles,
   of which nothing was learned; and on every fourth tile of tiles-256/val what the place has cost
   at home.

The reference ``PLACE-full.json`` is the rung ``all`` from the same weights on the whole pool with
truth: six times as many steps, not ended early, the whole of the way taken, whatever the hold-out
and home say.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import process_time

import numpy as np

from adaptation_places import PLACES, make
from hanet.adaptation.adapt import adapt
from hanet.adaptation.ladder import RungName, peak_mb
from hanet.adaptation.sources import LabelFolder
from hanet.adaptation.standing import Standing, cooled
from hanet.datasets.layout import AFTER, BEFORE, LABEL, Pair, list_pairs
from hanet.documents import read_json
from hanet.evaluation.metrics import Counts
from hanet.evaluation.protocols import Protocol, predict_split, predictor_of
from hanet.evaluation.scoring import hash_of_pairs
from hanet.files import file_hash, replace_file
from hanet.footprints.labelling import label as labelled
from hanet.imagery.images import read_change, write_png
from hanet.provenance import machine, versions
from hanet.types import IGNORED, ByteArray, Json, Mask
from hanet.weights import catalogue
from hanet.weights.engine import Engine

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results" / "adaptation" / "places"

WRONG = 0.05
"""Share of simulated decisions that are wrong."""

HOME_EVERY = 4
"""Every so many tiles of tiles-256/val."""

FULL_STEPS = 6
"""How many times as many steps the reference takes."""

MINUTES = 600.0
"""That the rungs which train may take: no limit, so that the machine's load decides nothing."""


@dataclass(frozen=True, slots=True)
class Case:
    """One adaptation.

    Args:
        place: Name of a place.
        tiles: Reviewed tiles; None is the reference.
        labels: ``truth`` or ``review``.
        seed: Which tiles, which are wrong, and of the adaptation.
        rungs: ``all``, or ``light`` for those without training.
    """

    place: str
    tiles: int | None
    labels: str = "truth"
    seed: int = 0
    rungs: str = "all"

    @property
    def name(self) -> str:
        """Of its file."""
        if self.tiles is None:
            return f"{self.place}-full"
        name = f"{self.place}-{self.tiles}-{self.labels}-{self.seed}"
        return name if self.rungs == "all" else f"{name}-{self.rungs}"


def run(case: Case, folder: Path, data: Path, *, weights: str, threads: int) -> Json:
    """What a case gives."""
    place, work = folder / case.place, folder / "work" / case.name
    shutil.rmtree(work, ignore_errors=True)
    pool, test = (list_pairs(place, part) for part in ("pool", "test"))
    generator = np.random.default_rng((case.seed, 17))
    count = len(pool) if case.tiles is None else min(case.tiles, len(pool))
    drawn = [pool[index] for index in sorted(generator.permutation(len(pool))[:count].tolist())]
    onnx = catalogue.resolve(weights, suffixes=(".onnx",))
    reviewed = (
        _reviewed(drawn, onnx, threads, np.random.default_rng((case.seed, 23)))
        if case.labels == "review"
        else ((pair, read_change(_label(pair))) for pair in drawn)
    )
    _write_labels(work / "labels" / "drawn", reviewed)
    home = list_pairs(data / "levir-cd" / "tiles-256", "val")[::HOME_EVERY]
    tried: Json = {}
    clock = process_time()

    def see(rung: RungName, candidate: Standing) -> None:
        nonlocal clock
        spent = process_time() - clock
        tried[rung] = {
            "test": _scores(_counts(candidate, test, threads)),
            "processor_minutes": round(spent / 60, 3),
        }
        adapting.append(spent)
        clock = process_time()

    adapting: list[float] = []
    if case.tiles is None:
        _lengthen()
    result = adapt(
        [LabelFolder(work / "labels")],
        out=work / "adapted",
        weights=weights,
        seed=case.seed,
        hold_out=0.15 if case.tiles is None else 0.4,
        rungs=_rungs(case),
        minutes=MINUTES,
        threads=threads,
        place=case.place,
        force=case.tiles is None,
        tried=see,
    )
    adapting.append(process_time() - clock)
    climb = result.climb
    chosen = climb.best if result.is_forced else climb.kept
    first = _counts(climb.start, test, threads)
    # the working folder with the candidates' files is gone: what was written stands for them
    written = work / "adapted.onnx"
    after = _counts_of_file(chosen, written, test, threads) if result.has_weights else first
    at_home = _counts(climb.start, home, threads)
    home_after = _counts_of_file(chosen, written, home, threads) if result.has_weights else at_home
    values: Json = {
        **asdict(case),
        "tiles_drawn": count,
        "weights": {"name": climb.start.metadata.name, "sha256": file_hash(onnx)},
        "before": _scores(first),
        "after": _scores(after),
        "home": {"before": _scores(at_home), "after": _scores(home_after), "tiles": len(home)},
        "home_check": read_json(written.with_suffix(".json"))["rendered"],
        "climbed": [{**one.to_json(), **tried.get(one.rung, {})} for one in climb.results],
        "verdict": climb.verdict.to_json(),
        "written": result.has_weights,
        "ground": result.ground.to_json(),
        "processor_minutes": round(sum(adapting) / 60, 3),
        "peak_mb": round(peak_mb(), 1),
        "test_tiles": len(test),
        "test_sha256": hash_of_pairs(test),
        "drawn_sha256": hash_of_pairs(drawn),
        "versions": versions(["numpy", "onnxruntime", "torch"]),
        "machine": machine(),
    }
    shutil.rmtree(work, ignore_errors=True)
    return values


def _reviewed(
    pairs: Sequence[Pair], onnx: Path, threads: int, generator: np.random.Generator
) -> Iterable[tuple[Pair, ByteArray]]:
    """Labels as a review leaves them: what the weights found is accepted or rejected as most of its
    pixels are, what they missed is drawn, and some of these decisions are wrong. The ground beside
    is unchanged, as in a tile that was accepted as complete."""
    predictor, metadata = predictor_of(onnx, Engine(threads=threads))
    for image in predict_split(predictor, pairs, Protocol("whole")):
        truth = image.change == 1
        label = np.zeros(truth.shape, dtype=np.uint8)
        covered = np.zeros(truth.shape, dtype=np.bool_)
        for shape in _shapes(image.probability >= np.float32(metadata.threshold)):
            is_change = 2 * np.count_nonzero(truth & shape) >= np.count_nonzero(shape)
            covered |= shape & is_change
            if is_change != (generator.random() < WRONG):
                label[shape] = 1
        for shape in _shapes(truth):
            is_missed = 2 * np.count_nonzero(covered & shape) < np.count_nonzero(shape)
            if is_missed and generator.random() >= WRONG:
                label[shape] = 1
        yield image.pair, label


def _shapes(mask: Mask) -> Iterable[Mask]:
    """Each connected set of pixels."""
    found = labelled(mask, mask.astype(np.float32), connectivity=8)
    for number in range(1, int(found.labels.max(initial=0)) + 1):
        yield found.labels == number


def _write_labels(folder: Path, reviewed: Iterable[tuple[Pair, ByteArray]]) -> None:
    for kind in (BEFORE, AFTER, LABEL):
        (folder / kind).mkdir(parents=True)
    for pair, label in reviewed:
        shutil.copyfile(pair.before, folder / BEFORE / f"{pair.name}.png")
        shutil.copyfile(pair.after, folder / AFTER / f"{pair.name}.png")
        write_png(folder / LABEL / f"{pair.name}.png", label == 1)


def _label(pair: Pair) -> Path:
    assert pair.label is not None
    return pair.label


def _counts(standing: Standing, pairs: Sequence[Pair], threads: int) -> Counts:
    """Of a candidate on whole images of a split."""
    return _counts_of(standing, standing.onnx, standing.temperature, pairs, threads)


def _counts_of_file(
    standing: Standing, written: Path, pairs: Sequence[Pair], threads: int
) -> Counts:
    """The same of the file that was written, which has the temperature in it."""
    return _counts_of(standing, written, 1.0, pairs, threads)


def _counts_of(
    standing: Standing, onnx: Path, temperature: float, pairs: Sequence[Pair], threads: int
) -> Counts:
    predictor, _ = predictor_of(onnx, Engine(threads=threads))
    total = Counts()
    for image in predict_split(predictor, pairs, Protocol("whole")):
        known = image.change != IGNORED
        mask = standing.mask_of(cooled(image.probability, temperature))
        total += Counts.of(mask[known], image.change[known] == 1)
    return total


def _scores(counts: Counts) -> Json:
    scores = counts.scores()
    return {
        **asdict(counts),
        "precision": scores.precision,
        "recall": scores.recall,
        "f1": scores.f1,
        "iou": scores.iou,
    }


def _rungs(case: Case) -> list[str] | None:
    if case.tiles is None:
        return ["all"]
    return None if case.rungs == "all" else [case.rungs]


def _lengthen() -> None:
    """Full training for the reference, in this process."""
    from hanet.adaptation import fine_tuning

    fine_tuning.SETTINGS["patience"] = 0
    fine_tuning.TAKEN = 1.0
    recipe = fine_tuning.RECIPES["all"]
    fine_tuning.RECIPES["all"] = fine_tuning.Recipe(
        recipe.iterations * FULL_STEPS, recipe.learning_rate
    )


def cases(arguments: argparse.Namespace) -> list[Case]:
    """All cases, those of the first seed first."""
    found = [
        Case(place, tiles, labels, seed, arguments.rungs)
        for seed in arguments.seeds
        for labels in arguments.labels
        for place in arguments.places
        for tiles in arguments.tiles
    ]
    full = [Case(place, None) for place in arguments.places] if arguments.reference else []
    return [*full, *found]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--weights", default="hanet_lite")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--places", type=_words, default=list(PLACES))
    parser.add_argument("--tiles", type=_numbers, default=[5, 10, 20, 50])
    parser.add_argument("--seeds", type=_numbers, default=[0, 1, 2])
    parser.add_argument("--labels", type=_words, default=["truth", "review"])
    parser.add_argument("--reference", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--rungs", choices=("all", "light"), default="all")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    if folder.resolve().is_relative_to(ROOT):
        raise SystemExit(f"error: {folder} lies in the repository, which holds no imagery")
    make(folder, arguments.data, arguments.places)
    for case in cases(arguments):
        path = arguments.out / f"{case.name}.json"
        if arguments.only == case.name:
            values = run(
                case,
                folder,
                arguments.data,
                weights=arguments.weights,
                threads=arguments.threads,
            )
            replace_file(path, (json.dumps(values, indent=1, allow_nan=False) + "\n").encode())
        elif arguments.only is None and not path.exists():
            # a process of its own, so that its memory is its own
            subprocess.run(
                [sys.executable, __file__, *sys.argv[1:], "--only", case.name], check=True
            )
            values = json.loads(path.read_text(encoding="utf-8"))
            print(
                f"{case.name}: F1 {values['before']['f1']:.3f} -> {values['after']['f1']:.3f}, "
                f"{values['processor_minutes']:.1f} min, {values['peak_mb']:.0f} MB",
                flush=True,
            )


def _words(text: str) -> list[str]:
    return text.split(",")


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


if __name__ == "__main__":
    main()
