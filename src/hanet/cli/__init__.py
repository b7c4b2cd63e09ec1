"""The command line: one file a verb.

This file is the frame: it turns errors into one line, a hint and exit code 2.

A verb's file imports only typer at its top; what the verb needs is imported in its body, so that
``hanet --help`` is instant and a light install can name every verb.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Annotated

import typer

from hanet.cli.console import print_error
from hanet.errors import HanetError, MissingExtraError
from hanet.version import __version__

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
    "check",
    "footprints",
    "review",
    "deliver",
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
    if value:
        typer.echo(f"hanet {__version__}")
        raise typer.Exit


@app.callback()
def frame(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Change detection in very-high-resolution images: two GeoTIFFs in, changed buildings out."""


for _verb in VERBS:
    import_module(f"hanet.cli.{_verb.replace('-', '_')}").register(app)


USAGE_ERROR: type[Exception] = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"
)
"""What a missing argument, an unknown option or a word for a number raises; typer brings it from
click or from a copy of its own."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


def main() -> None:
    """Entry point of the ``hanet`` command."""
    try:
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False)
    except HanetError as error:
        print_error(error.message, error.hint or _help())
        sys.exit(2)
    except MemoryError as error:
        print_error(
            f"not enough memory: {error}"[:300],
            "a smaller --tile or --batch needs less" if sys.argv[1:2] == ["detect"] else None,
        )
        sys.exit(2)
    except USAGE_ERROR as error:
        print_error(_in_words(error), _help())
        sys.exit(2)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == "hanet" or not package:
            raise
        missing = MissingExtraError(
            package, extra="train", purpose=f"hanet {' '.join(sys.argv[1:2])}"
        )
        print_error(missing.message, missing.hint)
        sys.exit(2)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    if code == INTERRUPTED:
        verb = sys.argv[1:2]
        print_error(
            "stopped", "the same command with --resume continues" if verb == ["detect"] else None
        )
    if (
        isinstance(code, int) and code
    ):  # typer.Exit(1) comes back as its code when the mode is not standalone
        sys.exit(code)


def _help() -> str:
    verb = next((word for word in sys.argv[1:2] if word in VERBS), "")
    return f"see hanet {verb} --help" if verb else "see hanet --help"


def _in_words(error: BaseException) -> str:
    """The message of a wrong command line as one sentence like ours: no capital, no full stop."""
    text: str = error.format_message() if hasattr(error, "format_message") else str(error)
    return (text[:1].lower() + text[1:]).removesuffix(".")
