"""``import minidl.functional as F``: the functions under PyTorch's names and signatures.

The formulas are in ``minidl.ops``. Here stands what is option rather than formula, as a composition
above it: groups are split and concatenated, "same" is a padding, an average is a sum divided by a
count. One number for an argument of pairs means it for both axes.
"""

from __future__ import annotations

import functools
import math
import operator

import numpy as np

from . import checks
from .checks import sizes
from .checks.arguments import arguments
from .checks.arguments import number_argument as _number
from .device import namespace
from .ops import conv as _conv
from .ops import pool as _pool
from .ops import windows
from .ops.activation import bias_activation as _bias_activation
from .ops.activation import elu, gelu, leaky_relu, relu, sigmoid, softplus, tanh
from .ops.arithmetic import clone as _clone
from .ops.arithmetic import needs_floats, same_floats
from .ops.dropout import dropout
from .ops.generative import (
    bernoulli_log_likelihood,
    elbo,
    gan_discriminator_loss,
    gan_generator_loss,
    gan_value,
    gaussian_kl,
    gaussian_kl_between,
    gaussian_log_likelihood,
    gradient_penalty,
    lsgan_discriminator_loss,
    lsgan_generator_loss,
    reparameterize,
    wgan_critic_loss,
    wgan_generator_loss,
)
from .ops.linear import embedding, linear
from .ops.loss import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    kl_div,
    l1_loss,
    mse_loss,
    nll_loss,
    smooth_l1_loss,
)
from .ops.more.attention import (
    attention,
    multi_head_attention,
    scaled_dot_product_attention,
    score_additive,
    score_dot,
    score_general,
    score_scaled_dot,
)
from .ops.norm import batch_norm, group_norm, layer_norm
from .ops.reduce import log_softmax, softmax
from .ops.shape import (
    cat,
    expand,
    flatten,
    pad,
    permute,
    reshape,
    scatter_to,
    split,
    squeeze,
    unsqueeze,
)
from .ops.shape import stack as _stack
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


# --------------------------------------------------------------------------- arguments
def _images(op: str, input: Tensor) -> tuple[Tensor, bool]:
    """(C,H,W) as a batch of one; anything but 3 or 4 axes is an error."""
    if input.ndim not in (3, 4):
        raise ValueError(f"{op}: input must be (N, C, H, W) or (C, H, W), got {input.shape}")
    return (unsqueeze(input, 0), True) if input.ndim == 3 else (input, False)


def _out_size(op: str, size, kernel, stride, padding, dilation) -> tuple[int, int]:
    out = windows.output_size(size, kernel, stride, padding, dilation)
    if min(out) < 1:
        extent = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation))
        padded = tuple(n + sum(windows.sides(p)) for n, p in zip(size, padding))
        raise ValueError(f"{op}: a kernel of extent {extent} does not fit an image that is {padded}"
                         " with its padding")
    return out


@arguments
def bias_activation(input: Tensor, bias: Tensor, negative_slope: float = 0.0) -> Tensor:
    """leaky_relu(input + bias), one number of `bias` (C,) a channel of `input` (N,C,...), in one
    pass over memory. `negative_slope` 0 is relu, 1 the bias alone. Not in PyTorch; `nn.Sequential`
    uses it (see there). Source: D2-RELU, D0-LRELU."""
    if bias.shape != input.shape[1:2]:
        raise ValueError(f"bias_activation: bias must have shape {input.shape[1:2]} for input "
                         f"{input.shape}, got {bias.shape}")
    if not 0 <= negative_slope <= 1:
        raise ValueError(f"bias_activation: negative_slope must be in [0, 1], got {negative_slope}")
    shaped = bias if input.ndim == 2 else reshape(bias, -1, *(1,) * (input.ndim - 2))
    return _bias_activation(input, shaped, float(negative_slope))


