"""Drawing of one scored tile of Joplin: what changed there, and what was found before and after the
weights were adapted. Outlines only: the images may not travel with the repository."""

from __future__ import annotations

import json
from typing import Any

from pages import ROOT
from svg import CHANGE, CURVES, MUTED, Drawing

RESULT = ROOT / "results" / "adaptation" / "joplin.json"

SIDE, GAP, TOP, LEFT = 260, 20, 50, 20


def footprints() -> str:
    """Panels of one tile side by side."""
    values: dict[str, Any] = json.loads(RESULT.read_text(encoding="utf-8"))
    picture = values["picture"]
    panels = [("changed", "what changed", "drawn by the assistant")]
    for name, title in (("before", "found before adaptation"), ("after", "found after it")):
        if name in picture:
            score = values["pixels"][name]["f1"]
            panels.append((name, title, f"F1 of all {values['scored_tiles']} tiles: {score:.3f}"))
    width = 2 * LEFT + len(panels) * SIDE + (len(panels) - 1) * GAP
    shown = Drawing(
        width, TOP + SIDE + 34, "A street of Joplin: outlines of destroyed buildings and of finds"
    )
    scale = SIDE / max(picture["size_px"])
    for number, (name, title, below) in enumerate(panels):
        left = LEFT + number * (SIDE + GAP)
        shown.text(left, 32, title, size=14, bold=True)
        shown.rect(left, TOP, SIDE, SIDE, fill="#eef1ec")
        for ring in picture["unsure"]:
            shown.polygon(_placed(ring, left, scale), fill="#dfe3e4")
        for ring in picture["changed"]:
            shown.polygon(_placed(ring, left, scale), fill=CHANGE)
        for ring in picture[name]:
            points = _placed(ring, left, scale)
            shown.line([*points, points[0]], colour=CURVES[number], width=1.8)
        shown.text(left, TOP + SIDE + 22, below, size=12, colour=MUTED)
    return shown.to_svg()


def _placed(ring: list[list[float]], left: float, scale: float) -> list[tuple[float, float]]:
    return [(left + x * scale, TOP + y * scale) for x, y in ring]
