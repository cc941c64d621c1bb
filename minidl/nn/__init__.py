"""Layers, under PyTorch's names: ``from minidl import nn``."""

from . import functional, init, utils
from .module import Module, Parameter
from .container import ModuleDict, ModuleList, Residual, Sequential
from .linear import Embedding, Linear
from .conv import Conv1d, Conv2d, ConvTranspose2d
from .pool import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d
from .shape import Flatten, Identity, PixelShuffle, Unflatten, Upsample
from .norm import BatchNorm1d, BatchNorm2d, GroupNorm, LayerNorm
from .activation import ELU, GELU, LeakyReLU, LogSoftmax, ReLU, Sigmoid, Softmax, Softplus, Tanh
from .dropout import Dropout
from .more.attention import MultiheadAttention
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
from .more.summary import Summary, summary

__all__ = ["AdaptiveAvgPool2d", "AvgPool2d", "BCELoss", "BCEWithLogitsLoss", "BatchNorm1d",
           "BatchNorm2d", "Conv1d", "Conv2d", "ConvTranspose2d", "CrossEntropyLoss", "Dropout",
           "ELU", "Embedding", "Flatten", "GELU", "GroupNorm", "Identity", "KLDivLoss", "L1Loss",
           "LayerNorm", "LeakyReLU", "Linear", "LogSoftmax", "MSELoss", "MaxPool2d", "Module",
           "ModuleDict", "ModuleList", "MultiheadAttention", "NLLLoss", "Parameter", "PixelShuffle",
           "ReLU", "Residual", "Sequential", "Sigmoid", "SmoothL1Loss", "Softmax", "Softplus",
           "Summary", "Tanh", "Unflatten", "Upsample", "functional", "init", "summary", "utils"]
