"""GPUs and their memory."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from types import SimpleNamespace

import numpy as np

from .counts import Violation, sync

TOTAL = 80 * 2**30                       # bytes of each GPU
state = SimpleNamespace(gpus=1, used=Counter(), limit={})        # used and limit: by GPU


class _Here(threading.local):
    """The current GPU of this thread, which begins with number 0."""

    device = 0


here = _Here()


class OutOfMemoryError(MemoryError):
    """As CuPy's."""

    def __init__(self, size: int, total: int, limit: int = 0):
        tail = f", limit set to: {limit:,} bytes" if limit else ""
        super().__init__(f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} "
                         f"bytes{tail}).")


class CUDARuntimeError(RuntimeError):
    """As CuPy's."""


# --------------------------------------------------------------------------- devices
class Device:
    """A GPU by its number; without one the current GPU."""

    compute_capability = "90"

    def __init__(self, device=None):
        self.id, self._before = here.device if device is None else int(device), []

    def use(self):
        set_device(self.id)
        return self

    def __enter__(self):
        self._before.append(here.device)
        return self.use()

    def __exit__(self, *exc):
        here.device = self._before.pop()

    def synchronize(self):
        sync("synchronize")

    def __eq__(self, other):
        return isinstance(other, Device) and self.id == other.id

    def __hash__(self):
        return self.id

    def __repr__(self):
        return f"<CUDA Device {self.id}>"

    mem_info = property(lambda self: memory_info(self.id), doc="(free, total) bytes.")


def set_device(number: int) -> None:
    """Make a GPU the current one of this thread."""
    if not 0 <= number < state.gpus:
        raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
    here.device = number


def must_be_here(number: int) -> None:
    """Refuse memory of another GPU than the current one."""
    if number != here.device:
        raise Violation(f"an array of GPU {number} where GPU {here.device} is the current one: "
                        "CuPy reads it over the bus, or a kernel meets an illegal address")


def memory_info(number: int | None = None) -> tuple[int, int]:
    """(free, total) bytes."""
    number = here.device if number is None else number
    total = state.limit.get(number, TOTAL)
    return total - state.used[number], total


# --------------------------------------------------------------------------- allocations
class Block:
    """An allocation on the current GPU: in use until the last array that sees it is gone. CuPy's
    sizes are multiples of 512 bytes."""

    __slots__ = ("device", "nbytes")

    def __init__(self, nbytes: int):
        self.nbytes, self.device = 0, here.device
        nbytes, used = -(-nbytes // 512) * 512, state.used[self.device]
        limit = state.limit.get(self.device)
        if limit is not None and used + nbytes > limit:
            raise OutOfMemoryError(nbytes, used, limit)
        self.nbytes = nbytes
        state.used[self.device] += nbytes

    def __del__(self):
        state.used[self.device] -= self.nbytes


class Pool:
    """``get_default_memory_pool()``, of the current GPU; nothing is kept here that is not in use.
    """

    def used_bytes(self): return state.used[here.device]
    def total_bytes(self): return state.used[here.device]
    def free_bytes(self): return 0
    def free_all_blocks(self, stream=None): return None
    def get_limit(self): return state.limit.get(here.device, 0)

    def set_limit(self, size=None, fraction=None):
        state.limit.pop(here.device, None)
        if size:
            state.limit[here.device] = size


@contextlib.contextmanager
def memory_limit(nbytes: int):
    """A GPU, the current one, with `nbytes` more than are in use now: beyond it, OutOfMemoryError.
    """
    pool, before = Pool(), dict(state.limit)
    pool.set_limit(pool.used_bytes() + nbytes)
    try:
        yield
    finally:
        state.limit = before


def poisoned(shape, dtype, order="C") -> np.ndarray:
    """Memory as nobody has written it: nan, or the largest integer, or True."""
    array = np.empty(shape, dtype, order)
    kind = array.dtype.kind
    array.fill(np.nan if kind in "fc" else np.iinfo(array.dtype).max if kind in "iu" else True)
    return array
