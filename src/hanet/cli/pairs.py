"""``hanet pairs``: pairs of images chosen from a STAC catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hanet.command_line import typed


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("pairs")(pairs)


def pairs(
    catalog: Annotated[
        str,
        typer.Argument(
            help="STAC catalogue, collection, landing page of an API, or file of items: a path or "
            "an address."
        ),
    ],
    aoi: Annotated[
        Path,
        typer.Option(
            help="Vector file with the area that the pairs are to cover.", show_default=False
        ),
    ],
    before: Annotated[
        str,
        typer.Option(
            help="When the first images were taken: 2019, 2019-05, 2019-05-17, or two of these as "
            "2019-04/2019-09.",
            show_default=False,
        ),
    ],
    after: Annotated[str, typer.Option(help="The same for the second images.", show_default=False)],
    out: Annotated[Path, typer.Option(help="CSV file to write, for hanet detect --pairs.")] = Path(
        "pairs.csv"
    ),
    collection: Annotated[
        str | None, typer.Option(help="Ids of collections; separate several by commas.")
    ] = None,
    asset: Annotated[
        str | None,
        typer.Option(
            help="Asset that is the image (default: the GeoTIFF with the role visual or data)."
        ),
    ] = None,
    max_cloud: Annotated[
        float, typer.Option(min=0, max=100, help="Highest cloud cover of an item, in percent.")
    ] = 20.0,
    max_off_nadir: Annotated[
        float, typer.Option(min=0, max=90, help="Largest off-nadir angle, in degrees.")
    ] = 30.0,
    min_sun: Annotated[
        float, typer.Option(min=-90, max=90, help="Lowest elevation of the sun, in degrees.")
    ] = 15.0,
    most: Annotated[int, typer.Option(min=1, help="Largest number of pairs.")] = 1000,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the list and the table of items.")
    ] = False,
) -> None:
    """Choose pairs of images from a STAC catalogue.

    Picks pairs that cover the area, by overlap, clouds, off-nadir angle, sun and season, and
    records why each was chosen. Also writes a table of all items with the reasons why they were
    left out.
    """
    from hanet.cli.console import print_note, print_result, stdout
    from hanet.cli.options import names
    from hanet.stac.choice import Rules
    from hanet.stac.pair_choice import RULES, choose_pairs
    from hanet.stac.periods import parse_period

    made = choose_pairs(
        catalog,
        aoi=aoi,
        before=parse_period(before, "--before"),
        after=parse_period(after, "--after"),
        out=out,
        asset=asset,
        collections=names(collection),
        rules=Rules(max_cloud, max_off_nadir, min_sun),
        most=most,
        overwrite=overwrite,
        note=print_note,
    )
    for rule, words in RULES.items():
        if count := sum(one.rule == rule for one in made.items):
            print_note(f"{count} of {len(made.items)} items {words}")
    count = len(made.pairs)
    listing, items = made.written
    print_result(
        f"{count} {'pair' if count == 1 else 'pairs'} of {len(made.items)} items; together they "
        f"show {made.share:.0%} of the area",
        {listing: "list", items: "table"},
        pairs=count,
        items=len(made.items),
        share=made.share,
    )
    for name, pair in list(made.pairs.items())[:5]:
        stdout.print(f"{name}: {pair.why}", soft_wrap=True, markup=False)
    stdout.print(
        f"next: hanet detect --pairs {typed(listing)} --aoi {typed(aoi)} "
        f"--out {typed(listing.stem)}",
        soft_wrap=True,
        markup=False,
    )
