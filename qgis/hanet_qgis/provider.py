# SPDX-License-Identifier: GPL-2.0-or-later
"""The provider: its algorithms, and its setting in Options > Processing > Providers."""

from __future__ import annotations

from pathlib import Path

from processing.core.ProcessingConfig import ProcessingConfig, Setting
from qgis.core import QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from .algorithms.check_installation import CheckInstallation
from .algorithms.check_pair import CheckPair
from .algorithms.deliver import Deliver
from .algorithms.detect import Detect
from .algorithms.footprints import Footprints
from .command import SETTING

ICON = str(Path(__file__).with_name("icon.svg"))


class HanetProvider(QgsProcessingProvider):
    """The algorithms under ``hanet`` in the toolbox."""

    def load(self) -> bool:
        """Adds the setting; called when the provider comes."""
        ProcessingConfig.settingIcons[self.name()] = self.icon()
        description = "Path of the hanet command (empty: the one on PATH)"
        ProcessingConfig.addSetting(
            Setting(self.name(), SETTING, description, "", valuetype=Setting.FILE)
        )
        ProcessingConfig.readSettings()
        self.refreshAlgorithms()
        return True

    def unload(self) -> None:
        """Removes the setting."""
        ProcessingConfig.removeSetting(SETTING)

    def loadAlgorithms(self) -> None:
        """The algorithms, in the order of the work."""
        for algorithm in (CheckInstallation, CheckPair, Detect, Footprints, Deliver):
            self.addAlgorithm(algorithm())

    def id(self) -> str:
        """As scripts name it: ``hanet:detect``."""
        return "hanet"

    def name(self) -> str:
        """As the toolbox names it."""
        return "hanet"

    def longName(self) -> str:
        """As lists of providers name it."""
        return "hanet: changed buildings in very-high-resolution images"

    def icon(self) -> QIcon:
        """Two dates, and a building that stands at one of them."""
        return QIcon(ICON)

    def svgIconPath(self) -> str:
        """The same as a file."""
        return ICON
