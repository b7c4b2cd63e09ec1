"""Makes docs/benchmarks.md from results/benchmarks/*.json, which ``hanet bench`` wrote. Nobody
types a figure.

Run: python docs/scripts/benchmarks.py [--check]
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

from pages import DOCS, ROOT, is_older, table, write_or_check

RESULTS = ROOT / "results" / "benchmarks"

NETWORKS = RESULTS / "networks.json"

SCALING = ROOT / "results" / "scaling" / "scaling.json"

TITLES = {
    "inference": "One pair: seconds and share of the machine",
    "training": "A step of training",
    "detect": "From files to footprints",
}

NOTES = {
    "inference": "Subjects run in turn in one process, and the median counts. The plain network "
    "is `tests/support/plain_hanet.py` in eager torch with default settings; `hanet` is the "
    "same function, rewritten (`hanet.models.fusion.fuse`); both have random weights. Share of "
    "the limit: multiplications and additions of the rewritten network a second, against "
    "those of a 3x3 "
    "convolution of 64 channels in the same precision. Memory: the peak of a fresh "
    "process above what was resident before the run.",
    "training": "Forward pass, hybrid loss, backward pass and Adam; `hanet` gives the outputs "
    'and gradients of the plain network. bf16: `precision = "bf16"` of an experiment; '
    "memory kept: `hanet train --keep-memory`.",
    "detect": "A rendered pair, files to footprints, compared with inference alone over as many "
    "tiles in the same process; times as fast is the share of inference's own speed that "
    "the whole reaches.",
}

BUSY = 0.5
"""Load of the machine before a benchmark above which its seconds are called too long."""

COLUMNS = (
    ("subject", "subject", ""),
    ("side", "size_px", ""),
    ("tiles", "tiles", ""),
    ("seconds", "seconds", ".3f"),
    ("megapixels a second", "megapixels_per_s", ".3f"),
    ("km² a minute at 0.5 m", "km2_per_minute", ".2f"),
    ("times as fast", "times_as_fast", ".2f"),
    ("GFLOP/s", "gflop_per_s", ".0f"),
    ("share of the limit", "share_of_limit", ".0%"),
    ("peak MB", "peak_memory_mb", ".0f"),
)
"""Heading, key of a row, and format."""


COMMANDS = "\n".join(
    f"hanet bench {arguments} --json results/benchmarks/{arguments.split()[0]}.json"
    for arguments in (
        "inference --plain tests/support/plain_hanet.py",
        "training --plain tests/support/plain_hanet.py --sizes 256 --rounds 2",
        "detect",
    )
)
"""What makes the files."""


COMPILED = """## torch.compile

