"""Trains on a machine with a GPU that is there for minutes and takes little at a time.

Such a machine starts bare, keeps nothing, takes files of some tens of megabytes a call and gives
back a few small ones. Four steps, so that none of its minutes go into set-up:

1. ``python scripts/gpu_training.py pack DATA PIECES`` here: the data folders as tar files of at
   most ``--piece-mb``, each whole in itself.
2. ``python scripts/gpu_training.py unpack PIECES/piece-00.tar ... --data DATA`` there, a call for
   each piece if they do not fit into one.
3. ``python scripts/gpu_training.py train EXPERIMENT --data DATA --run RUN --out OUT --minutes 9``
   there: begins the run, or continues it, stops it in time, and leaves in OUT what must come back:
   the best weights, the log, and the checkpoint in parts of at most ``--part-mb``.
4. ``python scripts/gpu_training.py join OUT RUN`` on the next machine, where the first one is gone:
   the run as it was, for step 3 to continue.

Training needs, besides torch, pytorch-lightning, kornia, pydantic, scipy, pillow, safetensors,
typer and rich; neither GDAL nor ONNX Runtime. Experiments: ``experiments/*-gpu.toml``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

MEGABYTE = 10**6

ENDS_WITHIN_S = 60.0
"""How long a run that was told to stop may take to save, before it is killed."""

STOPPED = 143
"""Exit code of ``hanet train`` where it was stopped and has saved."""

SMALL_FILES = ("log.csv", "epochs.csv", "experiment.json", "summary.json")
"""Files of a run that come back beside its weights, in one: such a machine gives back few."""

BUNDLE = "run.tar"
"""Name of that one."""

CHECKPOINT = "last.ckpt"
"""Name of a run's checkpoint."""


def pack(data: Path, pieces: Path, *, most_bytes: int) -> list[Path]:
    """The files below a folder as tar files, in the order of their names.

    Args:
        data: Folder; hidden files are left out, links are followed.
        pieces: Where piece-00.tar and so on are written; must be empty or missing.
        most_bytes: Largest sum of the files of one piece.

    Raises:
        SystemExit: A file is larger than a piece, or there are none.
    """
    if pieces.exists() and any(pieces.iterdir()):
        sys.exit(f"error: {pieces} is not empty\nhint: remove it, or name another folder")
    files = [path for path in sorted(_files(data)) if path.is_file()]
    if not files:
        sys.exit(f"error: there are no files in {data}")
    largest = max(files, key=lambda path: path.stat().st_size)
    if largest.stat().st_size > most_bytes:
        sys.exit(f"error: {largest} is larger than a piece\nhint: raise --piece-mb")
    pieces.mkdir(parents=True, exist_ok=True)
    made = []
    for number, group in enumerate(_groups(files, most_bytes)):
        piece = pieces / f"piece-{number:02d}.tar"
        with tarfile.open(piece, "w", dereference=True) as archive:
            for path in group:
                archive.add(path, arcname=str(path.relative_to(data)))
        made.append(piece)
    return made


def _files(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(root) / name for name in names if not name.startswith("."))


def _groups(files: Iterable[Path], most_bytes: int) -> Iterator[list[Path]]:
    group: list[Path] = []
    size = 0
    for path in files:
        length = path.stat().st_size
        if group and size + length > most_bytes:
            yield group
            group, size = [], 0
        group.append(path)
        size += length
    yield group


def unpack(pieces: Sequence[Path], data: Path) -> int:
    """Unpacks pieces into a folder; gives the number of files that lie there then."""
    data.mkdir(parents=True, exist_ok=True)
    for piece in pieces:
        with tarfile.open(piece) as archive:
            archive.extractall(data, filter="data")  # refuses paths that lead out of the folder
    return sum(path.is_file() for path in data.rglob("*"))


