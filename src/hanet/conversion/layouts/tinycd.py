"""TinyCD: the authors' state dict, whose backbone has the names of torchvision's EfficientNet."""

from __future__ import annotations

from collections.abc import Iterator

from hanet.conversion.layouts.layout import Layout, renamed
from hanet.models.tinycd import STAGES

_ACTIVATION = 1
"""Modules without tensors between a convolution with its normalisation and the next module of ours:
torchvision has the three as one."""


def _modules() -> Iterator[tuple[str, str]]:
    """(theirs, ours)."""
    yield "_backbone.0", "stem"
    for stage, made in enumerate(STAGES):
        for block in range(made.blocks):
            yield from _block(
                f"_backbone.{stage + 1}.{block}.block",
                f"stages.{stage}.{block}",
                expands=made.expansion > 1,
            )
    masks = ["_first_mix", "_mixing_mask.0", "_mixing_mask.1"]
    for number, theirs in enumerate(masks):
        yield from _mixing(f"{theirs}._mixing", f"masks.{number}.mixing")
        yield from _perceptron(f"{theirs}._linear", f"masks.{number}.perceptron", layers=3)
    yield from _mixing("_mixing_mask.2", "mixing")
    for number in range(3):
        yield f"_up.{number}._convolution", f"ups.{number}.refine"
    yield from _perceptron("_classify", "head", layers=3)


def _block(theirs: str, ours: str, *, expands: bool) -> Iterator[tuple[str, str]]:
    """An inverted residual block. Theirs has a module for each convolution with what follows it,
    ours all of it in a row."""
    place = 0
    for number in range(2 if expands else 1):
        for part in range(2):  # convolution, normalisation
            yield f"{theirs}.{number}.{part}", f"{ours}.layers.{place + part}"
        place += 2 + _ACTIVATION
    number = 2 if expands else 1
    yield f"{theirs}.{number}.fc1", f"{ours}.layers.{place}.squeeze"
    yield f"{theirs}.{number}.fc2", f"{ours}.layers.{place}.excite"
    for part in range(2):
        yield f"{theirs}.{number + 1}.{part}", f"{ours}.layers.{place + 1 + part}"


def _mixing(theirs: str, ours: str) -> Iterator[tuple[str, str]]:
    yield f"{theirs}._convmix.0", f"{ours}.mix"
    yield f"{theirs}._convmix.1", f"{ours}.activation"


def _perceptron(theirs: str, ours: str, *, layers: int) -> Iterator[tuple[str, str]]:
    for layer in range(layers):
        for part in range(2):  # convolution, activation
            yield f"{theirs}._linears.{layer}.{part}", f"{ours}.{2 * layer + part}"


LAYOUT = Layout(
    model="tinycd",
    title="TinyCD",
    stem="_first_mix._mixing._convmix.0.weight",
    first="_backbone.0.0.weight",
    names=lambda: renamed("tinycd", _modules()),
    statistics="imagenet",
)
