"""What ``import cupy`` finds, and the block in which it does."""

from __future__ import annotations

import contextlib
import sys
from types import ModuleType

import numpy as np

from . import functions, memory
from .arrays import ndarray
from .counts import sync
from .elementwise import ufunc, ufuncs
from .memory import here, memory_info
from .names import cupy, module
from .runtime import Event, RawModule, Stream, benchmark, get_elapsed_time
from .signatures import check_signatures

_FUNCTIONS = {name: getattr(functions, name) for name in """
asarray array ascontiguousarray asnumpy get_array_module empty empty_like zeros ones full zeros_like
ones_like full_like arange linspace eye tri copy copyto concatenate stack where nonzero argwhere
flatnonzero unique take take_along_axis broadcast_to expand_dims squeeze reshape ravel transpose
swapaxes moveaxis flip roll repeat pad sort argsort clip sum mean prod max min all any var std
argmax argmin cumsum isclose allclose array_equal may_share_memory shares_memory matmul dot outer
""".split()}
_DTYPES = {name: getattr(np, name) for name in (
    "float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool_ dtype "
    "newaxis inf nan pi e").split()}


def _module(name: str, **contents) -> ModuleType:
    new = module(name, "See tests/fakecupy.")
    vars(new).update(contents)
    return new


def _properties(device: int) -> dict:
    return {"name": b"a fake of tests/fakecupy", "major": 9, "minor": 0,
            "totalGlobalMem": memory_info(device)[1], "multiProcessorCount": 1}


_runtime = _module(
    "cupy.cuda.runtime", CUDARuntimeError=memory.CUDARuntimeError,
    getDeviceCount=lambda: memory.state.gpus, getDevice=lambda: here.device,
    setDevice=lambda device: memory.set_device(device), driverGetVersion=lambda: 13000,
    runtimeGetVersion=lambda: 13000, memGetInfo=lambda: memory_info(),
    deviceSynchronize=lambda: sync("deviceSynchronize"),
    getDeviceProperties=_properties)
_memory = _module("cupy.cuda.memory", OutOfMemoryError=memory.OutOfMemoryError)
_stream, _pool = Stream(null=True), memory.Pool()
_cuda = _module(
    "cupy.cuda", runtime=_runtime, memory=_memory, Device=memory.Device, Event=Event,
    Stream=Stream, get_elapsed_time=get_elapsed_time, get_current_stream=lambda: _stream,
    is_available=lambda: True, MemoryPool=memory.Pool, get_device_id=lambda: here.device)
_stride_tricks = _module("cupy.lib.stride_tricks", as_strided=functions.as_strided,
                         sliding_window_view=functions.sliding_window_view)
_lib = _module("cupy.lib", stride_tricks=_stride_tricks)
vars(cupy).update(
    _FUNCTIONS | ufuncs | _DTYPES, ndarray=ndarray, ufunc=ufunc, cuda=_cuda, lib=_lib,
    RawModule=RawModule, get_default_memory_pool=lambda: _pool, __version__="14.2.0",
    divide=ufuncs["true_divide"], abs=ufuncs["absolute"], mod=ufuncs["remainder"],
    amax=functions.max, amin=functions.min)
_special = _module("cupyx.scipy.special", erf=functions.erf)
_scipy = _module("cupyx.scipy", special=_special, get_array_module=functions.get_array_module)
_profiler = _module("cupyx.profiler", benchmark=benchmark)
_cupyx = _module("cupyx", scipy=_scipy, profiler=_profiler)
MODULES = {m.__name__: m for m in (cupy, _cuda, _runtime, _memory, _lib, _stride_tricks, _cupyx,
                                   _scipy, _special, _profiler)}
ndarray.__module__ = "cupy"


def _forget() -> None:
    """Make minidl look again whether there is a GPU."""
    from minidl import checks, cuda, device, kernels
    cuda._cuda_problem_once.cache_clear()
    cuda._constant.cache_clear()
    device._NAMESPACES.pop(ndarray, None)
    kernels.CUDA.clear()
    checks._thread.pending.clear()


@contextlib.contextmanager
def installed(gpus: int = 1):
    """A block in which ``import cupy`` gives the fake one, and minidl finds so many GPUs, number 0
    the current one."""
    check_signatures()
    away = {name: sys.modules.pop(name) for name in list(sys.modules)
            if name.partition(".")[0] in ("cupy", "cupyx")}
    sys.modules.update(MODULES)
    before, memory.state.gpus, here.device = (memory.state.gpus, here.device), gpus, 0
    _forget()
    try:
        yield cupy
    finally:
        for name in MODULES:
            sys.modules.pop(name, None)
        sys.modules.update(away)
        memory.state.gpus, here.device = before
        _forget()
