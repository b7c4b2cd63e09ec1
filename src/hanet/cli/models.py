"""``hanet models``: lists installed weights, or those that are named, with their scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from hanet.metadata import Metadata
    from hanet.types import Json
    from hanet.weights.catalogue import Entry


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("models")(models)


def models(
    weights: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="weights",
            help="Names of weights, files or run folders; all that have a name if none is given.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")] = False,
) -> None:
    """List weights with their scores.

    Shows training data, scores by protocol, resolution, size, terms of use and speed class: fast is
    below 40 billion multiply-adds (GMAC) per megapixel of a pair, medium below 100, slow above.
    """
    import json

    from hanet.cli.console import print_warning, stdout
    from hanet.errors import WeightsError
    from hanet.weights import catalogue

    installed = catalogue.installed()
    entries = []
    for entry in [] if weights else installed:
        try:
            entries.append((entry, entry.metadata()))
        except WeightsError as error:  # a folder may hold files of other tools too
            print_warning(error.message)
    for path in map(catalogue.resolve, weights or ()):
        metadata = catalogue.read_metadata(path)
        entries.append((catalogue.Entry(path.stem, path), metadata))
    if as_json:
        print(json.dumps([_as_json(entry, metadata) for entry, metadata in entries], indent=2))
        return
    defaults = (entry.path for entry in installed if entry.name == catalogue.DEFAULT)
    taken = next((path for path in defaults if path.suffix == ".onnx"), None)
    for entry, metadata in entries:
        default = " (default)" if entry.path == taken else ""
        stdout.print(f"{entry.name}{entry.path.suffix}{default}", markup=False, soft_wrap=True)
        for name, value in (
            *((("file", entry.path),) if weights else ()),
            ("network", metadata.model),
            ("resolution", f"{metadata.gsd_m:g} m a pixel"),
            ("size", f"{entry.path.stat().st_size / 1e6:.1f} MB"),
            ("speed", _speed(metadata)),
            ("threshold", f"{metadata.threshold:.3g}"),
            ("kinds", _kinds(metadata)),
            ("trained on", metadata.training_data or "not stated"),
            ("terms", metadata.licence or "not stated"),
            *(("note", note) for note in metadata.notes if weights),
        ):
            stdout.print(f"  {name:<11} {value}", markup=False, soft_wrap=True)
        if metadata.scores:
            stdout.print("  scores of the change class, in percent:")
            stdout.print(_scores(metadata))
        else:
            stdout.print("  scores      not measured")
        stdout.print()
    if not entries:
        stdout.print(
            f"no weights found; put files into a folder and set {catalogue.FOLDERS_VARIABLE} to it"
        )


def _as_json(entry: Entry, metadata: Metadata) -> Json:
    """All that is known of a file."""
    import json

    from hanet.weights.workload import gmac_per_megapixel, speed_class

    speed = {
        "speed_class": speed_class(metadata),
        "gmac_per_megapixel": gmac_per_megapixel(metadata),
    }
    return {
        "file": str(entry.path),
        "bytes": entry.path.stat().st_size,
        **speed,
        **json.loads(metadata.to_json()),
    }


def _kinds(metadata: Metadata) -> str:
    """Whether they tell built from demolished."""
    tells = bool(metadata.model_arguments.get("direction"))
    return "tells built from demolished" if tells else "does not tell built from demolished"


def _speed(metadata: Metadata) -> str:
    """The speed class and what it comes from."""
    from hanet.weights.workload import gmac_per_megapixel, speed_class

    work = gmac_per_megapixel(metadata)
    return "not known" if work is None else f"{speed_class(metadata)} ({work:.0f} GMAC a megapixel)"


def _scores(metadata: Metadata) -> Any:
    """A table of the scores of the change class, a row a data set and protocol."""
    from rich.table import Table

    table = Table(show_edge=False, box=None, pad_edge=False)
    table.add_column("    data", overflow="fold")
    for name in ("split", "protocol"):
        table.add_column(name, overflow="fold")
    for name in ("F1", "IoU", "precision", "recall"):
        table.add_column(name, justify="right")
    for score in metadata.scores:
        numbers = (
            f"{100 * value:.2f}" for value in (score.f1, score.iou, score.precision, score.recall)
        )
        table.add_row(f"    {score.dataset}", score.split, score.protocol, *numbers)
    return table
