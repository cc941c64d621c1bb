"""The Tensor: an array that knows how it was made.

`data` is the array, `grad` the gradient of the last ``backward()`` (leaves, and whoever called
``retain_grad()``), `node` the op on the tape that made it (None for a leaf). The arithmetic is in
``minidl.ops``: a method here only calls it. Names and meanings are PyTorch's.
"""

from __future__ import annotations

import itertools
import operator
from operator import attrgetter

import numpy as np

from . import checks, dtypes
from . import device as _device
from .dtypes import bool_, float32, float64, int32, int64
from .modes import mode, silent

_HOOK = itertools.count()
_bare = object.__new__
_LATER = object()                          # the caller of _write does the writing


class Tensor:
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
    _changed_at: list[int] | None = None   # when the storage last changed; shared with its views
    _hooks: dict | None = None
    node = None
    history = None                         # what explain keeps of it, under keep()
    __array_ufunc__ = None                 # array + tensor goes to Tensor.__radd__

    def __init__(self, array, requires_grad: bool = False, dtype=None, device=None):
        array = array.data if isinstance(array, Tensor) else array
        array = dtypes.numbers("Tensor", array, dtype, copy=True)
        self.data = array if device is None else _device.move(array, device)
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
    device = property(lambda self: _device.device_of(self.data), doc='"cpu" or "cuda:0".')
    is_cuda = property(lambda self: self.device != "cpu", doc="Is it on a GPU?")
    is_leaf = property(lambda self: self.node is None, doc="Was it made by no op of a graph?")
    grad_fn = property(lambda self: self.node, doc="The node on the tape that made it.")

    def size(self, dim: int | None = None):
        """The shape, or the length of axis `dim`."""
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int: return self.data.ndim
    def numel(self) -> int: return self.data.size
    def is_floating_point(self) -> bool: return self.data.dtype.kind == "f"

    def __len__(self):
        if self.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return self.shape[0]

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __repr__(self):
        text = np.array2string(_device.to_host(self.data), separator=", ", prefix="tensor(",
                               threshold=100, edgeitems=3, precision=4)
        kind = "" if self.dtype in (float32, int64, bool_) else f", dtype={self.dtype}"
        place = "" if self.device == "cpu" else f", device={self.device}"
        made = (f", grad_fn=<{self.node.op.name}>" if self.node
                else ", requires_grad=True" if self._requires_grad else "")
        return f"tensor({text}{kind}{place}{made})"

    def _brief(self) -> str:
        return f"tensor of shape {self.shape} and dtype {self.dtype} on {self.device}"

    def __format__(self, spec):
        return format(self.item() if spec and self.data.size == 1 else repr(self), spec)

    # ------------------------------------------------------------------ out to Python and NumPy
    def item(self):
        """The one element as a Python number. Raises ValueError if there are more, and for what
        checks on a GPU found since the last number was read."""
        if self.data.size != 1:
            raise ValueError(f"item: needs one element, the tensor has shape {self.shape}")
        checks.raise_pending()
        return self.data.item()

    def tolist(self):
        """Nested Python lists. Raises as :meth:`item` does."""
        checks.raise_pending()
        return self.data.tolist()

    def numpy(self) -> np.ndarray:
        """The array (from a GPU a copy); read-only if the tensor requires grad. Raises as
        :meth:`item` does."""
        checks.raise_pending()
        array = _device.to_host(self.data)
        if self._requires_grad and array is self.data:
            array = array.view()
            array.flags.writeable = False
        return array

    def __array__(self, dtype=None, copy=None):
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __float__(self):
        return float(self.item())

    def __int__(self):
        return int(self.item())

    def __index__(self):
        if self.data.dtype.kind not in "iu":
            raise TypeError(f"only an integer tensor can be an index, this one is {self.dtype}")
        return int(self.item())

    def __bool__(self):
        if self.data.size != 1:
            raise ValueError(f"the truth of a tensor of shape {self.shape} is ambiguous: "
                             "use .any() or .all()")
        return bool(self.item())

    __hash__ = object.__hash__             # by identity, for == compares elements

    def __deepcopy__(self, memo):
        if self.node is not None:
            raise RuntimeError("deepcopy: only leaves can be copied deeply; use x.detach().clone()")
        copy = memo[id(self)] = type(self).__new__(type(self))
        copy.data, copy._requires_grad = self.data.copy(order="K"), self._requires_grad
        if self._grad is not None:
            copy._grad = Tensor._wrap(self._grad.data.copy(order="K"))
        return copy

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
        return (self if self.node is None else self.node)._grad

    @grad.setter
    def grad(self, value: Tensor | None):
        if value is not None and not isinstance(value, Tensor):
            raise TypeError(f"grad: must be a Tensor or None, got {type(value).__name__}")
        if value is not None and (value.shape != self.shape or value.dtype != self.dtype):
            raise ValueError(f"grad: {value._brief()} does not fit {self._brief()}")
        if value is not None:
            same_device("grad", self, value)
        (self if self.node is None else self.node)._grad = value

    def backward(self, gradient=None, retain_graph: bool | None = None,
                 create_graph: bool = False) -> None:
        """Add d self / d leaf, times `gradient` (1 for a scalar), to every leaf's ``.grad``.

        The graph is freed unless `retain_graph`; `create_graph` records the backward pass, so that
        gradients can be differentiated. Raises RuntimeError for a tensor without a graph, a
        non-scalar without `gradient`, and a second run.
        """
        seed = gradients.seed_gradient("backward", self, gradient)
        retain_graph = create_graph if retain_graph is None else retain_graph
        gradients.backward([self], [seed], retain_graph=retain_graph, create_graph=create_graph)

    def retain_grad(self) -> None:
        """Keep ``.grad`` of a tensor inside the graph too."""
        if self.node is not None:
            self.node.retain_grad = True

    def register_hook(self, hook):
        """Call ``hook(gradient)`` when this tensor's gradient is complete; what it returns, if not
        None, replaces the gradient. Returns a handle with ``remove()``."""
        if not self._requires_grad:
            raise RuntimeError(f"register_hook: {self._brief()} does not require grad")
        owner, name = (self, "_hooks") if self.node is None else (self.node, "hooks")
        hooks = getattr(owner, name) or {}
        setattr(owner, name, hooks)
        return HookHandle(hooks, hook)

    def detach(self) -> Tensor:
        """The same numbers outside the graph (shared memory)."""
        out = Tensor._wrap(self.data)
        out._share_storage(self)
        return out

    # ------------------------------------------------------------------ why it is what it is
    def explain(self, *index):
        """An element's formula, terms, sum and source line: ``y.explain(0, 3, 5, 5)``. It prints
        well, and has ``.terms``, ``.total``, ``.stored``. See :func:`minidl.keep`."""
        return explain.cells.explain(self, index)

    def explain_grad(self, *index):
        """The same for an element of ``.grad``: a part for each op that used this tensor under
        ``keep()``."""
        return explain.cells.explain_grad(self, index)

    def why(self):
        """The op that made this tensor, its inputs and attributes, and the line that called it."""
        return explain.cells.why(self)

    @property
    def consumers(self):
        """The nodes that used this tensor under ``keep()``, once a use."""
        return [use.node for use in explain.keeping.uses(self)] or ()

    def where_used(self):
        """The ops that used this tensor under ``keep()``, each with the line that called it."""
        return explain.cells.where_used(self)

    def receptive_field(self, *index):
        """Which elements of the leaves this element depends on, through all ops."""
        return explain.fields.receptive_field(self, index)

    def projective_field(self, *index):
        """Which elements of later tensors depend on this one, through all ops under ``keep()``."""
        return explain.fields.projective_field(self, index)

    # ------------------------------------------------------------------ in place
    @property
    def _last_change(self) -> int:
        """The moment (``tape.now``) when the storage was last changed in place; 0 for never."""
        return self._changed_at[0] if self._changed_at else 0

    def _change_cell(self) -> list[int]:
        """Where that moment is kept from now on: one cell for all views, known to the node too."""
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

    def _write(self, op: str, new=_LATER) -> Tensor:
        """Write `new` into the array, or announce that the caller will; refuse what would break a
        graph."""
        if self.node is not None:
            raise RuntimeError(f"{op}: this tensor is part of a graph; changing it in place would "
                               "falsify its history. Compute a new one, or x.detach().clone()")
        if self._requires_grad and mode.grad:
            raise RuntimeError(f"{op}: a leaf that requires grad is changed in place only inside "
                               "`with minidl.no_grad():`")
        if _overlaps_itself(self.data):
            raise RuntimeError(f"{op}: elements of an expanded view share memory; change a copy "
                               "(x.clone())")
        if new is not _LATER:
            new = self._fitting(op, new)
            try:
                if new.dtype == self.dtype:
                    self.data[...] = new
                else:
                    with np.errstate(all="ignore"):
                        self.data[...] = new
            except ValueError:
                raise ValueError(f"{op}: value of shape {new.shape} does not fit a tensor of "
                                 f"shape {self.shape}") from None
        return self.changed()

    def _fitting(self, op: str, value):
        """The array to write for `value`; of numbers and lists each must fit the dtype."""
        dtypes.check_fits(op, value, self.dtype)
        if isinstance(value, (list, tuple)):
            value = dtypes.numbers(op, value, self.dtype)
        return _device.beside(as_tensor(value, self).data, self.data)

    def _computed(self, op: str, function, other, alpha=1) -> Tensor:
        """self = function(self, alpha other) in place, if the result has self's shape and kind."""
        other = as_tensor(other, self)
        same_device(op, self, other)
        other = other.data
        try:
            with np.errstate(all="ignore"):
                if alpha != 1:
                    other = dtypes.paired(self.data, other)[1]
                    other = operator.mul(*dtypes.paired(other, as_tensor(alpha, self).data))
                new = function(*dtypes.paired(self.data, other))
        except ValueError:
            new = other                         # does not broadcast: refused for its shape, below
        except TypeError as error:              # of booleans: what NumPy does not subtract
            raise TypeError(f"{op}: {error}") from None
        if dtypes.higher(new.dtype, self.dtype):
            raise TypeError(f"{op}: the result is {new.dtype} and does not fit a tensor of "
                            f"{self.dtype}; use .float() first")
        return self._write(op, new)

    def copy_(self, other): return self._write("copy_", other)
    def fill_(self, value): return self._write("fill_", value)
    def zero_(self): return self._write("zero_", 0)
    def mul_(self, other): return self._computed("mul_", operator.mul, other)
    def div_(self, other): return self._computed("div_", operator.truediv, other)
    def add_(self, other, *, alpha=1):
        return self._computed("add_", operator.add, other, _factor("add_", alpha))
    def sub_(self, other, *, alpha=1):
        return self._computed("sub_", operator.sub, other, _factor("sub_", alpha))
    def clamp_(self, min=None, max=None):
        low, high = ops.more.limits.bounds(self, min, max)
        return self._computed("clamp_", lambda x, _: ops.more.limits.limited(x, low, high), self)

    # `a += b` is in place outside a graph. Inside one it means `a = a + b`, a new tensor: so
    # `loss += term` works, and no value that a backward pass needs is ever overwritten.
    def _in_graph(self, other) -> bool:
        return mode.grad and (self.node is not None or getattr(other, "_requires_grad", False))

    def __iadd__(self, other):
        return self + other if self._in_graph(other) else self.add_(other)
    def __isub__(self, other):
        return self - other if self._in_graph(other) else self.sub_(other)
    def __imul__(self, other):
        return self * other if self._in_graph(other) else self.mul_(other)
    def __itruediv__(self, other):
        return self / other if self._in_graph(other) else self.div_(other)

    def __setitem__(self, index, value):
        if getattr(value, "_requires_grad", False) and mode.grad:
            raise RuntimeError("x[i] = v: v requires grad, and assignment records no graph; build "
                               "x with where, cat or stack")
        self._write("x[i] = v")
        value = self._fitting("x[i] = v", value)
        try:
            with np.errstate(all="ignore"):
                self.data[ops.plain_index(index, self)] = value
        except (IndexError, ValueError) as error:
            raise type(error)(f"x[i] = v: {error}; x has shape {self.shape}") from None

    # ------------------------------------------------------------------ arithmetic: calls ops
    # The imports of this package run downward; these methods are the exception. The name `ops` is
    # bound at the end of this file and looked up at the call.
    def __add__(self, other): return ops.add(self, other)
    def __radd__(self, other): return ops.add(other, self)
    def __sub__(self, other): return ops.sub(self, other)
    def __rsub__(self, other): return ops.sub(other, self)
    def __mul__(self, other): return ops.mul(self, other)
    def __rmul__(self, other): return ops.mul(other, self)
    def __truediv__(self, other): return ops.div(self, other)
    def __rtruediv__(self, other): return ops.div(other, self)
    def __pow__(self, exponent): return ops.pow(self, exponent)
    def __rpow__(self, base): return ops.pow(base, self)
    def __matmul__(self, other): return ops.matmul(self, other)
    def __rmatmul__(self, other): return ops.matmul(other, self)
    def __neg__(self): return ops.neg(self)
    def __abs__(self): return ops.abs(self)
    def __getitem__(self, index): return ops.getitem(self, index)

    def __eq__(self, other): return _comparison(operator.eq, self, other)
    def __ne__(self, other): return _comparison(operator.ne, self, other)
    def __lt__(self, other): return _comparison(operator.lt, self, other)
    def __le__(self, other): return _comparison(operator.le, self, other)
    def __gt__(self, other): return _comparison(operator.gt, self, other)
    def __ge__(self, other): return _comparison(operator.ge, self, other)
    def __and__(self, other): return _comparison(operator.and_, self, other)
    def __or__(self, other): return _comparison(operator.or_, self, other)
    def __xor__(self, other): return _comparison(operator.xor, self, other)
    def __invert__(self):
        if self.data.dtype.kind == "f":
            raise TypeError(f"invert: of booleans and integers only, this tensor is {self.dtype}")
        return _bool(~self.data)
    def any(self): return _bool(self.data.any())
    def all(self): return _bool(self.data.all())

    def add(self, other, *, alpha=1):
        return ops.add(self, _scaled(_factor("add", alpha), other, self))
    def sub(self, other, *, alpha=1):
        return ops.sub(self, _scaled(_factor("sub", alpha), other, self))
    def mul(self, other): return ops.mul(self, other)
    def div(self, other): return ops.div(self, other)
    def pow(self, exponent): return ops.pow(self, exponent)
    def square(self): return ops.mul(self, self)
    def neg(self): return ops.neg(self)
    def abs(self): return ops.abs(self)
    def exp(self): return ops.exp(self)
    def log(self): return ops.log(self)
    def sqrt(self): return ops.sqrt(self)
    def sin(self): return ops.sin(self)
    def cos(self): return ops.cos(self)
    def clamp(self, min=None, max=None): return ops.clamp(self, min, max)
    def maximum(self, other): return ops.maximum(self, other)
    def minimum(self, other): return ops.minimum(self, other)
    def where(self, condition, other): return ops.where(condition, self, other)
    def relu(self): return ops.relu(self)
    def sigmoid(self): return ops.sigmoid(self)
    def tanh(self): return ops.tanh(self)
    def softmax(self, dim): return ops.softmax(self, dim)
    def log_softmax(self, dim): return ops.log_softmax(self, dim)
    def matmul(self, other): return ops.matmul(self, other)

    def sum(self, dim=None, keepdim=False): return ops.sum(self, dim, keepdim)
    def mean(self, dim=None, keepdim=False): return ops.mean(self, dim, keepdim)
    def var(self, dim=None, unbiased=None, *, correction=None, keepdim=False):
        return ops.var(self, dim, unbiased, correction=correction, keepdim=keepdim)
    def std(self, dim=None, unbiased=None, *, correction=None, keepdim=False):
        return ops.std(self, dim, unbiased, correction=correction, keepdim=keepdim)
    def max(self, dim=None, keepdim=False): return ops.max(self, dim, keepdim)
    def min(self, dim=None, keepdim=False): return ops.min(self, dim, keepdim)
    def amax(self, dim=(), keepdim=False): return ops.amax(self, dim, keepdim)
    def amin(self, dim=(), keepdim=False): return ops.amin(self, dim, keepdim)
    def argmax(self, dim=None, keepdim=False): return ops.argmax(self, dim, keepdim)
    def argmin(self, dim=None, keepdim=False): return ops.argmin(self, dim, keepdim)
    def logsumexp(self, dim, keepdim=False): return ops.logsumexp(self, dim, keepdim)
    def norm(self, p=2, dim=None, keepdim=False): return ops.norm(self, p, dim, keepdim)

    def reshape(self, *shape): return ops.reshape(self, *shape)
    def view(self, *shape): return ops.reshape(self, *shape)
    def flatten(self, start_dim=0, end_dim=-1): return ops.flatten(self, start_dim, end_dim)
    def permute(self, *dims): return ops.permute(self, *dims)
    def transpose(self, dim0, dim1): return ops.transpose(self, dim0, dim1)
    def squeeze(self, dim=None): return ops.squeeze(self, dim)
    def unsqueeze(self, dim): return ops.unsqueeze(self, dim)
    def expand(self, *sizes): return ops.expand(self, *sizes)
    def split(self, split_size, dim=0): return ops.split(self, split_size, dim)
    def chunk(self, chunks, dim=0): return ops.chunk(self, chunks, dim)
    def flip(self, *dims): return ops.flip(self, *dims)
    T = property(lambda self: ops.transpose(self, 0, 1) if self.ndim == 2 else self.permute(
        *range(self.ndim)[::-1]), doc="The axes reversed.")
    mT = property(lambda self: ops.transpose(self, -2, -1), doc="The last two axes exchanged.")

    # ------------------------------------------------------------------ dtype and device
    def to(self, *args, dtype=None, device=None) -> Tensor:
        """Convert: ``x.to("cuda")``, ``x.to(minidl.float64)``, ``x.to(other_tensor)``."""
        for a in args:
            if isinstance(a, Tensor):
                dtype, device = a.dtype, a.device
            elif isinstance(a, str) and a.partition(":")[0] in ("cpu", "cuda", "auto"):
                device = a
            else:
                dtype = a
        try:
            dtype = None if dtype is None else np.dtype(dtype)
        except TypeError:
            raise TypeError(f"to: {dtype!r} is neither a dtype nor a device (cpu, cuda, cuda:N, "
                            "auto)") from None
        return ops.to(self, None if dtype is None else dtypes.known("to", dtype),
                      None if device is None else _device.resolve(device))

    def float(self): return ops.to(self, float32)
    def double(self): return ops.to(self, float64)
    def long(self): return ops.to(self, int64)
    def int(self): return ops.to(self, int32)
    def bool(self): return ops.to(self, bool_)
    def cpu(self): return self.to("cpu")
    def cuda(self, device=None): return self.to(_device.cuda_name(device))
    def clone(self): return ops.clone(self)
    def contiguous(self): return ops.contiguous(self)


