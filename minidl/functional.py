"""``import minidl.functional as F``: the functions under PyTorch's names and signatures.

The formulas are in ``minidl.ops``. Here stands what is option rather than formula: sizes are
checked, "same" is a padding, one image is a batch of one. One number for an argument of pairs means
that number for both axes. Further functions and options stand in ``minidl/more``.
"""

from __future__ import annotations

from .checks import sizes
from .checks.arguments import arguments
from .checks.images import as_batch, conv_arguments, pool_arguments, window_counts
from .checks.operands import needs_floats
from .more import further_functions
from .more.further_convolution import in_groups
from .more.further_functions import *
from .more.pooling import counts_rounded_up, places_of_maxima
from .ops import conv, pool
from .ops.activation import leaky_relu, relu, sigmoid, tanh
from .ops.dropout import dropout
from .ops.fused import bias_activation
from .ops.generative import *
from .ops.linear import linear
from .ops.loss import cross_entropy
from .ops.norm import batch_norm
from .ops.reduce import softmax
from .ops.shape import cat, flatten, reshape, unsqueeze
from .ops.windows import pool_borders, same_border
from .tensor import Tensor

__all__ = ["conv2d", "conv_transpose2d", "max_pool2d", "linear", "leaky_relu", "relu", "sigmoid",
           "tanh", "softmax", "bias_activation", "dropout", "batch_norm", "cross_entropy",
           "bernoulli_log_likelihood", "elbo", "gaussian_kl", "reparameterize", "gan_value",
           "gan_discriminator_loss", "gan_generator_loss", "cat", "flatten", "reshape", "unsqueeze"]
__all__ += further_functions.__all__


def __dir__() -> list[str]:
    return __all__


@arguments
def conv2d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride=1, padding=0,
           dilation=1, groups: int = 1) -> Tensor:
    """y[n,o,i,j] = b[o] + sum_{c,u,v} x[n, c, i SH - PH + u DH, j SW - PW + v DW] w[o,c,u,v]

    input (N,C,H,W) or (C,H,W), weight (O,C/groups,KH,KW), bias (O,). `padding`: numbers, "valid",
    or "same" (Keras's; with a stride the output has ceil(H / SH) rows). This is cross-correlation;
    true convolution is ``conv2d(x, w.flip(2, 3), padding=(KH - 1, KW - 1))``, summed over its full
    support. Source: D3-CONV; D1-CONV (the true one).
    Raises ValueError when channels, groups or sizes do not fit.

    >>> image, edge = Tensor([[[[0, 0, 5, 5]]]]).float(), Tensor([[[[-1, 1]]]]).float()
    >>> conv2d(image, edge)
    tensor([[[[0., 5., 0.]]]])
    """
    input, single = as_batch("conv2d", input)
    stride, dilation = conv_arguments("conv2d", input, weight, bias, stride, dilation, groups)
    kernel = weight.shape[2:]
    padding = (tuple(map(same_border, input.shape[2:], kernel, stride, dilation))
               if padding == "same" else (0, 0) if padding == "valid"
               else sizes("conv2d", "padding", padding, 2, 0))
    window_counts("conv2d", input.shape[2:], kernel, stride, padding, dilation)
    y = (conv.conv2d(input, weight, bias, stride, padding, dilation) if groups == 1 else
         in_groups(input, weight, bias, groups, conv.conv2d, stride, padding, dilation))
    return squeeze(y, 0) if single else y


@arguments
def conv_transpose2d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride=1,
                     padding=0, output_padding=0, groups: int = 1, dilation=1) -> Tensor:
    """The adjoint of :func:`conv2d`: each input pixel adds its kernel stamp to the output.

    y[n, o, i SH - PH + u DH, j SW - PW + v DW] += x[n,c,i,j] w[c,o,u,v];  input (N,C,H,W), weight
    (C,O/groups,KH,KW), bias (O,); output (H-1) SH - 2 PH + (KH-1) DH + output_padding + 1 high.
    `padding="same"` is Keras's: the output is exactly stride times as large. Source: D1-TCONV.
    """
    name = "conv_transpose2d"
    input, single = as_batch(name, input)
    stride, dilation = conv_arguments(name, input, weight, bias, stride, dilation, groups, True)
    extra = sizes(name, "output_padding", output_padding, 2, 0)
    kernel = weight.shape[2:]
    if padding == "same":
        # What "same" convolution adds around an image, its adjoint leaves out.
        full = tuple(n * s for n, s in zip(input.shape[2:], stride))
        padding = tuple(map(same_border, full, kernel, stride, dilation))
        extra = (0, 0)
    else:
        padding = sizes(name, "padding", padding, 2, 0)
        full = tuple((n - 1) * s - 2 * p + (k - 1) * d + e + 1 for n, s, p, k, d, e in zip(
            input.shape[2:], stride, padding, kernel, dilation, extra))
    if any(e and e >= max(s, d) for e, s, d in zip(extra, stride, dilation)):
        raise ValueError(f"{name}: output_padding {extra} must be smaller than stride {stride} or "
                         f"dilation {dilation}")
    if min(full) < 1:
        raise ValueError(f"{name}: padding {padding} leaves nothing of the output, size {full}")
    geometry = full, stride, padding, dilation
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
    geometry = window, stride, _, dilation = pool_arguments(
        "max_pool2d", input, kernel_size, stride, padding, dilation)
    size = input.shape[2:]
    out = (counts_rounded_up if ceil_mode else window_counts)("max_pool2d", size, *geometry)
    pads = pool_borders(size, out, *geometry)
    if any(map(any, pads)):                           # of -inf, which integers do not have
        needs_floats("max_pool2d with padding", input)
    y, tap = pool.max_pool2d(input, window, stride, pads, dilation, out)
    y = squeeze(y, 0) if single else y
    if not return_indices:
        return y
    places = places_of_maxima(tap.data, size[1], window, stride, pads, dilation)
    return y, (squeeze(places, 0) if single else places)
