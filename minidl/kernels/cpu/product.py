"""Matrix products: y[m, n] = sum over k of a[m, k] b[k, n], in tiles.

The right matrix is copied into panels, as wide as a tile, so that the innermost loop reads it in a
straight line; the left one is read where it stands, along its rows or along its columns.
"""

from __future__ import annotations

import numpy as np

from .elementwise import plus_bias
from .threads import parallel
from .tile import (
    FIELDS,
    ROWS,
    add_part,
    columns,
    copy,
    get,
    multiply_tile,
    place,
    put,
    tile_columns,
)

DEPTH = 256               # of the products at a time: a panel's part stays in the cache, and short
                          # chains of sums round less
SMALL = 2**16             # multiply-adds below which NumPy's own product is as fast


@parallel
def pack(start, stop, w, panels, taps, depth, width, across):
    """Panel j holds columns j n ... j n + n - 1 of every tap's matrix, as the tile kernel reads
    them: panels (j, t, k, q). w is (t, depth, width) or, `across`, (t, width, depth)."""
    n = tile_columns(w)
    for j in range(start, stop):
        first = j * n
        wide = min(n, width - first)
        for t in range(taps):
            to = (j * taps + t) * depth * n
            if wide < n:
                for k in range(depth * n):
                    put(panels, to + k, w.dtype.type(0))
            if across:
                for k0 in range(0, depth, DEPTH):            # so much of a panel stays in the cache
                    for q in range(wide):
                        row = (t * width + first + q) * depth
                        for k in range(k0, min(k0 + DEPTH, depth)):
                            put(panels, to + k * n + q, get(w, row + k))
            else:
                for k in range(depth):
                    copy(panels, to + k * n, w, (t * depth + k) * width + first, wide)


def packed(w, taps, depth, width, across=False):
    """The matrices w in panels, flat."""
    n = columns(w.dtype)
    count = -(-width // n)
    panels = np.empty(count * taps * depth * n, w.dtype)
    pack(count, max(1, 16384 // (taps * depth * n)), w, panels, taps, depth, width, across)
    return panels


@parallel
def _multiply(start, stop, a, b, y, M, K, N, step_m, step_k, step_j, step_b, tiles, panels, share):
    """A step is `tiles` tiles of rows by `panels` panels of columns, and `share` of the K products:
    y[s,m,n] is the sum over the s-th share. a[m,k] stands at m step_m + k step_k, column q of panel
    j of b at j step_j + k step_b + q."""
    n = tile_columns(a)
    blocks, bands = -(-N // (n * panels)), -(-M // (ROWS * tiles))
    tile, run = np.empty(ROWS * n, a.dtype), np.empty(FIELDS, np.int64)
    for step in range(start, stop):
        s, band, block = step // (bands * blocks), step // blocks % bands, step % blocks
        m0, j0, out = band * tiles * ROWS, block * panels, s * M * N
        for k0 in range(s * share, min((s + 1) * share, K), DEPTH):
            run[ROWS + 1], first = min(DEPTH, min((s + 1) * share, K) - k0), k0 == s * share
            for j in range(j0, min(j0 + panels, -(-N // n))):
                run[ROWS] = j * step_j + k0 * step_b
                wide = min(n, N - j * n)
                for m in range(m0, min(m0 + tiles * ROWS, M), ROWS):
                    for p in range(ROWS):
                        run[p] = min(m + p, M - 1) * step_m + k0 * step_k
                    direct = first and wide == n and m + ROWS <= M
                    multiply_tile(a, b, place(y, out + m * N + j * n) if direct else place(tile, 0),
                                  N if direct else n, run, 0, 1, 0, 0, step_k, step_b)
                    for p in range(0 if direct else min(ROWS, M - m)):
                        if first:
                            copy(y, out + (m + p) * N + j * n, tile, p * n, wide)
                        else:
                            add_part(y, out + (m + p) * N + j * n, tile, p * n, wide)


def product(a, b):
    """a (M,K) times b (K,N), each contiguous or the transpose of what is."""
    (M, K), N = a.shape, b.shape[1]
    n = columns(a.dtype)
    a_rows, b_rows = a.flags.c_contiguous, b.flags.c_contiguous
    left = (a if a_rows else a.T).reshape(-1)
    right = (b if b_rows else b.T).reshape(-1)
    if b_rows and N % n == 0 and (K <= DEPTH // 4 or N <= DEPTH // 4):   # read where it stands
        step_j, step_b = n, N
    else:
        right, step_j, step_b = packed(right, 1, K, N, across=not b_rows), K * n, n
    y = np.empty(M * N, a.dtype)
    multiply(left, right, y, M, K, N, (K, 1) if a_rows else (1, M), (step_j, step_b))
    return y.reshape(M, N)


def multiply(a, b, y, M, K, N, steps_a, steps_b):
    """y (M,N) = a b, all flat: `steps_a` is how far a's rows, and its columns, are apart, `steps_b`
    how far b's panels, and its rows."""
    row_tiles, column_panels = -(-M // ROWS), -(-N // columns(a.dtype))
    # Long products of short matrices are cut into parts, which are added in order.
    splits = 16 if K >= 16384 and M * N <= 65536 else 1
    sums = y if splits == 1 else np.empty(splits * M * N, y.dtype)
    # A step reuses what it reads for up to 8 by 8 tiles; 8 steps or more are left to share.
    panels = min(8, column_panels)
    tiles = max(1, min(8, row_tiles * splits * -(-column_panels // panels) // 8))
    steps = splits * -(-row_tiles // tiles) * -(-column_panels // panels)
    _multiply(steps, 1, a, b, sums, M, K, N, *steps_a, *steps_b, tiles, panels, -(-K // splits))
    if splits > 1:
        np.sum(sums.reshape(splits, -1), axis=0, out=y)


def _dense(a):
    """`a` or a copy of it that is contiguous or the transpose of what is."""
    return a if a.flags.c_contiguous or a.T.flags.c_contiguous else np.ascontiguousarray(a)


def _matmul_arrays(a, b):
    if a.ndim != 2 or b.ndim != 2 or a.shape[0] * a.shape[1] * b.shape[1] < SMALL:
        return np.matmul(a, b)
    return product(_dense(a), _dense(b))


def _linear_arrays(x, w, b):
    return plus_bias(_matmul_arrays(x, w.T), b)
