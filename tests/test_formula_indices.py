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
    if any("with the indices before" in text for text in part.formula) or not all(
            name in shapes for name, _ in ARRAY.findall(line.split(" of ")[-1])):
        return
    terms = [tuple((name, index) for name, index, _ in term.factors) for term in part.terms]
    if bias:
        assert f"= {bias[0]}[{','.join(map(str, bias[1]))}] + " in line
        terms.remove((bias,))
    assert sorted(named_by(line, shapes)) == sorted(terms), part


def draw_index(data, shape) -> tuple:
    return tuple(data.draw(st.integers(0, n - 1)) for n in shape)


def shapes_in(told) -> dict[str, tuple]:
    """The shapes of the arrays that the terms' factors stand in."""
    return {factor[0]: origin.shape for term in told.terms
            for factor, origin in zip(term.factors, term.origins) if origin is not None}


def told_formulas(data, y, layer, x) -> None:
    """One element of each: the result, and the gradients for x and the parameters."""
    made = y.explain(draw_index(data, y.shape))
    line = next((line for line in made.formula[1:] if line.startswith("y[")), "'s y")
    bias = next(((name, i) for term in made.terms for name, i, _ in term.factors if name == "b"),
                ())
    if "'s y" not in line:
        index = tuple(map(int, ARRAY.match(line).group(2).split(",")))
        assert_formula_names(made, index, shapes_in(made), bias)
    for tensor in (x, *layer.parameters()):
        index = draw_index(data, tensor.shape)
        for part in tensor.explain_grad(index).parts:
            if part.terms and "where it went" not in part.formula[0]:
                assert_formula_names(part, index, shapes_in(part))


@settings(max_examples=max(settings.default.max_examples // 2, 8))
@given(data=st.data())
def test_of_grouped_convolutions(data):
    few = lambda low, high: data.draw(st.integers(low, high))
    kind = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)[few(0, 2)]
    groups, dims = few(1, 4), 1 if kind is nn.Conv1d else 2
    channels = groups * few(1, 2), groups * few(1, 2)
    layer = kind(*channels, few(1, 2), stride=few(1, 2), padding=few(0, 1), dilation=few(1, 2),
                 groups=groups, bias=data.draw(st.booleans()))
    x = minidl.randn(few(1, 2), channels[0], *[few(3, 4) for _ in range(dims)], requires_grad=True)
    with minidl.keep():
        y = layer(x)
        (y * y).sum().backward()
    told_formulas(data, y, layer, x)


@settings(max_examples=max(settings.default.max_examples // 2, 8))
@given(data=st.data())
def test_of_slices_and_permutations_around_a_layer(data):
    few = lambda low, high: data.draw(st.integers(low, high))
    x = minidl.randn(1, 4, 4, 4, requires_grad=True)
    layer = nn.Conv2d(2, 3, 2, padding=few(0, 1), stride=few(1, 2))
    start, step, which = few(0, 2), few(1, 2), few(0, 4)
    with minidl.keep():
        z = (x[:, start % 2::step][:, :2] if which == 0 else
             x[:, :2, start::step, 1:] if which == 1 else
             x.permute(0, 3, 2, 1)[:, start:start + 2] if which == 2 else
             x[:, 1:3].permute(0, 1, 3, 2) if which == 3 else
             F.pad(x, (1, 1, 0, 0))[:, start:start + 2])
        if min(z.shape[2:]) < 2:
            return
        y = layer(z)
        (y * y).sum().backward()
    told_formulas(data, y, layer, x)


@settings(max_examples=max(settings.default.max_examples // 2, 8))
@given(data=st.data())
def test_of_dense_layers_on_any_axes(data):
    shape = data.draw(st.lists(st.integers(1, 3), min_size=0, max_size=3))
    layer, x = nn.Linear(4, 3), minidl.randn(*shape, 4, requires_grad=True)
    with minidl.keep():
        y = layer(x)
        (y * y).sum().backward()
    told_formulas(data, y, layer, x)


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
