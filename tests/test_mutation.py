"""Tests of the tests: break every backward pass once, and the gradient check must notice.

A mutant is an op whose backward closure hands on one gradient changed: its sign flipped, dropped,
a thousandth too large, or one entry too large. Each must be caught within a few examples of the
op's domain. The same for second derivatives and for index maps.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from optable import call, leaf, noise_like, tensor_arguments, value_and_gradients

import minidl
from minidl import OPS
from minidl.explain import maps
from minidl.ops.terms import Contract, Elementwise
from minidl.testing import GradientError, KinkError, check_gradients, check_vjp
from minidl.testing.domains import DOMAINS

ARGUMENTS = {"where": (1, 2), "cat": (0,), "leaky_relu_grad": (0,)}


def one_entry(g):
    """A tenth added to the last entry only."""
    bump = np.zeros(g.size())
    bump.reshape(-1)[-1:] = 0.1
    return g + minidl.from_numpy(bump)


MUTATIONS = {"sign": lambda g: -g, "dropped": lambda g: g * 0.0, "thousandth": lambda g: 1.001 * g,
             "one entry": one_entry}


def operands(name: str) -> tuple[int, ...]:
    """The places, among the op's tensor arguments, of those that get a gradient."""
    return ARGUMENTS.get(name, tuple(range(len(OPS[name].places))))


def broken(name, args, k, mutate):
    """The op as a function of tensors, with gradient k of its backward changed."""
    def f(*tensors):
        y = call(name, args, tensors)
        right = y.node.backward

        def changed(*arguments):
            grads = right(*arguments)
            grads = list(grads) if isinstance(grads, (tuple, list)) else [grads]
            if grads[k] is not None:
                grads[k] = mutate(grads[k])
            return grads
        count = right.__code__.co_argcount
        y.node.backward = {1: lambda gy: changed(gy), 2: lambda gy, need: changed(gy, need),
                           3: lambda gy, need, out: changed(gy, need, out)}[count]
        return y
    return f


# The first example that fails ends the hunt: no search for the simplest one.
until_found = settings(max_examples=15, database=None, phases=[Phase.generate])


def caught(name, k, mutate) -> bool:
    """Does a check on some example of the op's domain raise GradientError?"""
    @until_found
    @given(DOMAINS[name])
    def hunt(args):
        check_gradients(broken(name, args, k, mutate), *tensor_arguments(name, args), entries=30)
    try:
        hunt()
    except KinkError:
        raise
    except GradientError:
        return True
    return False


@pytest.mark.parametrize("mutation", MUTATIONS)
@pytest.mark.parametrize("name", DOMAINS)
def test_a_broken_backward_is_caught(name, mutation):
    for k in operands(name):
        assert caught(name, k, MUTATIONS[mutation]), f"{name}: nobody misses gradient {k}"


def test_the_sound_op_passes_where_mutants_fail():
    assert not any(caught(name, 0, lambda g: g) for name in ("mul", "conv2d", "softmax"))
    assert all(_map_holds(name, OPS[name].terms) for name in ("mul", "conv2d", "softmax"))


def test_a_missing_mixed_second_derivative_is_caught():
    """A backward that treats one factor as a constant: right to first order only."""
    @minidl.op
    def careless(x, w):
        y = x.data * w.data
        def backward(gy):
            return gy * w.data, gy * x                     # w.data: no longer a function of w
        return y, backward

    x, w = np.array([1.0, 2.0]), np.array([0.5, -1.5])
    check_gradients(careless, x, w)
    with pytest.raises(GradientError, match="order 2"):
        check_gradients(careless, x, w, order=2)


# --------------------------------------------------------------------------- index maps
@pytest.mark.parametrize("name", [n for n, o in OPS.items() if isinstance(o.terms, Contract)
                                  and "SH" in o.terms.text])
@pytest.mark.parametrize("wrong", [("*SH", ""), ("- PH", "+ PH"), ("j*SW", "i*SW")])
def test_a_wrong_index_map_is_caught(name, wrong):
    kind = OPS[name].terms
    changed = dataclasses.replace(kind, text=kind.text.replace(*wrong))
    assert changed != kind
    assert not _map_holds(name, changed)


@pytest.mark.parametrize("name", [n for n, o in OPS.items() if isinstance(o.terms, Elementwise)])
def test_a_wrong_partial_derivative_is_caught(name):
    kind = OPS[name].terms
    for k, partial in enumerate(kind.partials):
        if partial:
            partials = list(kind.partials)
            partials[k] = f"-({partial})"
            assert not _map_holds(name, Elementwise(kind.value, *partials))


