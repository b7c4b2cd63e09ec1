"""Runs cases: each makes its input in one forked child and types its command in another.

The process that forks has imported everything and run nothing, so that a case costs what its
command costs. What a child does, it does as a process of its own: its exit code, its memory, its
standard output.
"""

from __future__ import annotations

import os
import pickle
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from campaigns import families
from campaigns.kinds import VERBS, Bench, Command
from campaigns.promise import (
    MOST_BYTES,
    MOST_PROCESSES,
    MOST_SECONDS,
    Ended,
    Problem,
    listing,
    problems,
)
from campaigns.questions import ask_page
from campaigns.seeds import COMMANDS_AFTER_REVIEW, SEED_COMMANDS, make_review, make_seeds

LARGEST_FILE = 2**30
"""No case needs a larger one; a disk that fills up would be the campaign's fault."""


SECONDS_BETWEEN_COUNTS = 0.5
"""How often the processes of a command are counted."""


@dataclass(frozen=True, slots=True)
class CaseName:
    """Which case: all that its input is a function of."""

    verb: str
    kind: str
    seed: int
    number: int

    @property
    def reproducer(self) -> str:
        """The command that runs this case alone."""
        return (
            f"python -m campaigns --verb {self.verb} --kind {self.kind} "
            f"--seed {self.seed} --case {self.number}"
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a case.

    Args:
        name: Which case.
        what: What was done to its input.
        arguments: What was typed.
        ended: How the command ended.
        problems: The promises that it broke.
    """

    name: CaseName
    what: str
    arguments: list[str]
    ended: Ended
    problems: tuple[Problem, ...]


def case_names(
    *, seed: int, cases: int, verbs: Sequence[str] = VERBS, kinds: Sequence[str] = ()
) -> list[CaseName]:
    """So many cases, spread evenly over all verbs and kinds that are asked for."""
    places = [
        (verb, kind)
        for kind, about in families.KINDS.items()
        for verb in about.verbs
        if verb in verbs and (not kinds or kind in kinds)
    ]
    order = list(places)
    Random(f"order {seed}").shuffle(order)  # few cases are a sample of all places
    return [
        CaseName(*order[index % len(order)], seed, index // len(order)) for index in range(cases)
    ]


class CannotBeMadeError(Exception):
    """The input of a case cannot be made: a fault of the campaign."""


class Runner:
    """Runs cases in a folder for temporary files; makes the sound files at the start.

    Args:
        folder: Where to work; each case is removed when it was checked.
        keep: Leave the folder of each case.
    """

    def __init__(self, folder: Path, *, keep: bool = False) -> None:
        self._folder, self._keep = folder, keep
        self._seeds = folder / "seeds"
        if not (self._seeds / "mine.adapt").exists():
            self._make_seeds()

    def run(self, name: CaseName) -> Outcome:
        """Runs one case."""
        place = self._folder / f"{name.verb}-{name.kind}-{name.seed}-{name.number}"
        shutil.rmtree(place, ignore_errors=True)
        work, home = place / "work", place / "home"
        for folder in (work, home):
            folder.mkdir(parents=True)
        try:
            try:
                command = self._made(name, place, work, home)
            except CannotBeMadeError as error:
                problem = Problem("campaign", "the input cannot be made:", str(error))
                return Outcome(name, "", [], Ended(None, 0.0, 0, 0, b"", b""), (problem,))
            before = listing(work)
            ended = self._typed(command, place, work, home)
            found = tuple(problems(command, ended, folder=work, before=before, home=home))
            return Outcome(name, command.what, command.arguments, ended, found)
        finally:
            if not self._keep:
                shutil.rmtree(place, ignore_errors=True)

    def _made(self, name: CaseName, place: Path, work: Path, home: Path) -> Command:
        """The input of a case, made by a child; it says by a file what to type."""
        note = place / "command.pickle"

        def make() -> None:
            random = Random(f"{name.verb} {name.kind} {name.seed} {name.number}")
            bench = Bench(work, self._seeds, random)
            command = families.KINDS[name.kind].make(bench, name.verb)
            note.write_bytes(pickle.dumps(command))

        ended = _in_child(make, place, work, home)
        if ended.code != 0:
            raise CannotBeMadeError(ended.stderr.decode(errors="replace").splitlines()[-1])
        made: Command = pickle.loads(note.read_bytes())
        return made

    def _typed(self, command: Command, place: Path, work: Path, home: Path) -> Ended:
        def type_it() -> None:
            os.environ.update(command.environment)
            limit = _address_space() + MOST_BYTES
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            if command.serves:
                ask_page(place / "stdout.txt", Random(command.what))
            _hanet(command.arguments)

        return _in_child(type_it, place, work, home)

    def _make_seeds(self) -> None:
        """The sound files, made in children so that this process runs nothing."""
        shutil.rmtree(self._seeds, ignore_errors=True)
        place = self._folder / "making-seeds"
        for folder in (self._seeds, place / "home"):
            folder.mkdir(parents=True, exist_ok=True)
        works: list[Callable[[], None]] = [lambda: make_seeds(self._seeds)]
        works += [partial(_hanet, words) for words in SEED_COMMANDS]
        works.append(lambda: make_review(self._seeds))
        works += [partial(_hanet, words) for words in COMMANDS_AFTER_REVIEW]
        for work in works:
            ended = _in_child(work, place, self._seeds, place / "home")
            if ended.code != 0:
                raise RuntimeError(f"the sound files cannot be made: {ended.stderr.decode()}")
        shutil.rmtree(place)


def run_cases(names: Sequence[CaseName], folder: Path, *, jobs: int = 1) -> Iterator[Outcome]:
    """Runs cases, by several processes at once if asked; outcomes come as they end."""
    runner = Runner(folder)
    if jobs == 1:
        for name in names:
            yield runner.run(name)
        return
    readers = []
    for job in range(jobs):
        reader, writer = os.pipe()
        if os.fork() == 0:
            os.close(reader)
            _run_share(runner, names[job::jobs], writer)
        os.close(writer)
        readers.append(os.fdopen(reader, "rb"))
    yield from _merged(readers)
    for _ in range(jobs):
        if os.wait()[1]:
            raise RuntimeError("a process of the campaign has failed; see above")


def _run_share(runner: Runner, names: Sequence[CaseName], writer: int) -> None:
    """What one of several processes does; never returns."""
    code = 1
    try:
        with os.fdopen(writer, "wb") as file:
            for name in names:
                pickle.dump(runner.run(name), file)
                file.flush()
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def warm_up() -> None:
    """Imports what the commands import, once: the package, and what it imports only when it is
    needed."""
    import gc
    import pkgutil
    from importlib import import_module

    import onnxruntime
    import PIL.Image
    import pytorch_lightning
    import rasterio.features
    import rich.table
    import scipy
    import torch.utils.tensorboard
    import typer._adapters

    import hanet

    for module in pkgutil.walk_packages(hanet.__path__, "hanet."):
        if module.name != "hanet.__main__":
            import_module(module.name)
    PIL.Image.preinit()
    assert all((onnxruntime, pytorch_lightning, rasterio, rich, scipy, torch, typer))
    gc.freeze()


def _merged(readers: list[Any]) -> Iterator[Outcome]:
    """Outcomes of several pipes in turn."""
    waiting = list(readers)
    while waiting:
        for reader in list(waiting):
            try:
                yield pickle.load(reader)
            except EOFError:
                waiting.remove(reader)
                reader.close()


def _in_child(work: Callable[[], None], place: Path, folder: Path, home: Path) -> Ended:
    """Does something in a forked child whose output goes to files."""
    outputs = [place / "stdout.txt", place / "stderr.txt"]
    begun = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        _be_child(work, outputs, folder, home)
    code: int | None = None
    processes, counted, pause = 1, begun, 0.002
    while True:
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            break
        now = time.perf_counter()
        if now - counted > SECONDS_BETWEEN_COUNTS:
            processes, counted = max(processes, _processes_of(pid)), now
        if now - begun > MOST_SECONDS or processes > MOST_PROCESSES:
            os.killpg(pid, signal.SIGKILL)
            _, _, usage = os.wait4(pid, 0)
            break
        time.sleep(pause)
        pause = min(1.2 * pause, 0.02)  # to look all the time takes as much as a command does
    seconds = time.perf_counter() - begun
    stdout, stderr = (path.read_bytes() for path in outputs)
    return Ended(code, seconds, usage.ru_maxrss * 1024, processes, stdout, stderr)


def _processes_of(group: int) -> int:
    """Processes of a process group."""
    count = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            text = stat.read_text(encoding="utf-8", errors="replace")  # a name may be anything
            count += int(text.rpartition(")")[2].split()[2]) == group
    return count


def _be_child(work: Callable[[], None], outputs: list[Path], folder: Path, home: Path) -> None:
    """Never returns."""
    code = 1
    try:
        os.setpgid(0, 0)
        # as in a terminal: where the campaign runs in the background, Ctrl-C may be ignored
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for target, path in zip((1, 2), outputs, strict=True):
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(file, target)
            os.close(file)
        sys.stdout.reconfigure(encoding="utf-8", errors="strict")  # type: ignore[union-attr]
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.chdir(folder)
        variables = {"HOME": home, "TMPDIR": home, "XDG_CACHE_HOME": home, "COLUMNS": 120}
        os.environ.update({key: str(value) for key, value in variables.items()})
        tempfile.tempdir = None
        with suppress(OSError):  # where memory runs out, the case goes and not who runs it
            Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))
        work()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                code = code or 1
        os._exit(code)


def _hanet(arguments: list[str]) -> None:
    from hanet.cli import main

    sys.argv = ["hanet", *arguments]
    main()


def _address_space() -> int:
    """Bytes of addresses that this process has already."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    return pages * resource.getpagesize()