class HookHandle:
    """What ``register_hook`` returns; ``remove()`` takes the hook away again."""

    def __init__(self, hooks: dict, hook):
        self._hooks, self._key = hooks, next(_HOOK)
        hooks[self._key] = hook

    def remove(self) -> None:
        """Take the hook away."""
        self._hooks.pop(self._key, None)


def as_tensor(value, like: Tensor | None = None) -> Tensor:
    """`value` as a Tensor: itself if it is one, an array's memory; Python's numbers take the dtype
    of `like`, if that can hold them. Raises TypeError for a list of tensors that require grad."""
    if isinstance(value, Tensor):
        return value
    if type(value) in (float, int) and like is not None and like.data.dtype.kind == "f" and (
            abs(value) < 1e300):                           # the usual case, without looking further
        return Tensor._wrap(_device.constant(value, like.data.dtype, like.data))
    if like is not None and isinstance(value, np.generic) and value.dtype.kind in "fiub":
        value = value.astype(float64).item() if value.dtype.kind == "f" else value.item()
    if like is not None and isinstance(value, (int, float)):
        return Tensor._wrap(_device.constant(value, _number_dtype(value, like.data.dtype),
                                             like.data))
    floats = like.data.dtype if like is not None and like.data.dtype.kind == "f" else float32
    return Tensor._wrap(dtypes.numbers("Tensor", without_gradients(value), floats=floats))


