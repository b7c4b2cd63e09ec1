"""What an adaptation leaves: ``NAME.onnx``, ``NAME.safetensors``, the card ``NAME.md`` and the
result ``NAME.json``, each whole or not there.

The ``.onnx`` of the light rungs is the old file with other metadata and, where there is one, a
further temperature in its graph: neither torch nor the package onnx is needed.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hanet.adaptation.ground import Ground
from hanet.adaptation.ladder import Climb
from hanet.adaptation.replay import HomeCheck
from hanet.adaptation.standing import Standing, cooled
from hanet.adaptation.verdict import Verdict
from hanet.errors import ParityError
from hanet.evaluation.paired import Difference
from hanet.files import file_hash, writing
from hanet.imagery.images import read_image
from hanet.metadata import Metadata, Score
from hanet.types import FloatArray, Json
from hanet.version import __version__
from hanet.weights.engine import Engine
from hanet.weights.onnx_rewrite import with_further_temperature, with_other_metadata
from hanet.weights.runtime import open_runtime
from hanet.weights.weights_file import update_safetensors_metadata
from hanet.work_folder import move_into_place

AGREEMENT = 1e-3
"""Largest difference of probability between what was judged and the file that was written."""

MOST_NOTES = 900
"""Notes that are kept of weights that were adapted again and again."""


@dataclass(frozen=True, slots=True)
class Story:
    """What is said of adapted weights.

    Args:
        name: Theirs.
        origin: Name of the weights that they come from.
        place: Where the ground lies, in words.
        sources: Where labels come from, in words.
        ground: The reviewed ground.
        climb: What the ladder gave.
        is_forced: Written although the hold-out does not say that they are better.
        home: The check on rendered pairs; None where nothing is written.
    """

    name: str
    origin: str
    place: str
    sources: Sequence[str]
    ground: Ground
    climb: Climb
    is_forced: bool
    home: HomeCheck | None = None

    @property
    def chosen(self) -> Standing:
        """The weights that are written."""
        return self.climb.best if self.is_forced else self.climb.kept

    @property
    def verdict(self) -> Verdict:
        """Of those weights against the old ones."""
        return self.climb.best_verdict if self.is_forced else self.climb.verdict

    @property
    def tiles(self) -> int:
        """Reviewed tiles."""
        return len(self.ground.tiles)

    @property
    def is_crossed(self) -> bool:
        """Whether what is written was judged by all blocks, not by a hold-out."""
        return self.climb.is_crossed(forced=self.is_forced)


def make_weights(story: Story, folder: Path) -> list[Path]:
    """The weights files in a folder, named as they will be.

    Raises:
        ParityError: The file gives another probability than was judged.
        OutputError: The disk does not take them.
    """
    standing = story.chosen
    metadata = adapted_metadata(story)
    onnx = folder / f"{story.name}.onnx"
    content = with_further_temperature(standing.onnx.read_bytes(), standing.temperature)
    with writing(onnx):
        onnx.write_bytes(with_other_metadata(content, metadata))
    _check(onnx, story)
    made = [onnx]
    if standing.torch is not None:
        tensors = folder / f"{story.name}.safetensors"
        with writing(tensors):
            shutil.copyfile(standing.torch, tensors)
        update_safetensors_metadata(tensors, metadata)
        made.append(tensors)
    return made


def adapted_metadata(story: Story) -> Metadata:
    """What travels with the adapted weights: the terms of the old ones, the new threshold, and the
    score that the verdict rests on in place of scores that are no longer theirs."""
    old, standing = story.climb.start.metadata, story.chosen
    after = story.verdict.after
    score = Score(
        dataset=f"{story.place}, {'crossed blocks' if story.is_crossed else 'hold-out'}"[:200],
        split="crossed" if story.is_crossed else "holdout",
        protocol="tiles-256",
        precision=after.precision,
        recall=after.recall,
        f1=after.f1,
        iou=after.iou,
        source=f"{story.name}.json",
    )
    earlier = [
        f"before the adaptation, as {old.name}: F1 {one.f1:.4f} on {one.dataset}/{one.split} "
        f"({one.protocol})"
        for one in old.scores
    ]
    steps = ", ".join(result.rung for result in story.climb.results if result.outcome == "kept")
    done = (
        f"adapted from {old.name} to {story.place}: {story.tiles} reviewed tiles "
        f"({'; '.join(story.sources)}); kept: {steps or 'nothing, written with --force'}"
    )
    learned = [
        part
        for part in (old.training_data, f"{story.tiles} reviewed tiles of {story.place}")
        if part
    ]
    keeping = standing.footprint_filter
    return replace(
        standing.metadata,
        name=story.name,
        threshold=standing.threshold,
        temperature=standing.metadata.temperature * standing.temperature,
        footprint_filter=keeping.to_json() if keeping is not None else None,
        training_data="; ".join(learned),
        scores=(score,),
        licence=old.licence,
        citation=old.citation,
        code_version=__version__,
        notes=(*old.notes, *earlier, done)[-MOST_NOTES:],
    )


def result_json(story: Story, *, origin: Path, minutes: float, peak_mb: float, facts: Json) -> Json:
    """``NAME.json``."""
    climb = story.climb
    return {
        "hanet": __version__,
        "name": story.name,
        "from": {"name": story.origin, "file": origin.name, "sha256": file_hash(origin)},
        "place": story.place,
        "sources": list(story.sources),
        **facts,
        "ground": story.ground.to_json(),
        "rungs": [result.to_json() for result in climb.results],
        "verdict": climb.verdict.to_json(),
        "best": climb.best_verdict.to_json(),
        "forced": story.is_forced,
        "rendered": story.home.to_json() if story.home is not None else None,
        "minutes": round(minutes, 3),
        "peak_mb": round(peak_mb, 1),
        "tiles": [
            {"name": one.tile.name, "place": one.tile.place, "block": one.block, "set": one.set}
            for one in story.ground.tiles
        ],
    }


def card(story: Story) -> str:
    """``NAME.md``: what a person should know of the weights."""
    old, new = story.climb.start.metadata, adapted_metadata(story)
    doubt = (
        "**The reviewed ground does not show that these weights are better than the old ones; they "
        "were written with --force.**\n\n"
        if story.is_forced
        else ""
    )
    return "\n".join(
        [
            f"# {story.name}",
            "",
            f"{doubt}**Use them** in {story.place}, on images like those that were reviewed there: "
            f"they are `{story.origin}`, adapted with `hanet adapt` {__version__}. Elsewhere the "
            f"scores of {story.origin} no longer apply.",
            "",
            *_scores(story),
            "",
            "**Limits.** The interval does not account for several rungs being judged on the same "
            "ground, or for other parts of the place and other dates that differ from what was "
            "reviewed.",
            "",
            f"**Elsewhere:** {elsewhere(story.origin)}.",
            "",
            *([f"**On rendered pairs:** {story.home.said()}.", ""] if story.home else []),
            f"**Terms:** those of `{story.origin}`: {new.licence or 'none are stated'}. What was "
            "learned from your images and labels may bring terms of their own.",
            "",
            f"**Labels:** {'; '.join(story.sources)}; {story.tiles} tiles of 256 px.",
            "",
            *_sets(story),
            "",
            *_rungs(story),
            "",
            f"**Threshold** {new.threshold:.4f} (before {old.threshold:.4f}), temperature "
            f"{new.temperature:.3f} (before {old.temperature:.3f}); footprint filter: "
            + ("yes." if new.footprint_filter is not None else "none."),
            "",
            f"**Trained on:** {new.training_data or 'not stated'}.",
            "",
            *([f"**Cite:** {new.citation}.", ""] if new.citation else []),
        ]
    )


def _scores(story: Story) -> list[str]:
    """Who judged, and the table of what they saw before and after."""
    verdict = story.verdict
    judges = (
        f"**On all {verdict.blocks} reviewed blocks**, each at the threshold chosen on the others, "
        "since no rung was kept on a hold-out (pixels, tiles of 256 px, 95 % interval over "
        "blocks):"
        if story.is_crossed
        else (
            f"**On the hold-out** ({verdict.blocks} blocks, not used for learning; pixels, tiles "
            "of 256 px, 95 % interval over blocks):"
        )
    )
    rows = [
        f"| {name} | {getattr(verdict.before, name):.4f} | {getattr(verdict.after, name):.4f} | "
        f"{said(getattr(verdict, name))} |"
        for name in ("f1", "precision", "recall")
    ]
    return [judges, "", "| | before | after | difference |", "| --- | --- | --- | --- |", *rows]


def _sets(story: Story) -> list[str]:
    """The table of what the reviewed tiles were for."""
    ground = story.ground.to_json()
    parts = {"learn": "learned from", "watch": "watched", "holdout": "judged"}
    shown = {what: ground[name] for name, what in parts.items()}
    if story.is_crossed:  # the sets are those of rungs that were not kept
        counted = ("tiles", "blocks", "known_px", "changed_px")
        shown = {
            "chose the threshold, and judged that of the others": {
                key: sum(ground[name][key] for name in parts) for key in counted
            }
        }
    rows = [
        f"| {what} | {facts['tiles']} | {facts['blocks']} | "
        f"{facts['known_px']:,} | {facts['changed_px']:,} |"
        for what, facts in shown.items()
    ]
    head = "| tiles that | tiles | blocks | known pixels | changed |"
    return [head, "| --- | --- | --- | --- | --- |", *rows]


def _rungs(story: Story) -> list[str]:
    """The table of what was tried."""
    rows = [
        f"| {result.rung} | {result.outcome} | "
        + (said(result.verdict.f1) if result.verdict is not None else result.why)
        + f" | {result.minutes:.1f} |"
        for result in story.climb.results
    ]
    head = "| rung | outcome | difference of F1 | minutes |"
    return [head, "| --- | --- | --- | --- |", *rows]


def elsewhere(origin: str) -> str:
    """The warning about weights that were written, whatever the check on rendered pairs shows: that
    check was silent about losses of up to six points (docs/concepts/adaptation.md)."""
    return (
        f"these weights are for this place alone: where {origin} worked well they may lose "
        f"several points of F1, whether rendered pairs show it or not; keep {origin} for other "
        "places"
    )


def said(difference: Difference) -> str:
    """A difference with its interval in words.

    Example:
        >>> said(Difference(0.05, 0.01, 0.09))
        '+0.0500 (+0.0100 to +0.0900)'
    """
    return f"{difference.value:+.4f} ({difference.low:+.4f} to {difference.high:+.4f})"


def put_in_place(made: Sequence[Path], out: Path) -> list[Path]:
    """Moves finished files beside ``out``, in order, the result last.

    Raises:
        OutputError: The place cannot be written.
    """
    targets = []
    for path in made:
        with writing(path), path.open("r+b") as file:
            os.fsync(file.fileno())
    for path in made:
        target = out.with_name(path.name)
        move_into_place(path, target)
        targets.append(target)
    return targets


def write_text(path: Path, text: str) -> Path:
    """A text file.

    Raises:
        OutputError: The disk does not take it.
    """
    with writing(path):
        path.write_text(text, encoding="utf-8")
    return path


def as_json(values: Json) -> str:
    """With a line for each value."""
    return json.dumps(values, indent=1, allow_nan=False) + "\n"


def _check(onnx: Path, story: Story) -> None:
    """Does nothing where the file gives for a tile of the hold-out what was judged."""
    placed = story.ground.of("holdout")[0]
    before, after, _ = story.ground.files(placed)
    images = [read_image(path)[None].astype(np.float32) for path in (before, after)]
    found = open_runtime(onnx, Engine(threads=1)).predict(images[0], images[1])[0]
    judged = story.chosen.probability[placed.tile.name]
    difference = _difference(found, judged, story.chosen.temperature)
    if not difference <= AGREEMENT:
        raise ParityError(
            f"the adapted file differs from what was judged by {difference:.2g} in probability; "
            f"{AGREEMENT} is allowed",
            hint="please report this with the version of onnxruntime",
        )


def _difference(found: FloatArray, judged: FloatArray, temperature: float) -> float:
    """Largest difference of two probabilities at a temperature, compared as if it were at most 1.

    What was judged was cooled from stored probabilities, in which the surest pixels are 0 or 1
    whatever their logit was; a temperature above 1 moves only those of the file away from there.
    """
    if temperature > 1:
        found, judged = (cooled(one, 1 / temperature) for one in (found, judged))
    return float(np.abs(found - judged).max())
