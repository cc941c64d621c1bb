"""The tape: what an op leaves behind, and how ``backward`` walks back over it.

An op is one function that returns its value and a closure, its backward pass (see :func:`op`).
If an input wants a gradient, the result gets a :class:`Node`: the op, where its inputs' gradients
go, the closure. There is no list of all nodes: the graph is whatever the tensors at hand still
refer to, and it dies by reference counting.

Reverse-mode differentiation, for ``loss = f_n(...f_1(x))`` with gy = d loss / d y of a node:

    g_x  +=  J_x(y)^T gy          for every input x of the node, nodes taken youngest first.

A node is born after the nodes it consumes, so the order of birth is a topological order, and a
value used twice (``b = a + a; c = b + b``) has received all of its gradient before it passes any
of it on. No recursion: a chain of 100,000 ops is as good as a chain of ten.
"""

from __future__ import annotations

import contextvars
import functools
import inspect
import itertools
import re
from collections.abc import Callable, Sequence
from operator import attrgetter
from types import FunctionType

import numpy as np

from . import accumulate
from .arguments import tensor_argument
from .device import constant, is_array
from .modes import (  # noqa: F401  (the others are found here too)
    enable_grad,
    is_grad_enabled,
    mode,
    no_grad,
    set_grad_enabled,
    setting,
)
from .tensor import Tensor, as_tensor, same_device

now = itertools.count(1).__next__
"""The next moment of the clock by which nodes are born and tensors changed in place."""


# --------------------------------------------------------------------------- ops
# inf and nan are values, so NumPy shall not warn of them where an op runs. What NumPy warns of is a
# variable of the context (contextvars): an op of the library runs in a copy of this context, which
# costs a fraction of ``with np.errstate(...)``. A user's op keeps the context that it is called in.
silent = contextvars.copy_context()
silent.run(np.seterr, all="ignore")


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
                return (outputs := _record(entry, args, inputs, y, backward))
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


def _record(entry: Op, args, inputs, y, backward) -> Tensor | tuple[Tensor, ...]:
    """What an op returns, with a node behind the output if somebody may want a gradient."""
    extra = ()
    if type(y) is not np.ndarray or type(backward) is not FunctionType:
        y, *extra = y if type(y) is tuple else (y,)
        y = np.asarray(y) if isinstance(y, np.generic) else y     # NumPy's scalars, of shape ()
        if type(y) is not np.ndarray or type(backward) is not FunctionType:
            _check_result(entry, inputs, y, backward)
    out = Tensor._wrap(y)
    if entry.views and y.base is not None:
        for x in inputs:
            out._share_storage(x)
    if backward is not None and mode.grad:
        for x in inputs:                           # any(...), without its price: every op is here
            if x._requires_grad:
                out._requires_grad = True
                given = [args[i] for i in entry.places] if entry.optional else inputs
                out.node = Node(entry, given, backward, out)
                break
    return (out, *[Tensor._wrap(e) for e in extra]) if extra else out


def _check_result(entry: Op, inputs, y, backward) -> None:
    """Raise TypeError unless an op computed a plain array, and its backward is a function."""
    if isinstance(y, np.ndarray) and type(y) is not np.ndarray:
        raise TypeError(f"{entry.name}: computed with a {type(y).__name__}, not a plain array: "
                        "somebody's .data was set to it; use np.asarray(...)")
    if type(y) is not np.ndarray and len(inputs) > 1:          # CuPy lets some mixtures pass
        same_device(entry.name, *inputs)
    if not is_array(y) or not (backward is None or isinstance(backward, FunctionType)):
        raise TypeError(f"{entry.name}: an op returns (y, backward), y an array (or a tuple of "
                        "them) and backward a function defined in it, or None; got "
                        f"{type(y).__name__} and {type(backward).__name__}")


