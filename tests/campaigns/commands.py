"""Command lines of each verb on sound files, into which a case puts its own."""

from __future__ import annotations

from pathlib import Path

from campaigns.kinds import Bench, Command

EXPERIMENT = """\
name = "tiny"
model = "hanet_lite"
width = 8
tile_px = 64
crop_px = 32
iterations = 2
batch = 2
learning_rate = 1e-3
validate_every = 2
checkpoint_every = 1
"""
"""Two steps on crops of 32 pixels: a training of a second."""


def on_rasters(bench: Bench, verb: str, odd: Path, what: str, *more: str) -> Command:
    """A verb that reads rasters, with the odd one as one date, or as the probability raster."""
    if verb == "footprints":
        return footprints(bench, odd, what, *more)
    sound = bench.sound("after.tif", "other.tif")
    pair = [odd, sound] if bench.random.random() < 0.7 else [sound, odd]
    if verb == "check":
        words = ["check", *(path.name for path in pair), *_weights(bench), *more]
        return Command([*words, *(["--json"] if bench.random.random() < 0.2 else [])], what)
    if verb == "pairs":
        rows = [("first", *(path.name for path in pair)), ("second", sound.name, sound.name)]
        listing = bench.folder / "list.csv"
        lines = ["name,before,after", *(",".join(row) for row in rows)]
        listing.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return pairs(bench, listing, what, *more)
    return detect(bench, *(path.name for path in pair), what, *more)


def detect(bench: Bench, before: str, after: str, what: str, *more: str) -> Command:
    """``hanet detect`` with the small network."""
    words = ["detect", before, after, "--out", "out", *_weights(bench), "--threads", "1"]
    return Command([*words, *more], what, writes=(bench.folder / "out",))


def sound_detect(bench: Bench, what: str, *more: str) -> Command:
    """``hanet detect`` on a sound pair."""
    pair = (bench.sound(f"{date}.tif").name for date in ("before", "after"))
    return detect(bench, *pair, what, *more)


def pairs(bench: Bench, listing: Path, what: str, *more: str) -> Command:
    """``hanet detect --pairs``."""
    words = ["detect", "--pairs", listing.name, "--out", "out", *_weights(bench), "--threads", "1"]
    return Command([*words, *more], what, writes=(bench.folder / "out",))


def footprints(bench: Bench, probability: Path, what: str, *more: str) -> Command:
    """``hanet footprints``."""
    words = ["footprints", probability.name, "--out", "out", *more]
    return Command(words, what, writes=(bench.folder / "out",))


def evaluate(bench: Bench, model: str, what: str, *more: str, data: str | None = None) -> Command:
    """``hanet evaluate`` on the tiny data set."""
    data = data or bench.sound("dataset").name
    writes = (bench.folder / "scores.json", bench.folder / "images.csv")
    words = ["evaluate", model, "--data", data, "--split", "val", "--tile", "64", "--threads", "1"]
    words += ["--out", "scores.json", "--per-image", "images.csv"]
    return Command([*words, *more], what, writes=writes)


def train(bench: Bench, what: str, *more: str, data: str | None = None) -> Command:
    """``hanet train`` by ``experiment.toml`` of the working folder, made where it is missing."""
    experiment = bench.folder / "experiment.toml"
    if not experiment.exists():
        experiment.write_text(EXPERIMENT, encoding="utf-8")
    data = data or bench.sound("dataset").name
    words = ["train", experiment.name, "--data", data, "--out", "run", "--accelerator", "cpu"]
    words += ["--threads", "1", *more]
    return Command(words, what, writes=(bench.folder / "run",))


def export(bench: Bench, model: str, what: str, *more: str) -> Command:
    """``hanet export``."""
    return Command(["export", model, "out.onnx", *more], what, writes=(bench.folder / "out.onnx",))


def convert(bench: Bench, checkpoint: Path, what: str, *more: str) -> Command:
    """``hanet convert``."""
    words = ["convert", checkpoint.name, "out.safetensors", "--dataset", "levir-cd", *more]
    return Command(words, what, writes=(bench.folder / "out.safetensors",))


def models(bench: Bench, what: str) -> Command:
    """``hanet models`` on the working folder."""
    words = ["models", *(["--json"] if bench.random.random() < 0.3 else [])]
    return Command(words, what, environment={"HANET_WEIGHTS": str(bench.folder)})


def on_data(bench: Bench, verb: str, data: Path, what: str) -> Command:
    """A verb that reads a data set."""
    if verb == "check-data":
        words = ["check-data", data.name, *(["--json"] if bench.random.random() < 0.2 else [])]
        return Command(words, what, may_find_faults=True)
    if verb == "train":
        return train(bench, what, data=data.name)
    if verb == "prepare":
        return prepare(bench, data, what)
    return evaluate(bench, bench.sound("difference.onnx").name, what, data=data.name)


def prepare(bench: Bench, release: Path, what: str, *more: str) -> Command:
    """``hanet prepare levir-cd``."""
    words = ["prepare", "levir-cd", release.name, "tiles", *more]
    # a run that fails half way keeps its folder, which the same command completes
    writes = (bench.folder / "tiles", bench.folder / "tiles.partial")
    return Command(words, what, writes=writes)


def reviewed(bench: Bench, verb: str) -> Path:
    """The sound reviewed result, with what the verb reads beside it."""
    for name in ("before.tif", "after.tif", "difference.onnx"):
        bench.sound(name)
    if verb == "adapt":
        bench.sound("dataset")
    return bench.sound("reviewed")


def on_review(bench: Bench, verb: str, run: Path, what: str) -> Command:
    """A verb that reads a reviewed result."""
    if verb == "adapt":
        return adapt(bench, run, what)
    words = [verb, run.name]
    if verb == "review":
        more = ["--no-browser", *(["--sample", "3"] if bench.random.random() < 0.3 else [])]
        return Command([*words, *more], what, writes=(run,), serves=True)
    if verb == "suggest":
        flips = ["--weights", "difference.onnx"] if bench.random.random() < 0.3 else ["--no-flips"]
        return Command([*words, "--count", "2", "--threads", "1", *flips], what, writes=(run,))
    formats = str(bench.pick("gpkg", "geojson,csv", "shp,kml,fgb"))
    words += ["--format", formats, "--status", str(bench.pick("accepted", "all"))]
    return Command(words, what, writes=(run,))


def adapt(bench: Bench, run: Path, what: str) -> Command:
    """``hanet adapt`` by a reviewed result and the tiny data set, without training."""
    words = ["adapt", run.name, "--labels", "dataset", "--out", "mine", "--threads", "1"]
    words += ["--weights", "difference.onnx", "--rungs", "threshold,footprints"]
    # fingerprints of images and findings are kept in the folder of the review
    names = ("mine.onnx", "mine.json", "mine.md", "mine.adapt", run.name)
    writes = tuple(bench.folder / name for name in names)
    return Command(words, what, writes=writes, may_find_faults=True)


def _weights(bench: Bench) -> list[str]:
    path = bench.folder / "weights.onnx"
    if not path.exists():
        bench.sound("difference.onnx", path.name)
    return ["--weights", path.name]
