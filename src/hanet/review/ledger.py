"""The journal together with what a person sees of it: a record goes in, and what changed by it
comes out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import shapely

from hanet.review.finding import Findings
from hanet.review.items import Item
from hanet.review.journal import Journal
from hanet.review.state import ReviewState
from hanet.review.view import View
from hanet.types import Json


@dataclass(frozen=True, slots=True)
class Change:
    """What the page must show anew.

    Args:
        last: Number of the last record of the journal.
        generation: How often the footprints were remade.
        changed: Items as they are now.
        removed: Ids of those that are not to be seen any more.
        is_whole: Whether everything must be loaded again; nothing is listed then.
    """

    last: int
    generation: int
    changed: tuple[Item, ...] = ()
    removed: tuple[str, ...] = ()
    is_whole: bool = False


class Ledger:
    """Writes records and remembers what each of them changed. Not for several threads at once.

    Args:
        journal: With its first record.
        findings: Of its settings and generation.
        reviewer: Who signs the records.
        blank_seed: As for :class:`hanet.review.view.View`.

    Attributes:
        state: What the journal says.
        view: What a person sees.
    """

    def __init__(
        self, journal: Journal, findings: Findings, *, reviewer: str, blank_seed: int
    ) -> None:
        assert journal.state is not None, "it has its first record"
        self._journal, self._reviewer, self._seed = journal, reviewer, blank_seed
        self.state: ReviewState = journal.state
        self.view = View(self.state, findings, blank_seed)
        self._first = self.state.last
        self._affected: list[set[str] | None] = []  # of each record since; None: everything
        self._tree: tuple[shapely.STRtree, list[str]] | None = None

    def write(self, do: str, **values: Any) -> Change:
        """Saves a record, and tells what changed by it.

        Raises:
            InputError: It is not what may come next.
            OutputError: The disk does not take it; nothing has changed.
        """
        record = signed(self.state.last + 1, self._reviewer, do, values)
        affected = self.view.affected(self._journal.append(record))
        self._affected.append(affected)
        self.view.recount(affected)
        if do != "decide":  # which moves no outline
            self._tree = None
        return self._change(affected)

    def write_remake(self, findings: Findings, values: Json) -> Change:
        """Saves the record of a remake with these values, after which these findings are at hand.

        Raises:
            InputError: As for :meth:`write`.
            OutputError: As for :meth:`write`.
        """
        self._journal.append(signed(self.state.last + 1, self._reviewer, "remake", values))
        self.view = View(self.state, findings, self._seed)
        self._affected.append(None)
        self._tree = None
        return self._all()

    def since(self, last: int) -> Change:
        """What has changed after record ``last``; everything where that is not known."""
        if not self._first <= last <= self.state.last:
            return self._all()
        ids: set[str] = set()
        for affected in self._affected[last - self._first :]:
            if affected is None:
                return self._all()
            ids |= affected
        return self._change(ids)

    def near(self, box: tuple[float, float, float, float]) -> list[Item]:
        """The items that reach into a box (left, top, right, bottom) of pixel coordinates, tiles
        left out."""
        if self._tree is None:
            listed = [item for item in self.view.items() if not item.is_tile]
            tree = shapely.STRtree([item.geometry for item in listed])
            self._tree = tree, [item.id for item in listed]
        tree, ids = self._tree
        hits = sorted(tree.query(shapely.box(*box)).tolist())
        return [item for index in hits if (item := self.view.get(ids[index])) is not None]

    def _all(self) -> Change:
        return Change(self.state.last, self.state.generation, is_whole=True)

    def _change(self, identities: Iterable[str]) -> Change:
        seen = {key: self.view.get(key) for key in sorted(identities)}
        return Change(
            self.state.last,
            self.state.generation,
            tuple(item for item in seen.values() if item is not None),
            tuple(key for key, item in seen.items() if item is None),
        )


def signed(number: int, reviewer: str, do: str, values: Json) -> Json:
    """A record of the journal: its number, the time, who made it, and what it says."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"n": number, "at": now, "by": reviewer, "do": do, **values}
