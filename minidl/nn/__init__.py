"""Layers, under PyTorch's names: ``from minidl import nn``."""

from . import functional, init, utils
from .parameter import Parameter
from .module import Module
from .container import Sequential
from .linear import Linear
from .conv import Conv2d, ConvTranspose2d
from .pool import MaxPool2d
from .shape import Flatten, Unflatten
from .norm import BatchNorm1d, BatchNorm2d
from .activation import LeakyReLU, ReLU, Tanh
from .dropout import Dropout
from .more.activation import ELU, GELU, LogSoftmax, Sigmoid, Softmax, Softplus
from .more.attention import MultiheadAttention
from .more.container import ModuleDict, ModuleList
from .more.conv import Conv1d
from .more.embedding import Embedding
from .more.loss import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    KLDivLoss,
    L1Loss,
    MSELoss,
    NLLLoss,
    SmoothL1Loss,
)
from .more.norm import GroupNorm, LayerNorm
from .more.pool import AdaptiveAvgPool2d, AvgPool2d
from .more.shape import Identity, PixelShuffle, Upsample
from .more.skip_connection import Residual
from .more.summary import Summary, summary

__all__ = ["AdaptiveAvgPool2d", "AvgPool2d", "BCELoss", "BCEWithLogitsLoss", "BatchNorm1d",
           "BatchNorm2d", "Conv1d", "Conv2d", "ConvTranspose2d", "CrossEntropyLoss", "Dropout",
           "ELU", "Embedding", "Flatten", "GELU", "GroupNorm", "Identity", "KLDivLoss", "L1Loss",
           "LayerNorm", "LeakyReLU", "Linear", "LogSoftmax", "MSELoss", "MaxPool2d", "Module",
           "ModuleDict", "ModuleList", "MultiheadAttention", "NLLLoss", "Parameter", "PixelShuffle",
           "ReLU", "Residual", "Sequential", "Sigmoid", "SmoothL1Loss", "Softmax", "Softplus",
           "Summary", "Tanh", "Unflatten", "Upsample", "functional", "init", "summary", "utils"]
