"""Events, streams, and modules of CUDA source."""

from __future__ import annotations

import importlib
import math
import time
from types import SimpleNamespace

import numpy as np

from .arrays import host_array, ndarray
from .counts import launch, sync


class Event:
    """A moment on the device; here, on the host."""

    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self.moment = None

    def record(self, stream=None):
        self.moment = time.perf_counter()

    def synchronize(self):
        sync("Event.synchronize")


def get_elapsed_time(start_event, end_event):
    return 1000 * (end_event.moment - start_event.moment)


class Stream:
    """Work is done at once here; graphs cannot be captured."""

    ptr = 0

    def __init__(self, null=False, non_blocking=False, ptds=False, priority=None):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        return None

    def use(self):
        return self

    def synchronize(self):
        sync("Stream.synchronize")

    def begin_capture(self, mode=None):
        raise NotImplementedError("the fake CuPy captures no graphs")


class RawModule:
    """CUDA source, compiled by g++ when a kernel is first asked for: see cuda_on_cpu.py."""

    def __init__(self, code=None, *, path=None, options=(), backend="nvrtc",
                 translate_cucomplex=False, enable_cooperative_groups=False, name_expressions=None,
                 jitify=None):
        self._source, self._options, self._built = code, tuple(options), None

    def get_function(self, name):
        if self._built is None:
            self._built = importlib.import_module("cuda_on_cpu").RawModule(
                self._source, self._options)
        kernel = self._built.get_function(name)

        def run(grid, block, args, *, shared_mem=0):
            for value in args:
                if isinstance(value, np.ndarray) and (value.size != 1 or not value.dtype.names):
                    raise host_array(name, value)
            kernel(tuple(grid), tuple(block), tuple(
                value._a if type(value) is ndarray else value for value in args))
            launch(name)
        return run


def benchmark(func, args=(), kwargs={}, n_repeat=10000, *, name=None, n_warmup=10,    # noqa: B006
              max_duration=math.inf, devices=None):
    """cpu_times (n,) and gpu_times (1, n), in seconds; here both are the host's."""
    for _ in range(n_warmup):
        func(*args, **kwargs)
    times = []
    for _ in range(n_repeat):
        start = time.perf_counter()
        func(*args, **kwargs)
        times.append(time.perf_counter() - start)
        if sum(times) > max_duration:
            break
    return SimpleNamespace(name=name or func.__name__, cpu_times=np.array(times),
                           gpu_times=np.array([times]))
