"""The indices of a formula are those of the terms below it, of any layer and any slice: the letters
of the formula are run through, and what it then names is what was added up.
"""

from __future__ import annotations

import re

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import minidl
from minidl import functional as F
from minidl import nn

ARRAY = re.compile(r"(\w+)\[([^\]]*)\]")


def named_by(line: str, shapes: dict[str, tuple]) -> list[tuple]:
    """What a line ``y[..] = b[..] + sum over i, j of gy[..] * x[..] where ...`` names: the indices
    of each product's factors, for every choice of the letters that is inside all arrays."""
    right = line.split(" = ", 1)[1].split("] + sum over")[-1]
    right = right if right.startswith(("sum", " ")) else f"sum over  of {right}"
    letters, rest = right.removeprefix("sum over").split(" of ", 1)
    letters = [letter for letter in letters.strip().split(", ") if letter]
    product, *where = rest.split(" where ")
    conditions = [c.replace(" = ", " == ") for c in where[0].split(" and ")] if where else []
    factors = [(name, f"({text},)" if text else "()") for name, text in ARRAY.findall(product)]
    code = compile(f"({''.join(text + ', ' for _, text in factors)}), "
                   f"all(({''.join(c + ', ' for c in conditions)}))", "formula", "eval")
    most = max(max(shapes[name], default=0) for name, _ in factors)
    grid = np.indices((most,) * len(letters)).reshape(len(letters), -1)
    places, right = eval(code, {"all": lambda each: sum(map(np.logical_not, each)) == 0}, dict(
        zip(letters, grid)))
    right = right & np.ones(grid.shape[1], bool)
    for (name, _), place in zip(factors, places):
        for i, n in zip(place, shapes[name], strict=True):
            right = right & (i >= 0) & (i < n)
    columns = [[(name, p) for p in zip(*([*(i + np.zeros(len(right), int))[right].tolist()]
                                         for i in place))] if place else [(name, ())] * right.sum()
               for (name, _), place in zip(factors, places)]
    return list(zip(*columns))


def assert_formula_names(part, asked: tuple, shapes: dict[str, tuple], bias: tuple = ()) -> None:
    """The formula's left side is the element that was asked for, its right side are the terms."""
    line = [line for line in part.formula if re.match(r"\w+\[[-\d,]*\] = (?!.*'s y)", line)][-1]
    assert ARRAY.match(line).group(2) == ",".join(map(str, asked)), line
    if any("with the indices before" in text for text in part.formula):
        return
    terms = [tuple((name, index) for name, index, _ in term.factors) for term in part.terms]
    if bias:
        assert f"= {bias[0]}[{','.join(map(str, bias[1]))}] + " in line
        terms.remove((bias,))
    assert sorted(named_by(line, shapes)) == sorted(terms), part


def draw_index(data, shape) -> tuple:
    return tuple(data.draw(st.integers(0, n - 1)) for n in shape)


def told_formulas(data, y, layer, x, w, b) -> None:
    """One element of each: the result, and the gradients for x, w and b."""
    names = ("g", "w", "b") if "Transpose" in type(layer).__name__ else ("x", "w", "b")
    made = y.explain(draw_index(data, y.shape))
    shapes = dict(zip(names, (x.shape, w.shape, () if b is None else b.shape)))
    line = next(line for line in made.formula[1:] if line.startswith("y["))
    bias = next(((name, i) for name, i, _ in sum((t.factors for t in made.terms), ())
                 if name == "b"), ())
    if "'s y" not in line:
        index = tuple(map(int, ARRAY.match(line).group(2).split(",")))
        assert_formula_names(made, index, shapes, bias)
    for tensor in filter(lambda t: t is not None, (x, w, b)):
        index = draw_index(data, tensor.shape)
        told = tensor.explain_grad(index)
        for part in told.parts:
            gy = part.terms[0].origins[0].shape if part.terms else None
            if gy:
                assert_formula_names(part, index, shapes | {"gy": gy})


