"""inf and nan are values: no op warns of them, on whichever processor and BLAS it runs.

NumPy warns in places that differ from machine to machine (its float32 product on AVX-512, a cast, a
reduction), and under ``-W error`` a warning ends the program.
"""

from __future__ import annotations

import contextvars
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optable import call, every_op, few, in_dtype, leaf, taken_from, tensor_arguments

import minidl
from minidl import functional as F
from minidl import nn, optim
from minidl.testing.domains import DOMAINS

SPECIAL = [np.inf, -np.inf, np.nan, 0.0, -0.0, 1e300, -1e300, 1e-300]


def spoilt(array: np.ndarray, rng) -> np.ndarray:
    """A copy with special numbers at random places."""
    array = array.copy()
    if array.size and array.dtype.kind == "f":
        count = rng.integers(1, min(array.size, 4) + 1)
        with np.errstate(over="ignore"):
            array.reshape(-1)[rng.integers(0, array.size, count)] = np.asarray(
                rng.choice(SPECIAL, count)).astype(array.dtype)
    return array


@pytest.fixture(autouse=True)
def _warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture(params=["reference", "fast"])
def each_kernel(request):
    before = minidl.kernels_in_use()
    minidl.use_kernels(request.param)
    yield
    minidl.use_kernels(before)


@every_op
@few
@given(data=st.data(), dtype=st.sampled_from([np.float32, np.float64]),
       seed=st.integers(0, 2**32 - 1), which=st.sampled_from(["reference", "fast"]))
def test_every_op_forward_and_twice_back(name, data, dtype, seed, which):
    args, rng = in_dtype(data.draw(DOMAINS[name]), dtype), np.random.default_rng(seed)
    leaves = [leaf(spoilt(x, rng)) for x in tensor_arguments(name, args)]
    before = minidl.kernels_in_use()
    minidl.use_kernels(which)
    try:
        with taken_from(0):
            y = call(name, args, leaves)
            for _ in range(2):                                # the second is added to the first
                y.backward(leaf(spoilt(np.ones(y.shape, y.dtype), rng)).detach(), retain_graph=True)
            first = minidl.grad(y, [x for x in leaves if x.requires_grad],
                                leaf(spoilt(np.ones(y.shape, y.dtype), rng)), create_graph=True,
                                allow_unused=True)
            for g in first:
                if g is not None and g.requires_grad:
                    g.backward(minidl.ones(g.shape, dtype=g.dtype), retain_graph=True)
    finally:
        minidl.use_kernels(before)


IN_PLACE = {
    "+=": lambda a, b: a.__iadd__(b), "-=": lambda a, b: a.__isub__(b),
    "*=": lambda a, b: a.__imul__(b), "/=": lambda a, b: a.__itruediv__(b),
    "add_": lambda a, b: a.add_(b), "mul_": lambda a, b: a.mul_(b),
    "copy_": lambda a, b: a.copy_(b),
    "clamp_": lambda a, b: a.clamp_(-1, 1), "[:] =": lambda a, b: a.__setitem__(slice(None), b),
    "fill_": lambda a, b: a.fill_(float("inf")), "zero_": lambda a, b: a.zero_(),
}


@pytest.mark.parametrize("name", IN_PLACE)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_in_place(name, dtype, each_kernel):
    a, b = (minidl.tensor([np.inf, -np.inf, np.nan, 1e38, 0.0], dtype=dtype) for _ in range(2))
    IN_PLACE[name](a, minidl.flip(b, 0))
    IN_PLACE[name](minidl.tensor([1, 2, 3, 4, 5]).to(dtype), b)
    if name in ("copy_", "[:] ="):                                 # which convert
        IN_PLACE[name](minidl.tensor([1, 2, 3, 4, 5]), b)
        IN_PLACE[name](minidl.ones(5), minidl.tensor([1e300, -1e300, 1.0, np.nan, np.inf],
                                                     dtype="float64"))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8", "bool"])
def test_conversion(dtype):
    x = minidl.tensor([np.inf, -np.inf, np.nan, 1e300, -1.5], dtype="float64")
    assert str(x.to(dtype).dtype) == dtype
    repr(x), repr(x.float()), x.float().tolist(), x.float().numpy()
    for made in (minidl.tensor(x, dtype=dtype), minidl.tensor(x.numpy(), dtype=dtype)):
        assert str(made.dtype) == dtype
    for make in (lambda: minidl.tensor([1e300, 1.0], dtype=dtype),
                 lambda: minidl.full((2,), 1e300, dtype=dtype),
                 lambda: minidl.ones(2, dtype=dtype).fill_(1e300),
                 lambda: F.pad(minidl.ones(2, dtype=dtype), (1, 1), value=1e300)):
        if dtype in ("int64", "uint8"):
            with pytest.raises(ValueError, match="1e\\+300 does not fit"):
                make()
        else:
            assert str(make().dtype) == dtype
    minidl.ones(5, dtype=dtype).copy_(x)


