"""The tape: order, freeing, higher derivatives, hooks, modes, ops of one's own.

Changes in place, and what a Tensor is to Python and NumPy, are in test_tensor.py.
"""

from __future__ import annotations

import gc
import inspect
import math
import sys
import threading
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl import no_grad, op
from minidl.tape import Node
from minidl.testing import check_gradients


def leaf(*numbers, dtype=np.float64):
    return minidl.tensor(np.array(numbers, dtype).squeeze(), requires_grad=True)


# --------------------------------------------------------------------------- order
def test_a_value_used_twice():
    """The case that naive walks get wrong: b must have both its gradients before it hands on."""
    a = leaf(1.0)
    b = a + a
    c = b + b
    c.backward()
    assert a.grad.item() == 4.0


def test_a_ladder_doubles_at_every_rung():
    a = leaf(1.0)
    b = a
    for _ in range(60):
        b = b + b
    b.backward()                             # 2^60 paths, 60 nodes
    assert a.grad.item() == 2.0**60


class Dual:
    """Forward mode on plain floats: the independent reference for random graphs."""

    def __init__(self, value, slope):
        self.value, self.slope = value, slope

    def __add__(self, other):
        return Dual(self.value + other.value, self.slope + other.slope)

    def __mul__(self, other):
        return Dual(self.value * other.value,
                    self.slope * other.value + self.value * other.slope)

    def tanh(self):
        t = math.tanh(self.value)
        return Dual(t, self.slope * (1 - t * t))


@given(st.lists(st.tuples(st.sampled_from("+*t"), st.integers(0, 99), st.integers(0, 99)),
                min_size=1, max_size=15), st.integers(0, 2))
def test_any_graph_equals_forward_mode(program, wanted):
    """Programs of +, * and tanh over earlier values, against dual numbers."""
    def run(values):
        values = list(values)
        for kind, i, j in program:
            a, b = values[i % len(values)], values[j % len(values)]
            values.append(a + b if kind == "+" else (a * b).tanh() if kind == "*" else a.tanh())
        return values[-1]

    inputs = [leaf(x) for x in (0.3, -0.7, 1.1)]
    y = run(inputs)
    y.backward()
    reference = run([Dual(x.item(), float(k == wanted)) for k, x in enumerate(inputs)])
    assert y.item() == pytest.approx(reference.value, rel=1e-12)
    found = inputs[wanted].grad
    assert (0.0 if found is None else found.item()) == pytest.approx(reference.slope, rel=1e-9,
                                                                     abs=1e-12)


def test_a_chain_of_100_000_ops_forward_back_and_away():
    """No recursion anywhere: not in backward, not when the graph dies."""
    x = leaf(1.0)
    y = x
    for _ in range(50_000):
        y = y * 1.0 + 1.0
    y.backward(retain_graph=True)
    assert x.grad.item() == 1.0 and y.item() == 50_001.0
    seen = weakref.ref(y.node)
    del y                                    # nothing was freed: the whole graph dies at once
    assert seen() is None


# --------------------------------------------------------------------------- freeing
def test_backward_frees_the_graph_and_says_so():
    x = leaf(2.0)
    y = (x * x).exp()
    y.backward()
    assert y.node.backward is None
    with pytest.raises(RuntimeError, match="was freed by an earlier backward.*retain_graph=True"):
        y.backward()
    z = y * 2                                # building on it is possible, going back is not
    with pytest.raises(RuntimeError, match="freed"):
        z.backward()