@settings(max_examples=max(settings.default.max_examples, 60))
@given(data=st.data())
def test_of_grouped_convolutions(data):
    few = lambda low, high: data.draw(st.integers(low, high))
    kind = data.draw(st.sampled_from([nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d]))
    groups, dims = few(1, 4), 1 if kind is nn.Conv1d else 2
    channels = groups * few(1, 2), groups * few(1, 2)
    layer = kind(*channels, few(1, 2), stride=few(1, 2), padding=few(0, 1), dilation=few(1, 2),
                 groups=groups, bias=data.draw(st.booleans()))
    x = minidl.randn(few(1, 2), channels[0], *[few(3, 4) for _ in range(dims)], requires_grad=True)
    with minidl.keep():
        y = layer(x)
        (y * y).sum().backward()
    told_formulas(data, y, layer, x, layer.weight, layer.bias)


@settings(max_examples=max(settings.default.max_examples, 60))
@given(data=st.data())
def test_of_slices_and_permutations_around_a_layer(data):
    few = lambda low, high: data.draw(st.integers(low, high))
    x = minidl.randn(2, 5, 6, 5, requires_grad=True)
    layer = nn.Conv2d(2, 3, 2, padding=few(0, 1), stride=few(1, 2))
    start, step = few(0, 2), few(1, 2)
    part = data.draw(st.sampled_from([
        lambda: x[:, start:start + 2 * step:step][:, :2],
        lambda: x[:, :2, start::step, 1:],
        lambda: x.permute(0, 3, 2, 1)[:, start:start + 2],
        lambda: x[:, 1:3].permute(0, 1, 3, 2),
        lambda: F.pad(x, (1, 1, 0, 0))[:, start:start + 2],
        lambda: x[1:, start + 1:start - 1 if start > 1 else None:-1, 1:-1][:, :2]
        if start > 1 else x[:, 2:4]]))
    with minidl.keep():
        z = part()
        if z.shape[1] != 2:
            return
        y = layer(z)
        (y * y).sum().backward()
    told_formulas(data, y, layer, x, layer.weight, layer.bias)


@settings(max_examples=max(settings.default.max_examples, 40))
@given(data=st.data())
def test_of_dense_layers_on_any_axes(data):
    shape = data.draw(st.lists(st.integers(1, 3), min_size=0, max_size=3))
    layer, x = nn.Linear(4, 3), minidl.randn(*shape, 4, requires_grad=True)
    with minidl.keep():
        y = layer(x)
        (y * y).sum().backward()
    told_formulas(data, y, layer, x, layer.weight, layer.bias)


def test_a_depthwise_layer_names_its_own_channel():
    layer, x = nn.Conv2d(2, 2, 1, groups=2), minidl.randn(1, 2, 2, 2, requires_grad=True)
    with minidl.keep():
        y = layer(x)
        y.sum().backward()
    (part,) = layer.weight.explain_grad(1, 0, 0, 0).parts
    assert part.formula[0] == "gw[1,0,0,0] = sum over i, j, n of gy[n,0,i,j] * x[n,1,i,j]"
    assert x.explain_grad(0, 1, 1, 0).parts[0].formula[0].startswith("gx[0,1,1,0] = sum over ")
    assert "y[0,1,0,1] = b[1] + sum over c, u, v of x[0, c + 1, u, v + 1] * w[1,c,u,v]" in (
        y.explain(0, 1, 0, 1).formula)


def test_where_the_array_goes_on_behind_a_padded_slice_its_indices_are_not_the_formulas():
    layer, x = nn.Conv2d(1, 1, 3, padding=1), minidl.randn(1, 1, 4, 4, requires_grad=True)
    with minidl.keep():
        y = layer(x[:, :, 1:3])
        y.sum().backward()
    assert any("x with the indices before getitem" in line
               for line in layer.weight.explain_grad(0, 0, 0, 0).parts[0].formula)
    inside = layer.weight.explain_grad(0, 0, 1, 1).parts[0]
    assert "x with" not in repr(inside) and np.isclose(inside.total, layer.weight.grad.data[
        0, 0, 1, 1])
