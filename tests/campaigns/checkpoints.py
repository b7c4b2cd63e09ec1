"""Damaged and hostile pickles: old checkpoints for convert, the checkpoint that train resumes."""

from __future__ import annotations

import io
import pickle
import zipfile
from random import Random

from campaigns import commands
from campaigns.damage import CONTROL, damaged
from campaigns.kinds import Bench, Command, Kind, Kinds


def broken(bench: Bench, verb: str) -> Command:
    """Bytes of a checkpoint damaged."""
    del verb
    name = str(bench.pick("checkpoint.pth", "old.pth", "nested.pth"))
    content, what = damaged((bench.seeds / name).read_bytes(), bench.random, head=2000)
    path = bench.folder / "checkpoint.pth"
    path.write_bytes(content)
    return commands.convert(bench, path, f"{name}: {what}")


def broken_pickle(bench: Bench, verb: str) -> Command:
    """The pickle inside a sound zip damaged, so that the zip's own sums do not refuse it."""
    del verb
    content = (bench.seeds / "checkpoint.pth").read_bytes()
    changed, what = _inside(content, bench.random)
    path = bench.folder / "checkpoint.pth"
    path.write_bytes(changed)
    return commands.convert(bench, path, f"pickle in the zip: {what}")


def hostile(bench: Bench, verb: str) -> Command:
    """Pickles that ask for code, nest without end, or hold names that a terminal would obey."""
    content, what = hostile_pickle(bench.random)
    if verb == "convert":
        path = bench.folder / "checkpoint.pth"
        path.write_bytes(content)
        return commands.convert(bench, path, what)
    return _resume(bench, content, what)


def broken_resume(bench: Bench, verb: str) -> Command:
    """The last checkpoint of a training damaged, then ``--resume``."""
    del verb
    checkpoint = bench.seeds / "train-run" / "checkpoints" / "last.ckpt"
    if bench.random.random() < 0.5:
        content, what = _inside(checkpoint.read_bytes(), bench.random)
    else:
        content, what = damaged(checkpoint.read_bytes(), bench.random, head=3000)
    return _resume(bench, content, f"last.ckpt: {what}")


def _resume(bench: Bench, content: bytes, what: str) -> Command:
    run = bench.sound("train-run", "run")
    (run / "checkpoints" / "last.ckpt").write_bytes(content)
    (run / "summary.json").unlink(missing_ok=True)
    return commands.train(bench, what, "--resume")


def _inside(content: bytes, random: Random) -> tuple[bytes, str]:
    """A zip with one of its members damaged, in nine cases of ten the pickle."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    pickles = [name for name in members if name.endswith("data.pkl")]
    name = pickles[0] if random.random() < 0.9 else random.choice(list(members))
    if not members[name]:
        name = pickles[0]
    members[name], what = damaged(members[name], random)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for member, inner in members.items():
            archive.writestr(member, inner)
    return buffer.getvalue(), f"{name}: {what}"


def hostile_pickle(random: Random) -> tuple[bytes, str]:
    """A pickle, bare or in a zip, and what it is."""
    way = random.choice(("call", "deep", "control", "names", "cycle", "huge", "memo", "plain"))
    marker = "echo > ran"
    inner = b"\x80\x02}."
    if way == "call":
        module, name = random.choice(
            (("os", "system"), ("posix", "system"), ("builtins", "exec"), ("subprocess", "call"))
        )
        inner = f"c{module}\n{name}\n(S'{marker}'\ntR.".encode()
    elif way == "deep":
        depth = random.choice((900, 20_000))
        inner = b"\x80\x02" + b"(" * depth + b"t" * depth + b"."
    elif way == "control":
        text = random.choice(CONTROL).replace("\n", "")
        inner = f"c{text}\n{text}\n(tR.".encode("utf-8", "replace")
    elif way == "names":
        inner = pickle.dumps({"state_dict": {"x" * random.choice((300, 50_000)): 1.0}}, 2)
    elif way == "cycle":
        inner = b"\x80\x02]q\0h\0a."
    elif way == "huge":
        inner = b"\x80\x04\x8d" + (2**62).to_bytes(8, "little") + b"x."
    elif way == "memo":
        inner = b"\x80\x02h\x7f."
    if random.random() < 0.5:
        return inner, f"{way}, bare"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", inner)
        archive.writestr("archive/version", "3\n")
    return buffer.getvalue(), f"{way}, in a zip"


KINDS: Kinds = {
    "checkpoint-bytes": Kind(broken, ("convert",)),
    "checkpoint-pickle": Kind(broken_pickle, ("convert",)),
    "checkpoint-hostile": Kind(hostile, ("convert", "train")),
    "checkpoint-resume": Kind(broken_resume, ("train",)),
}
