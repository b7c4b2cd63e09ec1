"""What a person sees: the findings, and over them what was decided."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias, get_args

import shapely

from hanet.errors import InputError
from hanet.footprints.settings import DEFAULT_THRESHOLD
from hanet.review.finding import Findings
from hanet.review.items import STATUSES, Item, Source, Status
from hanet.review.label_tiles import within
from hanet.review.ordering import ordered
from hanet.review.state import ReviewState
from hanet.types import Json

Queue: TypeAlias = Literal["found", "missed", "blank", "suggested", "sample", "drawn"]
"""Items that are looked at together: those of a source, those that the last sample drew, or the
suggested tiles, each after what lies in it."""

QUEUES: tuple[Queue, ...] = get_args(Queue)

BLANK_TILES = 100
"""Blank tiles that are laid before a person who asks for no sample."""


@dataclass(frozen=True, slots=True)
class View:
    """Findings with what a journal says of them.

    Args:
        state: What the journal says.
        findings: Of its settings and generation.
        blank_seed: Decides which blank tiles are in their queue.
    """

    state: ReviewState
    findings: Findings
    blank_seed: int = 0
    _base: dict[str, Item] = field(init=False, repr=False)
    _shown_tiles: tuple[str, ...] = field(init=False, repr=False)
    _taken_as: dict[str, tuple[str, ...]] = field(init=False, repr=False)
    _counted: dict[str, tuple[Source, Status]] = field(default_factory=dict, init=False, repr=False)
    _counts: Counter[tuple[Source, Status]] = field(default_factory=Counter, init=False, repr=False)

    def __post_init__(self) -> None:
        tiles = self.findings.blank.drawn(BLANK_TILES, seed=self.blank_seed)
        base = (*self.findings.found, *self.findings.missed, *tiles)
        object.__setattr__(self, "_base", {item.id: item for item in base})
        object.__setattr__(self, "_shown_tiles", tuple(item.id for item in tiles))
        taken_as: defaultdict[str, list[str]] = defaultdict(list)
        for new, kept in self.state.taken.items():
            for identity in kept:
                taken_as[identity].append(new)
        object.__setattr__(self, "_taken_as", {k: tuple(v) for k, v in taken_as.items()})
        self.recount([item.id for item in self.items()])

    def get(self, identity: str) -> Item | None:
        """The item of an id; None where there is none to be seen: unknown, cut or joined into
        another, or taken as one that was decided."""
        known = self.state.get(identity)
        if known is not None:
            return None if known.superseded_by else known
        if self._is_taken(identity):
            return None
        return self._base.get(identity) or self.findings.blank.get(identity)

    def items(self) -> list[Item]:
        """All that a person has touched or the sample drew, all footprints and missed places, the
        blank tiles of their queue, and the tiles that were suggested last."""
        decided = self.state.items
        rest = (key for key in self._base if key not in decided)
        return [*decided.values(), *self._seen(rest)]

    def queue(self, name: Queue) -> list[Item]:
        """The items of a queue; those of the sample in the order in which it was drawn, so that
        who stops early has seen something of all.

        Raises:
            InputError: There is no such queue.
        """
        if name not in QUEUES:
            raise InputError(
                f"there is no queue {name!r}", hint=f"it is one of: {', '.join(QUEUES)}"
            )
        if name == "suggested":
            return self._by_tile()
        if name == "sample":
            drawn = self.state.sample["items"] if self.state.sample else []
            return list(self._seen(body["id"] for body in drawn))
        # what the findings no longer have, or do not lay before everybody, comes first
        known = self.state.items.values()
        others = [item for item in known if item.source == name and item.id not in self._base]
        base: Iterable[str] = ()
        if name in ("found", "missed"):
            base = (item.id for item in getattr(self.findings, name))
        elif name == "blank":
            base = self._shown_tiles
        return [*others, *self._seen(base)]

    def population(self, source: Literal["found", "missed", "blank"]) -> list[Item]:
        """What a sample of a source is drawn from: all that was found, missed or blank with the
        settings at hand, and where that is taken as something that was decided, this, whatever its
        own source; what was cut or joined since, as it was. What was drawn has the probability of
        what is taken as it."""
        if source == "blank":
            tiles = self.findings.blank.items()
            return [self.state.get(tile.id) or tile for tile in tiles]
        drawn = {
            item.id: self.state.get(item.id) or item
            for item in getattr(self.findings, source)
            if not self._is_taken(item.id)
        }
        for identity, new in self._taken_as.items():
            kept = self.state.get(identity)
            if kept is None or not self.state.is_touched(identity):
                continue
            if self.state.remade_as(identity) == source:
                if math.isnan(kept.probability):
                    mapped = [self._base[key].probability for key in new if key in self._base]
                    kept = replace(kept, probability=max(mapped, default=0.0))
                drawn[identity] = kept
        return list(drawn.values())

    def affected(self, identities: Iterable[str]) -> set[str]:
        """The ids, and those of what is taken as them: it is seen again when nothing is decided
        there any more."""
        ids = set(identities)
        return ids.union(*(self._taken_as.get(key, ()) for key in ids))

    def progress(self) -> Json:
        """Counts for each queue: total, reviewed, accepted, rejected, unsure; of drawn items their
        number; of suggested tiles without what lies in them."""
        counts = {name: Counter[str]() for name in QUEUES}
        for (source, status), count in self._counts.items():
            counts["suggested" if source == "tile" else source][status] = count
        counts["sample"].update(item.status for item in self.queue("sample"))
        progress: Json = {}
        for name, of_status in counts.items():
            total, unreviewed = of_status.total(), of_status["unreviewed"]
            decided = {status: of_status[status] for status in STATUSES if status != "unreviewed"}
            progress[name] = {"total": total, "reviewed": total - unreviewed, **decided}
        progress["drawn"] = progress["drawn"]["total"]
        return progress

    def recount(self, identities: Iterable[str]) -> None:
        """Counts items anew after they changed: among tens of thousands, :meth:`progress` must not
        walk through all after each decision."""
        for key in identities:
            self._counts.subtract([self._counted.pop(key)] if key in self._counted else [])
            item = self.get(key)
            if item is None:
                continue
            if item.source != "blank" or key in self._base or self.state.get(key) is not None:
                self._counted[key] = item.source, item.status
                self._counts[item.source, item.status] += 1

    def _by_tile(self) -> list[Item]:
        """The tiles of the last suggestion in its order, then those of earlier ones that somebody
        decided about; before each the outlines that reach into it, most doubtful first, without
        missed places that nobody has looked at. What reaches into several comes once."""
        known = [item for item in self.state.items.values() if item.source == "tile"]
        if not known:
            return []
        place = {identity: number for number, identity in enumerate(self.state.suggested)}
        tiles = sorted(known, key=lambda item: place.get(item.id, len(place)))
        outlines = [
            item
            for item in self.items()
            if not item.is_tile and (item.source != "missed" or item.is_reviewed)
        ]
        threshold = self.state.settings.threshold or DEFAULT_THRESHOLD
        outlines = ordered(outlines, "doubt", threshold=threshold)
        tree = shapely.STRtree([item.geometry for item in outlines])
        listed: dict[str, Item] = {}
        for tile in tiles:
            for index in sorted(tree.query(within(tile), predicate="intersects").tolist()):
                listed.setdefault(outlines[index].id, outlines[index])
            listed[tile.id] = tile
        return list(listed.values())

    def _seen(self, identities: Iterable[str]) -> Iterable[Item]:
        for key in identities:
            item = self.get(key)
            if item is not None:
                yield item

    def _is_taken(self, identity: str) -> bool:
        return any(self.state.is_touched(kept) for kept in self.state.taken.get(identity, ()))
