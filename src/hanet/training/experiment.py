"""An experiment: one flat TOML file that shows everything that matters, and the refusal of what it
does not know."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from hanet.datasets.published import PER_DATE_STATISTICS
from hanet.datasets.torch_datasets import Kinds
from hanet.documents import BoundError, DocumentError, check_bounds, parse_toml, read_toml, shown
from hanet.errors import SettingsError
from hanet.evaluation.protocols import MAX_BATCH, MAX_TILE_PX
from hanet.models import MODELS
from hanet.models.contract import Part
from hanet.training.augmentation import AUGMENTATIONS, KEEPS_ORDER
from hanet.training.losses import LOSSES
from hanet.training.sampling import parse
from hanet.training.strong_views import MIXES_PAIRS, STRONG_VIEWS

NO_FILE = ("nothing", "imagenet")
"""Values of ``start_from`` that name no weights file."""

MAX_EPOCHS, MAX_STEPS = 1_000_000, 1_000_000_000
"""Largest values of an experiment: beyond them a slip of the keyboard would count steps for
ever."""


OF_START = "start"
"""Value of ``statistics``: what the weights of ``start_from`` know."""


class Experiment(BaseModel):
    """Everything that decides a training run, apart from the folder of the data and the machine.

    Two runs of one experiment on one machine with the same number of processes and threads end with
    the same weights.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    name: str = Field(
        min_length=1,
        max_length=100,
        description="name of the experiment and of the weights it makes",
    )
    aims_at: str = Field(
        default="", description="the published row that it aims at, with its figure"
    )

    # network
    model: str = Field(description="key of hanet.models.MODELS")
    width: int | None = Field(
        default=None,
        ge=1,
        le=4096,
        description="width of the network; default: the model's own",
    )
    detail: int | None = Field(
        default=None,
        ge=0,
        description="hanet_lite only: channels of its branch at full resolution; 0 for none",
    )
    direction: int | None = Field(
        default=None,
        ge=0,
        description="hanet_lite only: channels of its head that tells built from demolished; 0 "
        "for none",
    )
    head: Literal["official", "open-cd"] | None = Field(
        default=None, description="hanet only: the head to use"
    )
    encoder: Literal["lite0", "lite1", "lite2"] | None = Field(
        default=None,
        description="hanet_lite only: EfficientNet-Lite0, 1 or 2; default lite0",
    )
    start_from: str = Field(
        default="nothing",
        description="'nothing', 'imagenet' (hanet_lite), or weights: a file, a run folder (its "
        "best), a name",
    )
    start_from_partly: bool = Field(
        default=False,
        description="leave out tensors of the weights file whose shape differs, and list them; a "
        "file of common ImageNet weights of ResNet-18 fills the encoder of bit or stanet",
    )
    learns: Literal["change", "direction"] = Field(
        default="change",
        description="direction: only the head that tells built from demolished learns, on changed "
        "pixels; everything else keeps its weights, and F1 is that of 'built' over both orders of "
        "the dates",
    )
    frozen_encoder_blocks: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="hanet_lite only: the stem and this many encoder blocks keep their weights",
    )
    trainable: Part = Field(
        default="all",
        description="what learns: 'head', 'top-down' (the path from coarse to fine, and the head) "
        "or 'all'; the rest stays as it is, the statistics of its batch normalisation too",
    )
    frozen_statistics: bool = Field(
        default=False,
        description="batch normalisation keeps its mean and variance in the layers that learn too: "
        "for few tiles, whose statistics would not represent the place",
    )

    # data
    dataset: str = Field(
        default="", description="key of the table of data sets, for the weights' metadata"
    )
    data_folders: list[str] = Field(
        default=["."],
        min_length=1,
        description="folders under --data to train on, each SPLIT/{A,B,label}",
    )
    all_built: list[str] = Field(
        default=[],
        description="with learns = 'direction': folders in which every change is a new building; "
        "in other folders SPLIT/built marks the new buildings",
    )
    training_split: str = Field(default="train", description="name of the training split")
    gsd_m: float = Field(
        default=0.5, gt=0, description="metres a pixel that the weights are meant for"
    )
    validation_folder: str = Field(
        default=".", description="folder under --data whose validation split chooses the weights"
    )
    validation_split: str = Field(default="val", description="name of the validation split")
    cut: Literal["tiles", "jittered tiles", "random crops"] = Field(
        default="tiles",
        description="tiles as they are; tiles shifted by up to half a side within their scene; "
        "crops anywhere",
    )
    tile_px: int = Field(default=256, ge=32, le=MAX_TILE_PX, description="side of a tile or crop")
    crop_px: int | None = Field(
        default=None,
        ge=32,
        le=MAX_TILE_PX,
        description="side of the random part of a tile that a step sees; whole tiles if left out",
    )
    foreground_bias: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="probability that such a part is drawn around a changed pixel of its tile",
    )
    max_class_share: float = Field(
        default=0.75,
        ge=0.5,
        le=1.0,
        description="cut random crops: draw again above this share of one class",
    )
    statistics: str = Field(
        default="imagenet",
        description="mean and std of each date: imagenet, a data set's (hanet datasets), or "
        "start: those of the weights of start_from",
    )
    augmentation: str = Field(
        default="official", description="key of hanet.training.augmentation.AUGMENTATIONS"
    )

    # few labels
    labels_kept: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="share of the training pairs whose labels are used; the others are left out, "
        "or seen without a label where unlabelled_weight says so",
    )
    labels_seed: int = Field(
        default=0,
        ge=0,
        lt=2**32,
        description="which pairs keep their labels; a smaller share is a part of a larger one",
    )
    unlabelled_weight: float = Field(
        default=0.0,
        ge=0,
        description="weight of weak-to-strong consistency on pairs without labels, beside the "
        "loss of the labels; needs ema_decay, whose average is the teacher; 0 leaves it out",
    )
    unlabelled_folders: list[str] = Field(
        default=[],
        description="folders under --data with more pairs to see without labels, each SPLIT/{A,B}",
    )
    unlabelled_split: str = Field(
        default="", description="name of their split; training_split if left out"
    )
    unlabelled_batch: int | None = Field(
        default=None,
        ge=1,
        le=MAX_BATCH,
        description="pairs without labels a step, over all processes, beside those of batch; as "
        "many as those if left out",
    )
    confidence: float = Field(
        default=0.95,
        ge=0.5,
        lt=1,
        description="a pixel has a pseudo label where the teacher's likelier class reaches this "
        "probability (FixMatch and UniMatch: 0.95)",
    )
    unlabelled_strong: str = Field(
        default="unimatch", description="key of hanet.training.strong_views.STRONG_VIEWS"
    )
    unlabelled_views: int = Field(
        default=1,
        ge=1,
        le=8,
        description="strong views of a pair in a step (FixMatch: 1, UniMatch: 2)",
    )

    # PFBS
    pfbs: str = Field(default="normal", description="normal, fixed-X, linear-Y or fixed-X-linear-Y")
    pfbs_unit: Literal["epochs", "iterations"] = Field(
        default="epochs", description="what X and Y count"
    )
    epoch_length: Literal["set", "pool"] | int = Field(
        default="set",
        description="draws of an epoch: as many as the set has tiles (official), as its pool "
        "has, or a number",
    )

    # length, optimisation
    epochs: int | None = Field(
        default=None, ge=1, le=MAX_EPOCHS, description="length in epochs; either this or iterations"
    )
    iterations: int | None = Field(
        default=None, ge=1, le=MAX_STEPS, description="length in iterations; either this or epochs"
    )
    batch: int = Field(
        default=8, ge=1, le=MAX_BATCH, description="pairs a step, over all processes"
    )
    optimiser: Literal["adam", "adamw"] = Field(
        default="adamw", description="adam or adamw (decoupled decay)"
    )
    learning_rate: float = Field(gt=0, description="where the schedule starts, after the warm-up")
    encoder_learning_rate_factor: float = Field(
        default=1.0, ge=0, description="factor on the encoder's learning rate"
    )
    weight_decay: float = Field(
        default=0.0, ge=0, description="weight decay, as the optimiser defines it"
    )
    schedule: Literal["constant", "step", "polynomial", "cosine"] = Field(
        default="constant", description="how the learning rate falls"
    )
    step_epochs: int = Field(
        default=8, ge=1, le=MAX_EPOCHS, description="schedule step: epochs between two falls"
    )
    step_factor: float = Field(
        default=0.5, gt=0, le=1, description="schedule step: factor of a fall"
    )
    power: float = Field(default=1.0, gt=0, description="schedule polynomial: its power")
    warmup_iterations: int = Field(
        default=0, ge=0, le=MAX_STEPS, description="linear rise at the start, from warmup_start"
    )
    warmup_start: float = Field(
        default=1e-6, gt=0, description="share of learning_rate at which the rise starts"
    )
    loss: str = Field(default="hybrid", description="key of hanet.training.losses.LOSSES")
    teacher: str = Field(
        default="",
        description="weights (a .safetensors file, a run folder, a name) whose probability is a "
        "second target beside the labels",
    )
    teacher_share: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="with a teacher: its share of the loss, the labels have the rest",
    )
    teacher_pixels: Literal["known", "unknown"] = Field(
        default="known",
        description="with a teacher: the pixels where it is used: known, beside the labels; or "
        "unknown, only where the labels are unknown",
    )
    clip_norm: float = Field(
        default=0.0, ge=0, description="gradient norm to clip at; 0: no clipping"
    )
    ema_decay: float = Field(
        default=0.0, ge=0, lt=1, description="decay of the averaged weights; 0: no averaging"
    )
    precision: Literal["fp32", "bf16"] = Field(
        default="fp32",
        description="bf16: automatic mixed precision, for GPUs and processors with AMX, where "
        "hanet takes half the time; slower elsewhere",
    )
    seed: int = Field(
        default=0, ge=0, lt=2**32, description="first weights, draws and augmentation"
    )

    patience: int = Field(
        default=0,
        ge=0,
        le=MAX_STEPS,
        description="validations without a better F1 after which the run ends; 0: it never ends "
        "early",
    )

    # what is written when
    validate_every: int = Field(
        default=1000, ge=1, le=MAX_STEPS, description="iterations between two validations"
    )
    checkpoint_every: int = Field(
        default=200,
        ge=1,
        le=MAX_STEPS,
        description="iterations between two checkpoints to resume from",
    )

    @field_validator("model", "loss", "augmentation", "statistics", "unlabelled_strong")
    @classmethod
    def _known(cls, value: str, info: Any) -> str:
        tables: dict[str, dict[str, Any]] = {
            "model": {**MODELS},
            "loss": {**LOSSES},
            "augmentation": {**AUGMENTATIONS},
            "unlabelled_strong": {**STRONG_VIEWS},
            "statistics": {**PER_DATE_STATISTICS, OF_START: None},
        }
        table = tables[info.field_name]
        if value not in table:
            raise ValueError(f"{shown(value)} is not one of {', '.join(table)}")
        return value

    @field_validator("name")
    @classmethod
    def _printable(cls, value: str) -> str:
        if not value.isprintable():  # it is printed, and goes into the metadata of weights
            raise ValueError(f"{shown(value)} holds control characters")
        return value

    @field_validator(
        "data_folders",
        "all_built",
        "training_split",
        "unlabelled_folders",
        "unlabelled_split",
        "validation_folder",
        "start_from",
        "teacher",
    )
    @classmethod
    def _unicode(cls, value: str | list[str]) -> str | list[str]:
        try:
            "".join(value).encode()  # experiment.json and metadata of weights hold Unicode only
        except UnicodeEncodeError as error:
            raise ValueError(f"{shown(value)} is not UTF-8") from error
        return value

    @field_validator("pfbs")
    @classmethod
    def _schedule(cls, value: str) -> str:
        try:
            parse(value)
        except SettingsError as error:
            raise ValueError(f"{error.message}; {error.hint}") from error
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Experiment:
        if self.epochs is None and self.iterations is None:
            raise ValueError("either epochs or iterations must be given")
        if self.epochs is not None and self.iterations is not None:
            raise ValueError(
                "epochs and iterations are both given, and one decides the length; leave the other "
                "out (on the command line: --set iterations=, with nothing after it)"
            )
        if (self.crop_px or self.foreground_bias) and self.cut == "random crops":
            raise ValueError(
                "crop_px and foreground_bias cut parts of tiles; with cut = 'random crops' set "
                "tile_px"
            )
        if self.foreground_bias and not self.crop_px:
            raise ValueError("foreground_bias is for the parts that crop_px cuts; set crop_px too")
        if self.crop_px and self.crop_px > self.tile_px:
            raise ValueError(f"crop_px is {self.crop_px}, more than tile_px, {self.tile_px}")
        if self.learns == "direction":
            self._check_direction()
        elif self.all_built:
            raise ValueError("all_built is for learns = 'direction'")
        if self.frozen_encoder_blocks and self.model != "hanet_lite":
            raise ValueError("frozen_encoder_blocks is for hanet_lite")
        if self.start_from_partly and self.start_from in NO_FILE:
            raise ValueError("start_from_partly is for a weights file; name it in start_from")
        if self.start_from == "imagenet" and self.model != "hanet_lite":
            raise ValueError(
                "start_from = 'imagenet' is for hanet_lite: only its encoder has ImageNet weights"
            )
        if self.statistics == OF_START and self.start_from in NO_FILE:
            raise ValueError("statistics = 'start' is for weights; name them in start_from")
        if self.teacher_pixels == "unknown" and not self.teacher:
            raise ValueError("teacher_pixels is for a teacher; name its weights in teacher")
        if self.unlabelled_weight:
            self._check_unlabelled()
        elif self.unlabelled_folders:
            raise ValueError(
                "unlabelled_folders are seen only where unlabelled_weight is more than 0; set it"
            )
        return self

    def _check_unlabelled(self) -> None:
        if self.labels_kept == 1.0 and not self.unlabelled_folders:
            raise ValueError(
                "unlabelled_weight has no pairs without labels: name folders in "
                "unlabelled_folders, or keep fewer labels by labels_kept"
            )
        if not self.ema_decay:
            raise ValueError(
                "unlabelled_weight needs a teacher, the average of the weights: set ema_decay "
                "(0.998, or less for a short run)"
            )
        if self.learns != "change":
            raise ValueError("unlabelled_weight is for learns = 'change'")
        if self.model == "stanet" or self.loss == "batch_balanced_contrastive":
            raise ValueError(
                "unlabelled_weight needs probabilities, and those of stanet and its loss are "
                "distances: never sure of unchanged ground"
            )
        split = self.unlabelled_split or self.training_split
        judging = _place(self.validation_folder, self.validation_split)
        if any(_place(folder, split) == judging for folder in self.unlabelled_folders):
            raise ValueError(
                f"unlabelled_folders names {self.validation_folder!r}, whose split {split!r} "
                "chooses the weights: nothing of it may be seen in training"
            )
        if self.unlabelled_strong in MIXES_PAIRS and self.pairs_without_label == 1:
            raise ValueError(
                f"unlabelled_strong = {self.unlabelled_strong!r} mixes two pairs, and a step has "
                "one without a label: raise unlabelled_batch, or take 'photometry'"
            )

    @property
    def pairs_without_label(self) -> int:
        """Pairs without labels a step, over all processes."""
        if not self.unlabelled_weight:
            return 0
        return self.batch if self.unlabelled_batch is None else self.unlabelled_batch

    def _check_direction(self) -> None:
        if not self.direction:
            raise ValueError("learns = 'direction' needs direction, the channels of its head")
        if self.teacher:
            raise ValueError("a teacher knows change, not direction; leave it out")
        if self.trainable != "all":
            raise ValueError("with learns = 'direction' only its head learns; leave trainable out")
        if self.augmentation not in KEEPS_ORDER:
            raise ValueError(
                f"augmentation {self.augmentation!r} may exchange the dates or bend the label; "
                f"with learns = 'direction' it is one of {', '.join(sorted(KEEPS_ORDER))}"
            )
        strange = set(self.all_built) - {*self.data_folders, self.validation_folder}
        if strange:
            raise ValueError(
                f"all_built names {', '.join(sorted(strange))}, which is neither in data_folders "
                "nor the validation_folder"
            )

    def kinds_of(self, folder: str) -> Kinds:
        """What the labels of a folder are to say."""
        if self.learns == "change":
            return "none"
        return "all built" if folder in self.all_built else "marked"

    def model_arguments(self) -> dict[str, Any]:
        """Keyword arguments of the network, without those that keep the model's own default."""
        names = ("width", "detail", "direction", "encoder", "head")
        given = {name: getattr(self, name) for name in names}
        return {key: value for key, value in given.items() if value is not None}


