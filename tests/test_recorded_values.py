"""What a recording keeps of what it is given, be it as odd as it may: steps of optimisers, an op's
arguments, frames; and proofs of it in several threads."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import minidl
from minidl import kernels, optim
from minidl.explain.facts import Facts
from minidl.explain.trace import Trace


# --------------------------------------------------------------------------- the first step
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("gradients", [(0, 0, 1), (0, 1, 2), (1, 0, 2), (1, -1, 3)])
def test_a_first_step_is_one_wherever_it_is_told(gradients, nesterov):
    """Of momentum with dampening: a buffer of zeros is no sign of a first step."""
    w = minidl.tensor(np.array([1.0, 2.0]), requires_grad=True)
    options = {"nesterov": True} if nesterov else {"dampening": 0.5}
    optimizer = optim.SGD([w], lr=0.1, momentum=0.9, **options)
    with minidl.record() as trace:
        for factor in gradients:
            optimizer.zero_grad()
            (w * factor).sum().backward()
            optimizer.step()
    updates = [(n, e) for n, e in enumerate(trace.events, 1) if e["phase"] == "update"]
    assert [e["first"] for _, e in updates] == [True, False, False]
    assert not [c for c in trace.check() if c["status"] == "fail"]
    assert all(Facts(trace).of(n).compared[1] for n, _ in updates)


def test_a_first_step_comes_late_where_momentum_does():
    """Momentum that is switched on at the third step begins with its gradient there, and there
    alone."""
    w = minidl.tensor(np.array([1.0, 2.0]), requires_grad=True)
    optimizer = optim.SGD([w], lr=0.1, momentum=0.0, dampening=0.5)
    with minidl.record() as trace:
        for k in range(4):
            optimizer.param_groups[0]["momentum"] = 0.9 if k > 1 else 0.0
            optimizer.zero_grad()
            (w * w * (k + 1)).sum().backward()
            optimizer.step()
    updates = [(n, e) for n, e in enumerate(trace.events, 1) if e["phase"] == "update"]
    assert [e["first"] for _, e in updates[2:]] == [True, False]
    assert not [c for c in trace.check() if c["status"] == "fail"]
    assert all(Facts(trace).of(n).compared[1] for n, _ in updates)


# --------------------------------------------------------------------------- threads
def test_checks_in_threads_leave_the_kernels_alone():
    w = minidl.rand(3, 4, requires_grad=True)
    with minidl.record() as trace:
        (w @ w.mT).tanh().sum().backward()
    seen, before = set(), kernels.kernels_in_use()
    threads = [threading.Thread(target=trace.check) for _ in range(4)]
    [t.start() for t in threads]
    while any(t.is_alive() for t in threads):
        seen.add(kernels.kernels_in_use())
    [t.join() for t in threads]
    assert seen | {kernels.kernels_in_use()} == {before}
    assert {c["status"] for c in trace.checks} == {"pass"}


def test_a_threads_kernels_are_its_own():
    x, before = np.ones(10**5, np.float32), kernels.kernels_in_use()
    try:
        kernels.use_kernels("fast")
        with kernels.kernels_of_thread("reference"):
            with kernels.kernels_of_thread("fast"):
                assert kernels.kernels_in_use() == "fast"
            assert kernels.kernels_in_use() == "reference"
            assert kernels.replacement("_relu", (x,)) is None
            found = []
            other = threading.Thread(target=lambda: found.append(
                (kernels.kernels_in_use(), kernels.replacement("_relu", (x,)))))
            other.start()
            other.join()
            assert found == [("fast", kernels.CPU["_relu"])]
            kernels.use_kernels("reference")              # of the process, and it stays
        assert kernels.kernels_in_use() == "reference"
    finally:
        kernels.use_kernels(before)
    with pytest.raises(ValueError, match="kernels_of_thread: expected one of fast, reference"):
        with kernels.kernels_of_thread("quick"):
            pass


# --------------------------------------------------------------------------- odd values
@minidl.op()
def _given(x, option):
    def backward(gy):
        return gy
    return x.data * 1, backward


def saved_and_read(trace, tmp_path) -> None:
    """As a page and as a file, which is read again."""
    trace.save(tmp_path / "run.html")
    trace.save(tmp_path / "run.json")
    again = Trace.load(tmp_path / "run.json")
    assert (again.ops, again.events, again.frames) == (trace.ops, trace.events, trace.frames)


CYCLE: list = []
CYCLE.append(CYCLE)
DEEP: tuple = ()
for _ in range(50):
    DEEP = (DEEP,)
ODD = [np.float32("nan"), np.float64("inf"), np.longdouble(2), np.int8(3), np.bool_(True), 10**30,
       -(10**19), 10**6000, slice(0, sys.maxsize), slice(np.int64(1), None), slice(0.5, 2),
       slice("a", None), 1j, np.complex64(1j), np.datetime64("2020-01-01"), np.str_("mean"),
       b"bytes", {"a": 1}, {1, 2}, object(), len, float("nan"), np.dtype("complex64"),
       np.dtype(">f4"), np.dtype("f4"), np.float32, CYCLE, DEEP, ("a", (1, np.float32("inf"))),
       Ellipsis, None, Path("/home/me/secret"), "/home/me/secret", str(Path.home() / "secret"),
       type("x\x1b[31m", (), {})()]


@pytest.mark.parametrize("value", ODD, ids=range(len(ODD)))
def test_whatever_an_op_is_given_is_saved_and_read(value, tmp_path):
    w = minidl.ones(2, requires_grad=True)
    optimizer = optim.SGD([w], lr=0.1)
    with minidl.record() as trace:
        _given(w, value).sum().backward()
        optimizer.param_groups[0]["mine"] = value
        optimizer.step()
    saved_and_read(trace, tmp_path)
    text = json.dumps([trace.ops, trace.events])
    assert "secret" not in text and " at 0x" not in text
    assert not [c for c in trace.check() if c["status"] == "fail"]


@pytest.mark.parametrize("step", [-1, 1.5, "3", None, True, 10**30])
def test_a_frames_step_is_a_whole_number(step):
    with minidl.record() as trace:
        minidl.ones(2) * 2
    with pytest.raises((TypeError, ValueError), match="frame: step must be"):
        trace.frame(step, loss=1.0)
    assert trace.frames == []


@pytest.mark.parametrize("value", ["abc", None, 1j, {"a": 1}, [[1], [1, 2]], object(), 10**30,
                                   np.array([None]), np.datetime64("2020-01-01")])
def test_a_frame_holds_numbers(value):
    with minidl.record() as trace:
        minidl.ones(2) * 2
    with pytest.raises(TypeError, match="frame: note must be a number, or numbers in an array"):
        trace.frame(1, note=value)
    assert trace.frames == []


def test_a_frames_numbers_are_saved_and_read(tmp_path):
    with minidl.record() as trace:
        minidl.ones(2) * 2
    trace.frame(np.int64(3), loss=np.float32(0.5), bad=float("nan"), count=np.uint8(2), yes=True,
                image=minidl.ones(2, 2), half=np.ones(2, np.float16), row=[1, 2], far=-np.inf)
    saved_and_read(trace, tmp_path)


def test_an_explanation_does_not_tell_folders():
    folder = str(Path(__file__).resolve().parent)
    with minidl.keep():
        x = minidl.ones(2, 2)
        y = x @ x
    text = y.explain(0, 0).to_json()
    assert "test_recorded_values.py" in text and folder not in text
