"""Update rules against formulas.py and PyTorch's recorded paths; what is skipped; clipping."""

from __future__ import annotations

import copy
import inspect
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl import formulas, nn, optim
from minidl.checks import groups
from minidl.watch import Watcher, Watching

FIXTURES = Path(__file__).parent / "fixtures"
sys.path.insert(0, str(FIXTURES))

from make_nn_optim import (  # noqa: E402
    BY_HAND,
    CHAIN_STEPS,
    CHAINS,
    LR_STEPS,
    OPTIMISERS,
    SCHEDULES,
    STEPS,
    gradient,
    numbers,
)

RECORD = json.loads((FIXTURES / "nn_optim.json").read_text(encoding="utf-8"))
ALL = [(optim.SGD, {"lr": 0.1}), (optim.SGD, {"lr": 0.1, "momentum": 0.9}), (optim.RMSprop, {}),
       (optim.Adam, {}), (optim.AdamW, {}), (optim.Adagrad, {})]


def parameter(start: float = 1.0, shape=(2, 3), dtype=np.float64) -> nn.Parameter:
    return nn.Parameter(numbers(shape, start).astype(dtype))


def walk(optimiser, parameters, steps, first=0):
    """Take steps along the recorded gradients; the parameters after each."""
    path = []
    for step in range(first, first + steps):
        for p in parameters:
            p.grad = minidl.tensor(gradient(p.numpy(), step).astype(p.dtype))
        optimiser.step()
        path.append([p.numpy().copy() for p in parameters])
    return path


# --------------------------------------------------------------------------- rules
@pytest.mark.parametrize("case", range(len(OPTIMISERS)), ids=lambda i: f"{i}-{OPTIMISERS[i][0]}")
def test_path_equals_pytorch(case):
    (name, kwargs), p = OPTIMISERS[case], parameter()
    path = walk(getattr(optim, name)([p], **kwargs), [p], STEPS)
    np.testing.assert_allclose([step[0] for step in path], RECORD["optimisers"][case], rtol=1e-12)


def ours(rule, *args):
    """The arguments after the rule has changed its arrays."""
    arrays = [x.copy() if isinstance(x, np.ndarray) else x for x in args]
    rule(*arrays)
    return arrays


below_one = st.floats(0, 0.999)
rates = st.floats(1e-6, 1)


@given(st.integers(0, 100), rates, below_one, below_one, st.floats(1e-8, 1e-2),
       st.integers(1, 1000))
def test_one_step_equals_the_formulas(seed, lr, beta1, beta2, eps, t):
    """D0-SGD, D1-RMSPROP, D0-ADAM, from any state, at any step."""
    p, g, m, v = (numbers((2, 3), seed + k) for k in range(4))
    v = v**2
    close = {"rtol": 1e-10, "atol": 1e-12}
    q, _ = ours(optim.more.sgd._sgd.readable, p, g, lr)[:2]
    np.testing.assert_allclose(q, formulas.sgd(p, g, np.zeros_like(p), lr)[0], **close)
    q, _, b = ours(optim.more.sgd._sgd_momentum.readable, p, g, m, lr, beta1, 1.0, False)[:3]
    np.testing.assert_allclose([q, b], formulas.sgd(p, g, m, lr, beta1), **close)
    q, _, u = ours(optim.update_rules._rmsprop.readable, p, g, v, lr, beta1, eps)[:3]
    np.testing.assert_allclose([q, u], formulas.rmsprop(p, g, v, lr, beta1, eps), **close)
    q, _, n, u = ours(optim.update_rules._adam.readable, p, g, m, v, t, lr, beta1, beta2, eps)[:4]
    expected = formulas.adam(p, g, m, v, t, lr, beta1, beta2, eps)
    np.testing.assert_allclose([q, n, u], expected, **close)


def test_rho_is_alpha():
    p, q = parameter(), parameter()
    walk(optim.RMSprop([p], 2e-4, 0.5, 1e-7), [p], 3)
    walk(optim.RMSprop([q], 2e-4, rho=0.5, eps=1e-7), [q], 3)
    np.testing.assert_array_equal(p.numpy(), q.numpy())
    with pytest.raises(ValueError, match="alpha=0.9 and rho=0.5 are the same number"):
        optim.RMSprop([p], alpha=0.9, rho=0.5)


@pytest.mark.parametrize("make, options", ALL)
def test_float32_stays_and_arrays_are_changed_in_place(make, options):
    p = parameter(dtype=np.float32)
    array = p.data
    opt = make([p], **options)
    walk(opt, [p], 2)
    assert p.data is array and p.dtype == np.float32
    assert all(v.dtype == np.float32 for v in opt.state[p].values() if isinstance(v, np.ndarray))


@pytest.mark.parametrize("make, options", ALL)
def test_learns(make, options):
    """A line through points."""
    x = minidl.tensor(np.linspace(-1, 1, 20, dtype="f")[:, None])
    layer = nn.Linear(1, 1)
    opt = make(layer.parameters(), **{**options, "lr": 0.2})
    for _ in range(200):
        opt.zero_grad()
        loss = ((layer(x) - (2 * x + 1)) ** 2).mean()
        loss.backward()
        opt.step()
    assert loss.item() < 1e-2


