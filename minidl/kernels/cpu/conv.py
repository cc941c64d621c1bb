"""Convolution: a list of which numbers meet, and one tile kernel.

Seen from one output pixel r, a convolution is a short list of pairs (input pixel q, tap t):

    y[n, r, o]  =  sum over (q, t) in pairs(r), c:   x[n, q, c] * w[t, c, o]

The forward pass and the input gradient (the transposed convolution) differ in their lists alone,
and stride, padding and dilation are in the lists too: what lies outside the image is no pair. The
weight gradient has the same pairs, sorted by tap:

    dw[t, c, o]  =  sum over (q, r) with tap t, n:   x[n, q, c] * g[n, r, o]

Images are channels-last in memory, so the numbers of a pixel stand together, and where neighbouring
taps meet neighbouring pixels, two short runs of the tile kernel become one long one. A tile is one
output pixel of ROWS images: the images of a batch have the same pairs.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np

from ...ops.windows import output_size, sides
from .. import READABLE, layout
from .elementwise import plus_bias
from .jit import inlined
from .product import multiply, packed, product
from .threads import parallel
from .tile import (
    FIELDS,
    ROWS,
    add_part,
    columns,
    copy,
    copy_columns,
    get,
    multiply_tile,
    place,
    put,
    tile_columns,
)

PIXELS = 128               # that the weight gradient takes at a time
CHAIN = 288                # products added up in one go: short chains round less
ROOM = 2**24               # numbers that unfolded windows, or products before their sum, may take
FEW = ROWS                 # images with fewer channels are unfolded first, so that runs are longer


# --------------------------------------------------------------------------- which numbers meet
class Pairs(NamedTuple):
    """Under tap t of output pixel r = (i, j) lies the input pixel q = down[i, t] + across[j, t]; a
    negative q lies outside. Two short tables say it for every pixel; of small images `whole` says
    it once more, in one."""

    down: np.ndarray           # (OH T): a W, the place of the first pixel of row a
    across: np.ndarray         # (OW T): the column b
    T: int                     # taps
    OW: int                    # pixels of an output row
    P: int                     # output pixels
    whole: np.ndarray | None   # (P T): q

    @property
    def tables(self) -> tuple:
        return self[:5]

    def bands(self):
        """The q of some rows of output pixels after the other: (first row, how many, table)."""
        OH = self.P // self.OW
        if self.whole is not None:
            yield 0, OH, self.whole
            return
        rows = max(1, KEPT // (self.OW * self.T))
        down, across = self.down.reshape(OH, 1, self.T), self.across.reshape(1, self.OW, self.T)
        for i in range(0, OH, rows):
            yield i, min(rows, OH - i), (down[i:i + rows] + across).reshape(-1)


OUTSIDE = -2**40
KEPT = 2**16                   # numbers of a table, at most, for the table to be kept
MOST_TAPS, MOST_PAIRS = 256, 2**20          # beyond, lists of pairs cost more than what they save


def _pairs(size, out_size, kernel, stride, padding, dilation, back: bool = False) -> Pairs | None:
    """The pairs of the forward pass; or, `back`, seen from the other side: for input pixel q and
    tap t the output pixel r that sees q there. None for a convolution that the readable function
    does better."""
    pairs = _kept(size, out_size, kernel, stride, padding, dilation, back)
    return pairs or _tables(size, out_size, kernel, stride, padding, dilation, back)


@functools.lru_cache(maxsize=64)
def _kept(*geometry) -> Pairs | None:
    """The same, of images so small that their tables are kept."""
    size, out_size, kernel, *_ = geometry
    pixels = max(math.prod(size), math.prod(out_size))
    return _tables(*geometry) if pixels * math.prod(kernel) <= KEPT else None


def _tables(size, out_size, kernel, stride, padding, dilation, back) -> Pairs | None:
    T = math.prod(kernel)
    if T > MOST_TAPS or max(*size, *out_size) * T > MOST_PAIRS:
        return None
    rows, columns = (_under(*each, back)
                     for each in zip(size, out_size, kernel, stride, padding, dilation))
    if back:
        size, out_size = out_size, size
    down = np.where(rows < 0, OUTSIDE, rows * size[1]).repeat(kernel[1], 1)               # (OH, T)
    across = np.tile(np.where(columns < 0, OUTSIDE, columns), kernel[0])                  # (OW, T)
    P = math.prod(out_size)
    whole = (down[:, None] + across).reshape(-1) if P * T <= KEPT else None
    return Pairs(down.reshape(-1), across.reshape(-1), T, out_size[1], P, whole)


def _under(n, m, k, s, p, d, back: bool):
    """Along one axis: the input place under output i and tap u, (m, k); -1 outside. Or, `back`, the
    output that sees input place a under tap u, (n, k)."""
    at = np.arange(m)[:, None] * s - sides(p)[0] + np.arange(k) * d
    inside = (at >= 0) & (at < n)
    if not back:
        return np.where(inside, at, -1)
    places = np.full((n, k), -1)
    i, u = np.nonzero(inside)
    places[at[i, u], u] = i
    return places


# --------------------------------------------------------------------------- kernels
@inlined
def _list_runs(runs, at, ends, end, down, across, r, T, OW, first, N, Q, C, n):
    """Write the runs of output pixel r for the images from `first` on, and where each group of runs
    ends, of CHAIN products at most; how many groups there are."""
    count, groups, length, next_q, next_t = 0, 0, 0, -1, -1
    i, j = r // OW * T, r % OW * T
    for t in range(T):
        q = get(down, i + t) + get(across, j + t)
        if q < 0:
            continue
        for c in range(0, C, CHAIN):
            depth = min(CHAIN, C - c)
            if length + depth > CHAIN:                       # a new group
                put(ends, end + groups, count)
                groups += 1
                length, next_q = 0, -1
            if q == next_q and t == next_t:                  # goes on in x and in w: a longer run
                last = at + (count - 1) * FIELDS + ROWS + 1
                put(runs, last, get(runs, last) + depth)
            else:
                begin = at + count * FIELDS
                for p in range(ROWS):
                    put(runs, begin + p, (min(first + p, N - 1) * Q + q) * C + c)
                put(runs, begin + ROWS, (t * C + c) * n)
                put(runs, begin + ROWS + 1, depth)
                count += 1
            length += depth
        next_q, next_t = q + 1, t + 1
    put(ends, end + groups, count)
    return groups + 1


@parallel
def _gather(start, stop, x, panels, y, down, across, T, OW, P, N, Q, C, O, block):
    """y[n,r,o] = sum over the pairs (q,t) of r, and c, of x[n,q,c] w[t,c,o].

    A step is one group of ROWS images and `block` output pixels.
    """
    n = tile_columns(x)
    blocks, most = -(-P // block), T * -(-C // CHAIN)
    tile = np.empty(ROWS * n, x.dtype)
    runs, groups = np.empty(block * most * FIELDS, np.int64), np.empty(block, np.int64)
    ends = np.empty(block * (most + 1), np.int64)
    for step in range(start, stop):
        image, pixel = step // blocks * ROWS, step % blocks * block
        rows, pixels = min(ROWS, N - image), min(block, P - pixel)
        for i in range(pixels):
            groups[i] = _list_runs(runs, i * most * FIELDS, ends, i * (most + 1), down, across,
                                   pixel + i, T, OW, image, N, Q, C, n)
        for o in range(0, O, n):
            wide = min(n, O - o)
            for i in range(pixels):
                first, at = 0, (image * P + pixel + i) * O + o
                for k in range(groups[i]):
                    begin, end = (i * most + first) * FIELDS, get(ends, i * (most + 1) + k)
                    direct = k == 0 and wide == n and rows == ROWS
                    multiply_tile(x, panels, place(y, at) if direct else place(tile, 0),
                                  P * O if direct else n, runs, begin, end - first, 0, o * T * C,
                                  1, n)
                    for p in range(0 if direct else rows):
                        if k == 0:
                            copy(y, at + p * P * O, tile, p * n, wide)
                        else:
                            add_part(y, at + p * P * O, tile, p * n, wide)
                    first = end


@parallel
def _weights(start, stop, x, g, dw, down, across, T, OW, P, N, Q, C, O, splits, group):
    """dw[s,t,o,c] = sum over the pairs (q,r) of tap t, and the images n of split s, of
    g[n,r,o] x[n,q,c].

    A step is one split and `group` taps. Some pixels at a time are copied side by side, g in rows
    for all these taps, x in panels for one after the other: so they stay in the nearest cache while
    all their products are made.
    """
    n = tile_columns(x)
    groups, share, width = T // group, -(-N // splits), O + n
    # (rows of O numbers would crowd a part of the cache; the last tile reads ROWS beyond the end)
    a, b = np.zeros(PIXELS * width + ROWS, x.dtype), np.zeros(-(-C // n) * PIXELS * n, x.dtype)
    tile, run = np.empty(ROWS * n, x.dtype), np.empty(FIELDS, np.int64)
    image, row, column = (np.empty(PIXELS, np.int64), np.empty(PIXELS, np.int64),
                          np.empty(PIXELS, np.int64))
    for step in range(start, stop):
        s, t0 = step // groups, step % groups * group
        for k in range((s * T + t0) * O * C, (s * T + t0 + group) * O * C):
            put(dw, k, x.dtype.type(0))
        count, last = 0, min((s + 1) * share, N) - 1
        for m in range(s * share, last + 1):
            for r in range(P):
                i, j, used = r // OW * T, r % OW * T, False
                for t in range(t0, t0 + group):
                    used = used or get(down, i + t) + get(across, j + t) >= 0
                if used:
                    put(image, count, m)
                    put(row, count, i)
                    put(column, count, j)
                    copy(a, count * width, g, (m * P + r) * O, O)
                    count += 1
                if count == PIXELS or (count and m == last and r == P - 1):
                    for t in range(t0, t0 + group):
                        for k in range(count):
                            q = get(down, get(row, k) + t) + get(across, get(column, k) + t)
                            _to_panels(b, k, x, (get(image, k) * Q + q) * C if q >= 0 else -1, C)
                        _add_products(a, b, dw, (s * T + t) * O * C, run, tile, count, width, O, C)
                    count = 0


@inlined
def _to_panels(b, k, x, at, C):
    """The C numbers of a pixel, which begin at x[at], to row k of the panels; zeros for -1."""
    n = tile_columns(x)
    for j in range(0, C, n):
        to = j * PIXELS + k * n
        if at >= 0 and j + n <= C:
            copy_columns(b, to, x, at + j)
        else:
            for c in range(min(n, C - j)):
                put(b, to + c, get(x, at + j + c) if at >= 0 else x.dtype.type(0))


@inlined
def _add_products(a, b, dw, at, run, tile, count, width, O, C):
    """dw[o,c] += sum over the first `count` pixels k of a[k,o] b[k,c]."""
    n = tile_columns(a)
    run[ROWS], run[ROWS + 1] = 0, count
    for p in range(ROWS):
        run[p] = p
    for o in range(0, O, ROWS):
        for c in range(0, C, n):
            multiply_tile(a, b, place(tile, 0), n, run, 0, 1, o, c * PIXELS, width, n)
            for p in range(min(ROWS, O - o)):
                add_part(dw, at + (o + p) * C + c, tile, p * n, min(n, C - c))


@parallel
def _unfold(start, stop, x, cols, table, width, lines, Q, C):
    """cols[n,r,t,c] = x[n,q,c] for the pair (q,t) of r, 0 where there is none. A step is a share of
    an image's pairs (r,t): `width` of them, of which an image has `lines`."""
    for step in range(start, stop):
        image, first, to = step // lines * Q, step % lines * width, step * width
        if C == 1:
            for k in range(width):
                q = get(table, first + k)
                pixel = get(x, image + max(q, 0))
                put(cols, to + k, pixel if q >= 0 else x.dtype.type(0))
            continue
        for k in range(width):
            q, at = get(table, first + k), (to + k) * C
            if q < 0:
                for c in range(C):
                    put(cols, at + c, x.dtype.type(0))
            else:
                for c in range(C):
                    put(cols, at + c, get(x, (image + q) * C + c))


