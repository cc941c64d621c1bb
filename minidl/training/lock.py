"""A lock on a folder: a file there that the system locks, with the holder's name as its text.

The system frees the lock when the process ends, however it ends. So a file that a kill left behind
keeps nobody out.
"""

from __future__ import annotations

import contextlib
import os
import platform
import time
from pathlib import Path

from ..files.regular import shown

try:
    import fcntl
except ImportError:                          # Windows has msvcrt for that
    fcntl = None


class Lock:
    """Taken by :meth:`take`, given back by :meth:`free`, or when nobody holds this object."""

    def __init__(self, path: Path) -> None:
        self.path, self.file, self.owner = path, None, 0

    def take(self) -> None:
        """Raises BlockingIOError that names the holder, if another one has the lock (of this
        process too), OSError where no file can be written."""
        if self.file is not None:
            return
        for attempt in range(6):             # one who only tidies up has the lock for a moment
            file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                if _locked(file):
                    # Was it removed by the one who had it, before it was locked here?
                    if _same_file(file, self.path):
                        self.file, self.owner = file, os.getpid()
                        return self._sign()
                elif attempt == 5:
                    raise BlockingIOError(
                        f"run: {self.path.parent} is in use by {_holder_name(file)}; wait for its "
                        "end or stop it (evaluate and sample work meanwhile)")
            except BaseException:
                os.close(file)
                raise
            os.close(file)
            time.sleep(0.05 * attempt)
        raise BlockingIOError(f"run: {self.path.parent} is in use by others, one after another")

    def _sign(self) -> None:
        text = (f"process {self.owner} on {platform.node() or 'this machine'} since "
                f"{time.strftime('%Y-%m-%d %H:%M:%S')}\n")
        with contextlib.suppress(OSError):   # a full disk: a lock without a name
            os.ftruncate(self.file, 0)
            os.write(self.file, text.encode())

    def free(self) -> None:
        """Give the lock back. A fork of the process that took it only forgets it."""
        if self.file is None:
            return
        file, self.file = self.file, None
        if self.owner == os.getpid():
            with contextlib.suppress(OSError):
                self.path.unlink()           # before it is unlocked: nobody else's is removed
        os.close(file)
        if fcntl is None:                    # Windows removes no file that is open
            with contextlib.suppress(OSError):
                self.path.unlink()

    def __del__(self) -> None:
        self.free()


def _locked(file: int) -> bool:
    """Lock an open file, if nobody has. A file system that knows no locks refuses nobody."""
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            import msvcrt
            os.lseek(file, 2**30, os.SEEK_SET)     # not the text: on Windows it could not be read
            try:
                msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
            except OSError:
                return False
            os.lseek(file, 0, os.SEEK_SET)
    except BlockingIOError:
        return False
    except (OSError, ImportError):
        return True
    return True


def _same_file(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except OSError:
        return False


def _holder_name(file: int) -> str:
    """The text of a lock file, as far as it can be shown."""
    with contextlib.suppress(OSError):
        os.lseek(file, 0, os.SEEK_SET)
        text = os.read(file, 200).decode(errors="replace")
        return shown(text.strip()) or "another process"
    return "another process"
