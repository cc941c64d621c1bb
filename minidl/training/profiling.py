"""Where the time of a training step goes, op by op: ``with minidl.profile(): ...``.

A profile is one stopwatch that is always running for exactly one place: an op's forward pass, its
backward pass, a phase (the optimiser, the loader), or the rest. Going from one place to another
reads the clock once, so the places add up to the whole block, to the nanosecond.

An op outside all of these is a place of its own, and so is a node during ``backward()``: its
closure, and the adding up of the gradients it gives. What runs inside a place counts to that place;
ops within a backward pass are told apart below it, but are not counted again as forward ops. The
profile is a watcher of the engine, which tells it where the program is.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..modes import mode
from ..watch import Watcher, Watching

if TYPE_CHECKING:
    from ..op import Op
    from ..optim import Optimizer
    from ..tape import Node
    from ..tensor import Tensor

__all__ = ["Row", "profile"]

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


class profile(Watcher):
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
    the loader and every other phase (:func:`minidl.modes.phase`); ``rest`` the seconds of all else:
    layers, your own Python, and most of what the profile costs, about 2 microseconds an op. All of
    them add up to ``total``, the wall time of the block, in seconds; the table is in milliseconds.

    Entered again, the same profile adds to what it has. Threads started inside are not seen. On a
    GPU an op's time is that of its launch; whatever waits next pays for the arithmetic.
    Raises RuntimeError if this thread, or this profile, is in such a block already.
    """

    inside_backward = True

    def __init__(self, *, shapes: bool = True, show: bool = True):
        self._shapes, self._show = shapes, show
        self._ops: dict[tuple, tuple[_Place, _Place]] = {}
        self._parts: dict[str, _Place] = {}
        self._rest, self._here, self._since = _Place(), None, 0
        self._left: list[_Place | None] = []       # where to go back to; None: nowhere was gone to
        self._passes: list[int] = []               # how many there were when a pass began
        self._watching = Watching(self)

    def __enter__(self) -> profile:
        if self._here is not None or any(isinstance(w, profile) for w in mode.watchers):
            raise RuntimeError("profile: one is running already; profiles do not nest")
        self._watching.__enter__()
        self._here, self._since = self._rest, _clock()
        return self

    def __exit__(self, *exc: Any) -> None:
        self._go_to(self._rest)
        self._watching.__exit__()
        self._here = None
        self._left.clear()
        self._passes.clear()
        if self._show:
            print(self)

    # ------------------------------------------------------------------ the stopwatch
    def _go_to(self, place: _Place) -> None:
        now = _clock()
        self._here.ns += now - self._since
        self._here, self._since = place, now

    def _enter(self, place: _Place | None) -> None:
        """Go to a place, or (None) stay in this one."""
        self._left.append(None if place is None else self._here)
        if place is not None:
            self._go_to(place)

    def _leave(self) -> _Place | None:
        """Go back to where the last :meth:`_enter` came from; what it went to, if anywhere."""
        before = self._left.pop() if self._left else None      # (it may be from before the profile)
        left = self._here
        if before is not None:
            self._go_to(before)
        return None if before is None else left

    def _op(self, name: str, shapes: tuple, dtype: Any) -> tuple[_Place, _Place]:
        """The places of an op's forward and backward pass."""
        key = name, shapes if self._shapes else (), dtype
        found = self._ops.get(key)
        if found is None:
            found = self._ops[key] = _Place(), _Place({})
        return found

    # ------------------------------------------------------------------ what the engine tells
    def op_begins(self, op: Op, inputs: Sequence[Tensor]) -> None:
        counted = self._here is self._rest or self._here.inner is not None
        self._enter(_Place() if counted else None)         # its row depends on the result

    def op_ends(self, op: Op, args: Sequence, inputs: Sequence[Tensor],
                outputs: Sequence[Tensor]) -> None:
        place = self._leave()
        if place is None:
            return
        if self._here is self._rest:
            found, _ = self._op(op.name, tuple([x.data.shape for x in inputs]),
                                outputs[0].data.dtype if outputs else None)
        else:
            found = self._here.inner.setdefault(op.name, _Place())
            self._here.ns += place.ns                      # the backward pass's time has its ops'
        found.calls += 1
        found.ns += place.ns

    def backward_begins(self, outputs: Sequence[Tensor], gradients: Sequence[Tensor],
                        deposits: bool) -> None:
        self._passes.append(len(self._left))

    def backward_ends(self) -> None:
        before = self._passes.pop() if self._passes else 0
        while len(self._left) > before:                    # of a node that raised
            self._leave()

    def node_begins(self, node: Node, gy: Tensor) -> None:
        self._enter(self._op(node.op.name, tuple([s for s in node.shapes if s is not None]),
                             node.dtype)[1]
                    if self._here is self._rest else None)

    def node_ends(self, node: Node) -> None:
        self._leave()

    def phase_begins(self, name: str) -> None:
        self._enter(self._parts.setdefault(name, _Place()) if self._here is self._rest else None)
        if self._left[-1] is not None:
            self._here.calls += 1

    def phase_ends(self, name: str) -> None:
        self._leave()

    def update_begins(self, optimizer: Optimizer, moved: list) -> None:
        self.phase_begins("optimiser")

    def update_ends(self, optimizer: Optimizer, moved: list) -> None:
        self._leave()

    # ------------------------------------------------------------------ the results
    @property
    def rows(self) -> list[Row]:
        """The ops, the one that took longest first."""
        rows = [Row(name, shapes, "" if dtype is None else str(dtype), forward.calls,
                    _total_seconds([forward]), _total_seconds([backward]), _seconds(backward.inner))
                for (name, shapes, dtype), (forward, backward) in self._ops.items()]
        return sorted(rows, key=lambda row: row.total_s, reverse=True)

    @property
    def parts(self) -> dict[str, tuple[int, float]]:
        """(calls, seconds) of each named part."""
        return _seconds(self._parts)

    @property
    def rest(self) -> float:
        """Seconds of everything that is neither an op nor a part."""
        return _total_seconds([self._rest])

    @property
    def total(self) -> float:
        """Seconds in all: the wall time of the block."""
        ops = [place for pair in self._ops.values() for place in pair]
        return _total_seconds([*ops, *self._parts.values(), self._rest])

    def __str__(self) -> str:
        whole = self.total or 1.0
        lines = [("op, shapes of its inputs", "calls", "forward ms", "backward ms", "ms", "share")]

        def add(label: str, calls: int | str, forward: float | None, backward: float | None,
                seconds: float) -> None:
            columns = ["" if s is None else f"{1000 * s:.2f}" for s in (forward, backward, seconds)]
            lines.append((label, str(calls), *columns, f"{100 * seconds / whole:.1f} %"))

        rows = self.rows
        long = [row for row in rows if row.total_s >= _SMALL * whole]
        short = rows[len(long):]
        for row in long:
            add(_label(row), row.calls, row.forward_s, row.backward_s, row.total_s)
            for name, (calls, seconds) in row.inner.items():
                if seconds >= _INNER * whole:
                    add(f"    in backward: {name}", calls, None, seconds, seconds)
        if short:
            add(f"{len(short)} more, each below {100 * _SMALL:g} %", sum(r.calls for r in short),
                sum(r.forward_s for r in short), sum(r.backward_s for r in short),
                sum(r.total_s for r in short))
        for name, (calls, seconds) in self.parts.items():
            add(name, calls, None, None, seconds)
        add("everything else (Python between the ops)", "", None, None, self.rest)
        add("total", "", None, None, self.total)
        return _aligned(lines)

    def __repr__(self) -> str:
        return f"<profile: {len(self._ops)} rows, {1000 * self.total:.2f} ms>"


_SMALL = 0.001      # ops below this share of the whole have one line together
_INNER = 0.01       # and ops within a backward pass none


def _total_seconds(places: list[_Place]) -> float:
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
