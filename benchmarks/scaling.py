"""How a detection scales over workers: measured here on one and two, and simulated from what was
measured for a thousand.

    python benchmarks/scaling.py FOLDER [--size 4096] [--shards 16] [--out results/scaling/...json]
    python benchmarks/scaling.py --again results/scaling/scaling.json

FOLDER gets a rendered pair and the results. Measured are: one process without a cluster; one and
two Dask workers of one thread each; what handing out an empty task costs; what the merge costs a
megapixel. The simulation is a queue of events: a coordinator that hands out one task after
another, workers that start, open the pair and compute shards of scattered length, and a merge.
``--again`` simulates once more from the measurements of a file, for other prices.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import shutil
import statistics
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

from hanet.cluster import tasks
from hanet.cluster.work import Outcome, PairWork, Task
from hanet.cluster.workers import Workers
from hanet.detection.cutting import cut
from hanet.detection.job import detect
from hanet.detection.tiling import TilePlan
from hanet.provenance import machine, versions
from hanet.synthetic.scene import render_scene
from hanet.weights import catalogue

ROOT = Path(__file__).resolve().parents[1]
KM2, GSD_M = 100_000.0, 0.5
"""The area of the simulation, and its pixels."""

WORKERS = (1, 10, 100, 300, 1000)
EMPTY_TASKS = 200

PAIR_PX = 20_000
"""Side of a pair of 100 km²."""


@dataclass(frozen=True, slots=True)
class Prices:
    """What is paid for.

    Args:
        cpu_hour: A worker of one virtual CPU and 2 GB, an hour.
        gb_read: A gigabyte of images read from a store; 0 within one region.
    """

    cpu_hour: float
    gb_read: float


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds that were measured, of one worker with one thread; of shards and merge those of the
    processor, which other work on the machine changes little.

    Args:
        start: A worker process from its start to its first task.
        open: Opening and checking a pair, loading the weights: once a worker and pair.
        pixel: A pixel of a shard, its halo included.
        scatter: Standard deviation of the time of a shard over its mean.
        task: Handing out a task and hearing of its end.
        plan: Making a plan.
        merge_pixel: A pixel of the merge: gathering, rasters, footprints, report.
    """

    start: float
    open: float
    pixel: float
    scatter: float
    task: float
    plan: float
    merge_pixel: float


def empty(_: PairWork) -> Outcome:
    """A task that does nothing."""
    return Outcome()


def measure(folder: Path, *, size: int, shards: int) -> dict[str, Any]:
    """One process, then one and two workers, on one pair."""
    scene = render_scene(folder / "scene", size=size, seed=1, overwrite=True)
    rows = []
    one = folder / "one"
    begun, processor = perf_counter(), process_time()
    detect(scene.before, scene.after, out=one, threads=1, overwrite=True)
    rows.append(
        {
            "workers": 0,
            "seconds": perf_counter() - begun,
            "processor_seconds": process_time() - processor,
            **_stages(one),
        }
    )
    for count in (1, 2):
        out = folder / f"cluster-{count}"
        shutil.rmtree(out, ignore_errors=True)
        work = PairWork(
            str(scene.before), str(scene.after), out, catalogue.DEFAULT, {}, False, False, shards, 1
        )
        rows.append(_on_cluster(work, count))
        for name in ("probability.tif", "mask.tif", "footprints.gpkg"):
            assert (out / name).read_bytes() == (one / name).read_bytes(), name
    return {"size_px": size, "shards": shards, "rows": rows, "empty_task": _empty_tasks(folder)}


