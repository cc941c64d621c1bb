"""Compile ahead, in a second process: ``python -m minidl.kernels.cpu.warm``.

Numba compiles one kernel at a time, and a first training step needs a dozen. When there are none in
the cache yet, :func:`minidl.kernels.load_kernels` starts this beside the first step. It compiles
the kernels of a small classifier from the last needed to the first, so that the two processes meet
in the middle: what one has compiled, the other finds in the cache.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np


def in_background() -> None:
    """Start this module as a process of its own; if that cannot be, nothing is lost."""
    if not sys.executable or getattr(sys, "frozen", False):       # the program is not Python itself
        return
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    try:
        child = subprocess.Popen([sys.executable, "-m", "minidl.kernels.cpu.warm"],
                                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL, env={
                                     **os.environ, "PYTHONPATH": path, "MINIDL_NUM_THREADS": "1"})
    except OSError:
        return
    threading.Thread(target=child.wait, daemon=True).start()      # leaves no zombie
    atexit.register(_let_go, child)


def _let_go(child: subprocess.Popen) -> None:
    """At our end it may go on: it ends by itself. Without this Popen would warn of it."""
    if child.poll() is None:
        child.returncode = 0


def compile_all() -> None:
    """Call each kernel of a small classifier once, on float32."""
    from . import twins
    one, image = np.ones((1, 1, 1, 1), np.float32), np.ones((1, 1, 4, 4), np.float32)
    many = np.ones((1, 8, 4, 4), np.float32)
    square = np.ones((2, 2), np.float32)
    pool = (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1)
    same = None, (1, 1), (0, 0), (1, 1)
    call = twins.CPU_KERNELS
    tap = np.zeros((1, 1, 2, 2), np.int32)
    for work in (
        lambda: call["_adam"](one, one, one, one, 1, 0.1, 0.9, 0.99, 1e-8),
        lambda: call["_conv2d_weight_grad"](many, many[:, :, 1:, 1:], (2, 2), *same[1:]),
        lambda: call["_scatter_taps"](image[:, :, :2, :2], tap, *pool, (4, 4)),
        lambda: call["_bias_activation_grad"](square, square, (2,), 0.0),
        lambda: call["_conv2d"](many, np.ones((8, 8, 2, 2), np.float32), *same),
        lambda: call["_max_pool2d"](image, *pool, (2, 2)),
        lambda: call["_bias_activation"](square, square[0], 0.0),
        lambda: call["_conv2d"](image, np.ones((8, 1, 2, 2), np.float32), *same),
        lambda: call["array_sum"](square, (0,), False),
    ):
        work()


if __name__ == "__main__":
    compile_all()