def _map_holds(name, kind) -> bool:
    """Does `kind` explain value and gradients of every example?"""
    op = OPS[name]

    @until_found
    @given(DOMAINS[name])
    def hunt(args):
        y = call(name, args, [leaf(x) for x in tensor_arguments(name, args)])
        explanation = maps.Call.of(op, args, y.data)
        found = [maps.value(explanation), *maps.gradients(explanation, noise_like(y.data))]
        expected = [y.data, *value_and_gradients(name, args)[1]]
        assert all(f is None or g is None or np.allclose(f, g) for f, g in zip(found, expected))

    right, op.terms = op.terms, kind
    try:
        hunt()
    except AssertionError:
        return False
    finally:
        op.terms = right
    return True


# --------------------------------------------------------------------------- the checker itself
def test_kinks_are_reported_even_where_the_gradients_agree():
    """At a kink the mean of both slopes may equal what backward says; it is no gradient still."""
    for f, at in [(minidl.relu, 0.0), (minidl.abs, 0.0), (lambda x: x.clamp(-1, 1), 1.0),
                  (lambda x: x.maximum(0.5), 0.5), (lambda x: (x > 0).float() * 1.0 + x, 0.0)]:
        with pytest.raises(KinkError, match="kink or a jump"):
            check_gradients(f, np.array([2.0, at]))
    with pytest.raises(KinkError):
        check_gradients(lambda x: x.amax(), np.array([1.0, 0.5, 1.0]))      # 1/2 each: a tie


def test_a_kink_beside_the_point_is_stepped_over_by_a_smaller_step():
    for distance in (3e-3, 1e-3, 7e-4, 2e-4):
        check_gradients(minidl.relu, np.array([distance, -distance]))


def test_a_failure_prints_everything():
    wrong = lambda gy, x: gy * 2
    with pytest.raises(GradientError) as failure:
        check_vjp(lambda x: 3 * x, wrong, np.array([[1.5, 2.5]]))
    text = str(failure.value)
    for part in ("check_vjp", "input 0, entry (0, 0)", "by backward", "by finite differences",
                 "ratio                    0.666667", "step                     0.001",
                 "[[1.5, 2.5]]", "upstream gradient 0", "gradients differ by"):
        assert part in text, part


def test_what_is_exact_passes_without_a_tolerance():
    zero = lambda x: x * 0.0
    assert check_vjp(zero, lambda gy, x: gy * 0.0, np.ones(2), rtol=0.0, atol=0.0).comparisons == 2
    with pytest.raises(GradientError, match="differ by"):
        check_vjp(zero, lambda gy, x: gy * 1e-300, np.ones(2), rtol=0.0, atol=0.0)


def test_large_inputs_are_checked_along_directions():
    x = np.linspace(-1, 1, 10_000)
    assert check_vjp(np.sin, lambda gy, x: gy * np.cos(x), x, directions=5).comparisons == 5
    assert check_gradients(minidl.sin, x).comparisons == 6
    with pytest.raises(GradientError, match="random direction"):
        check_vjp(np.sin, lambda gy, x: gy * np.where(x > 0.999, 1.1, 1) * np.cos(x), x)


@given(st.integers(0, 3))
def test_what_cannot_be_checked_is_said(seed):
    rng = np.random.default_rng(seed)
    def grows(x):
        x += 1
        return x
    for f, message in [(lambda x: x + rng.normal(), "two results"),
                       (lambda x: np.log(x * 0), "not finite"), (grows, "in place")]:
        with np.errstate(divide="ignore"), pytest.raises(GradientError, match=message):
            check_vjp(f, lambda gy, x: gy, np.ones(2))
    with pytest.raises(GradientError, match="2 gradients for 1"):
        check_vjp(lambda x: x, lambda gy, x: (gy, gy), np.ones(2))
    with pytest.raises(GradientError, match=r"shape \(3,\)"):
        check_vjp(lambda x: x, lambda gy, x: np.ones(3), np.ones(2))
    with pytest.raises(TypeError, match="no input is a float"):
        check_gradients(lambda x: x, np.arange(3))


def test_several_outputs_integers_and_none():
    """A tuple out, class numbers in, no gradient for them."""
    f = lambda x, n: (x[n], (x**2).sum())
    vjp = lambda gy, x, n: (np.bincount(n, gy[0], len(x)) + 2 * x * gy[1], None)
    check_vjp(f, vjp, np.array([1.0, 2.0, 3.0]), np.array([0, 2, 2]))
    check_gradients(lambda x, n: (x[n], (x**2).sum()), np.array([1.0, 2.0, 3.0]),
                    np.array([0, 2, 2]), order=2)


def test_check_vjp_of_an_op_of_numpy():
    """The three-line wrapper of a function from elsewhere."""
    f = lambda x: np.cumsum(x)
    vjp = lambda gy, x: np.cumsum(gy[::-1])[::-1]
    check_vjp(f, vjp, np.array([1.0, -2.0, 0.5]))
