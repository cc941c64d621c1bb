"""The second derivative of max pooling: what stands where the maxima were."""

from __future__ import annotations

from ...device import namespace
from ...op import op
from ...tensor import Tensor
from ..pool import NO_BORDER, bordered, max_pool2d_grad, window_taps
from ..terms import Gather


def _gather_taps(x, tap, window, stride, pads, dilation):
    """The adjoint: what stands at the recorded taps."""
    xp = namespace(x)
    x = bordered(x, pads, 0) if pads != NO_BORDER else x
    y = xp.zeros_like(tap, dtype=x.dtype)
    for k, place in window_taps(window, stride, dilation, *tap.shape[2:]):
        y = xp.where(tap == k, x[place], y)
    return y


@op("D0-MAXPOOL", terms=Gather())
def max_pool2d_pick(x: Tensor, tap, window, stride, pads, dilation, size):
    """What stands at the recorded taps."""
    def backward(gy):
        return max_pool2d_grad(gy, tap, window, stride, pads, dilation, size)
    return _gather_taps(x.data, tap, window, stride, pads, dilation), backward
