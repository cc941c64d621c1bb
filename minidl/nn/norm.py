"""Batch normalisation as a layer."""

from __future__ import annotations

import numpy as np

from .. import checks
from .. import functional as F
from ..checks.arguments import arguments
from ..checks.layer_options import check_share, input_with_channels
from ..tensor import Tensor
from .module import Module
from .parameter import Parameter


class NormLayer(Module):
    """What normalisation layers share: weight (ones) and bias (zeros), if `affine`."""

    @arguments
    def __init__(self, shape: tuple[int, ...], eps: float, affine: bool, bias: bool = True):
        super().__init__()
        self.eps = checks.number(f"{type(self).__name__}: eps", eps)
        one, zero = np.ones(shape, np.float32), np.zeros(shape, np.float32)
        self.register_parameter("weight", Parameter(one) if affine else None)
        self.register_parameter("bias", Parameter(zero) if affine and bias else None)


class _BatchNorm(NormLayer):
    """gamma (x - m) / sqrt(v + eps) + beta for each channel. Source: D1-BN."""

    ndims: tuple[int, ...] = ()        # how many axes an input may have

    @arguments
    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1,
                 affine: bool = True, track_running_stats: bool = True):
        checks.whole(f"{type(self).__name__}: num_features", num_features, 1)
        super().__init__((num_features,), eps, affine)
        check_share(type(self).__name__, "momentum", momentum or 0.0)
        self.num_features, self.momentum = num_features, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        mean, var = np.zeros(num_features, np.float32), np.ones(num_features, np.float32)
        first = {"running_mean": mean, "running_var": var, "num_batches_tracked": np.int64(0)}
        for name, value in first.items():
            self.register_buffer(name, Tensor(value) if track_running_stats else None)

    def forward(self, input: Tensor) -> Tensor:
        input = input_with_channels(type(self).__name__, input, self.ndims, self.num_features)
        momentum, tracking = self.momentum or 0.0, self.training and self.track_running_stats
        if tracking and self.momentum is None:            # the mean of all batches so far
            momentum = 1 / (self.num_batches_tracked.item() + 1)
        y = F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias,
                         self.training or not self.track_running_stats, momentum, self.eps)
        if tracking:
            self.num_batches_tracked.add_(1)
        return y


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of (N,C) or (N,C,L): see :class:`BatchNorm2d`. Source: D1-BN."""

    ndims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """gamma (x - m) / sqrt(v + eps) + beta for each channel of (N,C,H,W). Source: D1-BN.

    In training m, v are the batch's, and the running statistics move by r <- (1 - momentum) r +
    momentum s; in evaluation m, v are the running ones. ``momentum`` is PyTorch's: Keras writes
    1 - momentum for it. Keras's ``BatchNormalization(momentum=0.8)`` is
    ``BatchNorm2d(C, eps=1e-3, momentum=1 - 0.8)`` here; its default is eps=1e-3, momentum=0.01.
    ``momentum=None`` averages all batches alike.
    """

    ndims = (4,)
