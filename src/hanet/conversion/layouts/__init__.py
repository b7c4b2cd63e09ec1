"""Which tensor of a released checkpoint belongs where in ours: one file a network.

Names and sizes are facts of the authors' files; the networks that hold them are in
``hanet.models``.
"""

from __future__ import annotations

from hanet.conversion.layouts import bit, changeformer, hanet, snunet, stanet, tinycd

LAYOUTS = (
    *hanet.LAYOUTS,
    snunet.LAYOUT,
    bit.LAYOUT,
    changeformer.LAYOUT,
    tinycd.LAYOUT,
    *stanet.LAYOUTS,
)
"""All layouts."""
