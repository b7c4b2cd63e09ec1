"""Makes the tables of scores in README and docs from results/*.json, between markers, and
docs/reference/results.md.

A marker is ``<!-- table: NAME [ARGUMENT] -->``; the table ends at ``<!-- end of table -->``. Nobody
types a score.

Run: python docs/scripts/tables.py [--check]
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from adaptation_tables import adaptation, adaptation_rungs, little_ground
from few_labels_tables import few_labels
from joplin_tables import joplin, joplin_rungs
from pages import DOCS, ROOT, experiment_files, is_older, table, write_or_check
from training_logs import LOGS, pfbs_runs, read_log, stages

from hanet.datasets.published import KNOWN_DATASETS
from hanet.weights.catalogue import read_metadata

MARKED = re.compile(r"(<!-- table: (\S+)(?: (\S+))? -->\n).*?(<!-- end of table -->)", re.DOTALL)

HEADER = [
    "method",
    "data",
    "split",
    "protocol",
    "precision",
    "recall",
    "F1",
    "IoU",
    "share of training data",
    "PFBS",
    "crop",
    "schedule",
    "memory",
    "config",
    "download",
]
"""Columns of the table of published rows and ours."""

PUBLISHED = (
    ["HANet, paper (table I)", "LEVIR-CD", "test", "tiles-256", "91.21", "89.36", "90.28", "82.27", "100 %", "fixed-15", "256x256", "100 epochs", "not stated", "hanet-levir-paper-fixed-15", "by the authors"],
    ["HANet, paper (table I)", "WHU-CD, the paper's split", "test", "tiles-256", "88.30", "88.01", "88.16", "78.82", "100 %", "fixed-25", "256x256", "100 epochs", "not stated", "hanet-whu-paper-fixed-25", "by the authors"],
    ["HANet, Open-CD", "LEVIR-CD", "test", "whole", "91.73", "90.06", "90.89", "83.29", "100 %", "normal", "256x256", "40,000 iterations", "not stated", "hanet-levir-open-cd", "by Open-CD"],
)  # fmt: skip
"""Rows that others published on test splits: Han et al. 2023, table I, and Open-CD's page of
HANet."""

GFLOP_A_PAIR = 2 * 20.67
"""Work of one plain forward pass of HANet on a pair of 256x256, multiply and add counted apart
(measured on the graph)."""

TRAINING_FACTOR = 3
"""Forward and backward pass against forward alone: the usual count, gradients of weights and of
inputs costing one forward each."""

SUSTAINED_TFLOPS = (3, 6)
"""What one current GPU might sustain in fp32 on this network: a guess, a tenth to a fifth of a peak
of 30 TFLOP/s."""

CPU_PAIRS_A_SECOND = 1.0
"""Training, batch 8, two cores of a server, as measured for this project (8.0 s a step)."""


def results(pattern: str = "*.json") -> dict[str, dict[str, Any]]:
    """Each file of scores in results/ that fits a pattern: its path there to its content,
    sorted."""
    folder = ROOT / "results"
    paths = sorted(folder.glob(pattern), key=lambda path: path.relative_to(folder).parts)
    read = {
        path.relative_to(folder).as_posix(): json.loads(path.read_text(encoding="utf-8"))
        for path in paths
    }
    scored = {"scores", "protocol", "split"}
    return {
        name: result
        for name, result in read.items()
        if isinstance(result, dict) and scored <= result.keys()
    }


def scores(page: Path, weights: str) -> str:
    """Scores of one set of weights."""
    rows = [
        [
            f"{result['data']}/{result['split']}",
            _protocol(result),
            *_four(result, bold=True),
            _link(page, f"results/{name}"),
        ]
        for name, result in results().items()
        if result.get("weights") == weights
    ]
    return table(
        ["data", "protocol", "precision", "recall", "F1 (95 % interval)", "IoU", "file"], rows
    )


def _four(result: dict[str, Any], *, bold: bool) -> list[str]:
    precision, recall, f1, iou = (
        f"{100 * result['scores'][key]:.2f}" for key in ("precision", "recall", "f1", "iou")
    )
    low, high = (f"{100 * value:.1f}" for value in result["f1_interval_95"])
    return [precision, recall, f"**{f1}** ({low}-{high})" if bold else f1, iou]


def _protocol(result: dict[str, Any]) -> str:
    lower = result.get("precision", "fp32") != "fp32"
    engine = f", {result['precision']} by {result['runtime']}" if lower else ""
    return str(result["protocol"]) + (", four flips" if result.get("flips") else "") + engine


def _weights(result: dict[str, Any]) -> str:
    if "weights" not in result:
        return "masks"
    older = ", older ones" if is_older(result["weights_file"], result["weights_sha256"]) else ""
    return f"{result['weights']} ({result['weights_file']}{older})"


def _link(page: Path, target: str) -> str:
    path = os.path.relpath(ROOT / target, page.parent).replace(os.sep, "/")
    return f"[{Path(target).name}]({path})"


def published_and_ours(page: Path, model: str) -> str:
    """The published rows of a network, and every result of weights of ours of this network."""
    config = HEADER.index("config")
    rows = [[*row[:config], _config(page, row[config]), *row[config + 1 :]] for row in PUBLISHED]
    for name, result in results().items():
        if result.get("model") == model:
            rows.append(_our_row(page, name, result))
    return table(HEADER, rows)


def _our_row(page: Path, name: str, result: dict[str, Any]) -> list[str]:
    files = [
        ROOT / "weights" / f"{result['weights']}.safetensors",
        ROOT / "src/hanet/weights/shipped" / f"{result['weights']}.onnx",
    ]
    file = next((path for path in files if path.is_file()), None)
    stages = _stages(result["weights"])
    sides = {values.get("crop_px", values.get("tile_px", 256)) for values in stages.values()}
    return [
        f"ours, {_link(page, f'results/{name}')}",
        result["data"],
        result["split"],
        _protocol(result),
        *_four(result, bold=False),
        read_metadata(file).training_data if file else "see the weights' card",
        ", then ".join(values.get("pfbs", "normal") for values in stages.values()) or "-",
        ", ".join(f"{side}x{side}" for side in sorted(sides)) or "-",
        ", then ".join(_length(stem, values) for stem, values in stages.items()) or "-",
        _peak_memory(stages),
        ", ".join(_config(page, stem) for stem in stages) or "-",
        f"`{file.relative_to(ROOT).as_posix()}`" if file else "-",
    ]


def _stages(weights: str) -> dict[str, dict[str, Any]]:
    """The experiments that made a set of weights (they name it inside, and left a log); stages of
    one training in order."""
    read = {
        path.stem: tomllib.loads(path.read_text(encoding="utf-8"))
        for path in experiment_files()
        if (LOGS / f"{path.stem}.csv").is_file()
    }
    return {stem: values for stem, values in sorted(read.items()) if values["name"] == weights}


def _peak_memory(stages: Iterable[str]) -> str:
    """Largest memory of a process over the stages of a training, from their logs."""
    peaks = [row["peak_memory_mb"] for stage in stages for row in read_log(LOGS / f"{stage}.csv")]
    return f"{max(peaks):,.0f} MB" if peaks else "not measured"


def _length(stem: str, values: dict[str, Any]) -> str:
    """How long an experiment is, and how far its run got where that is less."""
    if "epochs" in values:
        return f"{values['epochs']} epochs"
    done = int(read_log(LOGS / f"{stem}.csv")[-1]["iteration"])
    return (
        f"{done:,} of " if done < values["iterations"] else ""
    ) + f"{values['iterations']:,} iterations"


def _config(page: Path, name: str) -> str:
    path = next(path for path in experiment_files() if path.stem == name)
    return _link(page, path.relative_to(ROOT).as_posix())


def training_curve(page: Path, weights: str) -> str:
    """The picture of a training's curves, where there are logs of it."""
    parts = stages(weights)
    if not parts:
        return "No training of ours yet.\n"
    first, last = parts[0][0], parts[-1][-1]
    shown = (
        f"Validation F1 of {weights} goes from {first['f1']:.3f} to {last['f1']:.3f}, the "
        f"loss from {first['loss']:.2f} to {last['loss']:.2f}"
    )
    return f"![{shown}]({os.path.relpath(DOCS / 'images', page.parent).replace(os.sep, '/')}/training-{weights}.svg)\n"


