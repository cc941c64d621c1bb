"""Convolution, forward and backward.

Three arrays, x (N,C,H,W), w (O,C,KH,KW) and g (N,O,OH,OW), and one trilinear form

    T(x, w, g) = sum_{n,o,i,j,c,u,v}  g[n,o,i,j] * x[n, c, i SH - PH + u DH, j SW - PW + v DW]
                                      * w[o,c,u,v]            (x counts as 0 outside its borders)

seen from three sides. T multiplies numbers of the three arrays and adds the products up, so its
derivative with respect to one array is a sum of products of the two others:

    conv2d(x, w)             = dT/dg        the forward pass
    conv2d_input_grad(g, w)  = dT/dx        = the transposed convolution of g
    conv2d_weight_grad(x, g) = dT/dw        = a correlation of x with g

So T = <conv2d(x,w), g> = <x, conv2d_input_grad(g,w)> = <w, conv2d_weight_grad(x,g)>, with <a, b>
the sum of all a * b; and the backward pass of each op consists of the two others.

The arithmetic copies the window under each output pixel into a row (im2col). A matrix product then
makes a row of channels for each pixel: channels-last in memory, seen as (N,O,OH,OW) through a
transposed view. `xp` is the arrays' library, NumPy or CuPy; a kernel may run in the place of a
``@replaceable`` function.
"""

from __future__ import annotations

from ..device import namespace
from ..kernels import replaceable
from ..op import op
from ..tensor import Tensor
from .reduce import sum_over
from .terms import Contract
from .windows import output_size, sides

__all__ = ["conv2d", "conv2d_input_grad", "conv2d_weight_grad"]


# --------------------------------------------------------------------------- the arithmetic
def _windows(x, kernel, stride, padding, dilation):
    """The window under each output pixel: a view (N,OH,OW,KH,KW,C) of the zero-padded x."""
    (KH, KW), (SH, SW), (DH, DW) = kernel, stride, dilation
    (PH, below), (PW, right) = map(sides, padding)
    N, C, H, W = x.shape
    xp = namespace(x)
    x = x.transpose(0, 2, 3, 1)                                       # (N, H, W, C)
    if PH or PW or below or right:
        padded = xp.zeros((N, PH + H + below, PW + W + right, C), dtype=x.dtype)
        padded[:, PH:PH + H, PW:PW + W] = x
        x = padded
    OH, OW = output_size((H, W), kernel, stride, padding, dilation)
    n, h, w, c = x.strides
    # A view onto overlapping windows: new strides, no new numbers.
    return xp.lib.stride_tricks.as_strided(
        x, (N, OH, OW, KH, KW, C), (n, h * SH, w * SW, h * DH, w * DW, c))


@replaceable("x", "w")
def _conv2d(x, w, b, stride, padding, dilation):
    O, C, KH, KW = w.shape
    cols = _windows(x, (KH, KW), stride, padding, dilation)           # (N, OH, OW, KH, KW, C)
    N, OH, OW = cols.shape[:3]
    rows = cols.reshape(N * OH * OW, KH * KW * C)                     # im2col: the large copy
    weights = w.transpose(2, 3, 1, 0).reshape(KH * KW * C, O)
    y = rows @ weights if b is None else rows @ weights + b           # (N OH OW, O)
    return y.reshape(N, OH, OW, O).transpose(0, 3, 1, 2)              # (N, O, OH, OW)


@replaceable("g", "w")
def _conv2d_input_grad(g, w, b, size, stride, padding, dilation):
    (SH, SW), (DH, DW), (H, W) = stride, dilation, size
    (PH, below), (PW, right) = map(sides, padding)
    N, O, OH, OW = g.shape
    O, C, KH, KW = w.shape
    rows = g.transpose(0, 2, 3, 1).reshape(N * OH * OW, O)
    weights = w.transpose(0, 2, 3, 1).reshape(O, KH * KW * C)
    cols = (rows @ weights).reshape(N, OH, OW, KH, KW, C)             # each output's share
    gx = namespace(g).zeros((N, PH + H + below, PW + W + right, C), dtype=cols.dtype)
    for u in range(KH):                  # col2im: windows overlap, so shares add up
        for v in range(KW):
            top, left = u * DH, v * DW
            gx[:, top:top + OH * SH:SH, left:left + OW * SW:SW] += cols[:, :, :, u, v]
    gx = gx[:, PH:PH + H, PW:PW + W]                                  # (N, H, W, C)
    return (gx if b is None else gx + b).transpose(0, 3, 1, 2)        # (N, C, H, W)


