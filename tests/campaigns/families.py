"""All kinds of input, of every family."""

from __future__ import annotations

from campaigns import (
    addresses_with_keys,
    catalogues,
    checkpoints,
    data_sets,
    evaluations,
    file_names,
    plans,
    polygons,
    raster_contents,
    reviews,
    run_folders,
    settings_texts,
    tiff_files,
    weights_files,
)
from campaigns.kinds import Kinds

KINDS: Kinds = {
    **tiff_files.KINDS,
    **raster_contents.KINDS,
    **polygons.KINDS,
    **weights_files.KINDS,
    **checkpoints.KINDS,
    **settings_texts.KINDS,
    **file_names.KINDS,
    **addresses_with_keys.KINDS,
    **run_folders.KINDS,
    **data_sets.KINDS,
    **evaluations.KINDS,
    **reviews.KINDS,
    **plans.KINDS,
    **catalogues.KINDS,
}
"""Name to kind; a name says the family and what is done."""
