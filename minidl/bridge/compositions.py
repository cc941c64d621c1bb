"""Functions of PyTorch that minidl has no op for, made of ops: PyTorch's names and arguments.

Each is exact, in its value and in its gradient, also at ties and kinks.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from .. import checks, ops
from .. import functional as F
from ..tensor import Tensor


# --------------------------------------------------------------------------- activations
def silu(input: Tensor) -> Tensor:
    """x sigmoid(x)."""
    return input * ops.sigmoid(input)


def mish(input: Tensor) -> Tensor:
    """x tanh(softplus(x))."""
    return input * ops.tanh(F.softplus(input))


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """x limited to [min_val, max_val]; the gradient on a limit is 0 (that of ``clamp`` is 1)."""
    above = ops.where(input > min_val, input, min_val)
    return ops.where(above < max_val, above, max_val)


def relu6(input: Tensor) -> Tensor:
    """x limited to [0, 6]."""
    return hardtanh(input, 0.0, 6.0)


def hardsigmoid(input: Tensor) -> Tensor:
    """(x + 3) / 6 limited to [0, 1]."""
    return relu6(input + 3) / 6


def hardswish(input: Tensor) -> Tensor:
    """x hardsigmoid(x)."""
    return ops.where(input > -3.0, ops.where(input < 3.0, input * (input + 3) / 6, input), 0.0)


def selu(input: Tensor) -> Tensor:
    """lambda elu(x, alpha), both constants as Klambauer et al. (2017) have them."""
    return F.elu(input, 1.6732632423543772) * 1.0507009873554805


def celu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """x where x > 0, else alpha (e^{x / alpha} - 1)."""
    return F.elu(input / alpha) * alpha


def softsign(input: Tensor) -> Tensor:
    """x / (1 + |x|)."""
    return input / (ops.abs(input) + 1)


def logsigmoid(input: Tensor) -> Tensor:
    """log sigmoid(x) = -log(1 + e^-x)."""
    return -F.softplus(-input, threshold=math.inf)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x where x > 0, else w x: one w, or one for each channel of (N,C,...)."""
    if weight.numel() > 1:
        weight = ops.reshape(weight, -1, *[1] * (input.ndim - 2))
    return ops.where(input > 0, input, input * weight)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """a sigmoid(b), a and b the halves of x along `dim`."""
    a, b = ops.chunk(input, 2, dim)
    return a * ops.sigmoid(b)


# --------------------------------------------------------------------------- one axis as two
def on_rows(function: Callable) -> Callable:
    """A function of images (N,C,H,W) for signals (N,C,W): images one pixel high."""
    def on_signals(input: Tensor, *sizes) -> Tensor:
        return ops.squeeze(function(ops.unsqueeze(input, -2), *sizes), -2)
    return on_signals


def row(size, other: int) -> tuple:
    """(other, size), of a size for one axis: 3 or (3,)."""
    return other, *(size if checks.several(size) else (size,))


def max_pool1d(input: Tensor, kernel_size, stride=None, padding=0, dilation=1,
               ceil_mode: bool = False) -> Tensor:
    """The maximum of each window: (N,C,W) -> (N,C,OW)."""
    return on_rows(F.max_pool2d)(
        input, row(kernel_size, 1), row(kernel_size if stride in (None, ()) else stride, 1),
        row(padding, 0), row(dilation, 1), ceil_mode)


def avg_pool1d(input: Tensor, kernel_size, stride=None, padding=0, ceil_mode: bool = False,
               count_include_pad: bool = True) -> Tensor:
    """The mean of each window: (N,C,W) -> (N,C,OW)."""
    return on_rows(F.avg_pool2d)(
        input, row(kernel_size, 1), row(kernel_size if stride in (None, ()) else stride, 1),
        row(padding, 0), ceil_mode, count_include_pad)


def conv_transpose1d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride=1,
                     padding=0, output_padding=0, groups: int = 1, dilation=1) -> Tensor:
    """The adjoint of ``conv1d``: (N,C,W) -> (N,O,OW), weight (C, O/groups, KW)."""
    y = F.conv_transpose2d(ops.unsqueeze(input, -2), ops.unsqueeze(weight, -2), bias,
                           row(stride, 1), row(padding, 0), row(output_padding, 0), groups,
                           row(dilation, 1))
    return ops.squeeze(y, -2)


# --------------------------------------------------------------------------- resampling
def windows_of(size: int, count: int) -> list[tuple[int, int]]:
    """Where the `count` windows of adaptive pooling begin and end, along an axis of `size`."""
    return [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]


