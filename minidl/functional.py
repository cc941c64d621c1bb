"""``import minidl.functional as F``: the functions under PyTorch's names and signatures.

The formulas are in ``minidl.ops``. Here stands what is option rather than formula: sizes are
checked, "same" is a padding, one image is a batch of one. One number for an argument of pairs means
that number for both axes. Further functions and options stand in ``minidl/more``.
"""

from __future__ import annotations

from .checks import sizes
from .checks.arguments import arguments
from .checks.images import as_batch, channels_fit, pool_arguments, window_counts
from .checks.operands import needs_floats
from .more.further_convolution import conv1d, in_groups, same_padding
from .more.one_hot import one_hot
from .more.pooling import avg_pool2d, counts_rounded_up, places_of_maxima
from .more.resizing import interpolate, pixel_shuffle
from .more.skip_connection import residual
from .more.unfolding import fold, unfold
from .ops import conv, pool
from .ops.activation import leaky_relu, relu, sigmoid, tanh
from .ops.dropout import dropout
from .ops.fused import bias_activation
from .ops.generative import *
from .ops.linear import linear
from .ops.loss import cross_entropy
from .ops.more.attention import *
from .ops.more.axes import expand, permute, split, squeeze
from .ops.more.class_weights import nll_loss
from .ops.more.critics import *
from .ops.more.gaussians import gaussian_kl_between, gaussian_log_likelihood
from .ops.more.indexing import pad
from .ops.more.log_softmax import log_softmax
from .ops.more.probability_losses import *
from .ops.more.products import embedding
from .ops.more.regression import l1_loss, mse_loss, smooth_l1_loss
from .ops.more.smooth_activation import elu, gelu, softplus
from .ops.more.standardization import group_norm, layer_norm
from .ops.more.variance import normalize
from .ops.norm import batch_norm
from .ops.reduce import softmax
from .ops.shape import cat, flatten, reshape, unsqueeze
from .ops.windows import pool_borders, same_border
from .tensor import Tensor

__all__ = [
    "conv1d", "conv2d", "conv_transpose2d", "fold", "unfold", "same_padding", "linear", "embedding",
    "max_pool2d", "avg_pool2d", "interpolate", "pixel_shuffle",
    "elu", "gelu", "leaky_relu", "relu", "sigmoid", "softplus", "tanh", "softmax", "log_softmax",
    "bias_activation", "dropout", "batch_norm", "group_norm", "layer_norm", "normalize", "residual",
    "attention", "multi_head_attention", "scaled_dot_product_attention", "score_additive",
    "score_dot", "score_general", "score_scaled_dot",
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "cross_entropy", "kl_div",
    "l1_loss", "mse_loss", "nll_loss", "smooth_l1_loss", "one_hot",
    "bernoulli_log_likelihood", "elbo", "gaussian_kl", "gaussian_kl_between",
    "gaussian_log_likelihood", "reparameterize", "gan_value", "gan_discriminator_loss",
    "gan_generator_loss", "gradient_penalty", "lsgan_discriminator_loss", "lsgan_generator_loss",
    "wgan_critic_loss", "wgan_generator_loss",
    "cat", "expand", "flatten", "pad", "permute", "reshape", "split", "squeeze", "unsqueeze",
]


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
    if weight.ndim != 4:
        raise ValueError(f"conv2d: weight must be (O, C/groups, KH, KW), got {weight.shape}")
    stride = sizes("conv2d", "stride", stride, 2, 1)
    dilation = sizes("conv2d", "dilation", dilation, 2, 1)
    channels_fit("conv2d", input, weight, bias, groups, weight.shape[1] * groups, weight.shape[0])
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
    if weight.ndim != 4:
        raise ValueError(f"{name}: weight must be (C, O/groups, KH, KW), got {weight.shape}")
    stride, dilation = sizes(name, "stride", stride, 2, 1), sizes(name, "dilation", dilation, 2, 1)
    extra = sizes(name, "output_padding", output_padding, 2, 0)
    channels_fit(name, input, weight, bias, groups, weight.shape[0], weight.shape[1] * groups)
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
