"""Catalogues in which somebody has changed something at random: pairs come out, or one line."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hanet.errors import HanetError
from hanet.stac.pair_choice import choose_pairs
from hanet.stac.periods import parse_period
from stac_scenes import write_catalogue

ROUNDS = 40
"""More are run where something is changed: 2,400 found nothing on 2026-11-28."""

ODD: tuple[Any, ...] = (
    None, True, -1, 1e308, -1e308, 2**53, "", "x", "\x00", "a" * 5000, [], {}, [[]], [None], [{}],
    "9999-12-31T23:59:59-23:00", "0001-01-01T00:00:00+23:59", [0, 0, 1, 1], [1e308] * 4,
    [170, 0, -170, 1], {"type": "Point", "coordinates": [0, 0]},
    {"type": "GeometryCollection", "geometries": []},
    {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1e308, 0], [0, 0]]]},
    "file:///etc/passwd", "http://[::1", "C:\\x", "../../../../x", "data:,x", "|asset=",
)  # fmt: skip


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where anything stands in a document, but the whole of it."""
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in parts:
        yield (*path, key)
        if isinstance(part, dict | list):
            yield from paths(part, (*path, key))


def changed(value: Any, chance: random.Random) -> Any:
    value = copy.deepcopy(value)
    *keys, last = chance.choice(list(paths(value)))
    part = value
    for key in keys:
        part = part[key]
    part[last] = copy.deepcopy(chance.choice(ODD))
    return value


def test_a_catalogue_with_odd_values_gives_pairs_or_one_line(tmp_path: Path) -> None:
    write_catalogue(tmp_path / "catalogue")
    documents = {path: json.loads(path.read_text()) for path in sorted(tmp_path.rglob("*.json"))}
    before, after, chance = parse_period("2019", ""), parse_period("2024", ""), random.Random(4)
    ends = set()
    for _ in range(ROUNDS):
        path = chance.choice(list(documents))
        text = json.dumps(changed(changed(documents[path], chance), chance))
        path.write_text(text)
        try:
            choose_pairs(
                str(tmp_path / "catalogue" / "catalog.json"),
                aoi=tmp_path / "catalogue" / "aoi.geojson",
                before=before,
                after=after,
                out=tmp_path / "list.csv",
                overwrite=True,
            )
            ends.add("pairs")
        except HanetError as error:
            ends.add("one line" if error.message.isprintable() else f"{error.message!r} of {text}")
        path.write_text(json.dumps(documents[path]))
    assert ends == {"pairs", "one line"}
