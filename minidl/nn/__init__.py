"""Layers, under PyTorch's names: ``from minidl import nn``."""

from . import init
from .module import Module, Parameter
from .container import Sequential
from .linear import Linear
from .conv import Conv1d, Conv2d, ConvTranspose2d
from .pooling import Flatten, MaxPool2d
from .activation import ReLU
from .loss import CrossEntropyLoss
