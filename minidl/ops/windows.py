"""How many windows of convolution or pooling an image has, and what border the windows need."""

from __future__ import annotations

from functools import lru_cache


def sides(padding) -> tuple[int, int]:
    """(before, after) along one axis; a number means both."""
    return padding if isinstance(padding, tuple) else (padding, padding)


@lru_cache
def output_size(size, kernel, stride, padding, dilation) -> tuple[int, ...]:
    """floor((size + before + after - (kernel - 1) dilation - 1) / stride) + 1 along each axis.

    Tuples with one entry an axis; those of `padding` are numbers or (before, after).
    """
    return tuple([(n + sum(sides(p)) - (k - 1) * d - 1) // s + 1
                  for n, k, s, p, d in zip(size, kernel, stride, padding, dilation)])


def same_border(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Keras's "same": (before, after) for ceil(size / stride) windows; after is the larger one."""
    total = max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


def pool_borders(size, counts, window, stride, padding, dilation) -> tuple[tuple[int, int], ...]:
    """(before, after) along each axis: `padding`, and what the last window needs past the image."""
    return tuple([(p, max((m - 1) * s + (k - 1) * d + 1 - n - p, 0))
                  for n, m, k, s, p, d in zip(size, counts, window, stride, padding, dilation)])
