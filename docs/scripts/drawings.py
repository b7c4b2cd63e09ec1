"""Makes the drawings in docs/images/ (SVG). Curves are computed by the package or read from
results/.

Run: python docs/scripts/drawings.py [--check]
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import draw_curves
import draw_joplin
import draw_measures
import draw_network
import draw_training
from pages import DOCS, write_or_check
from training_logs import stages

from hanet.weights.catalogue import OURS

DRAWINGS: dict[str, Callable[[], str]] = {
    "hanet-overview": draw_network.overview,
    "hanet-module": draw_network.module,
    "hanet-attention": draw_network.attention,
    "pfbs-schedules": draw_training.schedules,
    "pfbs-foreground-share": draw_training.foreground_share,
    "pfbs-at-equal-compute": draw_curves.pfbs,
    **{
        f"training-{weights}": partial(draw_curves.training, weights)
        for weights in OURS
        if stages(weights)
    },
    "protocols": draw_measures.protocols,
    "counts": draw_measures.counts,
    "calibration": draw_measures.calibration,
    "thresholds": draw_measures.thresholds,
    "coregistration": draw_measures.coregistration,
    "adapt-joplin": draw_joplin.footprints,
}
"""Name of each file without suffix."""


def main() -> None:
    """Writes or checks all drawings."""
    texts = {DOCS / "images" / f"{name}.svg": draw() for name, draw in DRAWINGS.items()}
    write_or_check(texts, command="make pages")


if __name__ == "__main__":
    main()
