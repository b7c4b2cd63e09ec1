"""Reviewed results: damaged journals, manifests, rasters, findings and layers that come back."""

from __future__ import annotations

import json
from typing import Any

from campaigns import commands
from campaigns.damage import damaged, hostile_json, hostile_text, spoiled
from campaigns.kinds import Bench, Command, Kind, Kinds
from campaigns.polygons import GEOMETRIES

RUN = "reviewed"
"""Folder of the sound reviewed result."""

JOURNAL_KEYS = (
    "n", "at", "by", "do", "items", "item", "set", "was", "kinds", "id", "into", "undoes", "format",
    "hanet", "probability_sha256", "grid", "settings", "findings", "count", "seed", "strata",
    "threshold", "status", "kind", "comment", "geometry", "coordinates", "source", "stratum", "a",
)  # fmt: skip
"""Keys of a journal's records and of what is in them."""

MANIFEST_KEYS = (
    "identity", "footprints", "pair", "weights", "threshold", "tiles", "hanet", "inputs", "started",
)  # fmt: skip
INNER_KEYS = ("area", "count", "files", "unit", "before", "after", "before_date", "path", "crs",
              "transform", "height", "width", "min_area_m2", "name", "licence")  # fmt: skip

LAYERS = ("reviewed.gpkg", "reviewed.geojson", "reviewed.csv", "reviewed.fgb", "reviewed.kml")
"""What was delivered of the sound result, and may come back."""


def journal(bench: Bench, verb: str) -> Command:
    """A journal with one value replaced, lines doubled, dropped or exchanged, or bytes damaged."""
    random = bench.random
    run = commands.reviewed(bench, verb)
    path = run / "review" / "journal.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    number = random.randrange(len(lines))
    way = random.choice(("value", "value", "value", "bytes", "lines", "whole", "add"))
    what = f"line {number + 1}: {way}"
    if way == "value":
        content, how = spoiled(lines[number], JOURNAL_KEYS, random, inner=JOURNAL_KEYS)
        lines[number] = content.decode("utf-8", "replace")
        what = f"line {number + 1}: {how}"
    elif way == "lines":
        change = random.choice(("doubled", "dropped", "exchanged", "reversed"))
        if change == "doubled":
            lines.insert(number, lines[number])
        elif change == "dropped":
            del lines[number]
        elif change == "exchanged":
            other = random.randrange(len(lines))
            lines[number], lines[other] = lines[other], lines[number]
        else:
            lines.reverse()
        what = f"line {number + 1}: {change}"
    elif way == "whole":
        lines[number] = hostile_json(random)
    elif way == "add":
        do = random.choice(
            ("undo", "redo", "remake", "split", "merge", "reshape", "draw", "begin", "?")
        )
        key, value = random.choice(JOURNAL_KEYS), hostile_json(random)
        record = {"n": len(lines) + 1, "at": "2026-11-28T12:00:00.000Z", "by": "x", "do": do}
        extra = random.choice(("", ', "id": "f1"', ', "undoes": 2', ', "ids": ["f1", "f2"]'))
        lines.append(f'{json.dumps(record)[:-1]}{extra}, "{key}": {value}}}')
        what = f"one more: {do} {key} = {value[:30]}"
    content = ("\n".join(lines) + "\n").encode("utf-8", "replace")
    if way == "bytes":
        content, what = damaged(path.read_bytes(), random)
    path.write_bytes(content)
    return commands.on_review(bench, verb, run, f"journal, {what}")


def beside(bench: Bench, verb: str) -> Command:
    """What lies beside the journal: damaged, missing, a folder, a link."""
    random = bench.random
    run = commands.reviewed(bench, verb)
    folder = run / "review"
    names = ("delivered.json", "inputs.json", "suggestions.json", "findings", "journal.jsonl")
    name = random.choice(names)
    if name == "findings":
        name = next(folder.glob("findings-*")).name
    path = folder / name
    content = path.read_bytes() if path.exists() else b"{}"
    path.unlink(missing_ok=True)
    way = random.choice(("bytes", "bytes", "json", "folder", "link", "missing", "empty"))
    what = way
    if way == "bytes":
        content, what = damaged(content, random, head=200)
        path.write_bytes(content)
    elif way == "json":
        keys = ("deliveries", "format", "before", "after", "tiles", "last", "ids", "stamp")
        content, what = spoiled(content.decode("latin-1"), keys, random, inner=keys)
        path.write_bytes(content)
    elif way == "folder":
        path.mkdir()
        (path / "mine.txt").write_text("mine", encoding="utf-8")
    elif way == "link":
        path.symlink_to(random.choice(("../../elsewhere", name)))
    elif way == "empty":
        path.write_bytes(b"")
    return commands.on_review(bench, verb, run, f"review/{name}: {what}")


