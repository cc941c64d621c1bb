"""PyTorch's place for how weights begin: ``nn.init.kaiming_normal_(layer.weight)``."""

from .initial_weights import keras_, pytorch_, uniform_, xavier_uniform_, zeros_
from .more.he_glorot import (
    calculate_gain,
    constant_,
    kaiming_normal_,
    kaiming_uniform_,
    normal_,
    ones_,
    xavier_normal_,
)

__all__ = ["calculate_gain", "constant_", "kaiming_normal_", "kaiming_uniform_", "keras_",
           "normal_", "ones_", "pytorch_", "uniform_", "xavier_normal_", "xavier_uniform_",
           "zeros_"]
