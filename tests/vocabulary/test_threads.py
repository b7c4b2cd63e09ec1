"""How many threads this process may use: what limits it, and in which order."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hanet.errors import SettingsError
from hanet.threads import Threads, sharing, threads_for

V2 = "0::/jobs/one\n"
MOUNT_V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = "4:memory:/jobs\n3:cpu,cpuacct:/jobs/one\n"
MOUNT_V1 = (
    "31 24 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "32 24 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
)


def _system(root: Path, cgroup: str, mounts: str, files: dict[str, str]) -> Path:
    """A file system with these files in ``sys/fs/cgroup``."""
    everything = {"proc/self/cgroup": cgroup, "proc/self/mountinfo": mounts}
    everything |= {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
    for name, text in everything.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture(autouse=True)
def _machine_of_sixteen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(12)), raising=False)


@pytest.mark.parametrize(
    ("files", "count"),
    [
        ({"jobs/one/cpu.max": "250000 100000\n"}, 2),
        ({"jobs/one/cpu.max": "50000 100000\n"}, 1),  # half a CPU is one thread
        ({"jobs/one/cpu.max": "max 100000\n"}, 12),
        ({"jobs/one/cpu.max": "max 100000\n", "jobs/cpu.max": "400000 100000\n"}, 4),
        ({"jobs/one/cpu.max": "800000 100000\n", "jobs/cpu.max": "400000 100000\n"}, 4),
        ({"cpu.max": "300000 100000\n"}, 3),  # a container sees its own group at the top
        ({"jobs/one/cpu.max": ""}, 12),
        ({}, 12),
    ],
)
def test_a_quota_of_a_cgroup_v2_limits(tmp_path: Path, files: dict[str, str], count: int) -> None:
    root = _system(tmp_path, V2, MOUNT_V2, files)
    found = threads_for(environment={}, root=root)
    assert found.count == count
    assert ("v2" in found.source) == (count < 12)


@pytest.mark.parametrize(
    ("quota", "count"), [("300000", 3), ("-1", 12), ("99999", 1), ("2000000", 12)]
)
def test_a_quota_of_a_cgroup_v1_limits(tmp_path: Path, quota: str, count: int) -> None:
    group = "cpu,cpuacct/jobs/one"
    files = {f"{group}/cpu.cfs_quota_us": quota, f"{group}/cpu.cfs_period_us": "100000"}
    found = threads_for(environment={}, root=_system(tmp_path, V1, MOUNT_V1, files))
    assert found.count == count
    assert ("v1" in found.source) == (count < 12)


def test_a_group_that_is_mounted_itself_is_found(tmp_path: Path) -> None:
    """A container without a namespace of cgroups has its group at the mount point, and knows it by
    the name that it has outside."""
    mounts = "9 8 0:1 /jobs /sys/fs/cgroup ro - cgroup2 cgroup ro\n"
    root = _system(tmp_path, V2, mounts, {"one/cpu.max": "200000 100000"})
    assert threads_for(environment={}, root=root).count == 2


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"OMP_NUM_THREADS": "3", "SLURM_CPUS_PER_TASK": "5"}, Threads(3, "OMP_NUM_THREADS")),
        ({"OMP_NUM_THREADS": "8", "SLURM_CPUS_PER_TASK": "5"}, Threads(5, "SLURM_CPUS_PER_TASK")),
        ({"OMP_NUM_THREADS": "4,2"}, Threads(4, "OMP_NUM_THREADS")),
        ({"OMP_NUM_THREADS": "64"}, Threads(12, "the CPU affinity")),
        ({"OMP_NUM_THREADS": "0"}, Threads(12, "the CPU affinity")),
        ({"OMP_NUM_THREADS": "many", "SLURM_CPUS_PER_TASK": ""}, Threads(12, "the CPU affinity")),
    ],
    ids=str,
)
def test_the_smallest_limit_counts(
    tmp_path: Path, environment: dict[str, str], expected: Threads
) -> None:
    assert threads_for(environment=environment, root=tmp_path) == expected


def test_what_is_asked_for_goes_before_all_limits(tmp_path: Path) -> None:
    found = threads_for(40, environment={"OMP_NUM_THREADS": "3"}, root=tmp_path)
    assert found == Threads(40, "--threads")
    with pytest.raises(SettingsError, match="threads is 0"):
        threads_for(0)
    for number in (5000, 10**20):  # engines take 32 bits
        with pytest.raises(SettingsError, match="threads is more than 4,096"):
            threads_for(number)


def test_a_number_of_the_environment_that_no_machine_has_says_nothing(tmp_path: Path) -> None:
    environment = {"OMP_NUM_THREADS": "9" * 5000, "SLURM_CPUS_PER_TASK": "3"}
    assert threads_for(environment=environment, root=tmp_path).count == 3


def test_processes_share_what_is_not_each_ones_own(tmp_path: Path) -> None:
    """OMP_NUM_THREADS is for each process already; divided too, it would be halved twice."""
    slurm = {"SLURM_CPUS_PER_TASK": "8"}
    assert threads_for(processes=2, environment=slurm, root=tmp_path).count == 4
    both = slurm | {"OMP_NUM_THREADS": "3"}
    assert threads_for(processes=2, environment=both, root=tmp_path).count == 3
    assert threads_for(processes=99, environment=slurm, root=tmp_path).count == 1


def test_a_limit_of_a_library_counts_too(tmp_path: Path) -> None:
    own = Threads(2, "torch")
    assert threads_for(also=[own], environment={}, root=tmp_path) == own


def test_a_share_that_was_given_goes_before_limits_and_after_the_user() -> None:
    share = Threads(5, "somebody")
    with sharing(share):
        assert threads_for(environment={"OMP_NUM_THREADS": "1"}) == share
        assert threads_for(2).count == 2
    assert threads_for(environment={"OMP_NUM_THREADS": "1"}).count == 1


CHILD = """
import json, os, sys
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from hanet.weights import catalogue
from hanet.weights.engine import Engine
from hanet.weights.runtime import open_runtime
name = sys.argv[1]
engine = Engine(name)
runtime = open_runtime(catalogue.resolve("hanet_lite", suffixes=engine.suffixes), engine)
if name == "onnxruntime":
    count = runtime._session.get_session_options().intra_op_num_threads
elif name == "openvino":
    count = runtime._compiled.get_property("INFERENCE_NUM_THREADS")
else:
    import torch
    count = torch.get_num_threads()
print(count)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="affinity is set as on Linux")
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino", "torch"])
def test_engines_take_what_a_real_process_may_use(engine: str) -> None:
    """ONNX Runtime and OpenVINO took all cores of the host."""
    if engine != "onnxruntime":
        pytest.importorskip(engine)
    free = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "SLURM_JOB_ID")}
    ended = subprocess.run(
        [sys.executable, "-c", CHILD, engine], env=free, capture_output=True, text=True, check=True
    )
    assert json.loads(ended.stdout) == 1
