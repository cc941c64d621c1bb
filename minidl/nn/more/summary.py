"""The table of a network's layers: output shape, parameters, multiply-adds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ... import random
from ...modes import no_grad
from ...tensor import Tensor
from ..module import Module


@dataclass(frozen=True)
class LayerRow:
    """One call of one layer, for one example; the batch axis is left out of `output_shape`."""

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int


@dataclass(frozen=True)
class Summary:
    """The rows in the order of the calls; printing it gives the table."""

    rows: list[LayerRow]
    parameters: int
    trainable: int

    @property
    def multiply_adds(self) -> int:
        """Products of numbers with weights, for one example, in the layers that say so."""
        return sum(row.multiply_adds for row in self.rows)

    def __str__(self):
        head = ("layer", "kind", "output", "parameters", "multiply-adds")
        body = [(r.name, r.kind, " x ".join(map(str, r.output_shape)), f"{r.parameters:,}",
                 f"{r.multiply_adds:,}") for r in self.rows]
        total = ("total", "", "", f"{self.parameters:,}", f"{self.multiply_adds:,}")
        widths = [max(map(len, column)) for column in zip(head, *body, total)]
        def line(cells):
            left = [cell.ljust(w) for cell, w in zip(cells[:3], widths)]
            right = [cell.rjust(w) for cell, w in zip(cells[3:], widths[3:])]
            return "  ".join(left + right).rstrip()
        rule = "-" * len(line(head))
        frozen = self.parameters - self.trainable
        note = [f"frozen: {frozen:,} parameters"] if frozen else []
        return "\n".join([line(head), rule, *map(line, body), rule, line(total), *note])


def summary(model: Module, input_shape) -> Summary:
    """Run `model` once on zeros of `input_shape`, (C, H, W) of one example without its batch axis,
    or on a Tensor that is a batch of one, and list what its layers did.

    Listed is every layer that has parameters of its own, or no children; shared parameters count
    once. The model is left as it was: evaluation mode, no gradients, no random number used up.
    """
    if isinstance(input_shape, Tensor):
        example = input_shape
    else:
        like = next(model.parameters(), Tensor(np.float32(0)))
        shape = (input_shape,) if isinstance(input_shape, int) else tuple(input_shape)
        example = Tensor(np.zeros((1, *shape), np.float32), dtype=like.dtype, device=like.device)
    rows: list[LayerRow] = []
    handles, counted = [], set()

    def record(name):
        def hook(module, args, output):
            first = output[0] if isinstance(output, tuple) else output
            own = [p for p in module.parameters(recurse=False) if p not in counted]
            counted.update(own)
            work = module.multiply_adds(args[0], first) if args else 0
            rows.append(LayerRow(name, type(module).__name__, tuple(first.shape[1:]),
                                 sum(p.numel() for p in own), work))
        return hook

    generator = random.default_generator()
    modes, state = [(m, m.training) for m in model.modules()], generator.get_state()
    try:
        for name, module in model.named_modules():
            leaf = next(module.children(), None) is None
            if leaf or next(module.parameters(recurse=False), None) is not None:
                handles.append(module.register_forward_hook(record(name or "(itself)")))
        with no_grad():
            model.eval()(example)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes:
            module.training = mode
        generator.set_state(state)
    parameters = list(model.parameters())
    return Summary(rows, sum(p.numel() for p in parameters),
                   sum(p.numel() for p in parameters if p.requires_grad))
