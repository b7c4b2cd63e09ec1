"""STAC items and catalogues: values replaced, addresses that lead elsewhere, damaged bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from campaigns import commands
from campaigns.damage import damaged, hostile_json, hostile_text, spoiled
from campaigns.kinds import Bench, Command, Kind, Kinds

KEYS = (
    "type", "id", "collection", "geometry", "bbox", "properties", "assets", "links", "features",
    "stac_version", "extent",
)  # fmt: skip
INNER = ("datetime", "href", "type", "rel", "id", "title", "roles", "eo:cloud_cover", "coordinates",
         "view:off_nadir", "view:sun_elevation", "gsd", "visual", "bbox", "spatial")  # fmt: skip

HREFS = (
    "../../../etc/passwd", "file:///etc/passwd", "http://127.0.0.1:1/a.tif", "/vsimem/x", "a\x1b[31m",
    "C:\\a.tif", "javascript:1", "https://user:pw@127.0.0.1:1/a.tif", "x" * 9000, "", "  ", ".", "..",
    "/dev/null", "catalog.json", "before.json", "#", "?", "PG:dbname=x", "s3://", "http://[::1", "\x00",
    "data:image/tiff;base64,AAAA", "../before.tif|asset=visual", "STAC:before.json", "before.tif\n",
)  # fmt: skip
"""Where an asset or a link may be said to lie."""


def document(bench: Bench, verb: str) -> Command:
    """An item or a catalogue with values replaced, or damaged bytes."""
    random = bench.random
    folder = _catalogue(bench)
    path = folder / random.choice(("before.json", "before.json", "catalog.json"))
    if verb != "stac-pairs":
        path = folder / "before.json"
    content, what = spoiled(path.read_text(encoding="utf-8"), KEYS, random, inner=INNER)
    path.write_bytes(content)
    return _command(bench, verb, f"{path.name}: {what}")


def place(bench: Bench, verb: str) -> Command:
    """An asset or a link that leads elsewhere."""
    random = bench.random
    folder = _catalogue(bench)
    is_link = verb == "stac-pairs" and random.random() < 0.5
    path = folder / ("catalog.json" if is_link else "before.json")
    value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    href = random.choice(HREFS) if random.random() < 0.7 else hostile_text(random)
    if is_link:
        link = {"rel": random.choice(("item", "child", "next", "items", "search", "root"))}
        value["links"].append({**link, "href": href})
    else:
        value["assets"]["visual"]["href"] = href
    path.write_text(json.dumps(value), encoding="utf-8")
    return _command(bench, verb, f"href {ascii(href)[:40]}")


def argument(bench: Bench, verb: str) -> Command:
    """A folder, a raster, an archive or nothing where a catalogue or an item is asked for."""
    random = bench.random
    folder = _catalogue(bench)
    odd = bench.folder / "odd.json"
    way = random.choice(("folder", "raster", "text", "bytes", "missing", "name", "link", "pipe"))
    if way == "folder":
        odd = random.choice((folder, bench.folder))
    elif way == "raster":
        odd = bench.folder / "before.tif"
    elif way == "text":
        odd.write_text(hostile_json(random), encoding="utf-8", errors="replace")
    elif way == "bytes":
        odd.write_bytes(damaged((folder / "before.json").read_bytes(), random)[0])
    elif way == "link":
        odd.symlink_to(odd.name)
    elif way == "pipe":
        import os

        os.mkfifo(odd)
    typed = str(odd.relative_to(bench.folder))
    if way == "name":
        typed = hostile_text(random).replace("\x00", "")[:3000]
        if typed.startswith("-"):
            typed = f"x{typed}"
    return _command(bench, verb, f"{way}: {ascii(typed)[:40]}", typed)


def option(bench: Bench, verb: str) -> Command:
    """Periods, names of assets and limits that make no sense; an area that is none."""
    random = bench.random
    _catalogue(bench)
    texts = (
        "2019", "2019-13", "2019-02-30", "0000", "99999", "2024/2019", "2019/", "/", "2019/2020/2021",
        "nan", "-1", "1e999", "9" * 5000, "",
    )  # fmt: skip
    text = random.choice(texts) if random.random() < 0.6 else hostile_text(random)
    text = text.replace("\x00", "").replace("../", "")[:20_000]
    names = ("asset",) if verb != "stac-pairs" else (
        "before", "after", "collection", "asset", "max-cloud", "max-off-nadir", "min-sun", "most",
    )  # fmt: skip
    name = random.choice(names)
    command = _command(bench, verb, f"--{name}={ascii(text)[:40]}")
    return Command([*command.arguments, f"--{name}={text}"], command.what, command.writes)


def _catalogue(bench: Bench) -> Path:
    for date in ("before", "after"):
        bench.sound(f"{date}.tif")
    return bench.sound("stac")


def _command(bench: Bench, verb: str, what: str, odd: str | None = None) -> Command:
    if verb == "stac-pairs":
        area = bench.sound("polygons.geojson").name
        words = ["pairs", "--aoi", area, "--before", "2019", "--after", "2024", "--out", "list.csv"]
        writes = (bench.folder / "list.csv", bench.folder / "list-items.csv")
        return Command([*words, "--", odd or "stac/catalog.json"], what, writes=writes)
    items = [odd or "stac/before.json", "stac/after.json"]
    if verb == "check":
        return Command(["check", "--stac", *items], what)
    return commands.detect(bench, *items, what, "--stac")


_VERBS = ("stac-pairs", "detect", "check")

KINDS: Kinds = {
    "stac-document": Kind(document, _VERBS),
    "stac-places": Kind(place, _VERBS),
    "stac-arguments": Kind(argument, _VERBS),
    "stac-options": Kind(option, _VERBS),
}
