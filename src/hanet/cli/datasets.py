"""``hanet datasets``: the table of published data sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hanet.datasets.published import KnownDataset


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("datasets")(datasets)


def datasets(
    name: Annotated[
        str | None, typer.Argument(help="Show this data set in full (default: list all).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")] = False,
) -> None:
    """List published data sets, or show one by NAME.

    Prints resolution, splits and terms; with NAME also folders, statistics and citation.
    """
    import json

    from rich.table import Table

    from hanet.cli.console import stdout
    from hanet.datasets.published import KNOWN_DATASETS, known_dataset

    if as_json:
        found = (
            known_dataset(name).to_json()
            if name
            else [entry.to_json() for entry in KNOWN_DATASETS.values()]
        )
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return
    if name:
        for key, value in _facts(known_dataset(name)):
            stdout.print(f"[bold]{key:<12}[/]", end="")
            stdout.print(value, soft_wrap=True, markup=False)
        return
    table = Table(show_edge=False, show_lines=True)
    for column in ("name", "m/px", "256 px tiles"):
        table.add_column(column, no_wrap=True)
    table.add_column("what changes; terms", overflow="fold")
    for entry in KNOWN_DATASETS.values():
        about = f"{entry.about}; terms: {entry.licence or 'not stated'}"
        table.add_row(entry.key, _gsd(entry), _tiles(entry), about)
    stdout.print(table)
    stdout.print(
        "hanet datasets NAME shows folders, statistics, citation and where to get it", markup=False
    )


def _facts(entry: KnownDataset) -> list[tuple[str, str]]:
    statistics = []
    if entry.statistics:
        for date, mean, std in (
            ("before", *entry.statistics[:2]),
            ("after", *entry.statistics[2:]),
        ):
            statistics.append((date, f"mean {_values(mean)}, std {_values(std)} (R, G, B in 0-1)"))
    return [
        ("name", f"{entry.title} ({entry.key})"),
        ("changes", entry.about),
        ("m/px", _gsd(entry)),
        ("release", entry.scenes),
        ("folders", entry.folders),
        ("tiles", f"{_tiles(entry)}{': ' if entry.tiles_note else ''}{entry.tiles_note}"),
        *statistics,
        ("terms", entry.licence or "not stated where we looked: ask its authors"),
        ("cite", entry.citation),
        ("get it", entry.homepage),
    ]


def _gsd(entry: KnownDataset) -> str:
    if entry.gsd_m is None:
        return "not stated"
    finest, coarsest = entry.gsd_m
    return f"{finest:g}" if finest == coarsest else f"{finest:g}-{coarsest:g}"


def _tiles(entry: KnownDataset) -> str:
    return "/".join(str(count) for count in entry.tiles.values())


def _values(numbers: tuple[float, ...]) -> str:
    return " ".join(f"{number:.4f}" for number in numbers)