def pfbs(page: Path, _: str) -> str:
    """Each schedule's F1 as it trained and at the end, its mean and its range over the seeds."""
    runs = pfbs_runs()
    steps = [f"{row['iteration']:.0f}" for row in next(iter(next(iter(runs.values())).values()))]
    rows = []
    for schedule, of_schedule in runs.items():
        ends = [results(f"what-helped/pfbs/{schedule}-{seed}.json") for seed in of_schedule]
        files = [result for end in ends for result in end.values()]
        links = [_link(page, f"results/{name}") for end in ends for name in end]
        curves = zip(*([row["f1"] for row in log] for log in of_schedule.values()), strict=True)
        best = [result["sweep"]["best_scores"]["f1"] for result in files]
        precision = [result["average_precision"] for result in files]
        rows.append([
            schedule, *(_mean_and_range(values) for values in curves), _mean_and_range(best), _mean_and_range(precision), ", ".join(links),
        ])  # fmt: skip
    header = [
        "schedule",
        *(f"F1 after {step} steps" for step in steps),
        "at the best threshold",
        "average precision",
    ]
    return table([*header, "files"], rows)


def _mean_and_range(values: Sequence[float]) -> str:
    spread = f" ({min(values):.3f}-{max(values):.3f})" if len(values) > 1 else ""
    return f"{mean(values):.3f}{spread}"