@pytest.mark.parametrize("make, defaults", [
    (optim.SGD, {"lr": 1e-3, "momentum": 0, "dampening": 0, "weight_decay": 0, "nesterov": False}),
    (optim.RMSprop, {"lr": 1e-2, "alpha": 0.99, "eps": 1e-8, "weight_decay": 0}),
    (optim.Adam, {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0}),
    (optim.AdamW, {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 1e-2}),
    (optim.Adagrad, {"lr": 1e-2, "lr_decay": 0, "weight_decay": 0, "eps": 1e-10,
                     "initial_accumulator_value": 0})])
def test_defaults_are_pytorchs(make, defaults):
    p = parameter()
    group = make([p]).param_groups[0]
    assert {key: value for key, value in group.items() if key != "params"} == defaults


# --------------------------------------------------------------------------- what is skipped
@pytest.mark.parametrize("make, options", ALL)
def test_frozen_and_gradientless_parameters_are_left_out_exactly(make, options):
    """A parameter left out for two steps is as if those steps had never been."""
    p, frozen, alone = parameter(1), parameter(2), parameter(2)
    opt = make([p, frozen], **{**options, "weight_decay": 0.1})
    single = make([alone], **{**options, "weight_decay": 0.1})
    walk(opt, [p, frozen], 1), walk(single, [alone], 1)
    before = frozen.numpy().copy()
    frozen.requires_grad_(False)                        # frozen, with an old gradient still there
    walk(opt, [p], 1)
    frozen.requires_grad_(True)
    frozen.grad = None                                  # no gradient
    walk(opt, [p], 1)
    np.testing.assert_array_equal(frozen.numpy(), before)
    walk(opt, [frozen], 1, first=1), walk(single, [alone], 1, first=1)
    np.testing.assert_array_equal(frozen.numpy(), alone.numpy())
    assert opt.state[frozen]["step"] == 2


def test_a_stale_graph_is_noticed():
    layer, x = nn.Linear(2, 2), minidl.randn(3, 2).requires_grad_()
    y = layer(x).sum()
    layer.weight.grad = minidl.ones(2, 2)
    optim.SGD(layer.parameters(), lr=0.1).step()
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_tied_weights_move_once():
    p = parameter()
    net = nn.Module()
    net.a, net.b = p, p
    opt = optim.SGD(net.parameters(), lr=1.0)
    p.grad = minidl.ones(2, 3, dtype=p.dtype)
    before = p.numpy().copy()
    opt.step()
    np.testing.assert_array_equal(p.numpy(), before - 1)


def test_zero_grad_and_closure():
    p = parameter(dtype=np.float32)
    opt = optim.SGD([p], lr=0.1)
    def closure():
        opt.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss
    first = opt.step(closure).item()
    assert opt.step(closure).item() < first
    kept = p.grad
    opt.zero_grad(set_to_none=False)
    assert not p.grad.numpy().any() and np.shares_memory(p.grad.data, kept.data)
    opt.zero_grad()
    assert p.grad is None


def test_gradients_are_cleared():
    p, q = parameter(), parameter()
    p.grad = q.grad = minidl.ones(2, 3, dtype=p.dtype)
    optim.clear_gradients([p])
    optim.clear_gradients([q], set_to_none=False)
    assert p.grad is None and q.grad.numpy().tolist() == [[0.0] * 3] * 2


def test_an_update_records_nothing_and_may_have_nothing_to_do():
    """Gradients are off in a rule of one's own; without a gradient anywhere it is not called."""
    seen = []

    class Own(optim.Optimizer):
        def _update(self, p, g, state, group):
            seen.append(minidl.is_grad_enabled())

    p = parameter()
    opt = Own([p])
    opt.step()
    assert seen == [] and opt.state == {}
    walk(opt, [p], 1)
    assert seen == [False] and minidl.is_grad_enabled()


def test_watchers_of_an_update_are_told_first_and_last_in_turn():
    told = []

    class Listener(Watcher):
        def __init__(self, name):
            self.name = name

        def update_begins(self, optimizer, moved):
            told.append((self.name, "begins", len(moved), before == p.numpy().tolist()))

        def update_ends(self, optimizer, moved):
            told.append((self.name, "ends", len(moved), before == p.numpy().tolist()))

    p = parameter()
    before, opt = p.numpy().tolist(), optim.SGD([p, parameter(2)], lr=1.0)
    with Watching(Listener("a")), Watching(Listener("b")):
        walk(opt, [p], 1)
    assert told == [("a", "begins", 1, True), ("b", "begins", 1, True),
                    ("b", "ends", 1, False), ("a", "ends", 1, False)]


def test_a_state_goes_where_its_parameter_goes(gpu):
    """model.double(), then model.to("cuda"), between steps: the next step is the formula's in the
    new dtype, from the state as it was; and on the (stand-in for a) GPU as on the CPU."""
    layer = nn.Linear(3, 2, bias=False)
    opt, (p,) = optim.Adam(layer.parameters(), 0.1, (0.5, 0.9), 1e-3), layer.parameters()
    options, t = (0.1, 0.5, 0.9, 1e-3), 2
    walk(opt, [p], 1)
    w, m, v = (a.astype(np.float64) for a in (p.numpy(), opt.state[p]["exp_avg"],
                                              opt.state[p]["exp_avg_sq"]))
    for move in (layer.double, lambda: layer.to("cuda")):
        move()
        g = gradient(w, t)
        p.grad = minidl.tensor(g).to(p.device)
        opt.step()
        w, m, v = formulas.adam(w, g, m, v, t, *options)
        state = opt.state[p]
        assert {state[key].dtype for key in ("exp_avg", "exp_avg_sq")} == {np.dtype(np.float64)}
        found = [minidl.device.to_host(a) for a in (p.data, state["exp_avg"], state["exp_avg_sq"])]
        np.testing.assert_allclose(found, [w, m, v], rtol=1e-12)
        t += 1
    assert p.device.startswith("cuda") and isinstance(state["exp_avg"], type(p.data))
    opt.load_state_dict(opt.state_dict())                     # to where the parameter is
    assert isinstance(opt.state[p]["exp_avg"], type(p.data))


