"""Folders of runs: broken journals and manifests, links, files of others, inputs among results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from campaigns import commands
from campaigns.damage import damaged, spoiled
from campaigns.kinds import Bench, Command, Kind, Kinds


def _detect(bench: Bench, what: str, *more: str, keeps: tuple[Path, ...] = ()) -> Command:
    """``detect`` on the very pair that the finished run in the seeds was made of."""
    command = commands.sound_detect(bench, what, *more)
    return Command(command.arguments, what, command.writes, keeps=keeps)


def journal(bench: Bench, verb: str) -> Command:
    """An unfinished run whose journal or pixels are broken, then ``--resume``."""
    del verb
    random = bench.random
    work = bench.folder / "out" / ".hanet"
    work.mkdir(parents=True)
    finished = json.loads((bench.seeds / "out" / "run.json").read_text(encoding="utf-8"))
    state: dict[str, Any] = {"identity": finished["identity"], "rows_done": 1, "tally": {}}
    pixels = random.choice((b"\x0a" * 1600, b"\xff" * 1600, b"", b"\0" * 99, b"\xfb" * 5000))
    (work / "probability.raw").write_bytes(pixels)
    if random.random() < 0.5:
        (work / "overview.raw").write_bytes(random.randbytes(random.choice((0, 100, 9600, 19200))))
    text, what = spoiled(json.dumps(state), ("rows_done", "tally", "identity", "a"), random)
    (work / "journal.json").write_bytes(text)
    if random.random() < 0.1:
        (work / "lock").write_bytes(b"")
    return _detect(
        bench, f"journal: {what}", random.choice(("--resume", "--resume", "--overwrite"))
    )


def manifest(bench: Bench, verb: str) -> Command:
    """A finished run whose run.json is broken, then ``--resume`` or a plain run, or other
    footprints of it."""
    run = bench.sound("out")
    text = (run / "run.json").read_text(encoding="utf-8")
    keys = ("identity", "footprints", "pair", "weights", "threshold", "said", "tiles", "hanet")
    content, what = spoiled(text, keys, bench.random, inner=("area", "count", "files", "unit"))
    (run / "run.json").write_bytes(content)
    if verb == "footprints":
        words = ["footprints", "out", "--threshold", "0.7"]
        return Command(words, f"run.json: {what}", writes=(run,))
    how = str(bench.pick("--resume", "--resume", "--no-report", "--overwrite"))
    return _detect(bench, f"run.json: {what}, {how}", how)


def results(bench: Bench, verb: str) -> Command:
    """A finished run with a result missing, cut, a folder or a link; resumed or done over."""
    random = bench.random
    run = bench.sound("out")
    if verb == "footprints":
        (run / "run.json").unlink()
    name = random.choice(sorted(path.name for path in run.iterdir()))
    way = random.choice(("missing", "cut", "folder", "link away", "dangling link", "read only"))
    path, keeps = run / name, tuple[Path, ...]()
    content = path.read_bytes()
    if way == "read only":
        path.chmod(0o400)
    else:
        path.unlink()
    if way == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif way == "folder":
        path.mkdir()
        (path / "mine.txt").write_text("mine", encoding="utf-8")
        keeps = (path,)
    elif way == "link away":
        (bench.folder / "elsewhere").write_bytes(b"mine")
        path.symlink_to("../elsewhere")
    elif way == "dangling link":
        path.symlink_to("../made-outside")
    what = f"{name}: {way}"
    if verb == "footprints":
        source = bench.sound("probability.tif").name
        words = ["footprints", source, "--out", "out"]
        return Command(words, what, writes=(run,), keeps=keeps)
    how = random.choice(("--resume", "--overwrite", "--no-report"))
    return _detect(bench, f"{what}, {how}", how, keeps=keeps)


FOREIGN = (
    ".footprints.backup/old.gpkg", ".run.json.old.partial", ".mask.tif.mine.vrt", "notes.txt",
    ".hanet/mine.txt", ".report.html.mine.partial", "footprints.qgz", "probability.tif.aux.xml",
    ".probability.tif.1.partial", "sub/folder/a.tif", ".footprints.x", "pairs.csv",
)  # fmt: skip


def foreign(bench: Bench, verb: str) -> Command:
    """Files of the user's in --out, under names that ours resemble: they stay."""
    random = bench.random
    run = bench.sound("out") if random.random() < 0.5 else bench.folder / "out"
    names = random.sample(FOREIGN, 2)
    for name in names:
        path = run / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"mine")
    keeps = tuple(run / name for name in names)
    what = f"with {', '.join(names)}"
    if verb == "footprints":
        (run / "run.json").unlink(missing_ok=True)
        words = ["footprints", bench.sound("probability.tif").name, "--out", "out"]
        return Command(words, what, writes=(run,), keeps=keeps)
    how = random.choice(("--overwrite", "--overwrite", "--resume"))
    return _detect(bench, f"{what}, {how}", how, keeps=keeps)