def _place(folder: str, split: str) -> str:
    """Where a split lies under --data, however it is spelled."""
    return os.path.normpath(os.path.join(folder, split))  # noqa: PTH118 - Path keeps a/..


def read_experiment(path: Path, overrides: dict[str, str] | None = None) -> Experiment:
    """The experiment of a file, single keys replaced.

    Args:
        path: A flat TOML file.
        overrides: Key to value as the command line gives it; a value is read as TOML, and as a
            string where it is not TOML. An empty one leaves the key out, so that its default holds.

    Raises:
        SettingsError: The file is missing or not TOML, a key is unknown (the nearest name is in the
            hint), or a value is not allowed.
    """
    try:
        values = read_toml(path)
    except OSError as error:
        raise SettingsError(
            f"the experiment {path} cannot be read: {error.strerror}",
            hint="the files are in experiments/",
        ) from error
    except DocumentError as error:
        raise SettingsError(
            f"{path} is not an experiment in TOML: {error}",
            hint="compare it with a file of experiments/",
        ) from error
    for key, value in (overrides or {}).items():
        field = Experiment.model_fields.get(key)
        if value or field is None or field.is_required():
            values[key] = _toml_value(key, value)
        else:  # TOML has no word for "none"
            values.pop(key, None)
    return experiment_of(values, source=str(path))


