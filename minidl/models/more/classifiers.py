"""Two further convolutional classifiers: one of padded convolutions, one for colour images."""

from __future__ import annotations

from ... import functional as F
from ... import nn
from ...tensor import Tensor


class PaddedCNN(nn.Module):
    """Two padded convolutions, so that only the pooling shrinks: (N,1,28,28) -> (N,10) logits.

    conv 32x28x28 | pool 32x14x14 | conv 64x14x14 | pool 64x7x7 | dense 128 | dense 10

    421,642 parameters. Erratum E0.1: the printed 64 * 7 * 7 is what images of 28x28 leave, so the
    network takes one channel, as digits have, not three. Source: D0-CNN.
    """

    def __init__(self, channels: int = 1, classes: int = 10):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 32, kernel_size=3, stride=1, padding=1)
        self.conv2 = nn.Conv2d(32, 64, kernel_size=3, stride=1, padding=1)
        self.pool = nn.MaxPool2d(kernel_size=2, stride=2)
        self.fc1 = nn.Linear(64 * 7 * 7, 128)
        self.fc2 = nn.Linear(128, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        x = x.flatten(1)
        x = F.relu(self.fc1(x))
        return self.fc2(x)


class ColourCNN(nn.Sequential):
    """Two convolutions and two dense layers for CIFAR-10's images: (N,3,32,32) -> (N,10) logits.

    conv 32x30x30 | pool 32x15x15 | conv 64x13x13 | pool 64x6x6 | dense 128 | dense 10

    315,722 parameters. As printed, but that the softmax is part of the loss. Source: D4-CNN.
    """

    def __init__(self, channels: int = 3, classes: int = 10):
        super().__init__(
            nn.Conv2d(channels, 32, 3), nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3), nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(64 * 6 * 6, 128), nn.ReLU(),
            nn.Linear(128, classes),
        )
