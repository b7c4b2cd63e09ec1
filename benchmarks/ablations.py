"""One change at a time: short trainings that differ in one setting, scored on LEVIR-CD's validation
folders and on rendered scenes.

    python benchmarks/ablations.py DATA --rendered RENDERED --out RUNS [--seeds 1 2] [--only "pfbs
    normal" ...]

DATA holds tiles-256, scenes-1024 and scenes-512-1m; RENDERED is what scripts/rendered_pairs.py
made. The run of experiments/hanet_lite-ablations.toml itself comes first; each finished run is kept
in RUNS, and a second call continues with what is missing. The result goes to
results/what-helped/ablations.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hanet.evaluation.histogram import ProbabilityHistogram
from hanet.evaluation.protocols import Protocol, predictor_of
from hanet.evaluation.scoring import evaluate
from hanet.provenance import machine, versions
from hanet.synthetic.scene import render_pair
from hanet.training import fit
from hanet.training.experiment import Experiment, read_experiment
from hanet.types import Json
from hanet.weights.engine import Engine
from hanet.weights.weights_file import load_state, load_weights, save_weights

ROOT = Path(__file__).resolve().parents[1]
EXPERIMENT = ROOT / "experiments" / "hanet_lite-ablations.toml"
RESULT = ROOT / "results" / "what-helped" / "ablations.json"

BASE = "as the experiment says"

WITHOUT_AVERAGING = "without EMA"
"""Not a run of its own: the trained weights of the base's last checkpoint."""

CHANGES: dict[str, dict[str, Any]] = {
    BASE: {},
    "without PFBS": {"pfbs": "normal"},
    "without zoom": {"augmentation": "moderate without zoom"},
    "without zoom and photometry": {"augmentation": "official"},
    "stronger augmentation": {"augmentation": "strong"},
    "with copy-paste": {"augmentation": "moderate with copy-paste"},
    "without 1 m scenes": {"data_folders": ["tiles-256", "scenes-1024"]},
    "with rendered pairs": {
        "data_folders": ["tiles-256", "scenes-1024", "scenes-512-1m", "rendered"]
    },
    "parts drawn anywhere": {"foreground_bias": 0.0},
    "not from ImageNet": {"start_from": "nothing"},
    "on Lite2": {"encoder": "lite2"},
    "width 96": {"width": 96},
    "taught by hanet_lite": {"teacher": str(ROOT / "weights" / "hanet_lite.safetensors")},
}
"""Name to what differs from the experiment."""

FOLDERS = ("tiles-256", "scenes-512-1m")
"""Validation folders that score a run: 0.5 m, and 1 m."""

RENDERED_SEEDS = (1, 2, 3, 4)
"""Scenes no training sees; scripts/rendered_pairs.py counts from 1000."""

RENDERED_PX = 512


def main() -> None:
    """Trains and scores what is missing, run after run, and rewrites the table after each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--rendered", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--only", nargs="+", choices=list(CHANGES), default=list(CHANGES))
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    base = read_experiment(EXPERIMENT)
    data = _with_rendered(arguments.data, arguments.rendered, arguments.out / "data")
    for seed in arguments.seeds:
        for name in arguments.only:
            run = arguments.out / f"{name.replace(' ', '-')}-{seed}"
            for row in _rows(
                name,
                base.model_copy(update={**CHANGES[name], "seed": seed}),
                data,
                run,
                arguments.threads,
            ):
                print(json.dumps(row), flush=True)
            _write(arguments.out, base)


def _with_rendered(data: Path, rendered: Path, out: Path) -> Path:
    """A folder of links to the sets of LEVIR-CD and to the rendered pairs."""
    out.mkdir(parents=True, exist_ok=True)
    links = {folder: data / folder for folder in ("tiles-256", "scenes-1024", "scenes-512-1m")}
    for name, target in {**links, "rendered": rendered}.items():
        if not (out / name).exists():
            (out / name).symlink_to(target.resolve(), target_is_directory=True)
    return out


def _rows(name: str, experiment: Experiment, data: Path, run: Path, threads: int) -> Iterator[Json]:
    """The rows of a run: scores of its averaged weights and, for the base, of the trained ones as
    well; kept in the run's folder."""
    kept = run / "rows.json"
    if not kept.exists():
        result = fit(
            Experiment.model_validate(experiment.model_dump()),
            data=data,
            out=run,
            resume=(run / "experiment.json").exists(),
            threads=threads,
            accelerator="cpu",
        )
        common = {"seed": experiment.seed, "minutes": round(result.minutes, 2)}
        averaged = run / "weights" / "last.safetensors"
        rows = [{"run": name, **common, **_scores(averaged, data, threads)}]
        if name == BASE:
            rows.append(
                {
                    "run": WITHOUT_AVERAGING,
                    **common,
                    **_scores(_trained(averaged, run), data, threads),
                }
            )
        kept.write_text(json.dumps(rows), encoding="utf-8")
    yield from json.loads(kept.read_text(encoding="utf-8"))


