"""Gradients with respect to chosen tensors, handed over instead of added to ``.grad``."""

from __future__ import annotations

from ..gradients import backward, seed_gradient
from ..tensor import Tensor


def grad(outputs, inputs, grad_outputs=None, retain_graph: bool | None = None,
         create_graph: bool = False, allow_unused: bool = False) -> tuple[Tensor | None, ...]:
    """Gradients of the sum of `outputs` with respect to `inputs`, without touching any ``.grad``.

    ``grad(y, x, create_graph=True)`` gives tensors that can be differentiated again.
    Raises ValueError when an input is not part of the graph (unless `allow_unused`).
    """
    outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    for x in outputs + inputs:
        if not isinstance(x, Tensor):
            raise TypeError(f"grad: outputs and inputs must be tensors, got {type(x).__name__}")
    given = grad_outputs if isinstance(grad_outputs, (list, tuple)) else [grad_outputs]
    given = [None] * len(outputs) if grad_outputs is None else given
    if len(given) != len(outputs):
        raise ValueError(f"grad: {len(given)} grad_outputs for {len(outputs)} outputs")
    for x in inputs:
        if not x._requires_grad:
            raise ValueError(f"grad: input {x._brief()} does not require grad")
    seeds = [seed_gradient("grad", y, g) for y, g in zip(outputs, given)]
    keep_graph = create_graph if retain_graph is None else retain_graph
    result = backward(outputs, seeds, retain_graph=keep_graph, create_graph=create_graph,
                      wanted=inputs)
    for x, g in zip(inputs, result):
        if g is None and not allow_unused:
            raise ValueError(f"grad: the outputs do not depend on input {x._brief()}; "
                             "allow_unused=True returns None for it")
    return tuple(result)
