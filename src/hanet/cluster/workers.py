"""The workers of a Dask scheduler: each process gets one task at a time, as long as there are any.

The only file that imports Dask. Dask's scheduler would take all tasks at once and give a worker as
many as it has threads; here each process has one, with all its threads, so that memory stays that
of one detection a process, and a list of a million shards waits here instead of there.
"""

from __future__ import annotations

import queue
import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any
from uuid import uuid4

from hanet.cluster.work import Outcome, Task
from hanet.errors import ClusterError, SettingsError, importing, one_line
from hanet.threads import threads_for

PORT = re.compile(r":\d+(/|$)")
"""What every address of a scheduler holds."""

SECONDS_TO_CONNECT = 20.0
"""How long a scheduler may take to answer."""

SECONDS_TO_SAY = 5.0
"""How long a worker that has ended a task may take to say what became of it: some hundred bytes."""

SECONDS_WITHOUT_WORKERS = 60.0
"""How long to wait for a first worker, and for another one when all are gone."""

MOST_LOSSES = 3
"""So many times a task is run again whose worker was lost: if it is the task that kills them, it
must not kill all."""

SECONDS_BETWEEN_LOOKS = 1.0
"""How often it is asked which workers there are."""


@dataclass(frozen=True, slots=True)
class _Given:
    """A task that a worker has.

    Args:
        task: It.
        address: Of the worker.
        losses: Workers that were lost with it before.
    """

    task: Task
    address: str
    losses: int