def experiment_of(values: dict[str, Any], *, source: str) -> Experiment:
    """The experiment of a dict of values; ``source`` is named in errors.

    Raises:
        SettingsError: As :func:`read_experiment`.
    """
    known = list(Experiment.model_fields)
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"the keys are: {', '.join(known)}"
            if isinstance(values[key], dict):
                hint = f"an experiment is flat: write the keys of [{key}] without it"
            raise SettingsError(f"{source}: there is no setting {shown(key)}", hint=hint)
    try:
        return Experiment.model_validate(values)
    except ValidationError as error:
        key, text = _first_in_words(error)
        field = Experiment.model_fields.get(key)
        meaning = f"{key}: {field.description}" if field is not None else None
        raise SettingsError(f"{source}: {text}", hint=meaning) from error


def _first_in_words(error: ValidationError) -> tuple[str, str]:
    """The first key that pydantic refuses (empty where it is none by itself), and why, with the
    value that it found."""
    first, *others = error.errors()
    key = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "missing":
        return key, f"{key} is missing"
    if " should " not in first["msg"]:
        text = first["msg"].removeprefix("Value error, ")
        return key, f"{key}: {text}" if key else text
    # of a key that takes values of several kinds, each kind says for itself what it wants
    same = [
        other for other in others if other["loc"][:1] == (key,) and other["input"] == first["input"]
    ]
    wanted = [found["msg"].partition(" should ")[2] for found in (first, *same)]
    return (
        key,
        f"{key} is {shown(first['input'])}, it should {' or '.join(wanted)}",
    )


def _toml_value(key: str, text: str) -> Any:
    try:
        try:
            return parse_toml(f"value = {text}")["value"]
        except BoundError:
            raise
        except DocumentError:
            check_bounds(text)
            return text
    except BoundError as error:
        raise SettingsError(
            f"--set {shown(key)[1:-1]}: the value cannot be used: {error}",
            hint="give a number, a word, or a list of words",
        ) from error
