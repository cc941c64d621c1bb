"""Convolution along one axis."""

from __future__ import annotations

from ... import functional as F
from ...tensor import Tensor
from ..conv import ConvLayer


class Conv1d(ConvLayer):
    """:class:`Conv2d` along one axis: (N,C,W) -> (N,O,OW), w (O, C/groups, KW)."""

    image_axes = 1

    def product(self, input: Tensor, bias: Tensor | None = None) -> Tensor:
        return F.conv1d(input, self.weight, bias, self.stride, self.padding, self.dilation,
                        self.groups)