def manifest(bench: Bench, verb: str) -> Command:
    """A run.json with values replaced, or damaged bytes."""
    run = commands.reviewed(bench, verb)
    path = run / "run.json"
    text = path.read_text(encoding="utf-8")
    content, what = spoiled(text, MANIFEST_KEYS, bench.random, inner=INNER_KEYS)
    path.write_bytes(content)
    return commands.on_review(bench, verb, run, f"run.json: {what}")


def results(bench: Bench, verb: str) -> Command:
    """Rasters, layers and images of a reviewed run: damaged, missing, cut, links."""
    random = bench.random
    run = commands.reviewed(bench, verb)
    names = ["probability.tif", "probability.tif", "mask.tif", "footprints.gpkg", "run.json"]
    path = random.choice([*(run / name for name in names), bench.folder / "before.tif"])
    content = path.read_bytes()
    way = random.choice(("bytes", "bytes", "bytes", "missing", "folder", "link", "other"))
    what = way
    if way == "bytes":
        content, what = damaged(content, random, head=400)
        path.write_bytes(content)
    else:
        path.unlink()
    if way == "folder":
        path.mkdir()
    elif way == "link":
        path.symlink_to(path.name)
    elif way == "other":
        path.write_bytes((bench.seeds / "polygons.geojson").read_bytes())
    return commands.on_review(bench, verb, run, f"{path.name}: {what}")


def pairs(bench: Bench, verb: str) -> Command:
    """The table of several reviewed pairs: encodings, columns, names that lead elsewhere."""
    random = bench.random
    run = commands.reviewed(bench, verb)
    out = bench.folder / "several"
    out.mkdir()
    run.rename(out / "one")
    names = ("one", "..", ".", "../one", "/etc", "a/b", "missing", "", "x" * 300, "one\\nx", "'one")
    name = random.choice([*names, hostile_text(random)]).replace("\x00", "0")
    cell = '"' + name.replace('"', '""') + '"'
    lines = ["name,status,before,after", "one,done,a,b", f"{cell},done,a,b"]
    way = random.choice(("name", "name", "short", "columns", "bytes", "only"))
    if way == "short":
        lines.append(random.choice(("one", "", "one,", ",,,,,,", '"', "one,done,a,b,c,d")))
    elif way == "columns":
        lines[0] = random.choice(("status,name", "name", "", "name;status", "\ufeffname,status"))
    elif way == "only":
        lines = lines[:1]
    content = ("\n".join(lines) + "\n").encode("utf-8", "surrogatepass")
    if way == "bytes":
        content = damaged(content, random)[0]
    (out / "pairs.csv").write_bytes(content)
    return commands.on_review(bench, verb, out, f"pairs.csv: {way} {ascii(name)[:40]}")


