"""How many threads this process may use, and who says so.

Engines take all cores of the machine unless they are told otherwise: too many for a container with
a CPU quota, a task of a batch system, or a worker beside other workers, where threads that wait for
each other are then slower than a few.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hanet.errors import SettingsError

OPTION = "--threads"
"""The source of a number that was asked for."""

MOST_THREADS = 4096
"""More than any machine has; engines take the number as 32 bits."""

PER_PROCESS, PER_TASK = "OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK"
"""Variables of the environment: the first is for each process, the second for all processes of a
task of SLURM together."""


@dataclass(frozen=True, slots=True)
class Threads:
    """A number of threads and where it comes from.

    Args:
        count: At least 1.
        source: What decided it, in words.
    """

    count: int
    source: str

    def to_json(self) -> dict[str, int | str]:
        """For ``run.json``."""
        return {"count": self.count, "source": self.source}


_SHARE: ContextVar[Threads | None] = ContextVar("_SHARE", default=None)


@contextmanager
def sharing(share: Threads) -> Iterator[None]:
    """Within it whoever asks for no number gets this one: for workers of an engine that shares out
    the processors of the machine itself."""
    token = _SHARE.set(share)
    try:
        yield
    finally:
        _SHARE.reset(token)


def check_threads(count: int) -> None:
    """Does nothing for a number of threads that can be asked for.

    Raises:
        SettingsError: It is less than 1, or more than :data:`MOST_THREADS`.
    """
    if count < 1:
        raise SettingsError(f"threads is {count}; it must be at least 1")
    if count > MOST_THREADS:
        raise SettingsError(f"threads is more than {MOST_THREADS:,}", hint="leave --threads out")


def threads_for(
    asked: int | None = None,
    *,
    processes: int = 1,
    also: Iterable[Threads] = (),
    environment: Mapping[str, str] | None = None,
    root: Path = Path("/"),
) -> Threads:
    """What is asked for; else what :func:`sharing` gives; else the smallest of what
    OMP_NUM_THREADS, SLURM_CPUS_PER_TASK, the CPU quota of the cgroup, the CPU affinity and the
    machine allow.

    A quota of 2.5 CPUs gives 2 threads: with a third one all would be stopped for the rest of each
    period. Values of the environment that are no whole numbers from 1 on say nothing, as for
    OpenMP.

    Args:
        asked: By the user; goes before everything else.
        processes: Processes that share the CPUs of this one, itself among them; each takes an equal
            part of all but OMP_NUM_THREADS, and at least one thread.
        also: More limits, for example a library's own choice.
        environment: Variables; ``os.environ`` if None.
        root: Of the file system in which ``proc`` and ``sys`` lie.

    Raises:
        SettingsError: See :func:`check_threads`.

    Example:
        >>> threads_for(4)
        Threads(count=4, source='--threads')
    """
    if asked is not None:
        check_threads(asked)
        return Threads(asked, OPTION)
    if (share := _SHARE.get()) is not None:
        return share
    environment = os.environ if environment is None else environment
    shared = [
        *_from_environment(environment, PER_TASK),
        *_from_cgroups(root),
        *_from_affinity(),
        Threads(os.cpu_count() or 1, "the processors of the machine"),
    ]
    limits = [
        *_from_environment(environment, PER_PROCESS),
        *(Threads(max(1, limit.count // processes), limit.source) for limit in shared),
        *also,
    ]
    return min(limits, key=lambda limit: limit.count)  # of equal ones the first


def _from_environment(environment: Mapping[str, str], name: str) -> Iterator[Threads]:
    # OMP_NUM_THREADS may list one number for each level of nested regions
    text = environment.get(name, "").partition(",")[0].strip()
    if text.isascii() and text.isdecimal() and len(text) < 10 and int(text) >= 1:
        yield Threads(int(text), name)


def _from_affinity() -> Iterator[Threads]:
    if hasattr(os, "sched_getaffinity"):
        yield Threads(len(os.sched_getaffinity(0)), "the CPU affinity")


def _from_cgroups(root: Path) -> Iterator[Threads]:
    """The CPU quotas of the groups of this process and of the groups above them."""
    for mount, kind, place in _cgroup_places(root):
        # what lies above the mount point is not seen, and limits nothing that is seen here
        for group in (place, *place.parents):
            folder = root / mount.relative_to("/") / group
            quota = _quota_v2(folder) if kind == "v2" else _quota_v1(folder)
            if quota is not None:
                yield Threads(max(1, int(quota)), f"the CPU quota of the cgroup ({kind})")


def _cgroup_places(root: Path) -> Iterator[tuple[PurePosixPath, str, PurePosixPath]]:
    """Mount point, version, and this process's group below it, of each hierarchy that may hold a
    CPU quota.

    Source: proc_pid_mountinfo(5), cgroups(7).
    """
    own = dict(_own_groups(root))
    for line in _lines(root / "proc/self/mountinfo"):
        mounted, _, rest = line.partition(" - ")
        fields, kind = mounted.split(), rest.split()
        if len(fields) < 5 or len(kind) < 3:
            continue
        controllers = kind[2].split(",")
        version = {"cgroup2": "v2", "cgroup": "v1"}.get(kind[0])
        if version is None or (version == "v1" and "cpu" not in controllers):
            continue
        group = own.get(version)
        if group is None:
            continue
        inside = PurePosixPath(fields[3])  # which group stands at the mount point
        place = group.relative_to(inside) if group.is_relative_to(inside) else PurePosixPath()
        yield PurePosixPath(fields[4]), version, place


def _own_groups(root: Path) -> Iterator[tuple[str, PurePosixPath]]:
    """The group of this process in the hierarchy of each version."""
    for line in _lines(root / "proc/self/cgroup"):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            yield "v2", PurePosixPath(path)
        elif "cpu" in controllers.split(","):
            yield "v1", PurePosixPath(path)


def _quota_v2(folder: Path) -> float | None:
    """CPUs; None where there is no limit.

    Source: Linux, Documentation/admin-guide/cgroup-v2.rst, ``cpu.max``.
    """
    quota, period = [*" ".join(_lines(folder / "cpu.max")).split(), "", ""][:2]
    return _share(quota, period)


def _quota_v1(folder: Path) -> float | None:
    """CPUs; None where there is no limit.

    Source: Linux, Documentation/scheduler/sched-bwc.rst.
    """
    quota, period = (
        " ".join(_lines(folder / f"cpu.cfs_{name}_us")) for name in ("quota", "period")
    )
    return _share(quota, period)


def _share(quota: str, period: str) -> float | None:
    if not (quota.isdecimal() and period.isdecimal()):  # "max" and -1 are no limit
        return None
    return int(quota) / int(period) if int(period) else None


def _lines(path: Path) -> list[str]:
    """The lines of a file; none where it cannot be read, as on other systems."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
