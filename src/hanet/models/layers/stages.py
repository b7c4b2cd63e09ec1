"""The table that an EfficientNet is made of: stages of inverted residual blocks.

Tan and Le: EfficientNet, ICML 2019, table 1. What a block is differs between its variants; which
blocks follow each other does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Block:
    """What an inverted residual block is made of.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        expansion: Factor of the hidden width; 1 leaves the expansion out.
        kernel: Side of the depthwise kernel.
        stride: Of the depthwise convolution.
    """

    inputs: int
    outputs: int
    expansion: int
    kernel: int
    stride: int

    @property
    def hidden(self) -> int:
        """Channels of the depthwise convolution."""
        return self.inputs * self.expansion

    @property
    def is_residual(self) -> bool:
        """Whether the input is added to the output: where shapes allow."""
        return self.stride == 1 and self.inputs == self.outputs


@dataclass(frozen=True, slots=True)
class Stage:
    """Inverted residual blocks of one kind; the first of them carries the stride.

    Args:
        blocks: How many.
        channels: Channels out of each.
        expansion: As of :class:`Block`; so are the next two.
        kernel: See expansion.
        stride: See expansion.
    """

    blocks: int
    channels: int
    expansion: int
    kernel: int
    stride: int


def blocks_of(stages: Sequence[Stage], *, inputs: int) -> Iterator[list[Block]]:
    """The blocks of each stage.

    Args:
        stages: In their order.
        inputs: Channels into the first.
    """
    for stage in stages:
        made = []
        for number in range(stage.blocks):
            stride = 1 if number else stage.stride
            made.append(Block(inputs, stage.channels, stage.expansion, stage.kernel, stride))
            inputs = stage.channels
        yield made