# --------------------------------------------------------------------------- groups and state
def test_groups_have_their_own_options():
    p, q, r = parameter(1), parameter(2), parameter(3)
    opt = optim.SGD([{"params": [p]}, {"params": q, "lr": 1.0}], lr=0.1)
    opt.add_param_group({"params": [r], "momentum": 0.5})
    assert [g["lr"] for g in opt.param_groups] == [0.1, 1.0, 0.1]
    before = [t.numpy().copy() for t in (p, q, r)]
    for t in (p, q, r):
        t.grad = minidl.ones(2, 3, dtype=t.dtype)
    opt.step()
    for t, old, lr in zip((p, q, r), before, (0.1, 1.0, 0.1)):
        np.testing.assert_allclose(t.numpy(), old - lr)
    assert "momentum=0.5" in repr(opt)


@pytest.mark.parametrize("make, options", ALL)
def test_a_run_continues_from_its_state(make, options):
    """Through JSON's string keys too; the saved arrays are copies."""
    p, q = parameter(1), parameter(2)
    opt = make([p, q], **options)
    walk(opt, [p, q], 2)
    saved = opt.state_dict()
    saved["state"] = {str(k): v for k, v in saved["state"].items()}
    kept = copy.deepcopy(saved)
    twins = nn.Parameter(p.numpy().copy()), nn.Parameter(q.numpy().copy())
    path = walk(opt, [p, q], 2, first=2)
    resumed = make(twins, lr=9.0)
    resumed.load_state_dict(saved)
    again = walk(resumed, twins, 2, first=2)
    np.testing.assert_array_equal(path, again)
    np.testing.assert_equal(saved, kept)


def replaced(tree, others):
    """The tree again and again, with each of its values in turn replaced by each of `others`."""
    yield from others
    inner = tree.items() if isinstance(tree, dict) else enumerate(
        tree if isinstance(tree, (list, tuple)) else ())
    for key, value in inner:
        for new in replaced(value, others):
            made = dict(tree) if isinstance(tree, dict) else list(tree)
            made[key] = new
            yield made


CRAFTED = [None, 5, "x", [], {}, -5.0, True, 10**400, math.nan, [5], {"a": {}}]


@pytest.mark.parametrize("make, options", [
    *ALL, (optim.SGD, {"momentum": 0.9, "nesterov": True}), (optim.Adagrad, {"lr_decay": 0.1})])
def test_a_crafted_state_is_refused_or_steps(make, options):
    """Every value of a good state replaced in turn: an error names the class, and the optimiser is
    as it was; or the state that was loaded makes a step."""
    p, q = parameter(1), parameter(2)
    opt = make([{"params": [p]}, {"params": [q], "lr": 0.5}], **options)
    walk(opt, [p, q], 1)
    good, refused = copy.deepcopy(opt.state_dict()), 0
    for state in replaced(good, CRAFTED):
        try:
            opt.load_state_dict(state)
        except (ValueError, TypeError) as error:
            assert str(error).startswith(f"{make.__name__}.load_state_dict: "), (state, error)
            np.testing.assert_equal(opt.state_dict(), good)
            refused += 1
        else:
            walk(opt, [p, q], 1)
            opt.load_state_dict(good)
    assert refused > 50


@pytest.mark.parametrize("make", [
    lambda opt: optim.StepLR(opt, 2), lambda opt: optim.CosineAnnealingLR(opt, 5),
    lambda opt: optim.OneCycleLR(opt, 0.1, 9)])
def test_a_crafted_state_of_a_schedule_is_refused_or_steps(make):
    schedule = make(optim.SGD([parameter()], momentum=0.5))
    schedule.step()
    good = copy.deepcopy(schedule.state_dict())
    groups = copy.copy(schedule.optimizer.param_groups[0])
    for state in replaced(good, [*CRAFTED, [-5.0], ["x"], [None]]):
        try:
            schedule.load_state_dict(state)
        except (ValueError, TypeError) as error:
            assert str(error).startswith(f"{type(schedule).__name__}.load_state_dict: "), error
            assert schedule.state_dict() == good
            assert schedule.optimizer.param_groups[0] == groups
        else:
            schedule.step()
            schedule.optimizer.param_groups[0].update(groups)
            schedule.load_state_dict(good)
            groups = copy.copy(schedule.optimizer.param_groups[0])


@pytest.mark.parametrize("params", [
    5, None, "x", [{"lr": 1}], [{}], [{"params": None}], [{"params": 5}], [{"params": "x"}],
    [{"params": [minidl.ones(2)]}, minidl.ones(2)], [{"params": [5]}], [None]])
def test_what_are_no_parameters_is_refused(params):
    for make in (optim.SGD, optim.Adam):
        with pytest.raises(TypeError, match=f"{make.__name__}: (params|a group) must be "):
            make(params)


@pytest.mark.parametrize("option, error, rule", [
    ({"nesterov": "x"}, TypeError, "nesterov must be True or False, got 'x'"),
    ({"nesterov": True}, ValueError, "nesterov needs a momentum and no dampening"),
    ({"nesterov": True, "momentum": 0.9, "dampening": 0.1}, ValueError, "nesterov needs a mom")])
