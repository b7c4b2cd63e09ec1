"""What the records of a journal add up to: a pure fold, one record after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from itertools import chain
from typing import Any, Literal

import shapely

from hanet.documents import shown
from hanet.errors import HanetError, InputError, one_line
from hanet.footprints.settings import FootprintSettings
from hanet.imagery.grid import Grid
from hanet.review.items import (
    LONGEST_NAME,
    Item,
    checked_decision,
    checked_text,
    outline_of_json,
)
from hanet.types import Json

FORMAT = 1
"""Of the journal; another one is refused."""

_Items = Mapping[str, Item | None]
"""Items by id; None: nothing is known of it."""

_Change = Callable[[], Iterable[str]]
"""Makes a record count and gives the ids of the items that it may have changed."""

LONGEST_REASON = 300
"""Characters of the reason why a tile was suggested."""

LONGEST_FILE_NAME = 300
"""Characters of the name of a file that was taken back."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """A decision that remade footprints do not simply take over.

    Args:
        kept: Id of the item that was decided; it stays as it was.
        new: Ids of the remade footprints that it has to do with.
        why: In words.
    """

    kept: str
    new: tuple[str, ...]
    why: str

    def to_json(self) -> Json:
        """For the journal and the page."""
        return {"kept": self.kept, "new": list(self.new), "why": self.why}

    @classmethod
    def from_json(cls, values: Json) -> Conflict:
        """Reads what :meth:`to_json` gave."""
        return cls(str(values["kept"]), tuple(map(str, values["new"])), str(values["why"]))


@dataclass(frozen=True, slots=True)
class _Step:
    """What one record that can be undone has changed."""

    n: int
    before: _Items
    after: _Items


class ReviewState:
    """What a journal says, record after record; begun by its first one.

    Args:
        begin: The record ``begin``.

    Attributes:
        records: All of them, in order.
        grid: The result's grid.
        settings: How the footprints at hand were made.
        generation: How often they were remade.
        findings: Digest of them, see :meth:`hanet.review.finding.Findings.digest`; empty where the
            journal does not say.
        probability_sha256: Of ``probability.tif``.
        taken: Of the footprints at hand, which are taken as items that were decided before they
            were remade: id to ids.
        conflicts: What the last remake could not simply take over.
        sample: The last ``sample`` record; None before one, and after a remake, since a sample
            speaks of the footprints among which it was drawn.
        suggested: Ids of the tiles of the last suggestion, in its order.

    Raises:
        InputError: The record is no ``begin`` of :data:`FORMAT`.
    """

    def __init__(self, begin: Json) -> None:
        if begin.get("do") != "begin" or begin.get("format") != FORMAT:
            raise InputError(
                f"the journal begins with {shown(begin.get('do'))} in format "
                f"{shown(begin.get('format'))}; this version reads format {FORMAT}"
            )
        self.records: list[Json] = []
        self.conflicts: tuple[Conflict, ...] = ()
        self.sample: Json | None = None
        self.generation = 0
        self.taken: dict[str, tuple[str, ...]] = {}
        self._touched: dict[str, Item] = {}
        self._sampled: dict[str, Item] = {}
        self._strata: dict[str, str] = {}
        self.suggested: tuple[str, ...] = ()
        self._suggested: dict[str, Item] = {}
        self._reasons: dict[str, str] = {}
        self._done: list[_Step] = []
        self._undone: list[_Step] = []
        self._remade_as: dict[str, Literal["found", "missed"]] = {}
        self._remade = 0  # number of the last remake; older journals undo records before it
        self._highest_drawn = 0  # ids of what was undone are not given again
        with _as_input_error():
            self.grid = Grid.from_json(begin["grid"])
            self.settings = settings_of(begin["settings"])
            self.probability_sha256 = str(begin["probability_sha256"])
            self.findings = checked_text(begin.get("findings", ""), "findings", LONGEST_NAME)
        self._check_number(begin)
        self.records.append(begin)

    @property
    def items(self) -> dict[str, Item]:
        """What somebody has decided, drawn or corrected, what the last sample drew, and the tiles
        of the last suggestion, by id.

        Without what was cut or joined into others. Footprints, missed places and blank tiles that
        nobody has touched are not in the journal.
        """
        known = {**self._sampled, **self._suggested, **self._touched}
        return {
            key: self._with_stratum(item) for key, item in known.items() if not item.superseded_by
        }

    @property
    def last(self) -> int:
        """Number of the last record."""
        return len(self.records)

    @property
    def undoable(self) -> int | None:
        """Number of the record that would be undone next; None where there is none since the last
        remake, which took the items as they were then."""
        return self._next_of(self._done)

    @property
    def redoable(self) -> int | None:
        """Number of the record that would be redone next; None as for :attr:`undoable`."""
        return self._next_of(self._undone)

    def next_drawn(self, ahead: int = 0) -> str:
        """The id that a drawn item gets next, or the one so many after it: none is given twice,
        whatever was undone."""
        return f"d{self._highest_drawn + 1 + ahead}"

    def get(self, identity: str) -> Item | None:
        """The item of this id if the journal knows it, superseded ones too."""
        item = (
            self._touched.get(identity)
            or self._sampled.get(identity)
            or self._suggested.get(identity)
        )
        return self._with_stratum(item) if item is not None else None

    def touched(self) -> list[Item]:
        """What somebody has decided, drawn or corrected, without what was cut or joined."""
        return [item for item in self._touched.values() if not item.superseded_by]

    def is_touched(self, identity: str) -> bool:
        """Whether somebody has decided, drawn or corrected it, and not undone that."""
        return identity in self._touched

    def remade_as(self, identity: str) -> Literal["found", "missed"] | None:
        """What the last remake made of an item that was decided before it: ``found`` where at least
        one footprint was taken as it, ``missed`` where only places were, None where nothing was."""
        return self._remade_as.get(identity)

    def stratum(self, identity: str) -> str:
        """The stratum in which the last sample drew it; ``""`` where it did not."""
        return self._strata.get(identity, "")

    def reason(self, identity: str) -> str:
        """Why a tile was suggested, in words; ``""`` for what was not."""
        return self._reasons.get(identity, "")

    def apply(self, record: Json) -> frozenset[str]:
        """Takes the next record.

        Returns:
            Ids of the items that it may have changed.

        Raises:
            InputError: It is not what may come next; the state is as before.
        """
        return self.prepare(record)()

    def prepare(self, record: Json) -> Callable[[], frozenset[str]]:
        """Checks the next record whole, and changes nothing yet.

        Returns:
            What makes it count, which cannot fail, and gives the ids of the items that it may have
            changed; to be called before anything else is prepared.

        Raises:
            InputError: It is not what may come next.
        """
        steps: dict[str, Callable[[Json], _Items]] = {
            "decide": self._decide,
            "draw": self._draw,
            "reshape": self._reshape,
            "split": self._split,
            "merge": self._merge,
            "taken_back": self._take_back,
        }
        others: dict[str, Callable[[Json], _Change]] = {
            "undo": self._undo,
            "redo": self._redo,
            "remake": self._remake,
            "sample": self._sample,
            "suggest": self._suggest,
        }
        do = record.get("do")
        if not isinstance(do, str) or do not in {**steps, **others}:
            raise InputError(f"{shown(do)} is nothing that a journal records")
        self._check_number(record)
        with _as_input_error():
            checked_text(record["by"], "reviewer", LONGEST_NAME)
            checked_text(record["at"], "time", LONGEST_NAME)
            change = others[do](record) if do in others else self._step(steps[do](record))

        def count() -> frozenset[str]:
            changed = frozenset(change())
            self.records.append(record)
            return changed

        return count

    def _step(self, after: _Items) -> _Change:
        """A change that can be undone."""

        def change() -> Iterable[str]:
            before = {key: self._touched.get(key) for key in after}
            self._put(after)
            self._done.append(_Step(self.last + 1, before, after))
            self._undone.clear()
            drawn = [int(key[1:]) for key in after if key.startswith("d")]
            self._highest_drawn = max([self._highest_drawn, *drawn])
            return after

        return change

    def _next_of(self, steps: Sequence[_Step]) -> int | None:
        return steps[-1].n if steps and steps[-1].n > self._remade else None

    def _check_number(self, record: Json) -> None:
        if record.get("n") != self.last + 1:
            raise InputError(f"it has the number {shown(record.get('n'))}, not {self.last + 1}")

    def _with_stratum(self, item: Item) -> Item:
        stratum = self.stratum(item.id)
        return replace(item, stratum=stratum) if item.stratum != stratum else item

    def _put(self, items: _Items) -> None:
        for key, item in items.items():
            if item is None:
                self._touched.pop(key, None)
            else:
                self._touched[key] = item

    def _base(self, body: Json) -> Item:
        """The item of a body as the journal knows it, or as the body has it."""
        item = Item.from_json(body)
        known = self._touched.get(item.id)
        if known is None:
            return item
        if known.superseded_by:
            raise InputError(f"{item.id} was cut or joined into {known.superseded_by}")
        return known

    def _decide(self, record: Json) -> _Items:
        decided = {**checked_decision(record["set"]), **_signed(record)}
        items = [self._base(body) for body in record["items"]]
        # a journal of an earlier version has no kinds of its own for each item
        kinds = {key: checked_decision({"kind": k}) for key, k in record.get("kinds", {}).items()}
        return {item.id: replace(item, **decided | kinds.get(item.id, {})) for item in items}

    def _draw(self, record: Json) -> _Items:
        item = Item.from_json(record["item"])
        self._check_new([item])
        return {item.id: replace(item, **checked_decision(record["set"]), **_signed(record))}

    def _reshape(self, record: Json) -> _Items:
        shape = Item.from_json(record["item"])
        self._check_named([record["id"]], [shape])
        outline_of_json(record["was"])
        item = replace(self._base(record["item"]), geometry=shape.geometry, area_m2=shape.area_m2)
        return {item.id: replace(item, **_signed(record))}

    def _split(self, record: Json) -> _Items:
        old = self._base(record["item"])
        self._check_named([record["id"]], [old])
        parts = [Item.from_json(body) for body in record["into"]]
        return self._superseded(record, [old], parts)

    def _merge(self, record: Json) -> _Items:
        old = [self._base(body) for body in record["items"]]
        self._check_named(record["ids"], old)
        return self._superseded(record, old, [Item.from_json(record["into"])])

    def _check_named(self, names: object, items: Sequence[Item]) -> None:
        if names != [item.id for item in items]:
            raise InputError(f"it names {shown(names)}, and holds others")

    def _superseded(self, record: Json, old: list[Item], new: list[Item]) -> _Items:
        self._check_new(new)
        if len({item.id for item in (*old, *new)}) < len(old) + len(new):
            raise InputError("an item is named twice")
        names, signed = ",".join(item.id for item in new), _signed(record)
        gone = [replace(item, status="rejected", superseded_by=names, **signed) for item in old]
        return {item.id: item for item in (*gone, *(replace(part, **signed) for part in new))}

    def _take_back(self, record: Json) -> _Items:
        checked_text(record["file"], "file", LONGEST_FILE_NAME)
        items = {}
        for values in record["items"]:
            item = Item.from_json(values)
            if self._base(values) is not self._touched.get(item.id) and item.source == "drawn":
                self._check_new([item])
            items[item.id] = replace(item, stratum="", **_signed(record))
        return items

    def _check_new(self, items: Sequence[Item]) -> None:
        """Nothing, unless the id of a drawn item has been given before."""
        for item in items:
            number = int(item.id[1:]) if item.id.startswith("d") else 0
            if number <= self._highest_drawn:
                raise InputError(f"{item.id} is no new id; the next one is {self.next_drawn()}")

    def _undo(self, record: Json) -> _Change:
        if not self._done or record["undoes"] != self._done[-1].n:
            raise InputError(f"record {shown(record['undoes'])} is not the next one to undo")

        def change() -> Iterable[str]:
            step = self._done.pop()
            self._put(step.before)
            self._undone.append(step)
            return step.before

        return change

    def _redo(self, record: Json) -> _Change:
        if not self._undone or record["redoes"] != self._undone[-1].n:
            raise InputError(f"record {shown(record['redoes'])} is not the next one to redo")

        def change() -> Iterable[str]:
            step = self._undone.pop()
            self._put(step.after)
            self._done.append(step)
            return step.after

        return change

    def _remake(self, record: Json) -> _Change:
        settings = settings_of(record["settings"])
        conflicts = tuple(Conflict.from_json(values) for values in record["conflicts"])
        taken = {str(new): tuple(map(str, kept)) for new, kept in record["taken"].items()}
        findings = checked_text(record.get("findings", ""), "findings", LONGEST_NAME)
        if record["generation"] != self.generation + 1:
            raise InputError(f"generation {shown(record['generation'])} is not the next one")

        def change() -> Iterable[str]:
            changed = {*self._touched, *self._sampled, *taken}
            self.settings, self.findings = settings, findings
            self.conflicts, self.taken = conflicts, taken
            by_place = (kept for new, kept in taken.items() if _is_of_place(new))
            by_footprint = (kept for new, kept in taken.items() if not _is_of_place(new))
            self._remade_as = dict.fromkeys(chain(*by_place), "missed")
            self._remade_as |= dict.fromkeys(chain(*by_footprint), "found")
            self.generation += 1
            self._remade = self.last + 1
            self._sampled, self._strata, self.sample = {}, {}, None
            return changed

        return change

    def _suggest(self, record: Json) -> _Change:
        items = {item.id: item for item in map(Item.from_json, record["items"])}
        reasons = {
            str(body["id"]): checked_text(body["reason"], "reason", LONGEST_REASON)
            for body in record["items"]
        }
        if len(items) < len(record["items"]) or any(i.source != "tile" for i in items.values()):
            raise InputError("a suggestion names a tile twice, or what is no tile")
        _check_numbers(record, "suggestion")

        def change() -> Iterable[str]:
            changed = {*self._suggested, *items}
            self._suggested, self.suggested = items, tuple(items)
            self._reasons |= reasons
            return changed

        return change

    def _sample(self, record: Json) -> _Change:
        items = [Item.from_json(body) for body in record["items"]]
        threshold, strata = record["threshold"], record["strata"]
        _check_numbers(record, "sample")
        if not 0 < float(threshold) < 1 or not isinstance(strata, dict):
            raise InputError("a sample without a threshold in 0-1, or without strata")
        for name, facts in strata.items():
            population = facts["population"]
            drawn = sum(item.stratum == name for item in items)
            if not (isinstance(population, int) and drawn <= population and facts["area"] >= 0):
                raise InputError(f"the stratum {shown(name)} is smaller than what was drawn of it")
        if not {item.stratum for item in items} <= set(strata):
            raise InputError("an item of the sample is of none of its strata")

        def change() -> Iterable[str]:
            changed = {*self._strata, *(item.id for item in items)}
            self._sampled = {item.id: item for item in items}
            self._strata = {item.id: item.stratum for item in items}
            self.sample = record
            return changed

        return change


def _check_numbers(record: Json, what: str) -> None:
    """Does nothing where count and seed of a draw are what they must be."""
    for key, lowest in (("count", 1), ("seed", 0)):
        if not isinstance(record[key], int) or not lowest <= record[key] < 2**63:
            raise InputError(f"the {key} of a {what} is {shown(record[key])}")


def settings_of(values: Json) -> FootprintSettings:
    """The settings of footprints in what a journal or a manifest says of them; other keys are
    left.

    Raises:
        SettingsError: A value is out of range.
        TypeError: A value is of another type.
    """
    names = [field.name for field in fields(FootprintSettings)]
    return FootprintSettings(**{name: values[name] for name in names if name in values})


def _is_of_place(identity: str) -> bool:
    """Whether an id is that of a missed place: ``1-m4``."""
    return identity.rpartition("-")[2].startswith("m")


def _signed(record: Json) -> dict[str, Any]:
    return {"reviewer": record["by"], "reviewed_at": record["at"]}


_OF_WRONG_TYPES = (
    TypeError,
    ValueError,
    AttributeError,
    LookupError,
    OverflowError,
    shapely.errors.ShapelyError,
)


@contextmanager
def _as_input_error() -> Iterator[None]:
    """What a record without a value, or with one of another type, makes Python raise."""
    try:
        yield
    except HanetError as error:
        raise InputError(error.message, hint=error.hint) from error
    except KeyError as error:
        raise InputError(f"it lacks {error.args[0]!r}") from error
    except _OF_WRONG_TYPES as error:
        raise InputError(f"a value is of the wrong type: {one_line(error)}") from error
