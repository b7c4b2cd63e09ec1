"""A pair, or a list of pairs, detected by the workers of a cluster: which task comes when, and what
of all that becomes the result.

Each pair begins as one task. A small one is done with it; a larger one comes back as shards, and
when the last of them is done it is merged by one more task. What is begun is finished before
another pair begins, so that of ten thousand pairs a few are open at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hanet.cluster import tasks
from hanet.cluster.work import Outcome, PairWork, Task
from hanet.cluster.workers import Workers
from hanet.detection.beforehand import check_results, check_run
from hanet.detection.job import check_settings
from hanet.detection.pair_list import (
    PAIRS,
    PairJob,
    PairsResult,
    PairTable,
    check_pairs_folder,
    merge_pairs,
)
from hanet.detection.result import DetectionResult
from hanet.detection.run_folder import check_folder_choice
from hanet.detection.settings import DetectionSettings
from hanet.detection.tasks import compact
from hanet.errors import OutputError
from hanet.files import check_name
from hanet.imagery.addresses import absolute
from hanet.listeners import listeners
from hanet.types import Json, Progress
from hanet.weights import catalogue

SHARDS = "running shards"
"""The stage that progress is reported of, of one pair."""

HOPELESS = 8
"""So many shards of a pair that fail before one is done: the others are not tried."""


def detect_on_cluster(
    before: str | Path,
    after: str | Path,
    *,
    cluster: str,
    out: str | Path,
    shards: int | None = None,
    weights: str | Path = catalogue.DEFAULT,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
    warn: Callable[[str], None] | None = None,
    **settings: Any,
) -> DetectionResult:
    """Detects changed buildings between two rasters on the workers of a Dask scheduler: the bytes
    that :func:`hanet.detect` writes on one machine.

    Args:
        before: As for :func:`hanet.detect`, like ``after``, ``weights``, ``resume``, ``overwrite``,
            ``progress``, ``note``, ``warn`` and ``settings``. Files must lie under the same names
            on all machines.
        after: As there.
        cluster: See :class:`hanet.cluster.workers.Workers`.
        out: Folder for the result, which all machines share.
        shards: Pieces to cut the pair into; if None one for each 16 megapixels, and a smaller pair
            is not cut.
        weights: As there.
        resume: As there.
        overwrite: As there.
        progress: As there.
        note: As there.
        warn: As there.
        settings: As there.

    Raises:
        ClusterError: The scheduler or its workers cannot be reached, or have gone; shards that are
            done stay, and ``resume`` continues.
        OutputError: Shards have failed, which the message lists.
        HanetError: As for :func:`hanet.detect`.
    """
    folder = Path(out)
    check_name(folder, "--out")
    check_folder_choice(resume=resume, overwrite=overwrite)
    inputs = (str(before), str(after))
    chosen = DetectionSettings.of(**settings)
    check_run(folder, chosen, inputs, resume=resume, overwrite=overwrite)
    check_settings(weights=weights, **settings)
    job = PairJob(folder.name, *inputs)
    choice = Choice(weights, shards, resume, overwrite)
    work = _work(job, folder, choice, settings)
    tell, alarm = listeners(note, warn)
    with Workers(cluster, forget=tasks.forget, note=tell) as workers:
        course = _Course(iter([work]), note=tell, warn=alarm, progress=progress, tells_shards=True)
        for _ in course.over(workers):
            pass
    (ended,) = course.ended
    if ended.result is None:
        raise OutputError(ended.error, hint=ended.hint)
    return ended.result


def detect_pairs_on_cluster(
    jobs: Sequence[PairJob],
    *,
    cluster: str,
    out: Path,
    shards: int | None = None,
    resume: bool,
    overwrite: bool,
    progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
    warn: Callable[[str], None] | None = None,
    weights: str | Path = catalogue.DEFAULT,
    **settings: Any,
) -> PairsResult:
    """:func:`hanet.detection.pair_list.detect_pairs` on the workers of a Dask scheduler: pairs, and
    the shards of large ones, side by side.

    Args:
        jobs: The pairs.
        cluster: See :class:`hanet.cluster.workers.Workers`.
        out: Folder for the results, which all machines share.
        shards: As for :func:`detect_on_cluster`, of each pair.
        resume: As for ``detect_pairs``, like all that follow.
        overwrite: As there.
        progress: As there.
        note: As there.
        warn: As there.
        weights: As there.
        settings: As there.

    Raises:
        ClusterError: As for :func:`detect_on_cluster`.
        HanetError: As for ``detect_pairs``.
    """
    check_pairs_folder(out, resume=resume, overwrite=overwrite)
    check_results(out, DetectionSettings.of(**settings))
    check_settings(weights=weights, **settings)
    tell, alarm = listeners(note, warn)
    places = {job.name: place for place, job in enumerate(jobs)}
    with (
        PairTable(out, places) as table,
        Workers(cluster, forget=tasks.forget, note=tell) as workers,
    ):
        choice = Choice(weights, shards, resume, overwrite)
        given = (_work(job, out / job.name, choice, settings) for job in jobs)
        course = _Course(given, note=tell, warn=alarm, tells_shards=False)
        for number, ended in enumerate(course.over(workers), start=1):
            if ended.result is not None:
                table.done(ended.name, ended.result)
            else:
                table.failed(ended.name, ended.error)
            how = "done" if ended.result is not None else "failed"
            tell(f"{number} of {len(jobs)} pairs: {ended.name} {how}")
            if progress is not None:
                progress(PAIRS, number / len(jobs))
    chosen = DetectionSettings.of(**settings)
    return merge_pairs(table.rows, out, settings=chosen, progress=progress)


@dataclass(frozen=True, slots=True)
class Choice:
    """What all pairs of a run have in common, beside the settings.

    Args:
        weights: A name, or a file.
        shards: Pieces of each pair.
        resume: Continue.
        overwrite: Remove what is there.
    """

    weights: str | Path
    shards: int | None
    resume: bool
    overwrite: bool


@dataclass(slots=True)
class _Pair:
    """A pair on its way.

    Args:
        work: What is to be done.
        name: Its name.
        running: Shards that have not come back.
        done: Shards that have.
        shards: All of the plan.
        failed: Shards that failed, with the reason.
        result: In the end.
        error: Why there is none.
        hint: What to do about it.
    """

    work: PairWork
    name: str
    running: set[int] = field(default_factory=set)
    done: int = 0
    shards: int = 0
    failed: dict[int, str] = field(default_factory=dict)
    result: DetectionResult | None = None
    error: str = ""
    hint: str | None = None


class _Course:
    """Which task comes when.

    Args:
        works: The pairs.
        note: Called with notes of the workers.
        warn: Called with their warnings.
        progress: Called with the share of the shards that is done.
        tells_shards: Whether shards are worth a note: of one pair, not of a list.

    Attributes:
        ended: Pairs that have come to an end; those of a list are forgotten when they were given
            away.
    """

    def __init__(
        self,
        works: Iterator[PairWork],
        *,
        note: Callable[[str], None],
        warn: Callable[[str], None],
        progress: Progress | None = None,
        tells_shards: bool,
    ) -> None:
        self._works, self._note, self._warn, self._progress = works, note, warn, progress
        self._tells_shards = tells_shards
        self._pairs: dict[int, _Pair] = {}
        self._merges: deque[Task] = deque()
        self._shards: deque[Task] = deque()
        self._number = 0
        self.ended: list[_Pair] = []

    def over(self, workers: Workers) -> Iterator[_Pair]:
        """Runs all; yields the pairs as they end."""
        for task, outcome in workers.outcomes(self._take):
            pair = self._pairs[task.pair]
            for level, text in outcome.said:
                (self._warn if level == "warning" else self._note)(text)
            self._settle(task, pair, outcome)
            if pair.result is not None or pair.error:
                del self._pairs[task.pair]
                self.ended = [pair]
                yield pair

    def _take(self) -> Task | None:
        """What is nearest to its end first."""
        if self._merges:
            return self._merges.popleft()
        while self._shards:
            task = self._shards.popleft()
            if task.pair in self._pairs:  # not of a pair that was given up
                return task
        work = next(self._works, None)
        if work is None:
            return None
        self._number += 1
        self._pairs[self._number] = _Pair(work, work.out.name)
        return Task("begin", tasks.begin, (work,), self._number)

    def _settle(self, task: Task, pair: _Pair, outcome: Outcome) -> None:
        if task.function is tasks.run:
            self._settle_shard(task, pair, outcome)
        elif outcome.error:
            pair.error, pair.hint = outcome.error, outcome.hint
        elif outcome.result is not None:
            pair.result = outcome.result
        else:
            pair.running, pair.shards = set(outcome.to_run), outcome.shards
            pair.done = outcome.shards - len(pair.running)
            self._shards.extend(
                Task("shard", tasks.run, (pair.work, index), task.pair) for index in outcome.to_run
            )
            if outcome.to_run and self._tells_shards:
                self._note(f"{len(outcome.to_run)} of {outcome.shards} shards are to be run")
            self._merge_if_whole(task, pair)

    def _settle_shard(self, task: Task, pair: _Pair, outcome: Outcome) -> None:
        index = task.arguments[1]
        pair.running.discard(index)
        if outcome.error:
            pair.failed[index] = outcome.error
            pair.hint = pair.hint or outcome.hint
            self._warn(f"{pair.name}, shard {index}: {outcome.error}")
        else:
            pair.done += 1
        if self._progress is not None:
            self._progress(SHARDS, pair.done / pair.shards)
        is_hopeless = len(pair.failed) >= HOPELESS and pair.done == 0
        if pair.failed and (is_hopeless or not pair.running):
            (first, reason), count = min(pair.failed.items()), len(pair.failed)
            pair.error = (
                f"{count} of {pair.shards} shards failed: {compact(sorted(pair.failed))} "
                f"({first}: {reason})"
            )
            pair.hint = pair.hint or "the same command with --resume tries them again"
            return
        self._merge_if_whole(task, pair)

    def _merge_if_whole(self, task: Task, pair: _Pair) -> None:
        if not pair.running:
            self._merges.append(Task("merge", tasks.finish, (pair.work,), task.pair))


def _work(job: PairJob, out: Path, choice: Choice, settings: Json) -> PairWork:
    """A pair as it can travel: what lies here by its whole path, since workers stand elsewhere."""
    given = {**settings, **job.dates}
    threads = given.pop("threads", None)
    for name in ("aoi", "scout"):
        if given.get(name) is not None:
            given[name] = absolute(str(given[name]))
    if "aoi" in given and given["aoi"] is not None:
        given["aoi"] = Path(given["aoi"])
    return PairWork(
        before=absolute(job.before),
        after=absolute(job.after),
        out=out.absolute(),
        weights=absolute(str(choice.weights)),
        settings=given,
        resume=choice.resume,
        overwrite=choice.overwrite,
        shards=choice.shards,
        threads=threads,
    )