def train(
    experiment: Path, *, data: Path, run: Path, out: Path, minutes: float, part_bytes: int,
    further: Sequence[str] = (),
) -> int:  # fmt: skip
    """Begins a run, or continues it, for so many minutes at most; then collects it.

    Args:
        experiment: A TOML file that ``hanet train`` takes.
        data: The unpacked folders.
        run: Folder of the run on that machine.
        out: Where :func:`collect` leaves what comes back.
        minutes: After them the run is told to save and stop.
        part_bytes: As for :func:`collect`.
        further: Options for ``hanet train``.

    Returns:
        Exit code of ``hanet train``: 0 where the run is finished, :data:`STOPPED` where it goes on.
    """
    resume = ["--resume"] if (run / "checkpoints" / CHECKPOINT).exists() else []
    command = [sys.executable, "-m", "hanet", "train", str(experiment), "--data", str(data)]
    process = subprocess.Popen([*command, "--out", str(run), *resume, *further])
    try:
        code = process.wait(timeout=60 * minutes)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(timeout=ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:  # its last checkpoint is whole all the same
            process.kill()
            code = process.wait()
    if run.is_dir():
        collect(run, out, part_bytes=part_bytes)
    return code


def collect(run: Path, out: Path, *, part_bytes: int) -> list[Path]:
    """What must come back of a run, in files of at most ``part_bytes``, all in one folder.

    The best weights are copied whole; the checkpoint is cut into last.ckpt.00, last.ckpt.01 and so
    on, and ``parts.json`` says how many.
    """
    out.mkdir(parents=True, exist_ok=True)
    made = [out / BUNDLE]
    with tarfile.open(out / BUNDLE, "w") as archive:
        for name in SMALL_FILES:
            if (run / name).exists():
                archive.add(run / name, arcname=name)
    best = run / "weights" / "best.safetensors"
    if best.exists():
        made.append(Path(shutil.copy(best, out / best.name)))
    checkpoint = run / "checkpoints" / CHECKPOINT
    if checkpoint.exists():
        count = 0
        with checkpoint.open("rb") as file:
            while part := file.read(part_bytes):
                path = out / f"{CHECKPOINT}.{count:02d}"
                path.write_bytes(part)
                made.append(path)
                count += 1
        note = out / "parts.json"
        note.write_text(json.dumps({"parts": count, "bytes": checkpoint.stat().st_size}))
        made.append(note)
    return made


def join(out: Path, run: Path) -> None:
    """The run that :func:`collect` took apart, ready to be continued.

    Raises:
        SystemExit: A part is missing or cut off.
    """
    note = out / "parts.json"
    if not note.exists():
        sys.exit(f"error: {out} holds no checkpoint in parts\nhint: give the folder of step 3")
    said = json.loads(note.read_text())
    parts = [out / f"{CHECKPOINT}.{number:02d}" for number in range(said["parts"])]
    missing = [path.name for path in parts if not path.exists()]
    if missing or sum(path.stat().st_size for path in parts) != said["bytes"]:
        sys.exit(f"error: parts of the checkpoint are missing or cut off: {', '.join(missing)}")
    for folder in ("checkpoints", "weights"):
        (run / folder).mkdir(parents=True, exist_ok=True)
    with (run / "checkpoints" / CHECKPOINT).open("wb") as file:
        for path in parts:
            file.write(path.read_bytes())
    with tarfile.open(out / BUNDLE) as archive:
        archive.extractall(run, filter="data")
    best = out / "best.safetensors"
    if best.exists():
        shutil.copy(best, run / "weights" / best.name)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("pack", help="the data folders as tar files")
    verb.add_argument("folder", type=Path)
    verb.add_argument("pieces", type=Path)
    verb.add_argument("--piece-mb", type=float, default=25.0)
    verb = verbs.add_parser("unpack", help="tar files into a data folder")
    verb.add_argument("pieces", type=Path, nargs="+")
    verb.add_argument("--data", type=Path, required=True)
    verb = verbs.add_parser("train", help="begin or continue a run, and collect it")
    verb.add_argument("experiment", type=Path)
    for name in ("--data", "--run", "--out"):
        verb.add_argument(name, type=Path, required=True)
    verb.add_argument("--minutes", type=float, default=9.0)
    verb.add_argument("--part-mb", type=float, default=15.0)
    verb = verbs.add_parser("join", help="a collected run, ready to be continued")
    verb.add_argument("out", type=Path)
    verb.add_argument("run", type=Path)
    given, further = parser.parse_known_args()
    begun = time.monotonic()
    if given.verb == "pack":
        for piece in pack(given.folder, given.pieces, most_bytes=int(given.piece_mb * MEGABYTE)):
            print(f"{piece}  {piece.stat().st_size / MEGABYTE:.1f} MB")
    elif given.verb == "unpack":
        print(f"{unpack(given.pieces, given.data)} files in {given.data}")
    elif given.verb == "join":
        join(given.out, given.run)
    else:
        code = train(
            given.experiment,
            data=given.data,
            run=given.run,
            out=given.out,
            minutes=given.minutes,
            part_bytes=int(given.part_mb * MEGABYTE),
            further=further,
        )
        print(f"{time.monotonic() - begun:.0f} s; exit code of hanet train: {code}")
        sys.exit(0 if code in (0, STOPPED) else code)


if __name__ == "__main__":
    main()
