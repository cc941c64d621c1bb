"""Where the time of a training step goes, op by op: ``with minidl.profile(): ...``.

A profile is one stopwatch that is always running for exactly one place: an op's forward pass, its
backward pass, a part with a name (the optimiser, the loader), or the rest. Going from one place to
another reads the clock once, so the places add up to the whole block, to the nanosecond.

An op outside all of these is a place of its own, and so is a node during ``backward()``: its
closure, and the adding up of the gradients it gives. What runs inside a place counts to that place;
ops within a backward pass are told apart below it, but are not counted again as forward ops.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from . import tape
from .optim import Optimizer
from .tape import mode

_clock = time.perf_counter_ns


class Row(NamedTuple):
    """One op on inputs of one kind. `calls` are forward calls; `inner` has, for each op that the
    backward pass calls, (calls, seconds), which are part of `backward_s`."""

    op: str
    shapes: tuple[tuple[int, ...], ...]
    dtype: str                       # the output's; "" for calls that raised
    calls: int
    forward_s: float
    backward_s: float
    inner: dict[str, tuple[int, float]]

    @property
    def total_s(self) -> float:
        """Forward and backward, in seconds."""
        return self.forward_s + self.backward_s


class _Place:
    """Calls and nanoseconds; a backward pass has ops `inner` to it."""

    def __init__(self, inner: dict[str, _Place] | None = None):
        self.calls = self.ns = 0
        self.inner = inner


class profile:
    """Times what this thread does in a ``with`` block, op by op, forward and backward.

    ::

        with minidl.profile():               # prints its table when the block is left
            loss = F.cross_entropy(model(x), t)
            loss.backward()

        with minidl.profile(show=False) as p:
            ...
        p.rows                               # Row(op, shapes, dtype, calls, forward_s, ...)
        print(p)

    shapes   a row for each op and shapes of its inputs; False: a row for each op and dtype
    show     print the table when the block is left, also by an exception

    ``rows`` are sorted by time, the longest first. ``parts`` has (calls, seconds) of the optimiser,
    the loader and every :func:`part`; ``rest`` the seconds of everything else: layers, the tape,
    your own Python, and most of what the profile costs, about 2 microseconds an op. All of them add
    up to ``total``, the wall time of the block, in seconds; the table is in milliseconds.

    Entered again, the same profile adds to what it has. Threads started inside are not seen. On a
    GPU an op's time is that of its launch; whatever waits next pays for the arithmetic.
    Raises RuntimeError if this thread, or this profile, is in such a block already.
    """

    def __init__(self, *, shapes: bool = True, show: bool = True):
        self._shapes, self._show = shapes, show
        self._ops: dict[tuple, tuple[_Place, _Place]] = {}
        self._parts: dict[str, _Place] = {}
        self._rest, self._here, self._since = _Place(), None, 0

    def __enter__(self) -> profile:
        if mode.profile is not None or self._here is not None:
            raise RuntimeError("profile: one is running already; profiles do not nest")
        _switch_on()
        mode.profile, self._here, self._since = self, self._rest, _clock()
        return self

    def __exit__(self, *exc: Any) -> None:
        self._go_to(self._rest)
        mode.profile = self._here = None
        _switch_off()
        if self._show:
            print(self)

    # ------------------------------------------------------------------ the stopwatch
    def _go_to(self, place: _Place) -> None:
        now = _clock()
        self._here.ns += now - self._since
        self._here, self._since = place, now

    def _op(self, name: str, shapes: tuple, dtype: Any) -> tuple[_Place, _Place]:
        """The places of an op's forward and backward pass."""
        key = name, shapes if self._shapes else (), dtype
        found = self._ops.get(key)
        if found is None:
            found = self._ops[key] = _Place(), _Place({})
        return found

    # ------------------------------------------------------------------ the results
    @property
    def rows(self) -> list[Row]:
        """The ops, the one that took longest first."""
        rows = [Row(name.strip("_"), shapes, "" if dtype is None else str(dtype), forward.calls,
                    _total([forward]), _total([backward]), _seconds(backward.inner))
                for (name, shapes, dtype), (forward, backward) in self._ops.items()]
        return sorted(rows, key=lambda row: row.total_s, reverse=True)

    @property
    def parts(self) -> dict[str, tuple[int, float]]:
        """(calls, seconds) of each named part."""
        return _seconds(self._parts)

    @property
    def rest(self) -> float:
        """Seconds of everything that is neither an op nor a part."""
        return _total([self._rest])

    @property
    def total(self) -> float:
        """Seconds in all: the wall time of the block."""
        ops = [place for pair in self._ops.values() for place in pair]
        return _total([*ops, *self._parts.values(), self._rest])

    def __str__(self) -> str:
        whole = self.total or 1.0
        lines = [("op, shapes of its inputs", "calls", "forward ms", "backward ms", "ms", "share")]

        def add(label: str, calls: int | str, forward: float | None, backward: float | None,
                seconds: float) -> None:
            columns = ["" if s is None else f"{1000 * s:.2f}" for s in (forward, backward, seconds)]
            lines.append((label, str(calls), *columns, f"{100 * seconds / whole:.1f} %"))

        rows = self.rows
        long = [row for row in rows if row.total_s >= _SHORT * whole]
        short = rows[len(long):]
        for row in long:
            add(_label(row), row.calls, row.forward_s, row.backward_s, row.total_s)
            for name, (calls, seconds) in row.inner.items():
                if seconds >= _INNER * whole:
                    add(f"    in backward: {name}", calls, None, seconds, seconds)
        if short:
            add(f"{len(short)} more, each below {100 * _SHORT:g} %", sum(r.calls for r in short),
                sum(r.forward_s for r in short), sum(r.backward_s for r in short),
                sum(r.total_s for r in short))
        for name, (calls, seconds) in self.parts.items():
            add(name, calls, None, None, seconds)
        add("everything else (Python between the ops)", "", None, None, self.rest)
        add("total", "", None, None, self.total)
        return _aligned(lines)

    def __repr__(self) -> str:
        return f"<profile: {len(self._ops)} rows, {1000 * self.total:.2f} ms>"


