"""What an experiment starts from: its network with its first weights, and the metadata that will
travel with them."""

from __future__ import annotations

import difflib
import importlib
import logging
from collections.abc import Sequence
from dataclasses import replace

import torch

from hanet.datasets.published import KNOWN_DATASETS, PER_DATE_STATISTICS, Statistics
from hanet.errors import SettingsError, WeightsError, importing
from hanet.metadata import Metadata
from hanet.models import ChangeModel, create
from hanet.models.efficientnet_lite import VARIANTS, fold_imagenet_weights
from hanet.models.hanet_lite import HANetLite
from hanet.training.experiment import NO_FILE, OF_START, Experiment
from hanet.training.freezing import learn_only
from hanet.weights import catalogue
from hanet.weights.weights_file import (
    load_fitting,
    load_state,
    read_safetensors_metadata,
    read_tensors,
)

_LOGGER = logging.getLogger(__name__)


def build_network(experiment: Experiment) -> ChangeModel:
    """The network of an experiment with its first weights, initialised from its seed.

    Raises:
        SettingsError: The model does not take the arguments.
        WeightsError: ``start_from`` names no weights, or some that do not fit.
    """
    torch.manual_seed(experiment.seed)
    network = create(experiment.model, **experiment.model_arguments())
    if experiment.start_from == "imagenet":
        assert isinstance(network, HANetLite)
        network.encoder.load_state_dict(
            fold_imagenet_weights(
                _imagenet_classifier(network.encoder.variant),
                network.encoder.variant,
                bands=network.bands,
            )
        )
    elif experiment.start_from != "nothing":
        tensors = read_tensors(catalogue.resolve(experiment.start_from, suffixes=(".safetensors",)))
        if experiment.start_from_partly:
            left = load_fitting(network, tensors)
            if len(left) == len(network.state_dict()):
                raise WeightsError(
                    f"no tensor of {experiment.start_from} fits {experiment.model}",
                    hint="give weights of the same network, or of its encoder alone",
                )
            _LOGGER.warning(
                "%d tensors keep their random start, %s does not fit them: %s",
                len(left),
                experiment.start_from,
                left,
            )
        else:
            try:
                load_state(network, tensors, source=experiment.start_from)
            except WeightsError as error:
                error.hint = (
                    "start_from needs the same model and width; with start_from_partly "
                    "= true what fits is taken"
                )
                raise
    if experiment.frozen_encoder_blocks:
        assert isinstance(network, HANetLite)
        blocks = len(network.encoder.blocks)
        if experiment.frozen_encoder_blocks > blocks:
            raise SettingsError(
                f"frozen_encoder_blocks is {experiment.frozen_encoder_blocks}; the encoder has "
                f"{blocks}"
            )
        network.encoder.stem.requires_grad_(False)
        for block in network.encoder.blocks[: experiment.frozen_encoder_blocks]:
            block.requires_grad_(False)
    if experiment.learns == "direction":
        assert isinstance(network, HANetLite)
        assert network.direction is not None
        network.requires_grad_(False)
        network.direction.requires_grad_(True)
    learn_only(network, experiment.trainable)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def build_metadata(experiment: Experiment, network: ChangeModel, *, labels: str = "") -> Metadata:
    """Metadata of the weights that the experiment will make, without scores; the terms of those
    that it uses hold on.

    Args:
        experiment: What will be done.
        network: Its network.
        labels: A note on how many labels are used; "" for none.
    """
    trained_on = KNOWN_DATASETS.get(experiment.dataset.lower())
    near = difflib.get_close_matches(experiment.dataset.lower(), KNOWN_DATASETS, n=1)
    if near and trained_on is None:  # a name of one's own is allowed, and is like none of these
        _LOGGER.warning(
            "dataset is %r, which no table knows (did you mean %r?): the weights will not have the "
            "terms of its data",
            experiment.dataset,
            near[0],
        )
    start = _known(experiment.start_from) if experiment.start_from not in NO_FILE else None
    statistics = _statistics(experiment, start)
    teacher = _known(experiment.teacher) if experiment.teacher else None
    origins = {"started from": start, "taught by": teacher}
    terms = [origin.licence for origin in (start, teacher) if origin] + [
        trained_on.weights_terms if trained_on else ""
    ]
    if start is not None and any(
        getattr(start, key) != values for key, values in statistics._asdict().items()
    ):
        theirs = (
            name
            for name, known in PER_DATE_STATISTICS.items()
            if known.mean_before == start.mean_before
        )
        _LOGGER.warning(
            "%s was trained on images normalised by the statistics %s, this experiment "
            "normalises by %r: "
            "the weights see other values than they know",
            start.name,
            next((repr(name) for name in theirs), f"of mean {start.mean_before}"),
            experiment.statistics,
        )
    if experiment.learns == "direction" and start is not None:
        return _with_direction(start, experiment)
    return Metadata(
        name=experiment.name,
        model=experiment.model,
        model_arguments=experiment.model_arguments(),
        **statistics._asdict(),
        gsd_m=experiment.gsd_m,
        divisor=network.divisor,
        training_data=name_of_data(experiment, experiment.data_folders),
        training_split=experiment.training_split,
        experiment=experiment.name,
        licence="; ".join(
            dict.fromkeys(term for text in terms if text for term in text.split("; "))
        ),
        citation=network.paper,
        notes=(
            *(
                f"{how} {origin.name}, trained on {origin.training_data or 'what it does not say'}"
                for how, origin in origins.items()
                if origin
            ),
            *((labels,) if labels else ()),
        ),
    )


def _with_direction(start: Metadata, experiment: Experiment) -> Metadata:
    """Metadata of weights that only learned to tell built from demolished: the probability of
    change is theirs of before, with its temperature, threshold and scores."""
    data = name_of_data(experiment, experiment.data_folders)
    note = f"its head that tells built from demolished learned by itself, on {data}"
    arguments = experiment.model_arguments()
    return replace(
        start, name=experiment.name, model_arguments=arguments, notes=(*start.notes, note)
    )


def _statistics(experiment: Experiment, start: Metadata | None) -> Statistics:
    """Mean and standard deviation of each date.

    Raises:
        WeightsError: They are those of the first weights, which do not say theirs.
    """
    if experiment.statistics != OF_START:
        return PER_DATE_STATISTICS[experiment.statistics]
    if start is None:
        raise WeightsError(
            f"{experiment.start_from} does not say by which statistics it normalises images",
            hint="name a data set's in statistics, or make a weights file of it with `hanet "
            "convert`",
        )
    return Statistics(start.mean_before, start.std_before, start.mean_after, start.std_after)


def _known(weights: str) -> Metadata | None:
    """Metadata of weights; None where they are another program's tensors, and say nothing of
    themselves."""
    try:
        return read_safetensors_metadata(catalogue.resolve(weights, suffixes=(".safetensors",)))
    except WeightsError:
        return None


def name_of_data(experiment: Experiment, folders: Sequence[str]) -> str:
    """What metadata call the data of some folders: the data set, and the folders, each once, unless
    they are all of it."""
    named = ", ".join(dict.fromkeys(folder for folder in folders if folder != "."))
    return (experiment.dataset or "unnamed data") + (f" ({named})" if named else "")


def _imagenet_classifier(variant: str) -> dict[str, torch.Tensor]:
    package = VARIANTS[variant].package
    with importing(
        package.replace("_", "-"),
        extra="train" if variant == "lite0" else "encoders",
        purpose=f"starting hanet_lite with the encoder {variant} from ImageNet",
    ):
        module = importlib.import_module(package)
    path = getattr(module, VARIANTS[variant].model_file).get_model_file_path()
    state: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state
