"""Names of STAC items where a raster is asked for: ``item.json``, ``STAC:https://host/items/7``,
``item.json|asset=visual``.

A name that ends in ``.json`` or ``.geojson`` is one of an item by itself; the address of an item in
an API has no such ending, and takes the prefix.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

PREFIX = "STAC:"
"""Says that what follows is the place of an item."""

ASSET = "|asset="
"""Parts the place of an item from the name of the asset to be read."""

_ENDING = re.compile(r"\.(geo)?json\Z", re.IGNORECASE)


class ItemName(NamedTuple):
    """What the name of an item says.

    Args:
        place: The item's path or address.
        asset: Name of the asset; None lets the item choose.
    """

    place: str
    asset: str | None


def is_item_name(name: str) -> bool:
    """Whether a name is one of a STAC item, by its spelling.

    Example:
        >>> is_item_name("scene.json"), is_item_name("scene.tif")
        (True, False)
    """
    if name.startswith(PREFIX) or ASSET in name:
        return True
    return _ENDING.search(re.split(r"[?#]", name, maxsplit=1)[0]) is not None


def parse_item_name(name: str) -> ItemName:
    """Place and asset of a name for which :func:`is_item_name` holds.

    Example:
        >>> parse_item_name("STAC:https://host/items/7|asset=visual")
        ItemName(place='https://host/items/7', asset='visual')
    """
    place, mark, asset = name.removeprefix(PREFIX).partition(ASSET)
    return ItemName(place, asset if mark else None)


def item_name(place: str, asset: str | None) -> str:
    """The name of an item at a place, spelled so that nobody takes it for another file.

    Example:
        >>> item_name("scene.json", "visual")
        'STAC:scene.json|asset=visual'
    """
    bare = parse_item_name(place)
    chosen = asset if asset is not None else bare.asset
    return f"{PREFIX}{bare.place}" + (f"{ASSET}{chosen}" if chosen is not None else "")


def with_place(name: str, change: Callable[[str], str]) -> str:
    """A name with its place changed; of a name that is none of an item the whole of it.

    Example:
        >>> with_place("a.json|asset=visual", lambda place: f"/data/{place}")
        '/data/a.json|asset=visual'
    """
    if not is_item_name(name):
        return change(name)
    place, asset = parse_item_name(name)
    prefix = PREFIX if name.startswith(PREFIX) else ""
    return f"{prefix}{change(place)}" + ("" if asset is None else f"{ASSET}{asset}")
