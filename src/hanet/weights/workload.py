"""How much work weights are: multiply-adds for a megapixel of a pair, and the speed class that
follows from it.

Counted, not timed, so that it holds for any machine; what one machine takes is measured by ``hanet
bench detect``.
"""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from hanet.metadata import Metadata

if TYPE_CHECKING:
    from hanet.models import ChangeModel

OF_OLD_FILES = {
    "hanet": 228.0,
    "hanet_lite": 23.5,
    "fc_ef": 47.2,
    "fc_siam_conc": 73.7,
    "fc_siam_diff": 64.5,
}
"""Work by network, for files that do not store it: ``gmac_per_megapixel`` of the network's
class."""

WIDTH_OF_OLD_FILES = {"hanet": 40, "hanet_lite": 64}
"""Width that :data:`OF_OLD_FILES` holds for, of the networks that have one."""

FAST, MEDIUM = 40.0, 100.0
"""GMAC per megapixel under which weights are called fast, or medium; any other are slow."""


def of_network(metadata: Metadata, model: ChangeModel) -> Metadata:
    """The metadata with what only the network knows: its name, divisor, smallest size and work.

    The work is left out where the network has another width than its class counts; bands and the
    kind of a head hardly change it.
    """
    default = inspect.signature(type(model)).parameters.get("width")
    width = metadata.model_arguments.get("width")
    counted = width is None or (default is not None and width == default.default)
    return replace(
        metadata,
        model=model.name,
        divisor=model.divisor,
        smallest_px=model.min_size_px,
        gmac_per_megapixel=model.gmac_per_megapixel if counted else None,
    )


def gmac_per_megapixel(metadata: Metadata) -> float | None:
    """Work of weights; None where it is not known."""
    if metadata.smallest_px is not None:  # the file was written since both are stored
        return metadata.gmac_per_megapixel
    counted = WIDTH_OF_OLD_FILES.get(metadata.model)
    if metadata.model_arguments.get("width", counted) != counted:
        return None
    return OF_OLD_FILES.get(metadata.model)


def speed_class(metadata: Metadata) -> Literal["fast", "medium", "slow"] | None:
    """In a word; None where the work is not known."""
    work = gmac_per_megapixel(metadata)
    if work is None:
        return None
    return "fast" if work < FAST else "medium" if work < MEDIUM else "slow"