def input_in_out(bench: Bench, verb: str) -> Command:
    """An input that lies in --out under the name of a result, or is a link to one there."""
    random = bench.random
    out = bench.folder / "out"
    out.mkdir()
    name = random.choice(("probability.tif", "mask.tif", "footprints.gpkg", "footprints.geojson"))
    typed = f"out/{name}"
    more = ["--overwrite"] if verb == "detect" else []
    if name.startswith("footprints"):
        bench.sound("polygons.geojson", typed)
        if verb == "footprints":
            words = ["footprints", bench.sound("probability.tif").name, "--out", "out"]
            return Command(words, f"{typed} is there", writes=(out,))
        more += ["--format", Path(name).suffix[1:].replace("gpkg", "gpkg,geojson")]
        return _detect(bench, f"--aoi {typed}", "--aoi", typed, *more, keeps=(out / name,))
    bench.sound("probability.tif" if verb == "footprints" else "before.tif", typed)
    if random.random() < 0.3:
        (bench.folder / "link.tif").symlink_to(typed)
        typed = "link.tif"
    if verb == "footprints":
        stem = Path(name).stem
        words = ["footprints", typed, "--out", "out", "--stem", stem]
        return Command(words, f"input {typed}", writes=(out,), keeps=(out / name,))
    command = commands.detect(bench, typed, bench.sound("after.tif").name, f"input {typed}", *more)
    return Command(command.arguments, command.what, command.writes, keeps=(out / name,))


def link_places(bench: Bench, verb: str) -> Command:
    """--out, its work folder or files of results are links that lead away."""
    random = bench.random
    (bench.folder / "elsewhere").mkdir()
    out = bench.folder / "out"
    names = (".hanet", "probability.tif", "probability.qml", "built.tif", "mask.tif", "mask.qml", "run.json",
             "footprints.gpkg", "report.html", "footprints.geojson")  # fmt: skip
    name = random.choice(names)
    target = random.choice(("../elsewhere/made", "../elsewhere", "made", name))
    out.mkdir()
    (out / name).symlink_to(target)
    what = f"out/{name} is a link to {target}"
    more = random.choice(((), ("--overwrite",), ("--format", "gpkg,geojson")))
    if verb == "footprints":
        words = ["footprints", bench.sound("probability.tif").name, "--out", "out"]
        return Command([*words, *(w for w in more if w != "--overwrite")], what, writes=(out,))
    return _detect(bench, what, *more)


def train_run(bench: Bench, verb: str) -> Command:
    """A training run whose settings, tables or weights are broken or missing, then ``--resume``."""
    random = bench.random
    run = bench.sound("train-run", "run")
    names = ("experiment.json", "experiment.json", "log.csv", "epochs.csv", "summary.json",
             "weights/best.safetensors", "weights/last.safetensors",
             "checkpoints/last.ckpt")  # fmt: skip
    name = random.choice(names)
    path = run / name
    if verb == "evaluate":
        path = run / "weights" / "best.safetensors"
    if path.suffix == ".json" and random.random() < 0.7:
        keys = ("name", "width", "tile_px", "iterations", "a", "best_f1")
        content, what = spoiled(path.read_text(encoding="utf-8"), keys, random)
    else:
        content, what = damaged(path.read_bytes(), random)
    path.write_bytes(content)
    if random.random() < 0.15:
        path.unlink()
        what = "missing"
    what = f"{path.name}: {what}"
    if verb == "evaluate":
        return commands.evaluate(bench, "run", what)
    return commands.train(bench, what, *random.choice((("--resume",), ("--resume",), ())))


def prepared(bench: Bench, verb: str) -> Command:
    """A prepared data set whose manifest is broken, or tiles are; prepared again."""
    random = bench.random
    release = bench.sound("release")
    tiles = bench.sound("tiles", "tiles" if verb == "prepare" else "data")
    if random.random() < 0.7:
        text = (tiles / "manifest.json").read_text(encoding="utf-8")
        keys = ("format", "tiles", "sources", "dataset", "seed", "tile_px", "totals", "a")
        content, what = spoiled(text, keys, random, inner=("row", "split", "name", "sha256"))
        if random.random() < 0.3 and verb == "prepare":
            tiles = tiles.rename(bench.folder / "tiles.partial")
            (tiles / ".identity.json").write_bytes(content)
            what += ", in the growing folder"
        (tiles / "manifest.json").write_bytes(content)
    else:
        victim = random.choice(sorted(tiles.glob("*/*/*.png")))
        content, what = damaged(victim.read_bytes(), random)
        victim.write_bytes(content)
    if verb == "prepare":
        return commands.prepare(bench, release, f"prepared before: {what}")
    return commands.on_data(bench, verb, tiles, f"prepared: {what}")


KINDS: Kinds = {
    "run-journal": Kind(journal, ("detect",)),
    "run-manifest": Kind(manifest, ("detect", "footprints")),
    "run-results": Kind(results, ("detect", "footprints")),
    "run-foreign-files": Kind(foreign, ("detect", "footprints")),
    "run-input-in-out": Kind(input_in_out, ("detect", "footprints")),
    "run-links": Kind(link_places, ("detect", "footprints")),
    "run-training": Kind(train_run, ("train", "evaluate")),
    "run-prepared": Kind(prepared, ("prepare", "evaluate", "train", "check-data")),
}
