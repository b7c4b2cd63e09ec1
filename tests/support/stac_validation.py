"""Items against the official schemas of STAC: those of the core come with pystac, those of the
extensions lie beside this file. Nothing is fetched."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pystac.validation
from referencing import Registry
from referencing.jsonschema import DRAFT7

EXTENSIONS = Path(__file__).parent / "stac_schemas"
CORE = "https://schemas.stacspec.org/v1.1.0/item-spec/json-schema/"
OLDER = {
    "https://stac-extensions.github.io/mlm/v1.5.0/schema.json": "https://stac-extensions.github.io/mlm/v1.4.0/schema.json"
}
"""What no package holds, and the version before it, whose rules hold for it too."""


@cache
def _registry() -> Registry[Any]:
    core = Path(pystac.validation.__file__).parent / "jsonschemas"
    found = []
    for path in (*core.rglob("*.json"), *EXTENSIONS.glob("*.json")):
        schema = DRAFT7.create_resource(json.loads(path.read_text()))
        found.append((schema.contents["$id"].rstrip("#"), schema))
        if path.parent.parent.name == "stac-spec":  # one of them has a misspelled $id
            found.append((f"{CORE}{path.name}", schema))
    return Registry().with_resources(found)


def problems(item: dict[str, Any]) -> list[str]:
    """What the core of STAC 1.1 and the extensions that an item names find wrong in it."""
    item = json.loads(json.dumps(item))
    item["stac_extensions"] = [OLDER.get(name, name) for name in item["stac_extensions"]]
    assert item["stac_version"] == "1.1.0"
    return [
        f"{uri}: {'/'.join(map(str, error.absolute_path))}: {error.message[:200]}"
        for uri in (f"{CORE}item.json", *item["stac_extensions"])
        for error in jsonschema.Draft7Validator({"$ref": uri}, registry=_registry()).iter_errors(
            item
        )
    ]
