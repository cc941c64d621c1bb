"""Memory that is freed is kept for the next step.

A training step makes and frees the same large arrays again and again. With glibc's default
settings each of them is mapped from the system, zeroed page by page, and unmapped again; that is
up to 40 % of a step. :func:`keep_freed_memory` asks glibc to keep what is freed, which holds for
the whole process. MINIDL_MALLOC=default leaves its settings alone, and on other systems nothing is
done.
"""

from __future__ import annotations

import ctypes
import os
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_TOP_PAD = -1, -3, -2    # from glibc's malloc.h


def keep_freed_memory() -> bool:
    """Raise glibc's thresholds; whether that was done."""
    if not sys.platform.startswith("linux") or os.environ.get("MINIDL_MALLOC") == "default":
        return False
    try:
        libc = ctypes.CDLL(None)
        libc.gnu_get_libc_version          # noqa: B018  raises AttributeError if it is no glibc
        # Older versions refuse a threshold above 32 MiB; the others help only beside it.
        return bool((libc.mallopt(M_MMAP_THRESHOLD, 2**30) or libc.mallopt(M_MMAP_THRESHOLD, 2**25))
                    and libc.mallopt(M_TOP_PAD, 2**26)
                    and libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
    except (OSError, AttributeError):
        return False
