"""Which function of PyTorch is which function here.

Each entry takes PyTorch's arguments under PyTorch's names. An option that an entry does not have is
passed over where it is None or False, and refused otherwise; `ONLY` says which values of an option
are offered. A name with an underscore behind it, ``relu_``, is the function that writes into its
first argument: see symbolic.py.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import functional as F
from .. import ops
from ..more import alpha as scaled
from ..more import creation
from ..tensor import Tensor
from . import compositions as made

# torch.nn.functional.<name>
FUNCTIONAL: dict[str, Callable] = {
    # activations
    "relu": lambda input: F.relu(input),
    "leaky_relu": lambda input, negative_slope=0.01: F.leaky_relu(input, negative_slope),
    "elu": lambda input, alpha=1.0: F.elu(input, alpha),
    "gelu": lambda input, approximate="none": F.gelu(input, approximate),
    "softplus": lambda input, beta=1, threshold=20: F.softplus(input, beta, threshold),
    "sigmoid": lambda input: F.sigmoid(input),
    "tanh": lambda input: F.tanh(input),
    "softmax": lambda input, dim: F.softmax(input, dim),
    "log_softmax": lambda input, dim: F.log_softmax(input, dim),
    "softmin": lambda input, dim: F.softmax(-input, dim),
    "silu": made.silu, "mish": made.mish, "hardtanh": made.hardtanh, "relu6": made.relu6,
    "hardsigmoid": made.hardsigmoid, "hardswish": made.hardswish, "selu": made.selu,
    "celu": made.celu, "softsign": made.softsign, "logsigmoid": made.logsigmoid,
    "prelu": made.prelu, "glu": made.glu,
    # products
    "linear": F.linear, "bilinear": made.bilinear,
    "conv1d": F.conv1d, "conv2d": F.conv2d, "conv_transpose1d": made.conv_transpose1d,
    "conv_transpose2d": F.conv_transpose2d, "embedding": made.embedded,
    "scaled_dot_product_attention": F.scaled_dot_product_attention,
    # pooling
    "max_pool1d": made.max_pool1d, "avg_pool1d": made.avg_pool1d,
    "max_pool2d": F.max_pool2d, "avg_pool2d": F.avg_pool2d,
    "max_pool2d_with_indices": lambda input, kernel_size, stride=None, padding=0, dilation=1,
        ceil_mode=False, return_indices=True: F.max_pool2d(
            input, kernel_size, stride, padding, dilation, ceil_mode, True),
    "adaptive_avg_pool1d": made.adaptive_avg_pool1d,
    "adaptive_max_pool1d": made.adaptive_max_pool1d,
    "adaptive_avg_pool2d": made.adaptive_avg_pool2d,
    "adaptive_max_pool2d": made.adaptive_max_pool2d,
    # normalisation, dropout
    "batch_norm": F.batch_norm, "layer_norm": F.layer_norm, "group_norm": F.group_norm,
    "instance_norm": made.instance_norm, "rms_norm": made.rms_norm,
    "normalize": lambda input, p=2.0, dim=1, eps=1e-12: F.normalize(input, dim=dim, eps=eps),
    "cosine_similarity": made.cosine_similarity,
    "dropout": lambda input, p=0.5, training=True: F.dropout(input, p, training),
    "dropout1d": made.channel_dropout, "dropout2d": made.channel_dropout,
    # images
    "pad": made.padded, "interpolate": made.resized, "pixel_shuffle": F.pixel_shuffle,
    "unfold": F.unfold, "fold": F.fold, "one_hot": F.one_hot,
    # losses
    "mse_loss": F.mse_loss, "l1_loss": F.l1_loss, "smooth_l1_loss": F.smooth_l1_loss,
    "huber_loss": made.huber_loss, "nll_loss": F.nll_loss, "cross_entropy": F.cross_entropy,
    "binary_cross_entropy": F.binary_cross_entropy, "kl_div": F.kl_div,
    "binary_cross_entropy_with_logits": F.binary_cross_entropy_with_logits,
}


def like_scalar(function: Callable) -> Callable:
    """Of two operands; both may be numbers, for sizes are added and multiplied, too."""
    return lambda input, other: function(input, other)


def converted(input: Tensor, *args: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """PyTorch's ``to``: a dtype, a device, or a tensor that has both."""
    return input.to(*args, dtype=dtype, device=device)


def summed(function: Callable) -> Callable:
    """Over `dim`: sums and means."""
    return lambda input, dim=None, keepdim=False: function(input, dim, keepdim)


def split_along(input: Tensor, split_size_or_sections, dim: int = 0):
    return ops.split(input, split_size_or_sections, dim)


def unbound(input: Tensor, dim: int = 0) -> tuple:
    """The slices along `dim`, without that axis."""
    return tuple(picked_at(input, dim, i) for i in range(input.shape[dim]))


def picked_at(input: Tensor, dim: int, index: int) -> Tensor:
    return input[(*[slice(None)] * (dim % input.ndim), index)]


