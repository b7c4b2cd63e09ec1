"""Memory of the running process: how much it is, now and at its peak, and whether the process keeps
what it frees."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import torch

from hanet.errors import SettingsError

LINUX_STATUS = Path("/proc/self/status")
"""Where Linux tells the memory of a process."""

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
"""Parameters of mallopt, from glibc's malloc.h."""


def peak_memory_mb() -> float:
    """Peak memory of this process so far in megabytes: of the GPU where there is one (Open-CD's
    column Mem), else resident memory."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e6
    if sys.platform == "win32":
        return _peak_on_windows() / 1e6
    if LINUX_STATUS.exists():
        # getrusage would also count what the process was before exec, for example a large test
        # process
        return linux_memory_mb("VmHWM")
    return _peak_on_unix() / 1e6


def linux_memory_mb(key: str) -> float:
    """A figure of :data:`LINUX_STATUS` in megabytes: ``"VmRSS"`` is resident memory now,
    ``"VmHWM"`` its peak so far."""
    status = dict(
        line.split(":", 1) for line in LINUX_STATUS.read_text(encoding="utf-8").splitlines()
    )
    return int(status[key].split()[0]) * 1024 / 1e6


def keep_freed_memory() -> None:
    """Lets this process keep what it frees for what it takes next, from now on.

    Otherwise each large tensor is given back to the system when it is freed, and the next one of
    its size is made of fresh pages, which the system must clear first: a step of training takes and
    frees gigabytes. It costs that resident memory stays at its peak.

    Raises:
        SettingsError: The C library is not glibc, the only one with this setting.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if library is None or not hasattr(library, "mallopt"):
        raise SettingsError(
            "memory can be kept only with glibc, the C library of most Linux systems",
            hint="leave --keep-memory out",
        )
    library.mallopt(_M_MMAP_MAX, 0)  # nothing is mapped by itself, to be unmapped when it is freed
    library.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)  # and the heap's end is not given back


if sys.platform == "win32":

    def _peak_on_windows() -> float:
        from ctypes import wintypes

        sizes = (
            "PeakWorkingSetSize",
            "WorkingSetSize",
            "QuotaPeakPagedPoolUsage",
            "QuotaPagedPoolUsage",
        )
        rest = (
            "QuotaPeakNonPagedPoolUsage",
            "QuotaNonPagedPoolUsage",
            "PagefileUsage",
            "PeakPagefileUsage",
        )

        class Counters(ctypes.Structure):
            """PROCESS_MEMORY_COUNTERS of the Windows API."""

            _fields_ = (
                ("cb", wintypes.DWORD),
                ("PageFaultCount", wintypes.DWORD),
                *((name, ctypes.c_size_t) for name in (*sizes, *rest)),
            )

        kernel = ctypes.WinDLL("kernel32")
        kernel.GetCurrentProcess.restype = wintypes.HANDLE
        kernel.K32GetProcessMemoryInfo.argtypes = (
            wintypes.HANDLE,
            ctypes.POINTER(Counters),
            wintypes.DWORD,
        )
        counters = Counters(cb=ctypes.sizeof(Counters))
        if not kernel.K32GetProcessMemoryInfo(
            kernel.GetCurrentProcess(), ctypes.byref(counters), counters.cb
        ):
            return float("nan")
        return float(counters.PeakWorkingSetSize)

else:

    def _peak_on_unix() -> float:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return float(
            peak if sys.platform == "darwin" else peak * 1024
        )  # bytes on macOS, KiB elsewhere
