"""What explains a number adds up to it: ``explain``, ``explain_grad``, the fields; and errors.

D7: the explained terms sum to the stored value and gradient, over the whole op table and on every
kernel class: to 1e-9 of the terms' magnitudes in float64, to 1e-5 in float32.
"""

from __future__ import annotations

import gc
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optable import call, every_op, in_dtype, leaf, noise_like, tensor_arguments

import minidl
from minidl import functional as F
from minidl import kernels, nn, optim
from minidl.explain.explanation import Explanation
from minidl.explain.walk import Walk
from minidl.ops.terms import Composite
from minidl.testing.compare import difference
from minidl.testing.domains import DOMAINS

CLOSE = {np.float64: 1e-9, np.float32: 1e-5}


def assert_adds_up(found: Explanation, dtype, least: float = 0.0) -> None:
    """`least`: of a slope like 1 - p, the 1 is not among the terms, but was rounded with them."""
    if not np.isfinite(found.stored):
        assert found.total == found.stored or np.isnan(found.stored)
        return
    size = max(found.magnitude, abs(found.stored), least)
    assert abs(found.difference) <= CLOSE[dtype] * size, repr(found)


def a_cell(data, shape) -> tuple[int, ...]:
    return tuple(data.draw(st.integers(0, n - 1)) for n in shape)


@pytest.fixture(params=["reference", "fast"])
def kernel_class(request, monkeypatch):
    before = minidl.kernels_in_use()
    minidl.use_kernels(request.param)
    monkeypatch.setattr(kernels, "SMALLEST", 0)            # what is drawn is small
    yield request.param
    minidl.use_kernels(before)


