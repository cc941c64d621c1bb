"""Dropout as a layer."""

from __future__ import annotations

from .. import functional as F
from ..checks.arguments import arguments
from ..checks.layer_options import check_not_in_place, check_share
from ..tensor import Tensor
from .module import Module


class Dropout(Module):
    """Inverted dropout: in training each number is 0 with probability p, else divided by 1 - p; in
    evaluation nothing happens. Called as ``layer(x, first=k)``, its mask begins at element k of the
    draw. Source: D3-DROPOUT."""

    @arguments
    def __init__(self, p: float = 0.5, inplace: bool = False):
        super().__init__()
        check_share("Dropout", "p", p)
        check_not_in_place("Dropout", inplace)
        self.p = p

    def forward(self, input: Tensor, *, first: int = 0) -> Tensor:
        return F.dropout(input, self.p, self.training, first=first)
