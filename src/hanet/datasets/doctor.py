"""The doctor of data sets: what is wrong with one, and what each finding would do to training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np

from hanet.datasets.layout import AFTER, BEFORE, LABEL
from hanet.datasets.manifest import read_manifest
from hanet.datasets.perceptual_hash import near_duplicates
from hanet.datasets.published import KNOWN_DATASETS, PER_DATE_STATISTICS, Statistics
from hanet.datasets.survey import FOLDERS, PairFacts, SplitFacts, survey
from hanet.files import file_hash
from hanet.imagery.images import IMAGE_SUFFIXES
from hanet.types import Json, Progress

Level = Literal["error", "warning", "note"]

INVERTED_SHARE = 0.5
"""Share of changed pixels of a split from which on its labels are taken for inverted. LEVIR-CD has
5 %, SYSU-CD, the most changed, 21 %."""

FULL_SHARE = 0.95
"""Share of changed pixels of a label from which on it may be inverted by itself."""

SHARE_FACTOR = 3.0
"""A changed share that differs from that of train by more than this is reported."""

TILE_PX = 256
"""Side of a tile where an experiment does not say otherwise."""

SHOWN_NAMES = 5
"""Names that a finding lists; ``--json`` holds all."""


@dataclass(frozen=True, slots=True)
class DataSetFinding:
    """Something about a data set.

    Args:
        level: ``"error"``: training or its scores would be wrong; ``"warning"``: worse or doubtful;
            ``"note"``: good to know.
        code: Short name of the kind of finding.
        split: Where; empty for the whole data set.
        message: What was found.
        effect: What it would do to training.
        fix: What to do; empty where nothing is to be done.
        names: Files or pairs.
    """

    level: Level
    code: str
    split: str
    message: str
    effect: str
    fix: str = ""
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the doctor says.

    Args:
        root: The data set.
        splits: What lies in each split.
        findings: Errors first.
    """

    root: Path
    splits: tuple[SplitFacts, ...]
    findings: tuple[DataSetFinding, ...]

    @property
    def is_fit(self) -> bool:
        """Whether no finding is an error."""
        return all(finding.level != "error" for finding in self.findings)

    def to_json(self) -> Json:
        """Everything, for ``--json``."""
        splits: Json = {}
        for split in self.splits:
            statistics = split.statistics()
            splits[split.name] = {
                "files": split.files,
                "pairs": len(split.pairs),
                "foreground_pairs": split.foreground,
                "changed_share": split.changed / split.pixels if split.pixels else None,
                "statistics": statistics._asdict() if statistics else None,
            }
        return {
            "root": str(self.root),
            "fit_for_training": self.is_fit,
            "splits": splits,
            "findings": [asdict(finding) for finding in self.findings],
        }


def diagnose(root: str | Path, *, progress: Progress | None = None) -> Diagnosis:
    """Reads every file of a data set and says what is wrong with it.

    Args:
        root: Folder with ``SPLIT/{A,B,label}``, or with ``{A,B,label}`` and ``list/SPLIT.txt``.
        progress: Told a stage and the share of it that is done.

    Raises:
        DataSetError: ``root`` is no folder or holds nothing that could be a split.
    """
    progress = progress or _say_nothing
    splits = survey(Path(root), progress)
    findings = [finding for split in splits for check in _SPLIT_CHECKS for finding in check(split)]
    findings += [
        *_splits_there(splits),
        *_shares(splits),
        *_against_manifest(Path(root)),
        *_known_counts(splits),
    ]
    findings += _duplicates(splits, progress)
    findings.sort(key=lambda finding: ("error", "warning", "note").index(finding.level))
    return Diagnosis(Path(root), tuple(splits), tuple(findings))