def _grouped(x: Tensor, w: Tensor, b: Tensor | None, groups: int, convolve, *geometry) -> Tensor:
    """Each group of channels with its own weights and biases; the results side by side."""
    xs, ws = split(x, x.shape[1] // groups, 1), split(w, w.shape[0] // groups, 0)
    bs = [None] * groups if b is None else split(b, b.shape[0] // groups, 0)
    return cat([convolve(*each, *geometry) for each in zip(xs, ws, bs)], 1)


@arguments
def same_padding(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Keras's "same": zeros before and after, so that the output has ceil(size / stride) pixels;
    an odd one goes after. With stride 1 PyTorch's "same" is equal to it."""
    return windows.same_border(size, kernel, checks.whole("same_padding: stride", stride, 1),
                               dilation)


# --------------------------------------------------------------------------- convolution
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
    input, single = _images("conv2d", input)
    if weight.ndim != 4:
        raise ValueError(f"conv2d: weight must be (O, C/groups, KH, KW), got {weight.shape}")
    stride = sizes("conv2d", "stride", stride, 2, 1)
    dilation = sizes("conv2d", "dilation", dilation, 2, 1)
    _check_channels("conv2d", input, weight, bias, groups, weight.shape[1] * groups,
                    weight.shape[0])
    kernel = weight.shape[2:]
    padding = (tuple(map(windows.same_border, input.shape[2:], kernel, stride, dilation))
               if padding == "same" else (0, 0) if padding == "valid"
               else sizes("conv2d", "padding", padding, 2, 0))
    _out_size("conv2d", input.shape[2:], kernel, stride, padding, dilation)
    y = (_conv.conv2d(input, weight, bias, stride, padding, dilation) if groups == 1 else
         _grouped(input, weight, bias, groups, _conv.conv2d, stride, padding, dilation))
    return squeeze(y, 0) if single else y


def _some_pixels(op: str, input: Tensor) -> None:
    """Refuse images without channels or pixels, as PyTorch does; a batch may be empty."""
    if 0 in input.shape[1:]:
        raise ValueError(f"{op}: input {input.shape} has no channels or no pixels")


def _check_channels(op, input, weight, bias, groups, channels, outputs) -> None:
    """Refuse weights and biases that do not fit `groups`, or images of that many `channels`."""
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
    y = conv2d(unsqueeze(input, -2), unsqueeze(weight, -2), bias, row("stride", stride, 1), padding,
               row("dilation", dilation, 1), groups)
    return squeeze(y, -2)


@arguments
def conv_transpose2d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride=1,
                     padding=0, output_padding=0, groups: int = 1, dilation=1) -> Tensor:
    """The adjoint of :func:`conv2d`: each input pixel adds its kernel stamp to the output.

    y[n, o, i SH - PH + u DH, j SW - PW + v DW] += x[n,c,i,j] w[c,o,u,v];  input (N,C,H,W), weight
    (C,O/groups,KH,KW), bias (O,); output (H-1) SH - 2 PH + (KH-1) DH + output_padding + 1 high.
    `padding="same"` is Keras's: the output is exactly stride times as large. Source: D1-TCONV.
    """
    name = "conv_transpose2d"
    input, single = _images(name, input)
    if weight.ndim != 4:
        raise ValueError(f"{name}: weight must be (C, O/groups, KH, KW), got {weight.shape}")
    stride, dilation = sizes(name, "stride", stride, 2, 1), sizes(name, "dilation", dilation, 2, 1)
    extra = sizes(name, "output_padding", output_padding, 2, 0)
    _check_channels(name, input, weight, bias, groups, weight.shape[0], weight.shape[1] * groups)
    kernel = weight.shape[2:]
    if padding == "same":
        # What "same" convolution adds around an image, its adjoint leaves out.
        full = tuple(n * s for n, s in zip(input.shape[2:], stride))
        padding = tuple(map(windows.same_border, full, kernel, stride, dilation))
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
    y = (_conv.conv2d_input_grad(input, weight, bias, *geometry) if groups == 1 else
         _grouped(input, weight, bias, groups, _conv.conv2d_input_grad, *geometry))
    return squeeze(y, 0) if single else y


@arguments
def unfold(input: Tensor, kernel_size, dilation=1, padding=0, stride=1) -> Tensor:
    """im2col itself: (N,C,H,W) -> (N, C KH KW, OH OW), a column for each output pixel's window:
    y[n, (c,u,v), (i,j)] = x[n, c, i SH - PH + u DH, j SW - PW + v DW]."""
    if input.ndim != 4:
        raise ValueError(f"unfold: input must be (N, C, H, W), got {input.shape}")
    _some_pixels("unfold", input)
    kernel, args = _window_arguments("unfold", kernel_size, dilation, padding, stride)
    N, C = input.shape[:2]
    out = _out_size("unfold", input.shape[2:], kernel, *args)
    (PH, PW), image = args[1], input
    if PH or PW:
        image = pad(input, (PW, PW, PH, PH))
    taps = [image[under] for under in _under_taps(kernel, out, *args)]
    return reshape(_stack(taps, 2), N, C * len(taps), math.prod(out))


@arguments
def fold(input: Tensor, output_size, kernel_size, dilation=1, padding=0, stride=1) -> Tensor:
    """The adjoint of :func:`unfold`: overlapping columns are added up. (N, C KH KW, L) ->
    (N,C,H,W) with (H,W) = `output_size`."""
    kernel, args = _window_arguments("fold", kernel_size, dilation, padding, stride)
    H, W = size = sizes("fold", "output_size", output_size, 2, 1)
    OH, OW = _out_size("fold", size, kernel, *args)
    KK = kernel[0] * kernel[1]
    if input.ndim != 3 or input.shape[1] % KK or input.shape[2] != OH * OW:
        raise ValueError(f"fold: input must be (N, C*{KK}, {OH * OW}), got {input.shape}")
    (PH, PW), (N, C) = args[1], (input.shape[0], input.shape[1] // KK)
    columns = reshape(input, N, C, KK, OH, OW)
    parts = [scatter_to(columns[:, :, k], under, (N, C, H + 2 * PH, W + 2 * PW))
             for k, under in enumerate(_under_taps(kernel, (OH, OW), *args))]
    return functools.reduce(operator.add, parts)[:, :, PH:PH + H, PW:PW + W]


def _window_arguments(op, kernel_size, dilation, padding, stride):
    return sizes(op, "kernel_size", kernel_size, 2, 1), (
        sizes(op, "stride", stride, 2, 1), sizes(op, "padding", padding, 2, 0),
        sizes(op, "dilation", dilation, 2, 1))


def _under_taps(kernel, out, stride, padding, dilation) -> list[tuple]:
    """For each tap (u,v) the pixels of a padded image that lie under it, one an output pixel."""
    rows, columns = ([slice(u * d, u * d + (m - 1) * s + 1, s) for u in range(k)]
                     for k, m, s, d in zip(kernel, out, stride, dilation))
    return [(..., row, column) for row in rows for column in columns]


# --------------------------------------------------------------------------- pooling
def _pool_geometry(op, input, kernel_size, stride, padding, dilation, ceil_mode):
    """Window, stride, output size, and the border (with what ceil_mode adds after)."""
    window = sizes(op, "kernel_size", kernel_size, 2, 1)
    stride = window if stride is None else sizes(op, "stride", stride, 2, 1)
    padding, dilation = sizes(op, "padding", padding, 2, 0), sizes(op, "dilation", dilation, 2, 1)
    if any(2 * p > k for p, k in zip(padding, window)):
        raise ValueError(f"{op}: padding {padding} must be at most half of the window {window}")
    _some_pixels(op, input)
    size = input.shape[2:]
    if ceil_mode:                                     # rounded up: s - 1 more pixels, rounded down
        more = tuple((p, p + s - 1) for p, s in zip(padding, stride))
        counts = windows.output_size(size, window, stride, more, dilation)
    else:
        counts = _out_size(op, size, window, stride, padding, dilation)
    out, pads = [], []
    for count, n, k, s, p, d in zip(counts, size, window, stride, padding, dilation):
        if (count - 1) * s >= n + p:                  # a last, partial window must begin inside the
            count -= 1                                # image or the padding before it
        if count < 1:
            raise ValueError(f"{op}: no window of {window} begins inside an image of {size}")
        out.append(count)
        pads.append((p, max((count - 1) * s + (k - 1) * d + 1 - n - p, 0)))
    return window, stride, tuple(pads), dilation, tuple(out)


@arguments
def max_pool2d(input: Tensor, kernel_size, stride=None, padding=0, dilation=1,
               ceil_mode: bool = False, return_indices: bool = False):
    """y[n,c,i,j] = max over the window; the first of equal maxima gets the gradient.

    input (N,C,H,W) or (C,H,W); `stride` is the window's size unless given. `return_indices` adds
    each maximum's place y * W + x in its plane. Source: D0-MAXPOOL.
    """
    input, single = _images("max_pool2d", input)
    window, stride, pads, dilation, out = _pool_geometry(
        "max_pool2d", input, kernel_size, stride, padding, dilation, ceil_mode)
    if any(map(any, pads)):                           # of -inf, which integers do not have
        needs_floats("max_pool2d with padding", input)
    y, tap = _pool.max_pool2d(input, window, stride, pads, dilation, out)
    y = squeeze(y, 0) if single else y
    if not return_indices:
        return y
    places = _places_of_maxima(tap.data, input.shape[3], window, stride, pads, dilation)
    return y, (squeeze(places, 0) if single else places)


def _places_of_maxima(tap, W: int, window, stride, pads, dilation) -> Tensor:
    """The place y W + x in its plane of each maximum, from the number of its tap."""
    xp, t = namespace(tap), tap.astype(np.int64)
    OH, OW = tap.shape[2:]
    rows = xp.arange(OH)[:, None] * stride[0] - pads[0][0] + t // window[1] * dilation[0]
    columns = xp.arange(OW) * stride[1] - pads[1][0] + t % window[1] * dilation[1]
    return Tensor._wrap(rows * W + columns)


@arguments
def avg_pool2d(input: Tensor, kernel_size, stride=None, padding=0, ceil_mode: bool = False,
               count_include_pad: bool = True, divisor_override=None) -> Tensor:
    """The mean over the window. With padding the divisor counts the border's zeros, or, with
    ``count_include_pad=False``, only the image's pixels. Source: D0-AVGPOOL."""
    if divisor_override is not None:
        raise ValueError("avg_pool2d: divisor_override is not offered; multiply the result instead")
    input, single = _images("avg_pool2d", input)
    needs_floats("avg_pool2d", input)
    size = input.shape[2:]
    window, stride, pads, _, out = _pool_geometry(
        "avg_pool2d", input, kernel_size, stride, padding, 1, ceil_mode)
    total = _pool.sum_pool2d(input, window, stride, pads, out)
    if not any(pads[0] + pads[1]):                    # every window lies inside
        y = total * (1 / math.prod(window))
        return squeeze(y, 0) if single else y
    counts, xp = [], namespace(input.data)
    for n, k, s, (before, _), m in zip(size, window, stride, pads, out):
        start = xp.arange(m) * s - before
        low, high = (-before, n + before) if count_include_pad else (0, n)
        counts.append(xp.minimum(start + k, high) - xp.maximum(start, low))
    divisor = (counts[0][:, None] * counts[1]).astype(input.dtype)
    y = total * Tensor._wrap(1 / divisor)
    return squeeze(y, 0) if single else y


# --------------------------------------------------------------------------- size of images
@arguments
def interpolate(input: Tensor, size=None, scale_factor=None, mode: str = "nearest") -> Tensor:
    """Nearest-neighbour resizing: y[i,j] = x[floor(i / SH), floor(j / SW)].

    Give `size` (OH, OW), then SH = OH / H and SW = OW / W; or `scale_factor` S or (SH, SW), then
    OH = floor(H SH), OW = floor(W SW). Only mode "nearest" is offered. Source: D2-UPSAMPLE.
    """
    if mode != "nearest":
        raise ValueError(f'interpolate: only mode "nearest" is offered, got {mode!r}')
    if (size is None) == (scale_factor is None):
        raise ValueError("interpolate: give either size or scale_factor")
    if input.ndim != 4:
        raise ValueError(f"interpolate: input must be (N, C, H, W), got {input.shape}")
    _some_pixels("interpolate", input)
    H, W = input.shape[2:]
    factors = scale_factor if checks.several(scale_factor) else (scale_factor,) * 2
    if size is None:
        factors = [_number("interpolate: scale_factor", f) for f in factors]
        if len(factors) != 2 or not all(0 < f < checks.LARGEST_SIZE for f in factors):
            raise ValueError("interpolate: scale_factor must be one or two positive numbers, got "
                             f"{scale_factor!r}")
        size = (int(H * factors[0]), int(W * factors[1]))
    OH, OW = sizes("interpolate", "size", size, 2, 1)
    if (OH, OW) == (H, W):
        return _clone(input)                            # and never a view
    factors = [None if m in (n, 2 * n) else f          # 1 and 2 exactly, as PyTorch
               for m, n, f in zip((OH, OW), (H, W), factors)]
    if all(m % n == 0 and f in (None, m // n) for m, n, f in zip((OH, OW), (H, W), factors)):
        N, C = input.shape[:2]                         # whole factors: repeat pixels
        blocks = expand(reshape(input, N, C, H, 1, W, 1), N, C, H, OH // H, W, OW // W)
        return reshape(blocks, N, C, OH, OW)
    xp = namespace(input.data)
    rows, columns = (xp.arange(m) * n // m if f is None else
                     xp.minimum((xp.arange(m) / f).astype(np.int64), n - 1)
                     for m, f, n in zip((OH, OW), factors, (H, W)))
    return input[:, :, rows[:, None], columns]


@arguments
def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(N, C r^2, H, W) -> (N, C, H r, W r): y[n,c,i r + a,j r + b] = x[n, c r^2 + a r + b, i, j].
    Shi et al. (2016)."""
    if input.ndim != 4:
        raise ValueError(f"pixel_shuffle: input must be (N, C r^2, H, W), got {input.shape}")
    r, (N, CRR, H, W) = upscale_factor, input.shape
    if r < 1 or CRR % (r * r):
        raise ValueError(f"pixel_shuffle: {CRR} channels do not divide by {r}^2")
    if r == 1:
        return _clone(input)                            # and never a view
    y = permute(reshape(input, N, CRR // (r * r), r, r, H, W), 0, 1, 4, 2, 5, 3)
    return reshape(y, N, CRR // (r * r), H * r, W * r)


# --------------------------------------------------------------------------- small ones
@arguments
def residual(input: Tensor, function) -> Tensor:
    """y = x + F(x). Source: D3-RESIDUAL."""
    return input + function(input)


@arguments
def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Rows with a 1 at the class number, int64: (...) -> (..., num_classes). Where num_classes is
    -1 it is one more than the largest number, 65,536 at most."""
    index = tensor.data
    if num_classes < -1:
        raise ValueError(f"one_hot: num_classes must be at least -1, got {num_classes}")
    if num_classes == -1 and index.size == 0:
        raise ValueError("one_hot: num_classes cannot be guessed from no numbers; give it")
    checks.integers("one_hot", index)
    classes = (checks.classes_of("one_hot", index, "num_classes") if num_classes == -1
               else num_classes)
    checks.labels("one_hot", index, classes)
    xp = namespace(index)
    return Tensor._wrap((index[..., None] == xp.arange(classes)).astype(np.int64))


@arguments
def normalize(input: Tensor, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """x / max(||x||, eps) along `dim`."""
    checks.number("normalize: eps", eps)
    return input / input.norm(dim=dim, keepdim=True).clamp(min=eps)
