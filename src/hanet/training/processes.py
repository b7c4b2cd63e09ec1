"""Which of the processes of a run this one is, and who started them.

Three starters are known. ``hanet``: this process starts the others of its machine (through
Lightning). ``torchrun`` and ``slurm`` (``srun``) start all processes themselves, and their
environment says how many there are.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from hanet.errors import SettingsError

Starter = Literal["hanet", "torchrun", "slurm"]
"""Who starts the processes."""


@dataclass(frozen=True, slots=True)
class ProcessLayout:
    """The processes of a run and this one's place among them.

    Args:
        processes: On each machine.
        nodes: Machines.
        rank: This process, from 0 over all machines.
        starter: Who started it.
    """

    processes: int
    nodes: int
    rank: int
    starter: Starter

    @property
    def total(self) -> int:
        """Processes on all machines."""
        return self.processes * self.nodes

    def environment(self) -> ClusterEnvironment:
        """The same for Lightning, said outright: its own detection takes a batch job for one that
        ``srun`` started."""
        if self.starter == "torchrun":
            return TorchElasticEnvironment()
        return (
            SLURMEnvironment(auto_requeue=False)
            if self.starter == "slurm"
            else LightningEnvironment()
        )


def process_layout(
    processes: int | None, nodes: int | None, *, environment: Mapping[str, str] | None = None
) -> ProcessLayout:
    """The layout of the run that this process belongs to.

    Args:
        processes: On each machine, as the user says; None takes torchrun's or srun's number, else
            1.
        nodes: Machines; None is one, or as many as were started.
        environment: Of this process; ``os.environ`` if None.

    Raises:
        SettingsError: A number is below 1, or torchrun or srun started another number of processes.

    Example:
        >>> process_layout(2, None, environment={"LOCAL_RANK": "1"})
        ProcessLayout(processes=2, nodes=1, rank=1, starter='hanet')
    """
    environment = os.environ if environment is None else environment
    for name, value in (("processes", processes), ("nodes", nodes)):
        if value is not None and value < 1:
            raise SettingsError(f"{name} is {value}; at least one is needed")
    starter = _starter(environment)
    if starter == "hanet":
        here, machines = processes or 1, nodes or 1
        rank = int(environment.get("NODE_RANK", 0)) * here + int(environment.get("LOCAL_RANK", 0))
        return ProcessLayout(here, machines, rank if here * machines > 1 else 0, starter)
    if starter == "torchrun":
        here, total = int(environment["LOCAL_WORLD_SIZE"]), int(environment["WORLD_SIZE"])
        machines, rank = total // here, int(environment["RANK"])
    else:
        machines, total = (
            int(environment["SLURM_STEP_NUM_NODES"]),
            int(environment["SLURM_STEP_NUM_TASKS"]),
        )
        here, rank = total // machines, int(environment["SLURM_PROCID"])
    if here * machines != total:
        raise SettingsError(
            f"{starter} started {total} processes on {machines} machines; every machine needs "
            "equally many",
            hint="for SLURM, say --ntasks-per-node instead of --ntasks",
        )
    if (processes or here, nodes or machines) != (here, machines):
        raise SettingsError(
            f"{starter} started {here} processes on each of {machines} machines, the command "
            f"says {processes or here} "
            f"on {nodes or machines}",
            hint="leave --processes and --nodes out: they are taken from the starter",
        )
    return ProcessLayout(here, machines, rank, starter)


def _starter(environment: Mapping[str, str]) -> Starter:
    if "TORCHELASTIC_RUN_ID" in environment:
        return "torchrun"
    # a job script that does not use srun, and an interactive shell, have one task or none of these
    # variables
    return "slurm" if int(environment.get("SLURM_STEP_NUM_TASKS", 1)) > 1 else "hanet"