def test_nesterov_is_checked_wherever_it_comes_from(option, error, rule):
    p = parameter()
    opt = optim.SGD([p])
    with pytest.raises(error, match=f"SGD.load_state_dict: {rule}"):
        opt.load_state_dict({"state": {}, "param_groups": [{"params": [0], **option}]})
    with pytest.raises(error, match=f"SGD: {rule}"):
        opt.add_param_group({"params": [parameter(2)], **option})
    with pytest.raises(error, match=f"SGD: {rule}"):
        optim.SGD([p], **option)


def test_pytorchs_sgd_state_has_no_step():
    p, twin = parameter(1), parameter(1)
    opt, other = (optim.SGD([q], 0.1, momentum=0.9) for q in (p, twin))
    walk(opt, [p], 1)
    walk(other, [twin], 1)
    saved = opt.state_dict()
    del saved["state"][0]["step"]
    other.load_state_dict(saved)
    np.testing.assert_array_equal(walk(opt, [p], 2), walk(other, [twin], 2))
    assert (opt.state[p]["step"], other.state[twin]["step"]) == (3, 2)     # counted from there


@pytest.mark.parametrize("step, loaded", [
    (3, 3), (3.0, 3), (np.array(3.0), 3), (np.array([3.0]), 3), (2**53, 2**53),
    (2**53 + 1, ValueError), (2.5, TypeError), (np.array([3.0, 3.0]), TypeError)])
def test_the_step_of_a_loaded_state(step, loaded):
    """A whole number as Python and PyTorch have it: up to 2**53, in an array of one number too."""
    p = parameter()
    opt = optim.RMSprop([p])
    walk(opt, [p], 1)
    state = opt.state_dict()
    state["state"][0]["step"] = step
    if isinstance(loaded, int):
        opt.load_state_dict(state)
        assert repr(opt.state[p]["step"]) == str(loaded)
    else:
        with pytest.raises(loaded, match="RMSprop.load_state_dict: step of parameter 0 must be"):
            opt.load_state_dict(state)


@pytest.mark.parametrize("case", range(len(OPTIMISERS)), ids=lambda i: f"{i}-{OPTIMISERS[i][0]}")
def test_pytorchs_state_dict_is_gone_on_with(case):
    """Its options, and those that it has and this engine does not, at their neutral values."""
    (name, _), saved = OPTIMISERS[case], RECORD["states"][case]
    p = nn.Parameter(np.array(saved["start"]))
    opt = getattr(optim, name)([p], lr=9.0)
    opt.load_state_dict(saved["state_dict"])
    path = walk(opt, [p], STEPS - 2, first=2)
    np.testing.assert_allclose([step[0] for step in path], saved["path"], rtol=1e-12)
    assert opt.param_groups[0].keys() == {"params", *opt.defaults}


@pytest.mark.parametrize("make, option", [
    *[(make, option) for make in (optim.SGD, optim.RMSprop, optim.Adam, optim.AdamW, optim.Adagrad)
      for option in ({"maximize": True}, {"differentiable": True}, {"something_new": 3})],
    (optim.Adam, {"amsgrad": True}), (optim.AdamW, {"amsgrad": True}),
    (optim.Adam, {"decoupled_weight_decay": True}),
    (optim.AdamW, {"decoupled_weight_decay": False}),
    (optim.RMSprop, {"centered": True}), (optim.RMSprop, {"momentum": 0.9}),
    (optim.Adagrad, {"momentum": 0.5}), (optim.Adam, {"nesterov": True}),
])
def test_an_option_that_is_not_offered_is_refused_by_name(make, option):
    """In a loaded state, in a group that is added, in the call; and nothing has been changed."""
    p, (key, value) = parameter(), *option.items()
    opt = make([p], lr=0.1)
    before, state = copy.deepcopy(opt.state_dict()), opt.state_dict()
    state["param_groups"][0].update(option, lr=5.0)
    with pytest.raises(ValueError, match=rf"load_state_dict: {key}={value} is not offered by"):
        opt.load_state_dict(state)
    assert opt.state_dict() == before
    with pytest.raises(ValueError, match=rf"{key}={value} is not offered by {make.__name__}"):
        opt.add_param_group({"params": parameter(2), **option})
    with pytest.raises(TypeError, match=key):
        make([p], **option)


def test_options_of_a_loaded_state_are_obeyed_or_checked():
    p = parameter()
    opt = optim.SGD([p])
    state = opt.state_dict()
    for option, message in (({"lr": -1.0}, "lr must be at least 0"),
                            ({"momentum": math.nan}, "momentum must be at least 0")):
        state["param_groups"][0] = {**opt.state_dict()["param_groups"][0], **option}
        with pytest.raises(ValueError, match=message):
            opt.load_state_dict(state)
    state["param_groups"][0] = {"params": [0], "lr": 0.5, "momentum": 0.9, "dampening": 0.25,
                                "weight_decay": 0.1, "nesterov": False, "foreach": True,
                                "fused": True, "initial_lr": 0.7, "name": "all"}
    opt.load_state_dict(state)
    twin = optim.SGD([parameter()], 0.5, 0.9, 0.25, 0.1)
    np.testing.assert_array_equal(walk(opt, [p], 3), walk(twin, twin.param_groups[0]["params"], 3))
    adam = optim.Adam([p])
    walk(adam, [p], 1)
    state = adam.state_dict()
    del state["state"][0]["exp_avg_sq"]
    with pytest.raises(ValueError, match="exp_avg_sq of parameter 0 is missing"):
        adam.load_state_dict(state)


