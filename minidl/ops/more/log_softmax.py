"""Logarithms of sums of exponentials: logsumexp and log_softmax."""

from __future__ import annotations

from ...checks.arguments import arguments
from ...checks.axis_numbers import axis_number, axis_numbers
from ...device import namespace
from ...op import op
from ...tensor import Tensor
from ..arithmetic import as_floats
from ..reduce import array_max, array_sum
from ..shape import reshape_to
from ..terms import Composite


@op(terms=Composite("m = max(x, dim); s = sum(exp(x - m), dim); y = m + log(s)",
                    "dy/dx_i = softmax(x)_i"))
def _logsumexp(input: Tensor, dim, keepdim):
    x = as_floats(input)
    xp = namespace(x)
    top = array_max(x, dim)
    top = xp.where(xp.isfinite(top), top, 0)             # all -inf: log 0, not nan
    y = xp.log(array_sum.readable(xp.exp(x - top), dim)) + top
    def backward(gy, need, out):
        return reshape_to(gy, y.shape) * (input - reshape_to(out, y.shape)).exp()
    return (y if keepdim else y.squeeze(dim)), backward


@arguments
def logsumexp(input: Tensor, dim, keepdim: bool = False) -> Tensor:
    """log sum_k e^{x_k}, computed as m + log sum_k e^{x_k - m} with m the maximum."""
    return _logsumexp(input, axis_numbers("logsumexp", dim, input.ndim), keepdim)


@arguments
@op("D1-SOFTMAX", terms=Composite(
    "m = max(x, dim); s = sum(exp(x - m), dim); y = x - m - log(s)",
    "dy_j/dx_i = (i == j) - softmax(x)_i"))
def log_softmax(input: Tensor, dim: int = -1):
    """log softmax(x) = x - log sum_k e^{x_k}, never through softmax. Source: D1-SOFTMAX.

    gx_i = gy_i - softmax(x)_i sum_k gy_k
    """
    dim = axis_numbers("log_softmax", axis_number("log_softmax", dim, input.ndim), input.ndim)
    x = as_floats(input)
    xp = namespace(x)
    shifted = x - array_max(x, dim)
    y = shifted - xp.log(array_sum.readable(xp.exp(shifted), dim))
    def backward(gy, need, out):
        return gy - out.exp() * gy.sum(dim, keepdim=True)
    return y, backward
