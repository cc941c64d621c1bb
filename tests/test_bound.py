"""Index maps with their numbers put in: a reader of a few lines finds the op's value in them, and
its gradients."""

import json
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optable import call, every_op, few, tensor_arguments

import minidl
from minidl.explain.bound import bound_map, check_map, linear_form
from minidl.explain.maps import gradient
from minidl.explain.steps import FUNCTIONS, REDUCTIONS
from minidl.ops.terms import Composite
from minidl.testing.compare import equal, scale_of
from minidl.testing.domains import DOMAINS


def products(found, shapes):
    """The (out, factors...) places of a contract, as index tuples."""
    for values in product(*(range(n) for n in found["loops"].values())):
        loop = dict(zip(found["loops"], values)) | {"": 1}
        places = [tuple(sum(loop[i] * c for i, c in axis.items()) for axis in form)
                  for form in (found["out"], *found["factors"])]
        if all(0 <= p < n for place, shape in zip(places, shapes) for p, n in zip(place, shape)):
            yield places


def steps_value(steps, names):
    known = dict(names)
    look = lambda a: known[a] if a in known else float(a) if isinstance(a, str) else a
    for step in steps:
        of, dim = [look(a) for a in step["of"]], tuple(step.get("dim", ()))
        if step["do"] == "take":
            known[step["name"]] = np.take_along_axis(*of, axis=dim[0])
        elif "dim" in step:
            known[step["name"]] = REDUCTIONS[step["do"]](*of, dim)
        else:
            known[step["name"]] = FUNCTIONS[step["do"]](*of)
    return known[steps[-1]["name"]]


def value_and_gradients(found, xs, y, gy, arrays, names):
    """By the map alone: y, and the gradient for each operand (None where the map has none)."""
    value, gradients = np.zeros(y.shape), [np.zeros(x.shape) for x in xs]
    if found["kind"] == "contract":
        count = len(found["factors"])
        parts = [(found, range(count))]
        if "bias" in found:
            parts.append((found["bias"], [count]))
        for part, operands in parts:
            for out, *places in products(part, [y.shape, *(xs[k].shape for k in operands)]):
                factors = [xs[k][p] for k, p in zip(operands, places)]
                value[out] += np.prod(factors)
                for i, (k, p) in enumerate(zip(operands, places)):
                    gradients[k][p] += gy[out] * np.prod(factors[:i] + factors[i + 1:])
        return value, gradients
    if found["kind"] == "positions":
        value = np.full(y.size, float(found.get("constant", 0)))
        reached = np.zeros(y.size, bool)
        for group in found["groups"]:
            k = group["operand"]
            outs, ins = (np.arange(n) if group[side] is None else arrays[group[side]]
                         for side, n in (("out", y.size), ("in", xs[k].size)))
            for p, q in zip(outs, ins):
                value[p] = value[p] * reached[p] + xs[k].flat[q]
                reached[p] = True
                gradients[k].flat[q] += gy.flat[p]
        return value.reshape(y.shape), gradients
    names = names | dict(zip(found["operands"], xs)) | {"y": y}
    value = np.broadcast_to(steps_value(found["value"], names), y.shape) if (
        found["kind"] == "elementwise") else steps_value(found["value"], names).reshape(y.shape)
    if found["kind"] == "composite":
        return value, None
    for k, steps in enumerate(found["partials"]):
        gradients[k] = None
        if steps is not None:
            slope = gy * np.broadcast_to(steps_value(steps, names), y.shape)
            gradients[k] = np.zeros(xs[k].shape)
            places = np.broadcast_to(np.arange(xs[k].size).reshape(xs[k].shape), y.shape)
            np.add.at(gradients[k].reshape(-1), places.ravel(), slope.ravel())
    return value, gradients


@every_op
@few
@given(data=st.data())
def test_a_map_is_the_op(name, data):
    args = data.draw(DOMAINS[name])
    tensors = [minidl.tensor(a) for a in tensor_arguments(name, args)]
    with minidl.record() as trace:
        call(name, args, tensors)
    op = next(trace.calls(name))
    found, recorded = bound_map(trace, op), trace.call(op)
    check_map(json.loads(json.dumps(found, allow_nan=False)), "map", len(trace.arrays),
              len(trace.nodes))
    arrays = {k: trace.value(n).astype(np.float64) if trace.value(n).dtype.kind == "f"
              else trace.value(n) for k, n in found["arrays"].items()}
    if recorded.out.size > 300:
        return
    gy = np.random.default_rng(0).normal(size=recorded.out.shape)
    with np.errstate(all="ignore"):
        value, gradients = value_and_gradients(found, recorded.operands, recorded.out, gy,
                                               trace.arrays, arrays)
    scale = scale_of(recorded.out, *recorded.operands[:1])
    assert equal(recorded.out, value, 1e-4, scale).all()
    for k, g in enumerate(gradients or ()):
        if (wanted := gradient(recorded, gy, k)) is not None and g is not None:
            assert equal(g, wanted[0], 1e-9, wanted[1] + 1e-12).all()
    assert (gradients is None) == isinstance(recorded.op.terms, Composite)


def test_a_linear_form():
    numbers = {"SH": 2, "PH": 3, "DH": 1}
    assert linear_form("i*SH - PH + u*DH", numbers) == {"i": 2, "u": 1, "": -3}
    assert linear_form("0", {}) == {"": 0} and linear_form("i - i", {}) == {"": 0}
    with pytest.raises(ValueError, match=r"not linear: i\*j"):
        linear_form("i*j", {})


DAMAGED = [({"kind": "else"}, "must be an index map"), (3, "must be an index map"),
           ({"kind": "contract"}, "other names"), ({"operands": [1]}, "name its operands"),
           ({"arrays": {"t": 99}}, "must be nodes"), ({"loops": {"n": -1}}, "loops"),
           ({"out": [{"q": 1}]}, "linear form"), ({"factors": 3}, "linear form"),
           ({"bias": 3}, "bias: must be a contract"), ({"extra": 1}, "other names")]


@pytest.mark.parametrize("damage, rule", DAMAGED)
def test_a_damaged_map_is_refused(damage, rule):
    with minidl.record() as trace:
        minidl.functional.linear(minidl.ones(2, 3), minidl.ones(4, 3), minidl.ones(4))
    found = bound_map(trace, next(trace.calls("linear")))
    check_map(found, "ops[0].map", len(trace.arrays), len(trace.nodes))
    if damage == {"kind": "contract"}:
        found = {"kind": "contract"}
    elif isinstance(damage, dict):
        found |= damage
    else:
        found = damage
    with pytest.raises(ValueError, match=rf"ops\[0\].map.*{rule}"):
        check_map(found, "ops[0].map", len(trace.arrays), len(trace.nodes))
