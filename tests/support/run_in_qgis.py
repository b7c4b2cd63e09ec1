"""Runs algorithms of the plugin in QGIS, as the toolbox does, and says in JSON what came of them;
run by QGIS's own Python, see tests/plugin/test_in_qgis.py.

python3 run_in_qgis.py FOLDER_OF_PLUGINS, then a JOB on each line of stdin, a JSON object. Each runs
in a QGIS of its own: a child of this process, which has imported QGIS and started none. When it has
ended, its exit code is a line of stdout. A JOB:

    algorithm    name of the algorithm: hanet:detect
    parameters   of the algorithm; {"raster": SOURCE}, {"wms": SOURCE} and {"vector": SOURCE} are
                 layers of the project, with "crs" one that the user gave them, with "select" the
                 selected features only
    command      the setting of the path of hanet; none if it is left out
    cancel       text in the log upon which the user stops it
    dirty        whether the vector layer has edits that are not saved
    environment  all variables of the process
    answer       file for what came of it; beside it, with .log, what QGIS writes to stderr
"""

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

sys.path.insert(0, "/usr/share/qgis/python/plugins")
sys.path.insert(0, sys.argv[1])

from processing.core.Processing import Processing
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


def child(job: dict[str, Any]) -> None:
    """A QGIS for one job; never returns."""
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        log = os.open(f"{job['answer']}.log", os.O_WRONLY | os.O_CREAT)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ.clear()
        os.environ.update(job["environment"])
        application = QgsApplication([], False)
        application.initQgis()
        Path(job["answer"]).write_text(json.dumps(run(job)))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            child(json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