@every_op
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_terms_of_a_cell_add_up(name, dtype, kernel_class):
    """D7 over the op table: a value, and a gradient of each operand."""
    @settings(max_examples=max(settings.default.max_examples // 8, 5))
    @given(data=st.data())
    def adds_up(data):
        args = in_dtype(data.draw(DOMAINS[name]), dtype)
        leaves = [leaf(x) for x in tensor_arguments(name, args)]
        with minidl.keep():
            y = call(name, args, leaves)
            if not y.numel():
                return
            if y.is_floating_point():
                assert_adds_up(y.explain(a_cell(data, y.shape)), dtype, least)
            if y.requires_grad:
                y.backward(minidl.from_numpy(noise_like(y.data)))
        for x in leaves:
            if x.grad is not None and x.numel():
                assert_adds_up(x.explain_grad(a_cell(data, x.shape)), dtype, least)
    least = float(isinstance(minidl.OPS[name].terms, Composite))
    adds_up()


# --------------------------------------------------------------------------- through the layers
@pytest.fixture
def step():
    """A small classifier's step, kept."""
    minidl.manual_seed(3)
    net = nn.Sequential(nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.ReLU(), nn.MaxPool2d(2),
                        nn.ConvTranspose2d(4, 3, 3, stride=2), nn.BatchNorm2d(3), nn.Flatten(),
                        nn.Linear(75, 5))
    x, t = minidl.randn(2, 2, 8, 8, requires_grad=True), minidl.tensor([1, 4])
    with minidl.keep():
        h, outputs = x, []
        for layer in net:
            h = layer(h)
            outputs.append(h)
        loss = F.cross_entropy(h, t)
        loss.backward()
    return net, x, outputs, loss


def test_every_layer_of_a_network_explains_itself(step):
    net, x, outputs, loss = step
    rng = np.random.default_rng(0)
    for t in (x, *outputs, *net.parameters()):
        index = tuple(int(rng.integers(n)) for n in t.shape)
        assert_adds_up(t.explain_grad(index), np.float32)
    for y in (*outputs, loss):
        assert_adds_up(y.explain(tuple(int(rng.integers(n)) for n in y.shape)), np.float32)


def test_a_layers_bias_is_one_more_term(step):
    net, _, outputs, _ = step
    found = outputs[0].explain(0, 1, 0, 0)
    assert found.title.startswith("conv2d (D3-CONV)")
    assert found.formula[0].startswith("y[n,o,i,j] = b[o], then y[n,o,i,j] += x[n, c, i*SH - PH")
    assert found.formula[1].startswith(
        "y[0,1,0,0] = b[1] + sum over c, u, v of x[0, c, u - 1, v - 1]")
    assert found.outside == 2 * (3 + 2)                    # a corner: 5 of 9 taps, two channels
    assert len(found.terms) == 2 * 4 + 1
    bias = [t for t in found.terms if len(t.factors) == 1]
    assert [t.value for t in bias] == [float(net[0].bias.data[1])]
    values = [abs(t.value) for t in found.terms]
    assert values == sorted(values, reverse=True)


def test_what_is_printed():
    x = minidl.tensor(np.arange(9.0).reshape(1, 1, 3, 3), requires_grad=True)
    w = minidl.tensor(np.ones((1, 1, 2, 2)), requires_grad=True)
    with minidl.keep():
        y = F.conv2d(x, w, padding=1)
        (y * y).sum().backward()
    text = repr(y.explain(0, 0, 0, 1))
    assert "sum over c, u, v of" in text and "y[0,0,0,1] =" in text
    assert "x[0,0,0,1] 1  *  w[0,0,1,1] 1" in text
    assert "2 terms in the padding" in text
    assert "sum     1   stored  1   difference 0" in text
    assert "test_explain.py:" in text and "y = F.conv2d(x, w, padding=1)" in text
    assert "<table>" in y.explain(0, 0, 0, 1)._repr_html_()
    assert "gy[0,0,1,1]" in repr(x.explain_grad(0, 0, 0, 0))
    why = repr(y.why())
    assert why.startswith("conv2d (D3-CONV) -> shape (1, 1, 4, 4)")
    assert "padding = (1, 1)" in why and "x: shape (1, 1, 3, 3), float64, from a leaf" in why
    assert [line.split()[0] for line in y.where_used()] == ["mul", "mul"]   # once a use


def test_the_uses_of_a_tensor_add_up():
    """b = a + a; c = b + b: the case that tapes get wrong."""
    a = minidl.tensor([2.0], requires_grad=True)
    with minidl.keep():
        b = a + a
        c = b * b
        c.backward()
    found = a.explain_grad(0)
    assert [part.total for part in found.parts] == [8.0, 8.0] and found.stored == 16.0
    assert "2 uses" in repr(found)
    assert [part.total for part in b.explain_grad(0).parts] == [4.0, 4.0]
    assert "backward() began with" in repr(c.explain_grad(0))


def test_a_bias_of_two_layers_and_one_that_is_a_weight_too():
    x, w = minidl.tensor([[1.0, 2.0]]), minidl.tensor([[3.0, 0.0], [1.0, -1.0]])
    b, fixed = minidl.tensor([0.5, 4.0], requires_grad=True), minidl.tensor([1.0, 2.0])
    with minidl.keep():
        y = F.linear(F.linear(x, w, b), w, b)
        y.sum().backward()
    parts = b.explain_grad(0).parts              # 1 directly, and 3 + 1 through the second layer
    assert sorted(part.total for part in parts) == [1.0, 4.0] and b.grad[0].item() == 5.0
    assert [line.split()[0] for line in b.where_used()] == ["linear", "linear"]
    with minidl.keep():
        y = F.linear(x, w, fixed)
    assert y.explain(0, 0).total == 1 * 3 + 1 and "b: shape (2,)" in repr(y.why())
    assert y.is_leaf and fixed.grad is None

    square = minidl.tensor([2.0], requires_grad=True)            # y = b x + b: two places, one op
    with minidl.keep():
        F.linear(minidl.tensor([[3.0]]), square.reshape(1, 1), square).backward()
    assert sorted(part.total for part in square.explain_grad(0).parts) == [1.0, 3.0]


def test_an_op_that_no_gradient_is_asked_of_explains_itself_too():
    with minidl.keep():
        y = F.conv2d(minidl.ones(1, 1, 3, 3), minidl.ones(1, 1, 2, 2))
    assert y.is_leaf and y.explain(0, 0, 0, 0).total == 4.0


def test_a_caller_that_answers_to_every_name_is_no_module():
    class Proxy:
        def __getattr__(self, name):
            return None

        def __call__(self, x):
            with minidl.keep():
                return nn.Linear(2, 1)(x).sum()
    assert "test_explain.py" in repr(Proxy()(minidl.ones(1, 2)).why())


def test_a_dropout_mask_is_among_the_factors():
    with minidl.keep():
        y = F.dropout(minidl.ones(1, 8), 0.5)
    names = [[name for name, _, _ in y.explain(0, i).terms[0].factors] for i in range(8)]
    assert names == [["x", "m"]] * 8


def test_without_keep_what_is_alive_is_enough():
    x, w = minidl.ones(1, 1, 3, 3), minidl.ones(1, 1, 2, 2, requires_grad=True)
    assert F.conv2d(x, w).explain(0, 0, 1, 1).total == 4.0
    b = minidl.full((1,), 0.5, requires_grad=True)
    assert F.conv2d(x, w, b).explain(0, 0, 1, 1).total == 4.5


def test_groups_dilation_and_transposed_convolution():
    minidl.manual_seed(1)
    x, w = minidl.randn(1, 4, 7, 7), minidl.randn(6, 2, 3, 3, requires_grad=True)
    b, c = minidl.randn(6, requires_grad=True), minidl.randn(3)
    with minidl.keep():
        y = F.conv2d(x, w, b, stride=2, padding=2, dilation=2, groups=2)
        z = F.conv_transpose2d(y, minidl.randn(6, 3, 3, 3), c, stride=2, padding=1)
        z.sum().backward()
    assert [line.strip() for line in y.why()[2:]] == [
        "x0: shape (1, 3, 4, 4), float32, from conv2d",
        "x1: shape (1, 3, 4, 4), float32, from conv2d", "dim = 1"]
    for o in range(6):
        assert_adds_up(b.explain_grad(o), np.float32)
    found = z.explain(0, 1, 1, 1)
    assert found.formula == (
        "y[n,c,p,q] = b[c], then "
        "y[n, c, i*SH - PH + u*DH, j*SW - PW + v*DW] += g[n,o,i,j] * w[o,c,u,v]",
        "y[0,1,1,1] = b[1] + sum over i, j, o, u, v of g[0,o,i,j] * w[o,1,u,v] "
        "where i*2 + u - 1 = 1 and j*2 + v - 1 = 1",
        "g is y, b is c")
    assert [t.value for t in found.terms if len(t.factors) == 1] == [c[1].item()]
    for index in ((0, 5, 0, 3), (0, 0, 2, 1)):
        assert_adds_up(y.explain(index), np.float32)
    assert_adds_up(z.explain(0, 1, 2, 2), np.float32)
    assert_adds_up(w.explain_grad(4, 1, 2, 0), np.float32)


# --------------------------------------------------------------------------- fields
def test_the_receptive_field_of_a_network_is_what_moves_its_output(step):
    """Exact: an input element is in the field if and only if changing it may change the output;
    for max pooling the whole window counts."""
    minidl.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3, stride=2, padding=1), nn.AvgPool2d(2, stride=1),
                        nn.Conv2d(2, 1, 2, dilation=2))
    x = minidl.randn(1, 1, 13, 13, requires_grad=True)
    with minidl.keep():
        y = net(x)
        y[0, 0, 1, 2].backward()
    fields = [(t, mask) for t, mask in y.receptive_field(0, 0, 1, 2) if t.requires_grad]
    assert {t for t, _ in fields} == {x, *net.parameters()}
    for t, field in fields:
        assert (field == (t.grad.numpy() != 0)).all() and field.any()
        assert t is not x or not field.all()
    assert "[0, 0, " in repr(y.receptive_field(0, 0, 1, 2))


