"""Opens a result of ``hanet detect`` in QGIS and says in JSON what an analyst would see; run by
QGIS's own Python, see test_in_qgis.py.

python3 open_in_qgis.py RESULT BACKGROUND
"""

import json
import sys
from pathlib import Path
from typing import Any

from qgis.core import (
    QgsApplication,
    QgsMapRendererParallelJob,
    QgsMapSettings,
    QgsProviderRegistry,
    QgsRasterLayer,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QSize


def describe(folder: Path, background: Path) -> dict[str, Any]:
    """Layers, styles and colours at the middle of the largest footprint; the pictures go into the
    folder."""
    store = str(folder / "footprints.gpkg")
    footprints = QgsVectorLayer(store, "footprints", "ogr")
    rasters = {
        name: QgsRasterLayer(str(folder / f"{name}.tif"), name) for name in ("probability", "mask")
    }
    image = QgsRasterLayer(str(background), "after")
    ramp = rasters["probability"].renderer().shader().rasterShaderFunction().colorRampItemList()
    found: dict[str, Any] = {
        "sublayers": [
            layer.name() for layer in QgsProviderRegistry.instance().querySublayers(store)
        ],
        "valid": [layer.isValid() for layer in (footprints, *rasters.values(), image)],
        "crs": sorted({layer.crs().authid() for layer in (footprints, *rasters.values(), image)}),
        "renderers": [layer.renderer().type() for layer in (footprints, *rasters.values())],
        "footprints": footprints.featureCount(),
        "classes": [
            [part.label(), part.symbol().color().name()] for part in footprints.renderer().ranges()
        ],
        "ramp": [[item.value, item.color.name(), item.color.alpha()] for item in ramp],
    }
    largest = max(footprints.getFeatures(), key=lambda feature: feature.geometry().area())
    inside = largest.geometry().pointOnSurface().asPoint()
    layers = {"image": [image], "footprints": [footprints, image]} | {
        name: [layer, image] for name, layer in rasters.items()
    }
    settings = QgsMapSettings()
    settings.setOutputSize(QSize(512, 512))
    settings.setExtent(image.extent())
    settings.setDestinationCrs(image.crs())
    for name, shown in layers.items():
        settings.setLayers(shown)
        job = QgsMapRendererParallelJob(settings)
        job.start()
        job.waitForFinished()
        picture = job.renderedImage()
        picture.save(str(folder / f"qgis-{name}.png"))
        at = settings.mapToPixel().transform(inside)
        found[f"colour of {name}"] = picture.pixelColor(int(at.x()), int(at.y())).getRgb()[:3]
    return found


if __name__ == "__main__":
    application = QgsApplication([], False)
    application.initQgis()
    print(json.dumps(describe(Path(sys.argv[1]), Path(sys.argv[2]))))
