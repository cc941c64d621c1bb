"""Explanations that can be followed: from a factor to what made it, from a weight to the loss; with
names, of gradients that ``minidl.grad`` returned, of ops of one's own, of wrong backward passes.
"""

from __future__ import annotations

import gc
import importlib
import json
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optable import call, every_op, in_dtype, leaf, noise_like, tensor_arguments

import minidl
from minidl import functional as F
from minidl import nn
from minidl.explain.explanation import Explanation
from minidl.testing.domains import DOMAINS


def assert_sums_up(found: Explanation) -> None:
    size = max(found.magnitude, abs(found.stored), 1.0)
    assert abs(found.difference) <= 1e-5 * size, found


# --------------------------------------------------------------------------- following
def follow_all(found: Explanation, few: int = 3) -> int:
    """Follow the factors of the first terms: each leads to the number that it is. How many did."""
    count = 0
    for term in found.terms[:few]:
        for (name, index, value), origin in zip(term.factors, term.origins):
            if origin is None or origin.is_leaf():
                continue
            above = origin.explain(index)
            assert above.stored == pytest.approx(value, rel=1e-6, nan_ok=True), (name, above)
            count += 1
    return count


@every_op
def test_a_factor_leads_to_its_own_number(name):
    """In memory and in a trace, forward and backward, for every op between two others."""
    @settings(max_examples=max(settings.default.max_examples // 8, 4))
    @given(data=st.data())
    def leads(data):
        args = in_dtype(data.draw(DOMAINS[name]), np.float64)
        leaves = [leaf(x) for x in tensor_arguments(name, args)]
        with minidl.record() as trace:
            operands = [x * 1.0 if x.is_floating_point() else x for x in leaves]
            y = call(name, args, operands)
            if not y.numel() or not y.requires_grad:
                return
            h = y * 3.0
            h.backward(minidl.from_numpy(noise_like(y.data)))
        cell = lambda t: tuple(data.draw(st.integers(0, n - 1)) for n in t.shape)
        follow_all(y.explain(cell(y)))
        for x in (*leaves, *operands):
            if x.grad is not None and x.numel():
                follow_all(x.explain_grad(cell(x)))
        for op in trace.ops:
            made = trace.nodes[op["outputs"][0]]
            index = tuple(data.draw(st.integers(0, n - 1)) for n in made["shape"])
            found = trace.explain(op, index)
            assert_sums_up(found)
            assert not found.steps or found.steps[-1].value == pytest.approx(found.total)
            json.dumps(found.to_dict(), allow_nan=False)
            follow_all(found)
        for event in trace.events:
            if event["phase"] == "backward" and 0 not in trace.nodes[event["node"]]["shape"]:
                index = tuple(data.draw(st.integers(0, n - 1))
                              for n in trace.nodes[event["node"]]["shape"])
                found = trace.explain_event(event, index)
                expected = trace.arrays[event["contribution"]][index]
                assert found.total == pytest.approx(expected, abs=1e-5 * max(found.magnitude, 1))
                follow_all(found)
    leads()


@pytest.fixture
def network():
    minidl.manual_seed(7)
    net = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(),
                        nn.Linear(32, 3))
    images, labels = minidl.randn(2, 1, 4, 4), minidl.tensor([0, 2])

    def step():
        scores = net(images)
        loss = F.cross_entropy(scores, labels)
        loss.backward()
        return scores, loss
    return net, step


WAY = ["conv2d", "normalized_affine", "relu", "linear", "cross_entropy_rows", "sum"]


def test_from_a_weight_to_the_loss(network):
    net, step = network
    with minidl.record() as trace:
        step()
    for found in (net[0].weight.explain_grad(1, 0, 2, 2), trace_gradient(trace, "0.weight", 1)):
        passed = []
        while found.parts:
            passed.append(found.parts[0].title.split()[1].strip(","))
            term = next(t for t in found.terms if t.factors[0][2])
            above = term.up("gy")
            assert above.stored == pytest.approx(term.factors[0][2], rel=1e-6)
            found = above
        assert passed == WAY and found.stored == 1.0 and "backward() began with" in repr(found)
        with pytest.raises(ValueError, match="no factor of this term is called 'gy'"):
            found.up("gy")


def trace_gradient(trace, name: str, row: int) -> Explanation:
    from minidl.explain.recorded import RecordedGradient
    node = next(n["id"] for n in trace.nodes if n["name"] == name)
    return RecordedGradient(trace, node).explain((row, 0, 2, 2))


def test_depth_tells_what_up_would(network):
    net, step = network
    with minidl.keep():
        scores, _ = step()
    found = net[0].weight.explain_grad(1, 0, 2, 2, depth=9)
    (part,), titles = found.parts, []
    while part.followed:
        titles.append(part.title.split()[1].strip(","))
        part = part.followed.parts[0] if part.followed.parts else part.followed
    assert titles == WAY
    assert net[0].weight.explain_grad(1, 0, 2, 2).parts[0].followed is None
    found = scores.explain(0, 1, depth=3)
    assert found.followed == found.up(depth=2)
    assert found.followed.followed.title.startswith("batch_norm")
    assert found.followed.followed.followed is None
    assert "\n    relu (D2-RELU)" in repr(found) and "relu (D2-RELU)" in found._repr_html_()
    assert found.to_dict()["followed"]["title"] == found.followed.title


def test_a_factor_is_chosen_by_its_letter_or_by_the_programs_name(network):
    net, step = network
    with minidl.keep():
        scores, _ = step()
    term = next(t for t in scores.explain(0, 1).terms if len(t.factors) == 2 and t.factors[0][2])
    assert term.up() == term.up("x") and term.up().title.startswith("relu")
    for name in ("w", "4.weight"):
        with pytest.raises(ValueError, match="is a leaf"):
            term.up(name)
    with pytest.raises(ValueError, match="no factor of this term is called 'q'; there is x, w"):
        term.up("q")
    bias = next(t for t in scores.explain(0, 1).terms if len(t.factors) == 1)
    with pytest.raises(ValueError, match="nothing in this term can be followed: no op made 4.bias"):
        bias.up()


def test_an_explanation_holds_its_tensors_and_nothing_holds_them_longer():
    def explained():
        with minidl.keep():
            h = minidl.randn(3, requires_grad=True) * 2.0
            y = h.exp()
        return y.explain(1), weakref.ref(h.data)
    found, gone = explained()
    gc.collect()
    value, held = found.up().total, gone() is not None
    expected = found.terms[0].factors[0][2]
    del found
    gc.collect()
    assert value == pytest.approx(expected) and held and gone() is None


# --------------------------------------------------------------------------- names
def test_the_program_and_its_modules_are_named(network):
    net, step = network
    with minidl.keep():
        scores, _ = step()
    text = repr(scores.explain(0, 1))
    assert "(module 4, Linear)" in text and "w is 4.weight, b is 4.bias" in text
    fields = repr(scores.receptive_field(0, 1))
    for name in ("images", *dict(net.named_parameters())):
        assert f"\n{name}, shape (" in "\n" + fields
    fields = repr(net[0].bias.projective_field(1))
    assert "the output of conv2d in 0, Conv2d, shape (2, 2, 4, 4): [0..1, 1," in fields
    assert "\nscores, shape (2, 3): [0..1, 0..2], 6 elements" in fields
    assert repr(net[0].weight.explain_grad(0, 0, 0, 0)).startswith("gradient of 0.weight at [0,0,")
    assert "gradient of 4.bias" in repr(net[4].bias.explain_grad(0))


def test_a_notebooks_cell_has_its_number(monkeypatch):
    from minidl.explain.source import place_in_program
    assert place_in_program("/home/ada/net.py", 7) == "net.py:7"
    assert place_in_program("<ipython-input-12-0f3a>", 7) == "cell [12], line 7"
    pytest.importorskip("IPython")
    from IPython.core.interactiveshell import InteractiveShell
    shell = InteractiveShell.instance()
    try:
        shell.run_cell("import minidl", store_history=True)
        shell.run_cell("with minidl.keep():\n    y = minidl.ones(2) * 3.0", store_history=True)
        found = shell.user_ns["y"].explain(1)
        assert "cell [2], line 2  y = minidl.ones(2) * 3.0" in repr(found)
        assert found.to_dict()["site"]["cell"] == 2
    finally:
        InteractiveShell.clear_instance()


# --------------------------------------------------------------------------- wrong backwards
def test_a_wrong_backward_pass_is_named(monkeypatch):
    """A term dropped from batch norm's backward: the op is named; no hook and no clipping is."""
    norm = importlib.import_module("minidl.ops.norm")

    def without_a_term(gy, x, mean, scale, w, dim):
        normal = (x - mean) * scale
        gw, gb = (gy * normal).sum(dim, keepdims=True), gy.sum(dim, keepdims=True)
        return w * scale * (gy - gb / (x.size // w.size)), gw, gb
    monkeypatch.setattr(norm, "_batch_norm_grad", without_a_term)
    minidl.manual_seed(1)
    layer, x = nn.BatchNorm2d(2), minidl.randn(3, 2, 2, 2, requires_grad=True)
    with minidl.keep():
        (layer(x) ** 3).sum().backward()
    found = x.explain_grad(1, 0, 1, 0)
    text = repr(found)
    assert "the backward pass of normalized_affine (D1-BN) is wrong: it gives" in text
    assert "trace.check()" in text
    assert "hook" not in text and "clipping" not in text and "written" not in text
    assert "is wrong" not in repr(layer.bias.explain_grad(1))


def test_a_wrong_backward_pass_behind_a_reshape_is_named():
    @minidl.op
    def cube(x):
        def backward(gy):
            return gy * 2 * x**2                    # 3, of course
        return x.data**3, backward
    x = minidl.tensor([1.0, 2.0], requires_grad=True)
    with minidl.keep():
        cube(x.reshape(2, 1)).sum().backward()
    text = repr(x.explain_grad(1))
    assert "the backward pass of cube is wrong: it gives 8 here, finite differences 12" in text


# --------------------------------------------------------------------------- minidl.grad
def test_a_gradient_that_grad_returned_explains_itself(network):
    net, step = network
    with minidl.keep():
        step()
        wanted = {t: t.explain_grad(*index) for t, index in (
            (net[0].weight, (1, 0, 2, 2)), (net[4].bias, (2,)))}
        images, labels = minidl.randn(2, 1, 4, 4), minidl.tensor([0, 2])
        loss = F.cross_entropy(net(images), labels)
        found = minidl.grad(loss, [net[0].weight, net[4].bias, loss])
    assert all(t.grad is not None for t in wanted)
    for g, index in zip(found, [(1, 0, 2, 2), (2,)]):
        told, steps = g.explain(index), 0
        assert_sums_up(told)
        while told.parts:
            told, steps = told.terms[0].up("gy"), steps + 1
            assert_sums_up(told)
        assert "backward() began with" in repr(told) and told.stored == 1.0
        assert steps == (6 if len(index) == 4 else 3)
    found[1].data[2] = 9.0
    assert "the stored gradient is another number: its array was written to" in repr(
        found[1].explain(2))
    minidl.grad(F.relu(images.requires_grad_()).sum(), images)
    with pytest.raises(ValueError, match="is a leaf"):
        minidl.ones(2).explain(0)


def test_a_seed_that_was_given_and_uses_that_add_up():
    x = minidl.tensor([2.0, 3.0], requires_grad=True)
    with minidl.keep():
        y = x * x
        (g,) = minidl.grad(y, x, minidl.tensor([10.0, 1.0]))
    found = g.explain(0)
    assert found.total == found.stored == 40.0 and len(found.parts) == 2
    assert found.title == "gradient of x at [0]"
    above = found.terms[0].up("gy")
    assert above.stored == 10.0 and "backward() began with 10" in repr(above)


# --------------------------------------------------------------------------- own ops
def test_an_own_op_without_terms_is_explained_by_finite_differences():
    @minidl.op
    def neighbours(x):
        y = x.data[1:] * x.data[:-1] ** 2

        def backward(gy):
            return F.pad(gy * x[:-1] ** 2, (1, 0)) + F.pad(gy * x[1:] * 2 * x[:-1], (0, 1))
        return y, backward
    x = minidl.tensor(np.linspace(1, 2, 40), requires_grad=True)
    with minidl.keep():
        y = neighbours(x)
        (y * y).sum().backward()
    found = y.explain(7)
    assert [factor[:2] for factor in found.terms[0].factors] == [("x", (7,)), ("x", (8,))]
    assert_sums_up(found)
    assert "neighbours declares no terms: by finite differences" in repr(found)
    found = x.explain_grad(5)
    assert found.total == pytest.approx(found.stored, rel=1e-7) and "another" not in repr(found)
    assert [t.factors[0][1] for t in found.parts[0].terms] in ([(4,), (5,)], [(5,), (4,)])
    assert "its slopes are finite differences" in repr(found)
    assert found.parts[0].terms[0].up("gy").stored == found.parts[0].terms[0].factors[0][2]
    with minidl.record() as trace:
        neighbours(x).sum().backward()
    (op,) = trace.calls("neighbours")
    assert_sums_up(trace.explain(op, 7))
    event = next(e for e in trace.events if e["phase"] == "backward" and e["op"] == op["id"])
    found = trace.explain_event(event, 5)
    assert found.total == pytest.approx(trace.arrays[event["contribution"]][5], rel=1e-7)


# --------------------------------------------------------------------------- formulas
def test_a_batched_products_gradient_names_the_batch():
    minidl.manual_seed(0)
    a, b = minidl.randn(2, 3, 4, requires_grad=True), minidl.randn(4, 5, requires_grad=True)
    with minidl.keep():
        y = a @ b
        y.sum().backward()
    found = b.explain_grad(1, 2)
    assert found.parts[0].formula[0] == "gb[1,2] = sum over i, n of gy[n,i,2] * a[n,i,1]"
    assert len(found.terms) == 6
    assert y.explain(1, 2, 3).formula == ("y[n,i,j] += a[n,i,k] * b[k,j]",
                                          "y[1,2,3] = sum over k of a[1,2,k] * b[k,3]")


@pytest.mark.parametrize("text, expected", [
    ("i*SH - PH + u*DH", "i*2 + u - 1"), ("j*2 - 1 + 2", "j*2 + 1"), ("3*4 - 12", "0"),
    ("PH - i", "-i + 1"), ("u*DH", "u"), ("c", "c")])
def test_indices_are_added_up(text, expected):
    from minidl.explain.formula_text import affine
    assert affine(text, {"SH": 2, "PH": 1, "DH": 1}) == expected


def test_gy_is_the_upstream_gradient_everywhere():
    """Of every op, the factor gy is the gradient of its result, and no operand is called so."""
    from minidl.explain.formula_text import names_of
    from minidl.explain.maps import Call
    for name, op in minidl.OPS.items():
        names = names_of(Call(op, (), [None] * 3, None))
        assert not {"y", "gy", "out"} & {*names, *op.signature.parameters}, name
        for text in (getattr(op.terms, "value", ""), *getattr(op.terms, "partials", ())):
            assert "out" not in text and "gy" not in text, name


def test_to_dict_is_json_also_where_numbers_are_not_finite():
    x = minidl.tensor([np.inf, 1.0], requires_grad=True)
    with minidl.keep():
        y = x * 2.0
        (y - y).sum().backward()
    told = json.loads(y.explain(0).to_json())
    assert told["total"] == told["stored"] == "inf" and told["terms"][0]["value"] == "inf"
    assert told["difference"] == 0.0 and told["site"]["text"] == "y = x * 2.0"
    assert set(told) == {"title", "formula", "steps", "terms", "total", "stored", "difference",
                         "magnitude", "outside", "site", "module", "notes", "parts", "followed"}
    told = json.loads(x.explain_grad(1).to_json(indent=1))
    assert told["parts"][0]["stored"] is None and told["parts"][0]["difference"] is None
