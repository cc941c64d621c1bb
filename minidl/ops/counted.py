"""How much each example counts in a loss over class numbers: in a mean 1/N, and 0 if ignored.

If no example counts, N = 0 and the mean is nan, as 0 / 0 is. But N is a number on the device: a
branch on N would make the host wait for a GPU. So to every mean a number is added: nan, or else 0.
"""

from __future__ import annotations

import numpy as np

from .. import checks
from ..checks.operands import class_numbers
from ..device import namespace
from ..kernels import replaceable
from ..tensor import Tensor
from .arithmetic import as_constant
from .reduce import reduce_loss, sum
from .shape import reshape


def counted_or_not(x, t, ignore_index):
    """The class numbers t (n,), 0 where ignored; and 1, or 0 where ignored, in x's dtype."""
    counted = t != ignore_index
    return namespace(t).where(counted, t, t.dtype.type(0)), counted.astype(x.dtype)


def mean_shares(count):
    """The shares in a mean, count / sum(count); and what to add to the mean: 0. Where the sum is 0,
    the shares are 0, and nan is to be added."""
    total, number = count.sum(), count.dtype.type
    none = total == 0
    return count / (total + none), namespace(count).where(none, number(np.nan), number(0))


@replaceable("x")
def _class_shares(x, t, ignore_index):
    """The class numbers t (n,), 0 where ignored, and what :func:`mean_shares` makes of them."""
    numbers, counted = counted_or_not(x, t, ignore_index)
    return numbers, *mean_shares(counted)


def counted_classes(name: str, input: Tensor, target: Tensor, ignore_index: int, reduction: str):
    """The class numbers (n,) of `target`, 0 where ignored; how much each counts; and what to add to
    a mean, 0 or nan, else None."""
    t = class_numbers(name, input, target)
    if reduction == "mean":
        numbers, counts, added = _class_shares(input.data, t, ignore_index)
    else:
        (numbers, counts), added = counted_or_not(input.data, t, ignore_index), None
    checks.labels(name, numbers, input.shape[min(1, input.ndim - 1)])
    return numbers, counts, added


def sum_of_counted(name: str, losses: Tensor, added, shape, reduction: str) -> Tensor:
    """The losses (n,), each times what it counts, put together; "none" gives them in `shape`."""
    if reduction != "mean":
        return reduce_loss(name, reshape(losses, *shape), reduction)
    total = sum(losses)
    # Adding 0 is left out on the CPU, where looking at it is no waiting.
    is_zero = isinstance(added, (np.ndarray, np.generic)) and added == 0
    return total if is_zero else total + as_constant(added)
