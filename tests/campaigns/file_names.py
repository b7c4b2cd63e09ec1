"""Names of files and folders: too long, not UTF-8, with control characters, formulas, links."""

from __future__ import annotations

import os
from pathlib import Path

from campaigns import commands
from campaigns.damage import CONTROL, FORMULAS
from campaigns.kinds import Bench, Command, Kind, Kinds

NAMES = (
    "x" * 255, "x" * 250, "x" * 256, "x" * 3000, "é" * 127, "a/" * 1000 + "a", "a/" * 2100 + "a",
    "caf\udce9", "\udcff\udcfe", "not\udc80utf8",
    " ", " leading", "trailing ", ".", "..", ".hidden",
    "-dash", "--help", "a b c", "a'b", 'a"b', "a;b", "a|b", "a*b?", "[1]", "[bold red]x[/]", "%s%n",
    "100%", "$HOME", "~", "!important", "a!b", "#hash", "a,b", "a&b", "<b>", "NUL", "con.tif",
    "a:b", "PG:dbname=x", "NETCDF:x:y", "/vsimem/x", "/vsizip/x.zip", "s3://bucket/x", "x.zip",
    "a\nb", "a\tb", "\u202etxt.exe", "日本語", "😀", "e\u0301", "ß" * 60, "..\\..\\x", "a//b", "a/./b",
    *(name.replace("/", "") for name in CONTROL), *(name.replace("/", "-") for name in FORMULAS),
)  # fmt: skip


def input_name(bench: Bench, verb: str) -> Command:
    """A sound input under an odd name; or an odd name that nothing bears."""
    name, is_there = str(bench.pick(*NAMES)), bench.random.random() < 0.75
    sources = {
        "detect": "before.tif",
        "check": "before.tif",
        "footprints": "probability.tif",
        "evaluate": "difference.onnx",
        "models": "difference.onnx",
        "convert": "checkpoint.pth",
        "export": "small.safetensors",
        "check-data": "dataset",
        "prepare": "release",
        "train": "dataset",
    }
    suffix = Path(sources[verb]).suffix if bench.random.random() < 0.7 else ""
    typed = _placed(bench, sources[verb], f"{name}{suffix}") if is_there else f"{name}{suffix}"
    what = f"input named {ascii(name)[:50]}{'' if is_there else ', not there'}"
    if verb == "detect":
        return commands.detect(bench, typed, bench.sound("after.tif").name, what)
    if verb == "check":
        return Command(["check", typed, bench.sound("after.tif").name], what)
    if verb == "footprints":
        words = ["footprints", typed, "--out", "out"]
        return Command(words, what, writes=(bench.folder / "out",))
    if verb == "evaluate":
        return commands.evaluate(bench, typed, what)
    if verb == "models":
        return commands.models(bench, what)
    if verb == "convert":
        words = ["convert", typed, "out.safetensors", "--dataset", "levir-cd"]
        return Command(words, what, writes=(bench.folder / "out.safetensors",))
    if verb == "export":
        return commands.export(bench, typed, what)
    if verb == "check-data":
        return Command(["check-data", typed], what, may_find_faults=True)
    if verb == "prepare":
        writes = (bench.folder / "tiles", bench.folder / "tiles.partial")
        return Command(["prepare", "levir-cd", typed, "tiles"], what, writes=writes)
    return commands.train(bench, what, data=typed)