def narrowed(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    return input[(*[slice(None)] * (dim % input.ndim), slice(start, start + length))]


def unflattened(input: Tensor, dim: int, sizes) -> Tensor:
    dim %= input.ndim
    return ops.reshape(input, *input.shape[:dim], *sizes, *input.shape[dim + 1:])


def masked_with(input: Tensor, mask: Tensor, value: float) -> Tensor:
    return ops.where(mask, value, input)


def moved(input: Tensor, source: int, destination: int) -> Tensor:
    """One axis moved: PyTorch's ``movedim``."""
    order = [i for i in range(input.ndim) if i != source % input.ndim]
    order.insert(destination % input.ndim, source % input.ndim)
    return ops.permute(input, *order)


# torch.<name> and torch.Tensor.<name>, where PyTorch has them
GENERAL: dict[str, Callable] = {
    # element by element
    **{name: FUNCTIONAL[name] for name in (
        "relu", "sigmoid", "tanh", "softmax", "log_softmax", "selu", "celu", "prelu")},
    **{name: getattr(ops, name) for name in ("abs", "exp", "log", "sqrt", "sin", "cos", "neg")},
    "negative": ops.neg, "absolute": ops.abs,
    "square": lambda input: input * input, "reciprocal": lambda input: 1 / input,
    "rsqrt": lambda input: 1 / ops.sqrt(input),
    "clamp": lambda input, min=None, max=None: ops.clamp(input, min, max),
    "clip": lambda input, min=None, max=None: ops.clamp(input, min, max),
    "clamp_min": lambda input, min: ops.clamp(input, min),
    "clamp_max": lambda input, max: ops.clamp(input, None, max),
    "add": lambda input, other, alpha=1: scaled.add(input, other, alpha=alpha),
    "sub": lambda input, other, alpha=1: scaled.sub(input, other, alpha=alpha),
    "rsub": lambda input, other: other - input,
    "mul": like_scalar(operator.mul), "multiply": like_scalar(operator.mul),
    "div": like_scalar(operator.truediv), "divide": like_scalar(operator.truediv),
    "true_divide": like_scalar(operator.truediv),
    "pow": lambda input, exponent: input ** exponent,
    "maximum": ops.maximum, "minimum": ops.minimum,
    "where": lambda condition, input, other: ops.where(condition, input, other),
    "masked_fill": masked_with,
    **{name: like_scalar(getattr(operator, name)) for name in ("eq", "ne", "lt", "le", "gt", "ge")},
    "logical_not": lambda input: ~input.bool(),
    "logical_and": lambda input, other: input.bool() & other.bool(),
    "logical_or": lambda input, other: input.bool() | other.bool(),
    # products
    "matmul": ops.matmul, "mm": lambda input, mat2: ops.matmul(input, mat2),
    "bmm": lambda input, mat2: ops.matmul(input, mat2),
    "mv": lambda input, vec: ops.matmul(input, vec),
    "dot": lambda input, tensor: ops.matmul(input, tensor),
    # sums, extremes
    "sum": summed(ops.sum), "mean": summed(ops.mean), "logsumexp": summed(ops.logsumexp),
    "var": ops.var, "std": ops.std,
    "amax": summed(lambda x, dim, keep: ops.amax(x, () if dim is None else dim, keep)),
    "amin": summed(lambda x, dim, keep: ops.amin(x, () if dim is None else dim, keep)),
    "max": lambda input, dim=None, keepdim=False: ops.max(input, dim, keepdim),
    "min": lambda input, dim=None, keepdim=False: ops.min(input, dim, keepdim),
    "argmax": summed(ops.argmax), "argmin": summed(ops.argmin),
    "norm": lambda input, p=2, dim=None, keepdim=False: ops.norm(input, 2, dim, keepdim),
    # shape
    "cat": lambda tensors, dim=0: ops.cat(tensors, dim),
    "concat": lambda tensors, dim=0: ops.cat(tensors, dim),
    "stack": lambda tensors, dim=0: ops.stack(tensors, dim),
    "chunk": lambda input, chunks, dim=0: ops.chunk(input, chunks, dim),
    "split": split_along, "unbind": unbound, "narrow": narrowed,
    "select": picked_at, "reshape": lambda input, *shape: ops.reshape(input, *shape),
    "flatten": lambda input, start_dim=0, end_dim=-1: ops.flatten(input, start_dim, end_dim),
    "unflatten": unflattened, "squeeze": lambda input, dim=None: ops.squeeze(input, dim),
    "unsqueeze": lambda input, dim: ops.unsqueeze(input, dim),
    "permute": lambda input, *dims: ops.permute(input, *dims),
    "transpose": lambda input, dim0, dim1: ops.transpose(input, dim0, dim1),
    "swapaxes": lambda input, axis0, axis1: ops.transpose(input, axis0, axis1),
    "movedim": moved, "t": lambda input: input.T,
    "flip": lambda input, *dims: ops.flip(input, *dims), "roll": made.rolled,
    "tril": made.triangle,
    "triu": lambda input, diagonal=0: made.triangle(input, diagonal, upper=True),
    "detach": lambda input: input.detach(), "clone": lambda input: ops.clone(input),
    # new tensors
    "zeros_like": creation.zeros_like, "ones_like": creation.ones_like,
    "rand_like": lambda input: creation.rand(*input.shape, dtype=input.dtype, device=input.device),
    "randn_like": lambda input: creation.randn(*input.shape, dtype=input.dtype,
                                               device=input.device),
}
TENSOR_METHODS: dict[str, Callable] = {
    "view": GENERAL["reshape"], "contiguous": lambda input: ops.contiguous(input),
    "expand": lambda input, *size: ops.expand(input, *size), "repeat": made.repeated,
    "view_as": lambda input, other: ops.reshape(input, *other.shape),
    "reshape_as": lambda input, other: ops.reshape(input, *other.shape),
    "expand_as": lambda input, other: ops.expand(input, *other.shape),
    "to": converted, "type_as": converted, "cpu": lambda input: input.cpu(),
    **{name: operator.methodcaller(name) for name in ("float", "double", "int", "long", "bool")},
    "size": lambda input, dim=None: input.size(dim), "dim": lambda input: input.ndim,
    "numel": lambda input: input.numel(), "any": lambda input: input.any(),
    "all": lambda input: input.all(),
    "new_zeros": lambda input, *size: creation.zeros(*size, dtype=input.dtype,
                                                     device=input.device),
    "new_ones": lambda input, *size: creation.ones(*size, dtype=input.dtype, device=input.device),
}
# Attributes of a tensor that a forward reads.
ATTRIBUTES = {"shape", "ndim", "dtype", "device", "T", "mT", "data", "requires_grad", "values",
              "indices"}
# Functions that make a tensor of sizes: followed even where no tensor of the forward is among the
# arguments, since sizes may be.
CREATION: dict[str, Callable] = {
    "zeros": creation.zeros, "ones": creation.ones, "full": creation.full, "eye": creation.eye,
    "arange": lambda *limits, dtype=None, device=None: creation.arange(
        *limits, dtype=dtype, device=device),
    "linspace": creation.linspace,
    "rand": lambda *size, dtype=None, device=None: creation.rand(
        *size, dtype=dtype or np.float32, device=device),
    "randn": lambda *size, dtype=None, device=None: creation.randn(
        *size, dtype=dtype or np.float32, device=device),
}
# Python's operators; an augmented one, ``x += y``, writes into x.
OPERATORS = {name: getattr(operator, name) for name in (
    "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "neg", "getitem",
    "eq", "ne", "lt", "le", "gt", "ge", "and_", "or_", "xor", "invert", "abs")}
OPERATORS["pos"] = lambda input: input
AUGMENTED = {name: getattr(operator, name.lstrip("i")) for name in (
    "iadd", "isub", "imul", "itruediv", "ipow", "imatmul")}
# What may be a view of its first argument's memory.
VIEWS = {"view", "view_as", "reshape", "reshape_as", "flatten", "unflatten", "permute", "transpose",
         "swapaxes", "movedim", "t", "squeeze", "unsqueeze", "expand", "expand_as", "chunk",
         "split", "unbind", "narrow", "select", "getitem", "contiguous", "detach", "to", "type_as",
         "float", "double", "int", "long", "bool", "cpu", "dropout", "dropout1d", "dropout2d",
         "T", "mT", "data", "pos"}
# The values of an option that are offered, where they are not all.
ONLY: dict[str, dict[str, tuple]] = {
    "interpolate": {"mode": ("nearest", "bilinear")},
    "pad": {"mode": ("constant", "reflect", "replicate", "circular")},
    "normalize": {"p": (2,)}, "norm": {"p": (2, "fro")},
    "instance_norm": {"running_mean": (None,), "running_var": (None,), "use_input_stats": (True,)},
}
IGNORED = {"inplace", "_stacklevel", "norm_type", "memory_format", "non_blocking", "layout"}
RENAMED = {"axis": "dim", "keepdims": "keepdim"}
SEVERAL = {"shape", "size", "dims", "repeats"}      # options that may stand as several numbers


def fitted(name: str, function: Callable, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    """The arguments of an entry for PyTorch's: options that change nothing left out, ``axis`` as
    ``dim``. Raises ValueError for an option, or a value of one, that is not offered."""
    try:
        signature = inspect.signature(function)
    except ValueError:                               # a function in C has none
        return args, kwargs
    several = next((n for n, p in signature.parameters.items() if p.kind is p.VAR_POSITIONAL), "")
    taken = {}
    for option, value in kwargs.items():
        option = RENAMED.get(option, option)
        if option == several or (several and option in SEVERAL):
            args = (*args, value)
        elif option in signature.parameters:
            taken[option] = value
        elif option not in IGNORED and value is not None and value is not False:
            raise ValueError(f"the option {option}={value!r} is not offered")
    try:
        bound = signature.bind(*args, **taken)
    except TypeError as error:
        raise ValueError(f"the arguments do not fit ({error})") from None
    for option, offered in ONLY.get(name, {}).items():
        if option in bound.arguments and bound.arguments[option] not in offered:
            raise ValueError(f"{option}={bound.arguments[option]!r} is not offered, but "
                             + " or ".join(map(repr, offered)))
    return args, taken