def _on_cluster(work: PairWork, count: int) -> dict[str, Any]:
    """The seconds of each task, and of everything between them."""
    begun = perf_counter()
    ended: dict[str, list[Outcome]] = {"begin": [], "shard": [], "merge": []}
    marks = {}
    waiting = deque([Task("begin", tasks.begin, (work,), 0)])
    with Workers(f"local:{count}", forget=tasks.forget) as workers:
        workers.client.wait_for_workers(count)
        marks["started"] = perf_counter() - begun
        for task, outcome in workers.outcomes(lambda: waiting.popleft() if waiting else None):
            if outcome.error:
                raise SystemExit(outcome.error)
            ended[task.kind].append(outcome)
            if task.kind == "begin":
                marks["planned"] = perf_counter() - begun
                waiting.extend(Task("shard", tasks.run, (work, i), 0) for i in outcome.to_run)
            elif task.kind == "shard" and len(ended["shard"]) == len(ended["begin"][0].to_run):
                marks["computed"] = perf_counter() - begun
                waiting.append(Task("merge", tasks.finish, (work,), 0))
        marks["merged"] = perf_counter() - begun
    computed = [outcome.processor for outcome in ended["shard"]]
    busy = sum(outcome.seconds for outcome in ended["shard"])
    wall = marks["computed"] - marks["planned"]
    return {
        "workers": count,
        "seconds": marks["merged"] - marks["started"],
        "start_seconds": marks["started"],
        "plan_seconds": ended["begin"][0].seconds,
        "shards_seconds": wall,
        "merge_seconds": ended["merge"][0].seconds,
        "shard_processor_seconds": computed,
        "merge_processor_seconds": ended["merge"][0].processor,
        "open_seconds": max(outcome.opened for outcome in ended["shard"]),
        "idle_share": 1 - busy / (wall * count),
        **_stages(work.out),
    }


def _empty_tasks(folder: Path) -> dict[str, float]:
    """Seconds of a task that does nothing, of one worker that is given one after another."""
    work = PairWork("", "", folder, "", {}, False, False)
    left = iter(range(EMPTY_TASKS))
    with Workers("local:1", forget=tasks.forget) as workers:
        workers.client.wait_for_workers(1)

        def take() -> Task | None:
            return None if next(left, None) is None else Task("empty", empty, (work,), 0)

        marks = [perf_counter()]
        marks += [perf_counter() for _ in workers.outcomes(take)]
    seconds = np.diff(marks)
    return {
        "tasks": EMPTY_TASKS,
        "median": float(np.median(seconds)),
        "mean": float(seconds.mean()),
    }


def _stages(out: Path) -> dict[str, Any]:
    manifest = json.loads((out / "run.json").read_text(encoding="utf-8"))
    timings, tiles = manifest["timings"], manifest["tiles"]
    return {
        "stages": timings["seconds"],
        "tiles_inferred": timings["tiles_inferred"],
        "tile_px": tiles["tile_px"],
        "overlap_px": tiles["overlap_px"],
    }


def costs_of(measured: dict[str, Any], shard_px: int) -> Costs:
    """What the simulation needs, of the run on one worker. A pixel costs what a tile costs, for all
    tiles that shards of so many pixels infer, their halo included: that of the small shards that
    were measured is larger."""
    (row,) = [row for row in measured["rows"] if row["workers"] == 1]
    pixels = measured["size_px"] ** 2
    seconds = row["shard_processor_seconds"]
    return Costs(
        start=row["start_seconds"],
        open=row["open_seconds"],
        pixel=sum(seconds) / row["tiles_inferred"] * _tiles_a_pixel(row, shard_px),
        scatter=statistics.pstdev(seconds) / statistics.mean(seconds),
        task=measured["empty_task"]["median"],
        plan=row["plan_seconds"],
        merge_pixel=row["merge_processor_seconds"] / pixels,
    )


def _tiles_a_pixel(row: dict[str, Any], shard_px: int) -> float:
    """Tiles that the shards of a pair of 100 km² infer, over its pixels."""
    batch = 2
    tiles = TilePlan(PAIR_PX, PAIR_PX, row["tile_px"], row["overlap_px"], chunk_tiles=batch)
    parts = [tiles.needed(part) for part in cut(tiles, max(1, round(PAIR_PX**2 / shard_px)))]
    return batch * sum(len(part.rows) * len(part.chunks) for part in parts) / PAIR_PX**2


@dataclass(frozen=True, slots=True)
class Simulated:
    """An area on so many workers.

    Args:
        workers: Processes.
        pairs: Pieces that are plans of their own, each merged by itself.
        hours: From the first start to the last merge.
        busy: Share of the workers' time in which they compute.
        shares: Where the rest of their time goes.
        money_per_1000_km2: By the prices.
    """

    workers: int
    pairs: int
    hours: float
    busy: float
    shares: dict[str, float]
    money_per_1000_km2: float


