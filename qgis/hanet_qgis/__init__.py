# SPDX-License-Identifier: GPL-2.0-or-later
"""hanet in QGIS: a Processing provider that starts the ``hanet`` command."""

from __future__ import annotations


def classFactory(iface):
    """What QGIS calls to load the plugin."""
    from .plugin import HanetPlugin

    return HanetPlugin(iface)