class Workers:
    """The workers of a scheduler, for the time of a ``with``.

    Args:
        address: Of a scheduler (``HOST:8786``, ``tcp://...``, ``tls://...``), or ``local:4`` for as
            many processes on this machine; ``local`` takes one for each thread that may be used.
        forget: Called on each worker at the end.
        note: Called with what is worth knowing, in words.

    Raises:
        MissingExtraError: Dask is not installed.
        SettingsError: It is no such address.
        ClusterError: No scheduler answers there.
    """

    def __init__(
        self,
        address: str,
        *,
        forget: Callable[[], None],
        note: Callable[[str], None] | None = None,
    ) -> None:
        with importing("distributed", extra="dask", purpose="--cluster"):
            import distributed
        self._dask: Any = distributed
        self._address, self._forget, self._note = address, forget, note or (lambda _: None)
        self._open = ExitStack()
        self._run = uuid4().hex[:8]
        self._busy: dict[Any, _Given] = {}
        self._lost: deque[_Given] = deque()
        self._done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._known: dict[str, int] = {}
        self._looked = self._had_workers = 0.0
        self._number = 0
        self.most_workers = 0
        self.client: Any = None

    def __enter__(self) -> Workers:
        local = _local_processes(self._address)
        quiet: dict[str, Any] = {
            # what Dask logs of lost connections is said in our words
            "logging.distributed": "critical",
            "distributed.worker.daemon": False,
        }
        import dask

        self._open.enter_context(dask.config.set(quiet))
        _silence()
        try:
            target = self._address if local is None else self._local(local)
            self.client = self._dask.Client(
                target, timeout=SECONDS_TO_CONNECT, set_as_default=False
            )
            # a client whose scheduler has gone would try to find it again for as long as it may
            # take to answer
            self._open.callback(self.client.close, timeout=2)
        except (OSError, TimeoutError, ValueError) as error:
            self._open.close()
            raise ClusterError(
                f"no Dask scheduler answers at {self._address}: {one_line(error)}",
                hint="start one with `dask scheduler`, and workers with `dask worker ADDRESS`; or "
                "give --cluster local:4",
            ) from error
        if self.client.dashboard_link:
            self._note(f"Dask's dashboard: {self.client.dashboard_link}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(Exception):
            if kind is None:
                self.client.run(self._forget, on_error="ignore")
            else:  # whatever ended the run: tasks that wait are not begun any more
                self.client.cancel(list(self._busy), force=True)
        with suppress(Exception):
            self._open.close()

    def outcomes(self, take: Callable[[], Task | None]) -> Iterator[tuple[Task, Outcome]]:
        """Runs what ``take`` gives, a task for each free process, and yields what became of each,
        until nothing runs and it gives no more.

        A task whose worker is lost runs again on another one, up to :data:`MOST_LOSSES` times; then
        it has failed. Workers that come later are used from then on.

        Args:
            take: The next task; None where there is none now.

        Raises:
            ClusterError: The scheduler has gone, or there are no workers for a minute.
        """
        self._had_workers = time.monotonic()
        while True:
            waits = self._hand_out(take)
            if not self._busy and not self._lost and not waits:
                return
            try:
                future = self._done.get(timeout=SECONDS_BETWEEN_LOOKS)
            except queue.Empty:
                self._check_scheduler()
                yield from self._given_up()
                continue
            given = self._busy.pop(future, None)
            if given is not None:  # not of a worker that was given up
                outcome = self._outcome(future)
                if outcome is None:
                    outcome = self._again(given)
                if outcome is not None:
                    yield given.task, outcome
            yield from self._given_up()

    def _hand_out(self, take: Callable[[], Task | None]) -> bool:
        """Gives each free worker a task; whether there may be tasks for which no worker is free."""
        self._look()
        working = [given.address for given in self._busy.values()]
        for address in (address for address in self._known if address not in working):
            given = self._lost.popleft() if self._lost else None
            if given is None:
                task = take()
                if task is None:
                    return False
                given = _Given(task, address, losses=0)
            self._submit(replace(given, address=address))
        return True

    def _given_up(self) -> Iterator[tuple[Task, Outcome]]:
        """Tasks whose worker was lost once too often; others are to be run again."""
        self._look()
        gone = [future for future, given in self._busy.items() if given.address not in self._known]
        for future in gone:
            given = self._busy.pop(future)
            future.cancel()
            outcome = self._again(given)
            if outcome is not None:
                yield given.task, outcome

    def _again(self, given: _Given) -> Outcome | None:
        """Keeps a task whose worker was lost to be run again; what became of it if that happened
        too often."""
        if given.losses < MOST_LOSSES:
            self._lost.append(replace(given, losses=given.losses + 1))
            return None
        return Outcome(
            error=f"{given.losses + 1} workers were lost, one after another, while they ran it",
            hint="did they have too little memory?",
        )

    def _submit(self, given: _Given) -> None:
        self._number += 1
        task = given.task
        future = self._guarded(
            lambda: self.client.submit(
                task.function,
                *task.arguments,
                key=f"hanet {task.kind}-{self._run}-{self._number:06d}",
                workers=[given.address],
                pure=False,
            )
        )
        self._busy[future] = given
        future.add_done_callback(self._done.put)

    def _look(self) -> None:
        """Which workers there are, asked anew now and then."""
        now = time.monotonic()
        if self._known and now - self._looked < SECONDS_BETWEEN_LOOKS:
            return
        found: Mapping[str, int] = self._guarded(self.client.nthreads)
        self._known, self._looked = dict(found), now
        self.most_workers = max(self.most_workers, len(self._known))
        if self._known:
            self._had_workers = now
        elif now - self._had_workers > SECONDS_WITHOUT_WORKERS:
            raise ClusterError(
                f"the scheduler at {self._address} has no workers",
                hint="start some with `dask worker ADDRESS`, then continue with --resume",
            )

    def _outcome(self, future: Any) -> Outcome | None:
        """What a worker said of its task; None where it was lost before it could be asked."""
        try:
            outcome = future.result(timeout=SECONDS_TO_SAY)
            assert isinstance(outcome, Outcome)
            return outcome
        except TimeoutError:
            future.cancel()
            return None
        except self._dask.scheduler.KilledWorker as error:
            return Outcome(
                error=f"its worker was lost again and again: {one_line(error)[:200]}",
                hint="did they have too little memory?",
            )
        except CancelledError as error:
            raise self._gone() from error
        except (ImportError, AttributeError) as error:  # it cannot be unpacked there
            raise ClusterError(
                f"a worker cannot run hanet: {one_line(error)}",
                hint="install the same hanet on all machines",
            ) from error
        except Exception as error:  # whatever a worker raised
            return Outcome(error=f"{type(error).__name__}: {one_line(error)}")

    def _check_scheduler(self) -> None:
        if self.client.status not in ("running", "connecting", "newly-created"):
            raise self._gone()

    def _guarded(self, ask: Callable[[], Any]) -> Any:
        """What the scheduler answers.

        Raises:
            ClusterError: It does not.
        """
        try:
            return ask()
        except (OSError, TimeoutError, CancelledError, RuntimeError, ValueError) as error:
            raise self._gone() from error

    def _gone(self) -> ClusterError:
        return ClusterError(
            f"the Dask scheduler at {self._address} has gone",
            hint="what is done is kept: start it again, and continue with --resume",
        )

    def _local(self, processes: int) -> Any:
        """So many processes on this machine, that share its threads."""
        share = threads_for(processes=processes).count
        return self._open.enter_context(
            self._dask.LocalCluster(
                n_workers=processes,
                threads_per_worker=share,
                processes=True,
                # nothing but names travels, and memory is that of a detection: Dask need not end
                # a process because it is large
                memory_limit=0,
                dashboard_address="127.0.0.1:0",
                silence_logs="CRITICAL",
            )
        )


def threads_of_worker() -> int:
    """Threads of the Dask worker that runs this task; 0 where none does."""
    from distributed import get_worker

    try:
        return int(get_worker().state.nthreads)
    except ValueError:
        return 0


def _local_processes(address: str) -> int | None:
    """The number of ``local:4``; None for the address of a scheduler.

    Raises:
        SettingsError: It is neither.
    """
    name, _, number = address.partition(":")
    if name != "local":
        # without a port Dask fails at once and hangs for forty seconds when it is cleared away
        if not PORT.search(address) or address.startswith("-") or re.search(r"\s", address):
            raise SettingsError(
                f"--cluster {address!r} is no address",
                hint="for example tcp://10.0.0.1:8786, or local:4 for four processes here",
            )
        return None
    if not number:
        return threads_for().count
    if not number.isascii() or not number.isdecimal() or not 1 <= int(number) <= 1024:
        raise SettingsError(
            f"--cluster {address!r}: {number!r} is no number of processes",
            hint="for example local:4",
        )
    return int(number)


def _silence() -> None:
    import logging

    # Dask has set a level for several of its loggers each, which goes before that of the first
    known = [name for name in logging.root.manager.loggerDict if name.startswith("distributed")]
    for name in ("distributed", "tornado.application", "asyncio", *known):
        logging.getLogger(name).setLevel(logging.CRITICAL)
