"""What a Tensor is to Python and NumPy: conversion, printing, copying; and changes in place."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl import no_grad, op


def leaf(*numbers):
    return minidl.tensor(np.array(numbers, np.float64), requires_grad=True)


# --------------------------------------------------------------------------- making
def test_constructors_copy_and_from_numpy_shares():
    array = np.ones(3, np.float32)
    copied, shared = minidl.Tensor(array), minidl.from_numpy(array)
    array[0] = 5
    assert copied.tolist() == [1, 1, 1] and shared.tolist() == [5, 1, 1]
    other = minidl.Tensor(copied)
    copied[1] = 9
    assert other.tolist() == [1, 1, 1]


@pytest.mark.parametrize(("value", "dtype"), [
    (1.5, "float32"), ([1.5, 2], "float32"), (np.float64(1.5), "float64"), (np.ones(2), "float64"),
    (np.ones(2, np.float32), "float32"), (3, "int64"), ([1, 2], "int64"), (True, "bool"),
    ([[True], [False]], "bool"), (np.uint8(3), "uint8"), (np.arange(3, dtype=np.int32), "int32"),
    ([], "float32"), ((1, 2.5), "float32"), (range(3), "int64")])
def test_dtype_follows_the_input_and_floats_become_float32(value, dtype):
    assert minidl.tensor(value).dtype == dtype
    assert minidl.tensor(value, dtype=np.float64).dtype == np.float64


def test_numbers_take_the_tensors_dtype():
    x, n = minidl.ones(2), minidl.tensor([1, 2])
    for y in (x + 1, x * 2.5, 1 - x, 2 / x, x**2, 2**x, x + np.float32(1), x * True, x + n, n * x):
        assert y.dtype == np.float32, y
    assert (n + 1).dtype == np.int64 and (n * 2.5).dtype == np.float32
    assert (n / 2).dtype == np.float32 and (n / n).dtype == np.float32
    assert n.sum().dtype == np.int64 and (x > 0).sum().dtype == np.int64
    assert n.float().exp().dtype == n.exp().dtype == np.float32


def test_creation_functions():
    assert minidl.zeros(2, 3).shape == minidl.zeros((2, 3)).shape == (2, 3)
    assert minidl.ones(()).item() == 1.0 and minidl.full((2,), 7).tolist() == [7, 7]
    assert [minidl.full((2,), v).dtype for v in (7, True, 7.0, minidl.tensor(7.0).double())] == [
        minidl.int64, minidl.bool_, minidl.float32, minidl.float64]
    assert minidl.full((2,), 7, minidl.float32).dtype == minidl.float32
    assert minidl.arange(4).tolist() == [0, 1, 2, 3] and minidl.arange(4).dtype == np.int64
    assert minidl.arange(0.0, 1.0, 0.5).dtype == np.float32
    assert minidl.linspace(0, 1, 5).tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert minidl.eye(2).tolist() == [[1, 0], [0, 1]]
    x = minidl.zeros_like(minidl.ones(2, dtype=np.float64), requires_grad=True)
    assert x.dtype == np.float64 and x.requires_grad and minidl.ones_like(x).tolist() == [1, 1]
    assert minidl.rand(2, 2).dtype == minidl.randn((2, 2)).dtype == np.float32
    assert minidl.randint(0, 5, (3,)).dtype == np.int64 and len(minidl.randperm(4)) == 4


# --------------------------------------------------------------------------- to Python
def test_python_sees_numbers_and_sequences():
    x = minidl.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert len(x) == 2 and [row.tolist() for row in x] == [[1, 2], [3, 4]]
    assert float(x[1, 1]) == 4.0 and int(x[0, 1]) == 2 and bool(x[0, 0]) and x.item is not None
    assert [10, 20, 30][minidl.tensor(1)] == 20
    assert x.size() == (2, 2) and x.size(1) == 2 and x.dim() == 2 and x.numel() == 4
    assert x.T.shape == (2, 2) and x.mT[0, 1].item() == 3.0
    assert minidl.ones(2, 3, 4).T.shape == (4, 3, 2)
    assert {x: 1}[x] == 1                                     # hashed by identity
    assert (x == x).all() and not (x != x).any() and (x > 2.5).tolist() == [[False] * 2, [True] * 2]


def test_repr_is_short_and_has_no_effect():
    x = minidl.randn(50, 60, requires_grad=True)
    before = minidl.random.default_generator().get_state()
    assert len(repr(x)) < 700 and x.grad is None and x.is_leaf
    assert minidl.random.default_generator().get_state() == before
    assert repr(minidl.tensor([1.0, 2.0])) == "tensor([1., 2.])"
    assert repr(minidl.tensor(np.ones(1), requires_grad=True)) == (
        "tensor([1.], dtype=float64, requires_grad=True)")
    assert "grad_fn=<exp>" in repr(x.exp()) and "grad_fn" not in repr(x.detach())


def test_formatting():
    loss = minidl.tensor(0.123456)
    assert f"{loss:.3f}" == "0.123" and f"{loss:8.2e}" == "1.23e-01"
    assert f"{loss}" == repr(loss)
    with pytest.raises((TypeError, ValueError)):
        f"{minidl.ones(2):.3f}"


# --------------------------------------------------------------------------- to NumPy
def test_numpy_gives_a_view_that_is_read_only_inside_a_graph():
    x = leaf(1.0, 2.0)
    assert np.shares_memory(x.numpy(), x.data)
    for t in (x, x * 2):
        with pytest.raises(ValueError, match="read-only"):
            t.numpy()[0] = 5.0
    plain = minidl.zeros(2)
    plain.numpy()[0] = 5.0
    assert plain[0].item() == 5.0
    x.data[0] = 9.0                                           # the user's own affair
    assert x[0].item() == 9.0


def test_numpy_functions_take_tensors():
    x = leaf(1.0, 4.0)
    assert np.array_equal(np.asarray(x), [1, 4]) and np.asarray(x, dtype=np.float32).dtype == "f4"
    assert np.allclose(np.array([x.numpy(), x.numpy()]), [[1, 4], [1, 4]])
    np.testing.assert_array_equal(x, [1, 4])
    assert np.array(x, copy=True).flags.writeable


@given(st.sampled_from(["+", "-", "*", "/", "@"]), st.booleans())
def test_arrays_and_tensors_mix_into_tensors(operator, scalar):
    """``array + tensor`` asks the tensor, so that the gradient is not lost."""
    function = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b,
                "/": lambda a, b: a / b, "@": lambda a, b: a @ b}[operator]
    x = leaf(1.0, 2.0)
    array = np.float64(3.0) if scalar and operator != "@" else np.array([3.0, 5.0])
    for y in (function(array, x), function(x, array)):
        assert isinstance(y, minidl.Tensor) and y.requires_grad and y.dtype == np.float64
    np.testing.assert_allclose(function(array, x).numpy(), function(array, x.numpy()))


# --------------------------------------------------------------------------- copying
def test_deepcopy_of_leaves():
    x = leaf(1.0, 2.0)
    (x * 3).sum().backward()
    twin = copy.deepcopy(x)
    twin.grad.data[0] = 100.0
    with no_grad():
        twin += 1
    assert x.tolist() == [1, 2] and x.grad.tolist() == [3, 3] and twin.requires_grad
    shared = copy.deepcopy([x, x])
    assert shared[0] is shared[1]
    with pytest.raises(RuntimeError, match=r"deepcopy: only leaves .*detach\(\)\.clone\(\)"):
        copy.deepcopy(x * 2)


def test_to_and_its_short_forms():
    x = leaf(1.5, -2.5)
    assert x.to(np.float64) is x and x.double() is x
    assert x.float().dtype == np.float32 and x.long().tolist() == [1, -2]
    assert x.to("float32").dtype == np.float32 and x.to(minidl.ones(1)).dtype == np.float32
    assert x.bool().all() and x.int().dtype == np.int32 and x.cpu() is x
    x.float().sum().backward()
    assert x.grad.dtype == np.float64 and x.grad.tolist() == [1, 1]
    assert not x.long().requires_grad and x.clone().requires_grad
    assert x.contiguous() is x and x.reshape(2, 1).T.contiguous().data.flags.c_contiguous


# --------------------------------------------------------------------------- in place
CHANGES = {"add_": lambda t: t.add_(1), "fill_": lambda t: t.fill_(5),
           "x[i] = v": lambda t: t.__setitem__(0, 9.0), "copy_": lambda t: t.copy_(t + 1),
           "+=": lambda t: t.__iadd__(1), "a view": lambda t: t[:1].mul_(2),
           "a detached view": lambda t: t.detach().reshape(2, 1).zero_()}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_saved_value_changed_in_place_is_noticed(change):
    x, w = leaf(1.0, 2.0), minidl.tensor(np.array([3.0, 4.0]))
    y = (x * w).sum()                        # mul's backward needs w
    change(w)
    with pytest.raises(RuntimeError, match="mul: a tensor of shape .* was changed in place"):
        y.backward()
    fresh = (x * w).sum()
    fresh.backward()                         # a new forward pass is fine
    assert np.array_equal(x.grad.numpy(), w.numpy())


def test_an_ops_own_output_changed_in_place_is_noticed():
    x = leaf(1.0, 2.0)
    y = x.exp()
    y.detach().zero_()
    with pytest.raises(RuntimeError, match="exp: a tensor of shape"):
        y.sum().backward()


def test_changes_that_harm_nobody_pass():
    x, w = leaf(1.0, 2.0), minidl.tensor(np.array([3.0, 4.0]))
    y = (x + w).sum()                        # add's backward needs neither
    w.zero_()
    y.backward()
    z = (x * w.clone()).sum()
    w.fill_(7)
    z.backward()
    assert x.grad.tolist() == [1.0, 1.0]


def test_a_constant_filled_before_the_forward_pass_is_not_stale():
    """An op of one's own that closes over a tensor which was written earlier."""
    mask = minidl.zeros(3)
    mask[0] = 1.0

    @op
    def masked(x):
        def backward(gy):
            return gy * mask
        return x.data * mask.data, backward
    x = minidl.ones(3, requires_grad=True)
    masked(x).sum().backward()
    assert x.grad.tolist() == [1.0, 0.0, 0.0]
    y = masked(x).sum()
    mask[1] = 1.0
    with pytest.raises(RuntimeError, match="masked: .* changed in place"):
        y.backward()


