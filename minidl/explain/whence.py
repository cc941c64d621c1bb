"""Who made a tensor, and who used it: ``t.why()``, ``t.where_used()``."""

from __future__ import annotations

import numpy as np

from ..tensor import Tensor
from . import maps as maps
from .explanation import Lines
from .formula_text import op_title
from .keeping import made, uses


def why(t: Tensor) -> Lines:
    """See :meth:`minidl.Tensor.why`."""
    kept = made(t)
    if kept is None:
        kind = "a parameter or input" if t.requires_grad else "made by no recorded op"
        return Lines([f"a leaf, {t._brief()}: {kind}"])
    lines = Lines([f"{op_title(kept.op)} -> shape {t.shape}"])
    if kept.site:
        lines.append(f"  called at {kept.site}" + (
            f"   (module {kept.site.module_shown})" if kept.site.module_shown else ""))
    else:
        lines.append("  called at: kept only inside `with minidl.keep():`")
    if kept.args is None:
        lines += [f"  input of shape {shape}" for shape in kept.node.shapes if shape is not None]
        return lines
    args = maps.bound_arguments(kept.op, kept.args)
    lines.inputs = tuple(x for x in kept.op.inputs(args) if isinstance(x, Tensor))
    given = dict(zip(kept.op.signature.parameters, args))
    if kept.op.sequence:                               # cat's list, one by one
        tensors, *others = given.items()
        given = {f"x{k}": x for k, x in enumerate(tensors[1])} | dict(others)
    for name, value in given.items():
        if isinstance(value, Tensor):
            before, called = made(value), kept.site.name_of(value) if kept.site else ""
            lines.append(f"  {name}: shape {value.shape}, {value.dtype}, from "
                         + (before.op.name if before else "a leaf")
                         + (f", called {called}" if called not in ("", name) else ""))
        elif isinstance(value, np.ndarray):
            lines.append(f"  {name}: an array of shape {value.shape}, {value.dtype}")
        else:
            lines.append(f"  {name} = {value!r}")
    return lines


def where_used(t: Tensor) -> Lines:
    """See :meth:`minidl.Tensor.where_used`."""
    found = uses(t)
    lines = Lines([op_title(use.op) + (f"   {use.site}" if use.site else "") for use in found]
                  or ["nothing has used it" if t.history is not None and t.history.made is not None
                      else "no use was recorded; `with minidl.keep():` does"])
    lines.inputs = tuple(use.out for use in found)
    return lines
