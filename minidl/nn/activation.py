"""Activations as layers; the formulas are in ``minidl.functional``."""

from __future__ import annotations

from .. import functional as F
from ..tensor import Tensor
from .module import Module


class ReLU(Module):
    """max(0, x). Source: D2-RELU."""

    def __init__(self, inplace: bool = False):
        super().__init__()
        not_in_place("ReLU", inplace)

    def forward(self, input: Tensor) -> Tensor:
        return F.relu(input)


def not_in_place(name: str, inplace: bool) -> None:
    """Refuse PyTorch's ``inplace=True``."""
    if inplace:
        raise ValueError(f"{name}: inplace=True is not offered; the result is a new tensor")
