"""Averages the weights of two stages of one training, tensor by tensor; what travels with them is
the second's, but for its scores.

Run: python scripts/average_weights.py FIRST.safetensors SECOND.safetensors OUT.safetensors --share
0.6

Tensors that the first does not have, such as a branch that the second stage added, stay the
second's.

The mean lies between two minima of one valley and is often as good as the better of them on each
set of data (Wortsman et al., "Model soups", ICML 2022). Choose a new threshold for it: hanet
evaluate OUT.safetensors --data DATA --split val --sweep --calibrate.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from hanet.weights.weights_file import load_state, load_weights, read_tensors, save_weights


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--share", type=float, default=0.5, help="of the second")
    arguments = parser.parse_args()
    network, metadata = load_weights(arguments.second)
    first, second = read_tensors(arguments.first), network.state_dict()
    mean = {
        name: tensor.lerp(first[name], 1.0 - arguments.share)
        if name in first and tensor.is_floating_point()
        else tensor
        for name, tensor in second.items()
    }
    load_state(network, mean, source=f"the mean of {arguments.first} and {arguments.second}")
    save_weights(arguments.out, network, replace(metadata, scores=()))


if __name__ == "__main__":
    main()
