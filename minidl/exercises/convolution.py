"""Exercises: a convolution, its two gradients, and the gradient of max pooling."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .. import functional as F
from ..ops import conv
from ..ops.windows import output_size
from ..testing import GradientError
from .exercise import Exercise
from .shared import array, drawn, isclose


def _two_ints(values) -> tuple[int, int]:
    return int(values[0]), int(values[1])


def conv_slip(kind: str, flip: bool = False, assign: bool = False, shift: bool = True,
              wrap: bool = False, ignore: tuple[str, ...] = ()) -> Callable:
    """The convolution ("y") or a gradient of it ("dx", "dw") in loops, with a mistake in it."""
    def wrong(a, e):
        N, C, H, W = a.x.shape
        O, _, KH, KW = a.w.shape
        (PH, PW) = a.padding if shift else (0, 0)
        (SH, SW) = (1, 1) if "stride" in ignore else a.stride
        (DH, DW) = (1, 1) if "dilation" in ignore else a.dilation
        made = np.zeros(e[0].shape)
        for n, o, i, j, c, u, v in np.ndindex(N, O, *a.gy.shape[2:], C, KH, KW):
            h, k = i * SH - PH + u * DH, j * SW - PW + v * DW
            if h >= H or k >= W or (min(h, k) < 0 and not wrap):
                continue
            p, q = (KH - 1 - u, KW - 1 - v) if flip else (u, v)
            place, term = {"y": ((n, o, i, j), a.x[n, c, h, k] * a.w[o, c, p, q]),
                           "dx": ((n, c, h, k), a.gy[n, o, i, j] * a.w[o, c, p, q]),
                           "dw": ((o, c, p, q), a.x[n, c, h, k] * a.gy[n, o, i, j])}[kind]
            made[place] = term if assign else made[place] + term
        return made
    return wrong


def col2im_assigned(a, e):
    """The input gradient tap by tap, a later tap overwriting an earlier one."""
    (H, W), (SH, SW), (PH, PW), (DH, DW) = a.size, a.stride, a.padding, a.dilation
    cols = np.einsum("noij,ocuv->ncuvij", a.gy, a.w)
    KH, KW, OH, OW = cols.shape[2:]
    made = np.zeros((*cols.shape[:2], H + 2 * PH, W + 2 * PW))
    for u, v in np.ndindex(KH, KW):
        made[:, :, u * DH:u * DH + OH * SH:SH, v * DW:v * DW + OW * SW:SW] = cols[:, :, u, v]
    return made[:, :, PH:PH + H, PW:PW + W]


def _conv_cases(rng):
    """x, w, gy, size, kernel, stride, padding, dilation; each exercise takes what it needs."""
    image, kernel = np.arange(1.0, 10).reshape(1, 1, 3, 3), array([2, 1], [0, -1])[None, None]

    def case(x, w, stride=(1, 1), padding=(0, 0), dilation=(1, 1), gy=None):
        a = dict(x=x, w=w, size=x.shape[2:], kernel=w.shape[2:], stride=stride, padding=padding,
                 dilation=dilation)
        shape = conv.conv2d(x, w, None, stride, padding, dilation).shape
        a["gy"] = drawn(rng, *shape) if gy is None else gy.reshape(shape)
        return (f"stride {stride}, padding {padding}, dilation {dilation}", a)

    def numbered(n):
        return np.arange(1.0, n + 1)

    yield case(image, kernel, gy=numbered(4))
    yield case(image, kernel, stride=(2, 2), padding=(1, 1), gy=numbered(4))
    yield case(image, kernel, dilation=(2, 2), gy=numbered(1))
    yield case(np.stack([image[0, 0], 10 * image[0, 0]])[None], np.concatenate([kernel, kernel], 1),
               gy=numbered(4))
    for _ in range(6):
        N, C, O = rng.integers(1, 3, 3)
        out, window, stride, dilation = rng.integers(1, (4, 4, 4, 3), (2, 4)).T
        padded = (out - 1) * stride + (window - 1) * dilation + 1 + rng.integers(0, stride)
        padding = np.minimum((padded - 1) // 2, rng.integers(0, 3, 2))
        yield case(drawn(rng, N, C, *(padded - 2 * padding)), drawn(rng, O, C, *window),
                   _two_ints(stride), _two_ints(padding), _two_ints(dilation))


def _conv_forward(a):
    return conv.conv2d(a.x, a.w, None, a.stride, a.padding, a.dilation)


def _adjoint(a):
    """<conv(x, w), g> = <x, dx(g, w)> = <w, dw(x, g)>, g = a.gy; the latter two by the library."""
    def check(outputs) -> None:
        where = (a.stride, a.padding, a.dilation)
        gx = conv.conv2d_input_grad(a.gy, a.w, None, a.size, *where).numpy()
        gw = conv.conv2d_weight_grad(a.x, a.gy, a.kernel, *where).numpy()
        sums = [(outputs[0] * a.gy).sum(), (a.x * gx).sum(), (a.w * gw).sum()]
        if not isclose(np.array(sums[1:]), sums[0]).all():
            raise GradientError(f"<conv(x,w), g>, <x, dx(g,w)> and <w, dw(x,g)> differ: {sums}")
    yield {}, check


def _conv_slips(kind: str, output: str):
    """What goes wrong in each of the three alike: the index of the pixel, and `=` for `+=`."""
    return tuple((output, hint, conv_slip(kind, **flags)) for hint, flags in (
        ("the kernel is turned by 180 degrees: that is D1-CONV's true convolution; here the window "
         "and the kernel are read in the same order", {"flip": True}),
        ("terms are assigned (=) where they should be added (+=): only the last one is left",
         {"assign": True}),
        ("the padding shifts nothing: the pixel is i SH - PH + u DH, and PH is left out",
         {"shift": False}),
        ("a negative index reads or writes the other end of the image: in NumPy x[-1] is the last "
         "row. Leave out pixels below 0", {"wrap": True}),
        ("the stride is left out of the pixel i SH - PH + u DH", {"ignore": ("stride",)}),
        ("the dilation is left out of the pixel i SH - PH + u DH", {"ignore": ("dilation",)}),
        ("stride and dilation are left out of the pixel i SH - PH + u DH",
         {"ignore": ("stride", "dilation")}),
    ))


_INDEX = "x[n, c, i SH - PH + u DH, j SW - PW + v DW]"
CONV = Exercise(
    "conv2d", "the convolution of images, forward (loops are fine)",
    "conv2d(x, w, stride, padding, dilation)", ("y",), "D3-CONV",
    f"y[n,o,i,j] = sum_(c,u,v) {_INDEX} w[o,c,u,v]; x is 0 outside its borders",
    _conv_cases, _conv_forward, (), (
        *_conv_slips("y", "y"),
        ("y", "the sum over the input channels is missing: only one channel counts",
         lambda a, e: conv.conv2d(a.x[:, :1], a.w[:, :1], None, a.stride, a.padding,
                                  a.dilation).numpy()),
    ), _adjoint)
CONV_DX = Exercise(
    "conv2d_dx", "the gradient of a convolution for its images",
    "conv2d_dx(gy, w, size, stride, padding, dilation)", ("gx",), "D3-CONV",
    f"y[n,o,i,j] = sum_(c,u,v) {_INDEX} w[o,c,u,v]; `size` is (H, W) of x", _conv_cases,
    _conv_forward, ("x",), (
        ("gx", "where windows overlap, shares are assigned (=) in place of added (+=): the last "
         "tap wins", col2im_assigned), *_conv_slips("dx", "gx")))
CONV_DW = Exercise(
    "conv2d_dw", "the gradient of a convolution for its kernels",
    "conv2d_dw(gy, x, kernel, stride, padding, dilation)", ("gw",), "D3-CONV",
    f"y[n,o,i,j] = sum_(c,u,v) {_INDEX} w[o,c,u,v]; `kernel` is (KH, KW)", _conv_cases,
    _conv_forward, ("w",), (
        *_conv_slips("dw", "gw"),
        ("gw", "the mean over the batch: dividing by N is the loss's business, and gy has it in it",
         lambda a, e: e[0] / len(a.x))))


def pool_slip(pick: str, assign: bool = False) -> Callable:
    """Max pooling's gradient given to the "first", the "last" or "all" maxima, or "mean": to all
    pixels of the window, in equal shares."""
    def wrong(a, e):
        (KH, KW), (SH, SW), made = a.window, a.stride, np.zeros(a.x.shape)
        for n, c, i, j in np.ndindex(*a.gy.shape):
            place = (n, c, slice(i * SH, i * SH + KH), slice(j * SW, j * SW + KW))
            hits = np.argwhere(a.x[place] >= (-np.inf if pick == "mean" else a.x[place].max()))
            share = a.gy[n, c, i, j] / (len(hits) if pick == "mean" else 1)
            for u, v in {"first": hits[:1], "last": hits[-1:]}.get(pick, hits):
                at = (n, c, i * SH + u, j * SW + v)
                made[at] = share if assign else made[at] + share
        return made
    return wrong


def _pool_cases(rng):
    grid = array([1, 5, 2], [4, 3, 9], [7, 8, 6])[None, None]
    yield "four windows that overlap", dict(gy=np.arange(1.0, 5).reshape(1, 1, 2, 2), x=grid,
                                            window=(2, 2), stride=(1, 1))
    yield "a tie", dict(gy=array([[[1, 10]]]), x=array([[[3, 3, 0, 5], [3, 1, 5, 2]]]),
                        window=(2, 2), stride=(2, 2))
    for window, stride, size in (((2, 2), (2, 2), (5, 4)), ((3, 2), (2, 1), (5, 5)),
                                 ((2, 3), (1, 3), (3, 6)), ((1, 2), (2, 2), (4, 5))):
        x = rng.permutation(2 * 2 * size[0] * size[1]).reshape(2, 2, *size) / 2
        out = output_size(size, window, stride, (0, 0), (1, 1))
        yield f"window {window}, stride {stride}", dict(gy=drawn(rng, 2, 2, *out), x=x,
                                                        window=window, stride=stride)


POOL = Exercise(
    "max_pool_dx", "the gradient of max pooling", "max_pool_dx(gy, x, window, stride)", ("gx",),
    "D0-MAXPOOL", "y[n,c,i,j] = max_(u,v) x[n, c, i SH + u, j SW + v]; of equal maxima the first "
    "one, row by row, gets the gradient", _pool_cases,
    lambda a: F.max_pool2d(a.x, a.window, a.stride), ("x",), (
        ("gx", "at a tie each of the equal maxima gets the whole gradient: only the first one does",
         pool_slip("all")),
        ("gx", "at a tie the last of the equal maxima gets the gradient: the first one should",
         pool_slip("last")),
        ("gx", "a pixel that is the maximum of several windows keeps only the last one's gradient: "
         "add (+=), do not assign (=)", pool_slip("first", assign=True)),
        ("gx", "every pixel of a window gets a share: that is average pooling", pool_slip("mean")),
    ))
