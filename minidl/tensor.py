"""The Tensor: an array that knows how it was made.

`data` is the array, `node` the call of an op that made the tensor. A tensor that no op made, such
as a weight, has no node and is called a leaf. ``loss.backward()`` puts the gradient of the loss
into the `grad` of every leaf that wants a gradient. The arithmetic is in ``minidl.ops``: a method
here only calls an op. Names and meanings are PyTorch's. Methods that the training of a CNN, a GAN
and a VAE does not need are inherited from more/methods.py.
"""

from __future__ import annotations

import operator
from operator import attrgetter

import numpy as np

from . import checks
from .checks.arrays import check_fits, dtype_beside, numbers, without_gradients
from .checks.tensors import changeable, comparison_refused, same_device
from .device import beside, constant, device_of, is_array, move, to_host
from .dtypes import float32, float64, higher, paired
from .modes import silent
from .more.methods import FurtherMethods

_bare = object.__new__


class Tensor(FurtherMethods):
    """``Tensor(array, requires_grad=False)``: a copy of `array` as a leaf of the graph.

    Python numbers and lists of floats become float32; an array keeps its dtype (float32, float64,
    integers, bool). Raises TypeError for what is no array of numbers, and for an integer tensor
    asked for gradients.

    >>> a = Tensor([1.0, 2.0], requires_grad=True)
    >>> b = a + a
    >>> (b * b).sum().backward()            # d/da 4 a^2 = 8 a
    >>> a.grad
    tensor([ 8., 16.])
    """

    # What a fresh tensor does not set lives here, on the class.
    _grad: Tensor | None = None
    _requires_grad = False
    _changed_at: list[int] | None = None   # when the memory last changed: a list that views share
    _hooks: dict | None = None
    node = None
    history = None                         # for explain/, see minidl.keep()
    __array_ufunc__ = None                 # array + tensor goes to Tensor.__radd__

    def __init__(self, array, requires_grad: bool = False, dtype=None, device=None):
        array = array.data if isinstance(array, Tensor) else array
        array = numbers("Tensor", array, dtype, copy=True)
        self.data = array if device is None else move(array, device)
        self.requires_grad = requires_grad

    @staticmethod
    def _wrap(array) -> Tensor:
        """A tensor of `array` itself, not of a copy."""
        t = _bare(Tensor)
        t.data = array
        return t

    # ------------------------------------------------------------------ what it is
    shape = property(attrgetter("data.shape"), doc="The lengths of the axes.")
    dtype = property(attrgetter("data.dtype"), doc="The dtype, as NumPy names it.")
    ndim = property(attrgetter("data.ndim"), doc="The number of axes.")
    device = property(lambda self: device_of(self.data), doc='"cpu" or "cuda:0".')

    def numel(self) -> int: return self.data.size
    def is_floating_point(self) -> bool: return self.data.dtype.kind == "f"

    def __len__(self):
        if self.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return self.shape[0]

    def item(self):
        """The one element as a Python number. Raises ValueError if the tensor has more; and, on a
        GPU, the errors of checks that were waiting for the next number to be read."""
        if self.data.size != 1:
            raise ValueError(f"item: needs one element, the tensor has shape {self.shape}")
        checks.raise_pending()
        return self.data.item()

    def numpy(self) -> np.ndarray:
        """The array (from a GPU a copy); read-only if the tensor requires grad. Raises as
        :meth:`item` does."""
        checks.raise_pending()
        array = to_host(self.data)
        if self._requires_grad and array is self.data:
            array = array.view()
            array.flags.writeable = False
        return array

    # ------------------------------------------------------------------ gradients
    @property
    def requires_grad(self) -> bool:
        """Is a gradient with respect to this tensor wanted?"""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, wanted: bool):
        if not isinstance(wanted, (bool, np.bool_)):
            raise TypeError(f"requires_grad must be True or False, got {wanted!r}")
        if wanted and self.data.dtype.kind != "f":
            raise TypeError(f"requires_grad: only float tensors have gradients, this one is "
                            f"{self.dtype}; use .float() first")
        if not wanted and self.node is not None:
            raise RuntimeError("requires_grad: part of a graph; use x.detach() for a tensor that "
                               "is not")
        self._requires_grad = bool(wanted)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Set ``requires_grad`` and return self."""
        self.requires_grad = requires_grad
        return self

    @property
    def grad(self) -> Tensor | None:
        """The gradient that ``backward()`` left here; None if none has arrived (not: zero)."""
        return (self.node or self)._grad

    @grad.setter
    def grad(self, value: Tensor | None):
        (self.node or self)._grad = arguments.gradient_argument("grad", value, self)

    def backward(self, gradient=None, retain_graph: bool | None = None,
                 create_graph: bool = False) -> None:
        """Add d self / d leaf, times `gradient` (1 for a scalar), to every leaf's ``.grad``.

        The graph is freed unless `retain_graph`; `create_graph` records the backward pass, so that
        gradients can be differentiated. Raises RuntimeError for a tensor without a graph, for a
        non-scalar without `gradient`, and for a second ``backward()`` over a graph that was freed.
        """
        seed = gradients.seed_gradient("backward", self, gradient)
        retain_graph = create_graph if retain_graph is None else retain_graph
        gradients.backward([self], [seed], retain_graph=retain_graph, create_graph=create_graph)

    def detach(self) -> Tensor:
        """The same numbers outside the graph (shared memory)."""
        out = Tensor._wrap(self.data)
        out._share_storage(self)
        return out

    # ------------------------------------------------------------------ in place
    def _change_cell(self) -> list[int]:
        """A list of one number, which all views share: the moment (``tape.now``) of a change."""
        if self._changed_at is None:
            self._changed_at = [0]
            if self.node is not None:
                self.node.changed_at = self._changed_at
        return self._changed_at

    def _share_storage(self, other: Tensor) -> None:
        """If self is a view of other's memory, they change together."""
        mine, others = self.data, other.data
        while getattr(mine, "base", None) is not None:
            mine = mine.base
        while getattr(others, "base", None) is not None:
            others = others.base
        if mine is others:
            self._changed_at = other._change_cell()

    def changed(self) -> Tensor:
        """Say that somebody wrote into the array: graphs that saved it must notice."""
        self._change_cell()[0] = tape.now()
        return self

    def _write(self, op: str, new) -> Tensor:
        """Write `new` into the array; refuse what would break a graph."""
        changeable(op, self)
        new = self._fitting(op, new)
        try:
            with np.errstate(all="ignore"):
                self.data[...] = new
        except ValueError:
            raise ValueError(f"{op}: value of shape {new.shape} does not fit a tensor of shape "
                             f"{self.shape}") from None
        return self.changed()

    def _fitting(self, op: str, value):
        """The array to write for `value`; of numbers and lists each must fit the dtype."""
        check_fits(op, value, self.dtype)
        if isinstance(value, (list, tuple)):
            value = numbers(op, value, self.dtype)
        return beside(as_tensor(value, self).data, self.data)

    def _computed(self, op: str, function, other, alpha=1) -> Tensor:
        """self = function(self, alpha other) in place, if the result has self's shape and kind."""
        other = as_tensor(other, self)
        same_device(op, self, other)
        other = other.data
        try:
            with np.errstate(all="ignore"):
                if alpha != 1:
                    other = paired(self.data, other)[1]
                    other = operator.mul(*paired(other, as_tensor(alpha, self).data))
                new = function(*paired(self.data, other))
        except ValueError:
            new = other                         # they do not broadcast: _write names the shapes
        except TypeError as error:              # of booleans: what NumPy does not subtract
            raise TypeError(f"{op}: {error}") from None
        if higher(new.dtype, self.dtype):
            raise TypeError(f"{op}: the result is {new.dtype} and does not fit a tensor of "
                            f"{self.dtype}; use .float() first")
        return self._write(op, new)

    def copy_(self, other): return self._write("copy_", other)
    def fill_(self, value): return self._write("fill_", value)
    def add_(self, other, *, alpha=1):
        alpha = arguments.number_argument("add_: alpha", alpha)
        return self._computed("add_", operator.add, other, alpha)

    # ------------------------------------------------------------------ arithmetic: calls ops
    # The ops are made of tensors, and these methods call the ops: so the names `ops`, `gradients`,
    # `tape` and `arguments` are bound at the end of this file.
    def __add__(self, other): return ops.add(self, other)
    def __radd__(self, other): return ops.add(other, self)
    def __sub__(self, other): return ops.sub(self, other)
    def __rsub__(self, other): return ops.sub(other, self)
    def __mul__(self, other): return ops.mul(self, other)
    def __rmul__(self, other): return ops.mul(other, self)
    def __truediv__(self, other): return ops.div(self, other)
    def __rtruediv__(self, other): return ops.div(other, self)
    def __pow__(self, exponent): return ops.pow(self, exponent)
    def __matmul__(self, other): return ops.matmul(self, other)
    def __neg__(self): return ops.neg(self)
    def __getitem__(self, index): return ops.getitem(self, index)

    def exp(self): return ops.exp(self)
    def sum(self, dim=None, keepdim=False): return ops.sum(self, dim, keepdim)
    def mean(self, dim=None, keepdim=False): return ops.mean(self, dim, keepdim)
    def argmax(self, dim=None, keepdim=False): return ops.argmax(self, dim, keepdim)

    def to(self, *args, dtype=None, device=None) -> Tensor:
        """Convert: ``x.to("cuda")``, ``x.to(minidl.float64)``, ``x.to(other_tensor)``."""
        return ops.to(self, *arguments.conversion(args, dtype, device))

    def float(self): return ops.to(self, float32)

    # ------------------------------------------------------------------ comparisons: no gradient
    __hash__ = object.__hash__             # by identity, for == compares elements

    def __eq__(self, other): return self._compared(operator.eq, other)

    def _compared(self, operation, other) -> Tensor:
        """A comparison or logical operation, element by element. Integers are compared exactly; if
        one side has floats, both are compared in the dtype that their sum would have."""
        name, logical = operation.__name__, operation.__name__ in ("and_", "or_", "xor")
        other = arguments.compared_with(name, self, other)
        try:
            b = as_tensor(other, self) if logical else other
            a, b = self.data, b.data if isinstance(b, Tensor) else b
            if is_array(b) and (logical or "f" in (a.dtype.kind, b.dtype.kind)):
                a, b = paired(a, b)
            return as_tensor(silent.copy().run(operation, a, b))
        except (ValueError, TypeError, OverflowError) as error:
            raise comparison_refused(name, self, other, error) from None


def as_tensor(value, like: Tensor | None = None) -> Tensor:
    """`value` as a Tensor: a tensor as it is, an array sharing its memory, a number in the dtype of
    `like`, if that can hold it. Raises TypeError for a list of tensors that require grad."""
    if isinstance(value, Tensor):
        return value
    if type(value) in (float, int) and like is not None and like.data.dtype.kind == "f" and (
            abs(value) < 1e300):          # the usual case; larger numbers are looked at below
        return Tensor._wrap(constant(value, like.data.dtype, like.data))
    if like is not None and isinstance(value, np.generic) and value.dtype.kind in "fiub":
        value = value.astype(float64).item() if value.dtype.kind == "f" else value.item()
    if like is not None and isinstance(value, (int, float)):
        return Tensor._wrap(constant(value, dtype_beside(value, like.data.dtype), like.data))
    floats = like.data.dtype if like is not None and like.data.dtype.kind == "f" else float32
    return Tensor._wrap(numbers("Tensor", without_gradients(value), floats=floats))


from . import gradients, ops, tape  # noqa: E402  at the end: they need the class above
from .checks import arguments  # noqa: E402
