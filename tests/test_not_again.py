"""Ops of the user's own that cannot be run again the same: what is said of them accuses nobody."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import minidl
from minidl.ops.terms import Elementwise, Gather


def linear(factor):
    """y = factor * x, from an array; with its backward pass."""
    return lambda gy: gy * minidl.from_numpy(np.asarray(factor, np.float32))


def keyword_only():
    @minidl.op
    def scaled(x, *, k=2.0):
        return x.data * k, linear(k)
    return lambda x: scaled(x, k=3.0)


def keyword_needed():
    @minidl.op
    def scaled(x, *, k):
        return x.data * np.float32(k), linear(k)
    return lambda x: scaled(x, k=3.0)


def keyword_declared():
    @minidl.op(terms=Elementwise("k * x", "k"))
    def scaled(x: minidl.Tensor, *, k=2.0):
        return x.data * np.float32(k), linear(k)
    return lambda x: scaled(x, k=3.0)


def random_numbers():
    rng = np.random.default_rng(0)

    @minidl.op
    def drop(x):
        mask = (rng.random(x.shape) > 0.5) * np.float32(2)
        return x.data * mask, linear(mask)
    return drop


def random_order():
    rng = np.random.default_rng(0)

    @minidl.op(terms=Gather())
    def shuffle(x: minidl.Tensor):
        order = rng.permutation(x.shape[0])
        return x.data[order], lambda gy: gy[np.argsort(order)]
    return shuffle


def counted():
    calls = itertools.count(1)

    @minidl.op
    def warm_up(x):
        k = np.float32(next(calls))
        return x.data * k, linear(k)
    return warm_up


def other_shape():
    calls = itertools.count(6)

    @minidl.op
    def longer(x):
        n = next(calls)
        y = np.zeros(max(n, x.shape[0]), np.float32)
        y[:x.shape[0]] = x.data
        return y, lambda gy: gy[:x.shape[0]]
    return longer


def in_place():
    @minidl.op
    def grow(x):
        x.data[...] = x.data * 2
        return x.data.copy(), linear(2.0)
    return grow


def only_once():
    left = [1]

    @minidl.op
    def once(x):
        left.pop()
        return x.data * 2, linear(2.0)
    return once


KINDS = [keyword_only, keyword_needed, keyword_declared, random_numbers, random_order, counted,
         other_shape, in_place, only_once]
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


def assert_accuses_nobody(found) -> None:
    said = repr(found)
    assert "cannot be run again the same" in said
    for accused in ("is wrong", "another number", "written to", "does not add up", "hook"):
        assert accused not in said, said


@each_kind
def test_in_memory_its_numbers_are_those_it_gave(kind):
    function, w = kind(), minidl.tensor(np.arange(1, 7, dtype="f"), requires_grad=True)
    with minidl.keep():
        y = function(w)
        (y * y).sum().backward()
    for i in range(6):
        value, gradient = y.explain(i), w.explain_grad(i)
        assert_accuses_nobody(value)
        assert_accuses_nobody(gradient)
        assert value.total == value.stored == y.data[i]
        assert gradient.total == gradient.stored == w.grad.data[i]


@each_kind
def test_behind_other_ops_too(kind):
    function, w = kind(), minidl.tensor(np.arange(1, 7, dtype="f"), requires_grad=True)
    with minidl.keep():
        z = function((w * 2).reshape(6)).reshape(1, -1)
        (z[0] + w.sum()).sum().backward()
    assert_accuses_nobody(z.explain(0, 2))
    told = w.explain_grad(2)
    assert told.total == pytest.approx(told.stored, rel=1e-5) and "is wrong" not in repr(told)


@each_kind
def test_in_a_recording(kind):
    function, w = kind(), minidl.tensor(np.arange(1, 7, dtype="f"), requires_grad=True)
    with minidl.record() as trace:
        (function(w) * 1.0).sum().backward()
    event = next(e for e in trace.events if e["phase"] == "backward"
                 and trace.ops[e["op"]]["library"] is False)
    assert_accuses_nobody(trace.explain(event["op"], 1))
    with pytest.raises(ValueError, match="cannot be run again the same"):
        trace.explain_event(event, 1)
    found = [c for c in trace.check() if c["op"] == event["op"]]
    assert [c["status"] for c in found] == ["skipped"] * 2, found
    assert all("cannot be run again the same" in c["reason"] for c in found)


@each_kind
def test_its_fields_are_refused(kind):
    if kind is keyword_declared:
        return                                # its fields are what it declares
    function, w = kind(), minidl.tensor(np.arange(1, 7, dtype="f"), requires_grad=True)
    with minidl.keep():
        y = function(w)
    with pytest.raises(ValueError, match="receptive_field: .* cannot be run again the same"):
        y.receptive_field(0)
    with pytest.raises(ValueError, match="projective_field: .* cannot be run again the same"):
        w.projective_field(0)


def test_a_backward_pass_that_draws_random_numbers_is_said_so():
    rng = np.random.default_rng(0)

    @minidl.op
    def noisy(x):
        return x.data * 2, lambda gy: gy * float(rng.random())
    w = minidl.tensor(np.ones(3, "f"), requires_grad=True)
    with minidl.keep():
        noisy(w).sum().backward()
    said = repr(w.explain_grad(0))
    assert "gives another number each time that it is run" in said and "is wrong" not in said


def test_an_op_that_is_the_same_again_is_accused_as_before():
    @minidl.op
    def scaled(x, *, k=3.0):
        return x.data * np.float32(k), linear(k - 1)              # wrong
    w = minidl.tensor(np.ones(3, "f"), requires_grad=True)
    with minidl.keep():
        scaled(w).sum().backward()
    assert "the backward pass of scaled is wrong: it gives 2" in repr(w.explain_grad(0))
    with minidl.record() as trace:
        scaled(w).sum().backward()
    assert "fail" in [c["status"] for c in trace.check()]


def test_a_keyword_only_argument_of_a_declared_op_has_its_default():
    @minidl.op(terms=Elementwise("k * x", "k"))
    def scaled(x: minidl.Tensor, *, k=3.0):
        return x.data * np.float32(k), linear(k)
    w = minidl.tensor(np.arange(3, dtype="f"), requires_grad=True)
    with minidl.keep():
        y = scaled(w)
        y.sum().backward()
    assert y.explain(2).total == y.explain(2).stored == 6.0
    assert w.explain_grad(2).total == w.explain_grad(2).stored == 3.0
