"""Layers: against formulas.py, against PyTorch's recorded numbers, and what Module promises."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

import minidl
import minidl.functional as F
from minidl import formulas, nn, optim
from minidl.nn import init
from minidl.random import Generator, default_generator

FIXTURES = Path(__file__).parent / "fixtures"
sys.path.insert(0, str(FIXTURES))

from make_nn_optim import LAYERS, numbers  # noqa: E402

RECORD = json.loads((FIXTURES / "nn_optim.json").read_text(encoding="utf-8"))


def small_net() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(),
                         nn.Linear(8, 3))


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.b(self.a(x))


# --------------------------------------------------------------------------- layers
@pytest.mark.parametrize("case", range(len(LAYERS)), ids=lambda i: f"{i}-{LAYERS[i][0]}")
def test_layer_equals_pytorch(case):
    """Same arguments, same state dict (names, shapes, order), same result, same statistics."""
    (name, args, kwargs, shapes), record = LAYERS[case], RECORD["layers"][case]
    layer = getattr(nn, name)(*args, **kwargs).double()
    assert {k: list(v.shape) for k, v in layer.state_dict().items()} == record["state"]
    assert list(layer.state_dict()) == list(record["state"])
    learnt = {key: numbers(shape, i) for i, (key, shape) in enumerate(record["state"].items())
              if "running" not in key and "tracked" not in key}
    layer.load_state_dict(learnt, strict=False)
    out = layer(*[minidl.tensor(numbers(shape, 10 + i)) for i, shape in enumerate(shapes)])
    for y, expected in zip(out if isinstance(out, tuple) else (out,), record["outputs"]):
        np.testing.assert_allclose(y.numpy(), np.array(expected), rtol=1e-10, atol=1e-11)
    for key, buffer in layer.named_buffers():
        np.testing.assert_allclose(buffer.numpy(), record["buffers"][key], rtol=1e-10)


def test_dense_equals_the_formula():
    layer = nn.Linear(4, 3).double()
    x = numbers((2, 4), 5)
    expected = formulas.linear(x, layer.weight.numpy(), layer.bias.numpy())
    np.testing.assert_allclose(layer(minidl.tensor(x)).numpy(), expected, rtol=1e-12)


def test_batch_norm_equals_the_formula_with_keras_momentum():
    """D1-BN: Keras's momentum 0.8 is PyTorch's 1 - 0.8."""
    layer, x = nn.BatchNorm2d(3, eps=1e-3, momentum=1 - 0.8).double(), numbers((4, 3, 2, 2), 1)
    with minidl.no_grad():
        layer.weight.copy_(numbers((3,), 2)), layer.bias.copy_(numbers((3,), 3))
    affine = layer.weight.numpy(), layer.bias.numpy()
    y, mean, var = formulas.batch_norm(x, *affine, np.zeros(3), np.ones(3), momentum=0.8)
    np.testing.assert_allclose(layer(minidl.tensor(x)).numpy(), y, rtol=1e-10)
    np.testing.assert_allclose(layer.running_mean.numpy(), mean, rtol=1e-10)
    np.testing.assert_allclose(layer.running_var.numpy(), var, rtol=1e-10)
    y, _, _ = formulas.batch_norm(x, *affine, mean, var, training=False)
    np.testing.assert_allclose(layer.eval()(minidl.tensor(x)).numpy(), y, rtol=1e-10)
    assert layer.num_batches_tracked.item() == 1


def test_batch_norm_that_fails_has_counted_nothing():
    layer = nn.BatchNorm1d(2)
    with pytest.raises(ValueError, match="more than one value"):
        layer(minidl.ones(1, 2))
    assert layer.num_batches_tracked.item() == 0
    with pytest.raises(ValueError, match="BatchNorm2d: input must have 4 axes"):
        nn.BatchNorm2d(2)(minidl.ones(3, 2))


def test_dropout_equals_the_formula_and_does_nothing_in_evaluation():
    layer, x = nn.Dropout(0.3).double(), numbers((50, 40), 1)
    y = layer(minidl.tensor(x)).numpy()
    np.testing.assert_allclose(y, formulas.dropout(x, y != 0, 0.3), rtol=1e-12)
    assert abs((y != 0).mean() - 0.7) < 0.05
    assert layer.eval()(t := minidl.tensor(x)) is t


def test_residual_equals_the_formula():
    inner, x = nn.Linear(3, 3).double(), numbers((2, 3), 1)
    expected = formulas.residual(x, lambda v: inner(minidl.tensor(v)).numpy())
    np.testing.assert_allclose(nn.Residual(inner)(minidl.tensor(x)).numpy(), expected)
    wider = nn.Residual(nn.Linear(3, 5), shortcut=nn.Linear(3, 5))
    assert wider(minidl.ones(2, 3)).shape == (2, 5)
    with pytest.raises(ValueError, match=r"x has shape \(2, 3\), F\(x\) \(2, 1\)"):
        nn.Residual(nn.Linear(3, 1))(minidl.ones(2, 3))


@pytest.mark.parametrize("size, kernel, stride", [(7, 5, 2), (8, 3, 2), (5, 4, 3), (6, 3, 1)])
def test_keras_same(size, kernel, stride):
    """A convolution gives ceil(H / S) pixels, a transposed one H S."""
    x = minidl.randn(1, 2, size, size)
    y = nn.Conv2d(2, 3, kernel, stride, padding="same")(x)
    assert y.shape == (1, 3, -(-size // stride), -(-size // stride))
    y = nn.ConvTranspose2d(2, 3, kernel, stride, padding="same")(x)
    assert y.shape == (1, 3, size * stride, size * stride)


def test_attention_masks():
    """True hides a position; causal and padding masks together; numbers are added."""
    layer, x = nn.MultiheadAttention(4, 2, batch_first=True), minidl.randn(2, 3, 4)
    hidden = minidl.tensor(np.array([[False, False, True], [False, False, False]]))
    _, causal = layer(x, x, x, is_causal=True, average_attn_weights=False)
    assert causal.shape == (2, 2, 3, 3)
    assert (np.triu(causal.numpy(), 1) == 0).all()
    _, padded = layer(x, x, x, key_padding_mask=hidden)
    assert (padded.numpy()[0, :, 2] == 0).all() and (padded.numpy()[1] > 0).all()
    np.testing.assert_allclose(padded.numpy().sum(-1), 1, rtol=1e-6)
    upper = ~np.tri(3, dtype=bool)
    _, same = layer(x, x, x, attn_mask=minidl.tensor(upper), average_attn_weights=False)
    np.testing.assert_array_equal(same.numpy(), causal.numpy())
    _, added = layer(x, x, x, attn_mask=minidl.tensor(np.where(upper, -1e9, 0).astype("f")),
                     average_attn_weights=False)
    np.testing.assert_allclose(added.numpy(), causal.numpy(), atol=1e-6)
    layer.dropout = 0.5                            # as in PyTorch, the weights after dropout
    _, dropped = layer(x, x, x, average_attn_weights=False)
    plain = layer.eval()(x, x, x, average_attn_weights=False)[1].numpy()
    dropped = dropped.numpy()
    assert 0 < (dropped == 0).sum() < dropped.size
    np.testing.assert_allclose(dropped[dropped > 0], 2 * plain[dropped > 0], rtol=1e-5)
    one, weights = layer(x[0], x[0], x[0], need_weights=False)
    assert one.shape == (3, 4) and weights is None
    with pytest.raises(ValueError, match="key must have 2 or 3 axes and end in embed_dim=4"):
        layer(x, minidl.ones(2, 3, 5), x)


def test_attention_equals_the_formula():
    """D3-MHA, with one example and without bias."""
    layer, x = nn.MultiheadAttention(4, 2, bias=False).double(), numbers((3, 4), 1)
    q, k, v = (w.T for w in np.split(layer.in_proj_weight.numpy(), 3))
    heads = [[w[:, i:i + 2] for i in (0, 2)] for w in (q, k, v)]
    expected = formulas.multi_head_attention(x, x, x, *heads, layer.out_proj.weight.numpy().T)
    out, _ = layer(*[minidl.tensor(x)] * 3)
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-10)


def test_losses_are_the_functions():
    x, t = minidl.rand(4, 3), minidl.rand(4, 3)
    labels, weight = minidl.tensor([0, 2, 1, 1]), minidl.tensor([1.0, 2.0, 3.0])
    pairs = [
        (nn.MSELoss()(x, t), F.mse_loss(x, t)),
        (nn.L1Loss(reduction="sum")(x, t), F.l1_loss(x, t, "sum")),
        (nn.BCELoss()(x, t), F.binary_cross_entropy(x, t)),
        (nn.BCEWithLogitsLoss(pos_weight=weight)(x, t),
         F.binary_cross_entropy_with_logits(x, t, pos_weight=weight)),
        (nn.KLDivLoss(reduction="batchmean")(x, t), F.kl_div(x, t, "batchmean")),
        (nn.NLLLoss(weight)(x, labels), F.nll_loss(x, labels, weight)),
        (nn.CrossEntropyLoss(weight, label_smoothing=0.1)(x, labels),
         F.cross_entropy(x, labels, weight, label_smoothing=0.1))]
    for a, b in pairs:
        assert a.item() == b.item()
    with pytest.raises(ValueError, match="MSELoss: reduction must be one of mean, sum, none"):
        nn.MSELoss(reduction="max")


def test_embedding_and_simple_activations():
    table = nn.Embedding(5, 2)
    rows = table(minidl.tensor([4, 0])).numpy()
    np.testing.assert_array_equal(rows, table.weight.numpy()[[4, 0]])
    x = minidl.randn(3, 4)
    for layer, f in ((nn.ReLU(), F.relu), (nn.Sigmoid(), F.sigmoid), (nn.Tanh(), F.tanh),
                     (nn.Softmax(1), lambda t: F.softmax(t, 1)),
                     (nn.Identity(3, a=1), lambda t: t)):
        np.testing.assert_array_equal(layer(x).numpy(), f(x).numpy())


@pytest.mark.parametrize("make, message", [
    (lambda: nn.Conv2d(1, 2, 3, padding_mode="reflect"), 'Conv2d: only padding_mode="zeros"'),
    (lambda: nn.Conv2d(3, 4, 3, groups=2), "in_channels=3 does not divide into groups=2"),
    (lambda: nn.Conv2d(1, 2, 3, padding="full"), 'padding must be numbers, "same" or "valid"'),
    (lambda: nn.Conv2d(1, 2, 3, stride=0), "stride must be a whole number, or 2 of them, at least"),
    (lambda: nn.Conv1d(1, 2, (3, 3)), "Conv1d: kernel_size must be a whole number, at least 1"),
    (lambda: nn.Linear(0, 3), "Linear: in_features must be at least 1, got 0"),
    (lambda: nn.AvgPool2d(2, divisor_override=3), "divisor_override is not offered"),
    (lambda: nn.AdaptiveAvgPool2d(2), "only output_size=1 is offered"),
    (lambda: nn.Upsample(scale_factor=2, mode="bilinear"), 'only mode="nearest" is offered'),
    (lambda: nn.Upsample(), "give either size or scale_factor"),
    (lambda: nn.ReLU(inplace=True), "ReLU: inplace=True is not offered"),
    (lambda: nn.Dropout(1.5), r"Dropout: p must be in \[0, 1\], got 1.5"),
    (lambda: nn.GroupNorm(3, 4), "num_channels=4 does not divide into num_groups=3"),
    (lambda: nn.MultiheadAttention(5, 2), "embed_dim=5 does not divide into num_heads=2"),
])
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# --------------------------------------------------------------------------- initialisation
def test_initial_weights_keep_the_formulas_bounds():
    """D2-HE, on a weight large enough to see bounds and deviation."""
    conv = nn.Conv2d(16, 64, 3)
    fan_in, fan_out = 16 * 9, 64 * 9
    bound = formulas.kaiming_uniform_limit(fan_in)
    for values in (conv.weight.numpy(), conv.bias.numpy()):
        assert 0.9 * bound < abs(values).max() <= bound == pytest.approx(1 / math.sqrt(fan_in))
    w = init.kaiming_normal_(conv.weight, nonlinearity="relu").numpy()
    assert w.std() == pytest.approx(formulas.he_normal_std(fan_in), rel=0.05)
    w = init.xavier_uniform_(conv.weight).numpy()
    limit = formulas.glorot_uniform_limit(fan_in, fan_out)
    assert 0.99 * limit < abs(w).max() <= limit
    w = init.xavier_normal_(conv.weight, gain=2).numpy()
    assert w.std() == pytest.approx(2 * math.sqrt(2 / (fan_in + fan_out)), rel=0.05)
    w = init.kaiming_uniform_(conv.weight, mode="fan_out").numpy()
    assert abs(w).max() == pytest.approx(math.sqrt(6 / fan_out), rel=0.02)


def test_initial_weights_follow_from_the_seed():
    minidl.manual_seed(7)
    first = nn.Linear(3, 2).weight.numpy()
    minidl.manual_seed(7)
    np.testing.assert_array_equal(nn.Linear(3, 2).weight.numpy(), first)
    a, b = (init.normal_(minidl.zeros(4), 1, 2, Generator(3)).numpy() for _ in range(2))
    np.testing.assert_array_equal(a, b)


def test_keras_defaults():
    net = init.keras_(nn.Sequential(nn.Linear(30, 20), nn.BatchNorm1d(20)))
    assert not net[0].bias.numpy().any() and (net[1].weight.numpy() == 1).all()
    limit = formulas.glorot_uniform_limit(30, 20)
    assert 0.95 * limit < abs(net[0].weight.numpy()).max() <= limit


def test_initialisation_names_what_is_wrong():
    with pytest.raises(ValueError, match=r"xavier_uniform_: fan_in and fan_out need .* \(3,\)"):
        init.xavier_uniform_(minidl.zeros(3))
    with pytest.raises(ValueError, match="nonlinearity must be one of leaky_relu, linear"):
        init.calculate_gain("swish")
    with pytest.raises(ValueError, match='mode must be "fan_in" or "fan_out"'):
        init.kaiming_normal_(minidl.zeros(3, 3), mode="in")


@pytest.mark.parametrize("fill", [
    init.uniform_, init.normal_, init.xavier_normal_, init.xavier_uniform_, init.kaiming_normal_,
    init.kaiming_uniform_])
def test_initialisation_of_integers_and_of_nothing(fill):
    with pytest.raises(TypeError, match=f"{fill.__name__}: tensor must be floats, got int64"):
        fill(minidl.zeros(2, 2, dtype="int64"))
    for shape in ((3, 0), (0, 3), (0, 0), (2, 3, 0)):
        assert fill(minidl.zeros(shape)).shape == shape


def test_initialisation_of_one_number_and_by_numbers_that_are_too_large():
    assert init.normal_(nn.Parameter(0.0), 5, 0).item() == 5
    assert 2 <= init.uniform_(nn.Parameter(0.0), 2, 3).item() <= 3
    for a, b in ((-np.inf, np.inf), (0, np.inf), (-3e38, 3e38)):
        with pytest.raises(ValueError, match="uniform_: a=.* must be finite in float32"):
            init.uniform_(minidl.zeros(2), a, b)
    assert init.normal_(minidl.zeros(2), 1e39).tolist() == [np.inf] * 2
    with pytest.raises(TypeError, match="keras_: module must be a Module, got 5"):
        init.keras_(5)


# --------------------------------------------------------------------------- Module
def test_walking():
    net = small_net()
    assert [name for name, _ in net.named_parameters()] == [
        "0.weight", "0.bias", "1.weight", "1.bias", "4.weight", "4.bias"]
    assert [name for name, _ in net.named_buffers()] == [
        "1.running_mean", "1.running_var", "1.num_batches_tracked"]
    assert [type(m).__name__ for m in net.modules()] == [
        "Sequential", "Conv2d", "BatchNorm2d", "ReLU", "Flatten", "Linear"]
    assert [name for name, _ in net.named_children()] == list("01234")
    assert net.get_submodule("4") is net[4] and net.get_submodule("") is net
    with pytest.raises(AttributeError, match="no module is named 'head'"):
        net.get_submodule("head")
    seen = []
    net.apply(lambda m: seen.append(m))
    assert seen[-1] is net and len(seen) == 6


def test_attributes_keep_their_kind():
    layer = nn.Linear(2, 2)
    with pytest.raises(TypeError, match="weight is a parameter and expects a Parameter or None"):
        layer.weight = minidl.zeros(2, 2)
    layer.bias = None
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    layer.bias = nn.Parameter(np.zeros(2))
    assert "bias" in layer.state_dict()
    norm = nn.BatchNorm1d(2)
    norm.running_mean = minidl.ones(2)
    assert norm.state_dict()["running_mean"].numpy().tolist() == [1, 1]
    with pytest.raises(TypeError, match="running_mean is a buffer and expects a Tensor"):
        norm.running_mean = 3
    del layer.bias
    assert "bias" not in layer.state_dict()
    with pytest.raises(AttributeError, match="'Linear' object has no attribute 'bias'"):
        layer.bias  # noqa: B018
    with pytest.raises(ValueError, match="'a.b' is no name for a child"):
        layer.add_module("a.b", nn.ReLU())
    with pytest.raises(ValueError, match="attribute 'forward' exists already"):
        layer.register_buffer("forward", minidl.ones(1))


def test_forgotten_parts_are_named():
    class NoSuper(nn.Module):
        def __init__(self):
            self.fc = nn.Linear(2, 2)

    class NoSuperNoLayers(nn.Module):
        def __init__(self):
            self.n = 3

    with pytest.raises(AttributeError, match=r"NoSuper: call super\(\).__init__\(\)"):
        NoSuper()
    with pytest.raises(AttributeError, match=r"NoSuperNoLayers: call super\(\).__init__\(\)"):
        list(NoSuperNoLayers().parameters())
    with pytest.raises(NotImplementedError, match=r"Module: define forward\(self, ...\)"):
        nn.Module()(1)


def test_transient_buffers_move_but_are_not_saved():
    module = nn.Module()
    module.register_buffer("mask", minidl.ones(2), persistent=False)
    assert not module.state_dict() and module.double().mask.dtype == minidl.float64


def test_state_dict_round_trip_and_views():
    a, b = small_net(), small_net()
    state = a.state_dict()
    assert list(state)[:5] == ["0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean"]
    assert b.load_state_dict({k: v.numpy() for k, v in state.items()}) == ([], [])
    x = minidl.randn(2, 1, 4, 4)
    np.testing.assert_array_equal(a(x).numpy(), b(x).numpy())
    assert not state["0.weight"].requires_grad
    assert np.shares_memory(state["0.weight"].data, a[0].weight.data)


def test_state_dict_errors_list_everything_and_change_nothing():
    net = small_net()
    before = {k: v.numpy().copy() for k, v in net.state_dict().items()}
    state = {k: v + 1 for k, v in before.items()}
    del state["4.bias"], state["1.weight"]
    state["extra"], state["0.weight"] = np.zeros(1), np.zeros((2, 1, 5, 5))
    state["0.bias"] = np.array(["a", "b"])
    with pytest.raises(ValueError) as error:
        net.load_state_dict(state)
    for part in ("missing: 1.weight, 4.bias", "unexpected: extra",
                 "0.weight: (2, 1, 5, 5) given, (2, 1, 3, 3) needed", "0.bias: expected numbers"):
        assert part in str(error.value)
    with pytest.raises(ValueError, match="0.weight"):            # shapes are never let pass
        net.load_state_dict(state, strict=False)
    for key, value in net.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[key])
    missing, unexpected = net.load_state_dict({"4.bias": np.ones(3), "z": np.ones(1)}, strict=False)
    assert len(missing) == 8 and unexpected == ["z"]
    assert net[4].bias.numpy().tolist() == [1, 1, 1]


def test_tied_weights():
    """One parameter under two names: counted once, saved twice, both gradients added."""
    net = Tied()
    assert [name for name, _ in net.named_parameters()] == ["a.weight", "a.bias", "b.bias"]
    assert list(net.state_dict()) == ["a.weight", "a.bias", "b.weight", "b.bias"]
    twin = copy.deepcopy(net)
    assert twin.b.weight is twin.a.weight is not net.a.weight
    net.double()
    assert net.b.weight is net.a.weight and net.a.weight.dtype == minidl.float64
    optim.SGD(net.parameters(), lr=0.1)
    net(minidl.ones(2, 3, dtype=minidl.float64)).sum().backward()
    assert net.a.weight.grad is net.b.weight.grad is not None


def test_deepcopy_is_independent():
    net = small_net()
    twin = copy.deepcopy(net)
    with minidl.no_grad():
        net[0].weight.zero_()
    assert twin[0].weight.numpy().any() and twin[0].weight.requires_grad
    assert type(twin[0].weight) is nn.Parameter
    assert [k for k, _ in twin.named_parameters()] == [k for k, _ in net.named_parameters()]
    twin.eval()
    assert net.training and net[1].training


def test_to_changes_parameters_in_place():
    net = small_net()
    weight, opt = net[0].weight, optim.Adam(net.parameters())
    y = net(minidl.randn(2, 1, 4, 4)).sum()
    y.backward()
    opt.step()
    net.double()
    assert net[0].weight is weight and weight.dtype == weight.grad.dtype == minidl.float64
    assert net[1].running_var.dtype == minidl.float64
    assert net[1].num_batches_tracked.dtype == minidl.int64
    opt.step()                                       # the moments follow
    assert opt.state[weight]["exp_avg"].dtype == minidl.float64
    assert net.to(minidl.zeros(1)).to("cpu").float()[0].weight.dtype == minidl.float32
    with pytest.raises(TypeError, match="dtype must be a float"):
        net.to(minidl.int64)


def test_to_after_the_forward_pass_is_noticed():
    net, x = nn.Linear(2, 2), minidl.randn(3, 2).requires_grad_()
    y = net(x).sum()
    net.double()
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_freezing_and_zero_grad():
    net = small_net()
    net[0].requires_grad_(False)
    net(minidl.randn(2, 1, 4, 4)).sum().backward()
    assert net[0].weight.grad is None and net[4].weight.grad is not None
    net.zero_grad(set_to_none=False)
    assert not net[4].weight.grad.numpy().any()
    net.zero_grad()
    assert net[4].weight.grad is None


def test_forward_hooks():
    net, seen = nn.Linear(2, 2), []
    handle = net.register_forward_hook(lambda module, args, y: seen.append(y.shape))
    other = net.register_forward_hook(lambda module, args, y: y * 0)
    assert not net(minidl.ones(1, 2)).numpy().any() and seen == [(1, 2)]
    handle.remove(), other.remove()
    assert net(minidl.ones(1, 2)).numpy().any() and len(seen) == 1
    assert not nn.Linear(2, 2)._forward_hooks


def test_repr_is_a_tree():
    net = nn.Sequential(nn.Linear(2, 3, bias=False), nn.Sequential(nn.LeakyReLU(0.2)).eval())
    assert repr(net) == """Sequential(
  (0): Linear(in_features=2, out_features=3, bias=None)
  (1): Sequential(
    (0): LeakyReLU(negative_slope=0.2)
  )
)"""
    assert repr(nn.Conv2d(1, 2, 3, padding="same")) == (
        "Conv2d(in_channels=1, out_channels=2, kernel_size=(3, 3), stride=(1, 1), padding='same', "
        "dilation=(1, 1), groups=1)")
    assert repr(nn.Parameter(np.float32([1]))).startswith("Parameter containing:\ntensor([1.]")


# --------------------------------------------------------------------------- containers
def test_sequential():
    net = small_net()
    assert len(net) == 5 and net[-1] is net[4] and len(net[1:3]) == 2
    assert list(net)[2] is net[2]
    with pytest.raises(IndexError, match="index 5 of 5 modules"):
        net[5]
    net[2] = nn.Tanh()
    assert isinstance(net[2], nn.Tanh)
    named = nn.Sequential(OrderedDict(first=nn.Linear(2, 3), then=nn.ReLU()))
    assert named.first is named[0] and list(named.state_dict()) == ["first.weight", "first.bias"]
    assert named[:1].first is named.first
    assert named.append(nn.Linear(3, 1))(minidl.ones(2, 2)).shape == (2, 1)
    with pytest.raises(TypeError, match="child '0' must be a Module or None, got function"):
        nn.Sequential(F.relu)


def test_lists_and_dicts():
    layers = nn.ModuleList([nn.Linear(2, 2)]).extend([nn.ReLU(), nn.Linear(2, 1)])
    assert len(layers) == 3 and len(list(layers.parameters())) == 4 and len(layers[:2]) == 2
    assert list(layers.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    heads = nn.ModuleDict({"a": nn.Linear(2, 1), "b": nn.Linear(2, 2)})
    assert "a" in heads and list(heads) == list(heads.keys()) == ["a", "b"]
    assert heads["b"] is dict(heads.items())["b"] is list(heads.values())[1]
    del heads["a"]
    assert list(heads.state_dict()) == ["b.weight", "b.bias"] and len(heads) == 1
    with pytest.raises(KeyError, match="no module 'c'; there are b"):
        heads["c"]


# --------------------------------------------------------------------------- summary
def test_summary():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(), nn.Flatten(),
                        nn.Linear(8, 3))
    net[0].requires_grad_(False)
    state = default_generator().get_state()
    table = net.summary((1, 4, 4))
    assert [dataclasses.astuple(row) for row in table.rows] == [
        ("0", "Conv2d", (2, 2, 2), 20, 2 * 2 * 2 * 9), ("1", "BatchNorm2d", (2, 2, 2), 4, 0),
        ("2", "Dropout", (2, 2, 2), 0, 0), ("3", "Flatten", (8,), 0, 0),
        ("4", "Linear", (3,), 27, 24)]
    assert (table.parameters, table.trainable, table.multiply_adds) == (51, 31, 96)
    text = str(table)
    assert "2 x 2 x 2" in text and "frozen: 20 parameters" in text
    assert net.training and not net[0]._forward_hooks        # left as it was
    assert default_generator().get_state() == state
    assert net[1].num_batches_tracked.item() == 0
    up = nn.ConvTranspose2d(3, 2, 5, stride=2, padding="same").summary((3, 4, 4))
    assert up.multiply_adds == 4 * 4 * 3 * 2 * 25
    tokens = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 2)).summary(minidl.tensor([[1, 2]]))
    assert tokens.multiply_adds == 16
    assert nn.summary(Tied(), 3).parameters == 15


def test_summary_leaves_the_model_alone_when_it_fails():
    net = nn.Sequential(nn.Dropout(), nn.Linear(3, 2))
    with pytest.raises(ValueError, match="linear"):
        net.summary((4,))
    assert net.training and net[1].training and not net[1]._forward_hooks


def test_a_prefix_of_none_is_no_prefix():
    layer = nn.Linear(2, 2)
    for named in (layer.named_parameters, layer.named_modules, layer.named_buffers):
        assert dict(named(prefix=None)).keys() == dict(named()).keys()
