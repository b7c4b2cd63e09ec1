"""The review of a result folder: everything that a person can do, each thing saved before it is
told as done."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import shapely

from hanet.errors import InputError, SettingsError
from hanet.footprints.settings import DEFAULT_THRESHOLD, FootprintSettings
from hanet.review.corrections import checked_outline, cut, joined
from hanet.review.finding import measured
from hanet.review.items import (
    LONGEST_NAME,
    Item,
    Outline,
    checked_decision,
    checked_text,
    geometry_json,
)
from hanet.review.journal import FOLDER, Journal, journal_path, read_journal
from hanet.review.kept_findings import clear_left, findings_path, remove_other_findings
from hanet.review.label_tiles import SuggestedTile, within
from hanet.review.ledger import Change, Ledger, signed
from hanet.review.ordering import Order, doubt, ordered
from hanet.review.reviewed_run import (
    begin_values,
    check_same,
    findings_at_hand,
    findings_of,
    keep_if_there_is_room,
    probability_hash,
    read_run,
    remake_values,
    settings_of_run,
)
from hanet.review.reviewed_sample import estimates_json
from hanet.review.sampling import draw_sample
from hanet.review.state import Conflict, ReviewState
from hanet.review.view import Queue, View
from hanet.review.weights_kinds import weights_kinds
from hanet.types import Json, Progress
from hanet.work_folder import WorkFolder


class Review:
    """A review that is open, alone on its folder; made by :meth:`open`, closed by ``with``.

    All methods may be called from several threads.

    Attributes:
        out: The result folder.
        manifest: Its ``run.json``.
        grid: Of the result.
        reviewer: Who decides.
    """

    def __init__(
        self, out: Path, manifest: Json, reviewer: str, ledger: Ledger, closing: ExitStack
    ) -> None:
        self.out, self.manifest, self.reviewer = out, manifest, reviewer
        self.grid = ledger.state.grid
        self._ledger, self._state, self._closing = ledger, ledger.state, closing
        self._lock = threading.RLock()
        self._is_remaking = threading.Lock()

    @classmethod
    def open(
        cls,
        out: Path,
        *,
        reviewer: str,
        blank_seed: int = 0,
        progress: Progress | None = None,
    ) -> Review:
        """Opens the review of a folder, or begins it; keeps others out until :meth:`close`.

        Args:
            out: The folder of a finished ``hanet detect``.
            reviewer: Name of the person, written beside each decision.
            blank_seed: Decides which blank tiles are laid before that person.
            progress: Called with the stage and the share done while footprints are found; where
                they were kept by an earlier review, it is not called.

        Raises:
            OutputError: The folder holds no finished run, another process reviews it, its
                ``probability.tif`` is not the one that the review began with, or the journal is
                damaged, of another format, or cannot be written.
            RasterError: ``probability.tif`` cannot be read.
            InputError: The reviewer has no name, or none that can be written.
        """
        if not checked_text(reviewer, "reviewer's name", LONGEST_NAME).strip():
            raise InputError("the reviewer has no name", hint="for example --reviewer anna")
        manifest = read_run(out)
        with ExitStack() as stack:
            stack.enter_context(
                WorkFolder(
                    out / FOLDER,
                    busy=f"another hanet review is at work in {out}",
                    hint="use its page, or end it first",
                )
            )
            clear_left(out / FOLDER)
            sha256 = probability_hash(out)
            journal = Journal(journal_path(out))
            stack.callback(journal.close)
            if journal.state is None:
                settings = settings_of_run(out, manifest)
                findings = findings_of(
                    out, settings, sha256, keep=keep_if_there_is_room, progress=progress
                )
                begin = begin_values(out, settings, findings, sha256)
                journal.append(signed(1, reviewer, "begin", begin))
            else:
                check_same(out, journal.state, sha256)
                findings, remade = findings_at_hand(
                    out, journal.state, keep=keep_if_there_is_room, progress=progress
                )
                if remade is not None:
                    journal.append(signed(journal.state.last + 1, reviewer, "remake", remade))
            ledger = Ledger(journal, findings, reviewer=reviewer, blank_seed=blank_seed)
            remove_other_findings(findings_path(out / FOLDER, sha256, ledger.state.settings))
            return cls(out, manifest, reviewer, ledger, stack.pop_all())

    def __enter__(self) -> Review:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets others in."""
        with self._lock:
            self._closing.close()

    @property
    def settings(self) -> FootprintSettings:
        """How the footprints at hand were made."""
        return self._state.settings

    @property
    def threshold(self) -> float:
        """Of the footprints at hand."""
        return self._state.settings.threshold or DEFAULT_THRESHOLD

    @property
    def generation(self) -> int:
        """How often the footprints were remade."""
        return self._state.generation

    @property
    def last(self) -> int:
        """Number of the last record of the journal."""
        return self._state.last

    @property
    def can_undo(self) -> bool:
        """Whether :meth:`undo` has something to undo."""
        return self._state.undoable is not None

    @property
    def can_redo(self) -> bool:
        """Whether :meth:`redo` has something to redo."""
        return self._state.redoable is not None

    @property
    def conflicts(self) -> tuple[Conflict, ...]:
        """What the last remake could not simply take over."""
        return self._state.conflicts

    @property
    def sample(self) -> Json | None:
        """The record of the last sample; None before one, and after a remake."""
        return self._state.sample

    def items(self, queue: Queue, *, order: Order = "doubt", seed: int = 0) -> list[Item]:
        """The items of a queue in an order; see :class:`hanet.review.view.View` and
        :func:`hanet.review.ordering.ordered`. The order ``random`` of the sample is that of its
        draw; suggested tiles always come as they were suggested.

        Raises:
            InputError: There is no such queue or order.
        """
        with self._lock:
            listed = self._ledger.view.queue(queue)
        if queue == "suggested" or (queue == "sample" and order == "random"):
            return listed
        return ordered(listed, order, threshold=self.threshold, seed=seed)

    def all_items(self) -> dict[str, Item]:
        """Everything that is to be seen, by id."""
        with self._lock:
            return {item.id: item for item in self._ledger.view.items()}

    def item(self, identity: str) -> Item:
        """The item of an id.

        Raises:
            InputError: There is none to be seen.
        """
        with self._lock:
            item = self._ledger.view.get(identity) if isinstance(identity, str) else None
            if item is None:
                raise InputError(
                    f"there is no item {str(identity)[:40]!r} here",
                    hint="it may have been cut, joined or remade in another tab; load the page "
                    "again",
                )
            return item

    def doubt(self, item: Item) -> float:
        """How doubtful an item is, in 0-1; see :func:`hanet.review.ordering.doubt`."""
        return doubt(item.probability, self.threshold)

    def shapes(self, box: tuple[float, float, float, float], *, limit: int) -> list[Item]:
        """The items that reach into a box (left, top, right, bottom) of pixel coordinates, tiles
        left out; of more than ``limit`` the largest."""
        with self._lock:
            found = self._ledger.near(box)
        if len(found) > limit:
            found = sorted(found, key=lambda item: -item.area_px)[:limit]
        return found

    def progress(self) -> Json:
        """Counts for each queue; see :meth:`hanet.review.view.View.progress`."""
        with self._lock:
            return self._ledger.view.progress()

    def decide(self, identities: Sequence[str], values: Mapping[str, Any]) -> Change:
        """Gives items a status, a kind or a comment; all of them or none.

        Items that are accepted without a kind, and have none, get what the weights say of each
        (:func:`hanet.review.weights_kinds.weights_kinds`); any other can be given.

        Args:
            identities: Ids, at least one.
            values: Some of ``status``, ``kind`` and ``comment``.

        Raises:
            InputError: An id is unknown, a value is not allowed, or a suggested tile is accepted
                while a footprint in it is unreviewed.
            OutputError: The decision could not be saved; nothing has changed.
        """
        decided = checked_decision(values)
        if not identities or not decided:
            raise InputError("there is nothing to decide", hint="give items and a decision")
        with self._lock:
            items = [self.item(identity) for identity in dict.fromkeys(identities)]
            kinds: Json = {}
            if decided.get("status") == "accepted":
                self._check_complete(items)
                if "kind" not in decided:
                    kinds = self._kinds_by_weights(items)
            return self._ledger.write(
                "decide",
                items=[item.body() for item in items],
                set=decided,
                was=[item.decision() for item in items],
                **({"kinds": kinds} if kinds else {}),
            )

    def _kinds_by_weights(self, items: Sequence[Item]) -> Json:
        """What the weights say of the items of which nobody has said a kind, by their ids."""
        asked = [item for item in items if not item.kind and not item.is_tile]
        said = zip(asked, weights_kinds(self.out, asked), strict=True)
        return {item.id: kind for item, kind in said if kind}

    def draw(self, geometry: Outline, values: Mapping[str, Any] | None = None) -> Change:
        """Adds what was not found; it is accepted unless ``values`` says otherwise.

        Args:
            geometry: In pixel coordinates; what lies outside the picture is cut off.
            values: As for :meth:`decide`.

        Raises:
            InputError: The outline or a value cannot be used.
            OutputError: As for :meth:`decide`.
        """
        decided = {"status": "accepted", **checked_decision(values or {})}
        outline = checked_outline(geometry, self.grid)
        with self._lock:
            item = Item(
                self._state.next_drawn(),
                "drawn",
                outline,
                area_m2=measured([outline], self.grid)[0],
            )
            return self._ledger.write("draw", item=item.body(), set=decided)

    def reshape(self, identity: str, geometry: Outline) -> Change:
        """Gives an item another outline; its decision stays.

        Raises:
            InputError: There is no such item, it is a tile, or the outline cannot be used.
            OutputError: As for :meth:`decide`.
        """
        outline = checked_outline(geometry, self.grid)
        with self._lock:
            item = self._with_outline(identity)
            new = replace(item, geometry=outline, area_m2=measured([outline], self.grid)[0])
            return self._ledger.write(
                "reshape", id=item.id, item=new.body(), was=geometry_json(item.geometry)
            )

    def split(self, identity: str, line: shapely.Geometry) -> Change:
        """Cuts an item along a line into drawn items, which keep its probability and decision.

        Args:
            identity: Of the item.
            line: A LineString in pixel coordinates that begins and ends outside it.

        Raises:
            InputError: There is no such item, it is a tile, or the line does not cut it.
            OutputError: As for :meth:`decide`.
        """
        with self._lock:
            item = self._with_outline(identity)
            outlines = cut(item.geometry, line)
            areas = measured(outlines, self.grid)
            parts = [
                replace(
                    item,
                    id=self._state.next_drawn(number),
                    source="drawn",
                    geometry=outline,
                    area_m2=area,
                    stratum="",
                )
                for number, (outline, area) in enumerate(zip(outlines, areas, strict=True))
            ]
            return self._ledger.write(
                "split",
                id=item.id,
                item=item.body(),
                into=[{**part.body(), **part.decision()} for part in parts],
            )

    def merge(self, identities: Sequence[str]) -> Change:
        """Joins items into one drawn item; see :func:`hanet.review.corrections.joined`.

        Raises:
            InputError: There are fewer than two, one is unknown or a tile.
            OutputError: As for :meth:`decide`.
        """
        with self._lock:
            items = [self._with_outline(identity) for identity in dict.fromkeys(identities)]
            if len(items) < 2:
                raise InputError("joining takes two items", hint="choose at least two")
            whole = joined(items, self._state.next_drawn())
            whole = replace(whole, area_m2=measured([whole.geometry], self.grid)[0])
            return self._ledger.write(
                "merge",
                ids=[item.id for item in items],
                items=[item.body() for item in items],
                into={**whole.body(), **whole.decision()},
            )

    def undo(self) -> Change:
        """Takes back the last thing that somebody did to items, in whatever tab; what was sampled
        meanwhile stays.

        Raises:
            InputError: There is nothing to undo since the footprints were last remade: remade ones
                were matched with the items as these were then.
            OutputError: As for :meth:`decide`.
        """
        with self._lock:
            if self._state.undoable is None:
                raise self._nothing_to("undo")
            return self._ledger.write("undo", undoes=self._state.undoable)

    def redo(self) -> Change:
        """Does again what was undone last.

        Raises:
            InputError: There is nothing to redo since the footprints were last remade.
            OutputError: As for :meth:`decide`.
        """
        with self._lock:
            if self._state.redoable is None:
                raise self._nothing_to("redo")
            return self._ledger.write("redo", redoes=self._state.redoable)

    def take_back(self, file: str, items: Sequence[Item]) -> Change:
        """Takes items as somebody edited them elsewhere; one step to undo.

        Args:
            file: Name of the file that they come from.
            items: As they are now. Drawn ones with ids from :meth:`next_drawn` on are new.

        Raises:
            InputError: An item cannot be used, or was cut or joined into another.
            OutputError: As for :meth:`decide`.
        """
        with self._lock:
            if not items:
                raise InputError("there is nothing to take back")
            edited = [self._edited(item) for item in items]
            return self._ledger.write(
                "taken_back", file=file, items=[item.to_json() for item in edited]
            )

    def make_sample(self, count: int, seed: int) -> Change:
        """Draws the random sample that is to be looked at; see
        :func:`hanet.review.sampling.draw_sample`. An earlier sample gives way to it.

        Raises:
            SettingsError: The count or the seed is out of range, or there is nothing to draw from.
            OutputError: As for :meth:`decide`.
        """
        with self._lock:
            sample = draw_sample(
                found=self._ledger.view.population("found"),
                missed=self._ledger.view.population("missed"),
                blank=self._ledger.view.population("blank"),
                count=count,
                seed=seed,
            )
            return self._ledger.write("sample", **sample.to_json(), threshold=self.threshold)

    def suggest(self, tiles: Sequence[SuggestedTile], *, count: int, seed: int) -> Change:
        """Lays tiles before the person, in this order. Those of an earlier suggestion that nobody
        has decided about give way to them.

        Args:
            tiles: Which, and why.
            count: How many were asked for.
            seed: With which they were chosen.

        Raises:
            InputError: A tile is named twice, or the count or the seed is out of range.
            OutputError: As for :meth:`decide`.
        """
        with self._lock:
            return self._ledger.write(
                "suggest", count=count, seed=seed, items=[tile.to_json() for tile in tiles]
            )

    def reason(self, identity: str) -> str:
        """Why a tile was suggested, in words; ``""`` for what was not."""
        with self._lock:
            return self._state.reason(identity)

    def estimates(self) -> Json | None:
        """What the sample says so far; see :func:`hanet.review.reviewed_sample.estimates_json`."""
        with self._lock:
            return estimates_json(self._state)

    def next_drawn(self, ahead: int = 0) -> str:
        """The id of the next drawn item, or of the one so many after it."""
        with self._lock:
            return self._state.next_drawn(ahead)

    def remake(self, settings: FootprintSettings, progress: Progress | None = None) -> Change:
        """Makes the footprints anew from the kept probability, without a detection; decisions stay
        with the items that they were made on (:mod:`hanet.review.matching`).

        Others may go on deciding meanwhile.

        Args:
            settings: How; the threshold must be given.
            progress: As for :meth:`open`.

        Raises:
            InputError: Another remake is at work.
            SettingsError: The settings have no threshold.
            OutputError: As for :meth:`decide`.
        """
        if settings.threshold is None:
            raise SettingsError("footprints are remade with a threshold", hint="for example 0.5")
        if not self._is_remaking.acquire(blocking=False):
            raise InputError("the footprints are being remade already", hint="wait for it")
        try:
            if settings == self.settings:
                return Change(self.last, self.generation)
            sha256 = self._state.probability_sha256
            findings = findings_of(
                self.out, settings, sha256, keep=keep_if_there_is_room, progress=progress
            )
            findings = findings.of_generation(self.generation + 1)
            with self._lock:
                values = remake_values(self._state, settings, findings)
                return self._ledger.write_remake(findings, values)
        finally:
            self._is_remaking.release()

    def since(self, last: int) -> Change:
        """What has changed after record ``last``; everything where that is not known."""
        with self._lock:
            return self._ledger.since(last)

    def _nothing_to(self, do: str) -> InputError:
        if not self.generation:
            return InputError(f"there is nothing to {do}")
        return InputError(
            f"there is nothing to {do} since the footprints were remade",
            hint="earlier decisions stand; to change one, decide about the item again",
        )

    def _edited(self, item: Item) -> Item:
        """An item that comes back, with its outline checked and measured if it has another one."""
        known = self._ledger.view.get(item.id)
        if known is not None and known.geometry.equals(item.geometry):
            return replace(item, geometry=known.geometry, area_m2=known.area_m2)
        outline = checked_outline(item.geometry, self.grid)
        return replace(item, geometry=outline, area_m2=measured([outline], self.grid)[0])

    def _with_outline(self, identity: str) -> Item:
        item = self.item(identity)
        if item.is_tile:
            kind = "blank" if item.source == "blank" else "suggested"
            raise InputError(
                f"{identity} is a {kind} tile, which has no outline to correct",
                hint="draw what was missed in it",
            )
        return item

    def _check_complete(self, items: Sequence[Item]) -> None:
        """Does nothing where every footprint in the tiles among the items is decided, or is among
        them: to accept a tile says that all that changed in it is outlined."""
        decided = {item.id for item in items}
        for tile in items:
            if tile.source != "tile":
                continue
            ground = within(tile)
            open_ones = [
                item.id
                for item in self._ledger.near(ground.bounds)
                if item.source in ("found", "drawn")
                and not item.is_reviewed
                and item.id not in decided
                and shapely.intersects(item.geometry, ground)
            ]
            if open_ones:
                raise InputError(
                    f"{tile.id} is not complete: {len(open_ones)} of the footprints in it are not "
                    f"decided ({', '.join(open_ones[:3])})",
                    hint="accept or reject them, or say that they are unsure, then accept the tile",
                )


def read_review(out: Path, state: ReviewState | None = None) -> dict[str, Item]:
    """Everything that a review holds, untouched footprints and missed places too, by id; without a
    lock, and without writing.

    Args:
        out: The result folder.
        state: What its journal says, where that has been read already.

    Raises:
        OutputError: As for :meth:`Review.open`, or nobody has reviewed the folder yet.
    """
    read_run(out)
    state = read_journal(out) if state is None else state
    check_same(out, state, probability_hash(out))
    findings, remade = findings_at_hand(out, state)
    if remade is not None:
        state.apply(signed(state.last + 1, "", "remake", remade))
    return {item.id: item for item in View(state, findings).items()}


__all__ = ["Change", "Review", "read_review"]