_SHORT = 0.001      # ops below this share of the whole have one line together
_INNER = 0.01       # and ops within a backward pass none


def _total(places: list[_Place]) -> float:
    return sum(place.ns for place in places) / 1e9


def _seconds(places: dict[str, _Place]) -> dict[str, tuple[int, float]]:
    return {name: (place.calls, place.ns / 1e9) for name, place in places.items()}


def _label(row: Row) -> str:
    shown = row.shapes if len(row.shapes) <= 4 else row.shapes[:2]
    words = [row.op, *[f"({','.join(map(str, shape))})" for shape in shown]]
    if len(shown) < len(row.shapes):
        words.append(f"and {len(row.shapes) - len(shown)} more")
    return " ".join(words + ([] if row.dtype == "float32" else [row.dtype or "(raised)"]))


def _aligned(lines: list[tuple[str, ...]]) -> str:
    """Columns of equal width, the first to the left, the numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join("  ".join([line[0].ljust(widths[0]),
                                *[text.rjust(w) for text, w in zip(line[1:], widths[1:])]])
                     for line in lines)


# --------------------------------------------------------------------------- what is timed
@contextmanager
def part(name: str) -> Iterator[None]:
    """What runs inside has a row of its own, `name`: ``with part("augmentation"): ...``, or as a
    decorator. Within an op or another part, and without a profile, nothing happens."""
    p = mode.profile
    if p is None or p._here is not p._rest:
        yield
        return
    place = p._parts.setdefault(name, _Place())
    place.calls += 1
    p._go_to(place)
    try:
        yield
    finally:
        p._go_to(p._rest)


def _forward(entry, inputs, forward, args, options):
    """Call an op's function, `forward`."""
    p = mode.profile
    if p is None or (p._here is not p._rest and p._here.inner is None):
        return forward(*args, **options)
    here, place, dtype = p._here, _Place(), None     # a new place: its row depends on the result
    p._go_to(place)
    try:
        result = forward(*args, **options)
        y = result[0] if type(result) is tuple else None
        dtype = getattr(y[0] if type(y) is tuple else y, "dtype", None)
        return result
    finally:
        p._go_to(here)
        if here is p._rest:
            found, _ = p._op(entry.name, tuple([x.data.shape for x in inputs]), dtype)
        else:
            found = here.inner.setdefault(entry.name.strip("_"), _Place())
            here.ns += place.ns                      # the backward pass's time has that of its ops
        found.calls += 1
        found.ns += place.ns


@contextmanager
def _nodes(nodes):
    """The nodes that backward is to run; each one's time goes on until the next is taken."""
    p = mode.profile
    if p is None or p._here is not p._rest:
        yield nodes
        return

    def one_by_one():
        for node in nodes:
            p._go_to(p._op(node.op.name, node.shapes, node.dtype)[1])
            yield node

    try:
        yield one_by_one()
    finally:
        p._go_to(p._rest)


def _batches(batches):
    """DataLoader._batches, each batch a call of the part "loading"."""
    def timed(self, epoch, start):
        made = batches(self, epoch, start)
        for _ in range(start, len(self)):
            with part("loading"):
                batch = next(made)
            yield batch
    return timed


# --------------------------------------------------------------------------- on and off
_lock, _before, _running = threading.Lock(), [], 0


def _switch_on() -> None:
    """Put the functions above in the place of those they time, unless another thread did."""
    global _running
    from .data import DataLoader  # here: `import minidl` needs no data

    with _lock:
        _running += 1
        if _running == 1:
            for where, name, timed in (
                    (tape, "timed_forward", _forward), (tape, "timed_nodes", _nodes),
                    (Optimizer, "_step", part("optimiser")(Optimizer._step)),
                    (DataLoader, "_batches", _batches(DataLoader._batches))):
                _before.append((where, name, getattr(where, name)))
                setattr(where, name, timed)


def _switch_off() -> None:
    global _running
    with _lock:
        _running -= 1
        if _running == 0:
            while _before:
                setattr(*_before.pop())
