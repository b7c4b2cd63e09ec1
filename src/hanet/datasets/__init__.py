"""Published data sets: what is known of them, preparing, checking and reading them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hanet.lazy_names import lazy_names

if TYPE_CHECKING:
    from hanet.datasets.layout import list_pairs
    from hanet.datasets.preparation import prepare
    from hanet.datasets.published import KNOWN_DATASETS
    from hanet.datasets.torch_datasets import CropDataset, Sample, TileDataset

__all__ = ["KNOWN_DATASETS", "CropDataset", "Sample", "TileDataset", "list_pairs", "prepare"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "CropDataset": "torch_datasets",
        "KNOWN_DATASETS": "published",
        "Sample": "torch_datasets",
        "TileDataset": "torch_datasets",
        "list_pairs": "layout",
        "prepare": "preparation",
    },
)
