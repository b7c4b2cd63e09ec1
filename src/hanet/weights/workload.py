"""How much work the networks are: multiply-adds for a megapixel of a pair, and the speed class that
follows from it.

Counted, not timed, so that it holds for any machine; what one machine takes is measured by ``hanet
bench detect``.
"""

from __future__ import annotations

from typing import Literal

from hanet.metadata import Metadata

GMAC_PER_MEGAPIXEL = {
    "hanet": 228.0,
    "hanet_lite": 23.5,
    "fc_ef": 47.2,
    "fc_siam_conc": 73.7,
    "fc_siam_diff": 64.5,
}
"""Thousand million multiply-adds for a megapixel of both dates by network, in tiles of 256 pixels,
in the form that is run (:func:`hanet.models.fusion.fuse`). Attention along whole rows and columns
makes it more in larger tiles: 5 % for ``hanet_lite`` at 512. ``tests/weights/test_workload.py``
counts them anew."""

DEFAULT_WIDTH = {"hanet": 40, "hanet_lite": 64}
"""Width that is counted, of the networks that have one; experiments and weights may name it, though
it is the default."""

FAST, MEDIUM = 40.0, 100.0
"""GMAC per megapixel under which a network is called fast, or medium; any other is slow."""


def gmac_per_megapixel(metadata: Metadata) -> float | None:
    """Work of weights; None where the network is not ours, or of another width than it has by
    default.

    Bands and the kind of a head are next to nothing of it.
    """
    default = DEFAULT_WIDTH.get(metadata.model)
    if metadata.model_arguments.get("width", default) != default:
        return None
    return GMAC_PER_MEGAPIXEL.get(metadata.model)


def speed_class(metadata: Metadata) -> Literal["fast", "medium", "slow"] | None:
    """In a word; None where the work is not known."""
    work = gmac_per_megapixel(metadata)
    if work is None:
        return None
    return "fast" if work < FAST else "medium" if work < MEDIUM else "slow"
