"""Variance, standard deviation and norm: sums of squares along axes."""

from __future__ import annotations

import builtins
import math

from ... import checks
from ...checks.arguments import arguments
from ...checks.axis_numbers import axis_numbers
from ...device import namespace
from ...op import op
from ...tensor import Tensor
from ..arithmetic import as_constant, as_floats
from ..reduce import array_max, array_sum, mean, sum_over
from ..shape import reshape_to
from ..terms import Composite


def _summand_count(input: Tensor, axes) -> int:
    return math.prod(input.shape[i] for i in axes)


def _correction(name: str, dim, unbiased, correction):
    """(dim, correction) of PyTorch's two signatures: `unbiased` True is correction=1, False 0, and
    stands in dim's place when it is alone."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if unbiased is not None and correction is not None:
        raise TypeError(f"{name}: unbiased={unbiased} and correction={correction} are the same "
                        "choice; give one")
    return dim, (1 if unbiased is None else int(unbiased)) if correction is None else correction


def _centred(input: Tensor, axes) -> Tensor:
    """x - mean, and once more: the first mean was rounded to its dtype."""
    once = input - mean(input, axes, keepdim=True)
    return once - mean(once, axes, keepdim=True)


@arguments
def var(input: Tensor, dim=None, unbiased: bool | None = None, *, correction: float | None = None,
        keepdim: bool = False) -> Tensor:
    """The variance over `dim`: sum (x - mean)^2 / (n - correction). The correction is 1, or, if not
    `unbiased`, 0."""
    dim, correction = _correction("var", dim, unbiased, correction)
    axes = axis_numbers("var", dim, input.ndim)
    centred = _centred(input, axes)
    return sum_over(centred * centred, axes, keepdim) / builtins.max(
        _summand_count(input, axes) - correction, 0)


@arguments
def std(input: Tensor, dim=None, unbiased: bool | None = None, *, correction: float | None = None,
        keepdim: bool = False) -> Tensor:
    """The standard deviation sqrt(var) = |x - mean| / sqrt(n - correction); where all x are equal
    its gradient is 0, as the norm's is."""
    dim, correction = _correction("std", dim, unbiased, correction)
    axes = axis_numbers("std", dim, input.ndim)
    length = _norm(_centred(input, axes), axes, keepdim)
    return length / math.sqrt(builtins.max(_summand_count(input, axes) - correction, 0))


@arguments
def norm(input: Tensor, p=2, dim=None, keepdim: bool = False) -> Tensor:
    """The Euclidean norm sqrt(sum x^2) over `dim` (no other `p`); its gradient at x = 0 is 0."""
    if p not in (2, "fro"):
        raise ValueError(f"norm: only p=2 is offered, got {p!r}; the axes are given as dim=")
    return _norm(input, axis_numbers("norm", dim, input.ndim), keepdim)


@op(terms=Composite("s = sum(x**2, dim); y = sqrt(s)", "dy/dx_i = x_i / y"))
def _norm(input: Tensor, dim, keepdim):
    """m sqrt(sum (x/m)^2), m the largest |x|: no square is too large or too small for its dtype."""
    x = as_floats(input)
    xp = namespace(x)
    top = array_max(xp.abs(x), dim)
    top = xp.where(xp.isfinite(top) & (top > 0), top, 1).astype(x.dtype)
    scaled = x / top
    y = xp.sqrt(array_sum.readable(scaled * scaled, dim)) * top
    kept = y.shape
    def backward(gy, need, out):
        length = reshape_to(out, kept)
        zero = length.data == 0
        safe = length + as_constant(zero.astype(x.dtype))  # x / |x| with 0 / 0 = 0
        return reshape_to(gy, kept) * (input / safe)
    return (y if keepdim else y.squeeze(dim)), backward


@arguments
def normalize(input: Tensor, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """x / max(||x||, eps) along `dim`."""
    checks.number("normalize: eps", eps)
    return input / input.norm(dim=dim, keepdim=True).clamp(min=eps)