def output_pair(output_size, input: Tensor) -> tuple[int, int]:
    """(OH, OW) of adaptive pooling; None keeps a length."""
    pair = output_size if checks.several(output_size) else (output_size,) * 2
    return tuple(n if m is None else m for m, n in zip(pair, input.shape[-2:]))


def resampled(input: Tensor, rows: np.ndarray, columns: np.ndarray) -> Tensor:
    """R x C^T for each channel: matrices (OH,H) and (OW,W) whose rows say how much of each pixel
    an output pixel takes."""
    rows, columns = (Tensor(m.astype(input.dtype), device=input.device) for m in (rows, columns))
    return ops.matmul(ops.matmul(rows, input), ops.transpose(columns, 0, 1))


def adaptive_avg_pool2d(input: Tensor, output_size) -> Tensor:
    """(N,C,H,W) -> (N,C,OH,OW), window i from floor(i H / OH) to ceil((i+1) H / OH): the mean of
    each."""
    (H, W), out = input.shape[-2:], output_pair(output_size, input)
    if out == (1, 1):
        return ops.mean(input, (-2, -1), keepdim=True)
    if H % out[0] == 0 and W % out[1] == 0:
        return F.avg_pool2d(input, (H // out[0], W // out[1]))
    means = []
    for size, count in zip((H, W), out):
        means.append(np.zeros((count, size)))
        for i, (start, end) in enumerate(windows_of(size, count)):
            means[-1][i, start:end] = 1 / (end - start)
    return resampled(input, *means)


def adaptive_max_pool2d(input: Tensor, output_size) -> Tensor:
    """As :func:`adaptive_avg_pool2d`, the maximum of each window."""
    (H, W), out = input.shape[-2:], output_pair(output_size, input)
    if H % out[0] == 0 and W % out[1] == 0:
        return F.max_pool2d(input, (H // out[0], W // out[1]))
    maxima = [F.max_pool2d(input[..., top:bottom, left:right], (bottom - top, right - left))
              for top, bottom in windows_of(H, out[0]) for left, right in windows_of(W, out[1])]
    return ops.reshape(ops.cat(maxima, -1), *input.shape[:-2], *out)


def adaptive_avg_pool1d(input: Tensor, output_size) -> Tensor:
    """(N,C,W) -> (N,C,OW): see :func:`adaptive_avg_pool2d`."""
    return on_rows(adaptive_avg_pool2d)(input, row(output_size, 1))


def adaptive_max_pool1d(input: Tensor, output_size) -> Tensor:
    """(N,C,W) -> (N,C,OW): see :func:`adaptive_max_pool2d`."""
    return on_rows(adaptive_max_pool2d)(input, row(output_size, 1))


def linear_weights(size: int, count: int, factor: float | None, align_corners: bool) -> np.ndarray:
    """(count, size): how much of each of `size` pixels a linear interpolation at `count` places
    takes. `factor` is the scale that was asked for, None if the size was."""
    places = np.arange(count, dtype=np.float64)
    if align_corners:
        places *= (size - 1) / (count - 1) if count > 1 else 0.0
    else:
        places = np.maximum((places + 0.5) * (1 / factor if factor else size / count) - 0.5, 0)
    left = np.minimum(places.astype(int), size - 1)
    right, share = np.minimum(left + 1, size - 1), np.minimum(places - left, 1.0)
    weights = np.zeros((count, size))
    np.add.at(weights, (np.arange(count), left), 1 - share)
    np.add.at(weights, (np.arange(count), right), share)
    return weights


def resized(input: Tensor, size=None, scale_factor=None, mode: str = "nearest",
            align_corners: bool | None = None) -> Tensor:
    """PyTorch's ``interpolate`` of (N,C,H,W), `mode` "nearest" or "bilinear"."""
    if mode == "nearest":
        return F.interpolate(input, size, scale_factor)
    pair = lambda value: value if checks.several(value) else (value, value)
    factors = (None, None) if scale_factor is None else pair(scale_factor)
    out = pair(size) if scale_factor is None else [
        math.floor(n * f) for n, f in zip(input.shape[-2:], factors)]
    return resampled(input, *(linear_weights(n, m, f, bool(align_corners))
                              for n, m, f in zip(input.shape[-2:], out, factors)))


def padded(input: Tensor, pad, mode: str = "constant", value: float | None = None) -> Tensor:
    """PyTorch's ``pad``, `mode` "constant", "reflect", "replicate" or "circular"."""
    if mode == "constant":
        return F.pad(input, pad, value=value)
    kinds = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    for k in range(len(pad) // 2):
        axis = input.ndim - 1 - k
        picked = np.pad(np.arange(input.shape[axis]), pad[2 * k:2 * k + 2], kinds[mode])
        input = input[(*[slice(None)] * axis, picked)]
    return input


# --------------------------------------------------------------------------- normalisation
def instance_norm(input: Tensor, running_mean=None, running_var=None, weight: Tensor | None = None,
                  bias: Tensor | None = None, use_input_stats: bool = True, momentum: float = 0.1,
                  eps: float = 1e-5) -> Tensor:
    """Each channel of each example standardised by itself, then weight and bias a channel."""
    return F.group_norm(input, input.shape[1], weight, bias, eps)


def rms_norm(input: Tensor, normalized_shape, weight: Tensor | None = None,
             eps: float | None = None) -> Tensor:
    """x / sqrt(mean x^2 + eps) over the last axes, times weight."""
    axes = tuple(range(-len(tuple(normalized_shape)), 0))
    eps = np.finfo(input.dtype).eps.item() if eps is None else eps
    y = input / ops.sqrt(ops.mean(input * input, axes, keepdim=True) + eps)
    return y if weight is None else y * weight


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x1 x2 / (max(|x1|, eps) max(|x2|, eps)) along `dim`."""
    return ops.sum(F.normalize(x1, dim=dim, eps=eps) * F.normalize(x2, dim=dim, eps=eps), dim)


# --------------------------------------------------------------------------- further
def channel_dropout(input: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Whole channels of (N,C,...) are 0 with probability p, the others divided by 1 - p."""
    ones = Tensor(np.ones((*input.shape[:2], *[1] * (input.ndim - 2)), input.dtype))
    return input * F.dropout(ones.to(device=input.device), p, training)


def embedded(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """Row `input` of the weight; the row `padding_idx` gets no gradient."""
    if padding_idx is not None:
        rows = np.arange(len(weight))[:, None] == padding_idx % len(weight)
        weight = ops.where(Tensor(rows, device=weight.device), weight.detach(), weight)
    return F.embedding(input, weight)


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y_o = x1 W_o x2 + b_o."""
    inner = ops.matmul(ops.unsqueeze(input1, -2), ops.transpose(weight, 0, 1).flatten(1))
    inner = ops.reshape(inner, *input1.shape[:-1], weight.shape[0], input2.shape[-1])
    y = ops.squeeze(ops.matmul(inner, ops.unsqueeze(input2, -1)), -1)
    return y if bias is None else y + bias


def huber_loss(input: Tensor, target: Tensor, reduction: str = "mean",
               delta: float = 1.0) -> Tensor:
    """d^2 / 2 where |d| < delta, else delta (|d| - delta / 2)."""
    return F.smooth_l1_loss(input, target, reduction, delta) * delta


def repeated(input: Tensor, *repeats) -> Tensor:
    """Copies of the whole side by side along each axis: PyTorch's ``repeat``."""
    counts = repeats[0] if len(repeats) == 1 and checks.several(repeats[0]) else repeats
    lengths = (1,) * (len(counts) - input.ndim) + input.shape
    once = ops.reshape(input, *(k for n in lengths for k in (1, n)))
    many = ops.expand(once, *(k for m, n in zip(counts, lengths) for k in (m, n)))
    return ops.reshape(many, *(m * n for m, n in zip(counts, lengths)))


def triangle(input: Tensor, diagonal: int = 0, upper: bool = False) -> Tensor:
    """The lower, or upper, triangle of the last two axes; zeros elsewhere."""
    rows, columns = np.ogrid[:input.shape[-2], :input.shape[-1]]
    inside = columns - rows >= diagonal if upper else columns - rows <= diagonal
    return ops.where(Tensor(inside, device=input.device), input, 0.0)


def rolled(input: Tensor, shifts, dims=None) -> Tensor:
    """Elements moved along axes by so many places; what leaves at the end comes in at the front."""
    if dims is None:
        return ops.reshape(rolled(input.flatten(), shifts, 0), *input.shape)
    pairs = zip(*((v if checks.several(v) else (v,)) for v in (shifts, dims)))
    for shift, dim in pairs:
        axis = dim % input.ndim
        places = (np.arange(input.shape[axis]) - shift) % input.shape[axis]
        input = input[(*[slice(None)] * axis, places)]
    return input