def test_state_that_does_not_fit_changes_nothing():
    p, q = parameter(1), parameter(2)
    opt = optim.Adam([p, q])
    walk(opt, [p, q], 1)
    good = opt.state_dict()
    with pytest.raises(ValueError, match=r"groups of \[2\] parameters given, this .* has \[1\]"):
        optim.Adam([p]).load_state_dict(good)
    bad = copy.deepcopy(good)
    bad["state"][1]["exp_avg"] = np.zeros((3, 2))
    with pytest.raises(ValueError, match=r"exp_avg of parameter 1 has shape \(3, 2\)"):
        opt.load_state_dict(bad)
    bad["state"][1] = good["state"][1] | {"exp_avg_sq": -good["state"][1]["exp_avg_sq"]}
    with pytest.raises(ValueError, match="exp_avg_sq of parameter 1 .* has negative numbers"):
        opt.load_state_dict(bad)
    for step in (None, ...):
        bad["state"][1] = good["state"][1] | {"step": step}
        if step is ...:
            del bad["state"][1]["step"]
        with pytest.raises(ValueError, match="step of parameter 1 is missing"):
            opt.load_state_dict(bad)
    bad["state"] = {2: {}}
    with pytest.raises(ValueError, match="state of parameter 2, this optimiser has 2"):
        opt.load_state_dict(bad)
    bad["state"] = {5: {}}
    with pytest.raises(ValueError, match="state of parameter 5, this optimiser has 2"):
        opt.load_state_dict(bad)
    np.testing.assert_equal(opt.state_dict(), good)


@pytest.mark.parametrize("make, error, message", [
    (lambda p: optim.SGD([]), ValueError, "SGD: params is empty"),
    (lambda p: optim.SGD([p, p]), ValueError, r"SGD: a parameter of shape \(2, 3\) is given twice"),
    (lambda p: optim.SGD([p * 2]), TypeError, "SGD: params must be leaf tensors, got tensor of"),
    (lambda p: optim.SGD([p.numpy()]), TypeError, "must be leaf tensors, got ndarray"),
    (lambda p: optim.Adam([p], lr=-1), ValueError, "Adam: lr must be at least 0 and below inf"),
    (lambda p: optim.Adam([p], lr=math.nan), ValueError, "Adam: lr must be"),
    (lambda p: optim.Adam([p], betas=(0.9, 1.0)), ValueError, "betas must be at least 0 and below"),
    (lambda p: optim.Adam([{"params": p, "eps": -1}]), ValueError, "eps must be at least 0"),
    (lambda p: optim.SGD([p], nesterov=True), ValueError, "nesterov needs a momentum"),
    (lambda p: optim.Adam([p], amsgrad=True), TypeError, "amsgrad"),
    (lambda p: optim.Optimizer([p]).step(), NotImplementedError, "define _update"),
    (lambda p: optim.StepLR(optim.SGD([p]), 0), ValueError, "step_size must be at least 1"),
    (lambda p: optim.CosineAnnealingLR(optim.SGD([p]), 0), ValueError, "T_max must be at least 1"),
    (lambda p: optim.OneCycleLR(optim.SGD([p]), 1), ValueError, "give total_steps, or epochs"),
    (lambda p: optim.OneCycleLR(optim.SGD([p]), 1, 3), ValueError, "the peak at pct_start=0.3 of"),
    (lambda p: optim.OneCycleLR(optim.SGD([p], momentum=0.5), 1, 10, pct_start=0.1), ValueError,
     "the peak at pct_start=0.1 of 10"),                                 # in the first step
    (lambda p: optim.OneCycleLR(optim.SGD([p], momentum=0.5), 1, 10, pct_start=1.0), ValueError,
     "the peak at pct_start=1.0 of 10"),                                 # in the last
    (lambda p: optim.OneCycleLR(optim.SGD([p]), 1, epochs=3), ValueError, "give total_steps, or"),
    (lambda p: optim.OneCycleLR(optim.SGD([p]), 1, steps_per_epoch=3), ValueError, "give total_"),
    (lambda p: optim.OneCycleLR(optim.SGD([p]), 1, epochs=0, steps_per_epoch=3), ValueError,
     "epochs must be at least 1, got 0"),
    (lambda p: optim.OneCycleLR(optim.SGD([p]), 1, 9, base_momentum=-1.0), ValueError,
     "base_momentum must be at least 0"),
    (lambda p: optim.OneCycleLR(optim.SGD([p]), 1, 9, cycle_momentum=False, div_factor=0),
     ValueError, "div_factor must be above 0, got 0"),
    (lambda p: optim.RMSprop([p], alpha=1.0), ValueError, "alpha must be at least 0 and below 1"),
    (lambda p: optim.RMSprop([p], alpha=1.5), ValueError, "alpha must be at least 0 and below 1"),
])
def test_wrong_arguments_are_named(make, error, message):
    p = parameter()
    p.grad = minidl.ones(2, 3, dtype=p.dtype)
    with pytest.raises(error, match=message):
        make(p)


KINDS = (optim.SGD, optim.RMSprop, optim.Adam, optim.AdamW, optim.Adagrad)
OPTIONS = [(kind, key) for kind in KINDS
           for key in inspect.signature(kind).parameters if key in {*groups.BELOW, "rho"}]


