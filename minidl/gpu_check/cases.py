"""Arguments for the checks: for every op, and for every kernel with the sizes of real networks.

Written out by hand, few and the same on every run. ``op_cases()[name]`` are argument tuples of
``minidl.OPS[name]``, ``kernel_cases(batch)[name]`` those of the readable function `name`. Arrays of
floats are float64; the checks convert them. Kinks and ties are left out, so that rounding cannot
decide which side of one a number is on.
"""

from __future__ import annotations

import math

import numpy as np

from ..ops.pool import max_pool2d
from ..ops.windows import output_size

HERE = "here"                 # stands for the device on which a case is tried
Cases = dict[str, list[tuple]]


class Draw:
    """Arrays of random numbers, the same on every run."""

    def __init__(self):
        self.rng = np.random.default_rng(0)

    def __call__(self, *shape: int, low: float = -2.0, high: float = 2.0) -> np.ndarray:
        """Numbers in [low, high), each a float32 too."""
        return self.rng.uniform(low, high, shape).astype(np.float32).astype(np.float64)

    def off_zero(self, *shape: int) -> np.ndarray:
        """Numbers of either sign, none close to 0."""
        return self(*shape, low=0.3) * self.rng.choice([-1.0, 1.0], shape)

    def distinct(self, *shape: int) -> np.ndarray:
        """Numbers of which no two are close."""
        return self.rng.permutation(math.prod(shape)).reshape(shape) / 64 - 4.0

    def images(self, *shape: int) -> np.ndarray:
        """Numbers for (N,C,H,W), the channels last in memory, as layers make them."""
        return in_channels_last(self(*shape))

    def classes(self, n: int, count: int) -> np.ndarray:
        return self.rng.integers(0, count, n)


