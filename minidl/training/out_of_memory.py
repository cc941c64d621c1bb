"""What is said when memory runs out: how much was asked for, how much there is, and what helps."""

from __future__ import annotations

import re

from ..cuda import gpu_memory


class OutOfMemory(MemoryError):
    """A training step needed more memory than there is. ``batch_size`` is what it was tried with.
    """

    def __init__(self, message: str, batch_size: int) -> None:
        super().__init__(message)
        self.batch_size = batch_size


def explained(error: MemoryError, device: str, where: str, batch_size: int,
              last_good: str) -> OutOfMemory:
    """`error`, which came up at `where` on `device`, with the sizes that there are to tell."""
    return OutOfMemory(f"training stopped: out of memory on {device} at {where}, with batches of "
                       f"{batch_size}: {_memory_sizes(error, device)}{last_good}", batch_size)


def _memory_sizes(error: MemoryError, device: str) -> str:
    text = " ".join(str(error).split())
    if device == "cpu":                     # NumPy says how much it wanted, and for what shape
        return text or "Python got no memory from the system"
    asked = re.search(r"allocating ([\d,]+) bytes", text)      # CuPy
    used, free, total = gpu_memory()
    return (f"{size(int(asked[1].replace(',', ''))) + ' asked for' if asked else text}, "
            f"{size(used)} in use by this process's arrays, {size(free)} free of {size(total)}")


def size(count: int) -> str:
    """``1.50 GB``: bytes in the largest unit of 1000 that leaves a number of at least 1."""
    for power, unit in ((3, "GB"), (2, "MB"), (1, "kB")):
        if count >= 1000**power:
            return f"{count / 1000**power:.3g} {unit}"
    return f"{count} bytes"
