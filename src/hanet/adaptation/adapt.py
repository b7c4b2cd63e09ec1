"""``adapt``: reviewed ground in; weights that know the place out, if the hold-out says so.

:func:`adapt` is the whole way in order, and each step of it a file of this folder: ground is
gathered (:mod:`~hanet.adaptation.sources`, :mod:`~hanet.adaptation.polygons`,
:mod:`~hanet.adaptation.ground`) and split (:mod:`~hanet.adaptation.blocks`), the ladder is climbed
(:mod:`~hanet.adaptation.ladder`), and what is better is written (:mod:`~hanet.adaptation.written`).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from hanet.adaptation.blocks import check_hold_out
from hanet.adaptation.contradictions import refuse_contradictions
from hanet.adaptation.ground import Gatherer, Ground, read_ground
from hanet.adaptation.ladder import (
    LIGHT,
    Climb,
    Ladder,
    RungName,
    Trainer,
    Tried,
    chosen_rungs,
    peak_mb,
)
from hanet.adaptation.replay import HOME, REPLAY, home_check
from hanet.adaptation.sources import ReviewedResult, Source, check_bands
from hanet.adaptation.standing import Standing, standing_of
from hanet.adaptation.written import (
    Story,
    as_json,
    card,
    elsewhere,
    make_weights,
    put_in_place,
    result_json,
    write_text,
)
from hanet.destination import check_file, check_packages
from hanet.documents import read_json
from hanet.errors import HanetError, MissingExtraError, OutputError, SettingsError, WeightsError
from hanet.files import check_name, file_hash, is_there, replace_file, writing
from hanet.listeners import listeners
from hanet.metadata import Metadata
from hanet.types import Json, Progress
from hanet.weights import catalogue
from hanet.work_folder import WorkFolder

FORMAT = 1
"""Of the working folder; raised when what it holds means something else."""

BEGUN = "begun.json"
"""File of the working folder that says what it was begun with."""

NEEDED = ("torch", "pytorch_lightning", "onnx", "kornia")
"""Packages of ``hanet[train]`` that rungs which train need."""


@dataclass(frozen=True, slots=True)
class Adaptation:
    """What came out.

    Args:
        climb: Rungs and verdicts.
        ground: What was learned from and judged by.
        files: What was written, the result last.
        has_weights: Whether weights are among them.
        is_forced: Whether they were written although the hold-out does not say that they are
            better.
        minutes: Of this call.
        peak_mb: Most memory of the process.
    """

    climb: Climb
    ground: Ground
    files: tuple[Path, ...]
    has_weights: bool
    is_forced: bool
    minutes: float
    peak_mb: float


def adapt(
    sources: Sequence[Source],
    *,
    out: str | Path,
    weights: str | Path = catalogue.DEFAULT,
    hold_out: float = 0.4,
    seed: int = 0,
    rungs: Sequence[str] | None = None,
    minutes: float = 10.0,
    threads: int | None = None,
    place: str | None = None,
    resume: bool = False,
    force: bool = False,
    overwrite: bool = False,
    keep: bool = False,
    note: Callable[[str], None] | None = None,
    warn: Callable[[str], None] | None = None,
    progress: Progress | None = None,
    tried: Tried | None = None,
) -> Adaptation:
    """Adapts weights to a place, and writes them if they are better there.

    Args:
        sources: Where reviewed ground comes from.
        out: ``NAME``, of which ``NAME.onnx``, ``NAME.safetensors``, ``NAME.md`` and ``NAME.json``
            are made; the working folder is ``NAME.adapt``.
        weights: That are adapted: a name that ``hanet models`` lists, or a file.
        hold_out: Share of the blocks that judges, between 0 and 1.
        seed: Which blocks, and of all training.
        rungs: Names of :data:`hanet.adaptation.ladder.RUNGS`, or ``light``; if None, all that can
            be run here.
        minutes: That the rungs which train may train, together; making their files and scoring
            them come on top.
        threads: Of the engines; all cores that this process may use if None.
        place: What the place is called on the card; the sources' names if None.
        resume: Continue what ``NAME.adapt`` holds.
        force: Write the best candidate although the hold-out does not say that it is better.
        overwrite: Replace weights of that name.
        keep: Leave the working folder.
        note: Called with each decision, in words.
        warn: Called with what may hurt, in words; if None ``note``, and without that Python's
            warnings.
        progress: Called with a stage and the share done.
        tried: Shown each candidate, kept or not.

    Raises:
        HanetError: Whatever keeps the weights from being adapted; nothing half-written is left
            under a final name.

    Example:
        >>> result = adapt([LabelFolder(Path("labels"))], out="mine", rungs=["light"])
        >>> result.climb.verdict.is_better
        True
    """
    begun = perf_counter()
    target = Path(out)
    _check_target_name(target)
    work = target.with_name(f"{target.name}.adapt")
    # a killed run may have put some of its files in place, and replaces them when it continues
    _check_files(target, may_replace=overwrite or (resume and is_there(work / BEGUN)))
    tell, alarm = listeners(note, warn)
    wanted = chosen_rungs(rungs)
    _check_settings(sources, hold_out=hold_out, minutes=minutes)
    origin = _origin(weights, wanted, are_named=rungs is not None, tell=tell)
    refuse_contradictions([one.place() for one in sources if isinstance(one, ReviewedResult)])
    identity = _identity(origin, sources, hold_out=hold_out, seed=seed)
    with WorkFolder(work, busy=f"another hanet is at work in {work}") as folder:
        _begin(folder.path, identity, resume=resume)
        ground = _ground(
            folder.path,
            sources,
            metadata=origin.metadata,
            hold_out=hold_out,
            seed=seed,
            warn=alarm,
            progress=progress,
        )
        runs = folder.path / "runs"
        with writing(runs):
            runs.mkdir(exist_ok=True)
        start = _start(origin, ground, runs, threads=threads, progress=progress)
        ladder = Ladder(
            ground,
            start,
            folder=runs,
            seed=seed,
            threads=threads,
            resume=resume,
            trainer=_trainer(minutes) if origin.trains else None,
            why_none="" if origin.why_none is None else origin.why_none.message,
            progress=progress,
            tried=tried,
        )
        climb = ladder.climb(wanted)
        is_forced = force and not climb.verdict.is_better and climb.best is not climb.start
        where = place or ", ".join(dict.fromkeys(source.name for source in sources))
        said = tuple(source.said for source in sources)
        story = Story(target.name, start.metadata.name, where, said, ground, climb, is_forced)
        made: list[Path] = []
        if climb.verdict.is_better or is_forced:
            story, made = _weights_and_card(story, folder, note=tell, warn=alarm, threads=threads)
        spent, peak = (perf_counter() - begun) / 60, peak_mb()
        facts = {"hold_out": hold_out, "seed": seed, "rungs_asked": list(wanted)}
        values = result_json(story, origin=start.onnx, minutes=spent, peak_mb=peak, facts=facts)
        made.append(write_text(folder.building / f"{target.name}.json", as_json(values)))
        files = tuple(put_in_place(made, target))
        if not keep:
            _clear(folder.path)
    return Adaptation(climb, ground, files, len(files) > 1, is_forced, spent, peak)


@dataclass(frozen=True, slots=True)
class _Origin:
    """What is adapted.

    Args:
        onnx: The file that runs; None where it has to be made of ``torch``.
        torch: The file to train from, if there is one.
        metadata: Of either.
        why_none: Why no rung can be trained here, if so.
        trains: Whether a rung that trains is wanted and can be.
    """

    onnx: Path | None
    torch: Path | None
    metadata: Metadata
    why_none: HanetError | None
    trains: bool


def _origin(
    weights: str | Path, rungs: Sequence[str], *, are_named: bool, tell: Callable[[str], None]
) -> _Origin:
    """The weights' files, and whether they can be trained.

    Raises:
        MissingExtraError: Nothing can be made of them without packages that are missing.
        WeightsError: They are missing or corrupt, take other bands, or a rung that was named needs
            a ``.safetensors`` file that is missing.
    """
    onnx, torch = _weights(weights, tell)
    metadata = catalogue.read_metadata(onnx or _torch(torch))
    check_bands(metadata)
    trains = [name for name in rungs if name not in LIGHT]
    why_none = _why_nothing_trains(torch, metadata.name)
    if why_none is not None and (onnx is None or (are_named and trains)):
        raise why_none
    if why_none is not None and trains:
        tell(f"{', '.join(trains)} are left out: {why_none.message} ({why_none.hint})")
    return _Origin(onnx, torch, metadata, why_none, why_none is None and bool(trains))


def _identity(origin: _Origin, sources: Sequence[Source], *, hold_out: float, seed: int) -> Json:
    """What has to be the same where an adaptation is continued."""
    return {
        "format": FORMAT,
        "weights": file_hash(origin.onnx or _torch(origin.torch)),
        "sources": [source.identity() for source in sources],
        "hold_out": hold_out,
        "seed": seed,
    }


def _start(
    origin: _Origin, ground: Ground, runs: Path, *, threads: int | None, progress: Progress | None
) -> Standing:
    """The weights before anything is learned, scored on the ground."""
    onnx = origin.onnx
    if onnx is None:
        onnx = runs / "start.onnx"
        _export(_torch(origin.torch), onnx)
    return standing_of(onnx, origin.torch, ground, threads=threads, progress=progress)


def _weights_and_card(
    story: Story,
    folder: WorkFolder,
    *,
    note: Callable[[str], None],
    warn: Callable[[str], None],
    threads: int | None,
) -> tuple[Story, list[Path]]:
    """The weights and their card where files are made, and the story with what was lost at home."""
    start = story.climb.start
    made = make_weights(story, folder.building)
    home = home_check(
        start.onnx, made[0], folder=folder.path, gsd_m=start.metadata.gsd_m, threads=threads
    )
    if home.has_lost:
        warn(home.said())
    note(elsewhere(start.metadata.name))
    story = replace(story, home=home)
    made.append(write_text(folder.building / f"{story.name}.md", card(story)))
    return story, made


def _check_settings(sources: Sequence[Source], *, hold_out: float, minutes: float) -> None:
    """Does nothing for settings that can be adapted with, and at least one source."""
    if not 0 < minutes < 1e6:
        raise SettingsError(
            f"--minutes is {minutes:g}; it must be more than 0", hint="for example --minutes 10"
        )
    check_hold_out(hold_out)
    if not sources:
        raise SettingsError(
            "there is no reviewed ground", hint="give a reviewed result folder, or --labels DIR"
        )


def _check_target_name(target: Path) -> None:
    """Does nothing for a name that weights can get."""
    check_name(target, "--out")
    if target.name in ("", ".."):
        raise SettingsError(f"--out {target} is no name", hint="for example --out mine")
    if target.suffix in (*catalogue.SUFFIXES, ".json", ".md"):
        raise SettingsError(
            f"--out is {target.name}; it is the name of several files",
            hint=f"give it without suffix: --out {target.with_suffix('')}",
        )
    if target.name in catalogue.OURS:
        raise SettingsError(
            f"--out {target.name} is the name of weights of the project", hint="choose another"
        )


def _check_files(target: Path, *, may_replace: bool) -> None:
    """Does nothing where the files of this name are not there, or may be replaced. A result of an
    earlier adaptation may always be."""
    for suffix in (*catalogue.SUFFIXES, ".md", ".json"):
        path = target.with_name(f"{target.name}{suffix}")
        is_free = not is_there(path) or (suffix == ".json" and _is_result(path))
        if not is_free and not may_replace:
            raise OutputError(
                f"{path} is there already", hint="choose another --out, or give --overwrite"
            )
        check_file(path, "--out")


def _is_result(path: Path) -> bool:
    """Whether an earlier adaptation wrote this file."""
    try:
        values: Any = read_json(path)
    except (OSError, ValueError):
        return False
    return isinstance(values, dict) and {"hanet", "rungs", "verdict"} <= values.keys()


def _weights(name: str | Path, tell: Callable[[str], None]) -> tuple[Path | None, Path | None]:
    """The file that runs and the file to train from; either may be None, not both."""
    found = catalogue.resolve(name, suffixes=(".onnx", ".safetensors"))
    if found.suffix == ".safetensors":
        beside = found.with_suffix(".onnx")
        onnx = beside if beside.is_file() and _belong_together(beside, found) else None
        return onnx, found
    try:
        torch = (
            found.with_suffix(".safetensors")
            if Path(name).suffix == ".onnx"
            else catalogue.resolve(name, suffixes=(".safetensors",))
        )
    except WeightsError:
        return found, None
    if not torch.is_file():
        return found, None
    if not _belong_together(found, torch):
        tell(f"{torch.name} does not hold the weights of {found.name}: it is not used")
        return found, None
    return found, torch


def _belong_together(onnx: Path, torch: Path) -> bool:
    """Whether an ONNX file was made of a safetensors file, as far as their metadata say."""
    first, second = (catalogue.read_metadata(path) for path in (onnx, torch))
    names = ("model", "model_arguments", "experiment", "training_data", "threshold", "temperature")
    return all(getattr(first, name) == getattr(second, name) for name in names)


def _torch(path: Path | None) -> Path:
    assert path is not None, "one of the two files is there"
    return path


def _why_nothing_trains(torch: Path | None, name: str) -> HanetError | None:
    try:
        check_packages(NEEDED, extra="train", purpose="training a rung")
    except MissingExtraError as error:
        return error
    if torch is None:
        return WeightsError(
            f"there is no .safetensors file of {name} to train from",
            hint=f"put it beside the .onnx file, or name its folder in "
            f"{catalogue.FOLDERS_VARIABLE}",
        )
    return None


def _trainer(minutes: float) -> Trainer:
    from hanet.adaptation.fine_tuning import fine_tune

    return Trainer(fine_tune, _export, minutes)


def _export(tensors: Path, onnx: Path) -> None:
    """An ONNX file of a safetensors file."""
    from hanet.weights.export import export_onnx
    from hanet.weights.weights_file import load_weights

    model, metadata = load_weights(tensors)
    export_onnx(model, metadata, onnx)


def _begin(work: Path, identity: Json, *, resume: bool) -> None:
    """Says what the working folder is for, or checks that it is for this.

    Raises:
        OutputError: It holds another adaptation, or one that nobody asked to continue.
    """
    path = work / BEGUN
    if is_there(path):
        try:
            found: Any = read_json(path)
        except (OSError, ValueError):
            found = None
        if not resume:
            raise OutputError(
                f"{work} holds an adaptation that is not finished",
                hint="--resume continues it; remove the folder to begin anew",
            )
        if found != json.loads(json.dumps(identity)):
            raise OutputError(
                f"{work} holds an adaptation of other weights, ground or settings",
                hint="give the same again, or remove the folder to begin anew",
            )
        return
    replace_file(path, json.dumps(identity).encode())


def _ground(
    work: Path,
    sources: Sequence[Source],
    *,
    metadata: Metadata,
    hold_out: float,
    seed: int,
    warn: Callable[[str], None],
    progress: Progress | None,
) -> Ground:
    """The reviewed ground: as it was gathered before an interruption, else gathered now. What
    cannot be adapted to leaves nothing behind; what was interrupted can be continued."""
    folder = work / "ground"
    if is_there(folder / "tiles.json"):
        return read_ground(folder)
    gatherer = Gatherer(folder)
    try:
        for source in sources:
            source.gather(gatherer, metadata, warn=warn, progress=progress)
        return gatherer.finish(hold_out=hold_out, seed=seed)
    except BaseException as error:
        gatherer.discard()
        if isinstance(error, HanetError):
            with writing(work):
                (work / BEGUN).unlink(missing_ok=True)
        raise


def _clear(work: Path) -> None:
    """Removes what is no longer needed; the folder itself goes with its lock."""
    with writing(work):
        for name in ("ground", "runs", REPLAY, HOME):
            shutil.rmtree(work / name, ignore_errors=True)
        (work / BEGUN).unlink(missing_ok=True)


__all__ = ["Adaptation", "RungName", "adapt"]
