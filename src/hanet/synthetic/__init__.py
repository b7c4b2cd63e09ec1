"""Rendered pairs of scenes with true changes, as GeoTIFF of any size, for demo and tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hanet.lazy_names import lazy_names

if TYPE_CHECKING:
    from hanet.synthetic.scene import render_scene

__all__ = ["render_scene"]

__getattr__, __dir__ = lazy_names(__name__, {"render_scene": "scene"})
