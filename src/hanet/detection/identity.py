"""What decides the bytes of a result: inputs, weights, settings and grid."""

from __future__ import annotations

from hanet.detection.loading import LoadedWeights
from hanet.detection.settings import DetectionSettings
from hanet.files import file_hash
from hanet.imagery.fingerprint import fingerprint, raster_fingerprint
from hanet.imagery.gdal import reading
from hanet.imagery.pair import RasterPair
from hanet.types import Json


def identity_of(pair: RasterPair, loaded: LoadedWeights, settings: DetectionSettings) -> Json:
    """What decides the bytes of a result; ``--resume`` continues a run of the same only.

    Args:
        pair: Both dates.
        loaded: The weights, with the tiles that are right for the pair.
        settings: What the user chose.
    """
    identity: Json = {"weights": file_hash(loaded.weights), **inputs_identity(pair)}
    if loaded.scout is not None:
        identity["scout"] = file_hash(loaded.scout)
    if settings.aoi is not None:
        identity["aoi"] = aoi_identity(str(settings.aoi))
    return {
        **identity,
        "settings": settings.identity(),
        "grid": pair.grid.to_json(),
        "tiles": {"tile_px": loaded.tile_px, "overlap_px": loaded.overlap_px},
    }


def inputs_identity(pair: RasterPair) -> Json:
    """The part that both rasters decide."""
    identity: Json = {}
    for date, source in (("before", pair.before), ("after", pair.after)):
        with reading(source.name):
            identity[date] = raster_fingerprint(source)
    return identity


def aoi_identity(aoi: str) -> Json:
    """The part that the file of the area of interest decides."""
    with reading(aoi):
        return fingerprint(aoi)
