"""Kills at random moments and disks that fill up: afterwards nothing is left over, and the same
command (with ``--resume`` where the verb has it) ends with the bytes of an undisturbed run.

    python tests/campaigns/kills.py --moments 100 --seed 7 --out results/reliability/kills.json

Each verb runs once undisturbed. Then, so many times, it is given a signal (SIGKILL, SIGTERM and
SIGINT in turn) at a random moment of its run and runs again. ``hanet review`` is sent decisions
meanwhile (``review_kills.py``, ``review_steps.py``). ``--disk FOLDER`` names an empty small
file system (a tmpfs of a few MB) on which it is tried at many free sizes, too.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / name) for name in ("src", "tests", "tests/support", "benchmarks")]

from campaigns.ended_runs import SIGNALS, contents, wrong_end  # noqa: E402
from campaigns.review_kills import ReviewKills  # noqa: E402
from command_server import CommandServer, train_arguments  # noqa: E402
from difference_weights import write_difference_weights  # noqa: E402
from hanet.files import replace_file  # noqa: E402
from hanet.imagery.images import write_png  # noqa: E402
from hanet.provenance import machine, versions  # noqa: E402
from hanet.review.review import Review  # noqa: E402
from hanet.synthetic.scene import render_pair, render_scene  # noqa: E402
from rendered_tiles import render_tiles  # noqa: E402

NOT_COMPARED = {"run.json", "report.html", "summary.json", "log.csv", "epochs.csv", "pairs.csv"}
"""What says how long a run took; everything else must be equal byte for byte."""

FINISHED, PLANNED, REVIEWED = "finished", "planned", "reviewed"
"""Folders with a finished run, with a plan whose shards are all done, and with a reviewed run."""

EXPERIMENT = """
name = "tiny"
model = "hanet_lite"
width = 8
tile_px = 64
iterations = 12
batch = 4
learning_rate = 2e-3
pfbs = "fixed-2"
ema_decay = 0.9
validate_every = 3
checkpoint_every = 1
"""


def _nothing(out: Path) -> None:
    """Most verbs need nothing in the folder of results."""
    del out


@dataclass
class Subject:
    """A verb as it is typed.

    Args:
        name: What it is called in the results.
        command: Arguments for a folder of results.
        again: Arguments added after a kill.
        prepared: Lays what the verb needs into a fresh folder of results.
        leave_out: Names whose bytes are not compared.
    """

    name: str
    command: Callable[[Path], list[object]]
    again: tuple[str, ...] = ()
    prepared: Callable[[Path], None] = field(default=_nothing)
    leave_out: frozenset[str] = frozenset(NOT_COMPARED)


def subjects(folder: Path) -> list[Subject]:
    """The verbs that write, on small inputs made in ``folder``."""
    weights = write_difference_weights(folder / "difference.onnx", tile_px=64, overlap_px=16)
    render_scene(folder / "scene", size=384, seed=3)
    scene = folder / "scene"
    pair = [scene / "before.tif", scene / "after.tif"]
    rows = "\n".join(f"{name},{pair[0]},{pair[1]}" for name in ("one", "two", "three"))
    (folder / "pairs.csv").write_text(f"name,before,after\n{rows}\n")
    tiles = render_tiles(folder / "tiles", count=6)
    (tiles / "tiny.toml").write_text(EXPERIMENT)
    release = folder / "release"
    images = render_pair(1024, 1024, 0)
    for split in ("train", "val", "test"):
        for name, image in zip(("A", "B", "label"), images, strict=True):
            (release / split / name).mkdir(parents=True, exist_ok=True)
            write_png(release / split / name / f"{split}_1.png", image)
    detect: list[object] = ["--weights", weights, "--threads", 1]
    formats = ["--format", "gpkg", "--format", "geojson"]

    def finished_run(out: Path) -> None:
        shutil.copytree(folder / FINISHED, out)

    def planned_run(out: Path) -> None:
        shutil.copytree(folder / PLANNED, out)

    def reviewed_run(out: Path) -> None:
        shutil.copytree(folder / REVIEWED, out)

    def keep_probability(out: Path) -> None:
        out.mkdir()
        shutil.copy(folder / "probability.tif", out / "probability.tif")

    return [
        Subject(
            "detect",
            lambda out: ["detect", *pair, "--out", out, *detect, *formats],
            again=("--resume",),
        ),
        Subject(
            "pairs",
            lambda out: ["detect", "--pairs", folder / "pairs.csv", "--out", out, *detect],
            again=("--resume",),
        ),
        Subject(
            "footprints",
            lambda out: ["footprints", out / "probability.tif", "--out", out, *formats],
            prepared=keep_probability,
        ),
        Subject(
            "renew",
            lambda out: ["footprints", out, "--threshold", 0.7, *formats],
            prepared=finished_run,
        ),
        # the images too: a copy elsewhere finds neither
        Subject("merge", lambda out: ["merge", out, *pair], prepared=planned_run),
        Subject(
            "deliver",
            lambda out: [
                *("deliver", out, "--status", "all", *formats, "--labels", out / "labels"),
                *("--before", pair[0], "--after", pair[1]),  # a copy elsewhere finds neither
            ],
            prepared=reviewed_run,
            leave_out=frozenset({"delivery.html"}),
        ),
        Subject(
            "adapt",
            lambda out: [
                "adapt",
                "--labels",
                tiles,
                "--out",
                out / "mine",
                "--weights",
                weights,
                "--threads",
                1,
                "--rungs",
                "threshold,footprints",
                "--force",
            ],
            again=("--resume",),
            prepared=Path.mkdir,
            leave_out=frozenset({"mine.json", "mine.md"}),
        ),
        Subject("prepare", lambda out: ["prepare", "levir-cd", release, out]),
        Subject(
            "train",
            lambda out: train_arguments(tiles, out),
            again=("--resume",),
        ),
    ]


def _finish(
    server: CommandServer, subject: Subject, out: Path, whole: dict[str, str], *, resumes: bool
) -> str:
    """Runs the verb again to its end; what differs from the undisturbed run, empty for nothing."""
    further = list(subject.again) if resumes and out.exists() else []
    last = server.start(*subject.command(out), *further)
    if last.wait() == 2 and further and "resume" in last.output:  # killed before there was a run
        last = server.start(*subject.command(out))
        last.wait()
    if "Traceback" in last.output:
        return f"again: traceback: {last.output[-600:]}"
    now = contents(out, subject.leave_out)
    if now != whole:
        differ = sorted(
            name for name in now.keys() | whole.keys() if now.get(name) != whole.get(name)
        )
        return f"again: other than undisturbed: {', '.join(differ)}: {last.output[-300:]}"
    return ""


def killed(
    server: CommandServer, subject: Subject, folder: Path, *, moments: int, draw: random.Random
) -> dict[str, Any]:
    """So many kills of one verb."""
    out = folder / f"{subject.name}-out"  # the same each time: names of label tiles have it
    subject.prepared(out)
    begun = time.perf_counter()
    command = server.start(*subject.command(out))
    assert command.wait() == 0, command.output
    seconds = time.perf_counter() - begun
    whole = contents(out, subject.leave_out)
    shutil.rmtree(out)
    faults: list[dict[str, Any]] = []
    reached = 0
    for number in range(moments):
        subject.prepared(out)
        sent, moment = SIGNALS[number % len(SIGNALS)], draw.uniform(0, seconds)
        command = server.start(*subject.command(out))
        time.sleep(moment)
        if not server.ask(ended=command.pid):
            reached += 1
            os.kill(command.pid, sent)
        code = command.wait()
        fault = wrong_end(command, code, sent) or _finish(server, subject, out, whole, resumes=True)
        if fault:
            faults.append({"signal": sent.name, "share": moment / seconds, "fault": fault})
        shutil.rmtree(out, ignore_errors=True)
    return {
        "verb": subject.name,
        "kills": moments,
        "while_running": reached,
        "undisturbed_seconds": seconds,
        "files": len(whole),
        "faults": faults,
    }


def filled(server: CommandServer, subject: Subject, disk: Path, *, sizes: int) -> dict[str, Any]:
    """One verb on a disk with ever more room: it ends in words or well, and well once it fits."""
    free = shutil.disk_usage(disk).free
    out = disk / "out"
    subject.prepared(out)  # there, since a project for QGIS names the inputs as seen from its place
    command = server.start(*subject.command(out))
    if command.wait() != 0:
        shutil.rmtree(out)
        raise SystemExit(f"{disk} has no room for {subject.name}: {command.output}")
    whole = contents(out, subject.leave_out)
    needed = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    shutil.rmtree(out)
    faults: list[dict[str, Any]] = []
    for number in range(sizes):
        room = round(needed * 2.2 * (number + 1) / sizes)
        ballast = disk / "ballast"
        with ballast.open("wb") as file:
            file.write(bytes(max(0, free - room)))
        fault = ""
        try:
            subject.prepared(out)
        except OSError:
            shutil.rmtree(out, ignore_errors=True)  # not even the input fits
        else:
            command = server.start(*subject.command(out))
            fault = wrong_end(command, command.wait(), None)
            ballast.unlink()
            fault = fault or _finish(server, subject, out, whole, resumes=True)
        if fault:
            faults.append({"room": room, "fault": fault})
        for path in disk.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return {"verb": subject.name, "sizes": sizes, "needs_bytes": needed, "faults": faults}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--moments", type=int, default=100)
    parser.add_argument("--sizes", type=int, default=20, help="free sizes tried on --disk")
    parser.add_argument("--disk", type=Path, help="an empty small file system")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--verb", action="append", help="only this one; may be repeated")
    parser.add_argument("--out", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    draw = random.Random(arguments.seed)
    kills, fills = [], []
    with tempfile.TemporaryDirectory() as name, CommandServer(Path(name)) as server:
        folder = Path(name)
        chosen = [s for s in subjects(folder) if not arguments.verb or s.name in arguments.verb]
        _lay_out(server, folder)

        def tell(rows: list[dict[str, Any]], row: dict[str, Any]) -> None:
            rows.append({**row, "seed": arguments.seed})
            print({key: value for key, value in row.items() if key != "faults"}, flush=True)
            for fault in row["faults"]:
                print("  ", fault, flush=True)
            if arguments.out is not None:  # after each: all of them take hours
                _keep(arguments.out, kills, fills)

        for subject in chosen:
            tell(kills, killed(server, subject, folder, moments=arguments.moments, draw=draw))
            if arguments.disk:
                tell(fills, filled(server, subject, arguments.disk, sizes=arguments.sizes))
        if not arguments.verb or ReviewKills.VERB in arguments.verb:
            reviews = ReviewKills(server, folder, draw)
            tell(kills, reviews.killed(arguments.moments))
            if arguments.disk:
                tell(fills, reviews.filled(arguments.disk, sizes=arguments.sizes))
    return int(any(row["faults"] for row in kills + fills))


def _lay_out(server: CommandServer, folder: Path) -> None:
    """The runs that verbs begin with."""
    weights = ["--weights", folder / "difference.onnx", "--threads", 1]
    scene = [folder / "scene" / f"{date}.tif" for date in ("before", "after")]
    made, planned = folder / FINISHED, folder / PLANNED
    document = planned / "plan.json"
    for words in (
        ["detect", *scene, "--out", made, *weights],
        ["plan", *scene, "--out", planned, *weights, "--shards", 2],
        ["detect", "--plan", document, "--shard", 0],
        ["detect", "--plan", document, "--shard", 1],
    ):
        command = server.start(*words)
        assert command.wait() == 0, command.output
    shutil.copy(made / "probability.tif", folder / "probability.tif")
    shutil.copytree(made, folder / REVIEWED)
    with Review.open(folder / REVIEWED, reviewer="anna") as review:
        found = [item.id for item in review.items("found")]
        review.decide(found[::2], {"status": "accepted"})
        review.decide(found[1::2], {"status": "rejected"})


def _keep(path: Path, kills: list[dict[str, Any]], fills: list[dict[str, Any]]) -> None:
    """Writes the figures; those of verbs that did not run this time stay as they are."""
    before = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    result = {
        "campaign": "kills",
        "kills": _with(before.get("kills", []), kills),
        "full_disks": _with(before.get("full_disks", []), fills),
        "machine": machine(),
        "versions": versions(("torch", "onnxruntime", "rasterio")),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, f"{json.dumps(result, indent=2)}\n".encode())


def _with(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rows = {row["verb"]: row for row in old + new}
    return [rows[verb] for verb in sorted(rows)]


if __name__ == "__main__":
    sys.exit(main())
