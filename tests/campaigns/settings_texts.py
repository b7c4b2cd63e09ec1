"""Experiments and options: TOML that nests, digits without end, values of wrong types."""

from __future__ import annotations

from campaigns import commands
from campaigns.damage import damaged, hostile_text
from campaigns.kinds import Bench, Command, Kind, Kinds

KEYS = (
    "name", "model", "width", "head", "start_from", "data_folders", "gsd_m", "validation_folder",
    "validation_split", "cut", "tile_px", "crop_px", "foreground_bias", "statistics",
    "augmentation", "pfbs", "pfbs_unit", "epoch_length", "iterations", "batch", "optimiser",
    "learning_rate", "weight_decay", "schedule", "step_epochs", "step_factor", "power",
    "warmup_iterations", "warmup_start", "loss", "teacher", "clip_norm", "ema_decay", "precision",
    "seed", "validate_every", "checkpoint_every", "dataset", "unheard_of", "", "a.b.c",
)  # fmt: skip


def hostile_toml(bench: Bench) -> str:
    """A value of TOML as text."""
    random = bench.random
    depth = random.choice((3, 100, 1100, 20_000))
    return random.choice(
        (
            "[" * depth + "]" * depth,
            "{a=" * depth + "1" + "}" * depth,
            "9" * random.choice((20, 400, 5000)),
            "-" + "9" * 30,
            "1e999",
            "-1e999",
            "nan",
            "inf",
            "0",
            "-1",
            "true",
            '""',
            "[]",
            "{}",
            "2020-01-01T00:00:00Z",
            "0x" + "f" * 3000,
            '"' + "x" * 100_000 + '"',
            '"\\u001b[31mred"',
            '"../../outside"',
            '"\\u0000"',
            '"""' + "line\n" * 400 + '"""',
            "[1, [2, [3]]]",
            '["a", "b"]',
            "1_000_000_000_000",
        )
    )


def experiment(bench: Bench, verb: str) -> Command:
    """An experiment with hostile values, unknown tables, or damaged bytes."""
    del verb
    random = bench.random
    lines = commands.EXPERIMENT.splitlines()
    way = random.choice(("value", "value", "value", "bytes", "table", "doubled", "empty"))
    said = way
    if way == "value":
        key, value = random.choice(KEYS), hostile_toml(bench)
        if random.random() < 0.4:
            value = '"' + "".join(c for c in hostile_text(random) if c.isprintable()) + '"'
        lines = [line for line in lines if not line.startswith(f"{key} =")] + [f"{key} = {value}"]
        said = f"{key} = {value[:30]}"
    elif way == "table":
        depth = random.choice((1, 50, 3000))
        lines.append("[" + ".".join("a" * depth) + "]")
    elif way == "doubled":
        lines.append(random.choice(lines))
    elif way == "empty":
        lines = []
    content = "\n".join(lines).encode("utf-8", "surrogatepass") + b"\n"
    if way == "bytes":
        content, how = damaged(content, random)
        said = f"experiment: {how}"
    (bench.folder / "experiment.toml").write_bytes(content)
    return commands.train(bench, said)


def set_option(bench: Bench, verb: str) -> Command:
    """``--set KEY=VALUE`` with the same values."""
    del verb
    random = bench.random
    key = random.choice(KEYS)
    value = hostile_toml(bench) if random.random() < 0.6 else hostile_text(random)
    text = f"{key}={value}".replace("\x00", "")[:100_000]
    if random.random() < 0.1:
        text = text.replace("=", "")
    return commands.train(bench, f"--set {text[:40]!r}", "--set", text)


NUMBERS = (
    "0",
    "-1",
    "nan",
    "inf",
    "-inf",
    "1e999",
    "9" * 30,
    "9" * 5000,
    "",
    " ",
    "0x10",
    "½",
    "1,2",
)
"""Texts where an option takes a number; those that are huge and allowed are not among them."""

NUMERIC: dict[str, tuple[str, ...]] = {
    "detect": ("threshold", "gsd", "bbox", "bands", "scaling", "min-area-m2", "connectivity",
               "threads", "tile", "overlap", "batch", "before-date", "after-date", "format",
               "grid", "runtime", "precision", "coregister", "outline", "scout", "weights"),
    "footprints": ("threshold", "min-area-m2", "connectivity", "before-date", "format", "stem",
                   "outline"),
    "check": ("bands", "grid", "weights"),
    "evaluate": ("tile", "threshold", "batch", "threads", "protocol", "runtime", "split",
                 "data-name", "precision"),
    "train": ("processes", "nodes", "workers", "threads", "accelerator"),
    "scene": ("size", "seed", "gsd", "change-share", "bits", "bands", "after-crs", "after-gsd",
              "after-offset"),
    "export": ("static", "precision", "inputs", "name"),
    "convert": ("dataset", "name"),
    "prepare": ("split", "seed"),
    "check-data": ("names",),
}  # fmt: skip


def option(bench: Bench, verb: str) -> Command:
    """An option with a number or a text that makes no sense."""
    random = bench.random
    name = random.choice(NUMERIC[verb])
    value = random.choice(NUMBERS) if random.random() < 0.6 else hostile_text(random)
    value = value.replace("\x00", "").replace("../", "")[:100_000]  # paths are another family's
    what = f"--{name}={value[:30]!r}"
    more = [f"--{name}={value}"]
    if verb in ("detect", "footprints", "check"):
        if verb == "footprints":
            return commands.footprints(bench, bench.sound("probability.tif"), what, *more)
        if verb == "check":
            pair = [bench.sound(f"{date}.tif").name for date in ("before", "after")]
            return Command(["check", *pair, *more], what)
        return commands.sound_detect(bench, what, *more)
    if verb == "evaluate":
        return commands.evaluate(bench, bench.sound("difference.onnx").name, what, *more)
    if verb == "train":
        return commands.train(bench, what, *more)
    if verb == "export":
        return commands.export(bench, bench.sound("small.safetensors").name, what, *more)
    if verb == "convert":
        return commands.convert(bench, bench.sound("checkpoint.pth"), what, *more)
    if verb == "prepare":
        return commands.prepare(bench, bench.sound("release"), what, *more)
    if verb == "check-data":
        words = ["check-data", bench.sound("dataset").name, *more]
        return Command(words, what, may_find_faults=True)
    words = ["scene", "scene", *([] if name == "size" else ["--size", "64"]), *more]
    return Command(words, what, writes=(bench.folder / "scene",))


KINDS: Kinds = {
    "toml-experiment": Kind(experiment, ("train",)),
    "toml-set": Kind(set_option, ("train",)),
    "option-values": Kind(option, tuple(NUMERIC)),
}
