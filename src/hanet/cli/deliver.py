"""``hanet deliver``: what was reviewed, as layers and a page; edited layers back; labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from hanet.review.inputs import DateName


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("deliver")(deliver)


def deliver(
    out: Annotated[
        Path, typer.Argument(help="Folder of a reviewed hanet detect, or of its --pairs.")
    ],
    into: Annotated[
        Path | None, typer.Option("--out", help="Folder for the files (default: OUT/delivery).")
    ] = None,
    formats: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="gpkg (the default), geojson, fgb, parquet, shp, kml, csv; separate several by "
            "commas.",
        ),
    ] = None,
    status: Annotated[
        str | None,
        typer.Option(
            help="accepted (the default; includes drawn ones), rejected, unsure, unreviewed, or "
            "all; separate several by commas."
        ),
    ] = None,
    edited: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="First read back a delivered layer that was edited; rows are matched by id.",
        ),
    ] = None,
    deleted: Annotated[
        str | None,
        typer.Option(
            help="With --from: items whose rows are gone become rejected, or are kept (default: "
            "rejected, unless more than half are gone)."
        ),
    ] = None,
    reviewer: Annotated[
        str | None,
        typer.Option(help="With --from: who edited the layer (default: your user name)."),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Also write the reviewed ground as DIR/SPLIT/{A,B,label} tiles."
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="With --labels: folder in DIR (default train).")
    ] = None,
    tile: Annotated[
        int | None, typer.Option(help="With --labels: side of a tile in pixels (default 256).")
    ] = None,
    before: Annotated[
        str | None, typer.Option(help="With --labels: path of the before image, if it was moved.")
    ] = None,
    after: Annotated[
        str | None, typer.Option(help="With --labels: path of the after image, if it was moved.")
    ] = None,
) -> None:
    """Deliver what was reviewed.

    Writes the accepted and drawn footprints as layers, and a page about them.
    """
    from hanet.cli.console import print_note, print_result
    from hanet.cli.options import names
    from hanet.cli.progress import stage_progress
    from hanet.review.delivery import REPORT, check_delivery, statuses_of
    from hanet.review.delivery import deliver as write
    from hanet.review.label_tiles import TILE_PX
    from hanet.review.labels import check_place

    _check_company(
        {"--deleted": deleted, "--reviewer": reviewer}, "--from", is_given=edited is not None
    )
    of_labels = {"--split": split, "--tile": tile, "--before": before, "--after": after}
    _check_company(of_labels, "--labels", is_given=labels is not None)
    if before is not None or after is not None:
        _check_single(out)
    into_split = "train" if split is None else split
    tile_px = TILE_PX if tile is None else tile
    chosen = statuses_of(names(status) or ("accepted",))
    wanted = names(formats) or ("gpkg",)
    # all that can be known before something is recorded or written
    check_delivery(out, into=into, formats=wanted, statuses=chosen)
    if labels is not None:
        check_place(labels, into_split)
    if edited is not None:
        _take_back(out, edited, deleted, reviewer)
    labelled: dict[str, Path] = {}
    if labels is not None:
        labelled = _labelled(out, labels, into_split, tile_px, {"before": before, "after": after})
    with stage_progress() as progress:
        delivery = write(
            out,
            into=into,
            formats=wanted,
            statuses=chosen,
            taken_back=edited,
            progress=progress,
        )
    for note in delivery.notes:
        print_note(note)
    unit = "m²" if delivery.has_metres else "square pixels"
    print_result(
        f"{delivery.count} footprint{'' if delivery.count == 1 else 's'} delivered, "
        f"{delivery.area:,.0f} {unit}",
        {path: "report" if path.name == REPORT else "reviewed" for path in delivery.files},
        footprints=delivery.count,
        area=delivery.area,
        has_metres=delivery.has_metres,
    )
    if labels is not None:
        images = {"before": before, "after": after}
        _write_labels(labelled, labels, split=into_split, tile_px=tile_px, **images)


def _labelled(
    out: Path, labels: Path, split: str, tile_px: int, images: dict[DateName, str | None]
) -> dict[str, Path]:
    """The runs that labels are made of by the names of their tiles; all of them are checked before
    one is written."""
    from hanet.cli.console import print_note
    from hanet.review.inputs import check_inputs
    from hanet.review.labels import check_labels, is_decided
    from hanet.review.reviewed_run import read_run
    from hanet.review.reviewed_runs import reviewed_folders

    folders = reviewed_folders(out)
    decided = {name: folder for name, folder in folders.items() if is_decided(folder)}
    if decided:
        for name in sorted(folders.keys() - decided.keys()):
            print_note(f"the pair {name} gives no labels: nothing in it is accepted or rejected")
        folders = decided
    labelled = {name or out.resolve().name: folder for name, folder in folders.items()}
    for name, folder in labelled.items():
        check_labels(folder, labels, split=split, name=name, tile_px=tile_px)
    for folder in labelled.values():
        check_inputs(folder, read_run(folder), given=images)
    return labelled


def _write_labels(labelled: dict[str, Path], labels: Path, **given: Any) -> None:
    """The labels of all runs, and a line about each."""
    from hanet.cli.console import print_result, print_warning
    from hanet.cli.progress import stage_progress
    from hanet.review.labels import write_labels

    with stage_progress() as progress:
        found = write_labels(labelled, labels, **given, warn=print_warning, progress=progress)
    for written in found:
        print_result(
            f"  {written.folder}: {written.tiles} tiles, {written.known_share:.1%} of their "
            f"pixels known, {written.changed_share:.1%} of these change",
            {written.folder: "labels"},
            unlisted=True,
            tiles=written.tiles,
        )


def _take_back(out: Path, edited: str, deleted: str | None, reviewer: str | None) -> None:
    from hanet.cli.console import print_note, print_result
    from hanet.cli.progress import stage_progress
    from hanet.errors import SettingsError
    from hanet.review.edited import Deleted, take_back
    from hanet.review.server import user_name

    choice: dict[str | None, Deleted | None] = {None: None, "rejected": "rejected", "kept": "kept"}
    if deleted not in choice:
        raise SettingsError(f"--deleted is {deleted!r}", hint="rejected or kept")
    with stage_progress() as progress:
        back = take_back(
            out,
            edited,
            reviewer=user_name() if reviewer is None else reviewer,
            deleted=choice[deleted],
            progress=progress,
        )
    for note in back.notes:
        print_note(note)
    print_result(
        f"edits read from {edited}: {back.changed} changed, {back.added} new, {back.deleted} "
        "deleted (now rejected)",
        changed=back.changed,
        added=back.added,
        deleted=back.deleted,
    )


def _check_single(out: Path) -> None:
    """Does nothing unless the folder is that of many pairs, which one image does not fit."""
    from hanet.errors import SettingsError
    from hanet.review.reviewed_runs import run_folders

    if "" not in run_folders(out):
        raise SettingsError(
            f"--before and --after are of one pair, and {out} holds several",
            hint="give the folder of one pair",
        )


def _check_company(options: Mapping[str, object], needed: str, *, is_given: bool) -> None:
    """Does nothing unless one of the options is given without the one that it belongs to."""
    from hanet.errors import SettingsError

    alone = [name for name, value in options.items() if value is not None]
    if alone and not is_given:
        raise SettingsError(f"{alone[0]} has no effect without {needed}", hint=f"give {needed} too")