@pytest.mark.parametrize("f", [
    lambda x: x * 1e300, lambda x: x > 1e300, lambda x: x == 1e300,
    lambda x: x.clamp(-1e300, 1e300),
    lambda x: x.add(x, alpha=1e300), lambda x: minidl.add(x, np.ones(2, np.float32), alpha=1e300),
    lambda x: x.clone().add_(x, alpha=1e300), lambda x: x.clone().fill_(1e300),
    lambda x: x.clone().__setitem__(0, 1e300), lambda x: nn.init.constant_(x.clone(), 1e300),
    lambda x: F.pad(x, (1, 1), value=1e300), lambda x: minidl.where(x > 0, 1e300, x),
    lambda x: F.leaky_relu(-x, 1e300), lambda x: x**1e300, lambda x: 1e300 / x])
def test_python_numbers_beyond_float32(f, each_kernel):
    f(minidl.tensor([3e38, 1.0]))


OPTIMISERS = {
    "sgd": lambda p: optim.SGD(p, 0.1, weight_decay=0.1), "adam": lambda p: optim.Adam(p, 0.1),
    "momentum": lambda p: optim.SGD(p, 0.1, momentum=0.9, nesterov=True),
    "adamw": lambda p: optim.AdamW(p, 0.1), "rmsprop": lambda p: optim.RMSprop(p, 0.1),
    "adagrad": lambda p: optim.Adagrad(p, 0.1),
}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_update_rules_and_clipping(name, each_kernel):
    for clip in (False, True):
        p = nn.Parameter(minidl.tensor([1.0, np.inf, np.nan, 0.0, 3e38]))
        rule = OPTIMISERS[name]([p])
        for _ in range(2):
            p.grad = minidl.tensor([np.inf, np.inf, 1.0, np.nan, 3e38])
            if clip:
                nn.utils.clip_grad_norm_([p], 1.0)
                nn.utils.clip_grad_value_([p], 1.0)
            rule.step()


def layers():
    return [nn.Linear(4, 3), nn.Conv2d(2, 3, 3, padding=1, groups=1), nn.ConvTranspose2d(2, 3, 3),
            nn.BatchNorm2d(2), nn.GroupNorm(1, 2), nn.LayerNorm(4), nn.MaxPool2d(2),
            nn.AvgPool2d(3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Upsample(scale_factor=2),
            nn.Dropout(0.5), nn.ReLU(), nn.LeakyReLU(), nn.ELU(), nn.GELU(), nn.Softplus(),
            nn.Tanh(), nn.Sigmoid(), nn.Softmax(-1), nn.LogSoftmax(-1)]


@pytest.mark.parametrize("layer", layers(), ids=lambda layer: type(layer).__name__)
def test_layers(layer, each_kernel):
    x = minidl.tensor(spoilt(np.ones((3, 2, 4, 4), np.float32), np.random.default_rng(0)))
    y = layer(x.requires_grad_())
    y.backward(minidl.tensor(spoilt(np.ones(y.shape, np.float32), np.random.default_rng(1))))


@pytest.mark.parametrize("loss", ["mse_loss", "l1_loss", "binary_cross_entropy_with_logits",
                                  "kl_div", "smooth_l1_loss"])
def test_losses(loss, each_kernel):
    x = minidl.tensor([np.inf, -np.inf, np.nan, 0.0], requires_grad=True)
    getattr(F, loss)(x, minidl.tensor([0.0, 1.0, 1.0, np.inf])).backward()


def test_cross_entropy(each_kernel):
    x = minidl.tensor([[np.inf, 1, 2], [-np.inf, .5, 1], [np.nan, 0, 0]], requires_grad=True)
    F.cross_entropy(x, minidl.tensor([1, 0, 2])).backward()


def test_a_users_op_keeps_the_context_it_is_called_in():
    """And is silent too."""
    variable = contextvars.ContextVar("variable", default="outside")

    @minidl.op
    def own(x):
        seen.append(variable.get())
        variable.set("set inside")
        return x.data - x.data, lambda gy: gy

    seen = []
    variable.set("inside")
    own(minidl.tensor([np.inf]))
    assert seen == ["inside"] and variable.get() == "set inside"
