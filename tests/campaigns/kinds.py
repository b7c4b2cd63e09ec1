"""What a kind of input is, and what a case of it gives: a command, and where it may write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Command:
    """A command line on an input that a case has made.

    Args:
        arguments: What is typed after ``hanet``.
        what: What was done to the input, in a few words.
        writes: Files and folders that the command may make or change; all else must stay.
        keeps: What must stay as it is though it lies in one of these folders.
        secrets: Texts that may stand neither in the output nor in a result.
        environment: Variables to set.
        may_find_faults: Whether exit code 1 is allowed (check-data: the data set is unfit; adapt:
            no better weights).
        serves: Whether it serves a page until it is stopped: the page's questions are asked, then
            it is stopped as by Ctrl-C.
    """

    arguments: list[str]
    what: str
    writes: tuple[Path, ...] = ()
    keeps: tuple[Path, ...] = ()
    secrets: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    may_find_faults: bool = False
    serves: bool = False


Make: TypeAlias = Callable[["Bench", str], Command]
"""Makes the input of a case for a verb."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of damaged or hostile input.

    Args:
        make: Makes a case of it.
        verbs: The verbs that meet it.
    """

    make: Make
    verbs: tuple[str, ...]


Kinds: TypeAlias = Mapping[str, Kind]


class Bench:
    """Where a case makes its input.

    Args:
        folder: The command's working folder, empty.
        seeds: Folder of sound files to start from; see ``seeds.py``.
        random: Decides everything; of the seed, the verb, the kind and the number alone.
    """

    def __init__(self, folder: Path, seeds: Path, random: Random) -> None:
        self.folder, self.seeds, self.random = folder, seeds, random

    def sound(self, name: str, new_name: str | None = None) -> Path:
        """A copy of a sound file or folder in the working folder."""
        import shutil

        target = self.folder / (new_name or name)
        source = self.seeds / name
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True)
        else:
            shutil.copy(source, target)
        return target

    def pick(self, *values: object) -> object:
        """One of several values."""
        return self.random.choice(values)


VERBS = (
    "detect",
    "pairs",
    "check",
    "footprints",
    "evaluate",
    "compare",
    "train",
    "prepare",
    "check-data",
    "convert",
    "export",
    "models",
    "scene",
    "review",
    "deliver",
    "suggest",
    "adapt",
    "plan",
    "merge",
    "stac-pairs",
)
"""What is typed; ``pairs`` is ``detect --pairs``, ``stac-pairs`` is ``hanet pairs``."""
