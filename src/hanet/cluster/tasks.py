"""What a worker process runs: begin a pair, run a shard, merge the shards. One at a time, and with
weights that stay loaded from one task to the next."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from time import perf_counter, process_time

from hanet.cluster.work import Outcome, PairWork
from hanet.cluster.workers import threads_of_worker
from hanet.detection.job import detect
from hanet.detection.merging import merge, standing_of
from hanet.detection.opened_plan import OpenedPlan, opened_plan
from hanet.detection.plan import PLAN, Plan, read_plan
from hanet.detection.planning import plan
from hanet.detection.run_folder import JOURNAL, WORK
from hanet.detection.shard import run_shard
from hanet.errors import HanetError, OutputError, one_line
from hanet.files import is_there
from hanet.imagery.gdal import reading
from hanet.imagery.pair import open_sources
from hanet.threads import Threads, sharing, threads_for
from hanet.version import __version__
from hanet.weights.runtime import Runtimes, reusing_runtimes

WHOLE_PIXELS = 16_000_000
"""A pair of which neither date has more is one task: cutting it would cost more than it saves."""


_one_at_a_time = ThreadPoolExecutor(1, "hanet")
"""What everything of ours runs in: a worker of several threads may get several tasks, each of which
takes all its threads, and GDAL wants files closed by the thread that opened them."""

_runtimes: Runtimes = {}
"""Weights that this process has loaded."""


class _OpenedPlans:
    """The plan whose shards this process runs, its images open from one shard to the next."""

    def __init__(self) -> None:
        self._stack, self._key = ExitStack(), ("", "")
        self._opened: OpenedPlan | None = None

    def get(self, work: PairWork, made: Plan) -> OpenedPlan:
        key = (str(made.path.absolute()), made.sha256)
        if self._opened is None or key != self._key:
            self.close()
            self._opened = self._stack.enter_context(
                opened_plan(made, before=work.before, after=work.after, weights=work.weights)
            )
            self._key = key
        return self._opened

    def close(self) -> None:
        self._opened = None
        self._stack.close()


_plans = _OpenedPlans()


def begin(work: PairWork) -> Outcome:
    """Detects a small pair; of a larger one makes the plan, and says which shards are to be run."""
    return _told(work, _begin)


def run(work: PairWork, index: int) -> Outcome:
    """Runs a shard."""
    return _told(work, lambda work, outcome: _run(work, index, outcome))


def finish(work: PairWork) -> Outcome:
    """Merges the shards."""
    return _told(work, _finish)


def _told(work: PairWork, task: Callable[[PairWork, Outcome], None]) -> Outcome:
    """What a task gives, and what goes wrong in it in words: errors of ours do not travel."""
    return _one_at_a_time.submit(_done, work, task, _share(work)).result()


def _done(work: PairWork, task: Callable[[PairWork, Outcome], None], share: Threads) -> Outcome:
    outcome, begun, processor = Outcome(), perf_counter(), process_time()
    with reusing_runtimes(_runtimes), sharing(share):
        try:
            _check_version(work)
            task(work, outcome)
        except HanetError as error:
            outcome.error, outcome.hint = error.message, error.hint
        except MemoryError as error:
            outcome.error = f"not enough memory: {one_line(error) or 'the worker has too little'}"
        except OSError as error:
            outcome.error = one_line(error)
    outcome.seconds = perf_counter() - begun
    outcome.processor = process_time() - processor
    return outcome


def _begin(work: PairWork, outcome: Outcome) -> None:
    note, warn = _notes(outcome)
    folder = work.out
    has_plan = is_there(folder / PLAN)
    was_begun_whole = not has_plan and (
        is_there(folder / "run.json") or is_there(folder / WORK / JOURNAL)
    )
    if was_begun_whole or (work.shards is None and _is_small(work)):
        outcome.result = detect(
            work.before,
            work.after,
            out=folder,
            weights=work.weights,
            resume=work.resume,
            overwrite=work.overwrite,
            note=note,
            warn=warn,
            **work.settings,
        )
        return
    if has_plan and not (work.resume or work.overwrite):
        raise OutputError(
            f"{folder} holds a plan already",
            hint="continue it with --resume, or give --overwrite",
        )
    made = plan(
        work.before,
        work.after,
        out=folder,
        shards=work.shards,
        weights=work.weights,
        overwrite=work.overwrite,
        note=note,
        warn=warn,
        **work.settings,
    )
    outcome.shards = len(made.shards)
    if is_there(folder / "run.json"):
        outcome.result = merge(folder, before=work.before, after=work.after)
    else:
        outcome.to_run = tuple(standing_of(made).to_run)


def _run(work: PairWork, index: int, outcome: Outcome) -> None:
    begun = perf_counter()
    opened = _plans.get(work, _read(work))
    outcome.opened = perf_counter() - begun
    try:
        run_shard(opened, index)
    except BaseException:
        _plans.close()  # whatever was wrong with it, the next shard opens it anew
        raise


def _finish(work: PairWork, outcome: Outcome) -> None:
    _plans.close()
    _, warn = _notes(outcome)
    outcome.result = merge(work.out, before=work.before, after=work.after, warn=warn)


def _read(work: PairWork) -> Plan:
    try:
        return read_plan(work.out)
    except OutputError as error:
        raise OutputError(
            f"a worker does not see what the others do: {error.message}",
            hint="--out must be a folder that all machines share under the same name",
        ) from error


def _is_small(work: PairWork) -> bool:
    """Whether a pair is one task."""
    with open_sources(work.before, work.after) as sources:
        sizes = []
        for source in sources:
            with reading(source.name):
                sizes.append(source.dataset.height * source.dataset.width)
    return bool(max(sizes) <= WHOLE_PIXELS)


def _share(work: PairWork) -> Threads:
    """As the user says, else all threads of this worker: only one task at a time has them."""
    if work.threads is not None:
        return threads_for(work.threads)
    return Threads(threads_of_worker() or threads_for().count, "the Dask worker")


def _notes(outcome: Outcome) -> tuple[Callable[[str], None], Callable[[str], None]]:
    """What takes notes, and what takes warnings."""
    return (
        lambda text: outcome.said.append(("note", text)),
        lambda text: outcome.said.append(("warning", text)),
    )


def _check_version(work: PairWork) -> None:
    if work.version != __version__:
        raise HanetError(
            f"a worker has hanet {__version__}, the command hanet {work.version}",
            hint="install the same version on all machines",
        )


def forget() -> None:
    """Closes what this process has opened, and forgets the weights that it has loaded: the worker
    may live on for other work."""
    _one_at_a_time.submit(_plans.close).result()
    _runtimes.clear()
