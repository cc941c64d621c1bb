"""What is installed, and which GPU and driver it runs on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .. import __version__
from ..cuda import error_line, version_text
from . import Sizes
from .results import Part


def versions(part: Part, sizes: Sizes) -> None:
    """Part "versions": one entry for each; what cannot be found out says why."""
    for name, ask in _questions():
        try:
            part.found(name, "value", ask())
        except Exception as error:
            part.unasked(name, "value", error_line(error))


def _questions() -> Iterator[tuple[str, Callable[[], Any]]]:
    import cupy
    runtime = cupy.cuda.runtime
    yield "minidl", lambda: __version__
    yield "Python", platform.python_version
    yield "system", platform.platform
    yield "CPU cores", os.cpu_count
    yield "NumPy", lambda: np.__version__
    yield "CuPy", lambda: cupy.__version__
    for package in ("numba", "torch"):
        yield package, lambda package=package: _installed(package)
    yield "CUDA runtime", lambda: version_text(runtime.runtimeGetVersion())
    yield "CUDA driver", lambda: version_text(runtime.driverGetVersion())
    yield "NVRTC", lambda: ".".join(map(str, cupy.cuda.nvrtc.getVersion()))
    yield "cuBLAS", lambda: cupy.cuda.cublas.getVersion(cupy.cuda.device.get_cublas_handle())
    yield "GPU", lambda: _device_properties(cupy)["name"].decode()
    yield "compute capability", lambda: "{major}.{minor}".format(**_device_properties(cupy))
    yield "multiprocessors", lambda: _device_properties(cupy)["multiProcessorCount"]
    yield "memory, MiB", lambda: _device_properties(cupy)["totalGlobalMem"] // 2**20
    yield "memory free, MiB", lambda: runtime.memGetInfo()[0] // 2**20
    for variable in ("CUPY_TF32", "CUPY_ACCELERATORS", "MINIDL_KERNELS", "CUDA_VISIBLE_DEVICES"):
        yield variable, lambda variable=variable: os.environ.get(variable, "not set")


def _installed(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _device_properties(cupy) -> dict[str, Any]:
    return cupy.cuda.runtime.getDeviceProperties(cupy.cuda.runtime.getDevice())
