"""What a recording keeps of what it is given, be it as odd as it may: steps of optimisers, an op's
arguments, frames; and proofs of it in several threads."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import minidl
from minidl import kernels, optim
from minidl.explain.facts import Facts


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
