"""Tables of vectors."""

from __future__ import annotations

from ... import checks
from ... import functional as F
from ...checks.arguments import arguments
from ...tensor import Tensor
from .. import init
from ..linear import uninitialised
from ..module import Module


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