def given_back(bench: Bench, verb: str) -> Command:
    """``deliver --from``: a layer with other geometries, ids, words, or damaged bytes."""
    random = bench.random
    run = commands.reviewed(bench, verb)
    name = random.choice(LAYERS)
    way = random.choice(("value", "value", "value", "geometry", "geometry", "bytes", "text"))
    if way in ("value", "geometry"):
        name = "reviewed.geojson"
    path = bench.folder / name
    content = (run / "delivery" / name).read_bytes()
    what = way
    if way == "bytes":
        content, what = damaged(content, random, head=400)
    elif way == "text":
        content = hostile_json(random).encode("utf-8", "replace")
        what = ascii(content[:30])
    else:
        layer = json.loads(content)
        feature: dict[str, Any] = random.choice(layer["features"])
        if way == "geometry":
            chosen = random.choice(sorted(GEOMETRIES))
            feature["geometry"], what = GEOMETRIES[chosen], f"geometry: {chosen}"
            content = json.dumps(layer).encode()
        else:
            key = random.choice(("id", "status", "kind", "comment", "pair", "name", "new"))
            value = hostile_json(random)
            if random.random() < 0.5:
                texts = (hostile_text(random), "ACCEPTED", "f1", "f999", "t1", "d1", "1", "1.0", "")
                value = json.dumps(random.choice(texts))
            feature["properties"][key] = "PLACE"
            content = json.dumps(layer).replace('"PLACE"', value).encode("utf-8", "replace")
            what = f"{key} = {value[:30]}"
    path.write_bytes(content)
    typed = f"{name}|layername=reviewed" if random.random() < 0.1 else name
    more = [*random.choice(((), ("--deleted", "kept"), ("--deleted", "rejected")))]
    command = commands.on_review(bench, verb, run, f"--from {name}, {what}")
    return Command([*command.arguments, "--from", typed, *more], command.what, command.writes)


def labels(bench: Bench, verb: str) -> Command:
    """``deliver --labels`` into folders that hold something, under odd names, of odd sizes."""
    random = bench.random
    run = commands.reviewed(bench, verb)
    target = bench.folder / "labels"
    way = random.choice(("file", "link", "full", "split", "tile", "moved"))
    more: list[str] = []
    if way == "file":
        target.write_bytes(b"mine")
    elif way == "link":
        target.symlink_to(random.choice(("elsewhere", "labels")))
    elif way == "full":
        part = target / "train" / random.choice(("A", "B", "label"))
        part.mkdir(parents=True)
        (part / f"{run.name}_0_0.png").write_bytes(b"mine")
    elif way == "split":
        more = [f"--split={hostile_text(random)}".replace("\x00", "").replace("../", "")]
    elif way == "tile":
        more = [f"--tile={random.choice(('0', '-1', '1', '7', '99999999', 'x'))}"]
    else:
        path = random.choice(("missing.tif", "reviewed", "reviewed/run.json", "out", ""))
        more = [f"--{random.choice(('before', 'after'))}={path}"]
    command = commands.on_review(bench, verb, run, f"--labels: {way} {ascii(more)[:50]}")
    words = [*command.arguments, "--labels", "labels", *more]
    return Command(words, command.what, (*command.writes, target))


def continued(bench: Bench, verb: str) -> Command:
    """An adaptation whose working folder is damaged, then ``--resume``."""
    del verb
    random = bench.random
    work = bench.sound("mine.adapt")
    for path in sorted(bench.seeds.glob("mine.*")):
        if path.is_file() and random.random() < 0.3:
            bench.sound(path.name)
    files = sorted(path for path in work.rglob("*") if path.is_file())
    victim = random.choice(files)
    way = random.choice(("bytes", "bytes", "json", "missing", "folder"))
    what = way
    if way == "json" and victim.suffix == ".json":
        keys = ("identity", "format", "rungs", "tiles", "blocks", "threshold", "a")
        content, what = spoiled(victim.read_text(encoding="utf-8"), keys, random, inner=keys)
        victim.write_bytes(content)
    elif way in ("bytes", "json"):
        content, what = damaged(victim.read_bytes() or b"0", random, head=200)
        victim.write_bytes(content)
    else:
        victim.unlink()
        if way == "folder":
            victim.mkdir()
    told = victim.relative_to(work)
    command = commands.adapt(bench, commands.reviewed(bench, "adapt"), f"{told}: {what}")
    return Command(
        [*command.arguments, "--resume"], command.what, command.writes, may_find_faults=True
    )


_REVIEW_VERBS = ("review", "deliver", "suggest", "adapt")

KINDS: Kinds = {
    "review-journal": Kind(journal, _REVIEW_VERBS),
    "review-beside": Kind(beside, _REVIEW_VERBS),
    "review-manifest": Kind(manifest, _REVIEW_VERBS),
    "review-results": Kind(results, _REVIEW_VERBS),
    "review-pairs": Kind(pairs, ("deliver", "suggest", "adapt")),
    "review-given-back": Kind(given_back, ("deliver",)),
    "review-labels": Kind(labels, ("deliver",)),
    "adapt-continued": Kind(continued, ("adapt",)),
}
