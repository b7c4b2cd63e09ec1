"""Speed and memory on this machine: inference, a training step, a whole detection."""
