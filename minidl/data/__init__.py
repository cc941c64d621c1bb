"""Data: MNIST (shipped), CIFAR-10, sets of one's own, batches and augmentation.

    train = data.mnist().train
    for images, labels in data.DataLoader(train, 64, shuffle=True):
        ...
"""

from __future__ import annotations

from minidl.data import augment
from minidl.data.augment import Compose
from minidl.data.cifar import cifar10, synthetic_rgb
from minidl.data.dataset import ArrayDataset, Splits, TensorDataset
from minidl.data.idx import read_idx
from minidl.data.loader import DataLoader
from minidl.data.mnist import cache_folder, mnist

__all__ = [
    "ArrayDataset",
    "Compose",
    "DataLoader",
    "Splits",
    "TensorDataset",
    "augment",
    "cache_folder",
    "cifar10",
    "mnist",
    "read_idx",
    "synthetic_rgb",
]
