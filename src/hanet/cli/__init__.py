"""The command line: one file a verb, and here the frame that turns errors into one line, a hint and exit code 2.

A verb's file imports only typer at its top; what the verb needs is imported in its body, so that ``hanet --help`` is instant
and a light install can name every verb.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Annotated

import typer

from hanet import __version__
from hanet.cli.console import print_error
from hanet.errors import HanetError, MissingExtraError

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
    "scene",
    "models",
    "train",
    "evaluate",
    "export",
    "bench",
    "convert",
    "datasets",
    "prepare",
    "check-data",
)
"""The verbs, each in a file of its own (``-`` becomes ``_``); the order is the order of the help text."""


def _version(value: bool) -> None:
    if value:
        typer.echo(f"hanet {__version__}")
        raise typer.Exit


@app.callback()
def frame(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Change detection in very-high-resolution images: two GeoTIFFs in, changed buildings out."""


for _verb in VERBS:
    import_module(f"hanet.cli.{_verb.replace('-', '_')}").register(app)


def main() -> None:
    """Entry point of the ``hanet`` command."""
    try:
        code = app(standalone_mode=False)
    except HanetError as error:
        print_error(error.message, error.hint)
        sys.exit(2)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == "hanet" or not package:
            raise
        missing = MissingExtraError(package, extra="train", purpose=f"hanet {' '.join(sys.argv[1:2])}")
        print_error(missing.message, missing.hint)
        sys.exit(2)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except typer.Abort:
        print_error("stopped", None)
        sys.exit(130)
    if isinstance(code, int) and code:  # typer.Exit(1) comes back as its code when the mode is not standalone
        sys.exit(code)