@pytest.mark.parametrize(("kind", "key"), OPTIONS)
def test_every_option_is_a_number_in_its_range(kind, key):
    """Of each optimiser, given to it, to one of its groups, and in a saved state."""
    p, pair = parameter(), key == "betas"
    named = "alpha" if key == "rho" else key
    wrong = [(True, TypeError), ("x", TypeError), ("0.1", TypeError), (None, TypeError),
             (1j, TypeError), ([0.1], TypeError), (np.array([0.1, 0.2]), TypeError),
             (np.bool_(True), TypeError), (math.nan, ValueError), (math.inf, ValueError),
             (-1e-9, ValueError), (-1, ValueError), (np.float32(-1), ValueError),
             (10**400, ValueError)]
    for value, error in wrong:
        value = (0.9, value) if pair else value
        if named == "alpha" and value is None:                   # not given
            continue
        with pytest.raises(error, match=f"{kind.__name__}: ({named}|{key}) must be"):
            kind([p], **{key: value})
        if key != "rho":
            with pytest.raises(error, match=f"{kind.__name__}: {named} must be"):
                kind([{"params": [p], key: value}])
            saved = kind([p]).state_dict()
            saved["param_groups"][0][key] = value
            with pytest.raises(error, match=rf"{kind.__name__}.load_state_dict: {named} must be"):
                kind([p]).load_state_dict(saved)
    for value in (np.float32(0.5), np.float64(0.5), 0.5, np.float16(0.5)):
        group = kind([p], **{key: (value, value) if pair else value}).param_groups[0]
        assert repr(group[named]) == ("(0.5, 0.5)" if pair else "0.5")
    if pair:
        for value in (0.9, (0.9,), (0.9, 0.9, 0.9), "ab", None):
            with pytest.raises((ValueError, TypeError), match="betas must be"):
                kind([p], betas=value)


@pytest.mark.parametrize(("make", "name"), [
    (lambda o, v: optim.StepLR(o, v), "StepLR: step_size"),
    (lambda o, v: optim.CosineAnnealingLR(o, v), "CosineAnnealingLR: T_max"),
    (lambda o, v: optim.OneCycleLR(o, 1.0, v), "OneCycleLR: total_steps")])
def test_steps_of_a_schedule_are_whole_numbers(make, name):
    for value in (1.5, 10.0, True, "x", [3]):
        with pytest.raises(TypeError, match=f"{name} must be a whole number"):
            make(optim.SGD([parameter()]), value)
    make(optim.SGD([parameter()]), np.int64(20))


# --------------------------------------------------------------------------- clipping
def test_clip_by_norm():
    a, b, none = parameter(1), parameter(2), parameter(3)
    a.grad, b.grad = minidl.tensor([[3.0] * 3, [0.0] * 3]).double(), minidl.zeros(2, 3).double()
    b.grad[0, 0] = 4.0
    norm = optim.clip_grad_norm_([a, b, none], 1.0)
    expected = math.sqrt(3 * 9 + 16)
    assert norm.item() == pytest.approx(expected)
    np.testing.assert_allclose(a.grad.numpy()[0], 3 / expected, rtol=1e-5)
    assert b.grad.numpy()[0, 0] == pytest.approx(4 / expected, rel=1e-5)
    before = a.grad.numpy().copy()
    assert nn.utils.clip_grad_norm_([a, b], 5.0).item() == pytest.approx(1, rel=1e-5)
    np.testing.assert_array_equal(a.grad.numpy(), before)        # short enough already
    assert optim.clip_grad_norm_(a, 9, math.inf).item() == pytest.approx(3 / expected, rel=1e-5)
    assert optim.clip_grad_norm_(a, 9, 1).item() == pytest.approx(9 / expected, rel=1e-5)
    assert optim.clip_grad_norm_([none], 1).item() == 0
    a.grad[0, 0] = math.inf
    with pytest.raises(RuntimeError, match="the norm of the gradients is inf"):
        optim.clip_grad_norm_([a], 1, error_if_nonfinite=True)


def with_gradient(*numbers, dtype=np.float64):
    """A parameter that has these numbers as its gradient."""
    p = nn.Parameter(np.zeros(len(numbers), dtype))
    p.grad = minidl.tensor(np.array(numbers, dtype))
    return p


@pytest.mark.parametrize("p", [1, 2, 3.5, 20, math.inf])
@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_no_power_of_a_gradient_is_too_large_or_too_small(size, p):
    """In float32, where size**2 is 0 or inf: the norm is that of float64, and so is the share."""
    numbers = np.array([3.0, -4.0, 0.0]) * size
    norm = np.abs(numbers).max() if p == math.inf else (
        (np.abs(numbers / size) ** p).sum() ** (1 / p) * size)
    a = with_gradient(*numbers, dtype=np.float32)
    assert optim.clip_grad_norm_([a], size / 8, p).item() == pytest.approx(
        norm, rel=1e-6, abs=0)
    share = min(1, size / 8 / (norm + 1e-6))
    np.testing.assert_allclose(a.grad.numpy(), numbers * share, rtol=1e-6, atol=1e-40)


