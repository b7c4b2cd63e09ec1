"""Makes docs/images/qgis-detect.png: the dialog of Detect changes as QGIS itself draws it.

Run by QGIS's own Python, after `make demo`:
QT_QPA_PLATFORM=offscreen /usr/bin/python3 docs/scripts/qgis_picture.py
"""

from __future__ import annotations

import os
import sys
import unittest.mock
from pathlib import Path

import qgis.utils
from qgis.core import QgsApplication, QgsProcessingContext, QgsProject, QgsRasterLayer
from qgis.gui import QgsBrowserGuiModel, QgsMessageBar

ROOT = Path(__file__).resolve().parents[2]
SIZE = 920, 780

sys.path.insert(0, "/usr/share/qgis/python/plugins")
sys.path.insert(0, str(ROOT / "qgis"))


def draw(path: Path) -> None:
    """Opens the dialog with the demo's pair and writes what it shows."""
    sys.modules["mock"] = unittest.mock  # what QGIS's stand-in for its windows wants
    from qgis.testing.mocked import get_iface

    windows = qgis.utils.iface = get_iface()
    model, bar = QgsBrowserGuiModel(), QgsMessageBar()
    windows.browserModel, windows.messageBar = lambda: model, lambda: bar
    windows.activeLayer = lambda: None
    import hanet_qgis
    from processing.core.Processing import Processing
    from processing.gui.AlgorithmDialog import AlgorithmDialog

    Processing.initialize()
    plugin = hanet_qgis.classFactory(windows)
    plugin.initProcessing()
    project, context = QgsProject.instance(), QgsProcessingContext()
    context.setProject(project)
    dialog = AlgorithmDialog(
        QgsApplication.processingRegistry().createAlgorithmById("hanet:detect")
    )
    for name in ("before", "after"):
        layer = QgsRasterLayer(str(ROOT / "demo" / "scene" / f"{name}.tif"), name)
        assert layer.isValid(), "make demo comes first"
        project.addMapLayer(layer)
        dialog.mainWidget().wrappers[name.upper()].setParameterValue(layer.id(), context)
    dialog.resize(*SIZE)
    dialog.show()
    for _ in range(10):
        QgsApplication.processEvents()
    dialog.grab().save(str(path))


if __name__ == "__main__":
    application = QgsApplication([], True)
    application.initQgis()
    draw(ROOT / "docs" / "images" / "qgis-detect.png")
    sys.stdout.flush()
    os._exit(0)  # QGIS's parts do not agree on the order of their end
