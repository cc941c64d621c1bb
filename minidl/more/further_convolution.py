"""Further convolution: groups of channels, one axis, and the padding that Keras calls "same"."""

from __future__ import annotations

from .. import checks
from .. import functional as F
from ..checks.arguments import arguments
from ..ops.more.axes import split, squeeze
from ..ops.shape import cat, unsqueeze
from ..ops.windows import same_border
from ..tensor import Tensor


def in_groups(x: Tensor, w: Tensor, b: Tensor | None, groups: int, convolve, *geometry) -> Tensor:
    """Each group of channels with its own weights and biases; the results side by side."""
    xs, ws = split(x, x.shape[1] // groups, 1), split(w, w.shape[0] // groups, 0)
    bs = [None] * groups if b is None else split(b, b.shape[0] // groups, 0)
    return cat([convolve(*each, *geometry) for each in zip(xs, ws, bs)], 1)


@arguments
def same_padding(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Keras's "same": zeros before and after, so that the output has ceil(size / stride) pixels;
    an odd one goes after. With stride 1 PyTorch's "same" is equal to it."""
    return same_border(size, kernel, checks.whole("same_padding: stride", stride, 1),
                               dilation)


@arguments
def conv1d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride=1, padding=0,
           dilation=1, groups: int = 1) -> Tensor:
    """:func:`conv2d` on images one pixel high: input (N,C,W), weight (O,C/groups,KW)."""
    if input.ndim not in (2, 3) or weight.ndim != 3:
        raise ValueError(f"conv1d: input must be (N, C, W) and weight (O, C/groups, KW), got "
                         f"{input.shape} and {weight.shape}")
    def row(name, value, other):
        return (other, *checks.sizes("conv1d", name, value, 1, other))
    named = isinstance(padding, str) and padding in ("same", "valid")
    padding = padding if named else row("padding", padding, 0)
    y = F.conv2d(unsqueeze(input, -2), unsqueeze(weight, -2), bias, row("stride", stride, 1),
                 padding, row("dilation", dilation, 1), groups)
    return squeeze(y, -2)