def test_retain_graph_runs_again_and_adds_up():
    x = leaf(3.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 12.0
    with pytest.raises(RuntimeError, match="freed"):
        y.backward()


def test_intermediates_die_during_backward_and_without_the_collector():
    gc.disable()
    try:
        x = leaf(*np.ones(10))
        inner = x * 2
        seen = weakref.ref(inner)
        loss = (inner.exp() * inner).sum()
        del inner
        assert seen() is not None            # the graph holds what backward needs
        loss.backward()
        assert seen() is None
    finally:
        gc.enable()


def test_training_steps_leave_nothing_behind():
    """Nodes and tensors after 5 and after 200 steps: as many, with the collector switched off."""
    def alive():
        return sum(issubclass(type(o), (Node, minidl.Tensor)) for o in gc.get_objects())

    w = minidl.randn(4, 3, requires_grad=True)
    gc.collect()
    gc.disable()
    try:
        counts = []
        for step in range(200):
            loss = ((minidl.ones(2, 3) @ w.T).tanh() ** 2).mean()
            loss.backward()
            with no_grad():
                w -= 0.1 * w.grad
            w.grad = None
            del loss
            if step in (5, 199):
                counts.append(alive())
        assert counts[0] == counts[1]
    finally:
        gc.enable()


# --------------------------------------------------------------------------- higher derivatives
def test_create_graph_gives_every_derivative():
    x = leaf(2.0)
    value, expected = x**4, [32.0, 48.0, 48.0, 24.0]
    for want in expected:
        (value,) = minidl.grad(value, x, create_graph=True)
        assert value.item() == pytest.approx(want)


def test_backward_with_create_graph_leaves_a_differentiable_grad():
    x = leaf(3.0)
    (x**3).backward(create_graph=True)
    assert x.grad.item() == 27.0 and x.grad.requires_grad
    first, x.grad = x.grad, None
    first.backward()
    assert x.grad.item() == 18.0


def test_hessian_vector_product_by_backward_of_backward():
    check_gradients(lambda x: (x.exp() * x.sin()).sum() * x.mean(), np.array([0.1, -0.4, 0.9]),
                    order=3)


# --------------------------------------------------------------------------- minidl.grad
def test_grad_leaves_grad_alone_and_takes_inner_tensors():
    x, w = leaf(2.0), leaf(5.0)
    h = x * w
    y = h * h
    gh, gx = minidl.grad(y, [h, x], retain_graph=True)
    assert (gh.item(), gx.item()) == (20.0, 100.0)
    assert x.grad is None and w.grad is None and h.grad is None
    (gy,) = minidl.grad(y, y)
    assert gy.item() == 1.0


def test_grad_of_several_outputs_weighted():
    x = leaf(1.0, 2.0)
    (g,) = minidl.grad([x * 2, x.sum()], [x], [minidl.tensor(np.array([1.0, 10.0])), None])
    assert g.tolist() == [3.0, 21.0]


def test_grad_runs_only_what_leads_to_the_inputs():
    calls = []

    @op
    def watched(x):
        def backward(gy):
            calls.append("ran")
            return gy
        return x.data, backward
    x, w = leaf(1.0), leaf(2.0)
    y = watched(x * 1.0) + w * 3
    assert minidl.grad(y, w, retain_graph=True)[0].item() == 3.0 and not calls
    assert minidl.grad(y, x)[0].item() == 1.0 and calls == ["ran"]


def test_grad_of_what_is_not_used():
    x, other = leaf(1.0), leaf(1.0)
    with pytest.raises(ValueError, match="grad: the outputs do not depend on input"):
        minidl.grad(x * 2, [x, other])
    used, unused = minidl.grad(x * 2, [x, other], allow_unused=True)
    assert used.item() == 2.0 and unused is None


def test_need_tells_a_backward_what_nobody_wants():
    needs = []

    @op
    def product(x, w):
        def backward(gy, need):
            needs.append(need)
            return (gy * w if need[0] else None), (gy * x if need[1] else None)
        return x.data * w.data, backward
    x, w = minidl.tensor(2.0), leaf(3.0, dtype=np.float32)
    product(x, w).backward()
    assert needs == [(False, True)] and w.grad.item() == 2.0
    a = leaf(3.0, dtype=np.float32)
    minidl.grad(product(a, w), a)
    assert needs[1] == (True, False)


# --------------------------------------------------------------------------- accumulation
def test_gradients_add_up_over_calls_and_share_no_memory():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (a + b).sum().backward()
    first = a.grad
    assert not np.shares_memory(a.grad.data, b.grad.data)
    a.grad.data[0] = 100.0
    assert b.grad.tolist() == [1.0, 1.0]
    (a * 2).sum().backward()
    assert a.grad is first and a.grad.tolist() == [102.0, 3.0]


def test_gradients_of_a_recorded_backward_share_no_memory_either():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    seed = minidl.ones(2, dtype=np.float64)
    (a + b).backward(seed, create_graph=True)
    with no_grad():
        a.grad.detach().zero_()
    assert b.grad.tolist() == [1.0, 1.0] and seed.tolist() == [1.0, 1.0]


def test_a_number_in_a_tensors_place_is_no_other_argument():
    """Small numbers are one object in Python: clamp's limit 1 is not the tensor made of input 1."""
    assert minidl.clamp(1, 1, 2).item() == 1
    assert minidl.functional.leaky_relu(-1.0, -1.0).item() == 1.0


def test_broadcast_gradients_are_summed_back():
    a, b = leaf(*np.ones((2, 1, 3))), leaf(2.0)
    (a * minidl.tensor(np.ones((4, 1, 1))) * b).sum().backward()
    assert a.grad.tolist() == [[8.0] * 3] * 2 and b.grad.item() == 24.0


def test_promotion_comes_back_in_the_inputs_dtype():
    x, w = leaf(1.0, dtype=np.float32), leaf(2.0, dtype=np.float64)
    y = x * w
    assert y.dtype == np.float64
    y.backward()
    assert (x.grad.dtype, w.grad.dtype) == (np.float32, np.float64)


# --------------------------------------------------------------------------- hooks
def test_hooks_on_leaves_and_inside():
    x = leaf(2.0)
    h = x * 3
    seen = []
    h.register_hook(lambda g: seen.append(("h", g.item())))
    x.register_hook(lambda g: seen.append(("x", g.item())))
    (h + h).backward()                       # complete when called: both uses added up
    assert seen == [("h", 2.0), ("x", 6.0)]


def test_hooks_replace_in_order_and_are_removed():
    x = leaf(2.0)
    first = x.register_hook(lambda g: g * 10)
    x.register_hook(lambda g: g + 1)
    (x * 1).backward()
    assert x.grad.item() == 11.0
    first.remove()
    first.remove()                           # a second time changes nothing
    x.grad = None
    (x * 1).backward()
    assert x.grad.item() == 2.0
    h = x * 1
    h.register_hook(lambda g: g * -1)
    x.grad = None
    (h * 5).backward()
    assert x.grad.item() == -4.0


def test_hooks_apply_in_minidl_grad_of_inner_tensors_too():
    x = leaf(2.0)
    h = x * 3
    h.register_hook(lambda g: g * 2)
    assert minidl.grad(h * 1.0, [h, x])[0].item() == 2.0


def test_retain_grad_and_keep():
    x = leaf(2.0)
    h = x * 3
    h.retain_grad()
    (h * h).backward()
    assert h.grad.item() == 12.0
    with minidl.keep():
        h = x * 3
        y = h * h
    y.backward()
    y.backward()                             # nothing was freed
    assert h.grad.item() == 24.0 and y.grad.item() == 2.0
    assert h.consumers == [y.node, y.node]   # one for each use
    assert h.node.kept[0].args[0] is x
    outside = x * 3
    outside.sum().backward()
    assert outside.grad is None and outside.consumers == ()


# --------------------------------------------------------------------------- modes
def test_no_grad_as_block_decorator_and_nested():
    x = leaf(1.0)

    @no_grad()
    def double(t):
        return t * 2

    @minidl.enable_grad()
    def triple(t):
        return t * 3
    assert not double(x).requires_grad and double.__name__ == "double"
    with no_grad():
        assert not minidl.is_grad_enabled()
        with minidl.enable_grad():
            assert (x * 2).requires_grad
            with minidl.set_grad_enabled(False):
                assert not (x * 2).requires_grad
            assert (x * 2).requires_grad
        assert not (x * 2).requires_grad and triple(x).requires_grad
        assert not double(x).requires_grad
    assert minidl.is_grad_enabled()
    with pytest.raises(ZeroDivisionError), no_grad():
        1 / 0  # noqa: B018  what is raised inside
    assert minidl.is_grad_enabled()


def test_one_switch_object_entered_twice():
    switch = no_grad()
    with switch, minidl.enable_grad(), switch:
        assert not minidl.is_grad_enabled()
    assert minidl.is_grad_enabled()


def test_set_grad_enabled_as_a_plain_call():
    """As in PyTorch: the call itself switches; conftest fails a test that leaves it off."""
    minidl.set_grad_enabled(False)
    try:
        assert not minidl.is_grad_enabled()
    finally:
        minidl.set_grad_enabled(True)
    assert minidl.is_grad_enabled()


def test_detach_stops_the_gradient():
    x = leaf(3.0)
    y = x * x.detach()
    y.backward()
    assert x.grad.item() == 3.0 and not x.detach().requires_grad
    assert np.shares_memory(x.data, x.detach().data)


def test_grad_mode_belongs_to_the_thread():
    seen = {}

    def work():
        seen["other"] = minidl.is_grad_enabled()
        with no_grad():
            entered.set()
            leave.wait(5)
    entered, leave = threading.Event(), threading.Event()
    thread = threading.Thread(target=work)
    with no_grad():
        thread.start()
        assert entered.wait(5)
    seen["main"] = minidl.is_grad_enabled()
    leave.set()
    thread.join()
    assert seen == {"other": True, "main": True}


def test_one_decorated_function_in_two_threads():
    """Each call has a switch of its own: whoever leaves last restores its own thread's mode."""
    inside, leave, after = threading.Barrier(2), threading.Barrier(2), {}

    @no_grad()
    def wait():
        inside.wait(5)
        leave.wait(5)

    def work(name, enabled):
        with minidl.set_grad_enabled(enabled):
            wait()
            after[name] = minidl.is_grad_enabled()
    threads = [threading.Thread(target=work, args=a) for a in (("on", True), ("off", False))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert after == {"on": True, "off": False}


def test_several_threads_train_like_one():
    def train(seed, results):
        rng = np.random.default_rng(seed)
        w = minidl.tensor(rng.normal(size=(3, 2)), requires_grad=True)
        x = minidl.tensor(rng.normal(size=(5, 2)))
        for _ in range(30):
            w.grad = None
            ((x @ w.T).tanh() ** 2).sum().backward()
            with no_grad():
                w -= 0.05 * w.grad
        results[seed] = w.numpy().copy()
    alone, together = {}, {}
    for seed in range(4):
        train(seed, alone)
    threads = [threading.Thread(target=train, args=(s, together)) for s in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert all(np.array_equal(alone[s], together[s]) for s in range(4))


# --------------------------------------------------------------------------- ops of one's own
@op
def cube(x):
    """x^3."""
    y = x.data ** 3
    def backward(gy):
        return gy * 3 * x**2
    return y, backward


def test_the_readmes_cube():
    x = leaf(1.0, -2.0)
    cube(x).sum().backward()
    assert x.grad.tolist() == [3.0, 12.0]
    check_gradients(cube, np.array([1.0, -2.0, 0.0]), order=3)
    assert cube(np.array([2.0])).tolist() == [8.0]            # arrays become tensors
    assert cube.__doc__ == "x^3." and list(inspect.signature(cube).parameters) == ["x"]
    assert cube.op.name == "cube" and "cube" not in minidl.OPS


def test_ops_with_options_several_outputs_and_the_output_itself():
    @op
    def softsign(x: minidl.Tensor, scale=1.0, *, above: float = 0):
        y = x.data / (scale + abs(x.data))
        def backward(gy, need, out):
            return gy * (1 - out.abs()) ** 2 / scale
        return (y, x.data > above), backward
    x = leaf(0.5, -3.0)
    y, positive = softsign(x, scale=2.0)
    assert positive.tolist() == [True, False] and not positive.requires_grad
    assert softsign(x, above=5)[1].tolist() == [False, False]            # a keyword-only option
    check_gradients(lambda t: softsign(t, 2.0)[0], x, order=2)


def test_an_op_without_backward_gives_constants():
    @op
    def rounded(x):
        return np.round(x.data), None
    assert not rounded(leaf(1.6)).requires_grad


def test_wrong_backwards_of_ones_own_are_named():
    @op
    def misshapen(x):
        return x.data * 2, lambda gy: minidl.ones(5)
    with pytest.raises(ValueError, match=r"misshapen: backward returned a gradient of shape \(5,\)"
                                         r" for an input of shape \(2,\)"):
        misshapen(leaf(1.0, 2.0)).sum().backward()


# --------------------------------------------------------------------------- whose gradient it is
def _leaf(*numbers):
    return minidl.tensor(np.array(numbers, np.float32), requires_grad=True)


def _given_by_the_user():
    x, g = _leaf(1, 2), minidl.tensor([3.0, 4.0])
    x.backward(g)
    return x.grad.data, g.data


def _an_array_given_by_the_user():
    x, g = _leaf(1, 2), np.array([3.0, 4.0], np.float32)
    (x + 0).backward(g)
    return x.grad.data, g


def _of_two_leaves():
    a, b = _leaf(1, 2), _leaf(3, 4)
    (a + b).backward(minidl.tensor([1.0, 1.0]))
    return a.grad.data, b.grad.data


def _of_a_view():
    a, b = _leaf(1, 2), _leaf(3, 4)
    (a + b.reshape(2)).backward(minidl.tensor([1.0, 1.0]))
    return a.grad.data, b.grad.data


def _kept_by_a_hook():
    x, seen = _leaf(1, 2), []
    x.register_hook(lambda g: seen.append(g))
    (x * 2).sum().backward()
    return x.grad.data, seen[0].data


def _returned_by_a_hook():
    x, own = _leaf(1, 2), minidl.tensor([5.0, 6.0])
    x.register_hook(lambda g: own)
    (x * 2).sum().backward()
    return x.grad.data, own.data


def _saved_in_an_op():
    saved = np.array([1.0, 2.0], np.float32)

    @minidl.op
    def weighted(x):
        def backward(gy):
            return minidl.from_numpy(saved)
        return x.data * saved, backward

    x = _leaf(1, 2)
    weighted(x).sum().backward()
    return x.grad.data, saved


def _of_a_retained_place():
    x = _leaf(1, 2)
    y = x + 0
    y.retain_grad()
    y.backward(minidl.tensor([1.0, 1.0]))
    return x.grad.data, y.grad.data


def _of_borrowed_memory():
    memory = bytearray(8)

    @minidl.op
    def borrowed(x):
        def backward(gy):
            return minidl.from_numpy(np.frombuffer(memory, np.float32))
        return x.data * 1, backward

    x = _leaf(1, 2)
    borrowed(x).sum().backward()
    return x.grad.data, np.frombuffer(memory, np.float32)


def _of_an_array_that_must_not_be_written():
    constant = np.array([1.0, 2.0], np.float32)
    constant.setflags(write=False)

    @minidl.op
    def fixed(x):
        def backward(gy):
            return minidl.from_numpy(constant[:])
        return x.data * 1, backward

    x = _leaf(1, 2)
    fixed(x).sum().backward()
    x.grad.zero_()
    return x.grad.data, constant


@pytest.mark.parametrize("case", [
    _of_borrowed_memory, _of_an_array_that_must_not_be_written, _given_by_the_user,
    _an_array_given_by_the_user, _of_two_leaves, _of_a_view, _kept_by_a_hook,
    _returned_by_a_hook, _saved_in_an_op, _of_a_retained_place], ids=lambda f: f.__name__[1:])
def test_a_gradient_shares_no_memory_with_what_others_hold(case):
    gradient, other = case()
    assert not np.shares_memory(gradient, other)


@pytest.mark.skipif(not hasattr(sys, "getrefcount"), reason="no reference counts")
def test_a_gradient_that_nobody_else_holds_is_not_copied(monkeypatch):
    copies = []                                           # each is made in its array's library
    library = minidl.gradients.namespace
    monkeypatch.setattr(minidl.gradients, "namespace", lambda g: copies.append(g.shape) or library(
        g))
    x, w, b = _leaf(1, 2), _leaf(3, 4), _leaf(5)
    (x * w + b).sum().backward()
    assert copies == []
    x.grad = None
    (x + 0).backward(g := minidl.tensor([1.0, 1.0]))      # the user's own
    assert copies == [(2,)] and g.tolist() == [1, 1]


@pytest.mark.parametrize("written", ["minidl.Tensor | None", "Optional[Tensor]",
                                     "typing.Optional[minidl.Tensor]"])
def test_any_argument_may_be_a_tensor_or_none(written):
    """Each given one gets its own gradient, wherever a None stands."""
    def affine(x, scale, shift, power):
        def backward(gy, need):
            assert need == tuple(t is not None for t in (x, scale, shift))
            gx = gy if scale is None else gy * scale
            return (gx, gy * x if need[1] else None, gy * 3 if need[2] else None)
        y = x.data if scale is None else x.data * scale.data
        return (y if shift is None else y + shift.data) ** power, backward

    affine.__annotations__ = {"x": "Tensor", "scale": written, "shift": written}
    affine = minidl.op(affine)
    for which in ("", "scale", "shift", "scale shift"):
        x, scale, shift = leaf(7.0), leaf(2.0), leaf(5.0)
        scale, shift = scale if "scale" in which else None, shift if "shift" in which else None
        with minidl.record() as trace, minidl.profile(show=False) as p:
            affine(x, scale, shift, 1).backward()
        assert x.grad.item() == (1.0 if scale is None else 2.0)
        assert scale is None or scale.grad.item() == 7.0
        assert shift is None or shift.grad.item() == 3.0
        count = 1 + (scale is not None) + (shift is not None)
        events = [e for e in trace.events if e["phase"] == "backward"]
        assert [e["input"] for e in events] == list(range(count))
        assert [e["node"] for e in events] == trace.ops[0]["inputs"]
        (row,) = p.rows
        assert row.calls == 1 and row.shapes == ((),) * count and row.backward_s > 0


def test_a_wrong_argument_after_a_none_is_named():
    @minidl.op
    def affine(x: minidl.Tensor, scale: minidl.Tensor | None, shift: minidl.Tensor):
        return x.data + shift.data, lambda gy: (gy, None, gy)
    with pytest.raises(TypeError, match="affine: shift must be a tensor or numbers, got 'three'"):
        affine(leaf(1.0), None, "three")