def without_gradients(value):
    """`value`, unless it is a list in which a tensor requires grad: no gradient would go to it."""
    for v in value if isinstance(value, (list, tuple)) else ():
        if isinstance(v, Tensor) and v._requires_grad:
            raise TypeError("Tensor: a list with tensors that require grad: no gradient would go "
                            "through it; join them with minidl.stack")
        without_gradients(v)
    return value


def _number_dtype(value, kind):
    """The dtype of a Python number beside a tensor of dtype `kind`."""
    if kind.kind == "f":
        dtypes.check_fits("Tensor", value, kind)
        return kind
    if isinstance(value, float):
        return float32
    if isinstance(value, bool):
        return bool_
    if kind.kind != "b" and dtypes.integer_fits(value, kind):
        return kind
    if not dtypes.integer_fits(value, int64):
        raise TypeError(f"the integer {value} does not fit int64; use float({value})")
    return int64


def _array_or_number(value):
    return value.data if isinstance(value, Tensor) else value


def _factor(op: str, alpha):
    """The `alpha` of ``x.add(y, alpha=2)``: a number."""
    return 1 if type(alpha) is int and alpha == 1 else arguments.number_argument(
        f"{op}: alpha", alpha)


def _scaled(alpha, other, like: Tensor):
    """alpha other, multiplied in the dtype that the sum with `like` has."""
    if alpha == 1:
        return other
    other = as_tensor(other, like)
    return ops.to(other, dtypes.result_type(like.data, other.data)) * alpha