def test_max_pooling_sees_its_whole_window():
    x = minidl.rand(1, 1, 6, 6, requires_grad=True)
    with minidl.keep():
        y = F.max_pool2d(F.max_pool2d(x, 2, stride=1), 3, stride=2)
    ((_, mask),) = y.receptive_field(0, 0, 1, 0)
    assert np.argwhere(mask[0, 0]).min(0).tolist() == [2, 0]
    assert np.argwhere(mask[0, 0]).max(0).tolist() == [5, 3] and mask.sum() == 16


def test_the_projective_field_mirrors_the_receptive_one():
    x, b = minidl.randn(1, 1, 7, 7, requires_grad=True), minidl.randn(2, requires_grad=True)
    w = minidl.randn(2, 1, 3, 3)
    with minidl.keep():
        y = F.conv2d(x, w, b, stride=2)
        s = F.softmax(y.flatten(1), 1)
    (_, of_bias), *_ = b.projective_field(1)
    assert of_bias[:, 1].all() and not of_bias[:, 0].any()        # its own channel, all pixels
    found = {id(t): mask for t, mask in x.projective_field(0, 0, 3, 3)}
    for index in np.ndindex(*y.shape):
        sees = {id(t): m for t, m in y.receptive_field(*index)}[id(x)][0, 0, 3, 3]
        assert found[id(y)][index] == sees
    assert found[id(s)].all()