def test_clip_by_norm_is_its_formula_at_the_ends():
    """g min(1, max_norm / (|g| + 1e-6)), with a norm as small as the 1e-6; of no gradient but
    zeros; down to nothing; a norm that no float32 holds, and one that is not finite."""
    p = with_gradient(3e-6)
    assert optim.clip_grad_norm_(p, 1e-6).item() == pytest.approx(3e-6, rel=1e-12, abs=0)
    assert p.grad.numpy() == pytest.approx([3e-6 / (3 + 1)], rel=1e-12, abs=0)
    zeros = with_gradient(0.0, 0.0)
    assert optim.clip_grad_norm_([zeros], 1.0).item() == 0 and not zeros.grad.numpy().any()
    p = with_gradient(3.0, 4.0)
    assert optim.clip_grad_norm_([p], 0.5).item() == 5
    assert p.grad.numpy() == pytest.approx([0.3, 0.4], rel=1e-6)
    optim.clip_grad_norm_([p], 0)
    assert p.grad.numpy().tolist() == [0, 0]
    huge = with_gradient(3e38, 3e38, dtype=np.float32)
    assert optim.clip_grad_norm_([huge], 1.0).item() == math.inf
    endless = with_gradient(1.0, -math.inf)
    assert optim.clip_grad_norm_([endless], 1.0).item() == math.inf      # said, unless asked to
    for max_norm, norm_type, wrong in ((-0.5, 2, "max_norm"), (1, 0.5, "norm_type")):
        with pytest.raises(ValueError, match=f"{wrong} must be at least"):
            optim.clip_grad_norm_([p], max_norm, norm_type)


def test_clip_by_value():
    p = parameter()
    p.grad = minidl.tensor([[-3.0, 0.5, 2.0]] * 2).double()
    optim.clip_grad_value_([p, parameter()], 1)
    assert p.grad.numpy()[0].tolist() == [-1, 0.5, 1]
    optim.clip_grad_value_([p], 0.25)
    assert p.grad.numpy()[0].tolist() == [-0.25, 0.25, 0.25]
    optim.clip_grad_value_([p], 0)
    assert p.grad.numpy()[0].tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="clip_value must be at least 0, got -0.5"):
        optim.clip_grad_value_([p], -0.5)


# --------------------------------------------------------------------------- schedules
@pytest.mark.parametrize("case", range(len(SCHEDULES)), ids=lambda i: f"{i}-{SCHEDULES[i][0]}")
def test_schedule_equals_pytorch(case):
    (name, kwargs), path = SCHEDULES[case], []
    opt = optim.SGD([parameter()], lr=0.1, momentum=0.5)
    scheduler = getattr(optim.lr_scheduler, name)(opt, **kwargs)
    for t in range(LR_STEPS):
        if t > 0:
            scheduler.step()
        path.append([scheduler.get_last_lr()[0], opt.param_groups[0]["momentum"]])
    np.testing.assert_allclose(path, RECORD["schedules"][case], rtol=1e-12)


@pytest.mark.parametrize("case", range(len(CHAINS)), ids=lambda i: "-".join(
    name[:2] for name, _ in CHAINS[i][0]) + f"-{CHAINS[i][1]}")
def test_schedules_on_one_optimiser_equal_pytorch(case):
    """Each goes on from the rate that stands there: another's, or one set by hand."""
    (chain, hand), path = CHAINS[case], []
    opt = optim.SGD([parameter()], lr=0.1, momentum=0.5)
    made = [getattr(optim, name)(opt, **kwargs) for name, kwargs in chain]
    for step in range(1, CHAIN_STEPS + 1):
        if step == hand:
            opt.param_groups[0]["lr"] = BY_HAND
        if step == 9:                                  # saved and loaded on the way
            states = [s.state_dict() for s in made], opt.state_dict()
            opt = optim.SGD([parameter()], lr=3.0)
            made = [getattr(optim, name)(opt, **kwargs) for name, kwargs in chain]
            opt.load_state_dict(json.loads(json.dumps(states[1])))
            for each, state in zip(made, states[0]):
                each.load_state_dict(json.loads(json.dumps(state)))
            opt.load_state_dict(states[1])
        for each in made:
            each.step()
        path.append([opt.param_groups[0]["lr"], *[s.get_last_lr()[0] for s in made]])
    np.testing.assert_allclose(path, RECORD["chains"][case], rtol=1e-9)


def test_a_schedules_state_is_checked():
    opt = optim.SGD([parameter()], lr=0.1)
    schedule = optim.StepLR(opt, 2, 0.5)
    pytorchs = {"step_size": 2, "gamma": 0.5, "base_lrs": [0.1], "last_epoch": 3, "_step_count": 4,
                "_is_initial": False, "_get_lr_called_within_step": False, "_last_lr": [0.05]}
    schedule.load_state_dict(pytorchs)
    assert (schedule.last_epoch, schedule.get_last_lr()) == (3, [0.05])
    for change, message in (({"gamma": 0.1}, "gamma=0.1 given, this schedule has 0.5"),
                            ({"step_size": 3}, "step_size=3 given, this schedule has 2"),
                            ({"T_max": 3}, "T_max=3 given, this schedule has None"),
                            ({"base_lrs": [1, 2]}, "2 groups given, this schedule has 1")):
        with pytest.raises(ValueError, match=message):
            schedule.load_state_dict({**pytorchs, **change})
    with pytest.raises(ValueError, match="there is no last_epoch"):
        schedule.load_state_dict({})
    opt.add_param_group({"params": parameter(2)})
    with pytest.raises(ValueError, match="2 groups of parameters, 1 when the schedule was made"):
        schedule.step()
    with pytest.raises(ValueError, match="neither momentum nor betas"):
        optim.OneCycleLR(optim.Adagrad([parameter()]), 0.1, 10)