def nearest_statistics(found: Statistics) -> tuple[str, float]:
    """Name of the named statistics whose means are nearest, and the largest difference of a mean to
    them."""

    def distance(name: str) -> float:
        named = PER_DATE_STATISTICS[name]
        pairs = zip(
            (*found.mean_before, *found.mean_after),
            (*named.mean_before, *named.mean_after),
            strict=True,
        )
        return max(abs(a - b) for a, b in pairs)

    name = min(PER_DATE_STATISTICS, key=distance)
    return name, distance(name)


def _layout(split: SplitFacts) -> Iterator[DataSetFinding]:
    for folder in FOLDERS:
        if folder not in split.folders:
            there = split.renamed.get(folder)
            what = f"there is no folder {folder}" + (f", but {there}" if there else "")
            is_error = folder != LABEL or split.name in ("train", "val")
            yield DataSetFinding(
                "error" if is_error else "warning",
                "missing-folder",
                split.name,
                what,
                "the split cannot be read"
                if folder != LABEL
                else "it can be predicted, but neither trained on nor scored",
                f"rename {there} to {folder}"
                if there
                else f"put the images into {(Path(split.place) / folder).as_posix()}",
            )
    for folder in split.folders:
        if not split.files[folder]:
            yield DataSetFinding(
                "error",
                "empty-folder",
                split.name,
                f"{folder} holds no image",
                "the split cannot be read",
                f"images end with {', '.join(sorted(IMAGE_SUFFIXES))}",
            )
    for folder, names in split.unpaired.items():
        if split.files[folder]:
            yield DataSetFinding(
                "error",
                "unpaired",
                split.name,
                f"names that {folder} lacks and another folder or the list has: {len(names)}",
                "training refuses the split: a date or a label without its partner cannot be used",
                "names are matched without suffix; add the missing files or remove their partners",
                tuple(names),
            )
    if split.twice:
        yield DataSetFinding(
            "error",
            "name-twice",
            split.name,
            f"names that occur twice in a folder, with two suffixes: {len(split.twice)}",
            "training refuses the split: it is unclear which of the two belongs to the pair",
            "keep one file for each name",
            tuple(split.twice),
        )


def _files(split: SplitFacts) -> Iterator[DataSetFinding]:
    broken = [problem for pair in split.pairs for problem in pair.problems]
    if broken:
        remedies = dict.fromkeys(remedy for pair in split.pairs for remedy in pair.remedies)
        yield DataSetFinding(
            "error",
            "unreadable",
            split.name,
            f"files that cannot be used: {len(broken)}",
            "training stops when it comes to the first of them",
            "; ".join(remedies) or "copy or download them again",
            tuple(broken),
        )
    yield from _sizes(split)
    yield from _same_dates(split)
    yield from _plain_images(split)


def _sizes(split: SplitFacts) -> Iterator[DataSetFinding]:
    odd = [pair for pair in split.pairs if len(set(pair.sizes.values())) > 1]
    if odd:
        shown = tuple(
            f"{p.name}: " + ", ".join(f"{f} {h}x{w}" for f, (h, w) in p.sizes.items()) for p in odd
        )
        yield DataSetFinding(
            "error",
            "sizes-differ",
            split.name,
            f"pairs whose files differ in size: {len(odd)}",
            "training refuses them: pixels of the two dates and the label would not be of the "
            "same ground",
            "take the files from one release; never resize a label by itself",
            shown,
        )
    sizes = Counter(pair.sizes[BEFORE] for pair in split.pairs if BEFORE in pair.sizes)
    small = [pair for pair in split.pairs if min(pair.sizes.get(BEFORE, (TILE_PX,))) < TILE_PX]
    if small and split.name == "train":
        smallest = min(min(pair.sizes[BEFORE]) for pair in small)
        yield DataSetFinding(
            "warning",
            "smaller-than-a-tile",
            split.name,
            f"pairs smaller than a tile of {TILE_PX} pixels: {len(small)}",
            f"training with tile_px = {TILE_PX}, its default, refuses them",
            f"set tile_px = {smallest} or less in the experiment, or leave these pairs out",
            tuple(f"{p.name} {p.sizes[BEFORE][0]}x{p.sizes[BEFORE][1]}" for p in small),
        )
    if len(sizes) > 1:
        listed = ", ".join(f"{count} of {h}x{w}" for (h, w), count in sizes.most_common(4))
        yield DataSetFinding(
            "note",
            "several-sizes",
            split.name,
            f"pairs have {len(sizes)} sizes: {listed}",
            "larger images are cut into tiles; tiles of images that 256 does not divide overlap "
            "in training",
        )


