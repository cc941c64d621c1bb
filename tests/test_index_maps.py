"""Every op's index map says what the op does: its terms add up to the value and the gradients.

The maps are declared beside the ops (``terms=``) and read by ``minidl.explain.maps``. A Contract
is grouped by its output, and by each operand; of the others only a Composite declares no gradient.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optable import (
    assert_close,
    call,
    every_op,
    few,
    leaf,
    noise_like,
    tensor_arguments,
    value_and_gradients,
)

from minidl import OPS
from minidl.explain import maps
from minidl.ops.terms import Composite, Contract, Elementwise
from minidl.testing.domains import DOMAINS

WITHOUT_MAP: dict[str, str] = {}
LINEAR = [n for n, o in OPS.items() if not isinstance(o.terms, (Composite, Elementwise))]


def explained(name, data):
    args = data.draw(DOMAINS[name])
    y = call(name, args, [leaf(x) for x in tensor_arguments(name, args)])
    return args, maps.Call.of(OPS[name], args, y.data)


def test_every_op_has_a_map_or_a_written_reason():
    """The kinds: Contract, Elementwise, Reduce, Gather, Scatter, Composite."""
    assert {n for n, o in OPS.items() if o.terms is None} == set(WITHOUT_MAP)
    assert len(WITHOUT_MAP) == 0
    composites = {n for n, o in OPS.items() if isinstance(o.terms, Composite)}
    assert composites == {"norm", "amax", "amin", "logsumexp", "softmax", "log_softmax",
                          "standardize", "normalized_affine", "cross_entropy_rows"}


@every_op
@given(data=st.data())
def test_terms_add_up_to_value_and_gradients(name, data):
    """D0-CONV, D3-CONV, D1-TCONV, D0-AVGPOOL, D0-MAXPOOL, D1-DENSE among them."""
    args, explanation = explained(name, data)
    assert_close(maps.value(explanation), explanation.out, 1e-12, "value")
    found = maps.gradients(explanation, noise_like(explanation.out))
    _, gradients = value_and_gradients(name, args)
    assert len(found) == len(gradients)
    for g, expected in zip(found, gradients):
        if isinstance(OPS[name].terms, Composite):
            assert g is None
        elif expected is None:
            assert g is None or not g.any()
        else:
            assert_close(g, expected, 1e-12, "gradient")


@pytest.mark.parametrize("name", LINEAR)
@few
@given(data=st.data())
def test_one_elements_terms_are_those_of_all_that_meet_it(name, data):
    """`at` walks to one element's terms directly; they are the ones that sifting all would give."""
    _, explanation = explained(name, data)
    shapes = [explanation.out.shape, *(x.shape for x in explanation.operands)]
    which = data.draw(st.integers(0, len(shapes) - 1))
    shape = shapes[which]
    if 0 in shape:
        return
    at = tuple(data.draw(st.integers(0, n - 1)) for n in shape)
    place = int(np.ravel_multi_index(at, shape)) if shape else 0
    one = maps.linear_terms(explanation, (which - 1 if which else None, at))
    expected = []
    for group in maps.linear_terms(explanation):
        places = group.out if which == 0 else group.operands.get(which - 1, np.zeros(0) - 1)
        expected += _rows(group, places == place)
    assert sorted(r for g in one for r in _rows(g, np.ones(g.out.size, bool))) == sorted(expected)


def _rows(group: maps.Terms, keep) -> list[tuple]:
    if not keep.any():
        return []
    columns = (c[keep].tolist() for c in (group.out, *group.operands.values()))
    return list(zip([tuple(group.operands)] * int(keep.sum()), *columns))


def test_a_convolution_pixel_by_hand():
    """D3-CONV: y[0,0,0,0] of a 3x3 image and a 2x2 kernel, padding 1: one pixel under the kernel's
    last tap, the other three in the border."""
    x, w = np.arange(9.0).reshape(1, 1, 3, 3) + 1, np.arange(4.0).reshape(1, 1, 2, 2) + 1
    args = (x, w, None, (1, 1), (1, 1), (1, 1))
    explanation = maps.Call.of(OPS["conv2d"], args, call("conv2d", args, [leaf(x), leaf(w)]).data)
    (one,) = maps.linear_terms(explanation, (None, (0, 0, 0, 0)))
    assert one.operands[0].tolist() == [0] and one.operands[1].tolist() == [3]
    assert maps.products(explanation, one).tolist() == [1 * 4.0]
    (one,) = maps.linear_terms(explanation, (None, (0, 0, 2, 1)))
    assert one.operands[0].tolist() == [3, 4, 6, 7]
    assert maps.products(explanation, one).sum() == 4 * 1 + 5 * 2 + 7 * 3 + 8 * 4
    assert isinstance(OPS["conv2d"].terms, Contract)
