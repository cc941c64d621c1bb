"""Every op of the table, by the same property tests; its arguments come from the op's domain.

Per op: value = formulas.py, gradient and second derivative = finite differences, both kinds of
kernels equal, inputs not changed, gradients alias nothing, dtype kept, memory order without
influence, graph freed. The index maps are in test_index_maps.py, the mutations in
test_mutation.py.
"""

from __future__ import annotations


import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minidl
from minidl import OPS
from minidl.testing import check_gradients
from minidl.testing.domains import DOMAINS, WITHOUT_DOMAIN

every_op = pytest.mark.parametrize("name", [n for n in OPS if n in DOMAINS])
# A tenth of the profile's examples where each runs many evaluations; at least five.
few = settings(max_examples=max(settings.default.max_examples // 4, 5))


def tensor_arguments(name: str, args: tuple) -> list[np.ndarray]:
    """The arrays among `args` that the op takes as tensors."""
    entry = OPS[name]
    return list(args[0]) if entry.sequence else [args[i] for i in entry.places]


def call(name: str, args: tuple, tensors) -> minidl.Tensor:
    """The op with `tensors` in the places of its tensor arguments; its first output."""
    entry, args = OPS[name], list(args)
    if entry.sequence:
        args[0] = list(tensors)
    else:
        for place, t in zip(entry.places, tensors):
            args[place] = t
    y = entry.call(*args)
    return y[0] if isinstance(y, tuple) else y


def leaf(array: np.ndarray) -> minidl.Tensor:
    """A leaf on this very memory; floats want a gradient."""
    t = minidl.from_numpy(array)
    return t.requires_grad_(array.dtype.kind == "f")


def value_and_gradients(name, args, arrays, upstream):
    """(y, [gx, ...]) as arrays, the gradients None where the input has none."""
    leaves = [leaf(x) for x in arrays]
    y = call(name, args, leaves)
    if y.requires_grad:
        y.backward(minidl.from_numpy(upstream(y.shape).astype(y.dtype)))
    return y, leaves


def noise(seed: int = 0):
    rng = np.random.default_rng(seed)
    return lambda shape: np.asarray(rng.uniform(0.5, 1.5, shape) * rng.choice([-1, 1], shape))


def test_every_op_has_a_domain_or_a_written_reason():
    assert set(OPS) == set(DOMAINS) | set(WITHOUT_DOMAIN), "see minidl/testing/domains.py"
    assert not set(DOMAINS) & set(WITHOUT_DOMAIN)
    assert all(len(reason) > 20 for reason in WITHOUT_DOMAIN.values())
    assert len(WITHOUT_DOMAIN) == 0      # raise this number only together with a reason


# --------------------------------------------------------------------------- derivatives
@every_op
@given(data=st.data())
def test_gradient_equals_finite_differences(name, data):
    """Also D3-CONV, D1-TCONV, D0-MAXPOOL, D0-AVGPOOL, D1-DENSE, D2-RELU, D0-LRELU, D0-TANH,
    D0-SIGMOID, D1-SOFTMAX, D0-BCE, D1-BN: they are ops of the table."""
    args = data.draw(DOMAINS[name])
    check_gradients(lambda *ts: call(name, args, ts), *tensor_arguments(name, args), entries=12,
                    directions=4)


@every_op
@few
@given(data=st.data())
def test_second_derivative_equals_finite_differences(name, data):
    args = data.draw(DOMAINS[name])
    check_gradients(lambda *ts: call(name, args, ts), *tensor_arguments(name, args), order=2,
                    entries=8, directions=3, rtol=1e-5, atol=1e-7)