# --------------------------------------------------------------------------- wrong use
def test_wrong_use_is_a_clear_error():
    x = minidl.randn(2, 3, requires_grad=True)
    with pytest.raises(ValueError, match="is a leaf: no recorded op computed it"):
        x.explain(0, 0)
    y = (2 * x).exp()
    with pytest.raises(IndexError, match=r"shape \(2, 3\) needs 2 indices, got 1"):
        y.explain(0)
    with pytest.raises(IndexError, match=r"index 5 of axis 1 is outside 0..2"):
        y.explain(0, 5)
    with pytest.raises(TypeError, match="index 0 must be an integer, got 0.5"):
        y.explain(0.5, 0)
    with pytest.raises(RuntimeError, match="exp: its argument 'input' is not kept"):
        y.explain(0, 0)
    assert (x * x).explain(-1, -1).title.endswith("y[1,2]")
    with pytest.raises(RuntimeError, match="no gradient has arrived here .None, not zero."):
        x.explain_grad(0, 0)
    y.sum().backward()
    with pytest.raises(RuntimeError, match=r"exp: backward\(\) freed what it used"):
        y.explain(0, 0)
    with pytest.raises(RuntimeError, match="it is not known who used this tensor"):
        x.explain_grad(0, 0)
    assert "kept only inside" in repr(x.exp().why()) and "a leaf" in repr(x.why())


def test_an_operand_changed_since_is_an_error_and_not_a_wrong_explanation():
    x, w = minidl.randn(2, 3), minidl.randn(4, 3, requires_grad=True)
    with minidl.keep():
        y = F.linear(x, w)
        y.sum().backward()
    with minidl.no_grad():
        w -= 0.1 * w.grad
    with pytest.raises(RuntimeError, match="changed in place"):
        y.explain(0, 0)


def test_what_used_a_weight_before_it_was_updated_is_forgotten():
    w = minidl.randn(2, 3, requires_grad=True)
    optimizer = minidl.optim.SGD([w], lr=0.1)
    for _ in range(3):
        with minidl.keep():
            loss = F.linear(minidl.ones(1, 3), w).sum()
            optimizer.zero_grad()
            loss.backward()
        assert len(w.consumers) == 1 and w.explain_grad(0, 0).total == 1.0
        optimizer.step()
    with pytest.raises(RuntimeError, match="not known who used this tensor since it was changed"):
        w.explain_grad(0, 0)


def test_steps_under_keep_do_not_pile_up():
    net, x = nn.Linear(3, 2), minidl.rand(4, 3)
    optimizer = minidl.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(20):
        with minidl.keep():
            loss = net(x).sum()
            optimizer.zero_grad()
            loss.backward()
        optimizer.step()
    assert len(x.consumers) == 1 and not net.weight.consumers


def test_uses_before_the_gradient_was_cleared_do_not_count():
    """A GAN's loop: the discriminator's gradients of the generator's turn were thrown away."""
    w = minidl.tensor([2.0], requires_grad=True)
    with minidl.keep():
        a, b = (w * 3).sum(), (w * 5).sum()
        a.backward()
        assert w.explain_grad(0).total == 3.0
        w.grad = None
        b.backward()
    assert w.explain_grad(0).total == w.explain_grad(0).stored == 5.0


def test_a_hook_and_a_seed_are_said():
    x = minidl.tensor([1.0], requires_grad=True)
    with minidl.keep():
        y = x * 2
        y.backward(minidl.tensor([3.0]), retain_graph=True)
        (y * 4).backward()
    found = y.explain_grad(0)
    assert found.total == found.stored == 7.0 and "backward() began with" in repr(found)
    x = minidl.tensor([1.0], requires_grad=True)
    x.register_hook(lambda g: g * 10)
    with minidl.keep():
        (x * 2).backward()
    said = "a hook saw it, and what a hook returns is stored"
    assert repr(x.explain_grad(0)).count(said) == 1
    x = minidl.tensor([1.0], requires_grad=True)
    with minidl.keep():
        y = x * 2
        y.register_hook(lambda g: g * 10)
        (y * y).backward()
    assert said in repr(y.explain_grad(0)) and said not in repr(x.explain_grad(0))
    assert x.explain_grad(0).total == x.grad.item() == 80.0


def changed(how) -> str:
    """The explanation of a gradient that `how` did something to."""
    x = minidl.tensor([1.0], requires_grad=True)
    with minidl.keep():
        (x * 2).backward()
    how(x)
    return repr(x.explain_grad(0))


def put_by_hand(x):
    x.grad = minidl.tensor([9.0])


