"""Formulas as lists of steps: what they say is what NumPy computes of the same text."""

import numpy as np
import pytest

from minidl.explain.steps import FUNCTIONS, REDUCTIONS, parsed, step_values, value_of, written
from minidl.op import OPS

TEXTS = [text for op in OPS.values() if op.terms is not None
         for text in (getattr(op.terms, "value", ""), *getattr(op.terms, "partials", ())) if text]


@pytest.mark.parametrize("text", sorted(set(TEXTS)))
def test_every_declaration_is_a_list_of_steps(text):
    steps = parsed(text)
    names = [step.name for step in steps]
    assert len(set(names)) == len(names)
    for number, step in enumerate(steps):
        assert step.do in FUNCTIONS or step.do in REDUCTIONS or step.do == "take"
        assert not {a for a in step.of if isinstance(a, str)} & set(names[number:])


def test_named_lines_are_values_to_look_at():
    steps = parsed("m = max(x, dim); e = exp(x - m); s = sum(e, dim); y = e / s")
    found = step_values(steps, {"x": np.array([[1.0, 2.0, 4.0]]), "dim": 1})
    assert [step.text for step in steps if step.text] == [
        "m = max(x, dim)", "e = exp(x - m)", "s = sum(e, dim)", "y = e / s"]
    assert found["m"] == [[4.0]]
    assert np.allclose(found["e"], np.exp([[-3, -2, 0]]))
    assert np.allclose(found["s"], np.exp([-3, -2, 0]).sum())
    assert np.allclose(found["y"], np.exp([[-3, -2, 0]]) / np.exp([-3, -2, 0]).sum())


def test_equal_expressions_are_one_step():
    assert len(parsed("exp(x - 1) + exp(x - 1)")) == 3


def test_a_number_and_an_operand_are_formulas_too():
    assert value_of("1", {}) == 1 and value_of("x", {"x": 3.0}) == 3.0
    assert value_of("-x + pi", {"x": np.pi}) == 0.0
    a = parsed("a = x; b = a")
    assert [step.name for step in a] == ["a", "b"]


def test_written():
    assert written("x + y", "out") == "out = x + y"
    assert written("m = max(x, dim); y = x - m") == "m = max(x, dim); y = x - m"


@pytest.mark.parametrize("text", ["open('x')", "x[0]", "x.real", "x if y else z", "lambda: 1",
                                  "import os", "1 < x < 2", "x @ y", "f(x)(y)"])
def test_what_no_step_does(text):
    with pytest.raises(ValueError):
        parsed(text)


@pytest.mark.parametrize("name", ["take", "column", "max", "var"])
def test_what_mixes_elements(name):
    x, t = np.array([[1.0, 5.0], [7.0, 7.0]]), np.array([1, 0])
    text, wanted = {"take": ("take(x, column(t), 1)", [[5.0], [7.0]]),
                    "column": ("column(t)", [[1], [0]]), "max": ("max(x, 1)", [[5.0], [7.0]]),
                    "var": ("var(x, 1)", [[4.0], [0.0]])}[name]
    assert np.array_equal(value_of(text, {"x": x, "t": t}), wanted)
