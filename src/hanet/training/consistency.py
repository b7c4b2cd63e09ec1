"""Weak-to-strong consistency: pairs without labels teach by what an averaged network is sure of.

The teacher, the moving average of the weights, sees a weak view of each pair. Where it is sure, its
class is the pseudo label of strong views of the same pair, from which the network learns by
cross-entropy; elsewhere the pseudo label is IGNORED.

Sources: FixMatch (Sohn et al., NeurIPS 2020): one strong view, threshold 0.95, the loss divided by
all pixels, sure or not; UniMatch (Yang et al., CVPR 2023): two strong views of one weak view.
What differs: there the network itself makes the pseudo labels, here its moving average (Tarvainen
and Valpola, NeurIPS 2017). UniMatch's third part, features dropped between encoder and decoder, is
left out: our networks share no such place.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from hanet.models import ChangeModel
from hanet.models.normalisation import Normalisation, channels_last
from hanet.training.augmentation import Batch, quarter_turns_and_flips
from hanet.training.experiment import Experiment
from hanet.training.losses import cross_entropy
from hanet.training.strong_views import STRONG_VIEWS
from hanet.types import IGNORED


class Consistency:
    """What pairs without labels are made into.

    Args:
        experiment: Names confidence, strong views and their number.
        teacher: Gives the averaged network, which is in evaluation mode; asked at each step.
    """

    def __init__(self, experiment: Experiment, teacher: Callable[[], ChangeModel]) -> None:
        self._teacher, self._confidence = teacher, experiment.confidence
        self._strong = STRONG_VIEWS[experiment.unlabelled_strong]
        self._count = experiment.unlabelled_views

    @torch.no_grad()
    def views(self, pairs: Batch, normalisation: Normalisation, generator: Generator) -> Batch:
        """Strong views of pairs, with pseudo labels in place of the change.

        Args:
            pairs: Images in 0-1, square tiles; their change is not looked at.
            normalisation: Of the network and its teacher.
            generator: For the weak view, one turn and flip for both dates, and the strong ones.

        Returns:
            The views of all pairs behind one another, as many times as the experiment says.
        """
        weak = quarter_turns_and_flips(pairs, generator)
        images = channels_last(*normalisation(weak.before, weak.after))
        logits: Tensor = self._teacher()(*images)
        label = pseudo_label(logits, confidence=self._confidence)
        seen = Batch(weak.before, weak.after, label)
        with torch.autocast(label.device.type, enabled=False):
            views = [self._strong(seen, generator) for _ in range(self._count)]
        return Batch(*(torch.cat(parts) for parts in zip(*views, strict=True)))


def pseudo_label(logits: Tensor, *, confidence: float) -> Tensor:
    """The likelier class where its probability reaches ``confidence``, else IGNORED.

    Args:
        logits: Of the teacher, (B, 2, H, W).
        confidence: In 0.5-1; 0.5 takes every pixel.

    Returns:
        (B, H, W), int64, of 0, 1 and IGNORED.
    """
    likelihood, label = logits.float().softmax(dim=1).max(dim=1)
    return label.where(likelihood >= confidence, IGNORED)


def consistency_loss(logits: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy to a pseudo label, summed where it is not IGNORED and divided by all pixels;
    and the share of pixels that are not.

    The fewer pixels the teacher is sure of, the less they count, as in both sources.

    Args:
        logits: (B, 2, H, W).
        label: What :func:`pseudo_label` gives.
    """
    share = (label != IGNORED).float().mean()
    return cross_entropy(logits, label) * share, share
