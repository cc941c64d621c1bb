"""What a backward pass needs must be what it was: a change in place is noticed, or does no harm."""

from __future__ import annotations

import numpy as np
import pytest

import minidl
import minidl.functional as F

a, b = [1.0, -2.0, 3.0, 0.5], [0.5, 4.0, -1.0, 2.0]


def leaf(values):
    return minidl.tensor(values, dtype=np.float64, requires_grad=True)


# Each function takes its tensors and returns the op's outputs.
CASES = {
    "add": (lambda x, y: x + y, a, b), "sub": (lambda x, y: x - y, a, b),
    "mul": (lambda x, y: x * y, a, b), "div": (lambda x, y: x / y, a, b),
    "pow": (lambda x, y: x.abs() ** y, a, b), "maximum": (minidl.maximum, a, b),
    "minimum": (minidl.minimum, a, b), "exp": (minidl.exp, a), "sqrt": (minidl.sqrt, [1.0, 4.0]),
    "log": (minidl.log, [1.0, 4.0]), "abs": (minidl.abs, a), "sin": (minidl.sin, a),
    "clamp": (lambda x: x.clamp(-1, 1), a), "amax": (lambda x: x.amax(), a),
    "max": (lambda x: x.max(0), a), "min": (lambda x: x.min(0), a), "norm": (lambda x: x.norm(), a),
    "logsumexp": (lambda x: x.logsumexp(0), a), "softmax": (lambda x: F.softmax(x, 0), a),
    "log_softmax": (lambda x: F.log_softmax(x, 0), a), "relu": (F.relu, a),
    "leaky_relu": (F.leaky_relu, a), "elu": (F.elu, a), "gelu": (F.gelu, a),
    "softplus": (F.softplus, a), "sigmoid": (F.sigmoid, a), "tanh": (F.tanh, a),
    "getitem": (lambda x, i: x[i], a, np.array([1, 0, 1])),
    "where": (lambda x, y, c: minidl.where(c, x, y), a, b, np.array([True, False, True, False])),
    "matmul": (lambda x, y: x @ y, a, b), "bce": (F.binary_cross_entropy, [0.2, 0.7], [1.0, 0.0]),
    "conv2d": (lambda x, w: F.conv2d(x, w), np.arange(9.0).reshape(1, 1, 3, 3),
               np.ones((1, 1, 2, 2))),
    "max_pool2d": (lambda x: F.max_pool2d(x, 2, return_indices=True),
                   np.arange(16.0).reshape(1, 1, 4, 4)),
    "batch_norm": (lambda x: F.batch_norm(x, training=True), np.arange(6.0).reshape(3, 2) ** 2),
}


def made(values):
    array = np.asarray(values)
    return leaf(array) if array.dtype.kind == "f" else minidl.tensor(array)


def run(name, change=None):
    """Gradients of the op's float inputs; between forward and backward `change` may interfere."""
    function, *values = CASES[name]
    inputs = [made(v) for v in values]
    outputs = function(*inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    if change is not None:
        change(inputs, outputs)
    outputs[0].backward(minidl.ones_like(outputs[0]) * 2)
    return [x.grad.numpy() for x in inputs if x.requires_grad]


def places():
    for name, (_, *values) in CASES.items():
        yield from ((name, "input", k) for k in range(len(values)))
        yield name, "output", 0
    yield from (("max", "output", 1), ("min", "output", 1), ("max_pool2d", "output", 1))


@pytest.mark.parametrize(("name", "side", "k"), list(places()))
def test_a_change_in_place_is_an_error_or_harmless(name, side, k):
    """D3 of the design: a saved value changed in place never gives a wrong gradient silently."""
    def change(inputs, outputs):
        with minidl.no_grad():
            target = (inputs if side == "input" else outputs)[k].detach()
            target.copy_(~target if target.dtype == bool else target * 0 + 2)
    right = run(name)
    try:
        changed = run(name, change)
    except RuntimeError as error:
        assert "changed in place" in str(error)
        return
    for before, after in zip(right, changed):
        np.testing.assert_array_equal(before, after)


def test_mistakes_in_an_op_of_ones_own_are_named():
    @minidl.op
    def one_for_two(x, y):
        def backward(gy):
            return gy
        return x.data * y.data, backward

    @minidl.op
    def no_backward(x):
        return x.data * 2

    @minidl.op
    def returns_tensor(x):
        def backward(gy):
            return gy
        return x * 2, backward

    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    with pytest.raises(ValueError, match="one_for_two: backward returned 1 gradients for 2"):
        one_for_two(x, y).sum().backward()
    for wrong in (no_backward, returns_tensor):
        with pytest.raises(TypeError, match=rf"{wrong.__name__}: an op returns \(y, backward\)"):
            wrong(x)


def test_single_numbers_have_an_axis_as_in_pytorch():
    x = leaf(3.0)
    for result in (x.sum(0), x.sum(-1), x.softmax(0), x.log_softmax(-1), x.transpose(0, 0),
                   x.max(0).values, x.logsumexp(0), x.squeeze(0)):
        assert result.shape == ()
        x.grad = None
        result.backward()
        assert x.grad.shape == ()
    assert x.flatten().shape == (1,)
    for bad in (lambda: x.sum(1), lambda: x.softmax(1)):
        with pytest.raises(ValueError, match="dim 1 is not an axis"):
            bad()
    with pytest.raises(TypeError, match="sum: dim must be a whole number, got 'a'"):
        x.sum("a")


def test_what_would_be_silently_wrong_is_refused():
    x = minidl.ones(3, 4)
    for call, words in (
            (lambda: x.flatten(1, 0), "start_dim 1 comes after"),
            (lambda: minidl.randn(-1), "at least 0, got -1"),
            (lambda: x.split([-1, 5], 1), "do not add up"), (lambda: x.norm(1), "only p=2"),
            (lambda: x == minidl.ones(2, 2), r"eq: shapes \(3, 4\) and \(2, 2\)")):
        with pytest.raises(ValueError, match=words):
            call()
    with pytest.raises(TypeError, match="input is float64 and weight float32"):
        F.linear(x.double(), x)
    with pytest.raises(RuntimeError, match="expanded view"):
        minidl.ones(1, 2).expand(3, 2).zero_()
    assert x.argmax(keepdim=True).shape == (1, 1)
    assert np.isnan(minidl.zeros(0).mean().item())
    assert minidl.cat([minidl.arange(2), x[0]]).dtype == np.float32