def ablations(_page: Path, _: str) -> str:
    """Each change's F1 at the best threshold, mean and range over the seeds, and the difference
    from the same seeds of the base."""
    rows = json.loads(
        (ROOT / "results" / "what-helped" / "ablations.json").read_text(encoding="utf-8")
    )["rows"]
    folders = {
        "tiles-256": "tiles-256/val",
        "scenes-512-1m": "scenes-512-1m/val",
        "rendered": "rendered",
    }
    runs: dict[str, dict[int, dict[str, float]]] = {}
    for row in rows:
        runs.setdefault(row["run"], {})[row["seed"]] = {
            folder: row[folder]["best_f1"] for folder in folders
        }
    base = next(iter(runs.values()))
    cells = []
    for name, seeds in runs.items():
        gain = mean(scores["tiles-256"] - base[seed]["tiles-256"] for seed, scores in seeds.items())
        shown = [
            _mean_and_range([scores[folder] for scores in seeds.values()]) for folder in folders
        ]
        cells.append(
            [
                name,
                str(len(seeds)),
                shown[0],
                "" if seeds is base else f"{100 * gain:+.1f}",
                *shown[1:],
            ]
        )
    return table(
        ["run", "seeds", "tiles-256/val", "difference, points", *list(folders.values())[1:]], cells
    )


def training_cost(page: Path, model: str) -> str:
    """What the experiments on whole data sets cost, estimated from the work of a pair."""
    rows = []
    for path in sorted((ROOT / "experiments").glob(f"{model}-*.toml")):
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        known = KNOWN_DATASETS.get(values.get("dataset", "").lower())
        if known is None or values.get("data_folders", ["."]) != ["."]:
            continue
        epochs = values.get("epochs")
        pairs = epochs * known.tiles["train"] if epochs else values["iterations"] * values["batch"]
        work = pairs * GFLOP_A_PAIR * TRAINING_FACTOR * 1e9
        hours = [work / (speed * 1e12) / 3600 for speed in reversed(SUSTAINED_TFLOPS)]
        rows.append([
            _config(page, path.stem), values["dataset"], f"{pairs:,}", f"{work / 1e15:.0f}",
            f"{hours[0]:.1f} to {hours[1]:.1f}", f"{pairs / CPU_PAIRS_A_SECOND / 86400:.1f}",
        ])  # fmt: skip
    return table(
        [
            "experiment",
            "data",
            "pairs seen",
            "PFLOP",
            "hours, one GPU (estimate)",
            "days, two CPU cores",
        ],
        rows,
    )


def elsewhere(page: Path, _: str) -> str:
    """Each file of results/elsewhere that has all sets: F1 and recall of a set a column, F1
    first."""
    folder = ROOT / "results" / "elsewhere"
    read = {
        path.name: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("*.json"))
    }
    whole = {name: result for name, result in read.items() if "means" in result}
    if not whole:
        return ""
    files = [_link(page, f"results/elsewhere/{name}") for name in whole]
    rows = []
    for name in ["tiles-256/val", *next(iter(whole.values()))["sets"]]:
        entries = [result["sets"].get(name, result["home"]) for result in whole.values()]
        rows.append(
            [name, *(_f1_and_recall(entry["scores"], entry["f1_interval_95"]) for entry in entries)]
        )
    of_all = [result["means"] for result in whole.values()]
    rows.append(["mean of the six that choose", *(_f1_and_recall(values) for values in of_all)])
    return table(["F1 (95 % interval), recall", *files], rows)


THRESHOLD_COLUMNS = {
    "tiles-256/val": "home",
    "mean": "mean elsewhere",
    "france": "France",
    "suburbs-planted": "suburbs, planted",
    "nyc-xor": "New York",
}
"""Columns of the table of thresholds: a name in the file, and what a reader calls it."""