def in_channels_last(x: np.ndarray) -> np.ndarray:
    """The same numbers (N,C,H,W), in memory in the order n, h, w, c."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def op_cases() -> Cases:
    """Every op with arguments of a few shapes, one of them large enough for a kernel."""
    draw = Draw()
    return {**_elementwise(draw), **_activations(draw), **_rearranging(draw), **_reductions(draw),
            **_matrix_products(draw), **_convolutions(draw), **_pooling(draw), **_losses(draw)}


# --------------------------------------------------------------------------- element by element
def _elementwise(draw: Draw) -> Cases:
    a, row, column = draw(37, 96), draw(96), draw(37, 1)
    x = draw.images(3, 32, 7, 5)
    pairs = [(a, draw(37, 96)), (a, row), (column, a), (draw(), a), (x, draw(32, 1, 1))]
    positive = draw(37, 96, low=0.3, high=3.0)
    both = draw.distinct(2, 37, 96)
    return {
        "add": pairs, "sub": pairs, "mul": pairs,
        "div": [(p, draw.off_zero(*q.shape)) for p, q in pairs],
        "pow": [(positive, draw(37, 96)), (positive, draw(1, 96))],
        "neg": [(a,), (x,)], "abs": [(draw.off_zero(37, 96),)],
        "exp": [(a,), (x,)], "log": [(positive,)], "sqrt": [(positive,)], "sin": [(a,)],
        "cos": [(a,)],
        "clamp": [(a, -1.0, 1.0), (a, None, 0.5), (a, -0.5, None)],
        "maximum": [(both[0], both[1]), (both[0], both[1, :1])],
        "minimum": [(both[0], both[1]), (both[0], both[1, :1])],
        "weighed": [(draw.off_zero(37, 96), a), (a > 0, a), (draw.off_zero(96), a)],
        "where": [(a > 0, a, draw(37, 96)), (row > 0, a, draw())],
        "clone": [(a,), (x,)],
        "convert": [(a, np.dtype(np.float64), HERE), (a, np.dtype(np.float32), HERE),
                     (x, np.dtype(np.float64), "cpu")],
    }


def _activations(draw: Draw) -> Cases:
    x, g = draw.off_zero(37, 96), draw(37, 96)
    images, bias = in_channels_last(draw.off_zero(3, 32, 7, 5)), draw(32)
    def before(z, b):                        # x and b with x + b = z, which is not close to 0
        return z - b, b
    return {
        "relu": [(x,), (images,)], "relu_grad": [(g, x)],
        "leaky_relu": [(x, 0.2), (images, 0.3)], "leaky_relu_grad": [(g, x, 0.2)],
        "bias_activation": [(*before(x, draw(96)), slope) for slope in (0.0, 0.2, 1.0)]
        + [(*before(images, bias.reshape(shape)), slope) for shape in ((32, 1, 1), (1, 32, 1, 1))
           for slope in (0.0, 0.3, 1.0)] + [(*before(x, draw(37, 1)), 0.0)],
        "elu": [(x, 1.0), (x, 0.5)], "normal_cdf": [(x,)], "softplus1": [(x,)],
        "sigmoid": [(x,)], "tanh": [(x,), (images,)],
        "masked": [(g, draw(37, 96)), (images, draw.images(3, 32, 7, 5))],
    }


# --------------------------------------------------------------------------- rearranging
def _rearranging(draw: Draw) -> Cases:
    a, x = draw(37, 96), draw.images(3, 32, 7, 5)
    rows = draw.rng.integers(0, 37, 50)                       # some rows more than once
    indices = [(slice(1, None, 3), slice(None, None, -1)), (rows,), (Ellipsis, 3),
               (a > 0), (rows, draw.rng.integers(0, 96, 50))]
    return {
        "reshape": [(a, (96, 37)), (x, (3, -1)), (a, (-1, 1))],
        "permute": [(a, (1, 0)), (x, (0, 2, 3, 1))],
        "expand": [(draw(37, 1), (5, 37, 96), ()), (draw(32), (3, 32, 7, 5), (0, 2, 3))],
        "cat": [([a, draw(1, 96)], 0), ([x, draw.images(3, 3, 7, 5)], 1), ([a], 1)],
        "getitem": [(a, index) for index in indices],
        "scatter": [(draw(*np.empty((37, 96))[index].shape), index, (37, 96))
                     for index in indices],
        "pad": [(x, ((0, 0), (0, 0), (1, 2), (2, 0)), 0.0), (a, ((1, 0), (0, 3)), 1.5)],
        "put_along": [(draw(37, 1), draw.rng.integers(0, 96, (37, 1)), 1, 96)],
        "take_along": [(a, draw.rng.integers(0, 96, (37, 1)), 1)],
    }


def _reductions(draw: Draw) -> Cases:
    a, x = draw(37, 96), draw.images(3, 32, 7, 5)
    either = [(a, (0,), False), (a, (0, 1), False), (x, (0, 2, 3), True), (x, (1,), False)]
    return {
        "sum": either,
        "norm": [(draw.off_zero(*y.shape), *rest) for y, *rest in either],
        "amax": [(draw.distinct(*y.shape), *rest) for y, *rest in either],
        "amin": [(draw.distinct(*y.shape), *rest) for y, *rest in either],
        "logsumexp": either,
        "softmax": [(a, 1), (a, 0), (x, 1)], "log_softmax": [(a, 1), (a, 0), (x, 1)],
        "standardize": [(a, (0,), 1e-5), (x, (0, 2, 3), 1e-3)],
        "normalized_affine": [
            (a, draw(1, 96), draw(1, 96), (0,), 1e-5),
            (x, draw(1, 32, 1, 1), draw(1, 32, 1, 1), (0, 2, 3), 1e-3)],
    }


def _matrix_products(draw: Draw) -> Cases:
    return {
        "matmul": [(draw(37, 96), draw(96, 10)), (draw(96, 37).T, draw(10, 96).T),
                    (draw(3, 5, 7), draw(3, 7, 4)), (draw(2, 1, 5, 7), draw(3, 7, 4))],
        "linear": [(draw(37, 96), draw(10, 96), draw(10)), (draw(1, 96), draw(64, 96), None)],
    }


def _losses(draw: Draw) -> Cases:
    logits, t = draw(37, 10), draw(37, 10, low=0.0, high=1.0)
    return {
        "cross_entropy_rows": [(logits, draw.classes(37, 10), draw(37, low=0.0)),
                               (30 * draw(300, 10), draw.classes(300, 10), np.ones(300) / 300)],
        "bce_logits": [(logits, t), (draw.images(3, 1, 28, 28), draw.images(3, 1, 28, 28) > 0.0)],
        "bce": [(draw(37, 10, low=0.1, high=0.9), t)],
    }


# --------------------------------------------------------------------------- windows
# N, C, O, (H, W), kernel, stride, padding, dilation
CONVOLUTIONS = [
    (2, 1, 32, (28, 28), (3, 3), (1, 1), (0, 0), (1, 1)),
    (3, 3, 5, (13, 11), (3, 2), (2, 1), (1, 0), (1, 2)),
    (2, 32, 8, (9, 9), (5, 5), (2, 2), ((1, 2), (1, 2)), (1, 1)),
    (5, 32, 3, (6, 4), (1, 1), (1, 1), (0, 0), (1, 1)),
]


def _convolutions(draw: Draw) -> Cases:
    found: Cases = {"conv2d": [], "conv2d_input_grad": [], "conv2d_weight_grad": []}
    for each in CONVOLUTIONS:
        for name, case in zip(found, _of_convolution(draw, *each)):
            found[name].append(case)
    return found


def _of_convolution(draw: Draw, N, C, O, size, kernel, stride, padding, dilation):
    """The arguments of the three ops of one convolution, or of their readable functions."""
    out = output_size(size, kernel, stride, padding, dilation)
    x, w, g = draw.images(N, C, *size), draw(O, C, *kernel), draw.images(N, O, *out)
    last = stride, padding, dilation
    return (x, w, draw(O), *last), (g, w, draw(C), size, *last), (x, g, kernel, *last)


# shape, window, stride, what is around it, dilation
POOLINGS = [
    ((3, 32, 26, 26), (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1)),
    ((2, 3, 11, 9), (3, 2), (2, 1), ((1, 1), (0, 1)), (1, 2)),
    ((2, 1, 8, 8), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),
]


def _pooling(draw: Draw) -> Cases:
    found: Cases = {name: [] for name in ("max_pool2d", "max_pool2d_grad", "max_pool2d_pick",
                                          "sum_pool2d", "sum_pool2d_grad")}
    for shape, window, stride, pads, dilation in POOLINGS:
        last = window, stride, pads, dilation
        x, out = in_channels_last(draw.distinct(*shape)), output_size(shape[2:], *last)
        tap, g = max_pool2d(x, *last, out)[1].numpy(), draw.images(*shape[:2], *out)
        found["max_pool2d"].append((x, *last, out))
        found["max_pool2d_grad"].append((g, tap, *last, shape[2:]))
        found["max_pool2d_pick"].append((x, tap, *last, shape[2:]))
        if dilation == (1, 1):
            found["sum_pool2d"].append((x, window, stride, pads, out))
            found["sum_pool2d_grad"].append((g, window, stride, pads, shape[2:]))
    return found


# --------------------------------------------------------------------------- kernels
def kernel_cases(batch: int) -> Cases:
    """Every CUDA kernel's readable function, on what a batch of the documents' networks has."""
    draw = Draw()
    return {**_kernel_convolutions(draw, batch), **_kernel_layers(draw, batch),
            **_kernel_noise(draw, batch), **_kernel_updates(draw)}


def _kernel_convolutions(draw: Draw, batch: int) -> Cases:
    same, up = ((1, 2), (1, 2)), ((1, 1), (1, 1))
    layers = [(1, 32, (28, 28), (3, 3), (1, 1), (0, 0)),          # cnn
              (32, 64, (13, 13), (3, 3), (1, 1), (0, 0)),
              (64, 64, (5, 5), (3, 3), (1, 1), (0, 0)),
              (1, 64, (28, 28), (5, 5), (2, 2), same),            # gan
              (64, 128, (14, 14), (5, 5), (2, 2), same),
              (32, 64, (28, 28), (3, 3), (1, 1), up)]             # vae
    found: Cases = {"_conv2d": [], "_conv2d_input_grad": [], "_conv2d_weight_grad": []}
    for C, O, size, kernel, stride, padding in layers:
        made = _of_convolution(draw, batch, C, O, size, kernel, stride, padding, (1, 1))
        for name, case in zip(found, made):
            found[name].append(case)
    return found


def _kernel_layers(draw: Draw, batch: int) -> Cases:
    found: Cases = {"_max_pool2d": [], "_scatter_taps": []}
    for shape in ((batch, 32, 26, 26), (batch, 64, 11, 11)):
        last = (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1)
        x, out = draw.images(*shape), output_size(shape[2:], *last)
        found["_max_pool2d"].append((x, *last, out))
        g, tap = draw.images(*shape[:2], *out), max_pool2d(x, *last, out)[1].numpy()
        found["_scatter_taps"].append((g, tap, *last, shape[2:]))
    images, rows = in_channels_last(draw.off_zero(batch, 32, 13, 13)), draw.off_zero(batch, 64)
    each = [(images, draw(32, 1, 1)), (rows, draw(64))]
    found["_bias_activation"] = [(z - b, b, slope) for z, b in each for slope in (0.0, 0.3, 1.0)]
    found["_bias_activation_grad"] = [(draw.images(*z.shape) if z.ndim == 4 else draw(*z.shape), z,
                                       b.shape, slope) for z, b in each for slope in (0.0, 0.3)]
    logits, t = draw(batch, 10), draw.classes(batch, 10)
    ignored = np.where(draw(batch) > 0, t, -100)
    found["_class_shares"] = [(logits, classes, -100) for classes in (t, ignored, t * 0 - 100)]
    found["_cross_entropy"] = [(logits, t)]
    found["_cross_entropy_grad"] = [(draw(batch), np.log(np.full((batch, 10), 0.1)) - logits, t)]
    return found


def _kernel_noise(draw: Draw, batch: int) -> Cases:
    seed, counter, firsts = 2**63 + 11, 3, (0, 2**62 + 3)
    draws = [(shape, seed, counter, first) for first in firsts
             for shape in ((batch, 100), (7, 3), (batch, 64, 14, 14))]
    return {
        "uniform": draws, "normal": draws,
        "_dropout_mask": [(x, p, seed, counter, first) for p in (0.3, 1.0) for first in firsts
                          for x in (draw(batch, 64), draw.images(batch, 64, 14, 14))],
    }


def _kernel_updates(draw: Draw) -> Cases:
    found: Cases = {name: [] for name in ("_sgd", "_sgd_momentum", "_rmsprop", "_adam",
                                          "_adagrad")}
    for shape in ((64, 32, 3, 3), (64,), (64, 576)):
        p, g, m = (draw(*shape) for _ in range(3))
        v = draw(*shape, low=0.0)
        found["_sgd"].append((p, g, 0.1))
        found["_sgd_momentum"] += [(p, g, m, 0.1, 0.9, 1.0, ahead) for ahead in (False, True)]
        found["_rmsprop"].append((p, g, v, 0.01, 0.9, 1e-7))
        found["_adam"].append((p, g, m, v, 3, 0.01, 0.9, 0.999, 1e-8))
        found["_adagrad"].append((p, g, v, 0.01, 1e-10))
    return found
