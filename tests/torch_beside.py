"""A network of PyTorch beside what minidl.from_torch makes of it. Importing this skips the tests of
a file where PyTorch is not installed."""

from __future__ import annotations

import numpy as np
import pytest

import minidl
from minidl import nn as ours

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from torch import nn  # noqa: E402

# PyTorch computes the gradients of these in float64 by a constant that was rounded to float32.
ROUGH = 1e-6


def drawn(shape, seed: int = 0, kind: str = "float") -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    if kind == "classes":
        return torch.randint(0, 4, shape, generator=generator)
    numbers = torch.randn(tuple(shape), generator=generator, dtype=torch.float64)
    return {"float": numbers, "share": numbers.sigmoid(),
            "log": torch.log_softmax(numbers, -1)}[kind]


def parts(result) -> list:
    """The tensors of a result, through tuples and dicts."""
    if isinstance(result, dict):
        result = list(result.values())
    if isinstance(result, (tuple, list)):
        return [tensor for part in result for tensor in parts(part)]
    return [] if result is None else [result]


def close(found: np.ndarray, wanted: np.ndarray, what: str, unit: float = 1e-12) -> None:
    assert found.shape == tuple(wanted.shape) and found.dtype == wanted.dtype, what
    unit = unit if wanted.dtype == np.float64 else 1e-5 if wanted.dtype == np.float32 else 0
    finite = wanted[np.isfinite(wanted)]
    scale = max(1.0, float(np.abs(finite).max())) if finite.size else 1.0
    np.testing.assert_allclose(found, wanted, rtol=unit, atol=unit * scale, err_msg=what)


def check_same(theirs: nn.Module, *inputs: torch.Tensor, dtype=torch.float64,
               unit: float = 1e-12) -> ours.Module:
    """Result, gradients of all inputs and parameters, and buffers afterwards, are PyTorch's."""
    theirs = theirs.to(dtype)
    mine = minidl.from_torch(theirs)
    inputs = [x.to(dtype) if x.is_floating_point() else x for x in inputs]
    args = [x.clone().requires_grad_(x.is_floating_point()) for x in inputs]
    given_ = [minidl.tensor(x.numpy(), requires_grad=x.is_floating_point()) for x in inputs]
    # A layer may write into its input, and a leaf that wants a gradient must not be written into.
    wanted, found = parts(theirs(*[a * 1 for a in args])), parts(mine(*given_))
    assert len(wanted) == len(found) > 0
    loss, my_loss = 0.0, minidl.zeros(())
    for k, (a, b) in enumerate(zip(wanted, found)):
        if not isinstance(a, torch.Tensor):
            assert a == b, k
            continue
        close(b.numpy(), a.detach().numpy(), f"result {k}")
        if a.requires_grad:
            weights = drawn(a.shape, 7 + k).to(dtype)
            loss = loss + (a * weights).sum()
            my_loss = my_loss + (b * minidl.tensor(weights.numpy())).sum()
    assert list(mine.state_dict()) == list(theirs.state_dict())
    if isinstance(loss, torch.Tensor):
        loss.backward()
        my_loss.backward()
    for k, (a, b) in enumerate(zip(args, given_)):
        check_gradient(a, b, f"gradient of input {k}", unit)
    named = dict(mine.named_parameters())
    assert list(named) == [name for name, _ in theirs.named_parameters()]
    for name, p in theirs.named_parameters():
        check_gradient(p, named[name], name)
    for name, value in theirs.state_dict().items():
        close(mine.state_dict()[name].numpy(), value.numpy(), name)
    return mine


def check_gradient(theirs: torch.Tensor, mine: minidl.Tensor, what: str,
                   unit: float = 1e-12) -> None:
    assert (theirs.grad is None) == (mine.grad is None), what
    if theirs.grad is not None:
        close(mine.grad.numpy(), theirs.grad.numpy(), what, unit)


def fresh(layer: nn.Module) -> nn.Module:
    """Parameters and statistics that are not the first ones: no weight 1, no bias 0."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for tensor in (*layer.parameters(), *layer.buffers()):
            if tensor.is_floating_point():
                tensor.add_(torch.rand(tensor.shape, generator=generator))
    return layer


class Of(nn.Module):
    """A module whose forward is an expression."""

    def __init__(self, expression):
        super().__init__()
        self.expression = [expression]

    def forward(self, x, y):
        return self.expression[0](x, y)
