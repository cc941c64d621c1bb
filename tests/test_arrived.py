"""Which contributions a gradient is the sum of: of each that arrives, and of each update."""

from __future__ import annotations

import numpy as np
import pytest

import minidl
from minidl import functional as F
from minidl import nn, optim
from minidl.explain.arrived import arrived
from minidl.explain.facts import Facts
from minidl.explain.recorded import RecordedGradient


def added(trace, places) -> np.ndarray:
    """The sum of these contributions."""
    return sum(trace.arrays[trace.events[place]["contribution"]] for place in places)


def names_of_sums(trace, name: str) -> list[float]:
    return [trace.arrays[e["sum"]].tolist() for e in trace.events if e["phase"] == "backward"
            and trace.nodes[e["node"]]["name"] == name]


def prove(trace) -> None:
    """Every sum, every gradient that moved a parameter, and every gradient that was left is the sum
    of the contributions that are named for it."""
    assert not [c for c in trace.check(entries=4, directions=1) if c["status"] == "fail"]
    for place, event in enumerate(trace.events):
        if event["phase"] == "backward":
            which = [*arrived(trace, event["node"], place), place]
            if event["number"] == 1 and "earlier" not in event:
                which = [place]
            np.testing.assert_allclose(added(trace, which), trace.arrays[event["sum"]], rtol=1e-5)
        elif event["phase"] == "update":
            which = arrived(trace, event["node"], place)
            assert which == [n - 1 for n in Facts(trace).came(event["node"], place + 1)]
            np.testing.assert_allclose(added(trace, which), trace.arrays[event["gradient"]],
                                       rtol=1e-5)
    for node in trace.nodes:
        if node["grad"] is not None and (which := RecordedGradient(trace, node["id"]).came()):
            np.testing.assert_allclose(added(trace, which), trace.arrays[node["grad"]], rtol=1e-5)


def test_grad_does_not_add_what_backward_left():
    w = minidl.tensor([1.0, 2.0], requires_grad=True)
    with minidl.record() as trace:
        (w * minidl.tensor([3.0, 3.0])).sum().backward()
        (found,) = minidl.grad((w * w).sum(), w)
    assert names_of_sums(trace, "w")[-1] == found.data.tolist() == [2.0, 4.0]
    node = next(n for n in trace.nodes if n["name"] == "w")
    assert trace.arrays[node["grad"]].tolist() == w.grad.data.tolist() == [3.0, 3.0]
    prove(trace)


def test_a_gradient_penalty_has_its_own_sum():
    """The slope by the images is found by grad(), after a backward() that left some in .grad."""
    critic = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1))
    x = minidl.rand(2, 1, 2, 2, requires_grad=True)
    with minidl.record() as trace:
        critic(x).sum().backward()
        (slope,) = minidl.grad(critic(x).sum(), x, create_graph=True)
        ((slope * slope).sum() + critic(x).sum()).backward()
    sums = names_of_sums(trace, "x")
    np.testing.assert_array_equal(sums[1], slope.data)
    np.testing.assert_allclose(sums[-1], x.grad.data, rtol=1e-6)
    prove(trace)


def test_a_sum_of_grad_that_has_an_earlier_gradient_in_it_is_found():
    w = minidl.tensor([1.0, 2.0], requires_grad=True)
    with minidl.record() as trace:
        (w * 3).sum().backward()
        minidl.grad((w * w * 1.0).sum(), w)
    event = [e for e in trace.events if e["phase"] == "backward"][-1]
    had = trace.arrays[event["sum"]]
    event |= {"earlier": trace.array(w.grad.data), "sum": trace.array(had + w.grad.data)}
    assert "the sum is not what had arrived" in " ".join(
        c["reason"] for c in trace.check() if c["status"] == "fail")


@pytest.mark.parametrize("to_none", [True, False])
@pytest.mark.parametrize("between", [[], ["grad"], ["step"], ["clear"], ["clear", "grad"],
                                     ["step", "clear"], ["clear", "step"], ["grad", "step"]])
