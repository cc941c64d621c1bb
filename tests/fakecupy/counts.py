"""What is refused without an error of CuPy's, and what a block makes the device do."""

from __future__ import annotations

import contextlib
from collections import Counter
from types import SimpleNamespace


class Violation(AssertionError):
    """What the real CuPy lets pass, and no program should do."""


class HiddenSync(Violation):
    """The host waits for the device where it must not."""


class Counts:
    """What happened inside ``with counting():``. `launches`: kernels, fills and copies on the
    device; `syncs`: how often the host waited; `uploads`, `downloads`: copies from and to the host;
    `calls`: all of these by name."""

    def __init__(self):
        self.launches = self.syncs = self.uploads = self.downloads = 0
        self.calls: Counter[str] = Counter()

    def __repr__(self):
        return (f"{self.launches} launches, {self.syncs} syncs, {self.uploads} uploads, "
                f"{self.downloads} downloads: {dict(self.calls)}")


_open: list[Counts] = []             # the counts of all `with counting()` blocks we are in
state = SimpleNamespace(sync_forbidden=0, wrap=0)


@contextlib.contextmanager
def counting():
    """Count what the block makes the device do."""
    counts = Counts()
    _open.append(counts)
    try:
        yield counts
    finally:
        _open.remove(counts)


@contextlib.contextmanager
def _raised(name: str):
    setattr(state, name, getattr(state, name) + 1)
    try:
        yield
    finally:
        setattr(state, name, getattr(state, name) - 1)


def forbid_sync():
    """A block in which waiting for the device raises HiddenSync."""
    return _raised("sync_forbidden")


def wrapping_indices():
    """A block in which integer indices out of range wrap around silently, as in CuPy."""
    return _raised("wrap")


def launch(name: str, times: int = 1) -> None:
    for counts in _open:
        counts.launches += times
        counts.calls[name] += times


def upload(name: str) -> None:
    for counts in _open:
        counts.uploads += 1
        counts.calls[name] += 1


def sync(name: str, download: bool = False) -> None:
    if state.sync_forbidden:
        raise HiddenSync(f"{name} waits for the device")
    for counts in _open:
        counts.syncs += 1
        counts.downloads += download
        counts.calls[name] += 1
