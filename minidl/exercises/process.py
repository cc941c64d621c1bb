"""A process of its own for a student's file: started with limits, ended, and its arrays read.

The process is given inputs and nothing else. What it writes is not trusted: arrays are read back
from .npy records, without pickle and within bounds, once the process and what it started have been
killed, and what it prints is set off and escaped.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..files.regular import shown
from .child import SPACE

MOST_PRINTED = 10_000                                  # bytes of what a file prints
POSIX = os.name == "posix"
BLAS_LIBRARIES = ("OPENBLAS", "MKL", "OMP")            # a thread of BLAS reserves address space


def run_solution(task: dict[str, Any], timeout: float,
                 most: int) -> tuple[list[np.ndarray], tuple[str, str] | None]:
    """The arrays, `most` at most, that the file of `task` answers with within `timeout` seconds;
    and a problem, kind and sentence, where the process did not end by itself and with status 0.

    Its prints go to standard error when the process is dead, at most MOST_PRINTED bytes of them.
    """
    environment = {**os.environ, **{f"{name}_NUM_THREADS": "1" for name in BLAS_LIBRARIES},
                   "PYTHONIOENCODING": "utf-8:backslashreplace"}
    group = {"start_new_session": True} if POSIX else {
        "creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
    with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as answered, \
            tempfile.TemporaryFile() as printed:
        asked.write(json.dumps({**task, "timeout": timeout}).encode())
        asked.seek(0)
        child = subprocess.Popen(
            [sys.executable, "-u", "-W", "ignore", str(Path(__file__).with_name("child.py"))],
            stdin=asked, stdout=answered, stderr=printed, env=environment, **group)
        end, problem = time.monotonic() + timeout, None
        try:
            while child.poll() is None and not problem:
                if time.monotonic() > end:
                    problem = ("time", f"There is no answer after {timeout:g} s: a loop does not "
                               "end, or a longer --timeout is needed")
                elif max(map(_size, (answered, printed))) > SPACE:     # where the system lets it
                    problem = ("ended", f"The file prints more than {SPACE >> 20} MB")
                time.sleep(0.005)
        finally:
            _kill(child)
        _show(printed)
        if not problem and child.returncode:
            problem = ("ended", "The program ends before the function has answered "
                       f"(exit status {child.returncode})")
        return list(itertools.islice(npy_records(answered), most)), problem


def _size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def _kill(child: subprocess.Popen) -> None:
    """The process, and on POSIX its group: what it has started and left behind."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if POSIX:
            os.killpg(child.pid, signal.SIGKILL)
    child.kill()
    child.wait()


def _show(printed: BinaryIO) -> None:
    printed.seek(0)
    size, text = _size(printed), printed.read(MOST_PRINTED).decode(errors="backslashreplace")
    for line in text.removesuffix("\n").split("\n") if text else ():
        print(f"  | {shown(line.expandtabs().rstrip())}", file=sys.stderr)
    if size > MOST_PRINTED:
        print(f"  | ... ({size:,} bytes in all)", file=sys.stderr)


def npy_records(file: BinaryIO) -> Iterator[np.ndarray]:
    """The .npy records of a file, up to the first that is none."""
    size = min(_size(file), SPACE)
    file.seek(0)
    with contextlib.suppress(Exception):               # whatever cannot be read is no answer
        while file.tell() < size:
            if np.lib.format.read_magic(file) != (1, 0):
                return
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
            count = int(np.prod(shape, dtype=object))
            if (dtype.kind not in "fiub" or dtype.itemsize > 8
                    or not 0 <= count * dtype.itemsize <= size - file.tell()):
                return
            yield np.frombuffer(file.read(count * dtype.itemsize), dtype).reshape(
                shape, order="F" if fortran else "C")
