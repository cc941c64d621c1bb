"""Convolution layers."""

from __future__ import annotations

import numpy as np

from .. import checks
from .. import functional as F
from ..checks.arguments import arguments
from ..checks.layer_options import check_divides, check_offered, check_padding
from ..tensor import Tensor
from .linear import WeightedLayer, uninitialised
from .parameter import Parameter


class ConvLayer(WeightedLayer):
    """What convolution layers share: arguments, weight and bias."""

    image_axes = 2             # how many axes the window slides along
    transposed = False

    @arguments
    def __init__(self, in_channels: int, out_channels: int, kernel_size, stride=1, padding=0,
                 dilation=1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros"):
        super().__init__()
        name = type(self).__name__
        check_offered(name, "padding_mode", padding_mode, "zeros")
        check_divides(name, "in_channels", in_channels, "groups", groups)
        check_divides(name, "out_channels", out_channels, "groups", groups)
        check_padding(name, padding)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size = self._sizes("kernel_size", kernel_size, 1)
        self.stride = self._sizes("stride", stride, 1)
        self.padding = padding if isinstance(padding, str) else self._sizes("padding", padding, 0)
        self.dilation, self.groups = self._sizes("dilation", dilation, 1), groups
        across = (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        # Memory order, which Parameter keeps: taps first, output channels last, as kernels read it.
        in_memory = np.zeros((*self.kernel_size, across[1] // groups, across[0]), np.float32)
        self.weight = Parameter(np.moveaxis(in_memory, (-1, -2), (0, 1)))
        self.register_parameter("bias", uninitialised(out_channels) if bias else None)
        self.reset_parameters()

    def _sizes(self, name: str, value, least: int) -> tuple[int, ...]:
        return checks.sizes(type(self).__name__, name, value, self.image_axes, least)


class Conv2d(ConvLayer):
    """y[n,o] = b[o] + sum_c x[n,c] * w[o,c]: (N,C,H,W) -> (N,O,OH,OW), w (O, C/groups, KH, KW).

    ``padding="same"`` with a stride is Keras's: ceil(H / SH) rows. Source: D3-CONV.
    """

    def product(self, input: Tensor, bias: Tensor | None = None) -> Tensor:
        """The convolution of `input` with the weight, plus `bias`."""
        return F.conv2d(input, self.weight, bias, self.stride, self.padding, self.dilation,
                        self.groups)


class ConvTranspose2d(ConvLayer):
    """The adjoint of Conv2d: (N,C,H,W) -> (N,O,OH,OW), w (C, O/groups, KH, KW).

    OH = (H-1) SH - 2 PH + (KH-1) DH + output_padding + 1; ``padding="same"`` is Keras's: OH = H SH.
    Source: D1-TCONV.
    """

    transposed = True

    @arguments
    def __init__(self, in_channels: int, out_channels: int, kernel_size, stride=1, padding=0,
                 output_padding=0, groups: int = 1, bias: bool = True, dilation=1,
                 padding_mode: str = "zeros"):
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups,
                         bias, padding_mode)
        self.output_padding = self._sizes("output_padding", output_padding, 0)

    def product(self, input: Tensor, bias: Tensor | None = None) -> Tensor:
        """The transposed convolution of `input` with the weight, plus `bias`."""
        return F.conv_transpose2d(input, self.weight, bias, self.stride, self.padding,
                                  self.output_padding, self.groups, self.dilation)
