"""Seconds and memory of a training step: forward, loss, backward, optimiser."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from torch import Tensor, nn

from hanet.bench.measuring import (
    Run,
    added_mb,
    both_precisions,
    frame,
    in_child,
    interleaved,
    network_of,
    rates,
    set_threads,
    with_ratios,
)
from hanet.training.losses import LOSSES
from hanet.training.process_memory import LINUX_STATUS, keep_freed_memory
from hanet.types import Json

MEMORY_KEPT = ", memory kept"
"""Ends the name of a subject whose process keeps what it frees:
:func:`hanet.training.process_memory.keep_freed_memory`."""


WARM_UP_PX = 64
"""Side of the tiles of a training step that is not measured: one at full size would take as long as
one that is."""


def training(
    *,
    sizes: Sequence[int] = (128,),
    batch: int = 8,
    rounds: int = 3,
    plain: Path | None = None,
    threads: int | None = None,
) -> Json:
    """Seconds of a training step (forward, hybrid loss, backward, Adam) of our networks, and of the
    plain one if its file is given.

    Ours in bfloat16 too where the processor has it, and ``hanet`` once more in a process that keeps
    its memory, under Linux. There is no round that does not count, but a step on small tiles.

    Args:
        sizes: Sides of the tiles.
        batch: Pairs a step.
        rounds: Steps of each, in turn; the median counts.
        plain: File with a class ``PlainHANet``.
        threads: Threads of torch.

    Raises:
        InputError: ``plain`` is not such a file.
    """
    set_threads(threads)
    result = frame("training", threads, rounds) | {"batch": batch}
    names = ["plain, torch"] if plain else []
    names += [
        name for model in ("hanet", "hanet_lite") for name in both_precisions(f"{model}, torch")
    ]
    networks = {name: network_of(name, plain).train() for name in names}
    for name, network in networks.items():
        _training_step(name, network, WARM_UP_PX, batch)()
    kept = [f"hanet, torch{MEMORY_KEPT}"] if LINUX_STATUS.exists() else []
    for size in sizes:
        steps = {
            name: _training_step(name, network, size, batch) for name, network in networks.items()
        }
        with ExitStack() as children:
            steps |= {
                name: children.enter_context(_StepInChild(name, size, batch, threads))
                for name in kept
            }
            measured = interleaved(steps, rounds, warm_ups=0)
        for name, seconds in measured.items():
            row = {"subject": name, "size_px": size, **rates(seconds, batch * size * size)}
            if LINUX_STATUS.exists():
                row["peak_memory_mb"] = in_child(
                    _training_memory, name, size, batch, plain, threads
                )
            result["rows"].append(row)
    return with_ratios(result, against="plain, torch")


def _training_step(name: str, network: nn.Module, size: int, batch: int) -> Run:
    """A step of the subject of this name, on random images; ours in channels-last memory, as they
    are trained."""
    layout = torch.contiguous_format if name.startswith("plain") else torch.channels_last
    network = network.to(memory_format=layout)  # type: ignore[call-overload]
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(2, batch, 3, size, size, generator=generator)
    before, after = (image.contiguous(memory_format=layout) for image in images)
    change = (torch.rand(batch, size, size, generator=generator) < 0.1).long()
    optimiser = torch.optim.Adam(network.parameters(), fused=True)

    def step() -> None:
        optimiser.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled="bf16" in name):
            logits = network(before, after)
        loss: Tensor = LOSSES["hybrid"](logits.float(), change)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    return step


class _StepInChild:
    """A training step in a process of its own, that keeps its memory; called, it does one step
    there and waits for it.

    Raises:
        MemoryError: The system has stopped that process, as it does where memory runs out.
    """

    def __init__(self, name: str, size: int, batch: int, threads: int | None) -> None:
        self._name = name
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve_steps, args=(theirs, name, size, batch, threads), daemon=True
        )

    def __enter__(self) -> _StepInChild:
        self._process.start()
        # it does a step on tiles of full size, so that it has the memory that it keeps
        self._wait()
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.terminate()
        self._process.join()

    def __call__(self) -> None:
        self._wait(goes_on=True)

    def _wait(self, *, goes_on: bool = False) -> None:
        try:
            if goes_on:
                self._pipe.send(None)
            self._pipe.recv()
        except (EOFError, ConnectionError) as error:
            raise MemoryError(f"the process of {self._name!r} was stopped") from error


def _serve_steps(pipe: Connection, name: str, size: int, batch: int, threads: int | None) -> None:
    set_threads(threads)
    keep_freed_memory()
    step = _training_step(name, network_of(name, None).train(), size, batch)
    with suppress(EOFError):  # the parent is gone
        while True:
            step()
            pipe.send(None)
            pipe.recv()


def _training_memory(
    name: str, size: int, batch: int, plain: Path | None, threads: int | None
) -> float:
    set_threads(threads)
    if name.endswith(MEMORY_KEPT):
        keep_freed_memory()
    return added_mb(_training_step(name, network_of(name, plain).train(), size, batch))
