"""What an exercise is: a function to write, its cases, and what the library computes for them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..more.grad import grad
from ..tensor import Tensor

Case = dict[str, Any]


@dataclass(frozen=True)
class Exercise:
    """`signature` is the function wanted, `outputs` the names of what it returns. `cases` makes
    (title, arguments) pairs from a generator. `forward` takes a namespace of arguments and returns
    tensors; with `wrt` the answer is its gradient for these, after its value if that is an output
    too. A slip is (output, hint, wrong): wrong(arguments, answers) is what the mistake computes.
    `also` yields calls beside the cases: the arguments to change, {"output": k} for output k of the
    call before, and a function of the outputs that raises GradientError."""

    name: str
    task: str
    signature: str
    outputs: tuple[str, ...]
    source: str
    formula: str
    cases: Callable[[np.random.Generator], Iterator[tuple[str, Case]]]
    forward: Callable[[SimpleNamespace], Any]
    wrt: tuple[str, ...] = ()
    slips: tuple[tuple[str, str, Callable], ...] = ()
    also: Callable[[SimpleNamespace], Iterator[tuple[Case, Callable]]] | None = None

    @property
    def function(self) -> str:
        """The name of the function wanted."""
        return self.signature.partition("(")[0]

    @property
    def parameters(self) -> list[str]:
        """The names of its arguments, in order."""
        return self.signature.partition("(")[2].rstrip(")").split(", ")

    @property
    def stub(self) -> str:
        """Where the stub is: in the source tree, as seen from here if it can be."""
        path = Path(__file__).resolve().parents[2] / "examples" / "exercises" / f"{self.name}.py"
        if not path.exists():                          # installed without its source
            return f"examples/exercises/{path.name} (in minidl's source)"
        with contextlib.suppress(ValueError):
            path = path.relative_to(Path.cwd())
        return str(path)

    def answer(self, case: Case) -> list[np.ndarray]:
        """What the library computes: float64 arrays, one for each output."""
        a = SimpleNamespace(**{name: Tensor(value, requires_grad=name in self.wrt)
                               if is_float(value) else value for name, value in case.items()})
        found = self.forward(a)
        found = list(found) if isinstance(found, (tuple, list)) else [found]
        if self.wrt:
            upstream = Tensor(case.get(self.upstream, np.ones(())))
            slopes = grad(found[0], [getattr(a, name) for name in self.wrt], upstream)
            found = [*(found if len(self.outputs) > len(self.wrt) else ()), *slopes]
        return [np.array(y.numpy() if isinstance(y, Tensor) else y, np.float64)
                for y in (y.detach() if isinstance(y, Tensor) else y for y in found)]

    @property
    def upstream(self) -> str:
        """The argument that holds the gradient arriving from above; "" where it is 1."""
        return next((name for name in self.parameters if name in ("gy", "gz")), "")


def is_float(value: Any) -> bool:
    """Whether an argument is an array that gets a Tensor, and a gradient if one is wanted."""
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"