def thresholds(page: Path, weights: str) -> str:
    """F1 and recall at other thresholds than the stored one."""
    file = f"results/thresholds-{weights}.json"
    result = json.loads((ROOT / file).read_text(encoding="utf-8"))
    curves = [result["curves"][name] for name in THRESHOLD_COLUMNS]
    rows = [
        [f"{points[0]['threshold']:g}", *(_f1_and_recall(point) for point in points)]
        for points in zip(*curves, strict=True)
    ]
    source = f"\nFrom {_link(page, file)};\nthe stored threshold is {result['threshold']:.3f}.\n"
    return table(["threshold", *THRESHOLD_COLUMNS.values()], rows) + source


def _f1_and_recall(scores: dict[str, float], interval: Sequence[float] = ()) -> str:
    shown = f" ({100 * interval[0]:.1f}-{100 * interval[1]:.1f})" if interval else ""
    return f"**{100 * scores['f1']:.2f}**{shown}, {100 * scores['recall']:.2f}"


IN_SHORT = {
    "home": "towns in Texas (home)",
    "mean": "six other sets, on average",
    "france": "France, 15 real pairs",
    "nyc-xor": "New York, 18 made pairs",
}
"""Lines of the table in README and on the cards: a name in results/elsewhere, and what a reader calls it."""


def in_short(page: Path, weights: str) -> str:
    """Scores at home and elsewhere in four lines."""
    file = f"results/elsewhere/{weights}.json"
    result = json.loads((ROOT / file).read_text(encoding="utf-8"))
    mean_of_all = {"scores": result["means"], "f1_interval_95": ()}
    entries = {"home": result["home"], "mean": mean_of_all, **result["sets"]}
    rows = []
    for name, meaning in IN_SHORT.items():
        scores, interval = entries[name]["scores"], entries[name]["f1_interval_95"]
        shown = f" ({100 * interval[0]:.0f}-{100 * interval[1]:.0f})" if interval else ""
        precision, recall, f1 = (
            f"{100 * scores[key]:.1f}" for key in ("precision", "recall", "f1")
        )
        rows.append([meaning, precision, recall, f"**{f1}**{shown}"])
    source = f"\nFrom {_link(page, file)}, counts over whole sets.\n"
    return table(["where", "precision", "recall", "F1 (95 % interval)"], rows) + source


def results_page() -> str:
    """Every file of scores, on one page."""
    page = DOCS / "reference" / "results.md"
    rows = [
        [_weights(result), f"{result['data']}/{result['split']}", str(result["images"]), _protocol(result), *_four(result, bold=True), f"{100 * result['objects']['f1']:.1f}", _link(page, f"results/{name}")]
        for name, result in results("**/*.json").items()
    ]  # fmt: skip
    header = [
        "weights",
        "data",
        "images",
        "protocol",
        "precision",
        "recall",
        "F1 (95 % interval)",
        "IoU",
        "footprints F1",
        "file",
    ]
    return (
        "# Results\n\n"
        "Every score that the project publishes, with the file that `hanet evaluate` wrote: "
        "counts, threshold, hashes of data and weights, versions. "
        "Per cent, change class, counts summed over the split; the interval is a bootstrap over "
        "images. "
        "Learning curves of our trainings are in `results/training/`.\n\n"
        + table(header, rows)
        + "\n<!-- Made by docs/scripts/tables.py from results/; run: make pages -->\n"
    )


TABLES: dict[str, Callable[[Path, str], str]] = {
    "scores": scores,
    "published-and-ours": published_and_ours,
    "pfbs": pfbs,
    "ablations": ablations,
    "training-cost": training_cost,
    "training-curve": training_curve,
    "elsewhere": elsewhere,
    "in-short": in_short,
    "thresholds": thresholds,
    "adaptation": adaptation,
    "adaptation-rungs": adaptation_rungs,
    "little-ground": little_ground,
    "few-labels": few_labels,
    "joplin": joplin,
    "joplin-rungs": joplin_rungs,
}
"""Names that a marker may give."""


def with_tables(page: Path) -> str:
    """The text of a page with its marked tables regenerated."""

    def made(match: re.Match[str]) -> str:
        return f"{match[1]}\n{TABLES[match[2]](page, match[3] or '')}\n{match[4]}"

    return MARKED.sub(made, page.read_text(encoding="utf-8"))


def main() -> None:
    """Writes or checks all pages with tables."""
    pages = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
    texts = {
        page: with_tables(page) for page in pages if MARKED.search(page.read_text(encoding="utf-8"))
    }
    write_or_check(
        {**texts, DOCS / "reference" / "results.md": results_page()}, command="make pages"
    )


if __name__ == "__main__":
    main()
