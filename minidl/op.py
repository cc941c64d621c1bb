"""An op: one function, forward then backward, made differentiable by the decorator :func:`op`.

An op is one function that returns its value and a closure, its backward pass. The decorator does
all plumbing: arguments are made tensors, NumPy's warnings of inf and nan are silent, watchers are
told, and what the call leaves behind is put on the tape (:mod:`minidl.tape`).
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Sequence

import numpy as np

from .checks.arguments import tensor_argument
from .modes import mode, silent
from .tape import put_on_tape
from .tensor import Tensor, as_tensor, same_device


def _silently(function: Callable, *args, **kwargs):
    with np.errstate(all="ignore"):
        return function(*args, **kwargs)


class Op:
    """What the engine knows of an op: name, ledger id, index map, which arguments are tensors."""

    def __init__(self, forward: Callable, name: str | None, source: str | None, terms, views: bool):
        self.name = name or forward.__name__.strip("_")
        self.source, self.terms, self.views = source, terms, views
        self.signature = inspect.signature(forward)
        kinds = [str(p.annotation) for p in self.signature.parameters.values()]
        self.arity = len(kinds)
        # Which are tensors, and which of those may be None (a bias).
        optional = r"(typing\.)?Optional\[(?P<a>[\w.]*)\]|(?P<b>[\w.]*) \| None"
        found = [(m and (m["a"] or m["b"]) or k, bool(m)) for k in [k.strip("'<>") for k in kinds]
                 for m in [re.fullmatch(optional, k)]]
        self.places = [i for i, (k, _) in enumerate(found) if k.endswith("Tensor")]
        self.optional = {i for i in self.places if found[i][1]}
        self.all_tensors = bool(kinds) and len(self.places) == self.arity and not self.optional
        self.sequence = bool(kinds) and kinds[0] == "Sequence[Tensor]"   # cat takes a list

    def __repr__(self):
        return f"<op {self.name}{f' ({self.source})' if self.source else ''}>"

    def bound(self, args, kwargs) -> tuple[tuple, dict]:
        """The arguments in the order of the signature with defaults filled in, and apart from them
        those that are keyword-only."""
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
            raise self.refusal(args, inputs, error) from None
        return self.placed(args, inputs), inputs

    def placed(self, args: Sequence, inputs: Sequence) -> tuple:
        """`args` with `inputs` where :meth:`inputs` finds the op's tensors, in the same order."""
        if self.all_tensors:
            return tuple(inputs)
        if self.sequence:
            return (inputs, *args[1:])
        at = self.places or [i for i, a in enumerate(args) if isinstance(a, (Tensor, np.ndarray))]
        put = dict(zip([i for i in at if args[i] is not None or i not in self.optional], inputs))
        return tuple([put.get(i, a) for i, a in enumerate(args)])

    def refusal(self, args: tuple, inputs, error: Exception) -> Exception:
        """The error for inputs of which one cannot be made a tensor: it names the argument."""
        names = list(self.signature.parameters)
        try:
            given = [i for i in self.places if args[i] is not None or i not in self.optional]
            for i, x in zip(given, inputs):
                tensor_argument(f"{self.name}: {names[i]}", x, inputs)
        except (TypeError, ValueError) as named:
            return named
        return error

    def explain_failure(self, inputs, error: Exception) -> None:
        """Say so if an op failed because its inputs are on different devices, or do not broadcast.
        """
        try:
            same_device(self.name, *inputs)
        except TypeError as mixed:
            raise mixed from None
        if str(error).startswith("operands could not be broadcast"):
            shapes = " and ".join(str(x.shape) for x in inputs)
            raise ValueError(f"{self.name}: shapes {shapes} do not broadcast: counted from the "
                             "last, axes must have equal length, or length 1") from None


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
      per tensor argument, in order, ``None`` where there is none. ``need[k]`` says whether argument
      k's gradient is wanted (never that of a ``Tensor | None`` which is None); ``out`` is the op's
      own output. ``backward`` may be ``None``.

    Un-broadcasting, dtype, accumulation and the graph are the engine's. All else is optional:
    `source` is a ledger id, `name` what the op is called if not as the function (without leading
    underscores), `terms` an index map (``minidl.ops.terms``). `views` says whether y may be a view
    of an argument's memory, so that a change in place of one is a change of the other.
    """

    def decorate(forward: Callable) -> Callable:
        ours = forward.__module__.startswith(f"{__package__}.ops")
        entry = Op(forward, name, source if isinstance(source, str) else None, terms,
                   not ours if views is None else views)

        @functools.wraps(forward)
        def apply(*args, **kwargs):
            args, options = (args, {}) if len(args) == entry.arity and not kwargs else (
                entry.bound(args, kwargs))
            inputs = args if entry.all_tensors else entry.inputs(args)
            for x in inputs:
                if not isinstance(x, Tensor):
                    args, inputs = entry.converted(args, inputs)
                    break
            watchers, outputs = mode.watchers and _listening(), ()
            for w in watchers:
                w.op_begins(entry, inputs)
            try:
                run = silent.copy().run if ours else _silently
                y, backward = run(forward, *args, **options)
                return (outputs := put_on_tape(entry, args, inputs, y, backward))
            except Exception as error:          # a kernel's compiler has errors of its own
                entry.explain_failure(inputs, error)
                raise
            finally:
                if watchers:
                    _tell_the_end(watchers, entry, args, inputs, outputs)

        apply.op, entry.call = entry, apply
        if ours:
            OPS[entry.name] = entry
        return apply

    return decorate(source) if callable(source) else decorate


def _listening() -> list:
    """The watchers that are told of ops now."""
    return [w for w in mode.watchers if w not in mode.hidden]


def _tell_the_end(watchers, entry: Op, args, inputs, outputs) -> None:
    for w in watchers[::-1]:
        w.op_ends(entry, args, inputs, outputs if type(outputs) is tuple else (outputs,))
