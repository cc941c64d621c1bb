"""What Hypothesis draws: shapes, arrays without kinks or ties, memory orders, convolutions.

Everything is built so that it fits; nothing is drawn and then rejected. An array is drawn as a
shape and a seed: an example shrinks to a small shape quickly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..device import namespace

try:
    from hypothesis import strategies as st
except ImportError as error:
    raise ImportError("minidl.testing.strategies needs Hypothesis: python -m pip install "
                      "hypothesis") from error

__all__ = ["Geometry", "arrays", "broadcasting_shapes", "conv_geometries", "distinct_arrays",
           "generators", "in_order", "memory_orders", "shapes"]


# --------------------------------------------------------------------------- shapes
def shapes(min_dims: int = 0, max_dims: int = 3, min_side: int = 1, max_side: int = 4):
    """Tuples of lengths."""
    return st.lists(st.integers(min_side, max_side), min_size=min_dims,
                    max_size=max_dims).map(tuple)


@st.composite
def broadcasting_shapes(draw, count: int = 2, max_dims: int = 3, max_side: int = 3):
    """`count` shapes that broadcast against each other: axes of length 1 and leading axes missing.
    """
    full = draw(shapes(0, max_dims, 1, max_side))
    result = []
    for _ in range(count):
        ones = draw(st.lists(st.booleans(), min_size=len(full), max_size=len(full)))
        missing = draw(st.integers(0, len(full)))
        result.append(tuple(1 if one else n for n, one in zip(full, ones))[missing:])
    return result


# --------------------------------------------------------------------------- numbers
def generators():
    """NumPy generators, a new one for each example."""
    return st.integers(0, 2**32 - 1).map(np.random.default_rng)


def _uniform_with_gaps(rng, shape, low: float, high: float, away_from: Sequence[float], gap: float):
    """Uniform on [low, high] without the intervals (point - gap, point + gap): a number is drawn on
    the line with the gaps cut out, and moved past the gaps it lies behind."""
    cuts = sorted(p for p in away_from if low - gap < p < high + gap)
    starts = [max(p - gap, low) for p in cuts]
    lengths = [min(p + gap, high) - s for p, s in zip(cuts, starts)]
    x = rng.uniform(low, high - sum(lengths), shape)
    for start, length in zip(starts, lengths):
        x = np.where(x > start, x + length, x)
    return np.asarray(x)


@st.composite
def arrays(draw, shape=(), low: float = -2.0, high: float = 2.0, away_from: Sequence[float] = (),
           gap: float = 0.05, dtype=np.float64):
    """Arrays of numbers in [low, high], none closer than `gap` to a point of `away_from` (where the
    function under test has a kink). `shape` is a shape or a strategy of shapes."""
    shape = draw(shape) if isinstance(shape, st.SearchStrategy) else shape
    return _uniform_with_gaps(draw(generators()), shape, low, high, away_from, gap).astype(dtype)


@st.composite
def distinct_arrays(draw, shape=(), gap: float = 0.05, dtype=np.float64):
    """Arrays of numbers around 0, no two closer than `gap`: for maxima, whose kinks are ties.

    A random order of equally spaced places, each number moved by up to a fifth of the spacing.
    """
    shape = draw(shape) if isinstance(shape, st.SearchStrategy) else shape
    rng, size = draw(generators()), int(np.prod(shape))
    places = rng.permutation(size) - (size - 1) / 2 + rng.uniform(-0.2, 0.2, size)
    return np.asarray((places * gap / 0.6).reshape(shape).astype(dtype))


# --------------------------------------------------------------------------- memory orders
ORDERS = ("C", "F", "channels-last", "reversed", "strided", "rows apart", "column", "unaligned")


def memory_orders():
    """One of ORDERS."""
    return st.sampled_from(ORDERS)


def in_order(array: np.ndarray, order: str) -> np.ndarray:
    """The same numbers and shape in another memory order: "C"; "F"; "channels-last" (axis 1
    innermost, as a convolution leaves it); "reversed", a view with negative strides; "strided" and
    "rows apart", every second number along the last and the first axis of a larger array;
    "column", one of several along one more axis; "unaligned", at an odd address (on the CPU)."""
    xp = namespace(array)
    if order == "channels-last" and array.ndim > 1:
        return xp.moveaxis(xp.moveaxis(array, 1, -1).copy(), -1, 1)
    if order == "reversed" and array.ndim:
        back = (slice(None, None, -1),) * array.ndim
        return array[back].copy()[back]
    if order in ("strided", "rows apart") and array.ndim:
        axis = -1 if order == "strided" else 0
        wide = xp.repeat(array, 2, axis)
        every_second = (..., slice(None, None, 2)) if axis else slice(None, None, 2)
        wide[(..., slice(1, None, 2)) if axis else slice(1, None, 2)] = 7
        return wide[every_second]
    if order == "column":
        return xp.stack([xp.full_like(array, 7), array, xp.full_like(array, 7)], -1)[..., 1]
    if order == "unaligned" and xp is np:
        odd = np.empty(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
        odd[...] = array
        return odd
    return xp.array(array, order="F" if order == "F" else "C")


# --------------------------------------------------------------------------- convolutions
@dataclass(frozen=True)
class Geometry:
    """A convolution that fits. Pairs are (height, width); channels are multiples of `groups`."""

    N: int
    C: int
    O: int
    groups: int
    size: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    out: tuple[int, int]

    x_shape = property(lambda self: (self.N, self.C, *self.size))
    w_shape = property(lambda self: (self.O, self.C // self.groups, *self.kernel))
    y_shape = property(lambda self: (self.N, self.O, *self.out))


@st.composite
def _axis(draw, max_out, max_kernel, max_stride, max_dilation, pool):
    """(input, kernel, stride, padding, dilation, output) lengths of one axis.

    The output is drawn and the input computed from it; up to stride - 1 pixels of slack at the end
    are what no window reaches. Padding is limited so that a pixel is left (and, for pooling, to
    half of the window, a pixel or more under each).
    """
    out, kernel = draw(st.integers(1, max_out)), draw(st.integers(1, max_kernel))
    stride, dilation = draw(st.integers(1, max_stride)), draw(st.integers(1, max_dilation))
    padded = (out - 1) * stride + (kernel - 1) * dilation + 1 + draw(st.integers(0, stride - 1))
    most = min((padded - 1) // 2, kernel)
    if pool:                        # no fewer pixels than the taps are apart: none jumps over them
        most = min(kernel // 2, (padded - dilation) // 2) if kernel > 1 else 0
    padding = draw(st.integers(0, most))
    return padded - 2 * padding, kernel, stride, padding, dilation, out


@st.composite
def conv_geometries(draw, max_batch: int = 2, max_channels: int = 2, max_groups: int = 1,
                    max_out: int = 3, max_kernel: int = 3, max_stride: int = 3,
                    max_dilation: int = 2, pool: bool = False):
    """Convolutions and poolings that fit: see :class:`Geometry`. ``pool=True``: as many channels
    out as in, and padding at most half of the window."""
    rows, columns = (draw(_axis(max_out, max_kernel, max_stride, max_dilation, pool))
                     for _ in range(2))
    size, kernel, stride, padding, dilation, out = zip(rows, columns)
    groups = draw(st.integers(1, max_groups))
    C, O = (groups * draw(st.integers(1, max_channels)) for _ in range(2))
    return Geometry(draw(st.integers(1, max_batch)), C, C if pool else O, groups, size, kernel,
                    stride, padding, dilation, out)
