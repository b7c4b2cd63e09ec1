# SPDX-License-Identifier: GPL-2.0-or-later
"""The plugin as QGIS holds it: it brings the provider and takes it away again."""

from __future__ import annotations

from qgis.core import QgsApplication

from .provider import HanetProvider


class HanetPlugin:
    """Adds the provider to Processing.

    Args:
        iface: QGIS's windows; None in qgis_process, which has none.
    """

    def __init__(self, iface) -> None:
        self.iface = iface
        self.provider = None

    def initProcessing(self) -> None:
        """Called alone by qgis_process."""
        self.provider = HanetProvider()
        QgsApplication.processingRegistry().addProvider(self.provider)

    def initGui(self) -> None:
        """Called by QGIS with windows."""
        self.initProcessing()

    def unload(self) -> None:
        """Called when the plugin is switched off."""
        if self.provider is not None:
            QgsApplication.processingRegistry().removeProvider(self.provider)
            self.provider = None