def output_name(bench: Bench, verb: str) -> Command:
    """Results under an odd name; a folder where a file should be, a file where a folder should."""
    random = bench.random
    name = random.choice(NAMES)
    if name in (".", "..", "~") or name.startswith(("/", "..")):
        name = "out"
    what = f"output named {ascii(name)[:50]}"
    top = bench.folder / name.split("/")[0]
    writes: tuple[Path, ...] = (top, Path(f"{top}.partial"))
    if random.random() < 0.15 and len(name) < 200 and name.strip(" .") and "/" not in name:
        if random.random() < 0.5:
            Path(top).write_bytes(b"mine")
            what += ", a file is there"
        else:
            (top / "mine").mkdir(parents=True)
            what += ", a folder is there"
    if verb == "detect":
        pair = [bench.sound(f"{date}.tif").name for date in ("before", "after")]
        weights = bench.sound("difference.onnx").name
        formats = random.choice(("gpkg", "gpkg,geojson,fgb,parquet"))
        words = ["detect", *pair, f"--out={name}", "--weights", weights, "--threads", "1"]
        return Command([*words, "--format", formats], what, writes=writes)
    if verb == "footprints":
        source = bench.sound("probability.tif").name
        formats = random.choice(("gpkg", "gpkg,geojson,fgb,parquet"))
        if random.random() < 0.5:
            words = ["footprints", source, "--out", "out", f"--stem={name}", "--format", formats]
            return Command(words, f"--stem {ascii(name)[:50]}", writes=(bench.folder / "out",))
        return Command(["footprints", source, f"--out={name}", "--format", formats], what, writes)
    if verb == "evaluate":
        option = random.choice(("out", "per-image", "error-maps", "masks", "data-name"))
        words = ["evaluate", bench.sound("difference.onnx").name, "--data"]
        words += [
            bench.sound("dataset").name,
            "--split",
            "val",
            "--tile",
            "64",
            f"--{option}={name}",
        ]
        return Command(words, f"--{option} {ascii(name)[:50]}", writes=writes)
    if verb == "train":
        command = commands.train(bench, what)
        words = [f"--out={name}" if word == "run" else word for word in command.arguments]
        words.remove("--out")
        return Command(words, what, writes=writes)
    if verb == "prepare":
        release = bench.sound("release").name
        return Command(["prepare", "levir-cd", "--", release, name], what, writes=writes)
    if verb == "convert":
        words = ["convert", "--dataset", "levir-cd", "--", bench.sound("checkpoint.pth").name]
        return Command([*words, f"{name}.safetensors"], what, _with_suffix(top, ".safetensors"))
    if verb == "export":
        words = ["export", "--", bench.sound("small.safetensors").name, f"{name}.onnx"]
        return Command(words, what, _with_suffix(top, ".onnx"))
    return Command(["scene", "--size", "64", "--", name], what, writes=writes)


def set_names(bench: Bench, verb: str) -> Command:
    """A data set whose images, splits or root have odd names."""
    random = bench.random
    name = random.choice(NAMES)
    source = bench.sound("release" if verb == "prepare" else "dataset", "data")
    what = f"images named {ascii(name)[:50]}"
    for split in sorted(source.iterdir()):
        for folder in sorted(split.iterdir()):
            image = sorted(folder.iterdir())[0]
            try:
                image.rename(folder / f"{name.replace('/', '-')}.png")
            except (OSError, ValueError):
                what = "images that no file system takes"
    return commands.on_data(bench, verb, source, what)


def links(bench: Bench, verb: str) -> Command:
    """Links among the inputs: to themselves, to each other, to a folder, to nothing, to pipes."""
    random = bench.random
    name = "probability.tif" if verb == "footprints" else "before.tif"
    path = bench.folder / "odd.tif"
    way = random.choice(
        ("itself", "folder", "nothing", "sound", "device", "pipe", "sound far away")
    )
    if way == "itself":
        path.symlink_to(path.name)
    elif way == "folder":
        (bench.folder / "folder").mkdir()
        path.symlink_to("folder")
    elif way == "nothing":
        path.symlink_to("missing.tif")
    elif way == "device":
        path.symlink_to("/dev/null")
    elif way == "pipe":
        os.mkfifo(path)
    elif way == "sound":
        path.symlink_to(bench.sound(name, "sound.tif").name)
    else:
        path.symlink_to(bench.seeds / name)
    return commands.on_rasters(bench, verb, path, f"link to {way}")


def _placed(bench: Bench, source: str, name: str) -> str:
    """A copy of a sound file under a name, where a file can bear it; the name as it is typed."""
    try:
        target = bench.folder / name
        if not os.path.normpath(target).startswith(f"{bench.folder}/"):
            return name
        target.parent.mkdir(parents=True, exist_ok=True)
        bench.sound(source, name)
    except (OSError, ValueError, RecursionError):  # no file of this name can be
        pass
    return name


def _with_suffix(top: Path, suffix: str) -> tuple[Path, ...]:
    return top, Path(f"{top}{suffix}")


KINDS: Kinds = {
    "names-input": Kind(
        input_name,
        ("detect", "check", "footprints", "evaluate", "models", "convert", "export", "check-data",
         "prepare", "train"),
    ),
    "names-output": Kind(
        output_name,
        ("detect", "footprints", "evaluate", "train", "prepare", "convert", "export", "scene"),
    ),
    "names-images": Kind(set_names, ("evaluate", "train", "prepare", "check-data")),
    "links": Kind(links, ("detect", "check", "footprints", "pairs")),
}  # fmt: skip