def test_schedule_continues_from_its_state():
    opt = optim.Adam([parameter()], lr=0.1)
    schedule = optim.StepLR(opt, 2, 0.1)
    for _ in range(3):
        schedule.step()
    other = optim.Adam([parameter()], lr=5.0)
    other.load_state_dict(opt.state_dict())
    resumed = optim.StepLR(other, 2, 0.1)
    resumed.load_state_dict(schedule.state_dict())
    assert resumed.get_last_lr() == pytest.approx([0.01])
    resumed.step(), schedule.step()
    assert resumed.get_last_lr() == schedule.get_last_lr() == pytest.approx([0.001])


def test_one_cycle_turns_beta1_and_ends():
    """As many steps of the optimiser as of the schedule: the last sets a rate nobody uses."""
    p = parameter()
    opt = optim.Adam([p])
    schedule = optim.OneCycleLR(opt, 0.1, total_steps=10)
    for step in range(10):
        if step == 9:
            assert opt.param_groups[0]["betas"] == pytest.approx((0.95, 0.999))
            assert opt.param_groups[0]["lr"] == pytest.approx(0.1 / 25 / 1e4)
        walk(opt, [p], 1)
        schedule.step()
    with pytest.raises(ValueError, match=r"OneCycleLR: step\(\) number 11, a cycle has 10"):
        schedule.step()


def test_a_tensor_of_another_library_in_a_loaded_state():
    """PyTorch's state dict as it is: its tensors have __array__."""
    class Foreign:
        def __init__(self, array):
            self.array = np.asarray(array)

        def __array__(self, dtype=None, copy=None):
            return np.array(self.array, dtype)

    p = minidl.nn.Parameter(minidl.ones(2))
    rule = minidl.optim.SGD([p], 0.1, momentum=0.9)
    state = rule.state_dict()
    state["state"] = {0: {"momentum_buffer": Foreign(np.float32([1, 2]))}}
    rule.load_state_dict(state)
    p.grad = minidl.zeros(2)
    rule.step()
    np.testing.assert_allclose(p.numpy(), [1 - 0.09, 1 - 0.18], rtol=1e-6)
    state["state"][0]["momentum_buffer"] = 5.0
    with pytest.raises(TypeError, match="momentum_buffer of parameter 0 must be an array, got 5.0"):
        rule.load_state_dict(state)


def rates(schedule, steps: int) -> list[float]:
    """The rates at first and after each of so many steps."""
    found = [schedule.get_last_lr()[0]]
    for _ in range(steps):
        schedule.step()
        found += schedule.get_last_lr()
    return found


def test_what_a_schedule_does_unless_told():
    """PyTorch's defaults: a tenth, down to 0; and a cycle of one epoch, or of epochs of one step,
    whose momentum is not looked at where it does not cycle."""
    opt = optim.SGD([parameter()], lr=0.1)
    assert rates(optim.StepLR(opt, 1), 2) == pytest.approx([0.1, 0.01, 0.001])
    opt.param_groups[0]["lr"] = 0.1
    assert rates(optim.CosineAnnealingLR(opt, 4), 4)[2::2] == pytest.approx([0.05, 0.0])
    cycles = [rates(optim.OneCycleLR(opt, 1.0, cycle_momentum=False, base_momentum=-1.0, **length),
                    10) for length in ({"total_steps": 10}, {"epochs": 1, "steps_per_epoch": 10},
                                       {"epochs": 10, "steps_per_epoch": 1})]
    assert cycles[0] == cycles[1] == cycles[2]
    assert cycles[0][:3] == pytest.approx([0.04, 0.52, 1.0])          # 1/25, halfway, the peak


@pytest.mark.parametrize("total, peak", [(5, 0.5), (10, 8.0), (10, 8.5)])
def test_a_cycle_may_peak_early_or_late(total, peak):
    """Along a line: up from 0.1 to 1 at the peak, then down to 0.01 at step total - 1."""
    opt = optim.SGD([parameter()])
    cycle = optim.OneCycleLR(opt, 1.0, total, pct_start=(peak + 1) / total, cycle_momentum=False,
                             anneal_strategy="linear", div_factor=10, final_div_factor=10)
    expected = np.interp(np.arange(total), [0, peak, total - 1], [0.1, 1, 0.01])
    assert rates(cycle, total - 1) == pytest.approx(expected)


@pytest.mark.parametrize("make, most", [
    (lambda opt: optim.StepLR(opt, 2), 2**53),
    (lambda opt: optim.OneCycleLR(opt, 0.1, 9, cycle_momentum=False), 9)])
def test_the_last_step_that_a_schedule_can_be_at(make, most):
    schedule = make(optim.SGD([parameter()]))
    schedule.load_state_dict({"last_epoch": most})
    assert schedule.last_epoch == most
    with pytest.raises(ValueError, match=f"last_epoch must be at most {most}, got {most + 1}"):
        schedule.load_state_dict({"last_epoch": most + 1})


def test_two_schedules_go_on_from_their_states_with_the_rate_that_stood_there():
    def made():
        opt = optim.SGD([parameter()], lr=0.1)
        return opt, optim.OneCycleLR(opt, 1.0, 20, cycle_momentum=False), optim.StepLR(opt, 1, 0.5)
    first, again = made(), made()
    for _ in range(3):
        for part in first[1:]:
            part.step()
    for new, old in zip(again, first):
        new.load_state_dict(old.state_dict())
    for _ in range(3):
        assert again[0].param_groups[0]["lr"] == first[0].param_groups[0]["lr"]
        for part in (*first[1:], *again[1:]):
            part.step()
