"""Convolution along one axis."""

from __future__ import annotations

from ... import functional as F
from ...checks.arguments import arguments
from ...tensor import Tensor
from ..conv import ConvLayer


class Conv1d(ConvLayer):
    """:class:`Conv2d` along one axis: (N,C,W) -> (N,O,OW), w (O, C/groups, KW)."""

    axes = 1

    @arguments
    def __init__(self, in_channels: int, out_channels: int, kernel_size, stride=1, padding=0,
                 dilation=1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros"):
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups,
                         bias, padding_mode)

    def forward(self, input: Tensor) -> Tensor:
        return F.conv1d(input, self.weight, self.bias, self.stride, self.padding, self.dilation,
                        self.groups)
