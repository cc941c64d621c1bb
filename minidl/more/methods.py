"""The methods of Tensor that the three systems do not need, under PyTorch's names.

Most of them call the op of their name. This file is loaded before the ops: so it imports the
package, and each op is looked up in it at the call.
"""

from __future__ import annotations

import operator

import numpy as np

import minidl

from ..checks.tensors import changeable
from ..cuda import cuda_name
from ..device import to_host
from ..dtypes import bool_, float32, float64, int32, int64
from ..modes import mode
from .hooks import HookHandle


class FurtherMethods:
    """What a Tensor inherits."""

    # ------------------------------------------------------------------ what it is

    is_cuda = property(lambda self: self.device != "cpu", doc="Is it on a GPU?")
    is_leaf = property(lambda self: self.node is None, doc="Was it made by no op of a graph?")
    grad_fn = property(lambda self: self.node, doc="The node on the tape that made it.")

    def size(self, dim: int | None = None):
        """The shape, or the length of axis `dim`."""
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int: return self.data.ndim

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __repr__(self):
        text = np.array2string(to_host(self.data), separator=", ", prefix="tensor(",
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

    def tolist(self):
        """Nested Python lists. Raises as :meth:`item` does."""
        minidl.checks.raise_pending()
        return self.data.tolist()

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

    def __deepcopy__(self, memo):
        if self.node is not None:
            raise RuntimeError("deepcopy: only leaves can be copied deeply; use x.detach().clone()")
        copy = memo[id(self)] = type(self).__new__(type(self))
        copy.data, copy._requires_grad = self.data.copy(order="K"), self._requires_grad
        if self._grad is not None:
            copy._grad = self._wrap(self._grad.data.copy(order="K"))
        return copy

    # ------------------------------------------------------------------ gradients

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

    # ------------------------------------------------------------------ why it is what it is

    def explain(self, *index, depth: int = 1):
        """An element's formula, terms, sum and source line: ``y.explain(0, 3, 5, 5)``. It prints
        well, and has ``.terms``, ``.total``, ``.stored``, ``.to_dict()``; ``.terms[0].up()`` is the
        explanation of the term's largest factor, and `depth` levels of these are told at once. Of
        a gradient that ``minidl.grad()`` returned: as :meth:`explain_grad`. See
        :func:`minidl.keep`."""
        return minidl.explain.cells.explain(self, index, depth)

    def explain_grad(self, *index, depth: int = 1):
        """The same for an element of ``.grad``: a part for each op that used this tensor under
        ``keep()``. ``.terms[0].up("gy")`` goes on towards the loss."""
        return minidl.explain.gradient_cells.explain_grad(self, index, depth)

    def why(self):
        """The op that made this tensor, its inputs and attributes, and the line that called it."""
        return minidl.explain.whence.why(self)

    @property
    def consumers(self):
        """The nodes that used this tensor under ``keep()``, once a use."""
        return [use.node for use in minidl.explain.keeping.uses(self)] or ()

    def where_used(self):
        """The ops that used this tensor under ``keep()``, each with the line that called it."""
        return minidl.explain.whence.where_used(self)

    def receptive_field(self, *index):
        """Which elements of the leaves this element depends on, through all ops."""
        return minidl.explain.fields.receptive_field(self, index)

    def projective_field(self, *index):
        """Which elements of later tensors depend on this one, through all ops under ``keep()``."""
        return minidl.explain.fields.projective_field(self, index)

    @property
    def _last_change(self) -> int:
        """The moment (``tape.now``) when the storage was last changed in place; 0 for never."""
        return self._changed_at[0] if self._changed_at else 0

    # ------------------------------------------------------------------ in place

    def zero_(self): return self._write("zero_", 0)
    def mul_(self, other): return self._computed("mul_", operator.mul, other)
    def div_(self, other): return self._computed("div_", operator.truediv, other)
    def sub_(self, other, *, alpha=1):
        alpha = minidl.checks.arguments.number_argument("sub_: alpha", alpha)
        return self._computed("sub_", operator.sub, other, alpha)
    def clamp_(self, min=None, max=None):
        limits = minidl.ops.more.limits
        low, high = limits.bounds(self, min, max)
        return self._computed("clamp_", lambda x, _: limits.limited(x, low, high), self)

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
        changeable("x[i] = v", self)
        self.changed()
        value = self._fitting("x[i] = v", value)
        try:
            with np.errstate(all="ignore"):
                self.data[minidl.ops.plain_index(index, self)] = value
        except (IndexError, ValueError) as error:
            raise type(error)(f"x[i] = v: {error}; x has shape {self.shape}") from None

    # ------------------------------------------------------------------ arithmetic

    def __rpow__(self, base): return minidl.ops.pow(base, self)
    def __rmatmul__(self, other): return minidl.ops.matmul(other, self)
    def __abs__(self): return minidl.ops.abs(self)

    def add(self, other, *, alpha=1): return minidl.add(self, other, alpha=alpha)
    def sub(self, other, *, alpha=1): return minidl.sub(self, other, alpha=alpha)
    def mul(self, other): return minidl.ops.mul(self, other)
    def div(self, other): return minidl.ops.div(self, other)
    def pow(self, exponent): return minidl.ops.pow(self, exponent)
    def square(self): return minidl.ops.mul(self, self)
    def neg(self): return minidl.ops.neg(self)
    def abs(self): return minidl.ops.abs(self)
    def log(self): return minidl.ops.log(self)
    def sqrt(self): return minidl.ops.sqrt(self)
    def sin(self): return minidl.ops.sin(self)
    def cos(self): return minidl.ops.cos(self)
    def clamp(self, min=None, max=None): return minidl.ops.clamp(self, min, max)
    def maximum(self, other): return minidl.ops.maximum(self, other)
    def minimum(self, other): return minidl.ops.minimum(self, other)
    def where(self, condition, other): return minidl.ops.where(condition, self, other)
    def relu(self): return minidl.ops.relu(self)
    def sigmoid(self): return minidl.ops.sigmoid(self)
    def tanh(self): return minidl.ops.tanh(self)
    def softmax(self, dim): return minidl.ops.softmax(self, dim)
    def log_softmax(self, dim): return minidl.ops.log_softmax(self, dim)
    def matmul(self, other): return minidl.ops.matmul(self, other)

    def var(self, dim=None, unbiased=None, *, correction=None, keepdim=False):
        return minidl.ops.var(self, dim, unbiased, correction=correction, keepdim=keepdim)
    def std(self, dim=None, unbiased=None, *, correction=None, keepdim=False):
        return minidl.ops.std(self, dim, unbiased, correction=correction, keepdim=keepdim)
    def max(self, dim=None, keepdim=False): return minidl.ops.max(self, dim, keepdim)
    def min(self, dim=None, keepdim=False): return minidl.ops.min(self, dim, keepdim)
    def amax(self, dim=(), keepdim=False): return minidl.ops.amax(self, dim, keepdim)
    def amin(self, dim=(), keepdim=False): return minidl.ops.amin(self, dim, keepdim)
    def argmin(self, dim=None, keepdim=False): return minidl.ops.argmin(self, dim, keepdim)
    def logsumexp(self, dim, keepdim=False): return minidl.ops.logsumexp(self, dim, keepdim)
    def norm(self, p=2, dim=None, keepdim=False): return minidl.ops.norm(self, p, dim, keepdim)

    # ------------------------------------------------------------------ comparisons: no gradient

    def __ne__(self, other): return self._compared(operator.ne, other)
    def __lt__(self, other): return self._compared(operator.lt, other)
    def __le__(self, other): return self._compared(operator.le, other)
    def __gt__(self, other): return self._compared(operator.gt, other)
    def __ge__(self, other): return self._compared(operator.ge, other)
    def __and__(self, other): return self._compared(operator.and_, other)
    def __or__(self, other): return self._compared(operator.or_, other)
    def __xor__(self, other): return self._compared(operator.xor, other)
    def __invert__(self):
        if self.data.dtype.kind == "f":
            raise TypeError(f"invert: of booleans and integers only, this tensor is {self.dtype}")
        return minidl.as_tensor(~self.data)
    def any(self): return minidl.as_tensor(self.data.any())
    def all(self): return minidl.as_tensor(self.data.all())

    # ------------------------------------------------------------------ shape

    def reshape(self, *shape): return minidl.ops.reshape(self, *shape)
    def view(self, *shape): return minidl.ops.reshape(self, *shape)
    def flatten(self, start_dim=0, end_dim=-1):
        return minidl.ops.flatten(self, start_dim, end_dim)
    def permute(self, *dims): return minidl.ops.permute(self, *dims)
    def transpose(self, dim0, dim1): return minidl.ops.transpose(self, dim0, dim1)
    def squeeze(self, dim=None): return minidl.ops.squeeze(self, dim)
    def unsqueeze(self, dim): return minidl.ops.unsqueeze(self, dim)
    def expand(self, *sizes): return minidl.ops.expand(self, *sizes)
    def split(self, split_size, dim=0): return minidl.ops.split(self, split_size, dim)
    def chunk(self, chunks, dim=0): return minidl.ops.chunk(self, chunks, dim)
    def flip(self, *dims): return minidl.ops.flip(self, *dims)
    T = property(lambda self: minidl.ops.transpose(self, 0, 1) if self.ndim == 2 else self.permute(
        *range(self.ndim)[::-1]), doc="The axes reversed.")
    mT = property(lambda self: minidl.ops.transpose(self, -2, -1),
                  doc="The last two axes exchanged.")

    # ------------------------------------------------------------------ dtype and device

    def double(self): return minidl.ops.to(self, float64)
    def long(self): return minidl.ops.to(self, int64)
    def int(self): return minidl.ops.to(self, int32)
    def bool(self): return minidl.ops.to(self, bool_)
    def cpu(self): return self.to("cpu")
    def cuda(self, device=None): return self.to(cuda_name(device))
    def clone(self): return minidl.ops.clone(self)
    def contiguous(self): return minidl.ops.contiguous(self)
