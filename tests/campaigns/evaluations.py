"""Results of evaluations: documents with values replaced, images and error maps that do not fit."""

from __future__ import annotations

import shutil

from campaigns.damage import damaged, spoiled
from campaigns.kinds import Bench, Command, Kind, Kinds

KEYS = (
    "weights", "threshold", "protocol", "data", "split", "images", "counts", "scores", "per_image",
    "labels_sha256", "data_sha256", "flips", "tile_px", "runtime",
)  # fmt: skip
INNER = ("name", "tp", "fp", "fn", "tn", "f1", "precision", "threshold", "split", "labels_sha256")


def document(bench: Bench, verb: str) -> Command:
    """One of two results of ``hanet evaluate`` with values replaced, or damaged bytes."""
    del verb
    odd = bench.sound("scores.json", "odd.json")
    content, what = spoiled(odd.read_text(encoding="utf-8"), KEYS, bench.random, inner=INNER)
    odd.write_bytes(content)
    return _compare(bench, f"scores: {what}", swapped=bench.random.random() < 0.5)


def pictures(bench: Bench, verb: str) -> Command:
    """A page of images or error maps that are damaged, missing, or folders."""
    del verb
    random = bench.random
    bench.sound("scores.json", "odd.json")
    for name in ("dataset", "maps"):
        bench.sound(name)
    path = random.choice(
        sorted(
            [*(bench.folder / "dataset" / "val").rglob("*.png"), *bench.folder.glob("maps/*.png")]
        )
    )
    way = random.choice(("bytes", "bytes", "missing", "folder", "empty"))
    content, what = damaged(path.read_bytes(), random)
    path.unlink()
    if way == "folder":
        path.mkdir()
    elif way != "missing":
        path.write_bytes(b"" if way == "empty" else content)
    if random.random() < 0.2:
        shutil.rmtree(bench.folder / "maps")
        what, way = "no folder of maps", ""
    maps = ("--first-maps", "maps", "--second-maps", "maps")
    said = f"{path.relative_to(bench.folder)}: {what if way == 'bytes' else way or what}"
    return _compare(bench, said, "--data", "dataset", *maps, page=True)


def _compare(
    bench: Bench, what: str, *more: str, swapped: bool = False, page: bool = False
) -> Command:
    bench.sound("scores.json")
    files = ["odd.json", "scores.json"] if swapped else ["scores.json", "odd.json"]
    words = ["compare", *files, *more]
    if page or bench.random.random() < 0.5:
        words += ["--out", "page.html"]
    if bench.random.random() < 0.3:
        words.append("--json")
    return Command(words, what, writes=(bench.folder / "page.html",))


KINDS: Kinds = {
    "evaluation-document": Kind(document, ("compare",)),
    "evaluation-pictures": Kind(pictures, ("compare",)),
}
"""Name to kind."""