# x may be the output of a transposed convolution of g, whose output_padding, with dilation, may
# exceed the stride: then x has more windows than g has pixels, and `[:OH, :OW]` drops the others.
@replaceable("x", "g")
def _conv2d_weight_grad(x, g, kernel, stride, padding, dilation):
    N, O, OH, OW = g.shape
    (KH, KW), C = kernel, x.shape[1]
    cols = _windows(x, kernel, stride, padding, dilation)[:, :OH, :OW]
    rows = cols.reshape(N * OH * OW, KH * KW * C)
    g_rows = g.transpose(0, 2, 3, 1).reshape(N * OH * OW, O)
    return (g_rows.T @ rows).reshape(O, KH, KW, C).transpose(0, 3, 1, 2)


# --------------------------------------------------------------------------- the three ops
# A backward pass reads T with gy in the place of the array that the op computes. For example,
# conv2d_input_grad computes an x, so gg = conv2d(gy, w) and gw = conv2d_weight_grad(gy, g). A bias
# is added to every pixel of its channel, so its gradient is the sum of gy over these pixels.
_PIXEL = "[n, c, i*SH - PH + u*DH, j*SW - PW + v*DW]"


@op("D3-CONV", terms=Contract(f"y[n,o,i,j] += x{_PIXEL} * w[o,c,u,v]", bias="y[n,o,i,j] += b[o]"))
def conv2d(x: Tensor, w: Tensor, b: Tensor | None, stride, padding, dilation):
    """y[n,o,i,j] = b[o] + sum_{c,u,v} x[n, c, i SH - PH + u DH, j SW - PW + v DW] w[o,c,u,v]

    x (N,C,H,W), w (O,C,KH,KW), b (O,) or None -> y (N,O,OH,OW). PH, PW are the zeros before, and
    as many come after unless `padding` has pairs. Source: D0-CONV (one channel), D3-CONV.
    """
    y = _conv2d(x.data, w.data, b if b is None else b.data, stride, padding, dilation)
    size, kernel = x.shape[2:], w.shape[2:]
    def backward(gy, need):
        gx = conv2d_input_grad(gy, w, None, size, stride, padding, dilation) if need[0] else None
        gw = conv2d_weight_grad(x, gy, kernel, stride, padding, dilation) if need[1] else None
        gb = sum_over(gy, (0, 2, 3), False) if need[2] else None
        return gx, gw, gb
    return y, backward


@op("D1-TCONV", terms=Contract(f"y{_PIXEL} += g[n,o,i,j] * w[o,c,u,v]", bias="y[n,c,p,q] += b[c]"))
def conv2d_input_grad(g: Tensor, w: Tensor, b: Tensor | None, size, stride, padding, dilation):
    """y[n, c, i SH - PH + u DH, j SW - PW + v DW] += g[n,o,i,j] w[o,c,u,v],  then y[n,c] += b[c]

    g (N,O,OH,OW), w (O,C,KH,KW), b (C,) or None -> y (N,C,H,W) with `size` = (H,W): without b
    conv2d's input gradient, and with it the transposed convolution of g. Source: D1-TCONV.
    """
    bias = None if b is None else b.data
    y = _conv2d_input_grad(g.data, w.data, bias, size, stride, padding, dilation)
    kernel, (OH, OW) = w.shape[2:], g.shape[2:]
    def backward(gy, need):
        gg = conv2d(gy, w, None, stride, padding, dilation) if need[0] else None
        gg = gg[:, :, :OH, :OW] if need[0] and gg.shape[2:] != (OH, OW) else gg
        gw = conv2d_weight_grad(gy, g, kernel, stride, padding, dilation) if need[1] else None
        gb = sum_over(gy, (0, 2, 3), False) if need[2] else None
        return gg, gw, gb
    return y, backward


@op("D3-CONV", terms=Contract(f"y[o,c,u,v] += x{_PIXEL} * g[n,o,i,j]",
                              ranges={"u": "KH", "v": "KW"}))
def conv2d_weight_grad(x: Tensor, g: Tensor, kernel, stride, padding, dilation):
    """y[o,c,u,v] = sum_{n,i,j} x[n, c, i SH - PH + u DH, j SW - PW + v DW] g[n,o,i,j]

    x (N,C,H,W), g (N,O,OH,OW) -> y (O,C,KH,KW) with `kernel` = (KH,KW): conv2d's weight gradient.
    """
    y = _conv2d_weight_grad(x.data, g.data, kernel, stride, padding, dilation)
    size, (OH, OW) = x.shape[2:], g.shape[2:]
    def backward(gy, need):
        gx = conv2d_input_grad(g, gy, None, size, stride, padding, dilation) if need[0] else None
        gg = conv2d(x, gy, None, stride, padding, dilation)[:, :, :OH, :OW] if need[1] else None
        return gx, gg
    return y, backward
