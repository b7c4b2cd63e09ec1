"""The LightningModule: one step of training."""

from __future__ import annotations

import math
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from hanet.datasets.torch_datasets import Sample
from hanet.errors import TrainingError
from hanet.metadata import Metadata
from hanet.models import ChangeModel
from hanet.models.normalisation import Normalisation, channels_last
from hanet.training.augmentation import AUGMENTATIONS, Batch
from hanet.training.consistency import Consistency, consistency_loss
from hanet.training.experiment import Experiment
from hanet.training.freezing import enter_training
from hanet.training.learned import logits_of, only_direction_learns
from hanet.training.losses import LOSSES
from hanet.training.optimisation import build_optimiser, rate_factor
from hanet.training.teacher import Teacher, distance_to_teacher
from hanet.types import IGNORED


class TrainingModule(pl.LightningModule):
    """Trains a network by an experiment.

    Each step is a pure function of the weights, the experiment and the iteration: augmentation and
    dropout are seeded by the iteration and the rank, so that a run which was killed ends with the
    same weights as one that was not.

    Args:
        experiment: What to do.
        network: In channels-last memory format.
        metadata: Scale and per-date statistics, for normalisation.
        iterations: Length of the run.
        names: Name of each training item, for error messages.
        teacher: Whose probability is a second target; the labels are the only one if None.
        consistency: What pairs without labels are made into; None where there are none.

    Attributes:
        last_figures: Of the last step of this process: its loss and, with consistency, the loss of
            that and the share of pixels with a pseudo label.
    """

    def __init__(
        self,
        experiment: Experiment,
        network: ChangeModel,
        metadata: Metadata,
        *,
        iterations: int,
        names: list[str],
        teacher: Teacher | None = None,
        consistency: Consistency | None = None,
    ) -> None:
        super().__init__()
        self.experiment, self.network, self.teacher = experiment, network, teacher
        self.consistency = consistency
        self.iterations, self.names = iterations, names
        self.epoch_number = 1
        self.last_figures = {"loss": float("nan")}
        self._trouble = ""
        self._loss, self._augment = LOSSES[experiment.loss], AUGMENTATIONS[experiment.augmentation]
        self.normalisation = Normalisation(metadata)
        self.train()

    way_out = (
        "checkpoint and weights in --out are from before; the same run would end here again: "
        "start one in another folder with a lower "
        "learning_rate, a clip_norm or precision fp32, from these weights by start_from if they "
        "are worth it"
    )
    """What to do about numbers that are not finite."""

    def train(self, mode: bool = True) -> TrainingModule:
        """Training mode for what learns; what does not stays in evaluation mode."""
        super().train(mode)
        if mode:
            enter_training(
                self.network,
                self.experiment.trainable,
                frozen_statistics=self.experiment.frozen_statistics,
            )
        return self

    def training_step(self, sample: Sample, batch_number: int) -> Tensor:  # noqa: ARG002 - Lightning's signature
        """The loss of this process's part of a batch.

        One that is not finite makes every gradient NaN, in all processes, so that they all stop at
        :meth:`on_before_optimizer_step`; a process that stopped here by itself would leave the
        others waiting.
        """
        if self.experiment.learns == "direction":
            only_direction_learns(self.network)
        generator = self._seed_step()
        given = Batch(
            self.normalisation.scaled(sample["before"]),
            self.normalisation.scaled(sample["after"]),
            sample["change"].long(),
        )
        labelled, unlabelled = self._by_label(given)
        with torch.autocast(
            self.device.type, enabled=False
        ):  # mixed precision is the network's alone
            batch = self._augment(labelled, generator)
        seen = batch
        if self.consistency is not None:
            views = self.consistency.views(unlabelled, self.normalisation, generator)
            # one pass for both: batch normalisation sees them together, as in FixMatch
            seen = Batch(*(torch.cat(parts) for parts in zip(batch, views, strict=True)))
        images = channels_last(*self.normalisation(seen.before, seen.after))
        logits = logits_of(self.network, *images, learns=self.experiment.learns)
        of_labelled = logits[: len(batch.change)]
        loss = self._loss(of_labelled, batch.change)
        if self.teacher is not None:
            share = self.experiment.teacher_share
            taught = self._distance(self.teacher, of_labelled, batch, generator)
            loss = (1.0 - share) * loss + share * taught
        figures: dict[str, Tensor] = {}
        if self.consistency is not None:
            distance, confident = consistency_loss(logits[len(batch.change) :], views.change)
            loss = loss + self.experiment.unlabelled_weight * distance
            figures = {"consistency_loss": distance, "confident_share": confident}
        figures = {"loss": loss, **figures}
        self.last_figures = {name: float(value.detach()) for name, value in figures.items()}
        if not math.isfinite(self.last_figures["loss"]):
            tiles = ", ".join(self.names[int(index)] for index in torch.as_tensor(sample["index"]))
            self._trouble = f"the loss is {self.last_figures['loss']} on the tiles {tiles}"
            loss = loss * float("nan")
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clips the gradients where the experiment says so, and stops before one that is not finite
        reaches the weights.

        Raises:
            TrainingError: Names the iteration, the rate, and the tiles where it is the loss.
        """
        limit = self.experiment.clip_norm or float("inf")
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(parameters, limit)
        if not torch.isfinite(norm):
            self._refuse(optimizer, f"the norm of the gradients is {float(norm)}")

    def on_train_batch_start(self, sample: Sample, batch_number: int) -> None:  # noqa: ARG002 - Lightning's signature
        """Sets this iteration's learning rates."""
        factor = rate_factor(
            self.experiment,
            iteration=self.global_step,
            iterations=self.iterations,
            epoch=self.epoch_number,
        )
        optimiser = self.optimizers(use_pl_optimizer=False)
        for group in optimiser.param_groups:  # type: ignore[union-attr]
            group["lr"] = group["initial_lr"] * factor

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The experiment's optimiser, each group remembering its full rate."""
        optimiser = build_optimiser(self.experiment, self.network)
        for group in optimiser.param_groups:
            group["initial_lr"] = group["lr"]
        return optimiser

    def _by_label(self, given: Batch) -> tuple[Batch, Batch]:
        """The pairs with labels, which come first, and those without; each process has its part of
        both."""
        with_label, without = self.experiment.batch, self.experiment.pairs_without_label
        first = len(given.change) * with_label // (with_label + without)
        return Batch(*(part[:first] for part in given)), Batch(*(part[first:] for part in given))

    def _distance(
        self, teacher: Teacher, logits: Tensor, batch: Batch, generator: torch.Generator
    ) -> Tensor:
        """The distance to the teacher, which sees those pairs only where it is heard."""
        heard = (batch.change == IGNORED) == (self.experiment.teacher_pixels == "unknown")
        pairs = heard.flatten(1).any(dim=1)
        if not bool(pairs.any()):
            return logits.sum() * 0.0
        seen = Batch(*(values[pairs] for values in batch))
        target = teacher.probability(seen, generator)
        return distance_to_teacher(logits[pairs], target, heard[pairs])

    def _seed_step(self) -> torch.Generator:
        seed = (self.experiment.seed * 1_000_003 + self.global_step) * 1_009 + self.global_rank
        torch.manual_seed(seed)  # dropout draws from the global generator
        return torch.Generator().manual_seed(seed)

    def _refuse(self, optimizer: torch.optim.Optimizer, what: str) -> None:
        troubles = [self._trouble]
        if self.trainer.world_size > 1:
            theirs: list[Any] = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(theirs, self._trouble)
            troubles = theirs
        rate = max(group["lr"] for group in optimizer.param_groups)
        raise TrainingError(
            f"{'; '.join(filter(None, troubles)) or what}, at iteration {self.global_step + 1} "
            f"(learning rate {rate:.2g})",
            hint=self.way_out,
        )