_LOGICAL = operator.and_, operator.or_, operator.xor


def _comparison(operation, x: Tensor, other) -> Tensor:
    """A comparison or logical operation, element by element. Comparisons of integers are exact;
    else both sides have the dtype that arithmetic has."""
    name, logical = operation.__name__, operation in _LOGICAL
    if isinstance(other, np.generic):
        other = other.item()
    if isinstance(other, Tensor):
        same_device(name, x, other)
    elif isinstance(other, (list, tuple)) or hasattr(other, "__array__") or _device.is_array(other):
        other = Tensor._wrap(dtypes.numbers(f"{name}: other", other))
        same_device(name, x, other)
    try:
        a, b = x.data, _array_or_number(as_tensor(other, x) if logical else other)
        if _device.is_array(b) and (logical or "f" in (a.dtype.kind, b.dtype.kind)):
            a, b = dtypes.paired(a, b)
        return _bool(silent.copy().run(operation, a, b))
    except ValueError:
        shape = getattr(b, "shape", ())
        raise ValueError(f"{name}: shapes {x.shape} and {shape} do not broadcast") from None
    except TypeError:
        raise TypeError(f"{name}: cannot be done with {x._brief()} and {checks.brief(other)}"
                        ) from None
    except OverflowError:
        raise ValueError(f"{name}: {checks.brief(other)} does not fit {x.dtype}") from None


def same_device(name: str, *tensors: Tensor) -> None:
    """Raise TypeError, naming two of them, unless all tensors are on one device."""
    first = tensors[0].data
    for x in tensors[1:]:
        if not type(x.data) is type(first) is np.ndarray and not _device.same_place(x.data, first):
            raise TypeError(f"{name}: {tensors[0]._brief()} and {x._brief()} are on different "
                            f"devices; move one with .to(device), or make it there: "
                            "minidl.tensor(array, device=...)")


def _overlaps_itself(array) -> bool:
    """Do several elements share memory? NumPy keeps such views from being written, CuPy does not.
    """
    if isinstance(array, np.ndarray):
        return not array.flags.writeable
    return any(step == 0 and n > 1 for n, step in zip(array.shape, array.strides))


def _bool(array) -> Tensor:
    return Tensor._wrap(np.asarray(array) if isinstance(array, (np.generic, bool)) else array)


from . import explain, gradients, ops, tape  # noqa: E402  at the end: they need the class above
from .checks import arguments  # noqa: E402
