"""Pooling by means."""

from __future__ import annotations

from ... import checks
from ... import functional as F
from ...checks.arguments import arguments, tensor_argument
from ...checks.layer_options import check_window
from ...tensor import Tensor
from ..module import Module


class AvgPool2d(Module):
    """The mean of each window: (N,C,H,W) -> (N,C,OH,OW). Source: D0-AVGPOOL."""

    @arguments
    def __init__(self, kernel_size, stride=None, padding=0, ceil_mode: bool = False,
                 count_include_pad: bool = True, divisor_override=None):
        super().__init__()
        if divisor_override is not None:
            raise ValueError("AvgPool2d: divisor_override is not offered; multiply the result "
                             "instead")
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.ceil_mode = padding, ceil_mode
        check_window(self, kernel_size=1, stride=1, padding=0)
        self.count_include_pad = count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool2d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
                            self.count_include_pad)


class AdaptiveAvgPool2d(Module):
    """The mean of each channel, "global average pooling": (N,C,H,W) -> (N,C,1,1). Of PyTorch's
    output sizes only 1 is offered."""

    def __init__(self, output_size):
        super().__init__()
        if checks.sizes("AdaptiveAvgPool2d", "output_size", output_size, 2, 1) != (1, 1):
            raise ValueError(f"AdaptiveAvgPool2d: only output_size=1 is offered, got {output_size}")
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        return tensor_argument("AdaptiveAvgPool2d: input", input).mean((-2, -1), keepdim=True)