def _same_dates(split: SplitFacts) -> Iterator[DataSetFinding]:
    same = [pair.name for pair in split.pairs if pair.same_dates]
    labelled = [pair.name for pair in split.pairs if pair.same_dates and pair.changed]
    if labelled:
        yield DataSetFinding(
            "error",
            "same-dates",
            split.name,
            f"pairs with the same picture at both dates, and change in the label: {len(labelled)}",
            "the network learns to report change that cannot be seen",
            "a date was probably copied into the wrong folder",
            tuple(labelled),
        )
    elif same:
        yield DataSetFinding(
            "warning",
            "same-dates",
            split.name,
            f"pairs with the same picture at both dates: {len(same)}",
            "nothing can be learned from them: unchanged ground never looks so",
            "a date was probably copied into the wrong folder",
            tuple(same),
        )


def _plain_images(split: SplitFacts) -> Iterator[DataSetFinding]:
    plain = [f"{folder}/{pair.name}" for pair in split.pairs for folder in pair.one_colour]
    if plain:
        yield DataSetFinding(
            "warning",
            "one-colour",
            split.name,
            f"images of a single colour: {len(plain)}",
            "the network learns missing data as unchanged ground, and mean and deviation shift",
            "leave these pairs out",
            tuple(plain),
        )
    grey = [pair.name for pair in split.pairs if pair.grey]
    if grey:
        yield DataSetFinding(
            "note",
            "grey-images",
            split.name,
            f"pairs that are grey at both dates: {len(grey)}",
            "the network gets three equal bands; weights trained on colour fit them less well",
            "",
            tuple(grey),
        )


def _labels(split: SplitFacts) -> Iterator[DataSetFinding]:
    by_encoding: dict[str, list[PairFacts]] = {}
    for pair in split.pairs:
        if pair.encoding is not None and not (
            pair.encoding == "0/1" and not pair.changed
        ):  # black: could be any
            by_encoding.setdefault(pair.encoding, []).append(pair)
    for encoding, pairs in by_encoding.items():
        names = tuple(pair.name for pair in pairs)
        if pairs[0].changed is None:
            kinds = ", ".join(sorted({pair.carrier for pair in pairs}))
            values = f", values {pairs[0].label_values}" if pairs[0].label_values else ""
            yield DataSetFinding(
                "error",
                "label-encoding",
                split.name,
                f"labels that cannot be used, {encoding} ({kinds}{values}): {len(pairs)}",
                "training refuses them: which values mean change would be a guess",
                "rewrite them as PNG with 0 = unchanged and 255 = changed (128 = unknown)",
                names,
            )
        elif encoding == "grey JPEG":
            yield DataSetFinding(
                "warning",
                "jpeg-labels",
                split.name,
                f"JPEG labels, whose 0 and 255 are smeared by compression: {len(pairs)}",
                "they are cut at 128, so that outlines are off by a pixel here and there: "
                "boundaries and F1 suffer a little",
                "take the PNG labels of the release",
                names,
            )
    usable = [encoding for encoding, pairs in by_encoding.items() if pairs[0].changed is not None]
    if usable and usable != ["0/255"]:
        counts = ", ".join(f"{len(by_encoding[encoding])} {encoding}" for encoding in usable)
        carriers = sorted({pair.carrier for encoding in usable for pair in by_encoding[encoding]})
        yield DataSetFinding(
            "note",
            "label-encodings",
            split.name,
            f"labels: {counts} (as {', '.join(carriers)})",
            "none: all of these are read alike; 0/1 looks black in an image viewer",
        )
    ignored = [pair for pair in split.pairs if pair.ignored]
    if ignored:
        pixels = sum(pair.ignored for pair in ignored)
        share = pixels / (pixels + split.pixels)
        yield DataSetFinding(
            "note",
            "ignored",
            split.name,
            f"labels with pixels marked as unknown: {len(ignored)}, {share:.0%} of all pixels",
            "they are ignored, in training and in scores",
            "",
            tuple(pair.name for pair in ignored),
        )


