"""This machine: speed and memory of inference, training and detection; what is installed."""
