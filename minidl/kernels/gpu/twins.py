"""The kernels for CUDA, under the names of what they replace: kernels.cu, and how it is called.

Few, for a launch costs the host about ten microseconds and a small network is over sooner: each
takes the place of several of CuPy's own. A convolution is im2col and one two-dimensional matrix
product, its input gradient the product and a gather. Everything that has no entry here is CuPy
running the readable function. Memory order is the CPU kernels' (layout.py): images with the
channels last, weights with the taps first.
"""

from __future__ import annotations

import functools
import math
import threading
from contextlib import contextmanager

import numpy as np

from ...device import namespace
from ...ops.windows import output_size, sides
from .. import READABLE, fits, layout
from .launch import CONSTANTS, THREADS, array_address, launch, structs

COLUMNS, TENSORS, UPDATE_PIECE = (CONSTANTS[name] for name in ("COLUMNS", "TENSORS", "PIECE"))
LANES = THREADS // COLUMNS
CUDA_SUMS = 64                # partial sums of a sum over rows: as many on every machine
WIDEST = 256              # classes of a row of cross entropy, which one thread walks alone
MOST_CLASS_NUMBERS = 2**17           # class numbers whose shares one block counts


# --------------------------------------------------------------------------- memory order
@functools.lru_cache(256)
def _window(real, C, size, out_size, kernel, stride, before, dilation):
    """The struct Window of kernels.cu; `before` is the border above and on the left."""
    return np.array([(*size, C, *out_size, *kernel, *stride, *before, *dilation)],
                    structs(real)["Window"])


def _borders(padding):
    return tuple(sides(p)[0] for p in padding)


# --------------------------------------------------------------------------- convolution
def _im2col(x, kernel, out_size, stride, padding, dilation):
    """The window under each output pixel as a row (N OH OW, KH KW C)."""
    N, C, H, W = x.shape
    window = _window(x.dtype, C, (H, W), out_size, kernel, stride, _borders(padding), dilation)
    rows = namespace(x).empty((N * math.prod(out_size), math.prod(kernel) * C), x.dtype)
    launch("im2col", rows.size, x.dtype, layout.channels_last(x), rows, window, rows.size)
    return rows


def _conv2d(x, w, b, stride, padding, dilation):
    O, kernel = len(w), w.shape[2:]
    out_size = output_size(x.shape[2:], kernel, stride, padding, dilation)
    rows = _im2col(x, kernel, out_size, stride, padding, dilation)
    y = rows @ layout.taps_first(w).reshape(-1, O)
    return layout.images(y if b is None else y + b, len(x), O, *out_size)


def _conv2d_input_grad(g, w, b, size, stride, padding, dilation):
    N, O, *out_size = g.shape
    _, C, *kernel = w.shape
    rows = layout.channels_last(g).reshape(-1, O) @ layout.taps_first(w).reshape(-1, O).T
    window = _window(g.dtype, C, tuple(size), tuple(out_size), tuple(kernel), stride,
                     _borders(padding), dilation)
    gx = namespace(g).empty(N * C * math.prod(size), g.dtype)
    launch("col2im", gx.size, g.dtype, rows, gx, window, gx.size)
    gx = layout.images(gx, N, C, *size)
    return gx if b is None else gx + b.reshape(-1, 1, 1)


def _conv2d_weight_grad(x, g, kernel, stride, padding, dilation):
    (KH, KW), C, (O, *out_size) = kernel, x.shape[1], g.shape[1:]
    rows = _im2col(x, kernel, tuple(out_size), stride, padding, dilation)
    taps = rows.T @ layout.channels_last(g).reshape(-1, O)
    return taps.reshape(KH, KW, C, O).transpose(3, 2, 0, 1)


# --------------------------------------------------------------------------- pooling
def _max_pool2d(x, window, stride, pads, dilation, out_size):
    N, C, *size = x.shape
    xp, count = namespace(x), N * C * math.prod(out_size)
    y, taps = xp.empty(count, x.dtype), xp.empty(count, np.int32)
    window = _window(x.dtype, C, tuple(size), out_size, window, stride, _borders(pads), dilation)
    launch("max_pool", count, x.dtype, layout.channels_last(x), y, taps, window, count)
    return layout.images(y, N, C, *out_size), layout.images(taps, N, C, *out_size)


