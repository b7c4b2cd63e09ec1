"""What GDAL says by itself stays off the terminal, whoever calls it first."""

from __future__ import annotations

import os


def silence() -> None:
    """Keeps GDAL's default handler, which serves threads outside any environment, off the terminal.

    Users who ask GDAL to speak (``CPL_LOG``, ``CPL_DEBUG``) are left what they asked for.
    """
    if "CPL_DEBUG" not in os.environ:
        os.environ.setdefault("CPL_LOG", os.devnull)
