"""Cross entropy with what is seldom wanted: weights of classes, smoothed labels, targets that are
probabilities, more axes than (N, C); and the same from log-probabilities.
"""

from __future__ import annotations

import math

from ...checks.arguments import arguments
from ...checks.operands import example_shape, needs_floats, same_floats
from ...device import namespace
from ...tensor import Tensor, same_device
from ..arithmetic import as_constant
from ..counted import counted_classes, mean_shares, sum_of_counted
from ..reduce import reduce_loss, sum
from ..shape import reshape
from .axes import transpose
from .choices import weighed
from .log_softmax import log_softmax


def classes_last(x: Tensor) -> Tensor:
    """(N, C, d1, ...) as (N * d1 * ..., C); (C,) as (1, C)."""
    if x.ndim == 2:
        return x
    if x.ndim == 1:
        return reshape(x, 1, -1)
    examples = math.prod(example_shape(x))
    if x.ndim > 2:
        x = transpose(reshape(x, *x.shape[:2], math.prod(x.shape[2:])), 1, 2)
    return reshape(x, examples, x.shape[-1])


@arguments
def nll_loss(input: Tensor, target: Tensor, weight: Tensor | None = None,
             ignore_index: int = -100, reduction: str = "mean") -> Tensor:
    """-log p of the target class: input log p (N,C,...), target class numbers (N,...).

    ``weight`` (C,) weighs each example by its class, and "mean" divides by the weights' sum.
    Examples of class `ignore_index` count nothing. Source: D0-CE.
    """
    needs_floats("nll_loss", input)
    return _nll("nll_loss", input, target, weight, ignore_index, reduction)


def _nll(name: str, input, target, weight, ignore_index, reduction, smoothing=0.0) -> Tensor:
    numbers, counted, _ = counted_classes(name, input, target, ignore_index, "sum")
    rows, xp = classes_last(input), namespace(numbers)
    classes = rows.shape[1]
    w = _class_weights(name, weight, rows)
    if w.requires_grad:
        raise TypeError(f"{name}: weight requires grad, and gets none here; use weight.detach()")
    count = counted * w.data[numbers]
    share, added = mean_shares(count) if reduction == "mean" else (count, None)
    loss = weighed(as_constant(share), -rows[xp.arange(len(numbers)), numbers])
    if smoothing:                            # (1 - e) of the true class's, and of every class's e/C
        total = count.sum() if reduction == "mean" else 1
        counted = as_constant(counted / (total + (total == 0)))
        every = weighed(counted, -sum(weighed(w, rows), 1)) / classes
        loss = (1 - smoothing) * loss + smoothing * every
    return sum_of_counted(name, loss, added, target.shape, reduction)


def _class_weights(name: str, weight, rows: Tensor) -> Tensor:
    classes = rows.shape[1]
    if weight is None:
        return as_constant(namespace(rows.data).ones(classes, rows.dtype))
    if weight.shape != (classes,):
        raise ValueError(f"{name}: weight must have shape ({classes},), got {weight.shape}")
    same_floats(name, rows, ("weight", weight))
    same_device(name, rows, weight)
    return weight


def weighted_cross_entropy(input, target, weight, ignore_index, reduction, label_smoothing):
    """cross_entropy of smoothed labels, with weights, or of a target of probabilities: :func:`_nll`
    of log_softmax, or -sum_c w_c t_c log p_c."""
    soft = target.dtype.kind == "f" and target.shape == input.shape
    if soft and ignore_index >= 0:
        raise ValueError(f"cross_entropy: ignore_index={ignore_index} is for class numbers, target "
                         "has probabilities")
    log_p = log_softmax(input, min(1, input.ndim - 1))
    if soft:
        return _soft_cross_entropy(log_p, target, weight, reduction, label_smoothing)
    return _nll("cross_entropy", log_p, target, weight, ignore_index, reduction, label_smoothing)


def _soft_cross_entropy(log_p, target, weight, reduction, label_smoothing):
    """-sum_c w_c t_c log p_c, 0 log 0 being 0; "mean" divides by the number of examples, whatever
    the weights."""
    rows, t = classes_last(log_p), classes_last(target)
    t = t * (1 - label_smoothing) + label_smoothing / max(t.shape[1], 1)
    loss = -sum(weighed(t * _class_weights("cross_entropy", weight, rows), rows), 1)
    return reduce_loss("cross_entropy", reshape(loss, *example_shape(log_p)), reduction)
