"""Every network by one small training, PFBS schedule against schedule: does it help, and whom?

    python benchmarks/compare_networks.py DATA --out RUNS [--only mspsnet ...] [--seeds 1 2 3]

DATA holds tiles-256 of our part of LEVIR-CD. One case is a network, a schedule, a start and a seed;
all follow experiments/compare-networks.toml, with the same pairs seen. Cases come in the order of
seeds, then of networks (mspsnet, then from the cheapest on), so that there are first answers early.
Each writes one file results/compare/NETWORK-START-SCHEDULE-SEED.json and is not run again; one that
was stopped (Ctrl-C) goes on from its last checkpoint. `make pages` makes docs/compare.md of what
there is.

No epoch is chosen: what is scored, on every third pair of tiles-256/val, are the averaged weights
of the last step. The curve on the way there is of every twelfth pair: a small training would else
take more time to be looked at than to learn.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hanet.datasets.layout import AFTER, BEFORE, LABEL, LISTS, list_pairs
from hanet.evaluation.protocols import Protocol
from hanet.evaluation.scoring import evaluate
from hanet.files import replace_file
from hanet.models import MODELS, create
from hanet.provenance import machine, versions
from hanet.training import fit
from hanet.training.experiment import Experiment, experiment_of, read_experiment
from hanet.training.run_folder import RunFolder
from hanet.types import Json

ROOT = Path(__file__).resolve().parents[1]
EXPERIMENT = ROOT / "experiments" / "compare-networks.toml"
RESULTS = ROOT / "results" / "compare"

NETWORKS = tuple(
    sorted(MODELS, key=lambda name: (name != "mspsnet", MODELS[name].gmac_per_megapixel))
)
"""The paper shows its gain on MSPSNet; the others from the cheapest on."""

SCHEDULES = ("normal", "fixed-100", "linear-140")
"""A quarter of the run on foreground alone, as the paper's Fixed-25 of 100 epochs; a ramp as the
released Linear-35."""

CHANGES: dict[str, dict[str, Any]] = {
    # the rate that its authors train it by
    "changeformer": {"learning_rate": 1e-4},
    # a distance is no probability: the others' losses cannot push it below 0.27
    "stanet": {"loss": "batch_balanced_contrastive"},
}
"""What differs from the experiment for single networks."""

TILES, SPLIT = "tiles-256", "val"
"""Where the pairs lie that are scored."""

CURVE, SCORED = "curve", "scored"
"""Data sets of the pairs that are scored on the way and at the end."""

EVERY = {CURVE: 12, SCORED: 3}
"""Every which pair of the split belongs to them."""

STARTS: dict[str, tuple[str, ...]] = {"hanet_lite": ("nothing", "imagenet")}
"""Both where ``start_from = "imagenet"`` gives the encoder weights without a file of the user's;
nothing elsewhere."""


@dataclass(frozen=True, slots=True)
class Case:
    """One training.

    Args:
        network: Key in ``hanet.models.MODELS``.
        start: ``"nothing"`` or ``"imagenet"``.
        schedule: Of PFBS.
        seed: Of first weights, draws and augmentation.
    """

    network: str
    start: str
    schedule: str
    seed: int

    @property
    def name(self) -> str:
        """Of its run folder and its result."""
        return f"{self.network}-{self.start}-{self.schedule}-{self.seed}"

    def experiment(self, base: Experiment) -> Experiment:
        """What it trains by."""
        values = base.model_dump(exclude_unset=True) | CHANGES.get(self.network, {})
        values |= {
            "name": self.name,
            "model": self.network,
            "start_from": self.start,
            "pfbs": self.schedule,
            "seed": self.seed,
        }
        return experiment_of(values, source=self.name)


def main() -> None:
    """Trains and scores what is missing, case after case."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="for the folders of the runs")
    parser.add_argument("--only", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--schedules", nargs="+", choices=SCHEDULES, default=SCHEDULES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    base = read_experiment(EXPERIMENT)
    data = linked_data(arguments.data, arguments.out)
    for case in cases(arguments.only, arguments.schedules, arguments.seeds):
        run(case, base, data=data, runs=arguments.out, threads=arguments.threads)


def cases(
    networks: Sequence[str], schedules: Sequence[str], seeds: Sequence[int]
) -> Iterator[Case]:
    """All of them, in the order in which they run."""
    for seed in seeds:
        for network in networks:
            for start in STARTS.get(network, ("nothing",)):
                for schedule in schedules:
                    yield Case(network, start, schedule, seed)


def linked_data(data: Path, runs: Path) -> Path:
    """A folder of links: the tiles as they are, and two parts of their split as sets of their own.

    Args:
        data: Holds tiles-256.
        runs: Where the folder is made.

    Returns:
        Folder with the experiment's folders.
    """
    folder, tiles = runs / "data", (data / TILES).resolve()
    names = [pair.before.name for pair in list_pairs(tiles, SPLIT)]
    links = {folder / TILES: tiles}
    for part, every in EVERY.items():
        links |= {folder / part / name: tiles / SPLIT / name for name in (BEFORE, AFTER, LABEL)}
        lists = folder / part / LISTS
        lists.mkdir(parents=True, exist_ok=True)
        (lists / f"{SPLIT}.txt").write_text("\n".join(names[::every]) + "\n", encoding="utf-8")
    for link, target in links.items():
        if not link.is_symlink():
            link.symlink_to(target, target_is_directory=True)
    return folder


def run(
    case: Case,
    base: Experiment,
    *,
    data: Path,
    runs: Path,
    threads: int,
    results: Path = RESULTS,
) -> None:
    """Trains and scores a case, unless its result is there.

    Args:
        case: Which.
        base: The common recipe.
        data: Holds the experiment's folders (:func:`linked_data`).
        runs: Folder of the run folders.
        threads: Of torch.
        results: Folder of the results.

    Raises:
        SystemExit: The training was stopped; the next call goes on with it.
    """
    result = results / f"{case.name}.json"
    if result.is_file():
        return
    experiment, folder = case.experiment(base), runs / case.name
    done = fit(
        experiment,
        data=data,
        out=folder,
        resume=(folder / "experiment.json").exists(),
        threads=threads,
        accelerator="cpu",
    )
    if not done.finished:
        raise SystemExit(f"{case.name} was stopped; the same command goes on with it")
    scored = evaluate(
        folder / "weights" / "last.safetensors",
        data / SCORED,
        split=SPLIT,
        protocol=Protocol(tile_px=experiment.tile_px),
        threshold=0.5,
        runtime="torch",
        threads=threads,
    )
    assert scored.histogram is not None
    best = scored.histogram.best_threshold()
    at_best = scored.histogram.counts(round(best * scored.histogram.bins)).scores()
    at_half = scored.histogram.counts(scored.histogram.bins // 2).scores()
    content = {
        "network": case.network,
        "start": case.start,
        "schedule": case.schedule,
        "seed": case.seed,
        "experiment": experiment.model_dump(exclude_unset=True),
        "parameters": sum(p.numel() for p in create(case.network).parameters()),
        "gmac_a_pair": MODELS[case.network].gmac_per_megapixel * experiment.tile_px**2 / 1e6,
        "pairs": done.iterations * experiment.batch,
        "minutes": round(done.minutes, 2),
        "data": f"{TILES}/{SPLIT}",
        "pairs_scored": len(list_pairs(data / SCORED, SPLIT)),
        "protocol": f"tiles-{experiment.tile_px}",
        "best_f1": round(at_best.f1, 4),
        "best_threshold": best,
        "f1": round(at_half.f1, 4),
        "curve": _curve(RunFolder(folder).log, experiment.batch),
        "machine": machine(),
        "versions": versions(["numpy", "torch", "pytorch-lightning"]),
    }
    results.mkdir(parents=True, exist_ok=True)
    replace_file(result, (json.dumps(content, indent=2) + "\n").encode())
    print(f"{case.name}: F1 {at_best.f1:.4f}, {done.minutes:.0f} minutes", flush=True)


def _curve(log: Path, batch: int) -> list[Json]:
    """Each validation: pairs seen until then, minutes, and F1 at threshold 0.5."""
    with log.open(encoding="utf-8", newline="") as file:
        return [
            {
                "pairs": int(row["iteration"]) * batch,
                "minutes": round(float(row["minutes"]), 2),
                "f1": round(float(row["f1"]), 4),
            }
            for row in csv.DictReader(file)
        ]


if __name__ == "__main__":
    main()
