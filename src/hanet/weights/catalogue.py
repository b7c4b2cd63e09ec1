"""Weights by name: where they lie, and what is known of them.

A file ``NAME.onnx`` (to run) or ``NAME.safetensors`` (to train from, to export, and for torch) in
one of the folders of :func:`installed` is the weights NAME. New ones of the project: put the ONNX
into ``src/hanet/weights/shipped`` while the wheel stays small, else into ``weights/``; the
safetensors into ``weights/``; the name into :data:`OURS`.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from hanet.errors import WeightsError
from hanet.files import is_folder, is_there
from hanet.metadata import Metadata

DEFAULT = "hanet_lite"
"""Name of the weights that detection uses unless told otherwise."""

OURS = ("hanet_lite", "hanet")
"""Names that weights of the project have; not every installation holds all of them."""

FOLDERS_VARIABLE = "HANET_WEIGHTS"
"""Environment variable with further folders of weights, separated like PATH."""

SUFFIXES = (".onnx", ".safetensors")


@dataclass(frozen=True, slots=True)
class Entry:
    """A weights file that can be named."""

    name: str
    path: Path

    def metadata(self) -> Metadata:
        """What travels with it."""
        return read_metadata(self.path)


def read_metadata(path: Path) -> Metadata:
    """Metadata of an ONNX or a safetensors file; needs neither torch nor safetensors.

    Raises:
        WeightsError: The file is missing, corrupt, or holds none.
    """
    from hanet.weights.runtime import read_onnx_metadata
    from hanet.weights.weights_file import read_safetensors_metadata

    _check(path)
    return read_onnx_metadata(path) if path.suffix == ".onnx" else read_safetensors_metadata(path)


def installed() -> list[Entry]:
    """All weights that can be named: those in the package, in the folders of ``HANET_WEIGHTS``, and
    in a checkout's ``weights/``."""
    found: dict[tuple[str, str], Entry] = {}
    for folder in _folders():
        for path in sorted(folder.iterdir()) if is_folder(folder) else []:
            if path.suffix in SUFFIXES:
                found.setdefault((path.stem, path.suffix), Entry(path.stem, path))
    return list(found.values())


def resolve(name: str | Path, *, suffixes: tuple[str, ...] = SUFFIXES) -> Path:
    """The file of a name, a path, or a run folder (its best weights).

    Args:
        name: For example ``"hanet_lite"``, ``"model.onnx"``, ``"runs/first"``.
        suffixes: Kinds that will do, the best first.

    Raises:
        WeightsError: Nothing fits; the hint names what there is.
    """
    path = Path(name)
    entries = installed()
    named = str(name) in OURS or any(entry.name == str(name) for entry in entries)
    if is_folder(path):
        best = path / "weights" / "best.safetensors"
        if is_there(best):
            return best
        if not named:  # else a folder that only happens to have the name of weights
            raise WeightsError(
                f"the folder {path} is no training run: it has no weights/best.safetensors"
            )
    elif path.suffix in SUFFIXES or is_there(path):
        _check(path)
        return path
    for suffix in suffixes:
        for entry in entries:
            if entry.name == str(name) and entry.path.suffix == suffix:
                return entry.path
    names = sorted({entry.name for entry in entries})
    same = [entry.path.suffix for entry in entries if entry.name == str(name)]
    if same:
        raise WeightsError(
            f"the weights {str(name)!r} are here as {', '.join(same)}; {' or '.join(suffixes)} "
            "is needed",
            hint="hanet export makes .onnx of .safetensors"
            if ".onnx" in suffixes
            else f"those of the project lie in weights/ of its repository; {FOLDERS_VARIABLE} "
            "names further folders",
        )
    if named:
        raise WeightsError(
            f"the weights {str(name)!r} are not in this installation",
            hint=f"hanet models lists those that are; {FOLDERS_VARIABLE} names a folder that "
            f"holds {name}.onnx or {name}.safetensors",
        )
    near = difflib.get_close_matches(str(name), names, n=1)
    raise WeightsError(
        f"there are no weights {str(name)!r}",
        hint=f"did you mean {near[0]}?"
        if near
        else f"the weights are: {', '.join(names) or 'none'}; or give a file",
    )


def _check(path: Path) -> None:
    if not is_there(path) or not path.is_file():
        raise WeightsError(
            f"there is no weights file {path}",
            hint="hanet models lists the weights that have a name",
        )
    if path.suffix not in SUFFIXES:
        raise WeightsError(
            f"{path} is neither .onnx nor .safetensors",
            hint="old checkpoints: hanet convert makes .safetensors of them",
        )


def _folders() -> Iterator[Path]:
    package = Path(str(files("hanet")))
    yield package / "weights" / "shipped"
    for text in os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep):
        if text:
            yield Path(text)
    checkout = package.parents[1] / "weights"
    if (package.parents[1] / "pyproject.toml").is_file():
        yield checkout
