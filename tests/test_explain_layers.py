"""Layers are explained as what they are: by products of their weights, or by the lines of their
formula, through the ops that only hand numbers on.
"""

from __future__ import annotations

import numpy as np
import pytest

import minidl
from minidl import functional as F
from minidl import nn
from minidl.explain.explanation import Explanation
from minidl.explain.recorded import RecordedNode

IMAGES, ROWS, TEXT = (2, 4, 6, 6), (3, 4), (2, 3, 4)
LAYERS = {
    "AdaptiveAvgPool2d": (lambda: nn.AdaptiveAvgPool2d(1), IMAGES),
    "AvgPool2d": (lambda: nn.AvgPool2d(2), IMAGES),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(4), ROWS),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(4), IMAGES),
    "BatchNorm2d, evaluated": (lambda: evaluated(nn.BatchNorm2d(4)), IMAGES),
    "BatchNorm2d, no weights": (lambda: nn.BatchNorm2d(4, affine=False), IMAGES),
    "Conv1d": (lambda: nn.Conv1d(3, 2, 2), (2, 3, 5)),
    "Conv1d, groups": (lambda: nn.Conv1d(4, 2, 3, groups=2, padding=1), (2, 4, 5)),
    "Conv2d": (lambda: nn.Conv2d(4, 3, 3, stride=2, padding=1), IMAGES),
    "Conv2d, one image": (lambda: nn.Conv2d(4, 3, 3), IMAGES[1:]),
    "Conv2d, groups": (lambda: nn.Conv2d(4, 6, 3, groups=2), IMAGES),
    "Conv2d, groups, no bias": (lambda: nn.Conv2d(4, 6, 3, groups=2, bias=False), IMAGES),
    "Conv2d, depthwise": (lambda: nn.Conv2d(4, 8, 3, groups=4), IMAGES),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(4, 2, 3, stride=2), IMAGES),
    "ConvTranspose2d, groups": (lambda: nn.ConvTranspose2d(4, 2, 3, groups=2), IMAGES),
    "Dropout": (lambda: nn.Dropout(0.5), ROWS),
    "ELU": (lambda: nn.ELU(), ROWS),
    "Embedding": (lambda: nn.Embedding(5, 3), None),
    "Flatten": (lambda: nn.Flatten(), IMAGES),
    "GELU": (lambda: nn.GELU(), ROWS),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), IMAGES),
    "Identity": (lambda: nn.Identity(), ROWS),
    "LayerNorm": (lambda: nn.LayerNorm(4), TEXT),
    "LeakyReLU": (lambda: nn.LeakyReLU(0.1), ROWS),
    "Linear": (lambda: nn.Linear(4, 3), ROWS),
    "Linear, three axes": (lambda: nn.Linear(4, 3), TEXT),
    "Linear, one axis": (lambda: nn.Linear(4, 3), (4,)),
    "LogSoftmax": (lambda: nn.LogSoftmax(1), ROWS),
    "MaxPool2d": (lambda: nn.MaxPool2d(2), IMAGES),
    "MultiheadAttention": (lambda: attending(), TEXT),
    "PixelShuffle": (lambda: nn.PixelShuffle(2), IMAGES),
    "ReLU": (lambda: nn.ReLU(), ROWS),
    "Residual": (lambda: nn.Residual(nn.Linear(4, 4)), ROWS),
    "Sigmoid": (lambda: nn.Sigmoid(), ROWS),
    "Softmax": (lambda: nn.Softmax(1), ROWS),
    "Softplus": (lambda: nn.Softplus(), ROWS),
    "Tanh": (lambda: nn.Tanh(), ROWS),
    "Unflatten": (lambda: nn.Unflatten(1, (2, 2)), ROWS),
    "Upsample": (lambda: nn.Upsample(scale_factor=2), IMAGES),
}
PRODUCTS = {"Conv1d", "Conv2d", "ConvTranspose2d", "Linear", "MultiheadAttention"}
NO_LAYER = {"Module", "ModuleDict", "ModuleList", "Parameter", "Sequential", "Summary",
            "functional", "init", "summary", "utils"} | {n for n in nn.__all__ if "Loss" in n}


def evaluated(layer):
    layer.running_mean.copy_(minidl.randn(4))
    layer.running_var.copy_(minidl.rand(4) + 0.5)
    return layer.eval()


class Attending(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x):
        return self.attention(x, x, x)[0]


def attending():
    return Attending()


def assert_sums_up(found: Explanation) -> None:
    assert abs(found.difference) <= 1e-5 * max(found.magnitude, abs(found.stored), 1.0), found


