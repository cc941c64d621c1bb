"""One pool of threads for all kernels.

The thread that calls a kernel works too; beside it stand ``get_num_threads() - 1`` workers. The
work is cut into pieces, and whoever is free takes the next: so a core that somebody else slows down
just does fewer. No result depends on who did which piece, nor on how many threads there are.

Waking a sleeping thread takes some 100 microseconds, longer than many a kernel runs. So a worker
that has nothing to do looks again and again for half a millisecond or so before it goes to sleep,
all of it in native code, without Python's lock. A kernel that finds the pool in use (several Python
threads may train at once) does its pieces alone. The kernels do not call the BLAS, whose threads
would be in the way (see tile.py).

The protocol, on an array of shared cells: the caller writes the job, opens it, takes pieces until
none is left, closes it, and waits until no worker is inside. A worker enters (ACTIVE + 1), looks
whether the job is open, takes pieces, leaves (ACTIVE - 1). Since it enters before it looks, no job
can be gone while somebody works on it.
"""

from __future__ import annotations

import atexit
import functools
import os
import threading
from collections.abc import Callable

import numpy as np

from .. import get_num_threads
from .jit import JIT, compiled, inlined

# The cells. Those that several threads write stand on cache lines of their own (8 int64).
OPEN, NEXT, ACTIVE, BUSY, STOP = 0, 8, 16, 24, 32
FUNCTION, DATA, TOTAL, AT_ONCE = 40, 41, 42, 43             # the job
SPINS = 20_000                                            # looks before it sleeps

if JIT:
    from .native import (
        as_piece,
        atomic_add,
        atomic_load,
        atomic_store,
        atomic_swap,
        call_piece,
        let_others_run,
        pause,
    )


@inlined
def _wait(turn):
    """Pass a moment; now and then offer the core to others: the one that is waited for may need it.
    """
    pause()
    if turn % 64 == 63:
        let_others_run()


@inlined
def _take_pieces(cells):
    """Do pieces of the open job until none is left."""
    total, piece = cells[TOTAL], cells[AT_ONCE]
    while True:
        start = atomic_add(cells, NEXT, piece)
        if start >= total:
            return
        call_piece(cells[FUNCTION], cells[DATA], start, min(start + piece, total))


@compiled
def _serve(cells, spins):
    """A worker's life between two sleeps."""
    quiet = 0
    while quiet < spins and atomic_load(cells, STOP) == 0:
        if atomic_load(cells, OPEN):
            atomic_add(cells, ACTIVE, 1)
            if atomic_load(cells, OPEN):
                _take_pieces(cells)
                quiet = 0
            atomic_add(cells, ACTIVE, -1)
        _wait(quiet)
        quiet += 1


@inlined
def _run(cells, function, data, total, piece):
    """Do a job of `total` steps, `piece` at a time, with whoever is awake."""
    if piece >= total or atomic_swap(cells, BUSY, 1):
        call_piece(function, data, 0, total)
        return
    cells[FUNCTION], cells[DATA], cells[TOTAL], cells[AT_ONCE] = function, data, total, piece
    atomic_store(cells, NEXT, 0)
    atomic_store(cells, OPEN, 1)
    _take_pieces(cells)
    atomic_store(cells, OPEN, 0)
    turn = 0
    while atomic_load(cells, ACTIVE):
        _wait(turn)
        turn += 1
    atomic_store(cells, BUSY, 0)


class _Pool:
    """The workers and the cells they share."""

    def __init__(self, workers: int):
        self.cells = np.zeros(64, np.int64)
        self.asleep = 0                        # workers at `bell`; only touched under Python's lock
        self.bell = threading.Semaphore(0)
        self.threads = [threading.Thread(target=self._work, daemon=True, name=f"minidl-{i + 1}")
                        for i in range(workers)]
        if workers:                # compiled here: a fork must not find a worker with Numba's lock
            _serve(np.ones(64, np.int64), 0)
        for i, thread in enumerate(self.threads):
            try:
                thread.start()
            except RuntimeError:           # the system gives no more: go on with those there are
                del self.threads[i:]
                break

    def _work(self) -> None:
        while not self.cells[STOP]:
            _serve(self.cells, SPINS)
            self.asleep += 1
            self.bell.acquire()

    def wake(self) -> None:
        """Call the sleepers: there is work."""
        sleepers, self.asleep = self.asleep, 0
        for _ in range(sleepers):
            self.bell.release()

    def stop(self) -> None:
        """End the workers (nobody may be inside a kernel of this pool)."""
        self.cells[STOP] = 1
        for thread in self.threads:
            while thread.is_alive():
                self.bell.release()
                thread.join(0.001)


_lock = threading.Lock()
_pool: _Pool | None = None


def stop() -> None:
    """End the workers; the next kernel starts as many as are wanted then."""
    global _pool
    with _lock:
        pool, _pool = _pool, None
    if pool:
        pool.stop()


def _the_pool() -> _Pool:
    global _pool
    with _lock:
        if _pool is None:
            _pool = _Pool(get_num_threads() - 1)
        return _pool


def _forget() -> None:
    """In a forked child the workers do not exist."""
    global _pool, _lock
    _pool, _lock = None, threading.Lock()


atexit.register(stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def parallel(kernel: Callable) -> Callable:
    """Make ``kernel(start, stop, *arguments)``, a loop over steps start..stop-1, a function
    ``launch(total, piece, *arguments)`` that does the steps 0..total-1 on the pool, `piece` at a
    time. What different steps write must not overlap; every array is flat and without gaps."""
    inner = inlined(kernel)
    if not JIT:
        @functools.wraps(kernel)
        def launch(total, piece, *arguments):
            for begin in range(0, total, piece):
                kernel(begin, min(begin + piece, total), *arguments)
        return launch

    def on_pool(cells, total, piece, *arguments):
        function, data = as_piece(inner, arguments)
        _run(cells, function, data, total, piece)

    on_pool.__name__ = kernel.__name__
    on_pool.__qualname__ = f"on_pool.{kernel.__module__}.{kernel.__qualname__}"
    on_pool = compiled(on_pool)

    @functools.wraps(kernel)
    def launch(total, piece, *arguments):
        pool = _pool or _the_pool()
        if pool.asleep:
            pool.wake()
        on_pool(pool.cells, total, piece, *arguments)
    return launch
