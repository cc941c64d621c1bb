"""Parameter: a tensor that a module learns; and what kinds of attribute a module remembers."""

from __future__ import annotations

from ..tensor import Tensor

PARAMETER, BUFFER, TRANSIENT, CHILD = "parameter", "buffer", "transient buffer", "child"


class Parameter(Tensor):
    """A tensor that a module learns: ``Parameter(array)`` is a copy that requires a gradient."""

    def __init__(self, data, requires_grad: bool = True):
        super().__init__(data, requires_grad)

    def __repr__(self):
        return f"Parameter containing:\n{super().__repr__()}"