@pytest.fixture
def made(request):
    """A layer with weights that are no zeros or ones, its input, its output and gradients, kept."""
    make, shape = LAYERS[request.param]
    minidl.manual_seed(5)
    layer = make()
    with minidl.no_grad():
        for p in layer.parameters():
            p.copy_(minidl.randn(*p.shape))
    x = minidl.tensor([1, 2]) if shape is None else minidl.randn(*shape)
    h = x if shape is None else x.requires_grad_()
    with minidl.keep():
        y = layer(h)
        (y * minidl.randn(*y.shape)).sum().backward()
    return request.param, layer, x, y


def cells(t, count=6):
    rng = np.random.default_rng(1)
    return [tuple(int(rng.integers(n)) for n in t.shape) for _ in range(count)]


def test_every_layer_is_among_them():
    assert {name.split(",")[0] for name in LAYERS} == set(nn.__all__) - NO_LAYER


@pytest.mark.parametrize("made", LAYERS, indirect=True)
def test_a_layers_output_is_explained_as_what_it_is(made):
    """The terms add up, the layer's weights are in them by name, and no explanation is of an op
    that only hands a number on, or adds a bias."""
    name, layer, x, y = made
    if y.is_leaf:
        return
    for index in cells(y):
        found = y.explain(index)
        assert_sums_up(found)
        text, used = repr(found), {o.name for t in found.terms for o in t.origins if o is not None}
        if name.split(",")[0] in PRODUCTS:
            weight = "attention.out_proj." if name == "MultiheadAttention" else ""
            assert f"{weight}weight" in used and f"w is {weight}weight" in text
            assert layer_is_without_bias(layer) or f"{weight}bias" in used
            assert all(len(t.factors) in (1, 2) and t.sign == "*" for t in found.terms)
            assert "= conv" in text or "= linear" in text or "+= " in text
        for own, _ in layer.named_parameters():
            if "Norm" in name or name == "Embedding":
                assert own in used, text
        assert "out = x + y" not in text and "array(" not in text and "None" not in text


def layer_is_without_bias(layer) -> bool:
    return getattr(layer, "bias", 1) is None


@pytest.mark.parametrize("name", LAYERS)
def test_a_traces_layers_are_the_same(name):
    """A node of a trace is explained by what its tensor is explained by; only the op of an event is
    told as it is."""
    make, shape = LAYERS[name]
    minidl.manual_seed(5)
    layer = make()
    x = minidl.tensor([1, 2]) if shape is None else minidl.randn(*shape, requires_grad=True)
    with minidl.record() as trace:
        y = layer(x)
    made = [op for op in trace.ops if np.array_equal(trace.value(op["outputs"][0]), y.numpy())]
    if not made:
        return
    node = RecordedNode(trace, made[-1]["outputs"][0])
    for index in cells(y, 3):
        found, expected = node.explain(index), y.explain(index)
        assert_sums_up(found)
        told = lambda e: [f[1:] for t in e.terms for f in t.factors]
        assert told(found) == told(expected) and len(found.steps) == len(expected.steps)
        if "evaluated" not in name:                       # a trace has no names of buffers
            assert (found.total, found.formula) == (expected.total, expected.formula)
        plain = trace.explain(made[-1], index)
        assert plain.title.startswith(made[-1]["op"])
        assert_sums_up(plain)


@pytest.mark.parametrize("made", LAYERS, indirect=True)
def test_a_layers_gradients_are_explained_without_empty_parts(made):
    name, layer, x, y = made
    for t in [*layer.parameters(), *([x] if x.requires_grad else [])]:
        for index in cells(t, 4):
            found = t.explain_grad(index)
            assert_sums_up(found)
            assert all(part.terms or part.outside or not part.title.startswith("from getitem")
                       for part in found.parts), found
            sizes = [abs(term.value) for term in found.terms]
            assert sizes == sorted(sizes, reverse=True) and (sizes or not found.stored)
            if name.split(",")[0] in PRODUCTS - {"MultiheadAttention"}:
                (part,) = found.parts
                assert "conv2d" in part.title or "linear" in part.title


