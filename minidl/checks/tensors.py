"""Checks on the tensors of one call: on one device, of shapes that go together, free to be changed
in place."""

from __future__ import annotations

import numpy as np

from ..device import same_place
from ..modes import mode
from . import brief


def same_device(name: str, *tensors) -> None:
    """Raise TypeError, naming two of them, unless all tensors are on one device."""
    first = tensors[0].data
    for x in tensors[1:]:
        if not type(x.data) is type(first) is np.ndarray and not same_place(x.data, first):
            raise TypeError(f"{name}: {tensors[0]._brief()} and {x._brief()} are on different "
                            f"devices; move one with .to(device), or make it there: "
                            "minidl.tensor(array, device=...)")


def changeable(name: str, x) -> None:
    """Raise RuntimeError if a change of x in place would break a graph, or change several elements
    for one."""
    if x.node is not None:
        raise RuntimeError(f"{name}: this tensor is part of a graph; changing it in place would "
                           "falsify its history. Compute a new one, or x.detach().clone()")
    if x._requires_grad and mode.grad:
        raise RuntimeError(f"{name}: a leaf that requires grad is changed in place only inside "
                           "`with minidl.no_grad():`")
    if _overlaps_itself(x.data):
        raise RuntimeError(f"{name}: elements of an expanded view share memory; change a copy "
                           "(x.clone())")


def _overlaps_itself(array) -> bool:
    """Do several elements share memory? NumPy keeps such views from being written, CuPy does not.
    """
    if isinstance(array, np.ndarray):
        return not array.flags.writeable
    return any(step == 0 and n > 1 for n, step in zip(array.shape, array.strides))


def comparison_refused(name: str, x, other, error: Exception) -> Exception:
    """The error for a comparison of the tensor x with `other` that raised `error`."""
    if isinstance(error, OverflowError):
        return ValueError(f"{name}: {brief(other)} does not fit {x.dtype}")
    if isinstance(error, TypeError):
        return TypeError(f"{name}: cannot be done with {brief(x)} and {brief(other)}")
    shape = getattr(other, "shape", ())
    return ValueError(f"{name}: shapes {x.shape} and {shape} do not broadcast")