def _trained(averaged: Path, run: Path) -> Path:
    """A weights file of the trained network itself, from the checkpoint."""
    checkpoint = torch.load(
        run / "checkpoints" / "last.ckpt", map_location="cpu", weights_only=True
    )
    prefix = "network."
    tensors = {
        key.removeprefix(prefix): value
        for key, value in checkpoint["state_dict"].items()
        if key.startswith(prefix)
    }
    network, metadata = load_weights(averaged)
    load_state(network, tensors, source="the checkpoint")
    save_weights(run / "weights" / "trained.safetensors", network, metadata)
    return run / "weights" / "trained.safetensors"


def _scores(weights: Path, data: Path, threads: int) -> Json:
    """F1 at threshold 0.5 and at the folder's best one, and average precision, for each validation
    folder and the rendered scenes."""
    found: Json = {}
    for folder in FOLDERS:
        evaluation = evaluate(
            weights,
            data / folder,
            split="val",
            protocol=Protocol(tile_px=256),
            threshold=0.5,
            precision="bf16",
            threads=threads,
        )
        assert evaluation.histogram is not None
        found[folder] = _summary(evaluation.histogram)
    found["rendered"] = _summary(_rendered_histogram(weights, threads))
    return found


def _rendered_histogram(weights: Path, threads: int) -> ProbabilityHistogram:
    predict, _ = predictor_of(weights, Engine("torch", threads, "bf16"))
    histogram = ProbabilityHistogram()
    for seed in RENDERED_SEEDS:
        before, after, change = render_pair(RENDERED_PX, RENDERED_PX, seed, change_share=0.25)
        histogram.add(predict(before[None], after[None])[0], change)
    return histogram


def _summary(histogram: ProbabilityHistogram) -> Json:
    best = histogram.best_threshold()
    return {
        "f1": round(histogram.counts(histogram.bins // 2).scores().f1, 4),
        "best_f1": round(histogram.counts(round(best * histogram.bins)).scores().f1, 4),
        "best_threshold": best,
    }


def _without_folders(change: dict[str, Any]) -> dict[str, Any]:
    return {key: Path(value).name if key == "teacher" else value for key, value in change.items()}


def _write(out: Path, base: Experiment) -> None:
    """The result over all runs that are finished, in the order of :data:`CHANGES`, then by seed."""
    order = [BASE, WITHOUT_AVERAGING, *(name for name in CHANGES if name != BASE)]
    rows = [
        row
        for path in sorted(out.glob("*/rows.json"))
        for row in json.loads(path.read_text(encoding="utf-8"))
    ]
    rows.sort(key=lambda row: (order.index(row["run"]), row["seed"]))
    result = {
        "what": "short trainings that differ in one setting; F1 on val at 0.5 and at the best "
        "threshold of each folder",
        "command": "python benchmarks/ablations.py DATA --rendered DATA/rendered --out "
        "runs/ablations",
        "experiment": EXPERIMENT.name,
        "iterations": base.iterations,
        "changes": {name: _without_folders(change) for name, change in CHANGES.items()},
        "rendered": f"render_pair({RENDERED_PX}, {RENDERED_PX}, seed) for the seeds "
        f"{', '.join(map(str, RENDERED_SEEDS))}",
        "rows": rows,
        "mean_best_f1": {
            name: {
                folder: round(
                    float(np.mean([row[folder]["best_f1"] for row in rows if row["run"] == name])),
                    4,
                )
                for folder in (*FOLDERS, "rendered")
            }
            for name in dict.fromkeys(row["run"] for row in rows)
        },
        "machine": machine(),
        "versions": versions(["numpy", "torch", "pytorch-lightning"]),
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