@parallel
def _fold(start, stop, z, y, table, width, lines, first, P, Q, T, O):
    """y[n,r,o] = sum over the pairs (q,t) of r of z[n,q,t,o]. A step is a row of output pixels,
    `width` of them, of an image's `lines` rows from `first` on."""
    for step in range(start, stop):
        m, i = step // lines, step % lines
        for j in range(width):
            at = (m * P + (first + i) * width + j) * O
            for o in range(O):
                total = z.dtype.type(0)
                for t in range(T):
                    q = get(table, (i * width + j) * T + t)
                    if q >= 0:
                        total += get(z, ((m * Q + q) * T + t) * O + o)
                put(y, at + o, total)


# --------------------------------------------------------------------------- from tables to arrays
def _gathered(x, w, pairs, N, Q, C, O, across):
    """(N*P*O) from x (N*Q*C) and w, (T,C,O) or, `across`, (T,O,C)."""
    T, P = pairs.T, pairs.P
    y = np.empty(N * P * O, x.dtype)
    if T == 1 and _is_itself(pairs, Q):                  # 1x1: pixels are the rows of a matrix
        _times(x, packed(w, 1, C, O, across), y, N * P, C, O)
    elif O < FEW and C >= FEW and Q * T * O <= ROOM:
        # Few results a pixel would leave most of a tile empty: all taps' products first, then sums.
        matrix = w.reshape(T, O, C) if across else w.reshape(T, C, O).transpose(0, 2, 1)
        panels = packed(np.ascontiguousarray(matrix).reshape(-1), 1, C, T * O, across=True)
        images = max(1, ROOM // (Q * T * O))
        for n in range(0, N, images):
            some = min(images, N - n)
            z = np.empty(some * Q * T * O, x.dtype)
            _times(x[n * Q * C:(n + some) * Q * C], panels, z, some * Q, C, T * O)
            for first, lines, table in pairs.bands():
                _fold(some * lines, max(1, 4096 // (pairs.OW * T * O)), z,
                      y[n * P * O:(n + some) * P * O], table, pairs.OW, lines, first, P, Q, T, O)
    elif C < FEW:
        if across:
            w = np.ascontiguousarray(w.reshape(T, O, C).transpose(0, 2, 1)).reshape(-1)
        panels = packed(w, 1, T * C, O)
        for cols, r, rows in _unfolded(x, pairs, N, Q, C):
            _times(cols, panels, y[r * O:(r + rows) * O], rows, T * C, O)
    else:
        block = max(1, min(P, 16, 20000 // (T * C)))
        _gather(-(-N // ROWS) * -(-P // block), 1, x, packed(w, T, C, O, across), y,
                *pairs.tables, N, Q, C, O, block)
    return y


def _is_itself(pairs, Q) -> bool:
    """Of one tap: does every output pixel see the input pixel of its own number?"""
    if pairs.P != Q:
        return False
    rows, columns = np.arange(Q // pairs.OW) * pairs.OW, np.arange(pairs.OW)
    return np.array_equal(pairs.down, rows) and np.array_equal(pairs.across, columns)


def _times(x, panels, y, M, K, N):
    """y (M,N) = x (M,K) times the matrix in `panels`."""
    n = columns(x.dtype)
    multiply(x, panels, y, M, K, N, (K, 1), (K * n, n))


def _unfolded(x, pairs, N, Q, C):
    """The windows as rows of T C numbers: (rows, number of the first, how many), piece by piece, as
    many images and rows of pixels at a time as there is ROOM for."""
    T, OW = pairs.T, pairs.OW
    for first, lines, table in pairs.bands():
        pixels = lines * OW
        images = max(1, ROOM // (pixels * T * C)) if pixels == pairs.P else 1
        for n in range(0, N, images):
            some = min(images, N - n)
            cols = np.empty(some * pixels * T * C, x.dtype)
            shares = 1 if some >= 16 else lines                  # enough steps for all threads
            _unfold(some * shares, 1, x[n * Q * C:(n + some) * Q * C], cols, table,
                    pixels * T // shares, shares, Q, C)
            yield cols, n * pairs.P + first * OW, some * pixels


def _weight_sums(x, g, pairs, N, Q, C, O):
    """(T*C*O) from x (N*Q*C) and g (N*P*O)."""
    T = pairs.T
    if T == 1 and _is_itself(pairs, Q):
        return product(x.reshape(-1, C).T, g.reshape(-1, O)).reshape(-1)
    if C < FEW:
        parts = [product(cols.reshape(rows, T * C).T, g[r * O:(r + rows) * O].reshape(rows, O))
                 for cols, r, rows in _unfolded(x, pairs, N, Q, C)]
        return sum(parts[1:], parts[0]).reshape(-1)
    # Small matrices: all taps share the copy of g. Enough steps for all threads, whatever their
    # number; the partial sums are added in order.
    group = T if C * O <= 4096 else 1
    splits = max(1, min(N, -(-16 // (T // group)), 2**21 // (T * C * O)))
    dw = np.empty(splits * T * O * C, x.dtype)
    _weights(splits * (T // group), 1, x, g, dw, *pairs.tables, N, Q, C, O, splits,
             group)
    dw = dw.reshape(splits, -1).sum(0) if splits > 1 else dw
    return dw.reshape(T, O, C).transpose(0, 2, 1).reshape(-1)


# --------------------------------------------------------------------------- the replacements
def _conv2d(x, w, b, stride, padding, dilation):
    (N, C, H, W), (O, _, KH, KW) = x.shape, w.shape
    out = output_size((H, W), (KH, KW), stride, padding, dilation)
    pairs = _pairs((H, W), out, (KH, KW), stride, padding, dilation)
    if pairs is None:
        return READABLE["_conv2d"](x, w, b, stride, padding, dilation)
    y = _gathered(layout.channels_last(x), layout.taps_first(w), pairs, N, H * W, C, O,
                  across=False)
    return layout.images(plus_bias(y, b), N, O, *out)


def _conv2d_input_grad(g, w, b, size, stride, padding, dilation):
    (N, O, OH, OW), (_, C, KH, KW) = g.shape, w.shape
    pairs = _pairs(tuple(size), (OH, OW), (KH, KW), stride, padding, dilation, True)
    if pairs is None:
        return READABLE["_conv2d_input_grad"](g, w, b, size, stride, padding, dilation)
    gx = _gathered(layout.channels_last(g), layout.taps_first(w), pairs, N, OH * OW, O, C,
                   across=True)
    return layout.images(plus_bias(gx, b), N, C, *size)


def _conv2d_weight_grad(x, g, kernel, stride, padding, dilation):
    (N, C, H, W), (_, O, OH, OW) = x.shape, g.shape
    pairs = _pairs((H, W), (OH, OW), tuple(kernel), stride, padding, dilation)
    if pairs is None:
        return READABLE["_conv2d_weight_grad"](x, g, kernel, stride, padding, dilation)
    dw = _weight_sums(layout.channels_last(x), layout.channels_last(g), pairs, N, H * W, C, O)
    return layout.weights(dw, O, C, *kernel)