def test_the_products_of_a_group_are_those_of_its_own_channels():
    minidl.manual_seed(1)
    layer, x = nn.Conv2d(4, 6, 1, groups=2), minidl.randn(1, 4, 2, 2)
    with minidl.keep():
        y = layer(x)
    for o in range(6):
        found = y.explain(0, o, 1, 0)
        weights = {index for t in found.terms for name, index, _ in t.factors if name == "w"}
        pixels = {index for t in found.terms for name, index, _ in t.factors if name == "x"}
        assert weights == {(o, 0, 0, 0), (o, 1, 0, 0)}
        assert pixels == {(0, c + 2 * (o // 3), 1, 0) for c in range(2)}
        assert found.title == f"conv2d (D3-CONV)   y[0,{o},1,0]"


def test_batch_norm_in_training_says_mean_and_variance_of_the_x_asked_for():
    minidl.manual_seed(2)
    layer, x = nn.BatchNorm2d(2), minidl.randn(3, 2, 2, 2)
    with minidl.no_grad():
        layer.weight.copy_(minidl.tensor([2.0, 3.0]))
        layer.bias.copy_(minidl.tensor([0.5, -1.0]))
    with minidl.keep():
        y = layer(x)
    found = y.explain(1, 1, 0, 1)
    channel = x.numpy()[:, 1].astype(np.float64)
    m, v = channel.mean(), channel.var()
    z = (channel[1, 0, 1] - m) / np.sqrt(v + 1e-5)
    assert [step.name for step in found.steps] == ["m", "v", "z", "y"]
    np.testing.assert_allclose([s.value for s in found.steps], [m, v, z, 3 * z - 1], rtol=1e-6)
    assert [(name, index) for name, index, _ in found.terms[0].factors[:3]] == [
        ("x", (1, 1, 0, 1)), ("w", (1,)), ("b", (1,))]
    assert "w is weight, b is bias" in repr(found) and "and 11 other elements of x" in repr(found)


def test_batch_norm_in_evaluation_is_one_formula():
    minidl.manual_seed(3)
    layer, x = evaluated(nn.BatchNorm2d(4)), minidl.randn(2, 4, 3, 3)
    with minidl.keep():
        y = layer(x)
    found = y.explain(1, 2, 0, 1)
    m, v = layer.running_mean[2].item(), layer.running_var[2].item()
    centred = x[1, 2, 0, 1].item() - m
    np.testing.assert_allclose([s.value for s in found.steps[:2]],
                               [centred, centred / np.sqrt(v + 1e-5)], rtol=1e-5)
    assert found.title == "batch_norm   y[1,2,0,1]" and len(found.steps) == 4
    assert {o.name for o in found.terms[0].origins} == {
        "x", "running_mean", "running_var", "weight", "bias"}


def test_softmax_and_cross_entropy_say_their_steps():
    x, t = minidl.tensor([[1.0, 3.0, 2.0], [0.0, 0.0, 4.0]], requires_grad=True), minidl.tensor(
        [0, 2])
    with minidl.keep():
        p = F.softmax(x, 1)
        loss = F.cross_entropy(x, t)
    found, e = p.explain(0, 0), np.exp(x.numpy()[0].astype(float) - 3)
    assert [(s.name, s.value) for s in found.steps] == [
        ("m", 3.0), ("e", pytest.approx(e[0])), ("s", pytest.approx(e.sum())),
        ("y", pytest.approx(e[0] / e.sum()))]
    found = loss.explain()
    assert found.title == "cross_entropy: sum   y" and "the mean of 2" in repr(found)
    row = found.terms[0].up()                 # the larger loss: row 0
    steps = {s.name: s.value for s in row.steps}
    assert steps["m"] == 3.0 and steps["picked"] == 1.0
    assert steps["nll"] == pytest.approx(-np.log(e[0] / e.sum()))
    assert "picked = x[t]" in repr(row) and "array(" not in repr(row)


def test_a_mean_says_that_it_is_one():
    x = minidl.randn(2, 3, requires_grad=True)
    with minidl.keep():
        loss = F.mse_loss(x, minidl.zeros(2, 3))
    found = loss.explain()
    assert found.title == "mse_loss: sum   y"
    assert found.formula[0] == "y = the mean of x over axes 0, 1, 6 numbers"
    assert len(found.terms) == 6 and found.terms[0].factors[1] == ("", (), pytest.approx(1 / 6))


def test_what_cannot_be_followed_is_said():
    """After the update a group's products are other ones: the element is told as it is, and why."""
    layer, x = nn.Conv2d(2, 2, 1, groups=2), minidl.randn(1, 2, 2, 2)
    with minidl.keep():
        y = layer(x)
    with minidl.no_grad():
        layer.weight.mul_(2.0)
    text = repr(y.explain(0, 1, 0, 0))
    assert "cat   y[0,1,0,0]" in text and "what made x cannot be told" in text
    assert "changed in place" in text and "stored" in text


def test_an_explanation_inside_a_recording_is_no_part_of_it():
    x = minidl.randn(1, 2, 4, 4, requires_grad=True)
    layer = nn.Conv2d(2, 2, 3, groups=2)
    with minidl.record() as trace:
        y = F.max_pool2d(layer(x), 2)
        (y * y).sum().backward()
        before = len(trace.events)
        y.explain(0, 1, 0, 0)
        layer.weight.explain_grad(0, 0, 0, 0)
        y.receptive_field(0, 1, 0, 0)
        x.projective_field(0, 1, 0, 0)
        assert len(trace.events) == before and len(trace.ops) == len(trace.entries)
