"""Class numbers as rows of 0 and 1."""

from __future__ import annotations

import numpy as np

from .. import checks
from ..checks.arguments import arguments
from ..device import namespace
from ..tensor import Tensor


@arguments
def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Rows with a 1 at the class number, int64: (...) -> (..., num_classes). Where num_classes is
    -1 it is one more than the largest number, 65,536 at most."""
    index = tensor.data
    if num_classes < -1:
        raise ValueError(f"one_hot: num_classes must be at least -1, got {num_classes}")
    if num_classes == -1 and index.size == 0:
        raise ValueError("one_hot: num_classes cannot be guessed from no numbers; give it")
    checks.integers("one_hot", index)
    classes = (checks.classes_of("one_hot", index, "num_classes") if num_classes == -1
               else num_classes)
    checks.labels("one_hot", index, classes)
    xp = namespace(index)
    return Tensor._wrap((index[..., None] == xp.arange(classes)).astype(np.int64))
