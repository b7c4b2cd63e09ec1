"""``hanet pairs``: a list of pairs from a catalogue, and for each item why it is in it or not."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import shapely
from shapely.geometry import shape

from hanet.destination import check_file
from hanet.errors import OutputError, SettingsError, StacError
from hanet.files import check_name, is_folder, is_there, replace_file, table_cell
from hanet.imagery.addresses import bare_name, lies_here, place_from
from hanet.imagery.item_names import item_name
from hanet.imagery.stac_item import Asset, StacItem, choose_asset
from hanet.imagery.vectors import read_polygons
from hanet.stac.catalogue import Entry, Unusable, entries_of
from hanet.stac.choice import Area, Candidate, ChosenPair, Rules, choose
from hanet.stac.periods import Period

LIST_COLUMNS = ("name", "before", "after", "before_date", "after_date", "why")
ITEM_COLUMNS = (
    "item",
    "period",
    "datetime",
    "cloud_percent",
    "off_nadir_degrees",
    "sun_elevation_degrees",
    "sun_azimuth_degrees",
    "share_of_area",
    "verdict",
    "rule",
    "why",
    "place",
)
"""Columns of the list and of the table of items."""

MOST_PAIRS = 1000
"""Pairs that are chosen unless the user says otherwise."""

RULES = {
    "date": "not in either period",
    "unreadable": "unreadable",
    "area": "outside the area",
    "asset": "without an image",
    "address": "without an address that can be saved",
    "cloud": "too cloudy",
    "off-nadir": "too far from the vertical",
    "sun": "with the sun too low",
}
"""What throws items out, in words."""

LOOSER = {
    "date": "give longer periods",
    "area": "give an area that the catalogue shows",
    "asset": "name the asset with --asset",
    "cloud": "give a higher --max-cloud",
    "off-nadir": "give a higher --max-off-nadir",
    "sun": "give a lower --min-sun",
}
"""What lets more of them in."""


@dataclass(frozen=True, slots=True)
class Judged:
    """An item and what became of it.

    Args:
        name: Its id, or where it lies.
        period: ``before``, ``after``, or "" for neither.
        item: It; None where it cannot be read.
        place: Where it lies, fit to be shown.
        share: Share of the area that it shows, in 0-1; None where nobody asked.
        rule: Of :data:`RULES`, what threw it out; "" for none.
        why: What is said of it.
        names: The pairs that it is in.
    """

    name: str
    period: str
    item: StacItem | None
    place: str
    share: float | None = None
    rule: str = ""
    why: str = ""
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PairChoice:
    """What was chosen.

    Args:
        pairs: The pairs by their names, the best first.
        items: All items that were looked at.
        share: Share of the area that the pairs show together, in 0-1.
        written: The list, and the table of items.
    """

    pairs: dict[str, ChosenPair]
    items: tuple[Judged, ...]
    share: float
    written: tuple[Path, Path]


def choose_pairs(
    catalogue: str,
    *,
    aoi: str | Path,
    before: Period,
    after: Period,
    out: Path,
    asset: str | None = None,
    collections: Sequence[str] | None = None,
    rules: Rules | None = None,
    most: int = MOST_PAIRS,
    overwrite: bool = False,
    note: Callable[[str], None] | None = None,
) -> PairChoice:
    """Chooses pairs from a catalogue, and writes them as a list for ``hanet detect --pairs``.

    Args:
        catalogue: As for :func:`hanet.stac.catalogue.entries_of`.
        aoi: Vector file of the area.
        before: When the first images may be of.
        after: When the second ones may be of; later.
        out: The list, a CSV; beside it goes ``STEM-items.csv`` about all items.
        asset: Name of the asset that is the image; each item chooses if None.
        collections: Ids of collections; all if None.
        rules: What an item must keep.
        most: So many pairs at most.
        overwrite: Replace the files that are there.
        note: Called with what was passed over, in words.

    Raises:
        SettingsError: The periods overlap or are in the wrong order, or a value is not allowed.
        StacError: The catalogue cannot be read, or no pair fits; the message counts what threw
            items out.
        VectorError: The area cannot be read.
        OutputError: A file is there already, or cannot be written.
    """
    if before.end >= after.start:
        raise SettingsError(
            f"--before ends on {before.end[:10]}, and --after begins on {after.start[:10]}",
            hint="the first period must end before the second begins",
        )
    if most < 1:
        raise SettingsError(f"--most is {most}; it must be at least 1")
    written = out, out.with_name(f"{out.stem}-items.csv")
    _check_places(written, read=(str(aoi), catalogue), overwrite=overwrite)
    found = read_polygons(aoi, crs="EPSG:4326")
    for text in found.notes:
        (note or (lambda _: None))(text)
    area = Area(shapely.union_all([shapely.make_valid(shape(part)) for part in found.shapes]))
    periods = {"before": before, "after": after}
    entries = entries_of(
        catalogue,
        area=shapely.geometry.mapping(area.shape),
        bounds=area.bounds,
        periods=tuple(periods.values()),
        collections=collections,
    )
    sorting = _Sorting(area, periods, rules or Rules(), asset, out.parent)
    for entry in entries:
        sorting.take(entry)
    pairs = choose(*sorting.candidates, area, most=most)
    if not pairs:
        raise _nothing_fits(sorting)
    names = {
        f"{number:03d}_{pair.before.start[:10]}_{pair.after.start[:10]}": pair
        for number, pair in enumerate(pairs, start=1)
    }
    items = sorting.judged(names)
    _write(written[0], LIST_COLUMNS, [_row(name, pair, sorting) for name, pair in names.items()])
    _write(written[1], ITEM_COLUMNS, [_item_row(one) for one in items])
    return PairChoice(names, items, sum(pair.added for pair in pairs), written)


class _Sorting:
    """Items as they come, each with what keeps it out."""

    def __init__(
        self,
        area: Area,
        periods: dict[str, Period],
        rules: Rules,
        asset: str | None,
        folder: Path,
    ) -> None:
        self._area, self._periods, self._rules = area, periods, rules
        self._asset, self._folder = asset, folder
        self._all: list[Judged] = []
        self._candidates: dict[str, list[Candidate]] = {"before": [], "after": []}
        self._images: dict[tuple[str, str, str], str] = {}

    def take(self, entry: Entry | Unusable) -> None:
        """One more."""
        if isinstance(entry, Unusable):
            self._all.append(
                Judged(entry.place, "", None, entry.place, rule="unreadable", why=entry.why)
            )
            return
        item = entry.item
        period = next((n for n, p in self._periods.items() if p.holds(item.start, item.end)), "")
        one = Judged(item.id, period, item, bare_name(item.place))
        if not period:
            self._all.append(replace(one, rule="date", why="in neither period"))
            return
        part = self._area.part_of(item)
        one = replace(one, share=self._area.share(part))
        if (reason := self._refusal(entry, part)) is not None:
            self._all.append(replace(one, rule=reason[0], why=reason[1]))
            return
        self._candidates[period].append(Candidate(item, part))
        self._all.append(one)

    @property
    def candidates(self) -> tuple[list[Candidate], list[Candidate]]:
        """Of both periods, those that keep all rules."""
        return self._candidates["before"], self._candidates["after"]

    def image_of(self, item: StacItem) -> str:
        """How the list names the image of a candidate."""
        return self._images[item.identity]

    def counts(self) -> Counter[str]:
        """How many items each rule has thrown out."""
        return Counter(one.rule for one in self._all if one.rule)

    @property
    def total(self) -> int:
        """Items that came."""
        return len(self._all)

    def judged(self, names: dict[str, ChosenPair]) -> tuple[Judged, ...]:
        """All items, with the pairs that they are in."""
        pairs: dict[tuple[str, str, str], list[str]] = {}
        for name, pair in names.items():
            for item in (pair.before, pair.after):
                pairs.setdefault(item.identity, []).append(name)
        judged = []
        for one in self._all:
            mine = pairs.get(one.item.identity, []) if one.item else []
            if mine:
                one = replace(one, names=tuple(mine), why=f"in {', '.join(mine)}")
            elif not one.rule:
                one = replace(
                    one,
                    rule="better pairs",
                    why="better pairs show the same ground, or no pair has it",
                )
            judged.append(one)
        return tuple(judged)

    def _refusal(self, entry: Entry, part: shapely.Geometry) -> tuple[str, str] | None:
        """What throws an item of a period out: rule and words."""
        item = entry.item
        if part.area <= 0.0:
            return "area", "it shows nothing of the area"
        if (broken := self._rules.broken_by(item)) is not None:
            return broken
        try:
            image = choose_asset(item, self._asset)
        except StacError as error:
            return "asset", error.message
        name = self._name_of(entry, image)
        if name is None:
            return "address", (
                "its address contains a key, and keys are not saved; the item has no address of "
                "its own"
            )
        self._images[item.identity] = name
        return None

    def _name_of(self, entry: Entry, image: Asset) -> str | None:
        """The item by its own place, so that what it says goes along and a signature is fresh; the
        image itself where it has none."""
        if entry.has_own_place:
            place = place_from(entry.item.place, self._folder)
            return None if place is None else item_name(place, image.name)
        place = place_from(image.href, self._folder)
        # a spreadsheet would run what begins so
        return (
            f"./{place}" if place is not None and place.startswith(("-", "=", "+", "@")) else place
        )


def _check_places(paths: Sequence[Path], *, read: Sequence[str], overwrite: bool) -> None:
    inputs = [name for name in read if lies_here(name)]
    for path in paths:
        check_name(path, "--out")
        if lies_here(path) and any(path.samefile(name) for name in inputs):
            raise OutputError(f"{path} is read by this command", hint="choose another --out")
        if is_there(path) and not is_folder(path) and not overwrite:
            raise OutputError(
                f"{path} is there already", hint="choose another --out, or give --overwrite"
            )
        check_file(path, "--out")


def _nothing_fits(sorting: _Sorting) -> StacError:
    counts, total = sorting.counts(), sorting.total
    if not total:
        return StacError(
            "no pair fits: the catalogue has no item of the area in these periods",
            hint="give longer periods, or another catalogue",
        )
    parts = [f"{count} {RULES[rule]}" for rule, count in counts.most_common()]
    kept = [len(found) for found in sorting.candidates]
    left = f"{kept[0]} before, {kept[1]} after"
    words = f"of {total} items {', '.join(parts)}; " if parts else ""
    usual = next((rule for rule, _ in counts.most_common() if rule in LOOSER), None)
    return StacError(
        f"no pair fits: {words}{left} are left"
        + (", none of which show the same ground" if all(kept) else ""),
        hint=LOOSER[usual] if usual is not None else "give longer periods, or another catalogue",
    )


def _row(name: str, pair: ChosenPair, sorting: _Sorting) -> list[str]:
    dates = [item.date or item.start[:10] for item in (pair.before, pair.after)]
    images = [sorting.image_of(item) for item in (pair.before, pair.after)]
    return [name, *images, *dates, pair.why]


def _item_row(one: Judged) -> list[str]:
    item = one.item
    facts: list[str] = [""] * 5
    if item is not None:
        when = item.start if item.start == item.end else f"{item.start}/{item.end}"
        numbers = (item.cloud, item.off_nadir, item.sun_elevation, item.sun_azimuth)
        facts = [when, *("" if value is None else f"{value:g}" for value in numbers)]
    share = "" if one.share is None else f"{one.share:.4f}"
    verdict = "chosen" if one.names else "left out"
    return [one.name, one.period, *facts, share, verdict, one.rule, one.why, one.place]


def _write(path: Path, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([[table_cell(cell) for cell in row] for row in rows])
    replace_file(path, text.getvalue().encode())
