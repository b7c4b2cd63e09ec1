"""What the QGIS plugin Deepness reads from an ONNX file, so that a user need not fill in its form.

Keys and units as its documentation ("Adding metadata to ONNX model") and its model_base.py (PUTvision/qgis-plugin-deepness) have them:
every value is JSON. The plugin feeds one raster, eight bits a band divided by 255, in square tiles of the size of the graph's input.
"""

from __future__ import annotations

import json

from hanet.metadata import Metadata


def deepness_properties(metadata: Metadata, *, size_px: int) -> dict[str, str]:
    """Metadata properties of a single-input file.

    Args:
        metadata: What travels with the weights.
        size_px: Height and width of the graph's input.
    """
    overlap = round(100 * metadata.overlap_px / metadata.tile_px)
    return {
        key: json.dumps(value)
        for key, value in {
            "model_type": "Segmentor",
            "class_names": {0: "unchanged", 1: "changed"},
            "resolution": 100 * metadata.gsd_m,  # centimetres a pixel
            "tile_size": size_px,  # what the plugin's code reads
            "tiles_size": size_px,  # what its documentation says
            "tiles_overlap": overlap,  # per cent
            "seg_thresh": metadata.threshold,
            "seg_small_segment": 0,
        }.items()
    }
