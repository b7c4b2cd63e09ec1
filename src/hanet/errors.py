"""Every error that hanet raises on purpose, as one family.

    HanetError                  base; carries a message and, where one helps, a hint
    ├── InputError              a file or value that the user gave cannot be used
    │   ├── RasterError         a raster is missing, unreadable, truncated or of an unusable type
    │   ├── GridError           two rasters cannot be brought to one grid (no overlap, no CRS ...)
    │   ├── VectorError         a vector file is missing, unreadable or of the wrong geometry
    │   └── StacError           a STAC document is missing, unreadable, or names nothing to be used
    ├── SettingsError           an option or an experiment file holds a value that is not allowed
    ├── DataSetError            a data set's layout, labels or manifest are wrong
    ├── WeightsError            a weights file is missing, corrupt or does not fit the model
    │   └── UnsafeWeightsError  a pickle asks for something that only code execution could give
    ├── ShapeError              a tensor or array has a shape that the function cannot take
    ├── OutputError             an output directory is taken, locked, full or does not fit the run
    ├── ClusterError            workers on other machines cannot be reached, or have gone
    ├── TrainingError           training cannot continue (a NaN, no foreground tile ...)
    ├── ParityError             two forms of one network do not agree
    └── MissingExtraError       a feature needs an optional dependency that is not installed

    HanetWarning                what may hurt a result, where the caller gave no ``warn``; the run
                                continues

The command line prints ``error: MESSAGE``, the hint under it, and ends with exit code 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class HanetError(Exception):
    """Base of every error that hanet raises on purpose.

    Args:
        message: What we got and what we need, in one sentence.
        hint: What to do about it; the command line prints it on a line of its own.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InputError(HanetError):
    """A file or a value that the user gave cannot be used."""


class RasterError(InputError):
    """A raster is missing, unreadable, truncated or of a type that cannot be used."""


class GridError(InputError):
    """Two rasters cannot be brought to one grid."""


class VectorError(InputError):
    """A vector file is missing, unreadable or holds the wrong kind of geometry."""


class StacError(InputError):
    """A STAC item or catalogue is missing, unreadable, or names nothing that could be used."""


class SettingsError(HanetError):
    """An option or an experiment file holds a value that is not allowed."""


class DataSetError(HanetError):
    """A data set's layout, labels or manifest are wrong."""


class WeightsError(HanetError):
    """A weights file is missing, corrupt or does not fit the model."""


class UnsafeWeightsError(WeightsError):
    """A pickle asks for something that could only be had by running code from it."""


class ShapeError(HanetError):
    """A tensor or array has a shape that the function cannot take."""


class OutputError(HanetError):
    """An output directory is taken, locked, full or does not fit the run."""


class ClusterError(HanetError):
    """The scheduler or the workers of a cluster cannot be reached, or have gone."""


class TrainingError(HanetError):
    """Training cannot continue."""


class ParityError(HanetError):
    """Two forms of one network do not give the same output."""


class MissingExtraError(HanetError):
    """A feature needs an optional dependency that is not installed, or cannot be loaded.

    Args:
        package: Name by which it is installed.
        extra: The extra of hanet that brings it.
        purpose: What needs it, for the message.
        error: What its import raised. Where it lacks another package, that one is named.
    """

    def __init__(
        self, package: str, *, extra: str, purpose: str, error: BaseException | None = None
    ) -> None:
        if error is None or isinstance(error, ModuleNotFoundError):
            missing = (getattr(error, "name", None) or package).partition(".")[0]
            is_same = missing.replace("_", "-") == package.replace("_", "-")
            super().__init__(
                f"{purpose} needs the package {(package if is_same else missing)!r}, which is not "
                "installed",
                hint=f"pip install 'hanet[{extra}]'",
            )
        else:
            super().__init__(
                f"{purpose} needs the package {package!r}, which is installed but cannot be "
                f"loaded: {one_line(error)}",
                hint="install it again; `hanet doctor` tells what works",
            )


@contextmanager
def importing(package: str, *, extra: str, purpose: str) -> Iterator[None]:
    """Turns what an import of an optional package raises into a :class:`MissingExtraError`, which
    has the same arguments: it is not there, or a library of it is not (OSError; ValueError of torch
    without one of CUDA), or it was built for another version of one (ValueError of numpy)."""
    try:
        yield
    except (ImportError, OSError, ValueError) as error:
        if (getattr(error, "name", None) or "").partition(".")[0] == "hanet":
            raise  # a fault of ours, no package
        raise MissingExtraError(package, extra=extra, purpose=purpose, error=error) from error


def one_line(error: BaseException | str, *, longest: int = 200) -> str:
    """What a library says, fit for a message of ours: its first line with text, without control
    characters, cut to ``longest`` characters; the type's name where it says nothing."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    text = "".join(sign if sign.isprintable() else " " for sign in text)
    text = " ".join(text.split())
    return text if len(text) <= longest else f"{text[:longest]} ..."


class HanetWarning(UserWarning):
    """What may hurt a result; given where a function got neither ``warn`` nor ``note``."""
