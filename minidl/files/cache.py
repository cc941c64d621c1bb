"""The folder for what minidl can make again: unpacked data, compiled kernels."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cache_folder() -> Path:
    """Where minidl keeps what it can make again: MINIDL_CACHE, or the system's place for it."""
    if chosen := os.environ.get("MINIDL_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        base = Path("~/Library/Caches")
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or "~/AppData/Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    return base.expanduser() / "minidl"


def make_private(folder: Path) -> None:
    """Make a folder in the cache, and what is missing above it, for this user alone (mode 0700, as
    the XDG standard asks of whoever makes these folders)."""
    if not folder.is_dir():
        make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