def written_to(x):
    x.grad.data[0] = 9


def hooked_too_late(x):
    x.register_hook(lambda g: g * 10)
    minidl.grad(x * 2, x)
    written_to(x)


@pytest.mark.parametrize("how, said", [
    (lambda x: optim.clip_grad_norm_(x, 1.0), "it was changed in place after backward"),
    (lambda x: optim.clip_grad_value_(x, 1.0), "it was changed in place after backward"),
    (put_by_hand, "the program put a gradient here itself"),
    (written_to, "its array was written to, or a backward() outside keep() added to it"),
    (hooked_too_late, "its array was written to, or a backward() outside keep() added to it")])
def test_what_is_said_of_a_gradient_is_what_happened_to_it(how, said):
    text = changed(how)
    assert f"the stored gradient is another number: {said}" in text and "hook" not in text


def test_rounding_is_not_taken_for_a_change():
    """Of two examples, batch normalisation's gradient is a difference of nearly equal numbers."""
    x = minidl.tensor([[-0.8467], [0.8326]], requires_grad=True)
    with minidl.keep():
        y = F.batch_norm(x, None, None, training=True)
        (y * minidl.tensor([[1.3], [-0.7]])).sum().backward()
    for index in np.ndindex(2, 1):
        found = x.explain_grad(index)
        assert abs(found.stored) < 1e-4 and "another number" not in repr(found)


def test_nothing_is_said_of_a_gradient_that_is_its_terms_sum():
    assert "another number" not in changed(lambda x: None)
    assert "another number" not in changed(lambda x: x.register_hook(lambda g: g * 10))
    assert "another number" not in changed(lambda x: optim.clip_grad_norm_(x, 100.0))


def test_a_gradient_that_was_set_to_zero_begins_anew():
    """zero_grad(set_to_none=False), and sums of gradients that are differentiated again."""
    x = minidl.tensor([2.0], requires_grad=True)
    for factor in (3.0, 5.0):
        optim.clear_gradients([x], set_to_none=False)
        with minidl.keep():
            (x * factor).backward()
        assert x.explain_grad(0).total == x.explain_grad(0).stored == factor
    x.grad = None
    with minidl.keep():
        for factor, again in ((3.0, False), (5.0, True)):
            (x * x * factor).backward(create_graph=again)
    assert x.explain_grad(0).total == x.explain_grad(0).stored == 32.0


# --------------------------------------------------------------------------- NaN and infinity
@pytest.mark.parametrize("stored, expected, apart", [
    (np.nan, np.nan, 0), (np.inf, np.inf, 0), (-np.inf, -np.inf, 0), (np.inf, -np.inf, np.inf),
    (3.0, 2.0, 1), (2.0, np.nan, np.nan), (np.nan, 2.0, np.nan), (np.float32(np.inf), 1e39, 0),
    (np.float32(-np.inf), -1e39, 0), (np.float32(np.inf), -1e39, np.inf), (np.inf, 1e39, np.inf),
    (np.float32(0.1), 0.1, np.float64(np.float32(0.1)) - 0.1)])
def test_the_one_comparison(stored, expected, apart):
    np.testing.assert_equal(float(difference(stored, expected)), float(apart))


@st.composite
def spoilt(draw, name):
    """Arguments of an op with inf and NaN among the numbers."""
    args = in_dtype(draw(DOMAINS[name]), draw(st.sampled_from([np.float32, np.float64])))
    arrays = [np.array(x) for x in tensor_arguments(name, args)]
    floats = [x for x in arrays if x.dtype.kind == "f" and x.size]
    for _ in range(draw(st.integers(1, 3)) if floats else 0):
        x = draw(st.sampled_from(floats))
        x.reshape(-1)[draw(st.integers(0, x.size - 1))] = draw(
            st.sampled_from([np.nan, np.inf, -np.inf]))
    return args, [leaf(x) for x in arrays]


def assert_nothing_false_is_said(found: Explanation) -> None:
    """Two NaN, or two equal infinities, do not differ; and where numbers differ, one of the two is
    not finite, for which no hook is to blame."""
    text = repr(found)
    assert "hook" not in text and "in place" not in text and "array was written" not in text
    if np.array_equal(found.stored, found.total, equal_nan=True):
        assert found.difference == 0 and "another number" not in text
    elif np.isfinite(found.stored) and np.isfinite(found.total):
        assert_adds_up(found, np.float32, 1.0)


