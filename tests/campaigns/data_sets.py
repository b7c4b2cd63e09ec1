"""Data sets with damaged or odd images, labels and folders; lists of pairs that are no lists."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from campaigns import commands
from campaigns.damage import CONTROL, FORMULAS, damaged, hostile_text
from campaigns.kinds import Bench, Command, Kind, Kinds


def image_bytes(bench: Bench, verb: str) -> Command:
    """One image or label with damaged bytes."""
    data, victim = _victim(bench, verb)
    content, what = damaged(victim.read_bytes(), bench.random, head=60)
    victim.write_bytes(content)
    return commands.on_data(bench, verb, data, f"{_told(victim, data)}: {what}")


def odd_image(bench: Bench, verb: str) -> Command:
    """One image or label of another mode, size, format, or with hostile text chunks."""
    from PIL import Image, PngImagePlugin

    random = bench.random
    data, victim = _victim(bench, verb)
    mode = random.choice(
        ("1", "L", "LA", "P", "PA", "RGBA", "CMYK", "I", "I;16", "F", "YCbCr", "RGB")
    )
    width = random.choice((64, 256, 1, 63, 300))
    height = random.choice((width, width, 1, 64))
    suffix = random.choice((".png", ".png", ".tif", ".jpg", ".bmp"))
    values = np.random.default_rng(random.randrange(1000)).integers(
        0, 256, (height, width), np.uint8
    )
    what = f"{_told(victim, data)}: {mode} {width}x{height} {suffix}"
    target = victim.with_suffix(suffix)
    victim.unlink()
    buffer = io.BytesIO()
    information = PngImagePlugin.PngInfo()
    information.add_text("Comment", "x" * 2000)
    options = {"pnginfo": information} if suffix == ".png" else {}
    image = Image.fromarray(values)
    try:
        image = image.convert(mode) if mode != "I;16" else Image.fromarray(values.astype(np.uint16))
        image.save(
            buffer, {".jpg": "JPEG", ".tif": "TIFF"}.get(suffix, suffix[1:].upper()), **options
        )
    except (OSError, ValueError):  # not every format takes every mode
        what += " (written as grey PNG)"
        target = victim
        Image.fromarray(values).save(buffer, "PNG")
    target.write_bytes(buffer.getvalue())
    return commands.on_data(bench, verb, data, what)


def huge_image(bench: Bench, verb: str) -> Command:
    """A header that promises a picture of gigabytes."""
    import struct
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        sums = zlib.crc32(kind + content).to_bytes(4, "big")
        return len(content).to_bytes(4, "big") + kind + content + sums

    random = bench.random
    data, victim = _victim(bench, verb)
    side = random.choice((20_000, 60_000, 2**31 - 1, 0))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    content = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(999)))
    )
    victim.write_bytes(content + chunk(b"IEND", b""))
    return commands.on_data(bench, verb, data, f"{_told(victim, data)}: {side} pixels wide")


def folders(bench: Bench, verb: str) -> Command:
    """Folders missing, empty, files, links; names doubled or without partner."""
    random = bench.random
    data = bench.sound("release" if verb == "prepare" else "dataset", "data")
    parts = sorted(data.glob("*/*"))
    part = random.choice(parts)
    way = random.choice(
        ("missing", "empty", "file", "link", "stranger", "doubled", "lone", "no splits")
    )
    images = sorted(part.iterdir())
    if way == "missing":
        for image in images:
            image.unlink()
        part.rmdir()
    elif way == "empty":
        for image in images:
            image.unlink()
    elif way == "file":
        for image in images:
            image.unlink()
        part.rmdir()
        part.write_bytes(b"")
    elif way == "link":
        part.rename(bench.folder / "away")
        part.symlink_to(random.choice(("../../away", "../..", part.name)))
    elif way == "stranger":
        (part / "Thumbs.db").write_bytes(b"x")
        (part / "folder.png").mkdir()
        (part / ".DS_Store").write_bytes(b"x")
    elif way == "doubled":
        (part / f"{images[0].stem}.tif").write_bytes(images[0].read_bytes())
    elif way == "lone":
        images[0].rename(part / "lone.png")
    else:
        data = part
    what = f"{part.relative_to(bench.folder)}: {way}"
    return commands.on_data(bench, verb, data, what)


def predictions(bench: Bench, verb: str) -> Command:
    """``evaluate --predictions``: masks that are damaged, of other sizes, numbered wrongly."""
    del verb
    random = bench.random
    labels = bench.sound("dataset") / "val" / "label"
    masks = bench.folder / "masks"
    masks.mkdir()
    for label in labels.iterdir():
        (masks / label.name).write_bytes(label.read_bytes())
    victim = random.choice(sorted(masks.iterdir()))
    way = random.choice(("bytes", "missing", "renamed", "text", "formula", "none"))
    if way == "bytes":
        victim.write_bytes(damaged(victim.read_bytes(), random, head=60)[0])
    elif way == "missing":
        victim.unlink()
    elif way == "renamed":
        victim.rename(masks / f"test256_{random.choice(('0', '17', 'x', '9' * 40))}.png")
    elif way == "text":
        victim.write_bytes(hostile_text(random).encode("utf-8", "surrogatepass"))
    elif way == "formula":
        name = random.choice(FORMULAS).replace("/", "-")
        for folder in (masks, labels):
            (folder / victim.name).rename(folder / f"{name}.png")
    words = ["evaluate", "--predictions", masks.name, "--labels", "dataset/val/label"]
    words += ["--out", "scores.json", "--per-image", "images.csv"]
    words += random.choice(((), (), ("--threshold", "0.5"), ("--tiles-of-scenes", "row-major")))
    writes = (bench.folder / "scores.json", bench.folder / "images.csv")
    return Command(words, f"predictions: {way}", writes=writes)


def pair_list(bench: Bench, verb: str) -> Command:
    """Lists of ``--pairs``: encodings, NUL, columns, quotes, odd names, fields without end."""
    del verb
    random = bench.random
    first, second = (bench.sound(f"{date}.tif").name for date in ("before", "after"))
    names = (
        "x" * 255, "x" * 256, "x" * 3000, "..", ".", "a/b", "nul\x00name", "pairs.csv", "é", "日本",
        " ", "", "a b", "CON", "~", "%s", "[red]", "-x", '"quoted"', *CONTROL, *FORMULAS,
    )  # fmt: skip
    name = random.choice(names)
    way = random.choice(
        ("name", "name", "name", "text", "bytes", "columns", "path", "long", "encoding")
    )
    cell = '"' + name.replace('"', '""') + '"'
    lines = ["name,before,after", f"{cell},{first},{second}", f"sound,{first},{second}"]
    what = f"{way} {ascii(name)[:40]}"
    if way == "columns":
        heads = (
            "",
            "name;before;after",
            "name,before",
            "name,before,after,name",
            "Name,Before,After",
            "\x00",
        )
        lines[0] = random.choice(heads)
        what = f"columns {lines[0]!r}"
    elif way == "path":
        odd = hostile_text(random)
        lines[1] = f'a,"{odd}",{second}'
        what = f"path {ascii(odd)[:40]}"
    elif way == "long":
        lines[1] = f"a,{first},{'x' * 200_000}"
    text = "\n".join(lines) + "\n"
    content = text.encode("utf-8", "surrogatepass")
    if way == "encoding":
        content = text.encode(random.choice(("utf-16", "utf-8-sig", "utf-32")), "replace")
    elif way == "bytes":
        content, what = damaged(content, random)
    elif way == "text":
        wrong = (b"", b"\n\n", b"\xff\xfe\xff", b'"' * 999, b"name,before,after\n" * 3, b"\0" * 50)
        content = random.choice(wrong)
    listing = bench.folder / "list.csv"
    listing.write_bytes(content)
    return commands.pairs(bench, listing, what)


def _victim(bench: Bench, verb: str) -> tuple[Path, Path]:
    """A data set, and an image or label in it; of a split that the verb reads."""
    data = bench.sound("release" if verb == "prepare" else "dataset", "data")
    split = "train" if verb in ("train", "prepare") else "val"
    return data, bench.random.choice(sorted(data.glob(f"{split}/*/*")))


def _told(path: Path, data: Path) -> str:
    return str(path.relative_to(data))


_DATA_VERBS = ("evaluate", "train", "prepare", "check-data")

KINDS: Kinds = {
    "image-bytes": Kind(image_bytes, _DATA_VERBS),
    "image-odd": Kind(odd_image, _DATA_VERBS),
    "image-huge": Kind(huge_image, _DATA_VERBS),
    "data-folders": Kind(folders, _DATA_VERBS),
    "predictions": Kind(predictions, ("evaluate",)),
    "pair-lists": Kind(pair_list, ("pairs",)),
}