def _scatter_taps(g, tap, window, stride, pads, dilation, size):
    N, C, *out_size = g.shape
    gx = namespace(g).empty(N * C * math.prod(size), g.dtype)
    window = _window(g.dtype, C, size, tuple(out_size), window, stride, _borders(pads), dilation)
    launch("max_pool_grad", gx.size, g.dtype, layout.channels_last(g), layout.channels_last(tap),
           gx, window, gx.size)
    return layout.images(gx, N, C, *size)


# --------------------------------------------------------------------------- bias and activation
@fits(lambda x, b: layout.one_a_channel(b.shape, x))
def _bias_activation(x, b, slope):
    flat, b = layout.by_rows(x), layout.line(b)
    y = namespace(x).empty_like(flat)
    launch("bias_activation", y.size, x.dtype, flat, b, y, b.size, slope, y.size)
    return layout.like_rows(y, x.shape)


@fits(lambda gy, y: gy.ndim in (2, 4))
def _bias_activation_grad(gy, y, shape, slope):
    if not layout.one_a_channel(shape, gy):
        return READABLE["_bias_activation_grad"](gy, y, shape, slope)
    xp, g, C = namespace(gy), layout.by_rows(gy), gy.shape[1]
    rows = g.size // C
    parts = min(CUDA_SUMS, -(-rows // LANES))
    gx, sums, total = xp.empty_like(g), xp.empty(parts * C, np.float64), xp.empty(C, gy.dtype)
    blocks = parts * -(-C // COLUMNS)
    launch("bias_activation_grad", blocks * THREADS, gy.dtype, g, layout.by_rows(y), gx, sums, rows,
           C, parts, slope)
    launch("part_sums", C, gy.dtype, sums, total, C, parts)
    return layout.like_rows(gx, gy.shape), total.reshape(shape)


# --------------------------------------------------------------------------- cross entropy
@fits(lambda x: x.size <= MOST_CLASS_NUMBERS * x.shape[min(1, x.ndim - 1)])
def _class_shares(x, t, ignore_index):
    xp, count = namespace(x), t.size
    numbers, shares = xp.empty(count, np.int64), xp.empty(count, x.dtype)
    nothing = xp.empty((), x.dtype)
    launch("class_shares", THREADS, x.dtype, xp.ascontiguousarray(t, dtype=np.int64), numbers,
           shares, nothing, ignore_index, count)
    return numbers, shares, nothing


@fits(lambda x: x.shape[1] <= WIDEST)
def _cross_entropy(x, t):
    xp = namespace(x)
    x, t = xp.ascontiguousarray(x), xp.ascontiguousarray(t, dtype=np.int64)
    loss, log_p = xp.empty(len(x), x.dtype), xp.empty_like(x)
    launch("cross_entropy", len(x), x.dtype, x, t, loss, log_p, *x.shape)
    return loss, log_p


def _cross_entropy_grad(gy, log_p, t):
    xp = namespace(gy)
    gy, log_p = xp.ascontiguousarray(gy), xp.ascontiguousarray(log_p)
    t = xp.ascontiguousarray(t, dtype=np.int64)
    gx = xp.empty_like(log_p)
    launch("cross_entropy_grad", gx.size, gx.dtype, gy, log_p, t, gx, gx.shape[1], gx.size)
    return gx


# --------------------------------------------------------------------------- noise
def uniform(y, seed, counter, first=0):
    """Fill y with draw `counter` under `seed` from element `first` on, uniform in [0, 1); y."""
    return _blocks("uniform_noise", y, seed, counter, first)


def normal(y, seed, counter, first=0):
    """Fill y with draw `counter` under `seed` from element `first` on, from N(0, 1); y."""
    return _blocks("normal_noise", y, seed, counter, first)


def _blocks(kernel, y, seed, counter, first):
    blocks = (first % 4 + y.size + 3) // 4
    launch(kernel, blocks, y.dtype, y, seed, counter, first, y.size)
    return y


def _dropout_mask(x, p, seed, counter, first=0):
    channels_last = x.ndim == 4 and not x.flags.c_contiguous
    C, pixels = (x.shape[1], x.shape[2] * x.shape[3]) if channels_last else (1, x.size)
    mask = namespace(x).empty(x.size, x.dtype)
    launch("dropout_mask", x.size, x.dtype, mask, seed, counter, first, p,
           0 if p == 1 else 1 / (1 - p), C, pixels, x.size)
    return layout.images(mask, *x.shape) if channels_last else mask.reshape(x.shape)


# --------------------------------------------------------------------------- optimisers
class _Waiting(threading.local):
    """Updates that are launched together: by rule, dtype and numbers, what it takes of each
    parameter. None outside :func:`launched_together`."""

    updates: dict | None = None


_waiting = _Waiting()


@contextmanager
def launched_together():
    """Inside, the optimisers' updates wait; at its end all of a kind are one launch. So they are
    after an error: what was asked for before it is done, as without waiting."""
    outer, _waiting.updates = _waiting.updates, {}
    try:
        yield
    finally:
        updates, _waiting.updates = _waiting.updates, outer
        for (kernel, real, numbers, _), each in updates.items():
            for start in range(0, len(each), TENSORS):
                _update(kernel, real, numbers, each[start:start + TENSORS])


def _update(kernel, real, numbers, each):
    """One launch for the (p, g, m, v, a, b) in `each`, at most TENSORS of them."""
    all_ = np.zeros(1, structs(real)["Parameters"])
    one, blocks = all_[0], 0
    for k, (*arrays, a, b) in enumerate(each):
        for name, array in zip("pgmv", arrays):
            one[name][k] = 0 if array is None else array_address(kernel, name, array)
        one["a"][k], one["b"][k], one["size"][k] = a, b, arrays[0].size
        blocks += -(-arrays[0].size // UPDATE_PIECE)
        one["first"][k + 1] = blocks
    launch(kernel, blocks * THREADS, real, all_, *numbers)


def _later(kernel, numbers, p, g, m=None, v=None, a=0.0, b=0.0):
    """Update p with the others of this step, or at once."""
    each = p, g, m, v, a, b
    if _waiting.updates is None:
        _update(kernel, p.dtype, numbers, [each])
    else:
        _waiting.updates.setdefault((kernel, p.dtype, numbers, p.device.id), []).append(each)


@fits(layout.alike)
def _sgd(p, g, lr):
    _later("sgd", (lr,), p, g)


@fits(layout.alike)
def _sgd_momentum(p, g, b, lr, momentum, share, nesterov):
    _later("sgd_momentum", (lr, momentum, float(nesterov)), p, g, m=b, a=share)


@fits(layout.alike)
def _rmsprop(p, g, v, lr, alpha, eps):
    _later("rmsprop", (lr, alpha, 1 - alpha, eps), p, g, v=v)


@fits(layout.alike)
def _adam(p, g, m, v, t, lr, beta1, beta2, eps):
    _later("adam", (beta1, 1 - beta1, beta2, 1 - beta2, eps), p, g, m, v,
           a=lr / (1 - beta1**t), b=math.sqrt(1 - beta2**t))


@fits(layout.alike)
def _adagrad(p, g, s, lr, eps):
    _later("adagrad", (eps,), p, g, v=s, a=lr)


CUDA_KERNELS = {function.__name__: function for function in (
    _conv2d, _conv2d_input_grad, _conv2d_weight_grad, _max_pool2d, _scatter_taps,
    _bias_activation, _bias_activation_grad, _class_shares, _cross_entropy, _cross_entropy_grad,
    uniform, normal, _dropout_mask,
    _sgd, _sgd_momentum, _rmsprop, _adam, _adagrad,
)}
