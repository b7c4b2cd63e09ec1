"""A teacher: finished weights whose probability of change is a second target beside the labels
(knowledge distillation).

Labels are hard, and often wrong by a pixel or two along the outlines of buildings, where networks
get most of their wrong pixels. A teacher's probability is soft there. It sees each batch turned or
flipped at random, so that over the steps its target is the mean over eight views, which is better
than any one of them.

Source: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015; the temperature
is the teacher's own.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from hanet.errors import WeightsError
from hanet.files import file_hash
from hanet.models import ChangeModel
from hanet.models.normalisation import Normalisation, channels_last
from hanet.training.augmentation import Batch
from hanet.weights.weights_file import load_weights


class Teacher:
    """Weights that are not trained any more; any network with the student's bands.

    Args:
        weights: A ``.safetensors`` file.
        bands: Bands of the student's images.

    Attributes:
        sha256: Of the file.

    Raises:
        WeightsError: The file is missing, corrupt, or takes another number of bands.
    """

    def __init__(self, weights: Path, *, bands: int) -> None:
        network, metadata = load_weights(weights)
        self.sha256 = file_hash(weights)
        if network.bands != bands:
            raise WeightsError(
                f"the teacher {weights} takes {network.bands} bands, the network that it teaches "
                f"{bands}"
            )
        self._network: ChangeModel = network.requires_grad_(False).to(
            memory_format=torch.channels_last
        )  # type: ignore[call-overload]
        self._temperature = metadata.temperature
        self._normalisation = Normalisation(metadata)

    @torch.no_grad()
    def probability(
        self, batch: Batch, generator: Generator
    ) -> Tensor:  # images in 0-1 -> (B, H, W)
        """Probability of change of a batch, seen in one of the eight views that turns and flips
        give, drawn for the whole batch."""
        view = int(torch.randint(8, (1,), generator=generator))
        turns, flipped = view % 4, view >= 4

        def seen(image: Tensor) -> Tensor:
            image = torch.rot90(image, turns, (-2, -1))
            return image.flip(-1) if flipped else image

        device = batch.before.device
        self._network.to(device)
        normalised = self._normalisation.to(device)(batch.before, batch.after)
        images = channels_last(*(seen(image) for image in normalised))
        logits: Tensor = self._network(*images).float() / self._temperature
        probability = logits.softmax(dim=1)[:, 1]
        return torch.rot90(probability.flip(-1) if flipped else probability, -turns, (-2, -1))


def distance_to_teacher(logits: Tensor, probability: Tensor, heard: Tensor) -> Tensor:
    """Mean cross-entropy to the teacher's probability over the pixels where it is heard; 0 where it
    is heard nowhere.

    Args:
        logits: Of the student, (B, 2, H, W).
        probability: Of the teacher, (B, H, W).
        heard: Boolean (B, H, W).
    """
    unchanged, changed = F.log_softmax(logits.float(), dim=1).unbind(dim=1)
    entropy = probability * changed + (1.0 - probability) * unchanged
    return -(entropy * heard).sum() / heard.sum().clamp(min=1)
