"""``hanet compare``: which of two evaluations is better, by how much, and where."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hanet.evaluation.comparison import Comparison


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("compare")(compare)


def compare(
    first: Annotated[Path, typer.Argument(help="A file of hanet evaluate --out.")],
    second: Annotated[Path, typer.Argument(help="Another one, of the same split and protocol.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Write a page: scores, a dot an image, the images that differ most."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Data set that was evaluated, to show its images on the page."),
    ] = None,
    first_maps: Annotated[
        Path | None, typer.Option(help="Folder of evaluate --error-maps of FIRST, for the page.")
    ] = None,
    second_maps: Annotated[
        Path | None, typer.Option(help="Folder of evaluate --error-maps of SECOND, for the page.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")] = False,
) -> None:
    """Compare two evaluations of the same labels.

    Prints the difference of F1, precision, recall and IoU with its 95 % interval over images, and
    the ten images on which both differ most. Results of other labels, splits or protocols are
    refused.
    """
    import json

    from hanet.cli.console import print_note
    from hanet.destination import check_file
    from hanet.errors import SettingsError
    from hanet.evaluation.comparison import compare as compare_results
    from hanet.evaluation.comparison_page import Shown, write_page

    if out is None and (data or first_maps or second_maps):
        raise SettingsError(
            "--data, --first-maps and --second-maps are for the page", hint="give --out page.html"
        )
    if out is not None:
        check_file(out, "--out")
    comparison = compare_results(first, second)
    if out is not None:
        write_page(out, comparison, Shown(data, (first_maps, second_maps)))
        print_note(f"wrote {out}")
    if as_json:
        typer.echo(json.dumps(comparison.to_json(), indent=2, allow_nan=False))
    else:
        _print(comparison)


def _print(comparison: Comparison) -> None:
    """The verdict, the scores and the images of the largest difference. Fits 80 columns."""
    from rich.table import Table

    from hanet.cli.console import stdout
    from hanet.evaluation.comparison import SHOWN, wrong
    from hanet.evaluation.paired import SCORES

    values = comparison.first.values
    stdout.print(
        f"{values.get('data')}, split {values['split']}, {values['protocol']}, "
        f"{len(comparison.images)} images",
        markup=False,
        soft_wrap=True,
    )
    for name, side in (("first", comparison.first), ("second", comparison.second)):
        stdout.print(f"{name:<7}{side.title} ({side.path.name})", markup=False, soft_wrap=True)
    table = Table(show_edge=False)
    for column in ("per cent", "first", "second", "difference", "95 % interval"):
        table.add_column(column, justify="left" if column == "per cent" else "right", no_wrap=True)
    scores = comparison.first.scores, comparison.second.scores
    for name in SCORES:
        found = comparison.differences[name]
        table.add_row(
            {"f1": "F1", "iou": "IoU"}.get(name, name),
            *(f"{100 * getattr(side, name):.2f}" for side in scores),
            f"{100 * found.value:+.2f}",
            f"{100 * found.low:+.2f} to {100 * found.high:+.2f}",
        )
    stdout.print(table)
    stdout.print(comparison.in_words(), markup=False, soft_wrap=True)
    differing = [image for image in comparison.images[:SHOWN] if image.fewer_wrong]
    if differing:
        stdout.print()
        listed = Table(show_edge=False)
        listed.add_column("differ most", overflow="fold")
        for column in ("wrong, first", "second", "F1, first", "second"):
            listed.add_column(column, justify="right", no_wrap=True)
        for image in differing:
            listed.add_row(
                image.name,
                *(f"{wrong(side):,}" for side in (image.first, image.second)),
                *(f"{100 * side.scores().f1:.1f}" for side in (image.first, image.second)),
            )
        stdout.print(listed)
