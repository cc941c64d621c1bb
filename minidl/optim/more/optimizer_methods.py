"""PyTorch's further methods of an optimiser: a step that computes the loss, the repr."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ... import checks
from ...more.grad_enabled import enable_grad
from ...tensor import Tensor


class OptimizerMethods:
    """The part of :class:`minidl.optim.Optimizer` that the documents' trainings do without."""

    param_groups: list[dict[str, Any]]

    def _loss_of(self, closure: Callable[[], Tensor]) -> Tensor:
        """The loss that `closure` computes, and gradients with it."""
        if not callable(closure):
            raise TypeError(f"{type(self).__name__}.step: closure must be a function, got "
                            f"{checks.brief(closure)}")
        with enable_grad():
            return closure()

    def __repr__(self):
        groups = [", ".join(f"{k}={v}" for k, v in group.items() if k != "params")
                  for group in self.param_groups]
        return f"{type(self).__name__}({'; '.join(groups)})"
