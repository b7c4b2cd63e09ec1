"""The version of the package, where every module can read it."""

from __future__ import annotations

__version__ = "0.4.0"
