"""The exponential moving average of the weights beside the trained ones."""

from __future__ import annotations

import copy
from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed
from pytorch_lightning.callbacks import Callback

from hanet.models import ChangeModel
from hanet.training.module import TrainingModule


class Averaging(Callback):
    """Keeps the exponential moving average of the weights, which is then what is validated and
    saved, in evaluation mode.

    Args:
        decay: Of the average; 0 leaves averaging out.
        teaches: Whether the average makes pseudo labels: all processes then have one average after
            each step, with the batch statistics of the first, which alone is in checkpoints.
    """

    def __init__(self, decay: float, *, teaches: bool = False) -> None:
        self.decay, self.teaches = decay, teaches
        self.average: ChangeModel | None = None

    def teacher(self) -> ChangeModel:
        """The averaged network, which there is while an experiment with averaging trains."""
        assert self.average is not None
        return self.average

    def network_of(self, module: TrainingModule) -> ChangeModel:
        """The averaged network, or the trained one where there is no averaging."""
        return self.average if self.average is not None else module.network

    def on_fit_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Starts the average at the first weights, or takes that of a checkpoint to where the
        network is by now."""
        assert isinstance(module, TrainingModule)
        if self.average is not None:
            self.average = self.average.to(
                module.device
            )  # Lightning reads checkpoints before it moves the network
        elif self.decay:
            self.average = copy.deepcopy(module.network).eval()

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, *args: Any
    ) -> None:
        """Moves the average by one step."""
        assert isinstance(module, TrainingModule)
        if self.average is not None:
            update_average(
                self.average,
                module.network,
                decay=averaging_decay(self.decay, trainer.global_step - 1),
            )
            if self.teaches:
                take_statistics_of_first_process(trainer, self.average)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Puts the average into the checkpoint."""
        if self.average is not None:
            checkpoint["average"] = self.average.state_dict()

    def on_load_checkpoint(
        self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Takes it out again."""
        assert isinstance(module, TrainingModule)
        if "average" in checkpoint:
            self.average = copy.deepcopy(module.network).eval()
            self.average.load_state_dict(checkpoint["average"])


def averaging_decay(decay: float, iteration: int) -> float:
    """Decay of the averaged weights at an iteration (from 0): rises to ``decay``, so that the start
    is forgotten quickly.

    The rise ``(1 + n) / (10 + n)`` is that of TensorFlow's ExponentialMovingAverage.
    """
    return min(decay, (1 + iteration) / (10 + iteration))


@torch.no_grad()
def update_average(average: ChangeModel, network: ChangeModel, *, decay: float) -> None:
    """Moves ``average`` towards ``network``: floating tensors by ``1 - decay``, the others are
    copied."""
    theirs: dict[str, Any] = network.state_dict()
    for name, tensor in average.state_dict().items():
        if tensor.dtype.is_floating_point:
            tensor.lerp_(theirs[name], 1.0 - decay)
        else:
            tensor.copy_(theirs[name])


def take_statistics_of_first_process(trainer: pl.Trainer, network: ChangeModel) -> None:
    """Gives all processes the batch norm statistics of the first one, whose weights are saved, so
    that all validate, and are taught by, one network."""
    if trainer.world_size > 1:
        for buffer in network.buffers():
            torch.distributed.broadcast(buffer, src=0)