class Node:
    """One op call on the tape: its `op`, its `parents`, and its `backward` closure.

    A parent is where an input's gradient goes: the node that made it, the leaf itself, or None if
    it wants none, or was None itself (then its shape is None, too). The inputs live on only if the
    closure names them.
    """

    # What a node seldom has lives here, on the class.
    hooks = _grad = value = changed_at = None
    retain_grad = False
    kept = ()                       # what watchers keep of this call: then the node stays, too

    def __init__(self, entry: Op, inputs, backward: Callable, out: Tensor):
        self.born = now()
        self.op, self.backward = entry, backward
        self.parents = tuple([(x.node or x) if x is not None and x._requires_grad else None
                              for x in inputs])
        self.shapes = tuple([None if x is None else x.data.shape for x in inputs])
        self.dtype = out.data.dtype
        if backward.__code__.co_argcount > 2:      # wants `out`: keep the array, not the tensor,
            self.value = out.data                  # or the two would keep each other alive
            self.changed_at = out._changed_at

    def __repr__(self):
        return f"<node {self.op.name}, {len(self.parents)} inputs>"

    def arguments(self, gy: Tensor, need: tuple[bool, ...]) -> tuple:
        """What the closure is called with, as many of (gy, need, out) as it has parameters; after a
        look at what it saved: no tensor that it names may have been changed in place since."""
        for cell in self.backward.__closure__ or ():
            try:
                saved = cell.cell_contents
            except ValueError:                     # a name that this call did not set
                continue
            if isinstance(saved, Tensor) and saved._changed_at and saved._changed_at[0] > self.born:
                raise _stale(self.op.name, saved.shape)
        count = self.backward.__code__.co_argcount
        if count < 3:
            return (gy, need)[:count]
        if self.changed_at is not None and self.changed_at[0] > self.born:
            raise _stale(self.op.name, self.value.shape)
        out = Tensor._wrap(self.value)             # the op's output, a fresh tensor in its place
        out._requires_grad, out.node = True, self
        return gy, need, out

    def shares(self, grads, gy: Tensor, need: tuple[bool, ...]) -> list[tuple[int, Tensor]]:
        """What the closure gave to each input that wants a gradient, in the input's shape: pairs of
        the input's number and its gradient."""
        grads = grads if isinstance(grads, (tuple, list)) else (grads,)
        if len(grads) != len(need):
            raise ValueError(f"{self.op.name}: backward returned {len(grads)} gradients for "
                             f"{len(need)} tensor arguments")
        return [(k, g if isinstance(g, Tensor) and g.data.shape == self.shapes[k]
                 else accumulate.fit(self.op.name, as_tensor(g, gy), self.shapes[k]))
                for k, g in enumerate(grads) if need[k] and g is not None]


def _stale(name: str, shape) -> RuntimeError:
    return RuntimeError(
        f"{name}: a tensor of shape {tuple(shape)} that its backward pass needs was changed in "
        "place after the forward pass; change a copy (x.clone()), or change it after backward()")


# --------------------------------------------------------------------------- backward
def backward(outputs: Sequence[Tensor], gradients: Sequence[Tensor], *, retain_graph: bool = False,
             create_graph: bool = False, wanted: Sequence[Tensor] | None = None):
    """Carry gradients back from `outputs`: into the leaves' ``.grad``, or to `wanted` alone.

    Returns the gradients of `wanted` (None where nothing arrived); None if `wanted` is None.
    Raises RuntimeError if the graph has been freed, or if a saved value was changed in place.
    """
    nodes = _youngest_first(outputs)
    places, run = ((), None) if wanted is None else _on_the_way(wanted, nodes)
    sums: dict[Node | Tensor, Tensor] = {}          # the gradient each place has received so far
    for y, gy in zip(outputs, gradients):
        _add(sums, y.node or y, gy)
    watchers = list(dict.fromkeys([*mode.watchers, *[k.watcher for n in nodes for k in n.kept]]))
    hidden = () if create_graph else tuple([w for w in mode.watchers if not w.inside_backward])
    for w in watchers:
        w.backward_begins(outputs, gradients, wanted is None)
    try:
        with setting(create_graph, hidden), np.errstate(all="ignore"):         # inf, nan: values
            for node in nodes:
                gy = sums.pop(node, None)
                if gy is None:
                    continue
                gy = accumulate.complete(gy, node, node.hooks)
                if node in places:
                    sums[node] = gy
                if run is not None and node not in run:
                    continue
                need = tuple([p is not None and (run is None or p in places or p in run)
                              for p in node.parents])
                for w in watchers:
                    w.node_begins(node, gy)
                if run is None and (node.retain_grad or node.kept):
                    accumulate.deposit(node, gy, create_graph)
                grads = node.backward(*node.arguments(gy, need))
                for k, g in node.shares(grads, gy, need):
                    _add(sums, node.parents[k], g)
                    for w in watchers:
                        w.contribution(node, k, gy, g, sums[node.parents[k]])
                for w in watchers:
                    w.node_ends(node)
                if not (retain_graph or node.kept):               # forget what it used
                    node.backward, node.parents, node.value = None, (), None
            grads = g = gy = None              # or the last ones would seem to be in use
            for place in [place for place in sums if type(place) is not Node]:
                sums[place] = accumulate.complete(sums[place], place, place._hooks)
                if wanted is None:
                    accumulate.deposit(place, sums.pop(place), create_graph)
    finally:
        for w in watchers[::-1]:
            w.backward_ends()
    return None if wanted is None else [sums.get(w.node or w) for w in wanted]


