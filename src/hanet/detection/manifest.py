"""``run.json``: what a run was, written and read back."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

from hanet.detection.loading import LoadedWeights
from hanet.detection.opening import OpenedPair
from hanet.detection.run_folder import FOOTPRINT_FILES, damaged, read_run_file
from hanet.detection.settings import DetectionSettings
from hanet.detection.streaming import StreamStatistics
from hanet.detection.tiling import TilePlan
from hanet.files import file_hash
from hanet.footprints.extraction import FootprintSummary
from hanet.footprints.settings import FootprintSettings
from hanet.provenance import versions
from hanet.types import Json
from hanet.version import __version__
from hanet.weights.cascade import CascadeCounts


@dataclass(frozen=True, slots=True)
class StoredResult:
    """What the manifest of a finished run says of its result.

    Args:
        footprints: Count, area and files.
        megapixels: Of the grid.
    """

    footprints: FootprintSummary
    megapixels: float


def manifest_of(
    opened: OpenedPair,
    weights: Json,
    plan: TilePlan,
    *,
    threshold: float,
    threads: Json | None,
    identity: Json,
    out: Path,
    started: str,
    said: list[Json],
    drawn: FootprintSettings,
    footprints: FootprintSummary,
    scouted: CascadeCounts | None,
    runtime: str,
) -> Json:
    """What ``run.json`` holds, but for the timings.

    Args:
        opened: The pair and what was found before.
        weights: What ran, from :func:`weights_record`.
        plan: The tiles.
        threshold: Probability from which on a pixel counts as change.
        threads: Threads of the engine, and who said so; None of engines that differ.
        identity: What decides the result.
        out: The folder of the result, from which the inputs are found again.
        started: When the run began the first time.
        said: Decisions and warnings.
        drawn: How footprints were made.
        footprints: What came out.
        scouted: What the scout did; None without one.
        runtime: Name of the engine, whose version is recorded.
    """
    import rasterio

    return {
        "hanet": __version__,
        "started": started,
        "identity": identity,
        "inputs": {
            date: source.place_from(out)
            for date, source in (("before", opened.pair.before), ("after", opened.pair.after))
        },
        "weights": weights,
        "pair": opened.pair.manifest(),
        "preflight": opened.preflight,
        "said": said,
        "tiles": {"tile_px": plan.tile_px, "overlap_px": plan.overlap_px, "count": plan.tiles},
        "cascade": asdict(scouted) if scouted is not None else None,
        "threshold": threshold,
        "threads": threads,
        "footprints": footprints_record(drawn, footprints),
        "versions": {
            **versions(["numpy", "rasterio", "pyogrio", "shapely", runtime]),
            "gdal": rasterio.__gdal_version__,
            "platform": sys.platform,
        },
    }


def weights_record(loaded: LoadedWeights, *, sha256: str) -> Json:
    """What a manifest says of the weights that ran; of a footprint filter only where one is to be
    used."""
    metadata, keeping = loaded.metadata, loaded.footprint_filter
    return {
        "name": metadata.name,
        "file": loaded.weights.name,
        "network": metadata.model,
        "bands": list(metadata.bands),
        "sha256": sha256,
        "scores": [asdict(score) for score in metadata.scores],
        "licence": metadata.licence,
        "gsd_m": metadata.gsd_m,
        "training_data": metadata.training_data,
        "tells_kinds": loaded.tells_kinds,
        "citation": metadata.citation,
        **({"footprint_filter": keeping.to_json()} if keeping is not None else {}),
    }


def keeps_kinds(weights: Json, settings: DetectionSettings) -> bool:
    """Whether a run says of its changes what was built and what demolished: its weights tell, and
    the user did not leave it out."""
    return settings.kinds is not False and weights.get("tells_kinds") is True


def says_kinds(manifest: Json) -> bool:
    """The same of a finished run, by its ``run.json``; False where that is damaged."""
    weights, identity = manifest.get("weights"), manifest.get("identity")
    settings = identity.get("settings") if isinstance(identity, dict) else None
    if not isinstance(weights, dict) or not isinstance(settings, dict):
        return False
    return weights.get("tells_kinds") is True and settings.get("kinds") != "False"


def footprints_record(drawn: FootprintSettings, footprints: FootprintSummary) -> Json:
    """How footprints were made, what came out, and by which hashes their files are known again."""
    return {
        **drawn.to_json(),
        "count": footprints.count,
        **({"left_out": footprints.left_out} if drawn.footprint_filter is not None else {}),
        "area": round(footprints.area_m2, 2),
        "unit": "m2" if footprints.has_metres else "px",
        "files": [path.name for path in footprints.files],
        "sha256": {path.name: file_hash(path) for path in footprints.files},
    }


def timings(marks: Mapping[str, float], statistics: StreamStatistics) -> Json:
    """Seconds of each stage, and of each thread at work.

    Args:
        marks: When each stage ended, by its name, in order; the first is the beginning.
        statistics: What the stream did.
    """
    names = list(marks)
    stages = {later: round(marks[later] - marks[earlier], 3) for earlier, later in pairwise(names)}
    return {
        "seconds": stages,
        "busy_seconds": {key: round(value, 3) for key, value in statistics.seconds.items()},
        "tiles_inferred": statistics.tiles,
        "tiles_skipped": statistics.skipped,
    }


def read_result(out: Path) -> StoredResult:
    """What the folder of a finished run holds.

    Raises:
        OutputError: Its ``run.json`` is damaged.
    """
    path = out / "run.json"
    manifest = read_run_file(path)
    try:
        facts, grid = manifest["footprints"], manifest["pair"]["grid"]
        names, unit = [str(name) for name in facts["files"]], facts["unit"]
        count, height, width = (_number(v) for v in (facts["count"], grid["height"], grid["width"]))
        area, threshold = _number(facts["area"]), _number(facts["threshold"])
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(path) from error
    if not set(names) <= set(FOOTPRINT_FILES) or unit not in ("m2", "px"):
        raise damaged(path)
    files = tuple(out / name for name in names)
    summary = FootprintSummary(int(count), area, unit == "m2", files, threshold)
    return StoredResult(summary, height * width / 1e6)


def _number(value: object) -> float:
    """A finite number of a reasonable size; of others Python cannot make a float or a text."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**63:
        raise ValueError(f"{type(value).__name__} is no number")
    if not math.isfinite(value):
        raise ValueError("not finite")
    return value