def _polarity(split: SplitFacts) -> Iterator[DataSetFinding]:
    if not split.pixels:
        return
    share = split.changed / split.pixels
    if share > INVERTED_SHARE:
        yield DataSetFinding(
            "error",
            "inverted",
            split.name,
            f"{share:.1%} of all pixels are changed: the labels are probably inverted",
            "the network learns to mark unchanged ground, and scores of this split say nothing",
            "invert them, so that 0 = unchanged and 255 = changed",
        )
        return
    full = [
        p.name
        for p in split.pairs
        if p.changed is not None and p.changed >= FULL_SHARE * np.prod(p.sizes[LABEL])
    ]
    if full:
        yield DataSetFinding(
            "warning",
            "full-labels",
            split.name,
            f"labels that are changed all over (95 % and more): {len(full)}",
            "if only these are inverted, they teach the opposite of the others",
            "look at them",
            tuple(full),
        )
    labelled = [pair for pair in split.pairs if pair.changed is not None]
    black = len(labelled) - split.foreground
    if labelled and black == len(labelled):
        yield DataSetFinding(
            "error",
            "all-black",
            split.name,
            "no label holds a changed pixel",
            "nothing can be learned, PFBS has no foreground, and F1 is not defined",
            "look whether the labels are those of these images",
        )
    elif black:
        yield DataSetFinding(
            "note",
            "black-labels",
            split.name,
            f"{black} of {len(labelled)} labels are black "
            f"({black / len(labelled):.0%}): background",
            "none; this is what progressive foreground-balanced sampling (pfbs) is for",
        )


_SPLIT_CHECKS = (_layout, _files, _labels, _polarity)


def _splits_there(splits: Sequence[SplitFacts]) -> Iterator[DataSetFinding]:
    names = [split.name for split in splits]
    effects = {
        "train": ("error", "there is nothing to train on"),
        "val": (
            "error",
            "weights and threshold cannot be chosen: training needs a validation split",
        ),
        "test": ("note", "none: training never reads it; scores can only be given on val"),
    }
    for name, (level, effect) in effects.items():
        if name not in names:
            others = ", ".join(other for other in names if other not in effects)
            yield DataSetFinding(
                level,  # type: ignore[arg-type]
                "missing-split",
                "",
                f"there is no split {name!r}",
                effect,
                f"splits of other names are here: {others}" if others and level == "error" else "",
            )


def _shares(splits: Sequence[SplitFacts]) -> Iterator[DataSetFinding]:
    shares = {
        s.name: s.changed / s.pixels
        for s in splits
        if s.pixels and 0 < s.changed / s.pixels <= INVERTED_SHARE
    }
    train = shares.get("train")
    if train is None:
        return
    for other, share in shares.items():
        if max(train, share) / min(train, share) > SHARE_FACTOR:
            yield DataSetFinding(
                "warning",
                "shares-differ",
                "",
                f"{train:.2%} of train is changed, but {share:.2%} of {other}",
                "what is chosen on one will not suit the other: threshold, schedule and F1 depend "
                "on the share",
                "look whether both splits come from the same release and kind of ground",
            )


