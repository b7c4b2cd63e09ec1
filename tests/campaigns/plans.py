"""Plans and shards: documents with values replaced, archives that are damaged, doubled, foreign."""

from __future__ import annotations

import io
import json
import zipfile

from campaigns.damage import damaged, hostile_json, spoiled
from campaigns.kinds import Bench, Command, Kind, Kinds

KEYS = (
    "format", "settings", "decided", "bands", "preflight", "rasters", "identity", "weights",
    "threshold", "tile_px", "overlap_px", "shards", "said", "started", "places", "states", "sha256",
)  # fmt: skip
INNER = (
    "index", "part", "window", "is_empty", "before", "after", "width", "height", "transform",
    "crs", "batch", "name", "threshold", "format", "grid", "row", "column", "licence",
)  # fmt: skip


def document(bench: Bench, verb: str) -> Command:
    """A plan.json with values replaced, with or without its hash made right, or damaged bytes."""
    random = bench.random
    run = bench.sound("planned")
    path = run / "plan.json"
    content, what = spoiled(path.read_text(encoding="utf-8"), KEYS, random, inner=INNER)
    if random.random() < 0.5:
        try:
            content = _with_hash(content)
            what += ", with its hash"
        except (
            ValueError,
            TypeError,
            RecursionError,
            AttributeError,
        ):  # nothing that could have one
            pass
    path.write_bytes(content)
    return _command(bench, verb, f"plan.json: {what}")


def _with_hash(content: bytes) -> bytes:
    """The document with the hash that belongs to what it says now."""
    import hashlib

    from hanet.detection.plan import UNHASHED

    value = json.loads(content)
    hashed = {key: part for key, part in value.items() if key not in UNHASHED}
    text = json.dumps(hashed, sort_keys=True, separators=(",", ":"))
    value["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    return json.dumps(value).encode()


def archive(bench: Bench, verb: str) -> Command:
    """A shard's file: damaged bytes, members missing, too long, doubled, with odd receipts."""
    random = bench.random
    run = bench.sound("planned")
    path = random.choice(sorted((run / "shards").iterdir()))
    way = random.choice(
        ("bytes", "bytes", "missing", "other", "member", "receipt", "folder", "bomb")
    )
    what = way
    if way == "bytes":
        content, what = damaged(path.read_bytes(), random)
        path.write_bytes(content)
    elif way == "missing":
        path.unlink()
    elif way == "other":
        other = random.choice(sorted((run / "shards").iterdir()))
        path.write_bytes(other.read_bytes())
        path.with_name("9999.zip").write_bytes(other.read_bytes())
    elif way == "folder":
        path.unlink()
        path.mkdir()
    else:
        with zipfile.ZipFile(path) as file:
            members = {name: file.read(name) for name in file.namelist()}
        name = "shard.json" if way == "receipt" else random.choice(sorted(members))
        if way == "receipt":
            text = members[name].decode()
            members[name], what = spoiled(
                text, (*KEYS, "shard", "plan", "tally"), random, inner=INNER
            )
        elif way == "bomb":
            members[name] = bytes(200 << 20)
        else:
            part = members.pop(name)
            if random.random() < 0.6:
                members[name] = random.choice((b"", part[: len(part) // 2], part * 3))
            what = f"member {name}"
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
            for name, content in members.items():
                file.writestr(name, content)
        path.write_bytes(buffer.getvalue())
    return _command(bench, verb, f"{path.name}: {what}")


def _command(bench: Bench, verb: str, what: str) -> Command:
    """``merge``, or ``detect --plan`` of a shard."""
    random = bench.random
    pair = [bench.sound(f"{date}.tif").name for date in ("before", "after")]
    bench.sound("difference.onnx")
    run = bench.folder / "planned"
    if verb == "merge":
        return Command(["merge", "planned"], what, writes=(run,))
    task = random.choice((["--shard", "0"], ["--shard", "1"], ["--shard", "7"], ["--task", "0/2"]))
    words = ["detect", *(pair if random.random() < 0.2 else []), "--plan", "planned/plan.json"]
    return Command([*words, *task], f"{what}, {task}", writes=(run,))


def value(bench: Bench, verb: str) -> Command:
    """A run folder of a plan in which something else lies, planned again."""
    random = bench.random
    run = bench.sound("planned")
    pair = [bench.sound(f"{date}.tif").name for date in ("before", "after")]
    weights = bench.sound("difference.onnx").name
    way = random.choice(("again", "damaged", "mine", "link", "options"))
    more: list[str] = [] if random.random() < 0.4 else ["--overwrite"]
    if way == "damaged":
        (run / "plan.json").write_text(hostile_json(random), encoding="utf-8", errors="replace")
    elif way == "mine":
        (run / "shards" / "mine.txt").write_bytes(b"mine")
    elif way == "link":
        (run / "plan.json").unlink()
        (run / "plan.json").symlink_to("../elsewhere")
    elif way == "options":
        name = random.choice(("shards", "tile", "overlap", "threshold", "batch", "bands", "gsd"))
        more += [f"--{name}={random.choice(('0', '-1', 'nan', '9' * 30, '7', '', 'x', '1e999'))}"]
    words = ["plan", *pair, "--out", "planned", "--weights", weights, "--threads", "1", *more]
    keeps = (run / "shards" / "mine.txt",) if way == "mine" else ()
    return Command(words, f"planned again: {way} {more}", writes=(run,), keeps=keeps)


KINDS: Kinds = {
    "plan-document": Kind(document, ("merge", "detect")),
    "plan-shards": Kind(archive, ("merge", "detect")),
    "plan-again": Kind(value, ("plan",)),
}
