"""What a script asks about GPUs, under PyTorch's names: ``minidl.cuda.is_available()``.

Which device arrays are on, and how they get there, is in device.py.
"""

from __future__ import annotations

from .device import cuda_problem, resolve

__all__ = ["current_device", "device_count", "is_available", "synchronize"]


def is_available() -> bool:
    """Does a kernel run on a GPU here? ``device.cuda_problem()`` says why not."""
    return cuda_problem() is None


def device_count() -> int:
    """How many GPUs there are; 0 where none works."""
    if not is_available():
        return 0
    import cupy
    return cupy.cuda.runtime.getDeviceCount()


def current_device() -> int:
    """The number of the GPU that "cuda" means. Raises RuntimeError, with the reason, if none works.
    """
    return int(resolve("cuda").partition(":")[2])


def synchronize() -> None:
    """Wait until the GPU has done what it was sent: for clocks. Raises RuntimeError, with the
    reason, if none works."""
    resolve("cuda")
    import cupy
    cupy.cuda.get_current_stream().synchronize()
