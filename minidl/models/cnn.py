"""The convolutional network for digits: images in, one logit a class out.

A logit is a number before softmax or sigmoid: softmax makes probabilities of a row of logits.
"""

from __future__ import annotations

from .. import nn


class CNN(nn.Sequential):
    """Three convolutions and two dense layers for digits: (N,1,28,28) -> (N,10) logits.

    ==================== ========= ======================================================
    layer                output
    ==================== ========= ======================================================
    conv 3x3, relu       32x26x26  no padding, so 28 - 3 + 1
    max pool 2x2         32x13x13
    conv 3x3, relu       64x11x11
    max pool 2x2         64x5x5    the last row and column are dropped
    conv 3x3, relu       64x3x3
    dense, relu          64        of 576 = 64 * 3 * 3
    dropout              64        only if `dropout` is not 0
    dense                10
    ==================== ========= ======================================================

    93,322 parameters. The document on deep learning in the field of art (D1) has a softmax at the
    end; here it is a part of the loss (erratum E1.1). `dropout=0.5` makes the network of D2, on
    works of art. Source: D1-CNN, D2-CNN.
    """

    def __init__(self, channels: int = 1, classes: int = 10, dropout: float = 0.0):
        super().__init__(
            nn.Conv2d(channels, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(64, 64, 3), nn.ReLU(), nn.Flatten(),
            nn.Linear(64 * 3 * 3, 64), nn.ReLU(),
            *([nn.Dropout(dropout)] if dropout else []),
            nn.Linear(64, classes),
        )
