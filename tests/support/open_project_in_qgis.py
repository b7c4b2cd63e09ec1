"""Opens a project in QGIS and says in JSON what an analyst would see; run by QGIS's own Python, see
test_in_qgis.py.

python3 open_project_in_qgis.py CHANGES.qgz FOLDER_FOR_PICTURES
"""

import json
import sys
from pathlib import Path
from typing import Any

from qgis.core import (
    QgsApplication,
    QgsCoordinateTransform,
    QgsExpression,
    QgsExpressionContext,
    QgsExpressionContextUtils,
    QgsMapRendererParallelJob,
    QgsMapSettings,
    QgsProject,
    QgsVectorLayer,
    QgsVectorLayerUtils,
)
from qgis.PyQt.QtCore import QSize

SIDE_PX = 900
"""Longer side of the pictures."""


def describe(path: Path, pictures: Path) -> dict[str, Any]:
    """The project as QGIS understands it, and a picture of each map theme."""
    said: list[str] = []
    QgsApplication.messageLog().messageReceived.connect(
        lambda text, tag, level: said.append(f"{level} {tag}: {text}")
    )
    project = QgsProject.instance()
    found: dict[str, Any] = {"read": project.read(str(path)), "title": project.title()}
    layers = {layer.id().rsplit("_", 1)[0]: layer for layer in project.mapLayers().values()}
    found["crs"], found["ellipsoid"] = project.crs().authid(), project.ellipsoid()
    view = project.viewSettings().defaultViewExtent()
    found["extent"] = [view.xMinimum(), view.yMinimum(), view.xMaximum(), view.yMaximum()]
    root = project.layerTreeRoot()
    found["groups"] = {
        group.name(): [layer.layer().id().rsplit("_", 1)[0] for layer in group.findLayers()]
        for group in root.children()
    }
    found["order"] = [layer.id().rsplit("_", 1)[0] for layer in root.layerOrder()]
    found["shown"] = [
        layer.id().rsplit("_", 1)[0]
        for layer in root.layerOrder()
        if root.findLayer(layer.id()).isVisible()
    ]
    found["layers"] = {
        name: {
            "valid": layer.isValid(),
            "title": layer.name(),
            "source": layer.source(),
            "crs": layer.crs().authid(),
            "renderer": layer.renderer().type() if layer.renderer() else None,
        }
        for name, layer in layers.items()
    }
    found["stretch"] = {
        name: _stretch(layers[name]) for name in ("before", "after") if name in layers
    }
    if layers["footprints"].isValid() and layers["footprints"].featureCount():
        found["form"] = _form(layers["footprints"])
    settings = _settings(project)
    place = _largest(layers.get("footprints"), project)
    found["colours"] = {}
    themes = project.mapThemeCollection()
    for theme in themes.mapThemes():
        settings.setLayers(themes.mapThemeVisibleLayers(theme))
        picture = _drawn(settings)
        picture.save(str(pictures / f"{theme}.png"))
        if place is not None:
            at = settings.mapToPixel().transform(place)
            found["colours"][theme] = picture.pixelColor(int(at.x()), int(at.y())).getRgb()[:3]
    found["said"] = said
    return found


def _stretch(layer: Any) -> list[Any]:
    renderer = layer.renderer()
    if renderer.type() == "singlebandgray":
        parts = [(renderer.grayBand(), renderer.contrastEnhancement())]
    else:
        parts = [
            (renderer.redBand(), renderer.redContrastEnhancement()),
            (renderer.greenBand(), renderer.greenContrastEnhancement()),
            (renderer.blueBand(), renderer.blueContrastEnhancement()),
        ]
    return [
        [
            band,
            part.contrastEnhancementAlgorithm() if part else 0,
            part.minimumValue() if part else None,
            part.maximumValue() if part else None,
        ]
        for band, part in parts
    ] + [renderer.alphaBand()]


def _form(layer: QgsVectorLayer) -> dict[str, Any]:
    """Columns, drop-downs, and what is shown of the first footprint."""
    fields, config = layer.fields(), layer.editFormConfig()
    names = [field.name() for field in fields]
    widgets = {name: layer.editorWidgetSetup(fields.indexOf(name)) for name in names}
    first = min(layer.getFeatures(), key=lambda feature: feature.id())
    context = QgsExpressionContext(QgsExpressionContextUtils.globalProjectLayerScopes(layer))
    context.setFeature(first)
    drawn = QgsVectorLayerUtils.createFeature(layer, first.geometry())
    return {
        "classes": [
            [part.label(), part.symbol().color().name()] for part in layer.renderer().ranges()
        ]
        if layer.renderer().type() == "graduatedSymbol"
        else None,
        "fields": names,
        "aliases": {name: fields.field(name).alias() for name in names},
        "widgets": {name: widget.type() for name, widget in widgets.items()},
        "choices": {
            name: [entry for part in widget.config().get("map", []) for entry in part.items()]
            for name, widget in widgets.items()
            if widget.type() == "ValueMap"
        },
        "multiline": [
            name for name, widget in widgets.items() if widget.config().get("IsMultiline")
        ],
        "read only": [name for name in names if config.readOnly(fields.indexOf(name))],
        "boxes": {box.name(): [part.name() for part in box.children()] for box in config.tabs()},
        "count": layer.featureCount(),
        "display": QgsExpression(layer.displayExpression()).evaluate(context),
        "tip": QgsExpression.replaceExpressionText(layer.mapTipTemplate(), context),
        "first": {name: str(first[name]) for name in names},
        "drawn": {name: str(drawn[name]) for name in ("status", "kind") if name in names},
        "saved": _edit(layer, first.id()),
    }


def _edit(layer: QgsVectorLayer, feature: int) -> list[str]:
    """What the layer holds of a footprint after an analyst has filled the form in."""
    values = {"status": "accepted", "kind": "built", "comment": "seen in <QGIS>"}
    fields = layer.fields()
    if any(fields.indexOf(name) < 0 for name in values):
        return []
    layer.startEditing()
    for name, value in values.items():
        layer.changeAttributeValue(feature, fields.indexOf(name), value)
    if not layer.commitChanges():
        return list(layer.commitErrors())
    return [str(layer.getFeature(feature)[name]) for name in values]


def _largest(layer: Any, project: QgsProject) -> Any:
    """A point in the largest footprint, on the map; None without footprints."""
    shapes = [feature.geometry() for feature in layer.getFeatures()] if layer else []
    if not shapes:
        return None
    inside = max(shapes, key=lambda shape: shape.area()).pointOnSurface().asPoint()
    return QgsCoordinateTransform(layer.crs(), project.crs(), project).transform(inside)


def _settings(project: QgsProject) -> QgsMapSettings:
    """A map of the initial extent."""
    settings = QgsMapSettings()
    extent = project.viewSettings().defaultViewExtent()
    longer = max(extent.width(), extent.height())
    sides = (round(SIDE_PX * side / longer) for side in (extent.width(), extent.height()))
    settings.setOutputSize(QSize(*sides))
    settings.setDestinationCrs(project.crs())
    settings.setTransformContext(project.transformContext())
    settings.setExtent(extent)
    return settings


def _drawn(settings: QgsMapSettings) -> Any:
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    if job.errors():
        raise SystemExit("; ".join(error.message for error in job.errors()))
    return job.renderedImage()


if __name__ == "__main__":
    application = QgsApplication([], False)
    application.initQgis()
    print(json.dumps(describe(Path(sys.argv[1]), Path(sys.argv[2]))))
