"""The ladder: rungs from cheap to dear, each kept only if the hold-out says that it helps.

=========== ======================================================= ====================
rung        what it changes                                         needs
=========== ======================================================= ====================
threshold   threshold and temperature                               nothing, seconds
footprints  a classifier leaves out what looks like false alarms    nothing, seconds
head        the last layers are trained on                          ``hanet[train]``
top-down    the head and the path that leads down to it             ``hanet[train]``
all         all layers                                              ``hanet[train]``
crossed     the threshold, where nothing else was kept              nothing, seconds
=========== ======================================================= ====================

A rung is tried against what is kept so far. It is kept if the 95 % interval of the difference of F1
on the hold-out lies above 0. A rung that trains chooses its threshold, and its filter where one is
kept, anew; where the hold-out is too small to judge, it is not trained.

``crossed`` is for little ground: every block judges, by the threshold that all others choose. What
is written has the threshold that all of them choose together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Literal, Protocol, TypeAlias

from hanet.adaptation.calibrated import calibrated, crossed_counts
from hanet.adaptation.false_alarms import footprints_in, learned_filter
from hanet.adaptation.ground import Ground
from hanet.adaptation.standing import Standing, counts_of, labels_of, standing_of
from hanet.adaptation.verdict import FEWEST_BLOCKS, Verdict, judged
from hanet.errors import SettingsError
from hanet.types import ByteArray, Json, Progress

RungName: TypeAlias = Literal["threshold", "footprints", "head", "top-down", "all", "crossed"]
RUNGS: tuple[RungName, ...] = ("threshold", "footprints", "head", "top-down", "all", "crossed")
"""In the order in which they are tried: from cheap to dear, and what is left where none helps."""

TrainedName: TypeAlias = Literal["head", "top-down", "all"]
"""Rungs that train; the parts of a network that :data:`hanet.models.contract.Part` names."""

HeldOutName: TypeAlias = Literal["threshold", "footprints"] | TrainedName
"""Rungs that the hold-out judges."""

LIGHT: tuple[RungName, ...] = ("threshold", "footprints", "crossed")
"""Rungs that need nothing beside a light installation."""

SHARES = {"head": 0.2, "top-down": 0.3, "all": 0.5}
"""Of the minutes, by the rungs that train."""

Outcome: TypeAlias = Literal["kept", "not kept", "not tried"]


class Tuned(Protocol):
    """What a rung that trains gives back."""

    @property
    def weights(self) -> Path:
        """A ``.safetensors`` file; not there after a stop."""

    @property
    def finished(self) -> bool:
        """False after a stop by a signal, which saved everything."""


class Tune(Protocol):
    """Trains on: :func:`hanet.adaptation.fine_tuning.fine_tune`, loaded when it is needed."""

    def __call__(
        self,
        rung: TrainedName,
        *,
        start: Path,
        ground: Path,
        folder: Path,
        minutes: float,
        threads: int | None,
        seed: int,
        resume: bool,
        watch: Callable[[Json], None] | None,
    ) -> Tuned:
        """Weights that have learned from ``ground/learn``."""


Export: TypeAlias = Callable[[Path, Path], None]
"""Makes an ONNX file (the second) of a safetensors file (the first)."""


@dataclass(frozen=True, slots=True)
class Trainer:
    """What the rungs that train need.

    Args:
        tune: Trains.
        export: Makes the file that runs.
        minutes: For all of them together.
    """

    tune: Tune
    export: Export
    minutes: float


@dataclass(frozen=True, slots=True)
class RungResult:
    """What became of a rung.

    Args:
        rung: Its name.
        outcome: Whether it was kept.
        why: In words, where it was not tried.
        verdict: On the hold-out, or on all blocks for ``crossed``, against what was kept before it;
            None where it was not tried.
        minutes: That it took.
        peak_mb: Most memory that the process has had until then.
    """

    rung: RungName
    outcome: Outcome
    why: str
    verdict: Verdict | None
    minutes: float
    peak_mb: float

    def to_json(self) -> Json:
        """For the result file."""
        return {
            "rung": self.rung,
            "outcome": self.outcome,
            "why": self.why,
            "verdict": self.verdict.to_json() if self.verdict is not None else None,
            "minutes": round(self.minutes, 3),
            "peak_mb": round(self.peak_mb, 1),
        }


@dataclass(frozen=True, slots=True)
class Climb:
    """What the ladder gave.

    Args:
        start: The weights before.
        kept: After all rungs that were kept; ``start`` where none was.
        best: The candidate with the highest F1 on the hold-out, kept or not: what ``--force``
            writes.
        results: Of all rungs, in order.
        verdict: ``kept`` against ``start``, on the hold-out; where ``crossed`` was tried, on all
            blocks.
        best_verdict: ``best`` against ``start``, on the hold-out; on all blocks where ``crossed``
            alone was tried.
    """

    start: Standing
    kept: Standing
    best: Standing
    results: tuple[RungResult, ...]
    verdict: Verdict
    best_verdict: Verdict

    def is_crossed(self, *, forced: bool = False) -> bool:
        """Whether every block judged, by a threshold that the others chose.

        Args:
            forced: Asked of ``best_verdict``, not of ``verdict``.
        """
        crossed = next((one.verdict for one in self.results if one.rung == "crossed"), None)
        return crossed is not None and (not forced or self.best_verdict is crossed)


Tried = Callable[[RungName, Standing], None]
"""Shown each candidate, kept or not."""


class Ladder:
    """Climbs; made once for ground and weights.

    Args:
        ground: The reviewed ground.
        start: The weights before.
        folder: Where runs of the rungs that train stand.
        seed: Of all that is drawn.
        threads: Of the engines.
        resume: Continue what is in ``folder``.
        trainer: None where nothing can be trained.
        why_none: Why, in words.
        progress: Called with stage and share.
        tried: Shown each candidate.
    """

    def __init__(
        self,
        ground: Ground,
        start: Standing,
        *,
        folder: Path,
        seed: int = 0,
        threads: int | None = None,
        resume: bool = False,
        trainer: Trainer | None = None,
        why_none: str = "",
        progress: Progress | None = None,
        tried: Tried | None = None,
    ) -> None:
        self._ground, self._start, self._folder = ground, start, folder
        self._seed, self._threads, self._resume = seed, threads, resume
        self._trainer, self._why_none = trainer, why_none
        self._progress, self._tried = progress, tried
        self._labels: Mapping[str, ByteArray] = labels_of(ground)
        self._judging = ground.of("holdout")
        self._choosing = ground.of("learn", "watch")

    def climb(self, rungs: Sequence[RungName]) -> Climb:
        """Tries these rungs in the order of :data:`RUNGS`.

        Raises:
            HanetError: A rung fails.
            KeyboardInterrupt: Training was stopped by a signal; what it had learned is saved.
        """
        first = counts_of(self._start, self._judging, self._labels)
        kept, standing = first, self._start
        candidates = [(self._start, judged(first, first, seed=self._seed))]
        results: list[RungResult] = []
        for rung in RUNGS:
            if rung == "crossed" or rung not in rungs:
                continue
            begun = perf_counter()
            candidate = self._candidate(rung, standing)
            if isinstance(candidate, str):
                results.append(self._result(rung, begun, why=candidate))
                continue
            counts = counts_of(candidate, self._judging, self._labels)
            verdict = judged(kept, counts, seed=self._seed)
            candidates.append((candidate, judged(first, counts, seed=self._seed)))
            results.append(self._result(rung, begun, verdict=verdict))
            if self._tried is not None:
                self._tried(rung, candidate)
            if verdict.is_better:
                kept, standing = counts, candidate
        best, best_verdict = max(candidates, key=lambda one: one[1].after.f1)
        whole = judged(first, kept, seed=self._seed)
        climb = Climb(self._start, standing, best, tuple(results), whole, best_verdict)
        return self._crossed(climb) if "crossed" in rungs else climb

    def _crossed(self, climb: Climb) -> Climb:
        """The climb with the rung that is left where no other was kept: the threshold of all tiles,
        if blocks that had no part in theirs say that it helps."""
        begun, tiles = perf_counter(), self._ground.tiles

        def with_result(why: str = "", verdict: Verdict | None = None) -> Climb:
            result = self._result("crossed", begun, why=why, verdict=verdict)
            return replace(climb, results=(*climb.results, result))

        if climb.kept is not climb.start:
            return with_result("another rung was kept")
        candidate = calibrated(climb.start, tiles, self._labels)
        if isinstance(candidate, str):
            return with_result(candidate)
        first = counts_of(climb.start, tiles, self._labels)
        crossed = crossed_counts(climb.start, tiles, self._labels)
        verdict = judged(first, crossed, seed=self._seed)
        if self._tried is not None:
            self._tried("crossed", candidate)
        found = with_result(verdict=verdict)
        if climb.best is climb.start:  # nothing else was tried: what --force writes
            found = replace(found, best=candidate, best_verdict=verdict)
        if verdict.is_better:
            return replace(found, kept=candidate, verdict=verdict)
        return replace(found, verdict=judged(first, first, seed=self._seed))

    def _candidate(self, rung: HeldOutName, standing: Standing) -> Standing | str:
        if rung == "threshold":
            return calibrated(standing, self._choosing, self._labels)
        if rung == "footprints":
            return self._filtered(standing)
        return self._trained(rung, standing)

    def _filtered(self, standing: Standing) -> Standing | str:
        bare = replace(standing, footprint_filter=None)
        gsd_m = standing.metadata.gsd_m
        seen = [
            one
            for placed in self._choosing
            for one in footprints_in(
                bare.probability[placed.tile.name],
                self._labels[placed.tile.name],
                threshold=bare.threshold,
                block=placed.block,
            )
        ]
        counts = counts_of(bare, self._choosing, self._labels)
        found = learned_filter(seen, counts.values(), gsd_m=gsd_m)
        return found if isinstance(found, str) else replace(bare, footprint_filter=found)

    def _trained(self, rung: TrainedName, standing: Standing) -> Standing | str:
        trainer = self._trainer
        if trainer is None or standing.torch is None:
            return self._why_none or "there is no .safetensors file of the weights to train from"
        blocks = len({placed.block for placed in self._judging})
        if blocks < FEWEST_BLOCKS:
            return f"{blocks} blocks in the hold-out cannot judge it; {FEWEST_BLOCKS} are needed"
        tuned = trainer.tune(
            rung,
            start=standing.torch,
            ground=self._ground.folder,
            folder=self._folder / rung,
            minutes=trainer.minutes * SHARES[rung],
            threads=self._threads,
            seed=self._seed,
            resume=self._resume,
            watch=self._watch(rung),
        )
        if not tuned.finished:
            raise KeyboardInterrupt  # training has heard it, and saved all of its work first
        onnx = self._folder / f"{rung}.onnx"
        trainer.export(tuned.weights, onnx)
        new = standing_of(
            onnx, tuned.weights, self._ground, threads=self._threads, progress=self._progress
        )
        # chosen on tiles that were not learned from, where there are any
        chosen = calibrated(new, self._ground.of("watch"), self._labels)
        new = new if isinstance(chosen, str) else chosen
        if standing.footprint_filter is None:
            return replace(new, footprint_filter=None)
        filtered = self._filtered(new)
        return replace(new, footprint_filter=None) if isinstance(filtered, str) else filtered

    def _watch(self, rung: RungName) -> Callable[[Json], None] | None:
        """Shows the steps of training as a stage."""
        progress = self._progress
        if progress is None:
            return None
        return lambda state: progress(
            f"training {rung}", state["iteration"] / max(1, state["iterations"])
        )

    def _result(
        self, rung: RungName, begun: float, *, why: str = "", verdict: Verdict | None = None
    ) -> RungResult:
        outcome: Outcome = "not tried"
        if verdict is not None:
            outcome = "kept" if verdict.is_better else "not kept"
        minutes = (perf_counter() - begun) / 60
        return RungResult(rung, outcome, why, verdict, minutes, peak_mb())


def chosen_rungs(names: Sequence[str] | None) -> tuple[RungName, ...]:
    """The rungs of these names, ``light`` for those of :data:`LIGHT`; all of them if None.

    Raises:
        SettingsError: There is no rung of a name.
    """
    if names is None:
        return RUNGS
    wanted = [part for name in names for part in (LIGHT if name == "light" else (name,))]
    unknown = [name for name in wanted if name not in RUNGS]
    if unknown or not wanted:
        raise SettingsError(
            f"there is no rung {unknown[0]!r}" if unknown else "no rung is given",
            hint=f"the rungs are: {', '.join(RUNGS)}; light is {', '.join(LIGHT)}",
        )
    return tuple(name for name in RUNGS if name in wanted)


def peak_mb() -> float:
    """Most memory that this process has had, in megabytes; 0 where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0.0
    found = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(found[0]) * 1024 / 1e6 if found else 0.0
