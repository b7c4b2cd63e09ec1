"""What a person adds to a footprint: columns of the GeoPackage that wait to be filled in."""

from __future__ import annotations

STATUSES = ("unreviewed", "accepted", "rejected", "unsure")
"""Values of the column ``status``."""

KINDS = ("built", "demolished", "rebuilt", "other")
"""Values of the column ``kind``; NULL where nobody has said."""

REVIEW_COLUMNS: dict[str, str | None] = {"status": STATUSES[0], "kind": None, "comment": None}
"""Columns of text, with what they hold of a footprint that nobody has looked at."""
