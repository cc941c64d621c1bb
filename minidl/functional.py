"""``import minidl.functional as F``: the functions under PyTorch's names and signatures.

The formulas are in ``minidl.ops``; here sizes are checked, "same" becomes numbers, one image
becomes a batch of one, one number a pair for both axes. What is imported from ``more`` is for a
second reading.
"""

from __future__ import annotations

from .checks import sizes
from .checks.arguments import arguments
from .checks.images import as_batch, conv_arguments, output_fits, pool_arguments, window_counts
from .checks.operands import needs_floats
from .more import further_functions
from .more.further_convolution import in_groups
from .more.further_functions import *
from .more.pooling import counts_rounded_up, places_of_maxima
from .ops import batch_norm, conv, generative, linear, pool, softmax
from .ops.activation import leaky_relu, relu, sigmoid, tanh
from .ops.dropout import dropout
from .ops.fused import bias_activation
from .ops.generative import *
from .ops.loss import cross_entropy
from .ops.shape import cat, flatten, reshape, unsqueeze
from .ops.windows import pool_borders, same_border
from .tensor import Tensor

__all__ = ["conv2d", "conv_transpose2d", "max_pool2d", "linear", "leaky_relu", "relu", "sigmoid",
           "tanh", "softmax", "bias_activation", "dropout", "batch_norm", "cross_entropy", "cat",
           "flatten", "reshape", "unsqueeze", *generative.__all__, *further_functions.__all__]


def __dir__() -> list[str]:
    return __all__


@arguments
def conv2d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride=1, padding=0,
           dilation=1, groups: int = 1) -> Tensor:
    """y[n,o,i,j] = b[o] + sum_{c,u,v} x[n, c, i SH - PH + u DH, j SW - PW + v DW] w[o,c,u,v]

    input (N,C,H,W) or (C,H,W), weight (O,C/groups,KH,KW), bias (O,). `padding`: numbers, "valid",
    or "same" (Keras's; with a stride the output has ceil(H / SH) rows). This is cross-correlation;
    true convolution, on its full support, is ``conv2d(x, w.flip(2, 3), padding=(KH - 1, KW - 1))``.
    Raises ValueError when channels, groups or sizes do not fit. Source: D3-CONV; D1-CONV (true).

    >>> image, edge = Tensor([[[[0, 0, 5, 5]]]]).float(), Tensor([[[[-1, 1]]]]).float()
    >>> conv2d(image, edge)
    tensor([[[[0., 5., 0.]]]])
    """
    input, single = as_batch("conv2d", input)
    stride, dilation = conv_arguments("conv2d", input, weight, bias, stride, dilation, groups)
    size, kernel = input.shape[2:], weight.shape[2:]
    padding = (tuple(map(same_border, size, kernel, stride, dilation)) if padding == "same" else
               (0, 0) if padding == "valid" else sizes("conv2d", "padding", padding, 2, 0))
    window_counts("conv2d", size, kernel, stride, padding, dilation)
    y = (conv.conv2d(input, weight, bias, stride, padding, dilation) if groups == 1 else
         in_groups(input, weight, bias, groups, conv.conv2d, stride, padding, dilation))
    return squeeze(y, 0) if single else y


@arguments
def conv_transpose2d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride=1,
                     padding=0, output_padding=0, groups: int = 1, dilation=1) -> Tensor:
    """The adjoint of :func:`conv2d`: each input pixel adds its kernel stamp to the output.

    y[n, o, i SH - PH + u DH, j SW - PW + v DW] += x[n,c,i,j] w[c,o,u,v];  input (N,C,H,W), weight
    (C,O/groups,KH,KW), bias (O,); output (H-1) SH - 2 PH + (KH-1) DH + output_padding + 1 high.
    `padding="same"`, without output_padding, is Keras's: stride times as large. Source: D1-TCONV.
    """
    name = "conv_transpose2d"
    input, single = as_batch(name, input)
    stride, dilation = conv_arguments(name, input, weight, bias, stride, dilation, groups, True)
    output_padding = sizes(name, "output_padding", output_padding, 2, 0)
    if any(output_padding):
        output_fits(name, output_padding, padding, stride, dilation)
    if padding == "same":                # cut off what conv2d would put around the output
        size = tuple([H * S for H, S in zip(input.shape[2:], stride)])
        padding = tuple(map(same_border, size, weight.shape[2:], stride, dilation))
    else:
        padding = sizes(name, "padding", padding, 2, 0)
        size = tuple([(H - 1) * S - 2 * P + (K - 1) * D + more + 1 for H, S, P, K, D, more in zip(
            input.shape[2:], stride, padding, weight.shape[2:], dilation, output_padding)])
    if min(size) < 1:
        raise ValueError(f"{name}: padding {padding} leaves nothing of the output, size {size}")
    geometry = size, stride, padding, dilation
    y = (conv.conv2d_input_grad(input, weight, bias, *geometry) if groups == 1 else
         in_groups(input, weight, bias, groups, conv.conv2d_input_grad, *geometry))
    return squeeze(y, 0) if single else y


@arguments
def max_pool2d(input: Tensor, kernel_size, stride=None, padding=0, dilation=1,
               ceil_mode: bool = False, return_indices: bool = False):
    """y[n,c,i,j] = max over the window; the first of equal maxima gets the gradient.

    input (N,C,H,W) or (C,H,W); `stride` is the window's size unless given. `return_indices` adds
    each maximum's place y * W + x in its plane. Source: D0-MAXPOOL.
    """
    input, single = as_batch("max_pool2d", input)
    geometry = pool_arguments("max_pool2d", input, kernel_size, stride, padding, dilation)
    (window, stride, padding, dilation), size = geometry, input.shape[2:]
    out = (counts_rounded_up if ceil_mode else window_counts)("max_pool2d", size, *geometry)
    pads = pool_borders(size, out, *geometry)
    if any(map(any, pads)):                           # the border is -inf, which no integer is
        needs_floats("max_pool2d with padding", input)
    y, tap = pool.max_pool2d(input, window, stride, pads, dilation, out)
    y = squeeze(y, 0) if single else y
    if not return_indices:
        return y
    places = places_of_maxima(tap.data, size[1], window, stride, pads, dilation)
    return y, (squeeze(places, 0) if single else places)
