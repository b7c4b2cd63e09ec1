"""Seconds of a whole detection, files to footprints, beside inference of as many tiles alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from hanet.bench.measuring import frame, interleaved, rates, with_ratios
from hanet.types import FloatArray, Json
from hanet.weights import catalogue
from hanet.weights.engine import Engine
from hanet.weights.runtime import open_runtime


def detection(
    *,
    sizes: Sequence[int] = (1024, 2048),
    rounds: int = 3,
    weights: str = catalogue.DEFAULT,
    threads: int | None = None,
) -> Json:
    """Seconds of a whole detection of rendered pairs, files to footprints, beside inference of as
    many tiles alone.

    Args:
        sizes: Sides of the rasters.
        rounds: Runs of each, in turn; the median counts.
        weights: Name or ONNX file.
        threads: Threads of ONNX Runtime; as many as this process may use if None.
    """
    from hanet.detection.job import detect
    from hanet.synthetic.scene import render_scene

    result = frame("detect", threads, rounds) | {"weights": weights}
    runtime = open_runtime(catalogue.resolve(weights, suffixes=(".onnx",)), Engine(threads=threads))
    settings: dict[str, Any] = {} if threads is None else {"threads": threads}
    with TemporaryDirectory() as name:
        for size in sizes:
            scene = Path(name) / str(size)
            render_scene(scene, size=size, seed=1)
            out = Path(name) / f"{size}-out"

            def whole(scene: Path = scene, out: Path = out) -> None:
                detect(
                    scene / "before.tif",
                    scene / "after.tif",
                    out=out,
                    weights=weights,
                    overwrite=True,
                    **settings,
                )

            whole()
            manifest = json.loads((out / "run.json").read_text(encoding="utf-8"))
            tiles, tile = manifest["timings"]["tiles_inferred"], manifest["tiles"]["tile_px"]
            images = [
                np.random.default_rng(n).uniform(0, 255, (1, 3, tile, tile)).astype(np.float32)
                for n in (0, 1)
            ]

            def alone(tiles: int = tiles, images: list[FloatArray] = images) -> None:
                for _ in range(tiles):
                    runtime.predict(*images)

            for subject, seconds in interleaved(
                {"detect": whole, "inference alone": alone}, rounds
            ).items():
                row = {"subject": subject, "size_px": size, "tile_px": tile, "tiles": tiles}
                result["rows"].append(row | rates(seconds, size * size))
    return with_ratios(result, against="inference alone")
