"""Scores of a network on a validation split while it trains: counts over the whole split, shared
between the ranks."""

from __future__ import annotations

import torch
import torch.distributed

from hanet.datasets.torch_datasets import TileDataset
from hanet.evaluation.metrics import Counts
from hanet.metadata import Metadata
from hanet.models import ChangeModel
from hanet.models.normalisation import Normalisation
from hanet.training.learned import Learned, logits_of
from hanet.types import IGNORED


@torch.inference_mode()
def validate(
    network: ChangeModel,
    tiles: TileDataset,
    metadata: Metadata,
    *,
    batch: int,
    learns: Learned = "change",
    rank: int = 0,
    ranks: int = 1,
) -> Counts:
    """Counts at threshold 0.5, each pixel once and ignored ones never; every rank takes each
    ``ranks``-th tile, and all get the sum.

    Args:
        network: Put into evaluation mode for the time of the call.
        tiles: The validation split, all tiles of one size, with the edges "pad": what is filled
            does not count, as in ``hanet evaluate``.
        metadata: Scale and per-date statistics.
        batch: Tiles a forward pass.
        learns: ``"direction"`` counts "built" among changed pixels over both orders of the dates:
            the second gives the negative of the first, so that it needs no look of its own.
        rank: This process.
        ranks: Processes.
    """
    device = next(network.parameters()).device
    normalisation = Normalisation(metadata).to(device)
    in_training = [module for module in network.modules() if module.training]
    network.eval()
    total = torch.zeros(4, dtype=torch.int64, device=device)
    mine = range(rank, len(tiles), ranks)
    for start in range(0, len(mine), batch):
        indices = mine[start : start + batch]
        samples = [tiles[index] for index in indices]
        before, after = (
            torch.stack([sample[date] for sample in samples]).to(device)
            for date in ("before", "after")
        )
        label = torch.stack([sample["change"] for sample in samples]).to(device)
        counted = torch.zeros_like(label, dtype=torch.bool)
        for image, index in zip(counted, indices, strict=True):
            height, width = tiles.valid_size(index)
            image[:height, :width] = True
        logits = logits_of(network, *normalisation.of_raw(before, after), learns=learns)
        counted &= label != IGNORED
        predicted, change = (logits[:, 1] > logits[:, 0]) & counted, (label == 1) & counted
        tp = (predicted & change).sum()
        fp, fn = predicted.sum() - tp, change.sum() - tp
        total += torch.stack([tp, fp, fn, counted.sum() - tp - fp - fn])
    for module in in_training:  # one by one: of a network that learns in part, not all were
        module.training = True
    if ranks > 1:
        torch.distributed.all_reduce(total)
    if learns == "direction":
        total = total + total.flip(0)
    return Counts(*total.tolist())
