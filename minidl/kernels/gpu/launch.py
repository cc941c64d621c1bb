"""Launching the kernels of kernels.cu, every argument checked against the source.

CuPy passes to a kernel whatever it is given: a wrong count, a Python int where the kernel has an
``int`` (it would go as 64 bits), a float64 array for a ``float*``, a transposed view whose strides
no kernel sees. So :func:`launch` reads the ``extern "C"`` signatures and the structs of the source,
converts Python numbers to the kernel's types, and refuses the rest.
"""

from __future__ import annotations

import functools
import re
from importlib import resources
from typing import NamedTuple

import numpy as np

SOURCE = resources.files(__package__).joinpath("kernels.cu").read_text(encoding="utf-8")
CONSTANTS = {name: int(n) for name, n in re.findall(r"#define (\w+) (\d+)", SOURCE)}
THREADS = CONSTANTS["THREADS"]     # of a block
LARGEST_LAUNCH = 2**31 - 4096      # indices are 32-bit, and some look a piece further: no kernel
                                   # gets more numbers, or threads

REALS = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}
_TYPES = {"int": np.int32, "long long": np.int64, "word": np.uint64, "float": np.float32,
          "double": np.float64}


class KernelParameter(NamedTuple):
    """One parameter of a kernel; `kind` is the dtype of a number, of a struct, or of what a pointer
    points to."""

    name: str
    kind: np.dtype
    pointer: bool


def _plain(source: str) -> str:
    """The source without comments, one space between words."""
    return " ".join(re.sub(r"//.*", "", source).split())


def _numpy_type(kind: str, real: np.dtype, structs: dict[str, np.dtype]) -> np.dtype:
    return real if kind == "REAL" else structs[kind] if kind in structs else np.dtype(_TYPES[kind])


@functools.cache
def structs(real: np.dtype, source: str = SOURCE) -> dict[str, np.dtype]:
    """The structs of the source as NumPy dtypes of the same layout; pointers are uint64."""
    found: dict[str, np.dtype] = {}
    for name, body in re.findall(r"struct (\w+) \{(.*?)\};", _plain(source)):
        fields = []
        for kind, star, names in re.findall(r"([\w ]+?)\s*(\*?) (\w[^;]*);", body):
            base = np.dtype(np.uint64) if star else _numpy_type(kind.strip(), real, found)
            for field in names.split(","):
                label, length = re.fullmatch(r"\s*(\w+)(?:\[(.+)\])?\s*", field).groups()
                shape = () if length is None else (_length(length),)
                fields.append((label, base, shape))
        found[name] = np.dtype(fields, align=True)
    return found


def _length(text: str) -> int:
    """The value of an array length such as ``64``, ``TENSORS`` or ``TENSORS + 1``."""
    return sum(int(CONSTANTS.get(part.strip(), part)) for part in text.split("+"))


@functools.cache
def signatures(real: np.dtype, source: str = SOURCE) -> dict[str, tuple[KernelParameter, ...]]:
    """Kernel name -> its parameters, where REAL is `real`."""
    known, found = structs(real, source), {}
    pattern = r'extern "C" __global__ void (\w+)\((.*?)\)'
    for name, parameters in re.findall(pattern, _plain(source)):
        each = []
        for parameter in parameters.split(","):
            kind, star, label = re.fullmatch(r"\s*(?:const )?([\w ]+?)\s*(\*?) (\w+)\s*",
                                             parameter).groups()
            each.append(KernelParameter(label, _numpy_type(kind, real, known), bool(star)))
        found[name] = tuple(each)
    return found


@functools.cache
def compiled_kernel(cupy, name: str, real: np.dtype):
    """The kernel of that name for floats of type `real`, compiled once."""
    return _module(cupy, real).get_function(name)


@functools.cache
def _module(cupy, real: np.dtype):
    """kernels.cu compiled for `real`: when first needed; CuPy keeps the result on disk."""
    return cupy.RawModule(code=SOURCE, options=(f"-DREAL={REALS[real]}",))


def launch(name: str, threads: int, real: np.dtype, *arguments) -> None:
    """Run the kernel `name` of the module for `real` with at least `threads` threads.

    Arrays must be C-contiguous and of the kernel's dtypes; numbers are converted. Raises TypeError
    or ValueError naming kernel and argument.
    """
    parameters = signatures(real)[name]
    if len(arguments) != len(parameters):
        raise TypeError(f"{name}: {len(parameters)} arguments are needed, got {len(arguments)}")
    if not 0 < threads <= LARGEST_LAUNCH:
        raise ValueError(f"{name}: {threads:,} numbers, 1 to {LARGEST_LAUNCH:,} are possible on a "
                         "GPU; use a smaller batch")
    import cupy
    given = []
    for parameter, value in zip(parameters, arguments):
        if parameter.pointer:
            _check_array(name, parameter, value)
        else:
            value = _kernel_number(name, parameter, value)
        given.append(value)
    compiled_kernel(cupy, name, real)((-(-threads // THREADS),), (THREADS,), tuple(given))


def _check_array(kernel: str, parameter: KernelParameter, array) -> None:
    if not hasattr(array, "dtype") or isinstance(array, (np.ndarray, np.generic)):
        raise TypeError(f"{kernel}: {parameter.name} must be an array on the GPU, got "
                        f"{type(array).__name__}")
    if array.dtype != parameter.kind:
        raise TypeError(f"{kernel}: {parameter.name} must be of {parameter.kind}, got "
                        f"{array.dtype}")
    if array.size > LARGEST_LAUNCH:
        raise ValueError(f"{kernel}: {parameter.name} has {array.size:,} numbers, at most "
                         f"{LARGEST_LAUNCH:,} are possible on a GPU; use a smaller batch")
    must_be_current(f"{kernel}: {parameter.name}", array)
    if not array.flags.c_contiguous:
        raise ValueError(f"{kernel}: {parameter.name} must be C-contiguous; its shape is "
                         f"{array.shape}, its strides {array.strides}")


def array_address(kernel: str, name: str, array) -> int:
    """The address of an array's memory, for a struct. The caller holds the array until the launch.
    """
    must_be_current(f"{kernel}: {name}", array)
    return array.data.ptr


def must_be_current(what: str, array) -> None:
    """Raise RuntimeError unless the array is on the current GPU, where kernels run."""
    import cupy
    if array.device.id != cupy.cuda.runtime.getDevice():
        raise RuntimeError(f"{what} is on cuda:{array.device.id}, which is not the current GPU; "
                           "one process uses one at a time: see minidl.device.resolve")


def _kernel_number(kernel: str, parameter: KernelParameter, value):
    """A number as the kernel's type, or a struct of the kernel's layout."""
    if parameter.kind.names:
        if getattr(value, "dtype", None) != parameter.kind or value.size != 1:
            raise TypeError(f"{kernel}: {parameter.name} must be one struct {parameter.kind.names}")
        return value
    if parameter.kind.kind in "iu" and not isinstance(value, (int, np.integer)):
        raise TypeError(f"{kernel}: {parameter.name} must be an integer, got {value!r}")
    if not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{kernel}: {parameter.name} must be a number, got {type(value).__name__}")
    try:
        return parameter.kind.type(value)
    except OverflowError:
        raise ValueError(f"{kernel}: {parameter.name} must fit {parameter.kind}, got {value}"
                         ) from None
