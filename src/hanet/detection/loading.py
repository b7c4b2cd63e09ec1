"""What a detection runs on: weights, scout, tiles and threshold, as the settings choose them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from hanet.detection.settings import DetectionSettings
from hanet.detection.streaming import fitted_tile, own_tile, tile_and_overlap
from hanet.detection.tiling import TilePlan
from hanet.errors import SettingsError
from hanet.footprints.false_alarms import FootprintFilter
from hanet.imagery.grid import Grid
from hanet.metadata import Metadata
from hanet.threads import Threads
from hanet.types import Window
from hanet.weights import catalogue
from hanet.weights.cascade import SCOUT_THRESHOLD, Cascade
from hanet.weights.engine import threads_of
from hanet.weights.runtime import Runtime, directed, open_runtime


@dataclass(frozen=True, slots=True)
class LoadedWeights:
    """Weights ready to run on tiles.

    Args:
        weights: Their file.
        scout: The file of the scout, if there is one.
        runtime: Runs them; a :class:`hanet.weights.cascade.Cascade` with a scout.
        tile_px: Side of a tile.
        overlap_px: Overlap of neighbouring tiles.
        threshold: Probability from which on a pixel counts as change.
        threads: Threads of the engine, and who says so.
        footprint_filter: That of the weights, where they have one and it is to be used.
    """

    weights: Path
    scout: Path | None
    runtime: Runtime
    tile_px: int
    overlap_px: int
    threshold: float
    threads: Threads
    footprint_filter: FootprintFilter | None = None

    @property
    def metadata(self) -> Metadata:
        """What travels with the weights."""
        return self.runtime.metadata

    @property
    def tells_kinds(self) -> bool:
        """Whether they tell built from demolished."""
        return directed(self.runtime) is not None

    def keeps_kinds(self, settings: DetectionSettings) -> bool:
        """Whether a run keeps what was built and what demolished: they tell, and the user did not
        leave it out."""
        return settings.kinds is not False and self.tells_kinds

    @property
    def scout_work(self) -> float | None:
        """See :attr:`hanet.weights.cascade.Cascade.scout_work`; None without a scout."""
        return self.runtime.scout_work if isinstance(self.runtime, Cascade) else None

    def take_counts(self) -> dict[str, int]:
        """What a scout did since the last call of this, by name; empty without one."""
        return asdict(self.runtime.take_counts()) if isinstance(self.runtime, Cascade) else {}

    def for_grid(self, grid: Grid, settings: DetectionSettings) -> LoadedWeights:
        """With the tiles that suit a grid (:func:`hanet.detection.streaming.own_tile`); where the
        settings name one, no larger than it needs."""
        height, width = grid.height, grid.width
        tile = self.tile_px
        if settings.tile_px is None:
            tile = own_tile(self.metadata, self.overlap_px, height=height, width=width)
        tile, overlap = fitted_tile(
            self.metadata, tile, self.overlap_px, height=height, width=width
        )
        return replace(self, tile_px=tile, overlap_px=overlap)


def tile_plan(
    grid: Grid, loaded: LoadedWeights, settings: DetectionSettings, *, within: Window | None
) -> TilePlan:
    """The tiles of a grid, or those for a part of it."""
    return TilePlan(
        grid.height,
        grid.width,
        loaded.tile_px,
        loaded.overlap_px,
        chunk_tiles=settings.batch,
        within=within,
    )


def load_weights(weights: str | Path, settings: DetectionSettings) -> LoadedWeights:
    """The weights of this name or file, on the engine and with the scout that the settings choose.

    Raises:
        HanetError: The weights cannot be loaded, or the settings do not fit them.
    """
    engine = settings.engine
    path = catalogue.resolve(weights, suffixes=engine.suffixes)
    runtime: Runtime = open_runtime(path, engine)
    metadata = runtime.metadata
    threshold = settings.footprints.threshold
    if threshold is None:
        threshold = metadata.threshold
    replace(settings.footprints, threshold=threshold)  # raises where the weights' own is damaged
    tile, overlap = tile_and_overlap(metadata, settings.tile_px, settings.overlap_px)
    scout = None
    if settings.scout is not None:
        scout = catalogue.resolve(settings.scout, suffixes=engine.suffixes)
        # whatever becomes a footprint must have been seen by the weights themselves
        lowest = min(SCOUT_THRESHOLD, max(0.0, threshold))
        fast = open_runtime(scout, replace(engine, flips=False))
        runtime = Cascade(fast, runtime, threshold=lowest)
    if settings.kinds and directed(runtime) is None:
        raise SettingsError(
            f"{metadata.name} does not tell built from demolished, which --kinds asks for",
            hint=f"leave --kinds out, or take weights that do, like {catalogue.DEFAULT}",
        )
    stored = metadata.footprint_filter if settings.filter_footprints else None
    keeping = FootprintFilter.from_json(stored) if stored is not None else None
    threads = threads_of(engine)
    return LoadedWeights(path, scout, runtime, tile, overlap, threshold, threads, keeping)