def simulate(
    costs: Costs, prices: Prices, *, workers: int, pairs: int, shard_px: int, seed: int = 0
) -> Simulated:
    """The order of :mod:`hanet.cluster.detection`: what is nearest to its end first, a pair begun
    where nothing else waits, each task to a free worker by a coordinator that hands out one at a
    time."""
    generator = np.random.default_rng(seed)
    pixels = KM2 * 1e6 / GSD_M**2
    in_pair = pixels / pairs
    count = max(1, round(in_pair / shard_px))
    spread = np.sqrt(np.log(1 + costs.scatter**2))
    spent = dict.fromkeys(("start", "hand out", "plan", "open", "compute", "merge"), 0.0)
    spent["start"] = costs.start * workers
    free, holds = list(range(workers)), [-1] * workers
    left = dict.fromkeys(range(pairs), count)
    begins, shards, merges = deque(range(pairs)), deque[int](), deque[int]()
    running: list[tuple[float, int, str, int]] = []  # ends, worker, kind, pair
    now, handed = costs.start, costs.start
    while True:
        while free and (merges or shards or begins):
            kind, queue = next(
                (kind, queue)
                for kind, queue in (("merge", merges), ("compute", shards), ("plan", begins))
                if queue
            )
            pair, worker = queue.popleft(), free.pop()
            handed = max(handed, now) + costs.task
            seconds = {"merge": costs.merge_pixel * in_pair, "plan": costs.plan}.get(kind, 0.0)
            if kind == "compute":
                scattered = generator.lognormal(-(spread**2) / 2, spread)
                seconds = costs.pixel * in_pair / count * scattered
                if holds[worker] != pair:
                    holds[worker] = pair
                    spent["open"] += costs.open
                    seconds += costs.open
                    spent[kind] -= costs.open
            spent["hand out"] += handed - now
            spent[kind] += seconds
            heapq.heappush(running, (handed + seconds, worker, kind, pair))
        if not running:
            break
        now, worker, kind, pair = heapq.heappop(running)
        free.append(worker)
        if kind == "plan":
            shards.extend([pair] * count)
        elif kind == "compute":
            left[pair] -= 1
            if not left[pair]:
                merges.append(pair)
    total = now * workers
    spent["idle"] = total - sum(spent.values())
    gigabytes = pixels * 6 / 1e9  # two dates of three bytes, uncompressed: a bound from above
    money = total / 3600 * prices.cpu_hour + gigabytes * prices.gb_read
    return Simulated(
        workers,
        pairs,
        now / 3600,
        spent["compute"] / total,
        {name: round(value / total, 5) for name, value in spent.items()},
        money / (KM2 / 1000),
    )


def simulations(costs: Costs, prices: Prices, shard_px: int) -> Iterator[Simulated]:
    """One plan for all, and one for each 100 km² (:data:`PAIR_PX`)."""
    for pairs in (1, round(KM2 / 100)):
        for workers in WORKERS:
            yield simulate(costs, prices, workers=workers, pairs=pairs, shard_px=shard_px)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--shards", type=int, default=16)
    parser.add_argument("--shard-px", type=int, default=16_000_000, help="of the simulation")
    parser.add_argument("--cpu-hour", type=float, default=0.04, help="US dollars")
    parser.add_argument("--gb-read", type=float, default=0.0, help="US dollars")
    parser.add_argument("--again", type=Path, help="take the measurements of this file")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "scaling" / "scaling.json")
    arguments = parser.parse_args()
    if arguments.again is not None:
        result = json.loads(arguments.again.read_text(encoding="utf-8"))
    else:
        if arguments.folder is None:
            parser.error("give a FOLDER, or --again FILE")
        arguments.folder.mkdir(parents=True, exist_ok=True)
        folder = arguments.folder.absolute()
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        result = {
            "benchmark": "scaling",
            "machine": machine(),
            "versions": versions(["distributed", "onnxruntime", "numpy", "rasterio"]),
            "weights": catalogue.DEFAULT,
            "measured": measure(folder, size=arguments.size, shards=arguments.shards),
        }
    costs = costs_of(result["measured"], arguments.shard_px)
    prices = Prices(arguments.cpu_hour, arguments.gb_read)
    result |= {
        "costs": asdict(costs),
        "simulation": {
            "km2": KM2,
            "gsd_m": GSD_M,
            "shard_px": arguments.shard_px,
            "prices": asdict(prices),
            "rows": [asdict(row) for row in simulations(costs, prices, arguments.shard_px)],
        },
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
