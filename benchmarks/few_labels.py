"""What pairs without labels are worth beside few labelled ones: hanet_lite with a part of its
labels, supervised against semi-supervised.

    python benchmarks/few_labels.py DATA --out RUNS [--shares 10,5,20,50,100] [--seeds 0,1,2]
        [--modes supervised,semi-supervised] [--threads 1]

DATA holds our part of LEVIR-CD (tiles-256, and tiles-256-lossless for the log). A case is a share
of the labels, a mode and a seed, which chooses the pairs that keep their labels, first weights and
draws: both modes of a seed have the same labels, in the same order. All follow
experiments/hanet_lite-few-labels.toml, supervised ones with unlabelled_weight 0: the same steps of
the same labelled pairs. 100 % of the labels has no pairs without, and is supervised alone.

Each case is a process of its own and one file results/few-labels/SHARE-MODE-SEED.json. A case whose
file is there is left out; one that was stopped goes on from its last checkpoint. Cases come seed by
seed, in the order of the shares given.

No step is chosen: what is scored, on tiles-256/val, are the averaged weights of the last one, at
threshold 0.5. That split is not read before.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import process_time

import torch

from hanet.datasets.layout import list_pairs
from hanet.evaluation.protocols import Protocol
from hanet.evaluation.scoring import evaluate, hash_of_pairs
from hanet.files import file_hash, replace_file
from hanet.provenance import machine, versions
from hanet.training import fit
from hanet.training.experiment import Experiment, experiment_of, read_experiment
from hanet.training.labels import training_pairs
from hanet.training.run_folder import RunFolder
from hanet.types import Json

ROOT = Path(__file__).resolve().parents[1]
EXPERIMENT = ROOT / "experiments" / "hanet_lite-few-labels.toml"
RESULTS = ROOT / "results" / "few-labels"

SUPERVISED, SEMI_SUPERVISED = "supervised", "semi-supervised"

SCORED_FOLDER, SCORED_SPLIT = "tiles-256", "val"


@dataclass(frozen=True, slots=True)
class Case:
    """One training.

    Args:
        percent: Share of the labels that is kept, 1 to 100.
        mode: ``supervised`` or ``semi-supervised``.
        seed: Which labels, first weights and draws.
    """

    percent: int
    mode: str
    seed: int

    @property
    def name(self) -> str:
        """Of its run folder and its file."""
        return f"{self.percent}-{self.mode}-{self.seed}"

    def experiment(self, base: Experiment) -> Experiment:
        """What it trains by."""
        values = base.model_dump(exclude_unset=True) | {
            "name": f"{base.name}-{self.name}",
            "labels_kept": self.percent / 100,
            "labels_seed": self.seed,
            "seed": self.seed,
        }
        if self.mode == SUPERVISED:
            values["unlabelled_weight"] = 0.0
        return experiment_of(values, source=self.name)


def cases(percents: Sequence[int], modes: Sequence[str], seeds: Sequence[int]) -> list[Case]:
    """All of them, in the order in which they run."""
    return [
        Case(percent, mode, seed)
        for seed in seeds
        for percent in percents
        for mode in modes
        if percent < 100 or mode == SUPERVISED
    ]


def run(case: Case, base: Experiment, *, data: Path, runs: Path, threads: int) -> Json:
    """Trains and scores a case.

    Args:
        case: Which.
        base: The common recipe.
        data: Holds the experiment's folders.
        runs: Folder of the run folders.
        threads: Of torch.

    Returns:
        What its file holds.

    Raises:
        SystemExit: The training was stopped; the next call goes on with it.
    """
    experiment, folder = case.experiment(base), runs / case.name
    resumes, clock = (folder / "experiment.json").exists(), process_time()
    done = fit(
        experiment,
        data=data,
        out=folder,
        resume=resumes,
        threads=threads,
        accelerator="cpu",
    )
    if not done.finished:
        raise SystemExit(f"{case.name} was stopped; the same command goes on with it")
    spent = process_time() - clock
    weights, scored_root = folder / "weights" / "last.safetensors", data / SCORED_FOLDER
    scored = evaluate(
        weights,
        scored_root,
        split=SCORED_SPLIT,
        protocol=Protocol(tile_px=experiment.tile_px),
        threshold=0.5,
        runtime="torch",
        threads=threads,
    )
    assert scored.histogram is not None
    assert scored.calibration is not None
    at_best = scored.histogram.counts(
        round(scored.histogram.best_threshold() * scored.histogram.bins)
    )
    uses, lists = training_pairs(experiment, data).uses(), RunFolder(folder).labels
    scores = scored.scores
    return {
        "percent": case.percent,
        "mode": case.mode,
        "seed": case.seed,
        "experiment": experiment.model_dump(exclude_unset=True),
        "labels_used": list(uses.values()).count("used"),
        "labels_there": len(uses),
        "pairs_without_label": sum(use != "used" for use in uses.values())
        if experiment.pairs_without_label
        else 0,
        "lists_sha256": file_hash(lists) if lists.exists() else None,
        "iterations": done.iterations,
        "labelled_draws": done.iterations * experiment.batch,
        "unlabelled_draws": done.iterations * experiment.pairs_without_label,
        "minutes": round(done.minutes, 2),
        # of one process: unknown where the training was continued
        "processor_minutes": None if resumes else round(spent / 60, 2),
        "scored": f"{SCORED_FOLDER}/{SCORED_SPLIT}",
        "how": f"tiles-{experiment.tile_px}, threshold 0.5, averaged weights of the last step",
        "precision": round(scores.precision, 4),
        "recall": round(scores.recall, 4),
        "f1": round(scores.f1, 4),
        "iou": round(scores.iou, 4),
        "f1_interval_95": [round(value, 4) for value in scored.interval()],
        "average_precision": round(scored.calibration.average_precision(), 4),
        "best_f1_of_any_threshold": round(at_best.scores().f1, 4),
        "scored_sha256": hash_of_pairs(list_pairs(scored_root, SCORED_SPLIT)),
        "weights_sha256": file_hash(weights),
        "log": _log(RunFolder(folder).log),
        "machine": machine(),
        "versions": versions(["numpy", "torch", "pytorch-lightning"]),
    }


def _log(path: Path) -> list[Json]:
    """Each row of the log of a training: its losses, and the share of confident pixels."""
    wanted = ("loss", "consistency_loss", "confident_share")
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {
                "iteration": int(row["iteration"]),
                **{name: round(float(row[name]), 4) for name in wanted if name in row},
            }
            for row in csv.DictReader(file)
        ]


def main() -> None:
    """Trains and scores what is missing, case after case."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="for the folders of the runs")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--experiment", type=Path, default=EXPERIMENT)
    parser.add_argument("--shares", type=_numbers, default=[10, 5, 20, 50, 100])
    parser.add_argument("--modes", type=_words, default=[SUPERVISED, SEMI_SUPERVISED])
    parser.add_argument("--seeds", type=_numbers, default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    for case in cases(arguments.shares, arguments.modes, arguments.seeds):
        path = arguments.results / f"{case.name}.json"
        if arguments.only == case.name:
            torch.set_num_threads(arguments.threads)
            values = run(
                case,
                read_experiment(arguments.experiment),
                data=arguments.data,
                runs=arguments.out,
                threads=arguments.threads,
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, (json.dumps(values, indent=1, allow_nan=False) + "\n").encode())
        elif arguments.only is None and not path.exists():
            # a process of its own, so that its memory is its own
            subprocess.run(
                [sys.executable, __file__, *sys.argv[1:], "--only", case.name], check=True
            )
            values = json.loads(path.read_text(encoding="utf-8"))
            print(f"{case.name}: F1 {values['f1']:.4f}, {values['minutes']:.1f} min", flush=True)


def _words(text: str) -> list[str]:
    return text.split(",")


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


if __name__ == "__main__":
    main()
