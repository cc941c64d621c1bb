"""What images, weights and windows must be: how many axes, channels and pixels."""

from __future__ import annotations

from ..ops.windows import output_size, sides
from ..tensor import Tensor
from . import sizes
from .operands import same_floats


def as_batch(op: str, input: Tensor) -> tuple[Tensor, bool]:
    """(C,H,W) as a batch of one; anything but 3 or 4 axes is an error."""
    if input.ndim not in (3, 4):
        raise ValueError(f"{op}: input must be (N, C, H, W) or (C, H, W), got {input.shape}")
    return (input.unsqueeze(0), True) if input.ndim == 3 else (input, False)


def some_pixels(op: str, input: Tensor) -> None:
    """Refuse images without channels or pixels, as PyTorch does; a batch may be empty."""
    if 0 in input.shape[1:]:
        raise ValueError(f"{op}: input {input.shape} has no channels or no pixels")


def conv_arguments(op: str, input, weight, bias, stride, dilation, groups, transposed=False):
    """Stride and dilation as pairs, where weight and bias fit `groups` and the image's channels."""
    if weight.ndim != 4:
        layout = "(C, O/groups, KH, KW)" if transposed else "(O, C/groups, KH, KW)"
        raise ValueError(f"{op}: weight must be {layout}, got {weight.shape}")
    stride, dilation = sizes(op, "stride", stride, 2, 1), sizes(op, "dilation", dilation, 2, 1)
    ends = weight.shape[1] * groups, weight.shape[0]
    channels, outputs = ends[::-1] if transposed else ends
    same_floats(op, input, ("weight", weight), ("bias", bias))
    if not weight.data.size:
        raise ValueError(f"{op}: weight {weight.shape} has no elements")
    if 0 in input.shape[2:] and input.shape[0]:
        raise ValueError(f"{op}: input {input.shape} has no pixels")
    if groups < 1 or weight.shape[0] % groups:
        raise ValueError(f"{op}: {weight.shape[0]} channels do not divide into groups={groups}")
    if input.shape[1] != channels:
        raise ValueError(f"{op}: weight expects {channels} input channels, input {input.shape} has "
                         f"{input.shape[1]}")
    if bias is not None and bias.shape != (outputs,):
        raise ValueError(f"{op}: bias must have shape ({outputs},), got {bias.shape}")
    return stride, dilation


def output_fits(op: str, output_padding, padding, stride, dilation) -> None:
    """Refuse output_padding beside "same", which settles the output's size, or if too large."""
    if padding == "same":
        raise ValueError(f'{op}: output_padding {output_padding} is not for padding="same", whose '
                         "output is exactly stride times as large")
    if any(n and n >= max(s, d) for n, s, d in zip(output_padding, stride, dilation)):
        raise ValueError(f"{op}: output_padding {output_padding} must be smaller than stride "
                         f"{stride} or dilation {dilation}")


def window_counts(op: str, size, kernel, stride, padding, dilation) -> tuple[int, int]:
    """The output size; an image that no window fits is an error."""
    out = output_size(size, kernel, stride, padding, dilation)
    if min(out) < 1:
        extent = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation))
        padded = tuple(n + sum(sides(p)) for n, p in zip(size, padding))
        raise ValueError(f"{op}: a kernel of extent {extent} does not fit an image that is {padded}"
                         " with its padding")
    return out


def pool_arguments(op: str, input: Tensor, kernel_size, stride, padding, dilation):
    """Window, stride, padding and dilation of a pool as pairs; the stride is the window's size
    unless given."""
    window = sizes(op, "kernel_size", kernel_size, 2, 1)
    stride = window if stride is None else sizes(op, "stride", stride, 2, 1)
    padding, dilation = sizes(op, "padding", padding, 2, 0), sizes(op, "dilation", dilation, 2, 1)
    if any(2 * p > k for p, k in zip(padding, window)):
        raise ValueError(f"{op}: padding {padding} must be at most half of the window {window}")
    some_pixels(op, input)
    return window, stride, padding, dilation
