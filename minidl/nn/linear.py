"""Dense layers, and tables of vectors."""

from __future__ import annotations

import numpy as np

from .. import checks
from .. import functional as F
from ..checks.arguments import arguments
from ..tensor import Tensor
from . import init
from .module import Module, Parameter


def uninitialised(*shape: int) -> Parameter:
    """A float32 parameter still to be initialised."""
    return Parameter(np.zeros(shape, np.float32))


class Linear(Module):
    """y = x W^T + b: (..., in_features) -> (..., out_features), W (out_features, in_features).
    Source: D1-DENSE."""

    @arguments
    def __init__(self, in_features: int, out_features: int, bias: bool = True):
        super().__init__()
        self.in_features = checks.whole("Linear: in_features", in_features, 1)
        self.out_features = checks.whole("Linear: out_features", out_features, 1)
        self.weight = uninitialised(out_features, in_features)
        self.register_parameter("bias", uninitialised(out_features) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights."""
        init.pytorch_(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight, self.bias)

    def product(self, input: Tensor) -> Tensor:
        """x W^T, without the bias."""
        return F.linear(input, self.weight)

    def multiply_adds(self, input: Tensor, output: Tensor) -> int:
        return output.numel() * self.in_features


class Embedding(Module):
    """Row i of a table for each integer i: (...) -> (..., embedding_dim). Rows begin as N(0, 1)."""

    @arguments
    def __init__(self, num_embeddings: int, embedding_dim: int):
        super().__init__()
        self.num_embeddings = checks.whole("Embedding: num_embeddings", num_embeddings, 1)
        self.embedding_dim = checks.whole("Embedding: embedding_dim", embedding_dim, 1)
        self.weight = uninitialised(num_embeddings, embedding_dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new rows."""
        init.normal_(self.weight)

    def forward(self, input: Tensor) -> Tensor:
        return F.embedding(input, self.weight)
