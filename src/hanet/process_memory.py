"""Memory of the running process, now and at its peak."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

LINUX_STATUS = Path("/proc/self/status")
"""Where Linux tells the memory of a process."""


def peak_memory_mb() -> float:
    """Peak memory of this process so far in megabytes: of the GPU where there is one (Open-CD's column Mem), else resident memory."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e6
    if sys.platform == "win32":
        return _peak_on_windows() / 1e6
    if LINUX_STATUS.exists():
        # getrusage would also count what the process was before exec, for example a large test process
        return linux_memory_mb("VmHWM")
    return _peak_on_unix() / 1e6


def linux_memory_mb(key: str) -> float:
    """A figure of :data:`LINUX_STATUS` in megabytes: ``"VmRSS"`` is resident memory now, ``"VmHWM"`` its peak so far."""
    status = dict(line.split(":", 1) for line in LINUX_STATUS.read_text(encoding="utf-8").splitlines())
    return int(status[key].split()[0]) * 1024 / 1e6


if sys.platform == "win32":

    def _peak_on_windows() -> float:
        import ctypes
        from ctypes import wintypes

        sizes = ("PeakWorkingSetSize", "WorkingSetSize", "QuotaPeakPagedPoolUsage", "QuotaPagedPoolUsage")
        rest = ("QuotaPeakNonPagedPoolUsage", "QuotaNonPagedPoolUsage", "PagefileUsage", "PeakPagefileUsage")

        class Counters(ctypes.Structure):
            """PROCESS_MEMORY_COUNTERS of the Windows API."""

            _fields_ = (
                ("cb", wintypes.DWORD),
                ("PageFaultCount", wintypes.DWORD),
                *((name, ctypes.c_size_t) for name in (*sizes, *rest)),
            )

        kernel = ctypes.WinDLL("kernel32")
        kernel.GetCurrentProcess.restype = wintypes.HANDLE
        kernel.K32GetProcessMemoryInfo.argtypes = (wintypes.HANDLE, ctypes.POINTER(Counters), wintypes.DWORD)
        counters = Counters(cb=ctypes.sizeof(Counters))
        if not kernel.K32GetProcessMemoryInfo(kernel.GetCurrentProcess(), ctypes.byref(counters), counters.cb):
            return float("nan")
        return float(counters.PeakWorkingSetSize)

else:

    def _peak_on_unix() -> float:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return float(peak if sys.platform == "darwin" else peak * 1024)  # bytes on macOS, KiB elsewhere
