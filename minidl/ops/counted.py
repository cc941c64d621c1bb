"""Which examples count in a loss over class numbers, and how much, without waiting for a GPU.

How many examples are not ignored is a number on the device, and a branch on that number would make
the host wait. So nothing branches: an ignored example counts 0 of the sum, and a mean of no example
at all gets nan added, as 0 / 0 would give.
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
    """Class numbers t (n,), 0 where ignored, and whether each counts: 1 or 0, of x's dtype."""
    counted = t != ignore_index
    return namespace(t).where(counted, t, t.dtype.type(0)), counted.astype(x.dtype)


def mean_shares(count):
    """What each example counts of the mean, count / sum(count), and what to add to the mean: 0, or
    nan where the sum is 0. The shares are 0 then, not nan."""
    total = count.sum()
    none = total == 0
    number = count.dtype.type
    return count / (total + none), namespace(count).where(none, number(np.nan), number(0))


@replaceable("x")
def _class_shares(x, t, ignore_index):
    """For the mean over class numbers t (n,): these, 0 where ignored; and their shares."""
    numbers, counted = counted_or_not(x, t, ignore_index)
    return numbers, *mean_shares(counted)


def counted_classes(name: str, input: Tensor, target: Tensor, ignore_index: int, reduction: str):
    """The class numbers (n,) of `target`, 0 where ignored; how much each counts, 1 or for a mean
    1/n, and 0 where ignored; and what to add to a mean: 0, or nan where all are ignored."""
    t = class_numbers(name, input, target)
    if reduction == "mean":
        numbers, counts, nothing = _class_shares(input.data, t, ignore_index)
    else:
        (numbers, counts), nothing = counted_or_not(input.data, t, ignore_index), None
    checks.labels(name, numbers, input.shape[min(1, input.ndim - 1)])
    return numbers, counts, nothing


def sum_of_counted(name: str, losses: Tensor, nothing, shape, reduction: str) -> Tensor:
    """The losses (n,), each times what it counts, put together; "none" gives them in `shape`."""
    if reduction != "mean":
        return reduce_loss(name, reshape(losses, *shape), reduction)
    total = sum(losses)
    # + 0 is left out where that can be known without waiting.
    known = isinstance(nothing, (np.ndarray, np.generic)) and nothing == 0
    return total if known else total + as_constant(nothing)