def _youngest_first(outputs: Sequence[Tensor]) -> list[Node]:
    """Every node the outputs depend on, last born first: each after all of its consumers."""
    order = list({y.node: None for y in outputs if y.node is not None})
    found = set(order)
    for node in order:                         # grows while it is walked
        if node.backward is None:
            raise RuntimeError(
                f"backward: the graph behind this tensor was freed by an earlier backward() (at "
                f"{node.op.name}); give that first call retain_graph=True, or run forward again")
        for parent in node.parents:
            if type(parent) is Node and parent not in found:
                found.add(parent)
                order.append(parent)
    order.sort(key=attrgetter("born"), reverse=True)
    return order


def _on_the_way(wanted: Sequence[Tensor], nodes: list[Node]) -> tuple[set, set[Node]]:
    """The wanted places, and the nodes from which one of them is reached: others need not be run.
    """
    places, found = {w.node or w for w in wanted}, set()
    for node in reversed(nodes):
        if any([p is not None and (p in places or p in found) for p in node.parents]):
            found.add(node)
    return places, found


def _add(sums: dict, key, g: Tensor) -> None:
    """The multivariate chain rule: gradients of a value's several uses add up."""
    before = sums.get(key)
    sums[key] = g if before is None else before + g


def grad(outputs, inputs, grad_outputs=None, retain_graph: bool | None = None,
         create_graph: bool = False, allow_unused: bool = False) -> tuple[Tensor | None, ...]:
    """Gradients of the sum of `outputs` with respect to `inputs`, without touching any ``.grad``.

    ``grad(y, x, create_graph=True)`` gives tensors that can be differentiated again.
    Raises ValueError when an input is not part of the graph (unless `allow_unused`).
    """
    outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    for x in outputs + inputs:
        if not isinstance(x, Tensor):
            raise TypeError(f"grad: outputs and inputs must be tensors, got {type(x).__name__}")
    given = grad_outputs if isinstance(grad_outputs, (list, tuple)) else [grad_outputs]
    given = [None] * len(outputs) if grad_outputs is None else given
    if len(given) != len(outputs):
        raise ValueError(f"grad: {len(given)} grad_outputs for {len(outputs)} outputs")
    for x in inputs:
        if not x._requires_grad:
            raise ValueError(f"grad: input {x._brief()} does not require grad")
    seeds = [seed_gradient("grad", y, g) for y, g in zip(outputs, given)]
    keep_graph = create_graph if retain_graph is None else retain_graph
    result = backward(outputs, seeds, retain_graph=keep_graph, create_graph=create_graph,
                      wanted=inputs)
    for x, g in zip(inputs, result):
        if g is None and not allow_unused:
            raise ValueError(f"grad: the outputs do not depend on input {x._brief()}; "
                             "allow_unused=True returns None for it")
    return tuple(result)


def seed_gradient(name: str, y: Tensor, gradient) -> Tensor:
    """The gradient backward starts with: 1 for a scalar, the given one otherwise."""
    if not y._requires_grad:
        raise RuntimeError(f"{name}: {y._brief()} does not require grad: nothing it was computed "
                           "from was created with requires_grad=True (or it was under no_grad())")
    if gradient is not None:
        given = gradient if isinstance(gradient, Tensor) else as_tensor(gradient, y)
        return _fitting_seed(name, y, given)
    if y.data.size != 1:
        raise RuntimeError(f"{name}: gradient can be left out only for a scalar; output has shape "
                           f"{y.shape}: pass gradient=, or reduce with .sum() or .mean()")
    return Tensor._wrap(constant(1.0, y.dtype, y.data).reshape(y.shape))


def _fitting_seed(name: str, y: Tensor, gradient: Tensor) -> Tensor:
    """A given gradient in the shape and dtype of y."""
    same_device(name, y, gradient)
    if gradient.shape != y.shape:
        if gradient.data.size != 1 or y.data.size != 1:
            raise ValueError(f"{name}: gradient has shape {gradient.shape}, output {y.shape}")
        gradient = gradient.reshape(y.shape)
    return gradient if gradient.dtype == y.dtype else gradient.to(y.dtype)