def test_what_happens_between_two_passes(between, to_none):
    w = minidl.tensor(np.array([1.0, -2.0]), requires_grad=True)
    optimizer = optim.SGD([w], lr=0.125)
    do = {"grad": lambda: minidl.grad((w * w).sum(), w), "step": optimizer.step,
          "clear": lambda: optimizer.zero_grad(to_none)}
    with minidl.record() as trace:
        (w * w).sum().backward()
        for what in between:
            do[what]()
        (w * 5).sum().backward()
        optimizer.step()
    prove(trace)


def test_programs_at_random():
    chance = np.random.default_rng(0)
    for _ in range(40):
        w, v = (minidl.tensor(chance.normal(size=3), requires_grad=True) for _ in range(2))
        optimizer = optim.SGD([w, v], lr=0.01, momentum=float(chance.choice([0.0, 0.9])))
        loss = lambda: (F.tanh(w * v) * w).sum()
        do = [lambda: loss().backward(), lambda: minidl.grad(loss(), [w, v]), optimizer.step,
              lambda: optimizer.zero_grad(False), lambda: optimizer.zero_grad(True),
              lambda: minidl.grad(loss(), v), lambda: (v * 2).sum().backward()]
        with minidl.record() as trace:
            for which in chance.integers(0, len(do), 10):
                do[which]()
        prove(trace)


def test_a_pass_within_a_pass_is_counted_by_itself():
    """A hook that asks for another gradient while the first one is on its way."""
    w = minidl.tensor([1.0, 2.0], requires_grad=True)

    def hook(g):
        minidl.grad(other, w)
    with minidl.record() as trace:
        other = (w * 3).sum()
        y = w * 2
        y.register_hook(hook)
        ((w * w).sum() + y.sum() + (w * 1.0).sum()).backward()
    numbers = [(e["number"], e["of"]) for e in trace.events if e["phase"] == "backward"
               and trace.nodes[e["node"]]["name"] == "w"]
    assert sorted(numbers) == [(1, 1), (1, 4), (2, 4), (3, 4), (4, 4)]
    prove(trace)


def test_a_gradient_that_was_cleared_does_not_come_before_the_next():
    """Set to zero in place, it is there as zeros, and begins anew all the same."""
    w = minidl.tensor([1.0, 2.0], requires_grad=True)
    with minidl.record() as trace:
        (w * 2).sum().backward()
        w.grad.data[...] = 0
        (w * 3).sum().backward()
    last = len(trace.events) - 1
    assert "earlier" in trace.events[last] and trace.cleared[0]["to"] == "zero"
    node = trace.events[last]["node"]
    assert arrived(trace, node) == RecordedGradient(trace, node).came() == [last]
    facts = Facts(trace)
    assert facts.came(node, last + 2) == [last + 1]
    assert facts.of(last + 1).running[0] == "0"


def test_a_parameter_that_was_moved_keeps_its_gradient():
    w = minidl.tensor([1.0, 2.0], requires_grad=True)
    optimizer = optim.SGD([w], lr=0.5)
    with minidl.record() as trace:
        for factor in (2, 3):
            (w * factor).sum().backward()
            optimizer.step()
    first, second = (e for e in trace.events if e["phase"] == "update")
    assert first["node"] != second["node"]
    came = arrived(trace, second["node"], len(trace.events) - 1)
    assert [trace.events[place]["node"] for place in came] == [first["node"], second["node"]]
    prove(trace)


def test_a_pass_that_begins_where_another_one_came_by_is_right():
    """What an op is given is compared with what arrived in the same pass."""
    w = minidl.tensor([1.0, 2.0], requires_grad=True)
    with minidl.record() as trace:
        y = w * w
        (y * 3).sum().backward(retain_graph=True)
        y.backward(minidl.tensor([5.0, 7.0]))
    prove(trace)


def test_a_pass_that_begins_at_two_places_one_above_the_other_is_right():
    w = minidl.tensor([1.0, 2.0], requires_grad=True)
    with minidl.record() as trace:
        y = w * w
        minidl.grad([(y * y).sum(), y], w, [minidl.tensor(1.0), minidl.tensor([5.0, 7.0])])
    assert not [c for c in trace.check() if c["status"] == "fail"]
