"""Runs an algorithm of the plugin in QGIS, as the toolbox does, and says in JSON what came of it;
run by QGIS's own Python, see tests/plugin/test_in_qgis.py.

python3 run_in_qgis.py FOLDER_OF_PLUGINS < JOB, where JOB is a JSON object:

    algorithm    name of the algorithm: hanet:detect
    parameters   of the algorithm; {"raster": SOURCE}, {"wms": SOURCE} and {"vector": SOURCE} are
                 layers of the project, with "crs" one that the user gave them, with "select" the
                 selected features only
    command      the setting of the path of hanet; none if it is left out
    cancel       text in the log upon which the user stops it
    dirty        whether the vector layer has edits that are not saved
"""

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, "/usr/share/qgis/python/plugins")
sys.path.insert(0, sys.argv[1])

from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsProcessingContext,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingFeedback,
    QgsProject,
    QgsRasterLayer,
    QgsSettings,
    QgsVectorLayer,
)


class Log(QgsProcessingFeedback):
    """Remembers what is said, and stops at a word."""

    def __init__(self, word: str) -> None:
        super().__init__(False)
        self.lines: list[list[str]] = []
        self.shares: list[float] = []
        self._word = word
        self.progressChanged.connect(self.shares.append)

    def _keep(self, kind: str, text: str) -> None:
        self.lines.append([kind, text])
        if self._word and self._word in text:
            self.cancel()

    def setProgressText(self, text: str) -> None:  # noqa: N802 - QGIS's name
        self._keep("stage", text)

    def reportError(self, error: str, fatalError: bool = False) -> None:  # noqa: N802, N803, ARG002
        self._keep("error", error)

    def pushWarning(self, warning: str) -> None:  # noqa: N802
        self._keep("warning", warning)

    def pushInfo(self, info: str) -> None:  # noqa: N802
        self._keep("info", info)

    def pushCommandInfo(self, info: str) -> None:  # noqa: N802
        self._keep("command", info)

    def pushConsoleInfo(self, info: str) -> None:  # noqa: N802
        self._keep("console", info)


def run(job: dict[str, Any]) -> dict[str, Any]:
    """The algorithm's outputs, its log, and the layers that it brings into the project."""
    from processing.core.Processing import Processing
    from processing.gui.Postprocessing import handleAlgorithmResults

    Processing.initialize()
    import hanet_qgis

    plugin = hanet_qgis.classFactory(None)
    plugin.initProcessing()
    if "command" in job:
        QgsSettings().setValue("Processing/Configuration/HANET_COMMAND", job["command"])
    algorithm = QgsApplication.processingRegistry().createAlgorithmById(job["algorithm"])
    project = QgsProject.instance()
    parameters = {name: _value(value, project) for name, value in job["parameters"].items()}
    if job.get("dirty"):
        for layer in project.mapLayers().values():
            if isinstance(layer, QgsVectorLayer):
                layer.startEditing()
                layer.deleteFeature(next(layer.getFeatures()).id())
    context, log = QgsProcessingContext(), Log(job.get("cancel", ""))
    context.setProject(project)
    context.setFeedback(log)
    before = set(project.mapLayers())
    allowed, reason = algorithm.checkParameterValues(parameters, context)
    outputs, ok = algorithm.run(parameters, context, log) if allowed else ({}, False)
    if ok:
        handleAlgorithmResults(algorithm, context, log)
    root = project.layerTreeRoot()
    return {
        "ok": ok,
        "reason": reason,
        "outputs": outputs,
        "log": log.lines,
        "shares": log.shares,
        "canceled": log.isCanceled(),
        "layers": {
            root.findLayer(layer.id()).name(): {
                "renderer": layer.renderer().type(),
                "shown": root.findLayer(layer.id()).isVisible(),
                "valid": layer.isValid(),
                "count": layer.featureCount() if isinstance(layer, QgsVectorLayer) else None,
            }
            for layer in root.layerOrder()
            if layer.id() not in before
        },
        "algorithms": sorted(one.id() for one in plugin.provider.algorithms()),
        "helped": all(
            definition.help()
            for one in plugin.provider.algorithms()
            for definition in one.parameterDefinitions()
        ),
    }


def _value(value: Any, project: QgsProject) -> Any:
    if not isinstance(value, dict):
        return value
    if "vector" in value:
        layer: Any = QgsVectorLayer(value["vector"], "polygons", "ogr")
    elif "wms" in value:
        layer = QgsRasterLayer(value["wms"], "a service", "wms")
    else:
        layer = QgsRasterLayer(value["raster"], Path(value["raster"]).stem)
    if "crs" in value:
        layer.setCrs(QgsCoordinateReferenceSystem(value["crs"]))
    project.addMapLayer(layer)
    if "select" in value:
        layer.selectByIds(value["select"])
        return QgsProcessingFeatureSourceDefinition(layer.id(), True)
    return layer.id()


if __name__ == "__main__":
    application = QgsApplication([], False)
    application.initQgis()
    print(json.dumps(run(json.load(sys.stdin))))