def test_where_in_place_is_refused():
    x = leaf(1.0, 2.0)
    for change in ("add_", "fill_", "copy_"):
        with pytest.raises(RuntimeError, match=f"{change}: a leaf that requires grad"):
            getattr(x, change)(1.0)
        with pytest.raises(RuntimeError, match=f"{change}: this tensor is part of a graph"):
            getattr(x * 1, change)(1.0)
    with pytest.raises(RuntimeError, match="x\\[i\\] = v: v requires grad"):
        minidl.zeros(2, dtype=np.float64)[0] = x[0]
    with no_grad():
        x.add_(1.0)
        x[0] = 7.0
        x -= 1
    assert x.tolist() == [6.0, 2.0] and x.is_leaf and x.requires_grad


def test_plus_equals_inside_and_outside_a_graph():
    """Inside it makes a new tensor, so that `loss += term` works; outside it is in place."""
    x = leaf(2.0)
    loss = 0.0
    for _ in range(3):
        loss += x * x
    before = loss
    loss -= x
    loss *= 2
    loss /= 4
    assert loss is not before
    loss.backward()
    assert x.grad.item() == (3 * 4.0 - 1) / 2
    plain = minidl.ones(2)
    same = plain
    plain += 1
    plain *= 3
    assert plain is same and plain.tolist() == [6.0, 6.0]
    total = minidl.zeros(1)
    total += x.float()                       # other requires grad: out of place
    assert total.requires_grad




def test_up_to_a_hundred_numbers_are_shown():
    assert "..." not in repr(minidl.zeros(100)) and "..." in repr(minidl.zeros(101))
    assert repr(minidl.zeros(101)) == "tensor([0., 0., 0., ..., 0., 0., 0.])"
