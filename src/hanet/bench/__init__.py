"""Speed and memory on this machine: of inference, of a training step and of a whole detection
(``hanet bench``)."""
