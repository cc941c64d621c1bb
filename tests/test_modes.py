"""The switches as decorators: no_grad, enable_grad, keep, set_grad_enabled."""

from __future__ import annotations

import threading

import pytest

import minidl
from minidl.explain.keeping import KEEPER
from minidl.modes import mode

w = minidl.ones(2, requires_grad=True)
SWITCHES = {                              # (the decorator, what it sets, the field's value inside)
    "no_grad": (minidl.no_grad, "grad", False),
    "enable_grad": (minidl.enable_grad, "grad", True),
    "keep": (minidl.keep, "watchers", (KEEPER,)),
    "set_grad_enabled": (lambda: minidl.set_grad_enabled(False), "grad", False),
}
every_switch = pytest.mark.parametrize("make, field, value", SWITCHES.values(), ids=SWITCHES)


@pytest.fixture(autouse=True)
def _other_way(request):
    """Outside, the field has the other value: enable_grad is tried under no_grad."""
    before, params = mode.grad, getattr(request.node, "callspec", None)
    if params and params.id.startswith("enable_grad"):
        mode.grad = False
    yield
    mode.grad = before


@every_switch
def test_a_generators_body_runs_inside_and_its_caller_outside(make, field, value):
    seen = []

    @make()
    def steps(n):
        """Counts."""
        for i in range(n):
            seen.append(getattr(mode, field))
            got = yield i
            seen.append(getattr(mode, field))
            if got == "stop":
                return "stopped"
        return "done"

    outside = getattr(mode, field)
    assert outside != value and steps.__doc__ == "Counts."
    for _ in steps(3):
        assert getattr(mode, field) == outside
    assert len(seen) == 6 and set(seen) == {value}
    walk = steps(5)
    assert next(walk) == 0 and walk.send(None) == 1
    with pytest.raises(StopIteration) as end:
        walk.send("stop")
    assert end.value.value == "stopped" and set(seen) == {value}
    assert getattr(mode, field) == outside

    def through():
        return (yield from steps(1))
    walk = through()
    next(walk)
    with pytest.raises(StopIteration, match="done"):
        next(walk)


@every_switch
def test_what_is_thrown_in_and_closing_arrive_inside(make, field, value):
    seen, outside = [], getattr(mode, field)

    @make()
    def waiting():
        try:
            while True:
                try:
                    yield getattr(mode, field)
                except KeyError:
                    seen.append(getattr(mode, field))
        finally:
            seen.append(getattr(mode, field))

    walk = waiting()
    assert next(walk) == value
    assert walk.throw(KeyError("x")) == value
    walk.close()
    assert seen == [value, value] and getattr(mode, field) == outside
    walk = waiting()
    next(walk)
    with pytest.raises(ZeroDivisionError):
        walk.throw(ZeroDivisionError())
    assert seen == [value] * 3 and getattr(mode, field) == outside

    @make()
    def failing():
        yield 1
        raise ValueError("inside")
    with pytest.raises(ValueError, match="inside"):
        list(failing())
    assert getattr(mode, field) == outside


@every_switch
def test_functions_and_methods(make, field, value):
    class Thing:
        @make()
        def of(self, n):
            return getattr(mode, field), n, self

        @make()
        def each(self):
            yield getattr(mode, field), self

    thing, outside = Thing(), getattr(mode, field)
    assert thing.of(3) == (value, 3, thing)
    assert list(thing.each()) == [(value, thing)]
    assert getattr(mode, field) == outside


@every_switch
def test_async_functions_are_refused(make, field, value):
    async def plain():
        pass

    async def generator():
        yield
    for f in (plain, generator):
        with pytest.raises(TypeError, match=f"{f.__name__}: an async function cannot be decorated"):
            make()(f)


def test_a_generator_under_no_grad_records_no_graph():
    @minidl.no_grad()
    def doubled():
        yield w * 2
        yield w * 3
    found = []
    for y in doubled():
        found.append(y.requires_grad)
        assert (w * 2).requires_grad
    assert found == [False, False]


def test_two_threads_share_a_decorated_generator():
    @minidl.no_grad()
    def steps():
        for _ in range(50):
            yield mode.grad
    results = []
    threads = [threading.Thread(target=lambda: results.append((set(steps()), mode.grad)))
               for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert results == [({False}, True)] * 4


def test_different_switches_of_a_generator_all_hold():
    @minidl.no_grad()
    @minidl.keep()
    def both():
        yield mode.grad, mode.watchers
        yield mode.grad, mode.watchers

    assert list(both()) == [(False, (KEEPER,))] * 2
    assert (mode.grad, mode.watchers) == (True, ())


def test_decorators_without_parentheses():
    @minidl.no_grad
    def off():
        return mode.grad

    @minidl.keep
    def kept():
        return mode.watchers

    assert off() is False and kept() == (KEEPER,) and mode.grad is True
