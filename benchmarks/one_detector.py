"""The detector and the labelled images that several benchmarks measure."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from pathlib import Path
from typing import NamedTuple

from hanet.datasets.layout import Pair, list_pairs
from hanet.detection.arrays import Detector
from hanet.weights import catalogue
from hanet.weights.engine import Engine
from hanet.weights.runtime import open_runtime


class Measured(NamedTuple):
    """What is measured, and on what.

    Args:
        arguments: Of the command line.
        path: The weights.
        detector: On one thread.
        pairs: Of the split.
    """

    arguments: Namespace
    path: Path
    detector: Detector
    pairs: list[Pair]

    @property
    def split(self) -> str:
        """Of a result: the last two parts of the split's folder."""
        return "/".join(self.arguments.split.resolve().parts[-2:])


def parser_of(description: str | None) -> ArgumentParser:
    """A parser of SPLIT and ``--weights``, to which a benchmark adds its own."""
    parser = ArgumentParser(description=description, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("split", type=Path)
    parser.add_argument("--weights", default=catalogue.DEFAULT)
    return parser


def measured(parser: ArgumentParser) -> Measured:
    """What the command line names."""
    arguments = parser.parse_args()
    path = catalogue.resolve(arguments.weights, suffixes=(".onnx",))
    detector = Detector(open_runtime(path, Engine(threads=1)))
    pairs = list_pairs(arguments.split.parent, arguments.split.name)
    return Measured(arguments, path, detector, pairs)