Not used for training: `timeout 240 python benchmarks/compile_training.py` (`hanet_lite`, batch 8, 128 px, fp32, torch 2.13) had not finished its first compiled step after 240 seconds
on a core shared with two trainings (2026-11-25); nor had `hanet` (two pairs of 128 px) within half an hour at a small share of a busy core (2026-11-27). So there is no figure for what it
would gain afterwards.
"""


def page() -> str:
    """The whole page."""
    parts = [
        "# Speed and memory\n",
        "Made from the files of `results/benchmarks/`, which `hanet bench` wrote, by `make "
        "pages`. In a checkout, on a machine that does nothing else (two cores: about a "
        "minute and a half, two and a half, and one):\n",
        f"```sh\n{COMMANDS}\n```\n",
    ]
    for name, title in TITLES.items():
        path = RESULTS / f"{name}.json"
        if path.is_file():
            parts.append(
                section(title, NOTES[name], json.loads(path.read_text(encoding="utf-8")), path.name)
            )
    if NETWORKS.is_file():
        parts.append(networks(json.loads(NETWORKS.read_text(encoding="utf-8"))))
    parts.append(pipelines(sorted(RESULTS.glob("pipeline-*.json"))))
    parts += [precisions(path) for path in sorted(RESULTS.glob("precision-*.json"))]
    if SCALING.is_file():
        parts.append(scaling(json.loads(SCALING.read_text(encoding="utf-8"))))
    parts.append(COMPILED)
    return "\n".join(parts)


def networks(result: dict[str, Any]) -> str:
    """What a pair costs by each network, side by side."""
    heads = ["network", "parameters", "GMAC"]
    for runtime in ("ONNX Runtime", "torch"):
        heads += [f"s, {runtime}", "processor s", "MB"]
    rows = [
        [
            row["network"],
            f"{row['parameters']:,}",
            f"{row['gmac']:.1f}",
            *(
                format(row[runtime][key], form)
                for runtime in ("onnxruntime", "torch")
                for key, form in (
                    ("seconds", ".3f"),
                    ("processor_seconds", ".3f"),
                    ("peak_memory_mb", ".0f"),
                )
            ),
        ]
        for row in result["rows"]
    ]
    before, after = result["load_before_and_after"]
    busy = (
        f" **The machine was busy with other work** (load {before:g} at the start, {after:g} at "
        "the end): seconds are too long, and compare only roughly."
        if before > BUSY
        else ""
    )
    side, versions = result["size_px"], result["versions"]
    return (
        "## Every network\n\n"
        f"`{NETWORKS.name}`, by `{result['command']}`: one pair of {side} x {side} pixels on "
        f"{result['threads']} threads of {result['machine']['processor']}, torch "
        f"{versions['torch']}, ONNX Runtime {versions['onnxruntime']}; all in turn, median of "
        f"{result['rounds']} rounds. GMAC: thousand million multiply-adds, counted on the form that "
        "is run, attention too. Tables in papers differ where they count layers only, or a "
        "transposed convolution once for each of its outputs. MB: what a fresh process takes for weights, runtime and the pair."
        f"{busy}\n\n{table(heads, rows)}"
    )


def scaling(result: dict[str, Any]) -> str:
    """What a cluster costs: measured on one and two workers, simulated for a thousand."""
    measured, costs, simulated = result["measured"], result["costs"], result["simulation"]
    megapixels = measured["size_px"] ** 2 / 1e6
    rows = []
    for row in measured["rows"]:
        shards = row.get("shard_processor_seconds")
        rows.append([
            f"{row['workers']} worker{'s' if row['workers'] > 1 else ''}" if row["workers"] else "no cluster",
            f"{row['seconds']:.1f}", str(row["tiles_inferred"]),
            f"{sum(shards) / megapixels:.2f}" if shards else f"{row['processor_seconds'] / megapixels:.2f}",
            f"{row['plan_seconds']:.1f}" if shards else "", f"{row['merge_processor_seconds']:.1f}" if shards else "",
            f"{row['idle_share']:.0%}" if shards else "",
        ])  # fmt: skip
    heads = [
        "run",
        "seconds",
        "tiles inferred",
        "processor seconds a megapixel",
        "s, plan",
        "processor s, merge",
        "waiting",
    ]
    prices = simulated["prices"]
    areas = [
        [
            f"{row['pairs']:,}", f"{row['workers']:,}", f"{row['hours']:,.1f}", f"{row['busy']:.0%}", f"{row['shares']['merge']:.1%}",
            f"{abs(row['shares']['idle']):.1%}", f"{row['shares']['hand out'] + row['shares']['open'] + row['shares']['plan'] + row['shares']['start']:.2%}",
            f"{row['money_per_1000_km2']:,.2f}",
        ]
        for row in simulated["rows"]
    ]  # fmt: skip
    kinds = [
        "plans",
        "workers",
        "hours",
        "computing",
        "merging",
        "idle",
        "the rest",
        "US$ a 1,000 km²",
    ]
    return (
        "## Many machines\n\n"
        f"`python benchmarks/scaling.py FOLDER`: a rendered pair of {measured['size_px']} x {measured['size_px']} pixels in {measured['shards']} shards, "
        f"on {result['machine']['processor']}, one thread a worker. Processor seconds hold "
        "everything without a cluster, and the shards alone with one. Each shard infers a rim of tiles again: much of such small shards. The bytes were compared and are the "
        "same.\n\n"
        f"{table(heads, rows)}\n"
        f"A task costs {1000 * costs['task']:.0f} ms between the command and a worker (median of {measured['empty_task']['tasks']} empty ones), opening a pair "
        f"{costs['open']:.2f} s a worker, a merge {1e6 * costs['merge_pixel']:.2f} s a megapixel; the times of shards scatter by {costs['scatter']:.0%}.\n\n"
        f"**Simulated from these costs, not measured**: {simulated['km2']:,.0f} km² at {simulated['gsd_m']} m ({simulated['km2'] / simulated['gsd_m'] ** 2:,.0f} "
        f"megapixels) in shards of {simulated['shard_px'] / 1e6:.0f} megapixels (with the rim that such shards have), as one plan, and as a list of pairs of 100 km². A worker is one virtual CPU at "
        f"US$ {prices['cpu_hour']:g} an hour, busy or not; reading costs US$ {prices['gb_read']:g} a GB (`--cpu-hour`, `--gb-read`; `--again` simulates "
        "once more). Workers of the same speed, no losses, a store that is fast enough for all.\n\n"
        f"{table(kinds, areas)}\n"
        "A merge runs on one worker: of one plan for a whole country it takes longer than everything else, and all others wait. A list of pairs shares the "
        "merges out, and the layer of all costs some hundredths of a second a pair: cut a country into a list.\n"
    )


def pipelines(paths: list[Path]) -> str:
    """What detection of large rasters costs compared with inference alone, and where its time
    goes."""
    rows, commands = [], []
    for path in paths:
        result = json.loads(path.read_text(encoding="utf-8"))
        weights, size = path.stem.removeprefix("pipeline-").rsplit("-", 1)
        stages = [timing["seconds"] for timing in result["timings"]]
        middle = {stage: median(run[stage] for run in stages) for stage in stages[0]}
        share, speed = result["share_of_inference_speed"], result["megapixels_per_s"]
        rows.append([
            weights, size, f"{speed['detect']:.2f}", f"{speed['inference alone']:.2f}", f"{share['wall']:.0%}", f"{share['processor']:.0%}",
            *(f"{seconds:.1f}" for seconds in middle.values()),
        ])  # fmt: skip
        commands.append(f"`{path.name}`, by `{result['command']}`")
    heads = [
        "weights",
        "side",
        "Mpx/s, detect",
        "Mpx/s, inference alone",
        "share, wall time",
        "share, processor time",
    ]
    return (
        "## Large rasters\n\n"
        "`hanet detect` of a rendered pair, files to footprints and report, compared with "
        "inference alone over the same tiles in the same process; medians of turns on two cores. "
        "The last columns are where the seconds of a detection go, stage by stage. "
        f"{'; '.join(commands)}.\n\n"
        f"{table([*heads, *(f's, {stage}' for stage in middle)], rows)}"
    )


def precisions(path: Path) -> str:
    """F1 and processor time of weights by each runtime and precision."""
    result = json.loads(path.read_text(encoding="utf-8"))
    columns = (
        ("runtime", "runtime", ""),
        ("precision", "precision", ""),
        ("F1", "f1", ".4f"),
        ("mean difference of probability", "mean_difference", ".5f"),
        ("share of the mask that moved", "changed_mask_share", ".3%"),
        ("processor ms a pair", "processor_ms_per_pair", ".1f"),
        ("times as fast", "times_as_fast", ".2f"),
    )
    rows = [[format(row[key], form) for _, key, form in columns] for row in result["rows"]]
    weights = result["weights"]
    older = (
        ", with older weights than the shipped ones"
        if is_older(f"{weights['name']}.onnx", weights["sha256"])
        else ""
    )
    return (
        f"## {weights['name']} in bfloat16 and in integers\n\n"
        f"`{path.name}`, by `{result['command']}`: {result['split']}, {result['pairs']} pairs, "
        "each run by all of them in turn, one thread of a busy "
        f"{result['machine']['processor']}{older}; "
        "differences and speed against the first row, threshold unchanged. `hanet detect` "
        "offers what costs less than 0.002 of F1; int8 is left to `hanet export`, which "
        "judges each file.\n\n"
        f"{table([heading for heading, _, _ in columns], rows)}"
    )


def section(title: str, note: str, result: dict[str, Any], file: str) -> str:
    """One benchmark."""
    columns = [column for column in COLUMNS if any(column[1] in row for row in result["rows"])]
    rows = [
        [format(row[key], form) if key in row else "-" for _, key, form in columns]
        for row in result["rows"]
    ]
    machine, limits = result["machine"], result["limits"]
    batch = f", batch {result['batch']}" if "batch" in result else ""
    bf16 = limits.get("convolution_bf16_gflop_per_s")
    half = f" (in bf16 {bf16:.0f})" if bf16 else ""
    facts = (
        f"`{file}`: {machine['processor']}, {result['threads']} threads{batch}, "
        f"{result['rounds']} rounds; torch {result['versions']['torch']}, ONNX Runtime "
        f"{result['versions']['onnxruntime']}. Limits of the machine in the same run: matrix "
        f"product {limits['matrix_product_gflop_per_s']:.0f} GFLOP/s, convolution "
        f"{limits['convolution_gflop_per_s']:.0f} GFLOP/s{half}, copy "
        f"{limits['copy_gb_per_s']:.1f} GB/s."
    )
    return (
        f"## {title}\n\n{note}\n\n{facts}\n\n{table([heading for heading, _, _ in columns], rows)}"
    )


if __name__ == "__main__":
    write_or_check({DOCS / "benchmarks.md": page()}, command="make pages")