@every_op
def test_nan_explains_nan(name, kernel_class):
    @settings(max_examples=max(settings.default.max_examples // 6, 2))
    @given(data=st.data())
    def nothing_false(data):
        args, leaves = data.draw(spoilt(name))
        try:
            with minidl.keep(), np.errstate(all="ignore"):
                y = call(name, args, leaves)
                if y.requires_grad and y.numel():
                    y.backward(minidl.from_numpy(noise_like(y.data)))
        except ValueError:                     # an op may refuse such numbers, by name
            return
        if y.is_floating_point() and y.numel():
            for index in [*np.ndindex(y.shape)][:6]:
                assert_nothing_false_is_said(y.explain(index))
        for x in leaves:
            if x.grad is not None:
                for index in [*np.ndindex(x.shape)][:6]:
                    assert_nothing_false_is_said(x.explain_grad(index))
    nothing_false()


@every_op
def test_a_recording_with_nan_is_not_called_wrong(name, kernel_class):
    """check() and the walk: what inf and NaN make of a step is no error of the engine."""
    @settings(max_examples=max(settings.default.max_examples // 8, 2))
    @given(data=st.data())
    def not_wrong(data):
        args, leaves = data.draw(spoilt(name))
        try:
            with minidl.record() as trace, np.errstate(all="ignore"):
                y = call(name, args, leaves)
                if y.requires_grad and y.numel():
                    y.backward(minidl.from_numpy(noise_like(y.data)))
        except ValueError:
            return
        assert [c["reason"] for c in trace.check(entries=4, directions=1)
                if c["status"] == "fail"] == []
        for number in range(1, len(trace.events) + 1):
            Walk(trace).event(number)
    not_wrong()


def test_masked_attention_explains_itself():
    """-inf at the places that are masked: the sum is a number, for the formula and for the op."""
    x = minidl.tensor([[1.0, -np.inf, 2.0], [0.5, 0.25, -np.inf]], requires_grad=True)
    with minidl.keep():
        y = F.softmax(x, 1)
        (y * y).sum().backward()
    for index in np.ndindex(2, 3):
        assert_adds_up(y.explain(index), np.float32)
        assert_adds_up(x.explain_grad(index), np.float32, 1.0)
        assert np.isfinite(x.explain_grad(index).total)


def test_an_explanation_outlives_the_values_in_between():
    x = minidl.tensor([1.0, 2.0], requires_grad=True)
    with minidl.keep():
        x.exp().sqrt().sum().backward()
    gc.collect()
    found = x.explain_grad(0)
    assert abs(found.total - np.sqrt(np.e) / 2) < 1e-6 and abs(found.difference) < 1e-6


def test_an_output_changed_in_place_is_an_error():
    with minidl.keep():
        y = minidl.tensor([1.0]) * 2
        y.add_(5)
        with pytest.raises(RuntimeError, match="changed in place"):
            y.explain(0)


@pytest.mark.parametrize("op", [F.softmax, F.log_softmax, minidl.logsumexp])
def test_formulas_hold_at_large_numbers(op):
    """D12: stable at 1000."""
    x = minidl.tensor([[1000.0, 0.0, -1000.0]], requires_grad=True)
    with minidl.keep():
        y = op(x, 1)
        y.sum().backward()
    assert_adds_up(y.explain((0,) * y.ndim), np.float32)
    assert_adds_up(x.explain_grad(0, 1), np.float32, least=1.0)


@pytest.mark.parametrize("name", ["amax", "amin"])
@pytest.mark.parametrize("ends", [*itertools.product([np.nan, np.inf, -np.inf, 1.0], repeat=3)])
def test_the_gradient_of_an_extreme_is_explained_whatever_the_extreme(name, ends):
    """Equal ones share it, and all NaN where the extreme is NaN."""
    with minidl.keep():
        x = minidl.tensor([ends, (0.0, 2.0, 2.0)], requires_grad=True)
        getattr(minidl, name)(x, 1).backward(minidl.tensor([3.0, 5.0]))
    for index in np.ndindex(x.shape):
        found = x.explain_grad(index)
        assert found.total == pytest.approx(found.stored, rel=1e-6), (ends, index)
        assert "another number" not in repr(found)


def test_operands_that_are_not_shown_are_counted():
    for count, notes in ((8, ()), (9, ("and 8 other elements of x that the steps see",))):
        with minidl.keep():
            y = F.softmax(minidl.ones(1, count, requires_grad=True), 1)
        assert y.explain(0, 0).notes == notes
