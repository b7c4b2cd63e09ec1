"""The command line: one file a verb.

This file is the frame: it turns errors into one line, a hint and exit code 2, and decides whether
people or programs are spoken to (``--progress``).

A verb's file imports only typer at its top; what the verb needs is imported in its body, so that
``hanet --help`` is instant and a light install can name every verb.
"""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from copy import copy
from functools import cache
from importlib import import_module
from typing import Annotated, Any

import typer

from hanet.cli.console import print_error
from hanet.cli.events import events, without_option
from hanet.errors import HanetError, MissingExtraError, one_line

app = typer.Typer(
    name="hanet",
    help="Change detection in very-high-resolution images: two GeoTIFFs in, changed buildings out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

VERBS = (
    "detect",
    "pairs",
    "plan",
    "merge",
    "check",
    "footprints",
    "suggest",
    "review",
    "deliver",
    "adapt",
    "scene",
    "models",
    "train",
    "evaluate",
    "compare",
    "export",
    "bench",
    "doctor",
    "convert",
    "datasets",
    "prepare",
    "check-data",
)
"""The verbs, each in a file of its own (``-`` becomes ``_``); the order is the order of the help
text."""


def _version(value: bool) -> None:
    """Versions of what decides a result, a line each; the first is ``hanet X`` for ever."""
    if value:
        from hanet.provenance import versions

        found = versions(("numpy", "onnxruntime", "torch"))
        lines = [f"{name} {found.get(name, 'not installed')}" for name in VERSIONS]
        lines[-1:-1] = _gdal_versions()
        typer.echo("\n".join(lines))
        raise typer.Exit


def _gdal_versions() -> list[str]:
    """The two that are installed; an installation that cannot load one must still say the rest."""
    try:
        from hanet.imagery.libraries import library_versions
    except ImportError as error:
        return [f"GDAL cannot be loaded: {one_line(error)}"]
    return [f"{name} {text}" for name, text in library_versions().items() if "GDAL" in name]


VERSIONS = ("hanet", "python", "numpy", "onnxruntime", "torch")
"""What ``--version`` tells, with both GDAL before torch, which is not imported for it."""


@app.callback()
def frame(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_version,
            is_eager=True,
            help="Print the versions of hanet and of what decides results, and exit.",
        ),
    ] = False,
    progress: Annotated[
        str,
        typer.Option(
            help="text, or json: progress, warnings and errors as lines for programs on stderr. "
            "Before or after the verb."
        ),
    ] = "text",
) -> None:
    """Change detection in very-high-resolution images: two GeoTIFFs in, changed buildings out."""


for _verb in VERBS:
    import_module(f"hanet.cli.{_verb.replace('-', '_')}").register(app)
for _command in app.registered_commands:
    _command.epilog = "Every verb also takes --progress json, for programs."


USAGE_ERROR: type[Exception] = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"
)
"""What a missing argument, an unknown option or a word for a number raises; typer brings it from
click or from a copy of its own."""

REFUSED = 2
"""Exit code after an error that hanet explains."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

UNEXPECTED = 1
"""Exit code after an error that hanet did not foresee."""


def main() -> None:
    """Entry point of the ``hanet`` command."""
    try:
        code = _run()
    except KeyboardInterrupt:  # before or after the verb's own work
        code = INTERRUPTED
    if code:
        sys.exit(code)


def _run() -> int:
    # a block that ignores it while a raster is opened does not hold where threads open several
    warnings.filterwarnings("ignore", message="Dataset has no geotransform")
    try:
        arguments, form = without_option(sys.argv[1:])
    except HanetError as error:
        print_error(error.message, error.hint)
        return REFUSED
    return _told(arguments) if form == "json" else _exit_code(arguments)


def _told(arguments: Sequence[str]) -> int:
    """Runs the command line for a program, which gets an event for everything, the end included;
    returns the exit code."""
    code: object = UNEXPECTED
    events.start(_verb_of(arguments))
    try:
        code = _exit_code(arguments)
    except SystemExit as stop:  # of a verb that chooses its exit code itself
        code = stop.code
    except KeyboardInterrupt:  # before or after the verb's own work
        code = INTERRUPTED
    except Exception as error:
        traceback.print_exc()
        print_error(
            f"unexpected {type(error).__name__}: {error}",
            "this is a fault of hanet: please report it with the lines above",
            exit_code=UNEXPECTED,
        )
    finally:
        code = code if isinstance(code, int) else UNEXPECTED
        events.end(code)
    return code


def _exit_code(arguments: Sequence[str]) -> int:
    """Runs the command line, and says an error with its hint; the exit code."""
    verb = _verb_of(arguments)
    help_of_verb = f"see hanet {verb} --help" if verb else "see hanet --help"
    try:
        code = _command_line(verb)(list(arguments) or ["--help"], standalone_mode=False)
    except HanetError as error:
        print_error(error.message, error.hint or help_of_verb)
        return REFUSED
    except MemoryError as error:
        print_error(
            f"not enough memory: {error}"[:300],
            "a smaller --tile or --batch needs less" if verb in ("adapt", "detect") else None,
        )
        return REFUSED
    except USAGE_ERROR as error:
        words = _in_words(error)
        spaced = words.startswith("got unexpected extra argument")
        print_error(
            words,
            f"names with spaces go between quotation marks; {help_of_verb}"
            if spaced
            else help_of_verb,
        )
        return REFUSED
    except ImportError as error:
        package = (error.name or "").partition(".")[0]
        if package == "hanet" or not package:
            raise
        purpose = f"hanet {verb or ''}"
        missing = MissingExtraError(package, extra="train", purpose=purpose, error=error)
        print_error(missing.message, missing.hint)
        return REFUSED
    except typer.Exit as stop:
        code = stop.exit_code
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except RuntimeError as error:
        # until Python 3.12 a class that was being made, while a module loaded, wraps Ctrl-C
        if not isinstance(error.__cause__, KeyboardInterrupt):
            raise
        code = INTERRUPTED
    if code == INTERRUPTED:
        print_error(
            "stopped",
            _how_to_continue(verb, arguments),
            exit_code=INTERRUPTED,
        )
    # typer.Exit(1) comes back as its code when the mode is not standalone
    return code if isinstance(code, int) else 0


@cache
def _command_line(verb: str | None) -> Callable[..., Any]:
    """What parses and runs a command line: with one verb, or for None with all of them.

    typer reads the annotations of every option anew whenever it is called, of all verbs: a tenth
    of a second, which is more than many a command takes.
    """
    asked = copy(app)
    if verb is not None:
        asked.registered_commands = [one for one in app.registered_commands if one.name == verb]
    return typer.main.get_command(asked)


def _how_to_continue(verb: str | None, arguments: Sequence[str]) -> str | None:
    """What to do after a verb that was stopped; None where there is nothing but to begin again."""
    if verb == "merge" or (verb == "detect" and "--plan" in arguments):
        return "the same command continues"
    return "the same command with --resume continues" if verb in ("adapt", "detect") else None


def _verb_of(arguments: Sequence[str]) -> str | None:
    """The verb of a command line; None where it names none."""
    return next((word for word in arguments[:1] if word in VERBS), None)


def _in_words(error: BaseException) -> str:
    """The message of a wrong command line as one sentence like ours: no capital, no full stop."""
    text: str = error.format_message() if hasattr(error, "format_message") else str(error)
    return (text[:1].lower() + text[1:]).removesuffix(".")
