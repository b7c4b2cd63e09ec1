"""What a person adds to a footprint: columns of the GeoPackage that wait to be filled in."""

from __future__ import annotations

from collections.abc import Container

STATUSES = ("unreviewed", "accepted", "rejected", "unsure")
"""Values of the column ``status``."""

KINDS = ("built", "demolished", "rebuilt", "other")
"""What a person may write into the column ``kind``; NULL where nobody has said."""

REVIEW_COLUMNS: dict[str, str | None] = {"status": STATUSES[0], "kind": None, "comment": None}
"""Columns of text, with what they hold of a footprint that nobody has looked at. Where the weights
tell built from demolished, ``kind`` holds what they say instead
(:data:`hanet.footprints.kinds.KINDS`)."""


def to_fill_in(fields: Container[str]) -> dict[str, str | None]:
    """Those that a layer with these fields does not have yet."""
    return {name: first for name, first in REVIEW_COLUMNS.items() if name not in fields}