def _known_counts(splits: Sequence[SplitFacts]) -> Iterator[DataSetFinding]:
    counts = {split.name: len(split.pairs) for split in splits}
    for entry in KNOWN_DATASETS.values():
        same = [name for name, count in entry.tiles.items() if counts.get(name) == count]
        if same == list(entry.tiles):
            yield DataSetFinding(
                "note",
                "known-counts",
                "",
                f"the counts are those published for {entry.title}",
                "none",
            )
        elif len(same) > 1:
            odd = ", ".join(
                f"{n} {counts.get(n, 0)} of {c}" for n, c in entry.tiles.items() if n not in same
            )
            yield DataSetFinding(
                "warning",
                "known-counts",
                "",
                f"the counts are those published for {entry.title}, but for {odd}",
                "scores are not comparable with the published ones",
                f"prepare it again: hanet datasets {entry.key}",
            )


def _against_manifest(root: Path) -> Iterator[DataSetFinding]:
    found = read_manifest(root)
    if found is None:
        return
    _, tiles = found
    changed = []
    for tile in tiles:
        for folder, expected in ((BEFORE, tile.before), (AFTER, tile.after), (LABEL, tile.label)):
            path = root / tile.split / folder / f"{tile.name}.png"
            if not path.is_file() or file_hash(path) != expected:
                changed.append(f"{tile.split}/{folder}/{tile.name}")
    if changed:
        yield DataSetFinding(
            "error",
            "manifest",
            "",
            f"files that are not those of the manifest: {len(changed)}",
            "the data are no longer what their manifest says, and results would name the wrong "
            "data",
            "run the same hanet prepare again: this fixes them",
            tuple(changed),
        )


def _duplicates(splits: Sequence[SplitFacts], progress: Progress) -> list[DataSetFinding]:
    findings: list[DataSetFinding] = []
    pictures = {s.name: [pair for pair in s.pairs if pair.thumbnails is not None] for s in splits}
    jobs = [*combinations(pictures, 2), *((name, name) for name in pictures)]
    for number, (one, other) in enumerate(jobs):
        progress("looking for duplicates", number / len(jobs))
        first, second = pictures[one], pictures[other]
        if first and second:
            findings += _same_ground(one, other, first, second)
    progress("looking for duplicates", 1.0)
    return findings


def _same_ground(
    one: str, other: str, first: list[PairFacts], second: list[PairFacts]
) -> Iterator[DataSetFinding]:
    within = one == other
    stacks = [
        np.stack([pair.thumbnails for pair in pairs if pair.thumbnails is not None])
        for pairs in (first, second)
    ]
    if within:
        seen: dict[str | None, str] = {}
        exact = [
            (seen[p.digest], p.name) for p in first if seen.setdefault(p.digest, p.name) != p.name
        ]
    else:
        where = {pair.digest: pair.name for pair in first}
        exact = [(where[pair.digest], pair.name) for pair in second if pair.digest in where]
    near = near_duplicates(stacks[0], None if within else stacks[1])
    similar = {(first[n.first].name, second[n.second].name) for n in near} - set(exact)
    if within:
        groups = len({name for names in (*exact, *similar) for name in names[1:]})
        if groups:
            yield DataSetFinding(
                "note",
                "repeated",
                one,
                f"pairs that show ground of another pair: {groups}, pixel for pixel: {len(exact)}",
                "they weigh more in training; a random share taken from this split for "
                "validation would leak",
                "",
                tuple(f"{a} = {b}" for a, b in [*exact, *sorted(similar)]),
            )
        return
    leak = "scores on the second are too high: the network has seen that ground"
    if exact:
        yield DataSetFinding(
            "error",
            "in-two-splits",
            f"{one}, {other}",
            f"pairs that are in both {one} and {other}, pixel for pixel: {len(exact)}",
            leak,
            "remove them from one",
            tuple(f"{a} = {b}" for a, b in exact),
        )
    if similar:
        yield DataSetFinding(
            "error",
            "near-in-two-splits",
            f"{one}, {other}",
            "pairs of both that show the same ground, flipped, turned, recoloured or "
            f"compressed: {len(similar)}",
            leak,
            "look at them; remove them from one",
            tuple(f"{a} ~ {b}" for a, b in sorted(similar)),
        )


def _say_nothing(stage: str, share: float) -> None:
    del stage, share
