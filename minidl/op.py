"""An op: one function that returns a value and, as a closure, its own backward pass.

The decorator :func:`op` makes the function differentiable. It makes arguments tensors, silences
NumPy's warnings of inf and nan, tells the watchers (watch.py), and puts on the tape (tape.py) what
the call leaves behind.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence

import numpy as np

from .checks.arguments import kind_of
from .checks.calls import explain_failure, input_refused
from .modes import mode, silent
from .tape import put_on_tape
from .tensor import Tensor, as_tensor


class Op:
    """What the engine knows of an op: its name; its id in docs/ledger.md, the list of formulas;
    its index map, which only explanations read (ops/terms.py); which arguments are tensors."""

    def __init__(self, forward: Callable, name: str | None, source: str | None, terms, views: bool):
        self.name = name or forward.__name__.strip("_")
        self.source, self.terms, self.views = source, terms, views
        self.signature = inspect.signature(forward)
        kinds = [kind_of(p) for p in self.signature.parameters.values()]     # "Tensor | None"
        self.arity = len(kinds)
        # Which are tensors, and which of those may be None (a bias).
        self.places = [i for i, k in enumerate(kinds) if k.endswith(("Tensor", "Tensor | None"))]
        self.optional = {i for i in self.places if kinds[i].endswith(" | None")}
        self.all_tensors = bool(kinds) and len(self.places) == self.arity and not self.optional
        self.sequence = kinds[:1] == ["Sequence[Tensor]"]                # cat takes a list

    def __repr__(self):
        return f"<op {self.name}{f' ({self.source})' if self.source else ''}>"

    def bound(self, args, kwargs) -> tuple[tuple, dict]:
        """The positional arguments, with defaults filled in, and those that are keyword-only."""
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.name}: {error}") from None
        bound.apply_defaults()
        return bound.args, bound.kwargs

    def inputs(self, args: tuple) -> Sequence:
        """The arguments that are, or are to be made, tensors."""
        if self.sequence:
            return args[0]
        if self.places:
            return [args[i] for i in self.places if args[i] is not None or i not in self.optional]
        return [a for a in args if isinstance(a, (Tensor, np.ndarray))]

    def places_filled(self, args: Sequence) -> list[int]:
        """The places of the tensor arguments, but for an optional one that is None."""
        return [i for i in self.places if args[i] is not None or i not in self.optional]

    def with_inputs(self, args: Sequence, inputs: Sequence) -> tuple:
        """`args`, with the tensors `inputs` in the places where :meth:`inputs` found them."""
        if self.all_tensors:
            return tuple(inputs)
        if self.sequence:
            return (inputs, *args[1:])
        at = self.places_filled(args) if self.places else [
            i for i, a in enumerate(args) if isinstance(a, (Tensor, np.ndarray))]
        put = dict(zip(at, inputs))
        return tuple([put.get(i, a) for i, a in enumerate(args)])

    def converted(self, args: tuple, inputs) -> tuple[tuple, list[Tensor]]:
        """Numbers and arrays made tensors; a number takes the dtype of the op's float tensor."""
        like = None
        for x in inputs:
            if isinstance(x, Tensor):
                like = x
                if x.data.dtype.kind == "f":
                    break
        try:
            inputs = [as_tensor(x.copy() if mode.grad and hasattr(x, "strides") else x, like)
                      for x in inputs]                 # a caller may write into its array later
        except (TypeError, ValueError) as error:
            raise input_refused(self, args, inputs, error) from None
        return self.with_inputs(args, inputs), inputs


OPS: dict[str, Op] = {}
"""The op table: every op of the library by name (``minidl.ops`` fills it)."""


def op(source: str | Callable | None = None, *, name: str | None = None, terms=None,
       views: bool | None = None):
    """Make a differentiable op of one function; its body is the mathematics, the rest is here.

    ::

        @op
        def cube(x):
            y = x.data ** 3                       # arrays in, array out
            def backward(gy):                     # tensors in, tensors out: differentiable again
                return gy * 3 * x**2
            return y, backward

    The function gets its tensor arguments as Tensors (parameters annotated ``Tensor``; without
    annotations, whatever is a Tensor or an array) and returns ``(y, backward)``:

    * ``y``: an array; or a tuple of arrays, of which only the first carries a gradient.
    * ``backward(gy)``, ``backward(gy, need)`` or ``backward(gy, need, out)`` returns one gradient
      per tensor argument, in order, ``None`` where there is none. gy is the gradient of the loss
      with respect to y (the upstream gradient); ``need[k]`` says whether argument k's gradient is
      wanted (never that of a ``Tensor | None`` which is None); ``out`` is the op's own output.
      ``backward`` may be ``None``.

    Un-broadcasting, dtype, accumulation and the graph are the engine's. All else is optional:
    `source` is a ledger id, `name` what the op is called if not as the function (without
    underscores around it), `terms` an index map (``minidl.ops.terms``). `views` says whether y may
    be a view of an argument's memory, so that a change in place of one is a change of the other:
    assumed of a user's op, and of an op of the library only if it says so.
    """

    def decorate(forward: Callable) -> Callable:
        ours = forward.__module__.startswith(f"{__package__}.ops")
        entry = Op(forward, name, source if isinstance(source, str) else None, terms,
                   not ours if views is None else views)
        if ours:
            OPS[entry.name] = entry
        return _applied(entry, forward, ours)

    return decorate(source) if callable(source) else decorate


def _applied(entry: Op, forward: Callable, ours: bool) -> Callable:
    """What stands under the op's name: `forward`, and around it what all ops share."""

    @functools.wraps(forward)
    def apply(*args, **options):
        if options or len(args) != entry.arity:
            args, options = entry.bound(args, options)
        inputs = args if entry.all_tensors else entry.inputs(args)
        for x in inputs:
            if not isinstance(x, Tensor):
                args, inputs = entry.converted(args, inputs)
                break
        watchers = mode.watchers and [w for w in mode.watchers if w not in mode.hidden]
        outputs = ()
        for w in watchers:
            w.op_begins(entry, inputs)
        try:
            run = silent.copy().run if ours else _silently
            y, backward = run(forward, *args, **options)
            return (outputs := put_on_tape(entry, args, inputs, y, backward))
        except Exception as error:          # of any kind: a kernel's compiler has its own
            explain_failure(entry.name, inputs, error)         # raises a clearer one, if it can
            raise
        finally:
            for w in watchers[::-1]:
                w.op_ends(entry, args, inputs, outputs if type(outputs) is tuple else (outputs,))

    apply.op, entry.call = entry, apply
    return apply


def _silently(function: Callable, *args, **kwargs):
    with np.errstate(all="ignore"):
        return function(*args, **kwargs)
