"""Pooling: images made smaller."""

from __future__ import annotations

from .. import functional as F
from ..checks.arguments import arguments
from ..checks.layer_options import check_window
from ..tensor import Tensor
from .module import Module


class MaxPool2d(Module):
    """The maximum of each window: (N,C,H,W) -> (N,C,OH,OW); `stride` is the window's size unless
    given. Source: D0-MAXPOOL."""

    @arguments
    def __init__(self, kernel_size, stride=None, padding=0, dilation=1,
                 return_indices: bool = False, ceil_mode: bool = False):
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.dilation = padding, dilation
        check_window(self, kernel_size=1, stride=1, padding=0, dilation=1)     # each at least that
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def forward(self, input: Tensor):
        return F.max_pool2d(input, self.kernel_size, self.stride, self.padding, self.dilation,
                            self.ceil_mode, self.return_indices)
