"""Modules within modules: nested as deep as one likes, shared, or holding themselves."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl import nn, optim

DEEP = 2000


@pytest.fixture(scope="module")
def deep():
    """A dense layer in two thousand boxes."""
    net = nn.Linear(2, 2)
    for _ in range(DEEP):
        net = nn.Sequential(net)
    return net


def innermost(net):
    while isinstance(net, nn.Sequential):
        net = net[0]
    return net


# --------------------------------------------------------------------------- two thousand deep
def test_everything_but_the_call_is_a_loop(deep, tmp_path):
    layer = innermost(deep)
    assert [p.shape for p in deep.parameters()] == [(2, 2), (2,)]
    assert len(list(deep.modules())) == DEEP + 1 and not list(deep.buffers())
    (longest, _) = state = deep.state_dict()
    assert longest == "0." * DEEP + "weight"
    assert deep.get_submodule("0." * (DEEP - 1) + "0") is layer
    minidl.save(state, tmp_path / "deep.safetensors")
    layer.weight.data[...] = 0
    deep.load_state_dict(minidl.load(tmp_path / "deep.safetensors"))
    assert layer.weight.data.all()
    assert not deep.eval().training and not layer.training and deep.train() is deep
    assert deep.double() is deep and layer.weight.dtype == np.float64 and deep.float() is deep
    deep.requires_grad_(False)
    assert not layer.weight.requires_grad
    deep.requires_grad_(True).zero_grad()
    called = []
    deep.apply(called.append)
    assert called[0] is layer and called[-1] is deep and len(called) == DEEP + 1
    optim.SGD(deep.parameters(), lr=0.1)


def test_its_repr_and_its_copy(deep):
    lines = repr(deep).splitlines()
    assert len(lines) == 2 * DEEP + 1 and lines[-1] == ")" and lines[1] == "  (0): Sequential("
    assert lines[DEEP].strip() == f"(0): {innermost(deep)!r}"
    other = copy.deepcopy(deep)
    mine, yours = innermost(deep).weight, innermost(other).weight
    assert mine is not yours and (mine.data == yours.data).all() and yours.requires_grad


def test_a_call_that_python_cannot_make_says_what_is_too_deep(deep):
    for call in (lambda: deep(minidl.ones(1, 2)), lambda: deep.summary(2)):
        with pytest.raises(ValueError, match="Sequential: modules are nested too deep"):
            call()
    assert not any(m._forward_hooks for m in deep.modules())          # of summary
    shallow = nn.Linear(2, 2)
    for _ in range(100):
        shallow = nn.Sequential(shallow)
    assert shallow(minidl.ones(1, 2)).shape == (1, 2)

    class Endless(nn.Module):
        def forward(self, x):
            return self(x)
    with pytest.raises(ValueError, match="Endless: modules are nested too deep .* calls itself"):
        Endless()(minidl.ones(1))


# --------------------------------------------------------------------------- of any shape
class Told(nn.Module):
    """A module with a repr of its own, on two lines."""

    def __repr__(self):
        return f"<Told\n {len(list(self.children()))}>"


class Kept(nn.Module):
    """A module that says what is copied."""

    __slots__ = ("extra",)

    def __getstate__(self):
        return {**self.__dict__, "copied": True}

    def __setstate__(self, state):
        self.__dict__.update(state)


@st.composite
def trees(draw):
    """A module over modules, some of them in several places."""
    made = [nn.Linear(1, 1)]
    for _ in range(draw(st.integers(1, 8))):
        kind = draw(st.sampled_from([nn.Module, Told, Kept, nn.ReLU, nn.Linear]))
        module = kind(1, 1) if kind is nn.Linear else kind()
        for number, child in enumerate(draw(st.lists(st.sampled_from(made), max_size=3))):
            module.add_module(f"m{number}", child)
        made.append(module)
    return made[-1]


def children(module):
    return [(name, module.__dict__[name]) for name, kind in module._kinds.items()
            if kind == "child"]


def named(module, seen, prefix=""):
    """named_modules, by recursion."""
    if seen is None or module not in seen:
        if seen is not None:
            seen.add(module)
        yield prefix, module
        for name, child in children(module):
            yield from named(child, seen, f"{prefix}.{name}" if prefix else name)


def shown(module) -> str:
    """The repr, by recursion."""
    if type(module) is Told:
        return repr(module)
    extra = module.extra_repr()
    lines = [f"({name}): {shown(child)}".replace("\n", "\n  ") for name, child in children(module)]
    name = type(module).__name__
    return "\n  ".join([f"{name}({extra}", *lines]) + "\n)" if lines else f"{name}({extra})"


def applied(module, fn):
    for child in dict.fromkeys(child for _, child in children(module)):
        applied(child, fn)
    fn(module)


@given(trees())
def test_loops_do_what_recursion_does(module):
    assert list(module.named_modules()) == list(named(module, set()))
    assert list(module.named_modules(remove_duplicate=False)) == list(named(module, None))
    assert repr(module) == shown(module)
    one, other = [], []
    module.apply(one.append)
    applied(module, other.append)
    assert one == other


@given(trees())
def test_a_copy_has_the_same_shape_and_shares_nothing(module):
    other = copy.deepcopy(module)
    pairs = list(zip(module.named_modules(remove_duplicate=False),
                     other.named_modules(remove_duplicate=False), strict=True))
    assert [a[0] for a, _ in pairs] == [b[0] for _, b in pairs]
    twins = {}
    for (_, mine), (_, yours) in pairs:            # what was shared is shared in the copy
        assert type(mine) is type(yours) and mine is not yours
        assert twins.setdefault(mine, yours) is yours
        assert hasattr(yours, "copied") == (type(mine) is Kept)
    for p, q in zip(module.parameters(), other.parameters(), strict=True):
        assert p is not q and (p.data == q.data).all() and not np.shares_memory(p.data, q.data)


def test_a_module_that_contains_itself():
    net, inner = nn.Module(), nn.Linear(1, 1)
    net.inner, inner.back = inner, net
    assert list(net.modules()) == [net, inner] and len(list(net.parameters())) == 2
    twin = copy.deepcopy(net)
    assert twin.inner.back is twin and twin is not net
    for use in (net.state_dict, lambda: repr(net), lambda: net.apply(print)):
        with pytest.raises(ValueError, match="Module: the module contains itself, as 'inner.back'"):
            use()


def test_a_modules_own_way_to_be_copied_is_kept():
    class Own(nn.Linear):
        def __deepcopy__(self, memo):
            return Own(1, 1)

    copied = copy.deepcopy(nn.Sequential(nn.Sequential(Own(2, 3)), nn.ReLU()))
    assert copied[0][0].weight.shape == (1, 1)
